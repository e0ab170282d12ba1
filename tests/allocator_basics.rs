//! The public API over the fake driver, flow by flow.

mod support;

use fencepost::{
    AllocateError, AllocationDesc, Allocator, AllocatorDesc, BufferDesc, CopyError, CreateError,
    DescError, DeviceFeatures, ImageDesc, ImageViewDesc, KeyError, ResourceKind, TimelineError,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::*;

const REQUIREMENTS: vk::MemoryRequirements =
    vk::MemoryRequirements { size: 1000, alignment: 256, memory_type_bits: u32::MAX };

fn allocate(allocator: &Allocator) -> fencepost::Allocation {
    allocator
        .allocate(&REQUIREMENTS, ResourceKind::Linear, &AllocationDesc::device_local())
        .unwrap()
}

#[test]
fn a_frame_holds_what_is_dropped_during_it_until_the_gpu_is_done() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let mesh = buffer(&allocator, 1000);
        let frame = frames.begin().unwrap();
        let commands = [fake.record(&[Use::buffer(mesh.handle())])];
        drop(mesh);
        assert_eq!(allocator.collect().allocations, 0);
        let point = submit(frame, &commands).unwrap();
        assert_eq!(allocator.collect().allocations, 0);
        let statistics = allocator.statistics();
        assert_eq!((statistics.total.live_count, statistics.total.pending_count), (0, 1));
        assert!(!frames.is_reached(point).unwrap());
        assert!(fake.run() > 0);
        assert!(frames.is_reached(point).unwrap());
        assert_eq!(allocator.collect().allocations, 1);
        assert_eq!(allocator.statistics().total.pending_count, 0);
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

#[test]
fn with_nothing_open_and_nothing_submitted_a_drop_is_free_at_once() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        drop(buffer(&allocator, 100));
        assert_eq!(allocator.statistics().total.pending_count, 0);
        assert_eq!(fake.calls(Call::DestroyBuffer), 1);
    }
    fake.finish().unwrap();
}

#[test]
fn without_a_timeline_a_drop_waits_for_the_assumption() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        drop(buffer(&allocator, 100));
        allocator.collect();
        assert_eq!(allocator.statistics().untimed_count, 1);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        allocator.collect();
        assert_eq!(allocator.statistics().total.pending_count, 1);
        // SAFETY: nothing was ever submitted.
        unsafe { allocator.assume_idle() };
        assert_eq!(allocator.statistics().total.pending_count, 0);
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

