//! Mapping, and the two views of memory that is not coherent.

use ash::vk;
use fencepost::fake::{Call, Profile, Violation};

use crate::support::{Gpu, object, range};

/// One type that is host-visible, cached and not coherent, with atoms of 64 bytes.
fn non_coherent() -> Gpu {
    use vk::MemoryPropertyFlags as Type;
    Gpu::with(Profile::default().atom(64).types(&[(1, Type::HOST_VISIBLE | Type::HOST_CACHED)]))
}

fn map(gpu: &Gpu, memory: vk::DeviceMemory, offset: u64, size: u64) -> Result<*mut u8, vk::Result> {
    let flags = vk::MemoryMapFlags::empty();
    unsafe { gpu.device.map_memory(memory, offset, size, flags) }.map(<*mut _>::cast)
}

fn mapped(memory: vk::DeviceMemory, offset: u64, size: u64) -> vk::MappedMemoryRange<'static> {
    vk::MappedMemoryRange::default().memory(memory).offset(offset).size(size)
}

fn gpu_byte(gpu: &Gpu, memory: vk::DeviceMemory, offset: u64) -> u8 {
    let mut byte = [0];
    assert!(gpu.fake.gpu_read(memory, offset, &mut byte));
    byte[0]
}

#[test]
fn coherent_memory_is_one_for_host_and_gpu() {
    let gpu = Gpu::new();
    let memory = gpu.try_memory(1, 4096).unwrap();
    let address = map(&gpu, memory, 0, vk::WHOLE_SIZE).unwrap();
    assert_eq!(address.align_offset(64), 0);
    unsafe { address.add(100).write(7) };
    assert_eq!(gpu_byte(&gpu, memory, 100), 7);
    assert!(gpu.fake.gpu_write(memory, 200, &[8]));
    assert_eq!(unsafe { address.add(200).read() }, 8);
    assert!(!gpu.fake.gpu_write(memory, 4095, &[1, 2]));
    unsafe { gpu.device.unmap_memory(memory) };
    let again = map(&gpu, memory, 100, 1).unwrap();
    assert_eq!(unsafe { again.read() }, 7);
    gpu.kept();
}

#[test]
fn a_missing_flush_or_invalidate_shows() {
    let gpu = non_coherent();
    let memory = gpu.memory(4096);
    let address = map(&gpu, memory, 0, vk::WHOLE_SIZE).unwrap();
    unsafe { address.write(7) };
    assert_eq!(gpu_byte(&gpu, memory, 0), 0, "not flushed yet");
    unsafe { gpu.device.flush_mapped_memory_ranges(&[mapped(memory, 0, 64)]) }.unwrap();
    assert_eq!(gpu_byte(&gpu, memory, 0), 7);
    gpu.fake.gpu_write(memory, 64, &[8]);
    assert_eq!(unsafe { address.add(64).read() }, 0, "not invalidated yet");
    unsafe { gpu.device.invalidate_mapped_memory_ranges(&[mapped(memory, 64, 64)]) }.unwrap();
    assert_eq!(unsafe { address.add(64).read() }, 8);
    gpu.kept();
}

#[test]
fn a_flush_overwrites_what_the_gpu_wrote_to_the_same_atom() {
    let gpu = non_coherent();
    let memory = gpu.memory(4096);
    let address = map(&gpu, memory, 0, vk::WHOLE_SIZE).unwrap();
    gpu.fake.gpu_write(memory, 32, &[9]); // a neighbour that shares the atom
    unsafe {
        address.write(1);
        gpu.device.flush_mapped_memory_ranges(&[mapped(memory, 0, 64)]).unwrap();
    }
    assert_eq!(gpu_byte(&gpu, memory, 32), 0, "the neighbour's byte is lost");
    gpu.kept();
}

