//! Images and views: requirements, pages of `bufferImageGranularity`, what a view keeps in use.

use ash::vk;
use fencepost::fake::{Call, Profile, Use, Violation};

use crate::support::{Gpu, object, range, submission};

const OPTIMAL: vk::ImageTiling = vk::ImageTiling::OPTIMAL;

/// Pages of 4 KiB and small images.
fn paged() -> Gpu {
    Gpu::with(Profile::default().granularity(4096).image_alignment(256))
}

fn bind(gpu: &Gpu, image: vk::Image, memory: vk::DeviceMemory, offset: u64) {
    unsafe { gpu.device.bind_image_memory(image, memory, offset) }.unwrap();
}

fn view(gpu: &Gpu, image: vk::Image) -> vk::ImageView {
    let info = vk::ImageViewCreateInfo::default().image(image);
    unsafe { gpu.device.create_image_view(&info, None) }.unwrap()
}

#[test]
fn an_image_needs_its_texels_rounded_to_its_alignment() {
    let gpu = Gpu::new();
    let image = gpu.image(200, OPTIMAL);
    let needs = unsafe { gpu.device.get_image_memory_requirements(image) };
    assert_eq!((needs.size, needs.alignment), (196_608, 65_536));
    assert_eq!(needs.memory_type_bits, 0b1111);
    gpu.kept();
}

#[test]
fn lazily_allocated_types_are_for_transient_attachments_and_protected_ones_for_protected() {
    use vk::MemoryPropertyFlags as Type;
    let lazy = Type::DEVICE_LOCAL | Type::LAZILY_ALLOCATED;
    let protected = Type::DEVICE_LOCAL | Type::PROTECTED;
    let types = [(0, Type::DEVICE_LOCAL), (0, lazy), (0, protected)];
    let gpu = Gpu::with(Profile::default().types(&types));
    let bits = |usage, flags| {
        let info = vk::ImageCreateInfo::default()
            .format(vk::Format::R8_UNORM)
            .extent(vk::Extent3D { width: 8, height: 8, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .usage(usage)
            .flags(flags);
        unsafe {
            let image = gpu.device.create_image(&info, None).unwrap();
            gpu.device.get_image_memory_requirements(image).memory_type_bits
        }
    };
    let (none, sampled) = (vk::ImageCreateFlags::empty(), vk::ImageUsageFlags::SAMPLED);
    assert_eq!(bits(sampled, none), 0b001);
    assert_eq!(bits(vk::ImageUsageFlags::TRANSIENT_ATTACHMENT, none), 0b011);
    assert_eq!(bits(sampled, vk::ImageCreateFlags::PROTECTED), 0b100);
    gpu.kept();
}

#[test]
fn dedicated_requirements_follow_the_profile() {
    let gpu = Gpu::with(Profile::default().prefers_dedicated(1 << 20).requires_dedicated(1 << 22));
    let ask = |side| {
        let info = vk::ImageMemoryRequirementsInfo2::default().image(gpu.image(side, OPTIMAL));
        let mut dedicated = vk::MemoryDedicatedRequirements::default();
        let mut out = vk::MemoryRequirements2::default().push_next(&mut dedicated);
        unsafe { gpu.device.get_image_memory_requirements2(&info, &mut out) };
        (dedicated.prefers_dedicated_allocation, dedicated.requires_dedicated_allocation)
    };
    assert_eq!(ask(256), (0, 0));
    assert_eq!(ask(512), (1, 0));
    assert_eq!(ask(1024), (1, 1));
    gpu.kept();
}

#[test]
fn linear_and_optimal_resources_do_not_share_a_page() {
    let gpu = paged();
    let memory = gpu.memory(1 << 16);
    let image = gpu.image(16, OPTIMAL); // 1024 bytes
    bind(&gpu, image, memory, 4096);
    let far = gpu.image(16, OPTIMAL);
    bind(&gpu, far, memory, 12288 - 1024);
    gpu.buffer_at(4096, memory, 0); // up to the page
    gpu.buffer_at(64, memory, 12288); // from the next page on
    gpu.kept();
    let other_optimal = gpu.image(16, OPTIMAL);
    bind(&gpu, other_optimal, memory, 5120);
    gpu.kept();
    let buffer = gpu.buffer_at(256, memory, 8192 - 256);
    let (resource, place) = (object(buffer), range(memory, 8192 - 256, 256));
    let broken = [image, other_optimal].map(|other| Violation::Granularity {
        resource,
        range: place,
        other: object(other),
    });
    gpu.broke(&broken);
}

/// An image on a page of a buffer that it aliases shares the page, not only as far as it goes itself.
#[test]
fn what_aliases_all_of_a_resource_shares_its_page_with_it() {
    let gpu = paged();
    gpu.fake.set_aliasing(true);
    let memory = gpu.memory(1 << 16);
    gpu.buffer_at(1 << 14, memory, 0);
    // Where it begins the large one's segments are parted.
    gpu.buffer_at(256, memory, 1024);
    let image = gpu.image(16, OPTIMAL); // 1024 bytes
    bind(&gpu, image, memory, 0);
    let found = gpu.fake.violations();
    assert!(matches!(found[..], [Violation::Granularity { other, .. }] if other != object(image)));
    assert_eq!(found.len(), 1, "the small one, which it does not alias: {found:?}");
}

/// Where order is judged, a page is bytes of both: who comes after the other's work may lie there.
#[test]
fn on_a_shared_page_one_kind_comes_after_the_other() {
    for ordered in [false, true] {
        let gpu = paged();
        gpu.fake.set_ordered_reuse(true);
        let memory = gpu.memory(1 << 16);
        let image = gpu.image(16, OPTIMAL); // 1024 bytes
        bind(&gpu, image, memory, 4096);
        let same_kind = gpu.image(16, OPTIMAL);
        bind(&gpu, same_kind, memory, 6144);
        gpu.submit(0, &[Use::image(image), Use::image(same_kind)]);
        let buffer = gpu.buffer_at(256, memory, 5120);
        let far = gpu.buffer_at(256, memory, 8192);
        gpu.submit(0, &[Use::buffer(far)]);
        gpu.kept();
        let barrier = [Use::barrier(), Use::buffer(buffer)];
        gpu.submit(0, if ordered { &barrier } else { &barrier[1..] });
        let found = gpu.fake.violations();
        match ordered {
            true => assert_eq!(found, []),
            false => assert!(matches!(
                found[..],
                [Violation::SubmitOverlap { other, .. }] if other == object(image)
            )),
        }
    }
}

#[test]
fn a_linear_image_is_linear() {
    let gpu = paged();
    let memory = gpu.memory(1 << 16);
    let linear = gpu.image(16, vk::ImageTiling::LINEAR);
    bind(&gpu, linear, memory, 4096);
    gpu.buffer_at(256, memory, 5120);
    gpu.kept();
    let optimal = gpu.image(16, OPTIMAL);
    bind(&gpu, optimal, memory, 6144);
    let found = gpu.fake.violations();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|v| matches!(v, Violation::Granularity { .. })));
}

