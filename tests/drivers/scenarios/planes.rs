//! The planes of an image are in one allocation and do not overlap, which the contents show. Each
//! plane is bound separately if the driver supports it.

use ash::vk;
use fencepost::{AllocationDesc, Allocator, Image};

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, Thing, allocator, assert_clean};
use crate::support::{Gpu, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("the_planes_of_an_image_keep_their_contents", planes)
            .validation(Validation::Core),
    ]
}

const SIDE: u32 = 64;
const IMAGES: usize = 8;

/// A format, and the extent and the texel's bytes of each of its planes.
type Planar = (vk::Format, &'static [(u32, u64)]);

const FORMATS: [Planar; 3] = [
    (vk::Format::G8_B8R8_2PLANE_420_UNORM, &[(SIDE, 1), (SIDE / 2, 2)]),
    (vk::Format::G8_B8_R8_3PLANE_420_UNORM, &[(SIDE, 1), (SIDE / 2, 1), (SIDE / 2, 1)]),
    (vk::Format::G8_B8_R8_3PLANE_444_UNORM, &[(SIDE, 1), (SIDE, 1), (SIDE, 1)]),
];

const ASPECTS: [vk::ImageAspectFlags; 3] =
    [vk::ImageAspectFlags::PLANE_0, vk::ImageAspectFlags::PLANE_1, vk::ImageAspectFlags::PLANE_2];

/// What the driver can do with optimal images of a format.
fn features(gpu: &Gpu, format: vk::Format) -> vk::FormatFeatureFlags {
    let physical = gpu.physical_device;
    // SAFETY: the instance is alive.
    let found = unsafe { gpu.instance.get_physical_device_format_properties(physical, format) };
    found.optimal_tiling_features
}

fn image(allocator: &Allocator, format: vk::Format, flags: vk::ImageCreateFlags) -> Image {
    let info = vk::ImageCreateInfo::default()
        .flags(flags)
        .image_type(vk::ImageType::TYPE_2D)
        .format(format)
        .extent(vk::Extent3D { width: SIDE, height: SIDE, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .usage(vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST);
    // SAFETY: the driver has such images.
    unsafe { allocator.create_image_from(&info, &AllocationDesc::device_local()) }
        .expect("an image of planes")
}

/// The copy of one plane at the start of a buffer.
fn region(plane: usize, side: u32) -> vk::BufferImageCopy {
    let layers = vk::ImageSubresourceLayers::default().aspect_mask(ASPECTS[plane]).layer_count(1);
    vk::BufferImageCopy::default().image_subresource(layers).image_extent(vk::Extent3D {
        width: side,
        height: side,
        depth: 1,
    })
}

/// Each plane of each image is filled with a word of its own; then all are read back.
fn planes(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator(&gpu);
    let mut seen = 0;
    for (format, planes) in FORMATS {
        let features = features(&gpu, format);
        let transfer = vk::FormatFeatureFlags::TRANSFER_SRC | vk::FormatFeatureFlags::TRANSFER_DST;
        if !features.contains(transfer) {
            room.note(format_args!("SKIPPED: the driver has no {format:?}"));
            continue;
        }
        let flags = match features.contains(vk::FormatFeatureFlags::DISJOINT) {
            true => vk::ImageCreateFlags::DISJOINT,
            false => {
                room.note(format_args!("SKIPPED: disjoint {format:?}; bound as one instead"));
                vk::ImageCreateFlags::empty()
            }
        };
        let commands = Commands::new(&gpu);
        let line = Line::new(&yard, &allocator, Kind::Owned);
        let gate = Gate::new(&gpu);
        let images: Vec<Image> = (0..IMAGES).map(|_| image(&allocator, format, flags)).collect();
        let word = |image: usize, plane: usize| 0x0101_0101 * (1 + image * 4 + plane) as u32;
        let mut back = Vec::new();
        for (number, image) in images.iter().enumerate() {
            let fill = commands.record(|recorder| {
                let general = vk::ImageLayout::GENERAL;
                recorder.layout(image.handle(), vk::ImageLayout::UNDEFINED, general);
            });
            line.run(line.begin(&gate), fill);
            for (plane, &(side, texel)) in planes.iter().enumerate() {
                let bytes = u64::from(side * side) * texel;
                let mut from = Thing::buffer(&allocator, bytes);
                from.write_words(bytes, word(number, plane));
                let copy = commands.record(|recorder| {
                    recorder.copy_plane(from.handle(), image.handle(), region(plane, side), true);
                    recorder.barrier();
                });
                line.run(line.begin(&gate), copy);
            }
        }
        for (number, image) in images.iter().enumerate() {
            for (plane, &(side, texel)) in planes.iter().enumerate() {
                let bytes = u64::from(side * side) * texel;
                let to = Thing::buffer(&allocator, bytes);
                let copy = commands.record(|recorder| {
                    recorder.copy_plane(to.handle(), image.handle(), region(plane, side), false);
                    recorder.barrier();
                });
                line.run(line.begin(&gate), copy);
                back.push((number, plane, bytes, to));
            }
        }
        for (number, plane, bytes, buffer) in back {
            let expected = word(number, plane);
            let words = buffer.read_words(bytes);
            assert!(words.iter().all(|&word| word == expected), "{format:?} {number} {plane}");
            seen += words.len();
        }
    }
    room.note(format_args!("{seen} words of planes came back"));
    assert_clean(&gpu.messages().take());
}