#[test]
fn only_host_visible_memory_is_mapped_and_only_once() {
    let gpu = Gpu::new();
    let local = gpu.memory(64);
    assert_eq!(map(&gpu, local, 0, 64), Err(vk::Result::ERROR_MEMORY_MAP_FAILED));
    let visible = gpu.try_memory(1, 64).unwrap();
    map(&gpu, visible, 0, 64).unwrap();
    assert!(map(&gpu, visible, 0, 64).is_err());
    unsafe {
        gpu.device.unmap_memory(visible);
        gpu.device.unmap_memory(visible);
    }
    gpu.broke(&[
        Violation::MapNotVisible { memory: object(local) },
        Violation::MapTwice { memory: object(visible) },
        Violation::NotMapped { call: Call::UnmapMemory, memory: object(visible) },
    ]);
}

#[test]
fn a_mapping_lies_inside_the_memory() {
    let gpu = Gpu::new();
    let memory = gpu.try_memory(1, 64).unwrap();
    let call = Call::MapMemory;
    let mut broken = Vec::new();
    for (offset, size) in [(0, 65), (64, vk::WHOLE_SIZE), (0, 0), (1, u64::MAX - 1)] {
        assert!(map(&gpu, memory, offset, size).is_err());
        broken.push(Violation::MapOutOfRange { call, range: range(memory, offset, size) });
    }
    gpu.broke(&broken);
    map(&gpu, memory, 63, vk::WHOLE_SIZE).unwrap();
    gpu.broke(&broken);
}

#[test]
fn ranges_to_flush_are_mapped_and_whole_atoms() {
    let gpu = non_coherent();
    let memory = gpu.memory(200);
    let call = Call::FlushMappedMemoryRanges;
    let flush = |offset, size| unsafe {
        gpu.device.flush_mapped_memory_ranges(&[mapped(memory, offset, size)])
    };
    assert!(flush(0, 64).is_err());
    let mut broken = vec![Violation::NotMapped { call, memory: object(memory) }];
    map(&gpu, memory, 64, vk::WHOLE_SIZE).unwrap();
    // Legal: whole atoms, to the end of the memory, all of the mapping.
    for (offset, size) in [(64, 64), (128, 72), (192, 8), (64, vk::WHOLE_SIZE)] {
        flush(offset, size).unwrap();
    }
    gpu.broke(&broken);
    for (offset, size) in [(64, 32), (96, 64), (65, vk::WHOLE_SIZE)] {
        flush(offset, size).unwrap();
        let range = range(memory, offset, size);
        broken.push(Violation::FlushMisaligned { call, range, atom: 64 });
    }
    for (offset, size) in [(0, 64), (64, 192), (200, vk::WHOLE_SIZE), (64, 0)] {
        assert!(flush(offset, size).is_err());
        broken.push(Violation::MapOutOfRange { call, range: range(memory, offset, size) });
    }
    gpu.broke(&broken);
}

#[test]
fn a_mapping_that_ends_inside_an_atom_cannot_be_flushed_whole() {
    let gpu = non_coherent();
    let memory = gpu.memory(4096);
    map(&gpu, memory, 0, 100).unwrap();
    let whole = mapped(memory, 0, vk::WHOLE_SIZE);
    unsafe { gpu.device.invalidate_mapped_memory_ranges(&[whole]) }.unwrap();
    let call = Call::InvalidateMappedMemoryRanges;
    let range = range(memory, 0, vk::WHOLE_SIZE);
    gpu.broke(&[Violation::FlushMisaligned { call, range, atom: 64 }]);
}

#[test]
fn freeing_mapped_memory_unmaps_it() {
    let gpu = Gpu::new();
    let memory = gpu.try_memory(1, 64).unwrap();
    map(&gpu, memory, 0, 64).unwrap();
    unsafe { gpu.device.free_memory(memory, None) };
    gpu.fake.finish().unwrap();
}

#[test]
fn a_large_mapping_costs_only_what_is_touched() {
    let gpu = Gpu::with(Profile::default().max_allocation_size(u64::MAX));
    let memories: Vec<_> = (0..4).map(|_| gpu.try_memory(1, 4 << 30).unwrap()).collect();
    for memory in memories {
        let address = map(&gpu, memory, 0, vk::WHOLE_SIZE).unwrap();
        unsafe { address.add((4 << 30) - 1).write(1) };
    }
    assert_eq!(gpu.fake.heap_used(1), 16 << 30);
    gpu.kept();
}
