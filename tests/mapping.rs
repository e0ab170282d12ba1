//! Host access to device memory: checked against points, batched, and mapped for each access.

mod support;

use fencepost::{
    AllocationDesc, Allocator, Buffer, CopyError, KeyError, ResourceKind,
    fake::{Call, FakeDriver, Profile},
    vk,
};
use support::*;

const NON_COHERENT: (u32, vk::MemoryPropertyFlags) = (
    1,
    vk::MemoryPropertyFlags::from_raw(
        vk::MemoryPropertyFlags::HOST_VISIBLE.as_raw()
            | vk::MemoryPropertyFlags::HOST_CACHED.as_raw(),
    ),
);

/// Host-visible memory that is not coherent, in atoms of 256 bytes; buffers aligned to 16.
fn profile() -> Profile {
    Profile::default().atom(256).buffer_alignment(16).types(&[NON_COHERENT])
}

fn upload(allocator: &Allocator, size: u64) -> Buffer {
    allocator.create_buffer(&buffer_desc(size), &AllocationDesc::upload()).unwrap()
}

fn gpu_bytes(fake: &FakeDriver, buffer: &Buffer) -> Vec<u8> {
    let memory = buffer.allocation();
    let mut bytes = vec![0; buffer.size() as usize];
    assert!(fake.gpu_read(memory.memory(), memory.offset(), &mut bytes));
    bytes
}

fn gpu_write(fake: &FakeDriver, buffer: &Buffer, bytes: &[u8]) {
    let memory = buffer.allocation();
    assert!(fake.gpu_write(memory.memory(), memory.offset(), bytes));
}

