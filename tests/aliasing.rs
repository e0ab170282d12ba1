//! Many resources on one allocation; and many allocations at once, all or none.

mod support;

use std::sync::Arc;

use fencepost::{
    AliasError, AllocateError, AllocationDesc, ArenaDesc, CreateError, DescError, ImageDesc,
    ImageViewDesc, ResourceKind, aliasing_requirements,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::*;

fn image_desc() -> ImageDesc {
    ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 256, 256, vk::ImageUsageFlags::SAMPLED)
}

fn requirements(size: u64) -> vk::MemoryRequirements {
    vk::MemoryRequirements { size, alignment: 256, memory_type_bits: !0 }
}

#[test]
fn shared_memory_stays_until_the_last_resource_and_the_gpu_are_done() {
    let fake = fake();
    fake.set_aliasing(true);
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let needs = [
            allocator.buffer_requirements(&buffer_desc(1000)).unwrap(),
            allocator.image_requirements(&image_desc()).unwrap(),
        ];
        let needs = aliasing_requirements(&needs).unwrap();
        assert_eq!(fake.live().buffers + fake.live().images, 0);
        let memory = AllocationDesc::device_local();
        let memory = allocator.allocate(&needs, ResourceKind::Optimal, &memory).unwrap();
        let memory = Arc::new(memory);
        let buffer = allocator.create_aliasing_buffer(&memory, 0, &buffer_desc(1000)).unwrap();
        let image = allocator.create_aliasing_image(&memory, 0, &image_desc()).unwrap();
        drop(memory);
        drop(image);
        assert_eq!((fake.live().images, allocator.statistics().total.live_count), (0, 1));
        let recording = frames.begin().unwrap();
        let commands = [fake.record(&[Use::buffer(buffer.handle())])];
        assert_eq!(Arc::strong_count(buffer.memory()), 1);
        drop(buffer);
        submit(recording, &commands).unwrap();
        allocator.collect();
        assert_eq!(fake.live().buffers, 1);
        assert_eq!(allocator.statistics().total.pending_count, 1);
        fake.run();
        allocator.collect();
        assert_eq!(fake.live().buffers, 0);
        assert_eq!(allocator.statistics().total.pending_count, 0);
    }
    fake.finish().unwrap();
}

#[test]
fn a_shutdown_destroys_shared_resources_before_their_memory() {
    let fake = fake();
    let allocator = allocator(&fake);
    let memory = AllocationDesc::device_local();
    let linear = ResourceKind::Linear;
    let memory = Arc::new(allocator.allocate(&requirements(4096), linear, &memory).unwrap());
    let buffer = allocator.create_aliasing_buffer(&memory, 512, &buffer_desc(1000)).unwrap();
    // SAFETY: one thread, nothing submitted.
    unsafe { allocator.shutdown() }.unwrap();
    let refused = allocator.create_aliasing_buffer(&memory, 0, &buffer_desc(1));
    let shut = CreateError::Allocate(AllocateError::ShutDown);
    assert_eq!(refused.unwrap_err(), AliasError::Create(shut));
    drop((buffer, memory, allocator));
    fake.finish().unwrap();
}

#[test]
fn what_does_not_fit_shared_memory_is_refused() {
    let fake = FakeDriver::new(&Profile::default().granularity(4096).buffer_types(1));
    let other = support::fake();
    {
        let [allocator, foreign] = [&fake, &other].map(allocator);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let linear = ResourceKind::Linear;
        let device = AllocationDesc::device_local();
        let _before = allocator.allocate(&requirements(100), linear, &device).unwrap();
        let memory = Arc::new(allocator.allocate(&requirements(8192), linear, &device).unwrap());
        let size = memory.size();
        let alias = |offset, bytes| {
            let made = allocator.create_aliasing_buffer(&memory, offset, &buffer_desc(bytes));
            made.unwrap_err()
        };
        assert_eq!(alias(1, 100), AliasError::Misaligned { offset: 1, alignment: 256 });
        let outside = AliasError::OutOfRange { offset: 256, needed: 8192, size };
        assert_eq!(alias(256, 8192), outside);
        assert!(matches!(alias(u64::MAX - 255, 8192), AliasError::OutOfRange { .. }));
        let zero = AliasError::Create(CreateError::Desc(DescError::ZeroSize));
        assert_eq!(alias(0, 0), zero);
        // An optimal image would share a page with what lies before.
        let small = ImageDesc::new_2d(vk::Format::R8_UNORM, 8, 8, vk::ImageUsageFlags::SAMPLED);
        let refused = allocator.create_aliasing_image(&memory, 0, &small).unwrap_err();
        assert!(matches!(refused, AliasError::Misaligned { alignment: 65536, .. }), "{refused}");
        let upload = allocator.allocate(&requirements(8192), linear, &AllocationDesc::upload());
        let upload = Arc::new(upload.unwrap());
        let refused = allocator.create_aliasing_buffer(&upload, 0, &buffer_desc(100)).unwrap_err();
        let memory_type = upload.memory_type();
        assert_eq!(refused, AliasError::MemoryType { memory_type, type_bits: 1 });
        let refused = foreign.create_aliasing_buffer(&memory, 0, &buffer_desc(100)).unwrap_err();
        assert_eq!(refused, AliasError::Foreign);
        let own = allocator.create_buffer(&buffer_desc(8192), &device.dedicated(true)).unwrap();
        let (handle, own) = own.into_parts();
        let own = Arc::new(own);
        let refused = allocator.create_aliasing_buffer(&own, 0, &buffer_desc(100)).unwrap_err();
        assert_eq!(refused, AliasError::Exclusive);
        // SAFETY: the buffer is ours, and was never used.
        unsafe { fake.device().destroy_buffer(handle, None) };
        // A memory of one's own that names no resource may be shared.
        let whole = allocator.allocate(&requirements(8192), linear, &device.dedicated(true));
        let whole = Arc::new(whole.unwrap());
        drop(allocator.create_aliasing_buffer(&whole, 0, &buffer_desc(100)).unwrap());
        assert_eq!(fake.live().buffers, 0, "refused resources are destroyed");
    }
    fake.finish().unwrap();
}

