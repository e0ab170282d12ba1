//! Safe descriptions of buffers, images and views: everything in them is checked before Vulkan
//! sees it.

use ash::vk;
use bytemuck::Pod;
use smallvec::SmallVec;

use super::error::DescError;
use crate::vulkan::{DeviceFeatures, Vulkan};

/// A buffer: its size and what it is used for.
///
/// The everyday, checked door. For create-infos with extension structs there is the `unsafe`
/// [`Allocator::create_buffer_from`](crate::Allocator::create_buffer_from).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BufferDesc {
    pub(crate) size: u64,
    pub(crate) usage: vk::BufferUsageFlags,
    pub(crate) families: SmallVec<[u32; 4]>,
}

/// Usages of Vulkan 1.0, which need no feature to create a buffer with.
const BUFFER_USAGES: vk::BufferUsageFlags = vk::BufferUsageFlags::from_raw(0x1FF);

impl BufferDesc {
    /// A buffer of `size` bytes, for one queue family at a time.
    pub fn new(size: u64, usage: vk::BufferUsageFlags) -> Self {
        Self { size, usage, families: SmallVec::new() }
    }

    /// A buffer that holds these values and no more.
    pub fn of<T: Pod>(values: &[T], usage: vk::BufferUsageFlags) -> Self {
        Self::new(size_of_val(values) as u64, usage)
    }

    /// Memory for acceleration structures: `ACCELERATION_STRUCTURE_STORAGE`, with an address. In the
    /// buffer each structure begins at a multiple of 256 bytes.
    pub fn acceleration_structures(size: u64) -> Self {
        let usage = vk::BufferUsageFlags::ACCELERATION_STRUCTURE_STORAGE_KHR;
        Self::new(size, usage | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS)
    }

    /// Scratch memory for building acceleration structures: a storage buffer whose address is a
    /// multiple of `minAccelerationStructureScratchOffsetAlignment`, where
    /// [`ACCELERATION_STRUCTURE`](DeviceFeatures::ACCELERATION_STRUCTURE) is on.
    pub fn scratch(size: u64) -> Self {
        let usage = vk::BufferUsageFlags::STORAGE_BUFFER;
        Self::new(size, usage | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS)
    }

    /// A shader binding table, whose address is a multiple of `shaderGroupBaseAlignment`; to be
    /// copied to as well.
    pub fn shader_binding_table(size: u64) -> Self {
        let usage = vk::BufferUsageFlags::SHADER_BINDING_TABLE_KHR;
        let copied = usage | vk::BufferUsageFlags::TRANSFER_DST;
        Self::new(size, copied | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS)
    }

    /// A descriptor buffer for resources and samplers, whose address is a multiple of
    /// `descriptorBufferOffsetAlignment`. Best in [`upload`](crate::AllocationDesc::upload) memory.
    pub fn descriptors(size: u64) -> Self {
        let usage = vk::BufferUsageFlags::RESOURCE_DESCRIPTOR_BUFFER_EXT
            | vk::BufferUsageFlags::SAMPLER_DESCRIPTOR_BUFFER_EXT;
        Self::new(size, usage | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS)
    }

    /// Adds usages.
    #[must_use]
    pub fn usage(mut self, more: vk::BufferUsageFlags) -> Self {
        self.usage |= more;
        self
    }

    /// Lets two or more queue families of the device use the buffer at once (`VK_SHARING_MODE_CONCURRENT`).
    #[must_use]
    pub fn queue_families(mut self, families: &[u32]) -> Self {
        self.families = SmallVec::from_slice(families);
        self
    }

    pub(super) fn check(&self, vulkan: &Vulkan) -> Result<(), DescError> {
        if self.size == 0 {
            return Err(DescError::ZeroSize);
        }
        let limit = vulkan.properties().max_buffer_size;
        if self.size > limit {
            return Err(DescError::BufferSize { limit });
        }
        check_usage(self.usage.as_raw(), known_usages(vulkan.features()).as_raw())?;
        check_families(&self.families, vulkan)
    }

    pub(super) fn info(&self) -> vk::BufferCreateInfo<'_> {
        vk::BufferCreateInfo::default()
            .size(self.size)
            .usage(self.usage)
            .sharing_mode(sharing(&self.families))
            .queue_family_indices(&self.families)
    }
}