#[test]
fn no_page_is_shared_where_the_granularity_is_one_or_zero() {
    for granularity in [0, 1] {
        let gpu = Gpu::with(Profile::default().granularity(granularity).image_alignment(256));
        let memory = gpu.memory(4096);
        gpu.buffer_at(256, memory, 0);
        bind(&gpu, gpu.image(8, OPTIMAL), memory, 256);
        gpu.kept();
    }
}

#[test]
fn an_image_has_an_extent() {
    let gpu = Gpu::new();
    let info = vk::ImageCreateInfo::default().format(vk::Format::R8_UNORM);
    assert!(unsafe { gpu.device.create_image(&info, None) }.is_err());
    assert!(unsafe { gpu.device.create_buffer(&Default::default(), None) }.is_err());
    gpu.broke(&[
        Violation::ZeroSize { call: Call::CreateImage },
        Violation::ZeroSize { call: Call::CreateBuffer },
    ]);
}

#[test]
fn a_view_in_use_keeps_its_image_and_memory_in_use() {
    let gpu = Gpu::new();
    let (memory, image) = (gpu.memory(1 << 16), gpu.image(16, OPTIMAL));
    bind(&gpu, image, memory, 0);
    let image_view = view(&gpu, image);
    gpu.submit(0, &[Use::view(image_view)]);
    unsafe {
        gpu.device.destroy_image_view(image_view, None);
        gpu.device.destroy_image(image, None);
        gpu.device.free_memory(memory, None);
    }
    let submission = submission(0, 1);
    let in_use = |call, object| Violation::InUse { call, object, submission };
    gpu.broke(&[
        in_use(Call::DestroyImageView, object(image_view)),
        in_use(Call::DestroyImage, object(image)),
        in_use(Call::FreeMemory, object(memory)),
    ]);
}