#[test]
fn no_flush_writes_over_what_the_gpu_wrote_beside_it() {
    let fake = FakeDriver::new(&profile());
    {
        let allocator = allocator(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let mut buffers: Vec<Buffer> = (0..50).map(|n| upload(&allocator, 1 + n * 7)).collect();
        for buffer in &buffers {
            gpu_write(&fake, buffer, &vec![0xAA; buffer.size() as usize]);
        }
        for buffer in buffers.iter_mut().step_by(2) {
            let bytes = vec![0x55u8; buffer.size() as usize];
            buffer.write(0, &bytes).unwrap();
        }
        for (index, buffer) in buffers.iter().enumerate() {
            let wanted = if index % 2 == 0 { 0x55 } else { 0xAA };
            assert!(gpu_bytes(&fake, buffer).iter().all(|&byte| byte == wanted), "{index}");
        }
        // And no invalidation takes back what the host wrote beside it and has not flushed.
        buffers[1].write_unflushed(0, &[0x77u8]).unwrap();
        let mut byte = [0u8];
        buffers[0].read(0, &mut byte).unwrap();
        buffers[2].read(0, &mut byte).unwrap();
        let range = buffers[1].allocation().host_range(0, 1).unwrap();
        allocator.flush(&[range]).unwrap();
        assert_eq!(gpu_bytes(&fake, &buffers[1])[0], 0x77);
    }
    fake.finish().unwrap();
}

#[test]
fn the_control_a_flush_of_a_shared_atom_does_write_over_the_neighbour() {
    // Two halves of one allocation share an atom: what the granule keeps from two allocations.
    let fake = FakeDriver::new(&profile());
    let allocator = allocator(&fake);
    let mut buffer = upload(&allocator, 200);
    gpu_write(&fake, &buffer, &[0xAA; 200]);
    buffer.write(0, &[0x55u8; 100]).unwrap();
    assert_eq!(gpu_bytes(&fake, &buffer)[150], 0, "the host's stale byte");
}

#[test]
fn many_ranges_are_flushed_and_invalidated_in_one_call() {
    let fake = FakeDriver::new(&profile());
    let other_fake = support::fake();
    {
        let allocator = allocator(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let mut buffers: Vec<Buffer> = (0..20).map(|_| upload(&allocator, 300)).collect();
        for (number, buffer) in buffers.iter_mut().enumerate() {
            buffer.write_unflushed(8, &[number as u32; 4]).unwrap();
        }
        assert_eq!(fake.calls(Call::FlushMappedMemoryRanges), 0);
        assert_eq!(gpu_bytes(&fake, &buffers[7])[8], 0, "not yet");
        let ranges: Vec<_> =
            buffers.iter().map(|b| b.allocation().host_range(8, 16).unwrap()).collect();
        allocator.flush(&ranges).unwrap();
        assert_eq!(fake.calls(Call::FlushMappedMemoryRanges), 1);
        for (number, buffer) in buffers.iter().enumerate() {
            assert_eq!(gpu_bytes(&fake, buffer)[8..12], (number as u32).to_le_bytes());
        }
        allocator.invalidate(&ranges).unwrap();
        assert_eq!(fake.calls(Call::InvalidateMappedMemoryRanges), 1);
        allocator.flush(&[]).unwrap();
        let nothing = buffers[0].allocation().host_range(300, 0).unwrap();
        allocator.flush(&[nothing]).unwrap();
        assert_eq!(fake.calls(Call::FlushMappedMemoryRanges), 1);
        let other = support::allocator(&other_fake);
        assert_eq!(other.flush(&ranges), Err(CopyError::ForeignRange));
        let size = buffers[0].allocation().size();
        assert_eq!(
            buffers[0].allocation().host_range(1, size).unwrap_err(),
            CopyError::OutOfRange { offset: 1, length: size, size }
        );
    }
    fake.finish().unwrap();
}

/// Who keeps keys and a pointer of their own flushes and invalidates by them, and is refused what is gone.
#[test]
fn keys_are_flushed_and_invalidated_by_themselves() {
    let (fake, other_fake) = (FakeDriver::new(&profile()), fake());
    {
        let allocator = allocator(&fake);
        let needs = vk::MemoryRequirements { size: 300, alignment: 256, memory_type_bits: !0 };
        let make = || {
            let upload = AllocationDesc::upload();
            let made = allocator.allocate(&needs, ResourceKind::Linear, &upload).unwrap();
            // SAFETY: the allocation lives to the end of the test, which accesses it from here alone.
            let bytes = unsafe { made.mapped() }.unwrap().cast::<u8>();
            (made.memory(), made.offset(), bytes, made.into_raw())
        };
        // SAFETY: nobody ends it while the range is used.
        let range = |key, offset, length| unsafe { allocator.host_range_raw(key, offset, length) };
        let [(memory, at, bytes, key), (_, beside, others, other)] = [make(), make()];
        let of_gpu = |at: u64| {
            let mut byte = [0];
            assert!(fake.gpu_read(memory, at, &mut byte));
            byte[0]
        };
        // SAFETY: both lie in the mapping, and the GPU does nothing.
        unsafe {
            bytes.add(299).write(7);
            others.write(8);
        }
        allocator.flush(&[range(key, 290, 10).unwrap()]).unwrap();
        assert_eq!((of_gpu(at + 299), of_gpu(beside)), (7, 0), "no more than was named");
        allocator.flush(&[range(key, 0, 1).unwrap(), range(other, 0, 1).unwrap()]).unwrap();
        assert_eq!((of_gpu(beside), fake.calls(Call::FlushMappedMemoryRanges)), (8, 2));
        assert!(fake.gpu_write(memory, at, &[9]));
        // SAFETY: as above.
        let read = || unsafe { bytes.read() };
        assert_eq!(read(), 0, "not yet");
        allocator.invalidate(&[range(key, 0, 1).unwrap()]).unwrap();
        assert_eq!(read(), 9);
        let refused = |key, offset, length| range(key, offset, length).unwrap_err();
        let out = CopyError::OutOfRange { offset: 1, length: 512, size: 512 };
        assert_eq!(refused(key, 1, 512), out);
        // The key is as it was: whoever turns it back owns the allocation.
        // SAFETY: once, each.
        unsafe {
            drop(allocator.from_raw(key).unwrap());
            assert!(matches!(refused(key, 0, 1), CopyError::Key(_)));
            let foreign = support::allocator(&other_fake).host_range_raw(other, 0, 1).unwrap_err();
            assert_eq!(foreign, CopyError::Key(KeyError::Foreign));
            allocator.shutdown().unwrap();
        }
        assert_eq!(refused(other, 0, 1), CopyError::ShutDown);
    }
    fake.finish().unwrap();
}

#[test]
fn coherent_memory_is_never_flushed() {
    let fake = fake();
    let allocator = allocator(&fake);
    let mut buffer = upload(&allocator, 100);
    buffer.write(0, &[1u8]).unwrap();
    let range = buffer.allocation().host_range(0, 100).unwrap();
    allocator.flush(&[range]).unwrap();
    allocator.invalidate(&[range]).unwrap();
    assert_eq!(fake.calls(Call::FlushMappedMemoryRanges), 0);
    assert_eq!(fake.calls(Call::InvalidateMappedMemoryRanges), 0);
}

#[test]
fn checked_access_waits_for_no_one_and_refuses_what_is_too_early() {
    let (fake, other_fake) = (FakeDriver::new(&profile()), fake());
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let mut buffer = upload(&allocator, 100);
        let point = submit_nothing(frames.begin().unwrap()).unwrap();
        gpu_write(&fake, &buffer, &[9; 100]);
        let early = CopyError::NotReached { point };
        let mut out = [0u8; 4];
        assert_eq!(buffer.write_after(point, 0, &[1u8]), Err(early));
        assert_eq!(buffer.read_after(point, 0, &mut out), Err(early));
        assert_eq!((out, gpu_bytes(&fake, &buffer)[0]), ([0; 4], 9), "nothing was copied");
        fake.run();
        buffer.read_after(point, 0, &mut out).unwrap();
        assert_eq!(out, [9; 4]);
        buffer.write_after(point, 0, &[1u8]).unwrap();
        assert_eq!(gpu_bytes(&fake, &buffer)[0], 1);
        let polls = fake.calls(Call::GetSemaphoreCounterValue);
        buffer.read_after(point, 0, &mut out).unwrap();
        assert_eq!(
            fake.calls(Call::GetSemaphoreCounterValue),
            polls,
            "a known point costs no call"
        );
        let other = support::allocator(&other_fake);
        let timeline = other.timeline(other_fake.queue(0)).unwrap();
        let foreign = submit_nothing(timeline.begin().unwrap()).unwrap();
        other_fake.run();
        let refused = Err(CopyError::Foreign { point: foreign });
        assert_eq!(buffer.write_after(foreign, 0, &[1u8]), refused);
    }
    fake.finish().unwrap();
}

#[test]
fn memory_mapped_for_each_access_is_mapped_at_no_other_time() {
    for profile in [profile(), Profile::default()] {
        let fake = FakeDriver::new(&profile);
        {
            // SAFETY: the fake lives as long as the test, which submits nothing.
            let allocator = unsafe { Allocator::new(&desc(&fake).map_on_access(true)) }.unwrap();
            let _frames = allocator.timeline(fake.queue(0)).unwrap();
            let mut buffers: Vec<Buffer> = (0..8).map(|_| upload(&allocator, 100)).collect();
            assert_eq!(fake.calls(Call::MapMemory), 0);
            std::thread::scope(|scope| {
                for (number, buffer) in buffers.iter_mut().enumerate() {
                    scope.spawn(move || {
                        for round in 0..50u8 {
                            buffer.write(4, &[number as u8, round]).unwrap();
                            let mut out = [0u8; 2];
                            buffer.read(4, &mut out).unwrap();
                            assert_eq!(out, [number as u8, round]);
                        }
                    });
                }
            });
            assert_eq!(fake.calls(Call::MapMemory), 800);
            assert_eq!(fake.calls(Call::UnmapMemory), 800);
            assert_eq!(gpu_bytes(&fake, &buffers[3])[4..6], [3, 49], "flushed while mapped");
            // SAFETY: nothing else touches the memory.
            assert!(unsafe { buffers[0].allocation().mapped() }.is_none());
            let range = buffers[0].allocation().host_range(0, 4).unwrap();
            allocator.flush(&[range]).unwrap();
            // A call that fails leaves nothing mapped.
            let failures: &[Call] = if fake.calls(Call::FlushMappedMemoryRanges) > 0 {
                &[Call::MapMemory, Call::FlushMappedMemoryRanges]
            } else {
                &[Call::MapMemory]
            };
            for &call in failures {
                let error = vk::Result::ERROR_OUT_OF_HOST_MEMORY;
                fake.fail(call, 0, error);
                assert_eq!(buffers[0].write(0, &[1u8]), Err(CopyError::Driver(error)));
                buffers[0].write(0, &[1u8]).unwrap();
            }
        }
        fake.finish().unwrap();
    }
}