/// The usages that can be described where these features are on.
fn known_usages(features: DeviceFeatures) -> vk::BufferUsageFlags {
    use vk::BufferUsageFlags as Usage;
    let structures = Usage::ACCELERATION_STRUCTURE_STORAGE_KHR
        | Usage::ACCELERATION_STRUCTURE_BUILD_INPUT_READ_ONLY_KHR;
    let descriptors = Usage::RESOURCE_DESCRIPTOR_BUFFER_EXT | Usage::SAMPLER_DESCRIPTOR_BUFFER_EXT;
    [
        (DeviceFeatures::BUFFER_DEVICE_ADDRESS, Usage::SHADER_DEVICE_ADDRESS),
        (DeviceFeatures::ACCELERATION_STRUCTURE, structures),
        (DeviceFeatures::RAY_TRACING_PIPELINE, Usage::SHADER_BINDING_TABLE_KHR),
        (DeviceFeatures::DESCRIPTOR_BUFFER, descriptors),
    ]
    .into_iter()
    .filter(|&(feature, _)| features.contains(feature))
    .fold(BUFFER_USAGES, |known, (_, usages)| known | usages)
}

/// An image: its format, extent, levels, layers, samples and usage.
///
/// The driver is asked whether it has such an image before one is created. For everything else
/// there is the `unsafe` [`Allocator::create_image_from`](crate::Allocator::create_image_from).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImageDesc {
    pub(crate) image_type: vk::ImageType,
    pub(crate) format: vk::Format,
    pub(crate) extent: vk::Extent3D,
    pub(crate) mip_levels: u32,
    pub(crate) array_layers: u32,
    pub(crate) samples: vk::SampleCountFlags,
    pub(crate) tiling: vk::ImageTiling,
    pub(crate) usage: vk::ImageUsageFlags,
    pub(crate) cube_compatible: bool,
    pub(crate) families: SmallVec<[u32; 4]>,
}

/// Usages of Vulkan 1.0.
const IMAGE_USAGES: vk::ImageUsageFlags = vk::ImageUsageFlags::from_raw(0xFF);

impl ImageDesc {
    /// A 2D image with one level, one layer, one sample, optimal tiling.
    pub fn new_2d(format: vk::Format, width: u32, height: u32, usage: vk::ImageUsageFlags) -> Self {
        let extent = vk::Extent3D { width, height, depth: 1 };
        Self::new(vk::ImageType::TYPE_2D, format, extent, usage)
    }

    /// A 3D image with one level, optimal tiling.
    pub fn new_3d(format: vk::Format, extent: vk::Extent3D, usage: vk::ImageUsageFlags) -> Self {
        Self::new(vk::ImageType::TYPE_3D, format, extent, usage)
    }

    fn new(
        image_type: vk::ImageType,
        format: vk::Format,
        extent: vk::Extent3D,
        usage: vk::ImageUsageFlags,
    ) -> Self {
        Self {
            image_type,
            format,
            extent,
            mip_levels: 1,
            array_layers: 1,
            samples: vk::SampleCountFlags::TYPE_1,
            tiling: vk::ImageTiling::OPTIMAL,
            usage,
            cube_compatible: false,
            families: SmallVec::new(),
        }
    }

    /// How many mip levels, the full size among them.
    #[must_use]
    pub fn mip_levels(mut self, levels: u32) -> Self {
        self.mip_levels = levels;
        self
    }

    /// How many array layers.
    #[must_use]
    pub fn array_layers(mut self, layers: u32) -> Self {
        self.array_layers = layers;
        self
    }

    /// Samples per texel.
    #[must_use]
    pub fn samples(mut self, samples: vk::SampleCountFlags) -> Self {
        self.samples = samples;
        self
    }

    /// Linear or optimal tiling.
    #[must_use]
    pub fn tiling(mut self, tiling: vk::ImageTiling) -> Self {
        self.tiling = tiling;
        self
    }

    /// Lets cube views look at groups of six layers.
    #[must_use]
    pub fn cube_compatible(mut self) -> Self {
        self.cube_compatible = true;
        self
    }

    /// Lets two or more queue families of the device use the image at once (`VK_SHARING_MODE_CONCURRENT`).
    #[must_use]
    pub fn queue_families(mut self, families: &[u32]) -> Self {
        self.families = SmallVec::from_slice(families);
        self
    }

