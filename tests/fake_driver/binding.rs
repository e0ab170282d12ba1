//! Binding buffers: offset, type, dedicated memory, and resources that are bound already.

use ash::vk;
use fencepost::fake::{Call, Profile, Use, Violation};

use crate::support::{Gpu, object, range, submission};

fn bind(gpu: &Gpu, buffer: vk::Buffer, memory: vk::DeviceMemory, offset: u64) {
    unsafe { gpu.device.bind_buffer_memory(buffer, memory, offset) }.unwrap();
}

#[test]
fn a_resource_is_bound_once_to_memory_that_exists() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    let buffer = gpu.buffer_at(256, memory, 0);
    gpu.kept();
    unsafe {
        assert!(gpu.device.bind_buffer_memory(buffer, memory, 256).is_err());
        gpu.device.free_memory(memory, None);
        gpu.device.destroy_buffer(buffer, None);
        let other = gpu.buffer(256);
        assert!(gpu.device.bind_buffer_memory(other, memory, 0).is_err());
        assert!(gpu.device.bind_buffer_memory(buffer, memory, 0).is_err());
    }
    let call = Call::BindBufferMemory;
    gpu.broke(&[
        Violation::BindTwice { resource: object(buffer) },
        Violation::Unknown { call, object: object(memory) },
        Violation::Unknown { call, object: object(buffer) },
    ]);
}

#[test]
fn an_offset_is_aligned() {
    let gpu = Gpu::with(Profile::default().buffer_alignment(512));
    let memory = gpu.memory(4096);
    gpu.buffer_at(64, memory, 512);
    gpu.kept();
    let buffer = gpu.buffer_at(64, memory, 256);
    let (resource, range) = (object(buffer), range(memory, 256, 64));
    gpu.broke(&[Violation::BindMisaligned { resource, range, alignment: 512 }]);
}

#[test]
fn a_resource_does_not_reach_past_the_end() {
    let gpu = Gpu::new();
    let memory = gpu.memory(1024);
    gpu.buffer_at(512, memory, 0);
    gpu.kept();
    let (long, outside) = (gpu.buffer(257), gpu.buffer(1));
    bind(&gpu, long, memory, 768);
    bind(&gpu, outside, memory, u64::MAX - 255);
    let past = |resource, offset, size| Violation::BindOutOfRange {
        resource: object(resource),
        range: range(memory, offset, size),
        memory_size: 1024,
    };
    gpu.broke(&[past(long, 768, 257), past(outside, u64::MAX - 255, 1)]);
}

#[test]
fn a_resource_has_one_of_its_memory_types() {
    let gpu = Gpu::with(Profile::default().buffer_types(0b0010));
    let wrong = gpu.memory(64);
    bind(&gpu, gpu.buffer(64), gpu.try_memory(1, 64).unwrap(), 0);
    gpu.kept();
    let buffer = gpu.buffer_at(64, wrong, 0);
    let resource = object(buffer);
    gpu.broke(&[Violation::BindWrongType { resource, memory_type: 0, type_bits: 0b0010 }]);
}

#[test]
fn dedicated_memory_is_for_its_resource_alone() {
    let gpu = Gpu::with(Profile::default().requires_dedicated(1 << 20));
    let dedicated = |buffer, size| {
        let mut info = vk::MemoryDedicatedAllocateInfo::default().buffer(buffer);
        let info = vk::MemoryAllocateInfo::default().allocation_size(size).push_next(&mut info);
        unsafe { gpu.device.allocate_memory(&info, None) }.unwrap()
    };
    let (owner, stranger) = (gpu.buffer(1 << 20), gpu.buffer(64));
    let memory = dedicated(owner, 1 << 20);
    bind(&gpu, owner, memory, 0);
    gpu.kept();
    let small = gpu.buffer(64);
    let memory = dedicated(small, 64);
    bind(&gpu, stranger, memory, 0);
    let needs = gpu.buffer_at(1 << 20, gpu.memory(1 << 20), 0);
    let found = gpu.fake.violations();
    assert!(matches!(
        found[..],
        [
            Violation::BindNotDedicated { resource: first, range: place },
            Violation::BindNotDedicated { resource: second, .. },
        ] if first == object(stranger) && place == range(memory, 0, 64) && second == object(needs)
    ));
}