#[test]
fn a_view_of_a_destroyed_image_is_dead_and_a_view_needs_an_image() {
    let gpu = Gpu::new();
    let (memory, image) = (gpu.memory(1 << 16), gpu.image(16, OPTIMAL));
    bind(&gpu, image, memory, 0);
    let image_view = view(&gpu, image);
    unsafe { gpu.device.destroy_image(image, None) };
    gpu.kept(); // Vulkan allows that.
    gpu.submit(0, &[Use::view(image_view)]);
    let info = vk::ImageViewCreateInfo::default().image(image);
    assert!(unsafe { gpu.device.create_image_view(&info, None) }.is_err());
    gpu.broke(&[
        Violation::SubmitDead {
            submission: submission(0, 1),
            object: object(image),
            via: object(image_view),
        },
        Violation::Unknown { call: Call::CreateImageView, object: object(image) },
    ]);
}

#[test]
fn a_buffer_view_is_followed_too() {
    let gpu = Gpu::new();
    let (memory, buffer) = (gpu.memory(4096), gpu.buffer(256));
    let info = vk::BufferViewCreateInfo::default().buffer(buffer).range(256);
    let view = unsafe { gpu.device.create_buffer_view(&info, None) }.unwrap();
    gpu.submit(0, &[Use::buffer_view(view)]);
    let submission_1 = submission(0, 1);
    let unbound = Violation::SubmitUnbound { submission: submission_1, resource: object(buffer) };
    gpu.broke(&[unbound]);
    unsafe { gpu.device.bind_buffer_memory(buffer, memory, 0) }.unwrap();
    gpu.submit(0, &[Use::buffer_view(view)]);
    gpu.fake.run();
    gpu.broke(&[unbound]);
    unsafe {
        gpu.device.destroy_buffer_view(view, None);
        gpu.device.destroy_buffer(buffer, None);
        gpu.device.free_memory(memory, None);
    }
    gpu.broke(&[unbound]);
    assert_eq!(gpu.fake.live().total(), 0);
}

/// Planes as they should be, over each other, too few, and a disjoint image bound whole.
#[test]
fn a_disjoint_image_is_bound_plane_by_plane() {
    for wrong in 0..4 {
        let gpu = Gpu::new();
        let info = vk::ImageCreateInfo::default()
            .flags(vk::ImageCreateFlags::DISJOINT)
            .image_type(vk::ImageType::TYPE_2D)
            .format(vk::Format::G8_B8R8_2PLANE_420_UNORM)
            .extent(vk::Extent3D { width: 100, height: 60, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .usage(vk::ImageUsageFlags::SAMPLED);
        let memory = gpu.memory(1 << 20);
        let image = unsafe { gpu.device.create_image(&info, None) }.unwrap();
        let aspects = [vk::ImageAspectFlags::PLANE_0, vk::ImageAspectFlags::PLANE_1];
        let mut planes =
            aspects.map(|aspect| vk::BindImagePlaneMemoryInfo::default().plane_aspect(aspect));
        let [first, second] = planes.each_mut().map(|plane| {
            vk::BindImageMemoryInfo::default().image(image).memory(memory).push_next(plane)
        });
        let binds = [first, second.memory_offset(if wrong == 1 { 0 } else { 1 << 16 })];
        let bound = unsafe {
            match wrong {
                2 => gpu.device.bind_image_memory2(&binds[..1]),
                3 => gpu.device.bind_image_memory(image, memory, 0),
                _ => gpu.device.bind_image_memory2(&binds),
            }
        };
        assert_eq!(bound.is_ok(), wrong == 0);
        if wrong == 0 {
            gpu.kept();
        } else {
            let call = Call::BindImageMemory;
            gpu.broke(&[Violation::Planes { call, image: object(image) }]);
        }
    }
}