    /// What can be checked without asking the driver.
    pub(super) fn check(&self, vulkan: &Vulkan) -> Result<(), DescError> {
        let vk::Extent3D { width, height, depth } = self.extent;
        if width == 0 || height == 0 || depth == 0 || self.mip_levels == 0 || self.array_layers == 0
        {
            return Err(DescError::ZeroSize);
        }
        if self.format == vk::Format::UNDEFINED {
            return Err(DescError::Format);
        }
        let mut known = IMAGE_USAGES;
        if vulkan.features().contains(DeviceFeatures::HOST_IMAGE_COPY) {
            known |= vk::ImageUsageFlags::HOST_TRANSFER_EXT;
        }
        check_usage(self.usage.as_raw(), known.as_raw())?;
        let known_tiling =
            matches!(self.tiling, vk::ImageTiling::LINEAR | vk::ImageTiling::OPTIMAL);
        let multisampled = self.samples != vk::SampleCountFlags::TYPE_1;
        let flat = self.image_type == vk::ImageType::TYPE_2D;
        let optimal = self.tiling == vk::ImageTiling::OPTIMAL;
        let one_sample_count = self.samples.as_raw().is_power_of_two();
        let square_cube = !self.cube_compatible
            || (flat && !multisampled && width == height && self.array_layers >= 6);
        let layered_volume = !flat && self.array_layers > 1;
        let bad_multisampling = multisampled && !(flat && optimal && self.mip_levels == 1);
        let attachments = vk::ImageUsageFlags::COLOR_ATTACHMENT
            | vk::ImageUsageFlags::DEPTH_STENCIL_ATTACHMENT
            | vk::ImageUsageFlags::INPUT_ATTACHMENT
            | vk::ImageUsageFlags::TRANSIENT_ATTACHMENT;
        let transient = self.usage.contains(vk::ImageUsageFlags::TRANSIENT_ATTACHMENT);
        let bad_transient = transient
            && (!attachments.contains(self.usage)
                || self.usage == vk::ImageUsageFlags::TRANSIENT_ATTACHMENT);
        if !known_tiling
            || !one_sample_count
            || !square_cube
            || layered_volume
            || bad_multisampling
            || bad_transient
        {
            return Err(DescError::Unsupported);
        }
        let halvings = width.max(height).max(depth).ilog2() + 1;
        if self.mip_levels > halvings {
            return Err(DescError::MipLevels);
        }
        check_families(&self.families, vulkan)
    }

    /// Whether the driver's limits for such images have room for this one.
    pub(super) fn fits(&self, limits: &vk::ImageFormatProperties) -> bool {
        self.extent.width <= limits.max_extent.width
            && self.extent.height <= limits.max_extent.height
            && self.extent.depth <= limits.max_extent.depth
            && self.mip_levels <= limits.max_mip_levels
            && self.array_layers <= limits.max_array_layers
            && limits.sample_counts.contains(self.samples)
    }

    pub(super) fn info(&self) -> vk::ImageCreateInfo<'_> {
        let cube = match self.cube_compatible {
            true => vk::ImageCreateFlags::CUBE_COMPATIBLE,
            false => vk::ImageCreateFlags::empty(),
        };
        vk::ImageCreateInfo::default()
            .flags(cube)
            .image_type(self.image_type)
            .format(self.format)
            .extent(self.extent)
            .mip_levels(self.mip_levels)
            .array_layers(self.array_layers)
            .samples(self.samples)
            .tiling(self.tiling)
            .usage(self.usage)
            .sharing_mode(sharing(&self.families))
            .queue_family_indices(&self.families)
            .initial_layout(vk::ImageLayout::UNDEFINED)
    }
}

/// A view of an image, in the image's own format.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ImageViewDesc {
    pub(crate) view_type: Option<vk::ImageViewType>,
    pub(crate) range: vk::ImageSubresourceRange,
}

impl ImageViewDesc {
    /// A view of all levels and layers, of the image's own dimension.
    pub fn new(aspect: vk::ImageAspectFlags) -> Self {
        let range = vk::ImageSubresourceRange::default()
            .aspect_mask(aspect)
            .level_count(vk::REMAINING_MIP_LEVELS)
            .layer_count(vk::REMAINING_ARRAY_LAYERS);
        Self { view_type: None, range }
    }

    /// The view's type, where it is not the image's own dimension: arrays and cubes.
    #[must_use]
    pub fn view_type(mut self, view_type: vk::ImageViewType) -> Self {
        self.view_type = Some(view_type);
        self
    }

    /// The mip levels it shows.
    #[must_use]
    pub fn mip_levels(mut self, base: u32, count: u32) -> Self {
        self.range.base_mip_level = base;
        self.range.level_count = count;
        self
    }

    /// The array layers it shows.
    #[must_use]
    pub fn array_layers(mut self, base: u32, count: u32) -> Self {
        self.range.base_array_layer = base;
        self.range.layer_count = count;
        self
    }
}

fn check_usage(usage: u32, known: u32) -> Result<(), DescError> {
    match (usage, usage & !known) {
        (0, _) => Err(DescError::NoUsage),
        (_, 0) => Ok(()),
        (_, unknown) => Err(DescError::Usage { unknown }),
    }
}

fn check_families(families: &[u32], vulkan: &Vulkan) -> Result<(), DescError> {
    let count = vulkan.properties().queue_families;
    let repeated = (1..families.len()).any(|i| families[..i].contains(&families[i]));
    let unknown = families.iter().any(|&family| family >= count);
    if families.len() == 1 || repeated || unknown {
        return Err(DescError::QueueFamilies);
    }
    Ok(())
}

fn sharing(families: &[u32]) -> vk::SharingMode {
    if families.is_empty() { vk::SharingMode::EXCLUSIVE } else { vk::SharingMode::CONCURRENT }
}