#[test]
fn a_ring_of_fences_counts_like_a_semaphore_and_can_be_full() {
    let fake = FakeDriver::new(&Profile::default().api_version(vk::API_VERSION_1_0));
    {
        let desc = desc(&fake).api_version(vk::API_VERSION_1_0).features(DeviceFeatures::empty());
        // SAFETY: the fake outlives the allocator.
        let allocator = unsafe { Allocator::new(&desc) }.unwrap();
        assert_eq!(
            allocator.timeline(fake.queue(0)).unwrap_err(),
            TimelineError::NoTimelineSemaphores
        );
        let frames = allocator.fence_timeline(fake.queue(0), 2).unwrap();
        for round in 0..10 {
            let memory = allocate(&allocator);
            let frame = frames.begin().unwrap();
            let second = frames.begin().unwrap();
            assert!(matches!(frames.begin(), Err(fencepost::BeginError::RingFull)), "{round}");
            let commands = [fake.record(&[Use::memory(memory.memory(), memory.offset(), 1000)])];
            drop(memory);
            let point = submit(frame, &commands).unwrap();
            // SAFETY: it was never recorded.
            unsafe { second.abandon() };
            assert_eq!(allocator.collect().allocations, 0);
            assert!(fake.step(fake.queue(0)));
            frames.wait(point, core::time::Duration::ZERO).unwrap();
            assert_eq!(allocator.collect().allocations, 1);
        }
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

#[test]
fn an_external_semaphore_is_numbered_by_its_host() {
    let fake = fake();
    let mut kind =
        vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
    let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
    // SAFETY: the fake's device; the semaphore is destroyed at the end.
    let semaphore = unsafe { fake.device().create_semaphore(&info, None) }.unwrap();
    {
        let allocator = allocator(&fake);
        let queue = fake.queue(0);
        // SAFETY: the semaphore outlives the timeline, and the values below are the submitted ones.
        let host = unsafe { allocator.external_timeline(queue, semaphore, 0) }.unwrap();
        let recording = host.begin().unwrap();
        let memory = allocate(&allocator);
        drop(memory);
        let values = [7];
        let semaphores = [semaphore];
        let mut timeline =
            vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
        let batch =
            vk::SubmitInfo::default().signal_semaphores(&semaphores).push_next(&mut timeline);
        // SAFETY: the fake's queue.
        unsafe { fake.device().queue_submit(queue, &[batch], vk::Fence::null()) }.unwrap();
        let error = recording.submitted(0).unwrap_err();
        let point = error.recording.submitted(7).unwrap();
        assert_eq!(point.value(), 7);
        assert_eq!(allocator.collect().allocations, 0);
        fake.run();
        assert_eq!(allocator.collect().allocations, 1);
    }
    // SAFETY: the semaphore is idle.
    unsafe { fake.device().destroy_semaphore(semaphore, None) };
    fake.finish().unwrap();
}

#[test]
fn bytes_go_in_and_out_and_neighbours_keep_theirs_where_memory_is_not_coherent() {
    for profile in Profile::all() {
        let fake = FakeDriver::new(&profile);
        let allocator = allocator(&fake);
        let non_coherent = AllocationDesc::upload()
            .avoided(vk::MemoryPropertyFlags::HOST_COHERENT)
            .preferred(vk::MemoryPropertyFlags::HOST_CACHED);
        let mut buffers: Vec<_> = (0..8u8)
            .map(|_| allocator.create_buffer(&buffer_desc(100), &non_coherent).unwrap())
            .collect();
        for (value, buffer) in buffers.iter_mut().enumerate() {
            buffer.write(0, &[value as u8; 100]).unwrap();
        }
        for (value, buffer) in buffers.iter().enumerate() {
            let mut seen = [0u8; 100];
            let memory = buffer.allocation();
            assert!(fake.gpu_read(memory.memory(), memory.offset(), &mut seen));
            assert_eq!(seen, [value as u8; 100]);
            assert!(fake.gpu_write(memory.memory(), memory.offset(), &[value as u8 + 100; 100]));
        }
        // The host writes one more byte of each second buffer: the others keep the GPU's output.
        for buffer in buffers.iter_mut().step_by(2) {
            buffer.write(5, &[1u8]).unwrap();
        }
        for (value, buffer) in buffers.iter().enumerate().skip(1).step_by(2) {
            let mut seen = [0u8; 100];
            buffer.read(0, &mut seen).unwrap();
            assert_eq!(seen, [value as u8 + 100; 100]);
        }
        drop(buffers);
        // SAFETY: nothing was submitted.
        unsafe { allocator.assume_idle() };
        allocator.check().unwrap();
        drop(allocator);
        fake.finish().unwrap();
    }
}

/// In whole granules: of 256 bytes where the GPU alone sees the memory, of 64 or an atom where the host does, of more
/// in the largest heaps.
#[test]
fn sizes_are_rounded_to_the_granule_of_their_memory() {
    const GIB: u64 = 1 << 30;
    let device = vk::MemoryPropertyFlags::DEVICE_LOCAL;
    let host = vk::MemoryPropertyFlags::HOST_VISIBLE;
    let coherent = host | vk::MemoryPropertyFlags::HOST_COHERENT;
    let (local, upload) = (AllocationDesc::device_local(), AllocationDesc::upload());
    for (heap, flags, atom, memory, granule) in [
        (8 * GIB, device, 1, local, 256),
        (8 * GIB, coherent, 512, upload, 64),
        (8 * GIB, host, 1, upload, 64),
        (8 * GIB, host, 128, upload, 128),
        (8 * GIB, device | coherent, 1, local, 64),
        (256 * GIB, device, 1, local, 256),
        (257 * GIB, device, 1, local, 512),
        (65 * GIB, coherent, 1, upload, 128),
    ] {
        let heaps = [(heap, vk::MemoryHeapFlags::DEVICE_LOCAL)];
        let profile = Profile::default().heaps(&heaps).types(&[(0, flags)]).atom(atom);
        let allocator = allocator(&FakeDriver::new(&profile));
        for (size, rounded) in [(1, granule), (granule, granule), (granule + 1, 2 * granule)] {
            let needs = vk::MemoryRequirements { size, alignment: 1, memory_type_bits: !0 };
            let made = allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap();
            assert_eq!(made.size(), rounded, "{flags:?}, a heap of {heap}");
        }
    }
}

#[test]
fn copies_outside_an_allocation_and_into_unmapped_memory_are_errors() {
    let fake = fake();
    let allocator = allocator(&fake);
    let mut upload = allocator.create_buffer(&buffer_desc(100), &AllocationDesc::upload()).unwrap();
    let outside = |offset, length| CopyError::OutOfRange { offset, length, size: 100 };
    assert_eq!(upload.write(1, &[0u8; 100]), Err(outside(1, 100)));
    assert_eq!(upload.write(u64::MAX, &[0u32]), Err(outside(u64::MAX, 4)));
    assert_eq!(upload.write(100, &[0u8; 0]), Ok(()));
    let local = buffer(&allocator, 100);
    assert_eq!(local.read(0, &mut [0u8; 1]), Err(CopyError::NotMapped));
}

#[test]
fn bad_requests_are_typed_errors_and_change_nothing() {
    let fake = fake();
    let allocator = allocator(&fake);
    let local = AllocationDesc::device_local();
    let ask = |size, alignment, memory_type_bits, desc: &AllocationDesc| {
        let requirements = vk::MemoryRequirements { size, alignment, memory_type_bits };
        allocator.allocate(&requirements, ResourceKind::Linear, desc).unwrap_err()
    };
    let before = (allocator.statistics(), fake.live());
    assert_eq!(ask(0, 1, !0, &local), AllocateError::ZeroSize);
    assert_eq!(ask(1, 3, !0, &local), AllocateError::Alignment { alignment: 3 });
    assert_eq!(ask(1, 1, !0, &local.min_alignment(48)), AllocateError::Alignment { alignment: 48 });
    assert!(matches!(ask(1, 1, 0, &local), AllocateError::NoMemoryType { type_bits: 0, .. }));
    let impossible = local.required(vk::MemoryPropertyFlags::from_raw(1 << 30));
    assert!(matches!(ask(1, 1, !0, &impossible), AllocateError::NoMemoryType { .. }));
    for size in [u64::MAX, u64::MAX - 63, 1 << 62] {
        assert!(matches!(ask(size, 1, !0, &local), AllocateError::TooLarge { .. }));
    }
    let usage = vk::BufferUsageFlags::VERTEX_BUFFER;
    let families = |list: &[u32]| BufferDesc::new(4, usage).queue_families(list);
    for (desc, error) in [
        (BufferDesc::new(0, usage), DescError::ZeroSize),
        (BufferDesc::new(4, vk::BufferUsageFlags::empty()), DescError::NoUsage),
        (
            BufferDesc::new(4, vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS),
            DescError::Usage { unknown: 0x20000 },
        ),
        (families(&[0]), DescError::QueueFamilies),
        (families(&[0, 1, 0]), DescError::QueueFamilies),
        (families(&[0, 3]), DescError::QueueFamilies),
    ] {
        let result = allocator.create_buffer(&desc, &local);
        assert_eq!(result.unwrap_err(), CreateError::Desc(error));
    }
    let image = |width, height| {
        let format = vk::Format::R8G8B8A8_UNORM;
        ImageDesc::new_2d(format, width, height, vk::ImageUsageFlags::SAMPLED)
    };
    for (desc, error) in [
        (image(0, 4), DescError::ZeroSize),
        (image(4, 4).mip_levels(4), DescError::MipLevels),
        (image(u32::MAX, 4), DescError::Unsupported),
        (image(4, 4).samples(vk::SampleCountFlags::from_raw(3)), DescError::Unsupported),
        (image(4, 4).tiling(vk::ImageTiling::from_raw(77)), DescError::Unsupported),
    ] {
        let result = allocator.create_image(&desc, &local);
        assert_eq!(result.unwrap_err(), CreateError::Desc(error), "{desc:?}");
    }
    assert_eq!(before, (allocator.statistics(), fake.live()));
}

/// A buffer above `maxBufferSize` is refused before the driver is asked, by each door; one that is as large is made.
/// Where the driver does not say, it is asked.
#[test]
fn no_buffer_is_larger_than_the_device_says() {
    let limit = 1 << 20;
    let profile = Profile::default().max_buffer_size(limit);
    for api in [vk::API_VERSION_1_3, vk::API_VERSION_1_2] {
        let fake = FakeDriver::new(&profile.clone().api_version(api));
        let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
        // SAFETY: the fake outlives the allocator, and nothing is submitted.
        let allocator = unsafe { Allocator::new(&desc.api_version(api)) }.unwrap();
        let known = api == vk::API_VERSION_1_3;
        let large = BufferDesc::new(limit + 1, vk::BufferUsageFlags::VERTEX_BUFFER);
        let local = AllocationDesc::device_local();
        let refused = CreateError::Desc(DescError::BufferSize { limit });
        let made = allocator.create_buffer(&large, &local).map(|_| ());
        assert_eq!(made, if known { Err(refused) } else { Ok(()) });
        let plan = allocator.plan_buffer(&large, &local).map(|_| ());
        assert_eq!(plan, if known { Err(refused) } else { Ok(()) });
        let needs = allocator.buffer_requirements(&large).map(|_| ());
        assert_eq!(needs, if known { Err(refused) } else { Ok(()) });
        let fits = BufferDesc::new(limit, vk::BufferUsageFlags::VERTEX_BUFFER);
        drop(allocator.create_buffer(&fits, &local).unwrap());
        // SAFETY: one thread, and nothing was submitted.
        unsafe { allocator.shutdown() }.unwrap();
        fake.finish().unwrap();
    }
}

#[test]
fn views_retire_before_their_images() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let format = vk::Format::R8G8B8A8_UNORM;
        let desc = ImageDesc::new_2d(format, 64, 64, vk::ImageUsageFlags::SAMPLED).mip_levels(7);
        let image = allocator.create_image(&desc, &AllocationDesc::device_local()).unwrap();
        let color = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
        let view = allocator.create_image_view(&image, &color).unwrap();
        for wrong in [
            color.mip_levels(7, 1),
            color.mip_levels(0, 8),
            color.array_layers(1, 1),
            color.view_type(vk::ImageViewType::CUBE),
            ImageViewDesc::new(vk::ImageAspectFlags::empty()),
        ] {
            let refused = allocator.create_image_view(&image, &wrong);
            assert_eq!(refused.unwrap_err(), CreateError::Desc(DescError::View));
        }
        let frame = frames.begin().unwrap();
        let commands = [fake.record(&[Use::view(view.handle())])];
        drop(view);
        drop(image);
        submit(frame, &commands).unwrap();
        assert_eq!(allocator.collect().objects, 0);
        fake.run();
        let collected = allocator.collect();
        assert_eq!((collected.objects, collected.allocations), (1, 1));
    }
    fake.finish().unwrap();
}

