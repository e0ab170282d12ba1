//! Disjoint images over the fake driver: all planes in one allocation, all or nothing.
//! `tests/fake_driver` shows that the fake checks planes.

mod support;

use fencepost::{
    AllocationDesc, Allocator, AllocatorDesc, CreateError, DescError, Image,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::*;

const TWO: vk::Format = vk::Format::G8_B8R8_2PLANE_420_UNORM;
const THREE: vk::Format = vk::Format::G8_B8_R8_3PLANE_444_UNORM;

fn info(format: vk::Format) -> vk::ImageCreateInfo<'static> {
    vk::ImageCreateInfo::default()
        .flags(vk::ImageCreateFlags::DISJOINT)
        .image_type(vk::ImageType::TYPE_2D)
        .format(format)
        .extent(vk::Extent3D { width: 100, height: 60, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .usage(vk::ImageUsageFlags::SAMPLED)
}

fn create(allocator: &Allocator, format: vk::Format, own: bool) -> Result<Image, CreateError> {
    let memory = AllocationDesc::device_local().name("video").dedicated(own);
    // SAFETY: the fake takes every format.
    unsafe { allocator.create_image_from(&info(format), &memory) }
}

#[test]
fn the_planes_lie_in_one_allocation_that_ends_with_the_image() {
    for granularity in [1, 1024, 1 << 16] {
        let fake = FakeDriver::new(&Profile::default().granularity(granularity));
        {
            let allocator = allocator(&fake);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let beside = buffer(&allocator, 100);
            for (format, planes) in [(TWO, 2), (THREE, 3)] {
                for own in [false, true] {
                    let image = create(&allocator, format, own).unwrap();
                    let plane = 100 * 60;
                    assert!(image.allocation().size() >= planes * plane, "{planes} planes");
                    let recording = frames.begin().unwrap();
                    let commands = [fake.record(&[Use::image(image.handle())])];
                    drop(image);
                    submit(recording, &commands).unwrap();
                    allocator.collect();
                    assert_eq!(fake.live().images, 1, "the GPU still works with it");
                    fake.run();
                    allocator.collect();
                    assert_eq!(fake.live().images, 0);
                }
            }
            drop(beside);
            allocator.check().unwrap();
        }
        fake.finish().unwrap();
    }
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let unsupported = CreateError::Desc(DescError::Unsupported);
        // One plane alone, and a format of one.
        assert_eq!(create(&allocator, vk::Format::R8G8B8A8_UNORM, false).unwrap_err(), unsupported);
        for (call, own) in [
            (Call::CreateImage, false),
            (Call::AllocateMemory, true),
            (Call::BindImageMemory, true),
        ] {
            // Not for want of memory, or the ladder finds a way out.
            fake.fail(call, 0, vk::Result::ERROR_UNKNOWN);
            create(&allocator, THREE, own).unwrap_err();
            fake.clear_faults();
            assert_eq!(
                (fake.live().images, allocator.statistics().total.live_count),
                (0, 0),
                "{call:?}"
            );
            drop(create(&allocator, THREE, own).unwrap());
            // SAFETY: nothing was submitted.
            unsafe { allocator.assume_idle() };
        }
        allocator.check().unwrap();
        // Vulkan 1.0 binds no planes.
        let old = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
        // SAFETY: the fake outlives the allocator, which names no feature.
        let old = unsafe { Allocator::new(&old.api_version(vk::API_VERSION_1_0)) }.unwrap();
        assert_eq!(create(&old, TWO, false).unwrap_err(), unsupported);
    }
    fake.finish().unwrap();
}