#[test]
fn a_view_of_an_image_on_shared_memory_ends_as_any_other() {
    let fake = fake();
    {
        let (allocator, other) = (allocator(&fake), allocator(&fake));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let needs = allocator.image_requirements(&image_desc()).unwrap();
        let memory = AllocationDesc::device_local();
        let memory = allocator.allocate(&needs, ResourceKind::Optimal, &memory).unwrap();
        let image = allocator.create_aliasing_image(&Arc::new(memory), 0, &image_desc()).unwrap();
        let desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
        let misfit = Some(CreateError::Desc(DescError::View));
        let second_level = desc.mip_levels(1, 1);
        assert_eq!(allocator.create_aliasing_image_view(&image, &second_level).err(), misfit);
        assert_eq!(other.create_aliasing_image_view(&image, &desc).err(), misfit);
        let view = allocator.create_aliasing_image_view(&image, &desc).unwrap();
        let recording = frames.begin().unwrap();
        let commands = [fake.record(&[Use::view(view.handle())])];
        drop((view, image));
        submit(recording, &commands).unwrap();
        allocator.collect();
        assert_eq!((fake.live().image_views, fake.live().images), (1, 1));
        fake.run();
        allocator.collect();
        assert_eq!((fake.live().image_views, fake.live().images), (0, 0));
    }
    fake.finish().unwrap();
}

#[test]
fn the_requirements_of_sharers_are_merged() {
    assert!(aliasing_requirements(&[]).is_none());
    let with = |size, alignment, memory_type_bits| vk::MemoryRequirements {
        size,
        alignment,
        memory_type_bits,
    };
    let merged = aliasing_requirements(&[with(10, 4, 0b110), with(5, 64, 0b011)]).unwrap();
    assert_eq!((merged.size, merged.alignment, merged.memory_type_bits), (10, 64, 0b010));
    assert!(aliasing_requirements(&[with(1, 1, 1), with(1, 1, 2)]).is_none());
}

#[test]
fn many_allocations_are_made_or_none() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let desc = ArenaDesc::new(AllocationDesc::device_local()).block_size(1 << 20);
        let arena = allocator.create_arena(&desc.max_blocks(1)).unwrap();
        let memory = AllocationDesc::default();
        let linear = ResourceKind::Linear;
        let one_too_many = [requirements(100 << 10); 11];
        let refused = arena.allocate_many(&one_too_many, linear, &memory).unwrap_err();
        assert!(refused.is_out_of_memory());
        let statistics = arena.statistics();
        assert_eq!(
            (statistics.live, statistics.pending),
            (0, 0),
            "free at once, no timeline asked"
        );
        let ten = arena.allocate_many(&one_too_many[..10], linear, &memory).unwrap();
        assert_eq!(ten.len(), 10);
        let mixed = [requirements(64), requirements(0), requirements(64)];
        let refused = allocator.allocate_many(&mixed, linear, &memory).unwrap_err();
        assert_eq!(refused, AllocateError::ZeroSize);
        assert_eq!(allocator.statistics().total.live_count, 10);
        assert!(allocator.allocate_many(&[], linear, &memory).unwrap().is_empty());
        // Every position at which the driver may fail.
        let large = [requirements(200 << 20); 4];
        for position in 0..4 {
            // No block that was kept serves in place of a call.
            allocator.trim();
            fake.fail(Call::AllocateMemory, position, vk::Result::ERROR_INITIALIZATION_FAILED);
            let refused = allocator.allocate_many(&large, linear, &memory).unwrap_err();
            let driver = AllocateError::Driver(vk::Result::ERROR_INITIALIZATION_FAILED);
            assert_eq!(refused, driver, "{position}");
            assert_eq!(allocator.statistics().total.live_count, 10);
        }
        // SAFETY: nothing was submitted.
        unsafe { allocator.assume_idle() };
        drop(ten);
        allocator.check().unwrap();
        // SAFETY: as above.
        unsafe { allocator.assume_idle() };
    }
    fake.finish().unwrap();
}

/// Where the driver requires a memory for the resource alone, none is shared; a wish of the driver's is no more.
#[test]
fn what_must_be_alone_shares_no_memory() {
    for (profile, shares) in [
        (Profile::default().prefers_dedicated(1), true),
        (Profile::default().requires_dedicated(1), false),
    ] {
        let fake = FakeDriver::new(&profile);
        fake.set_aliasing(true);
        {
            let allocator = allocator(&fake);
            let _frames = allocator.timeline(fake.queue(0)).unwrap();
            let device = AllocationDesc::device_local();
            let needs = requirements(1 << 20);
            let memory = allocator.allocate(&needs, ResourceKind::Optimal, &device).unwrap();
            let memory = Arc::new(memory);
            let made = [
                allocator.create_aliasing_buffer(&memory, 0, &buffer_desc(1000)).map(drop),
                allocator.create_aliasing_image(&memory, 0, &image_desc()).map(drop),
            ];
            let refused = Err(AliasError::NeedsDedicated);
            assert_eq!(made, if shares { [Ok(()); 2] } else { [refused; 2] });
            assert_eq!(fake.live().buffers + fake.live().images, 0);
        }
        fake.finish().unwrap();
    }
}