#[test]
fn raw_keys_used_twice_or_elsewhere_are_typed_errors() {
    let (fake, other) = (fake(), fake());
    {
        let (allocator, stranger) = (allocator(&fake), allocator(&other));
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let raw = allocate(&allocator).into_raw();
        assert_eq!(size_of_val(&raw), 16);
        // SAFETY: the keys below are turned back once, or refused.
        unsafe {
            assert_eq!(stranger.from_raw(raw).unwrap_err(), KeyError::Foreign);
            let recording = _frames.begin().unwrap();
            drop(allocator.from_raw(raw).unwrap());
            assert_eq!(allocator.from_raw(raw).unwrap_err(), KeyError::AlreadyRetired);
            recording.abandon();
            allocator.collect();
            assert_eq!(allocator.from_raw(raw).unwrap_err(), KeyError::Stale);
            // The next allocation takes the same place: the old key is still stale.
            let next = allocate(&allocator);
            assert_eq!(next.offset(), 0);
            assert_eq!(allocator.from_raw(raw).unwrap_err(), KeyError::Stale);
        }
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
    other.finish().unwrap();
}

#[test]
fn raw_keys_are_ended_without_a_handle() {
    let (fake, other) = (fake(), fake());
    {
        let (allocator, stranger) = (allocator(&fake), allocator(&other));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let live = || allocator.statistics().total.live_count;
        let [retired, freed] = [(); 2].map(|()| allocate(&allocator).into_raw());
        let recording = frames.begin().unwrap();
        // SAFETY: each key is turned back once, or refused; no GPU work exists.
        unsafe {
            for end in [Allocator::retire_raw, Allocator::free_raw] {
                assert_eq!(end(&stranger, retired), Err(KeyError::Foreign));
            }
            assert_eq!(live(), 2);
            allocator.retire_raw(retired).unwrap();
            allocator.free_raw(freed).unwrap();
            assert_eq!(live(), 0);
            for end in [Allocator::retire_raw, Allocator::free_raw] {
                assert_eq!(end(&allocator, retired), Err(KeyError::AlreadyRetired));
                assert_eq!(end(&allocator, freed), Err(KeyError::Stale));
            }
            // The freed range is given out at once, the retired one when the recording has ended.
            assert_eq!([(); 2].map(|()| allocate(&allocator).offset()), [1024, 2048]);
            recording.abandon();
            assert_eq!(allocator.collect().allocations, 3);
            assert_eq!(allocator.retire_raw(retired), Err(KeyError::Stale));
        }
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
    other.finish().unwrap();
}

#[test]
fn an_empty_block_lingers_for_a_while_and_one_stays() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let fill = || -> Vec<_> { (0..6).map(|_| buffer(&allocator, 1 << 20)).collect() };
    drop(fill());
    let blocks = allocator.statistics().total.blocks;
    assert!(blocks > 2);
    for _ in 0..200 {
        // A program that empties itself every frame does not call the driver.
        drop(fill());
        allocator.collect();
    }
    assert_eq!(fake.calls(Call::AllocateMemory), u64::from(blocks));
    for _ in 0..1100 {
        allocator.collect();
    }
    assert_eq!((allocator.statistics().total.blocks, fake.live().memories), (1, 1));
    assert_eq!(allocator.trim(), 1);
    assert_eq!(fake.live().memories, 0);
}
