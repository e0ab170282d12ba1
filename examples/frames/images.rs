//! The uses of images, and the barrier from one use to the next.
use super::Result;
use fencepost::{
    AllocationDesc, Allocator, Image, ImageDesc, ImageView, ImageViewDesc,
    vk::{self, AccessFlags2 as Access, PipelineStageFlags2 as Stage},
};

/// The format of everything that is looked at.
pub(crate) const COLOUR: vk::Format = vk::Format::R8G8B8A8_SRGB;
/// The format of depth.
pub(crate) const DEPTH: vk::Format = vk::Format::D32_SFLOAT;

/// A use of an image.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    /// None yet: the contents are not needed.
    Nothing,
    ColourTarget,
    DepthTarget,
    CopySource,
    CopyTarget,
    Sampled,
    /// Will be sampled by work that waits for a semaphore, possibly on another queue.
    HandedOver,
}

impl Use {
    fn scope(self) -> (Stage, Access, vk::ImageLayout) {
        match self {
            Use::Nothing => (Stage::NONE, Access::NONE, vk::ImageLayout::UNDEFINED),
            Use::ColourTarget => (
                Stage::COLOR_ATTACHMENT_OUTPUT,
                Access::COLOR_ATTACHMENT_READ | Access::COLOR_ATTACHMENT_WRITE,
                vk::ImageLayout::COLOR_ATTACHMENT_OPTIMAL,
            ),
            Use::DepthTarget => (
                Stage::EARLY_FRAGMENT_TESTS | Stage::LATE_FRAGMENT_TESTS,
                Access::DEPTH_STENCIL_ATTACHMENT_READ | Access::DEPTH_STENCIL_ATTACHMENT_WRITE,
                vk::ImageLayout::DEPTH_ATTACHMENT_OPTIMAL,
            ),
            Use::CopySource => {
                (Stage::ALL_TRANSFER, Access::TRANSFER_READ, vk::ImageLayout::TRANSFER_SRC_OPTIMAL)
            }
            Use::CopyTarget => {
                (Stage::ALL_TRANSFER, Access::TRANSFER_WRITE, vk::ImageLayout::TRANSFER_DST_OPTIMAL)
            }
            Use::Sampled => (
                Stage::FRAGMENT_SHADER,
                Access::SHADER_SAMPLED_READ,
                vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL,
            ),
            Use::HandedOver => {
                (Stage::NONE, Access::NONE, vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL)
            }
        }
    }
}

/// The barrier after which an image may be used in another way.
pub(crate) fn turn(image: &Image, from: Use, to: Use) -> vk::ImageMemoryBarrier2<'static> {
    let (from_stage, from_access, from_layout) = from.scope();
    let (to_stage, to_access, to_layout) = to.scope();
    vk::ImageMemoryBarrier2::default()
        .image(image.handle())
        .subresource_range(whole(aspect(image.format()), image.mip_levels()))
        .src_stage_mask(from_stage)
        .src_access_mask(from_access)
        .old_layout(from_layout)
        .dst_stage_mask(to_stage)
        .dst_access_mask(to_access)
        .new_layout(to_layout)
        .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
        .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
}

fn whole(aspect: vk::ImageAspectFlags, levels: u32) -> vk::ImageSubresourceRange {
    vk::ImageSubresourceRange {
        aspect_mask: aspect,
        base_mip_level: 0,
        level_count: levels,
        base_array_layer: 0,
        layer_count: 1,
    }
}

/// The part of an image that its format has.
pub(crate) fn aspect(format: vk::Format) -> vk::ImageAspectFlags {
    if format == DEPTH { vk::ImageAspectFlags::DEPTH } else { vk::ImageAspectFlags::COLOR }
}

/// One level of a colour image, as copies name it.
pub(crate) fn level(mip_level: u32) -> vk::ImageSubresourceLayers {
    vk::ImageSubresourceLayers {
        aspect_mask: vk::ImageAspectFlags::COLOR,
        mip_level,
        base_array_layer: 0,
        layer_count: 1,
    }
}

/// An image that is drawn into. The view is declared first, so it is dropped first.
pub(crate) struct Target {
    /// How the image is seen.
    pub(crate) view: ImageView,
    /// The image.
    pub(crate) image: Image,
}

/// Everything that one frame draws into. Each frame creates its own targets and drops them, so a
/// frame of another size is nothing special, and no frame waits for another's targets.
pub(crate) struct Targets {
    pub(crate) colour: Target,
    pub(crate) depth: Target,
    /// What the water mirrors, half as wide and high.
    pub(crate) mirror: Target,
    pub(crate) mirror_depth: Target,
    pub(crate) size: vk::Extent2D,
}

impl Targets {
    /// Makes the images for a picture of an even size.
    pub(crate) fn new(allocator: &Allocator, size: vk::Extent2D) -> Result<Self> {
        let half = vk::Extent2D { width: size.width / 2, height: size.height / 2 };
        let colour = vk::ImageUsageFlags::COLOR_ATTACHMENT;
        let depth = vk::ImageUsageFlags::DEPTH_STENCIL_ATTACHMENT;
        let target = |name, format, size: vk::Extent2D, usage| -> Result<Target> {
            let desc = ImageDesc::new_2d(format, size.width, size.height, usage);
            let image =
                allocator.create_image(&desc, &AllocationDesc::device_local().name(name))?;
            let view = allocator.create_image_view(&image, &ImageViewDesc::new(aspect(format)))?;
            Ok(Target { view, image })
        };
        Ok(Self {
            colour: target("picture", COLOUR, size, colour | vk::ImageUsageFlags::TRANSFER_SRC)?,
            depth: target("picture depth", DEPTH, size, depth)?,
            mirror: target("mirror", COLOUR, half, colour | vk::ImageUsageFlags::SAMPLED)?,
            mirror_depth: target("mirror depth", DEPTH, half, depth)?,
            size,
        })
    }

    /// The size of the mirror.
    pub(crate) fn mirror_size(&self) -> vk::Extent2D {
        vk::Extent2D { width: self.size.width / 2, height: self.size.height / 2 }
    }
}