#[test]
fn live_resources_do_not_overlap_unless_aliasing_is_allowed() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    let first = gpu.buffer_at(1024, memory, 0);
    let beside = gpu.buffer_at(1024, memory, 1024);
    gpu.kept();
    let over = gpu.buffer_at(1024, memory, 512);
    let (resource, place) = (object(over), range(memory, 512, 1024));
    let broken = [first, beside].map(|other| Violation::BindOverlap {
        resource,
        range: place,
        other: object(other),
    });
    gpu.broke(&broken);
    gpu.fake.set_aliasing(true);
    gpu.buffer_at(2048, memory, 0);
    gpu.broke(&broken);
}

#[test]
fn a_destroyed_resource_is_in_nobodys_way() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    for _ in 0..3 {
        let buffer = gpu.buffer_at(4096, memory, 0);
        unsafe { gpu.device.destroy_buffer(buffer, None) };
    }
    unsafe { gpu.device.free_memory(memory, None) };
    gpu.fake.finish().unwrap();
}

#[test]
fn nothing_is_bound_where_a_submission_still_works() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    let old = gpu.buffer_at(1024, memory, 0);
    gpu.submit(0, &[Use::buffer(old)]);
    gpu.buffer_at(256, memory, 1024); // beside it
    gpu.kept();
    let new = gpu.buffer_at(256, memory, 768);
    let broken = Violation::BindInUse {
        resource: object(new),
        range: range(memory, 768, 256),
        other: object(old),
        submission: submission(0, 1),
    };
    gpu.broke(&[broken]);
    // After the completion it is an overlap of live resources only.
    gpu.fake.run();
    let late = gpu.buffer_at(256, memory, 512);
    let (resource, range) = (object(late), range(memory, 512, 256));
    gpu.broke(&[broken, Violation::BindOverlap { resource, range, other: object(old) }]);
}

#[test]
fn nothing_is_bound_where_a_plain_range_is_in_use() {
    let gpu = Gpu::new();
    let memory = gpu.memory(4096);
    gpu.submit(1, &[Use::memory(memory, 1000, 100)]);
    gpu.buffer_at(512, memory, 256);
    gpu.kept();
    let new = gpu.buffer_at(512, memory, 768);
    gpu.broke(&[Violation::BindInUse {
        resource: object(new),
        range: range(memory, 768, 512),
        other: object(memory),
        submission: submission(1, 1),
    }]);
    gpu.fake.run();
    let violations = gpu.fake.violations().len();
    gpu.buffer_at(256, memory, 1280);
    assert_eq!(gpu.fake.violations().len(), violations);
}

#[test]
fn all_versions_of_binding_keep_the_same_rules() {
    let gpu = Gpu::with(Profile::default().api_version(vk::API_VERSION_1_1));
    let memory = gpu.memory(4096);
    let (first, second) = (gpu.buffer(64), gpu.buffer(64));
    let info = |buffer, offset| {
        vk::BindBufferMemoryInfo::default().buffer(buffer).memory(memory).memory_offset(offset)
    };
    unsafe { gpu.device.bind_buffer_memory2(&[info(first, 0), info(second, 32)]) }.unwrap();
    let (resource, place) = (object(second), range(memory, 32, 64));
    gpu.broke(&[
        Violation::BindMisaligned { resource, range: place, alignment: 256 },
        Violation::BindOverlap { resource, range: place, other: object(first) },
    ]);
    assert_eq!(gpu.fake.calls(Call::BindBufferMemory), 1);
}
