//! Safe descriptions of buffers, images and views. The allocator validates every field before it
//! passes them to Vulkan.

use ash::vk;
use bytemuck::Pod;
use smallvec::SmallVec;

use super::error::DescError;
use crate::vulkan::{DeviceFeatures, Vulkan};

/// Describes a buffer: its size and usage.
///
/// This is the usual, validated way to create a buffer. For create-infos with extension structs,
/// use the `unsafe` [`Allocator::create_buffer_from`](crate::Allocator::create_buffer_from).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BufferDesc {
    pub(crate) size: u64,
    pub(crate) usage: vk::BufferUsageFlags,
    pub(crate) families: SmallVec<[u32; 4]>,
}

/// The buffer usages of Vulkan 1.0. They need no feature.
const BUFFER_USAGES: vk::BufferUsageFlags = vk::BufferUsageFlags::from_raw(0x1FF);

impl BufferDesc {
    /// A buffer of `size` bytes, used by one queue family at a time.
    pub fn new(size: u64, usage: vk::BufferUsageFlags) -> Self {
        Self { size, usage, families: SmallVec::new() }
    }

    /// A buffer of exactly the size of these values.
    pub fn of<T: Pod>(values: &[T], usage: vk::BufferUsageFlags) -> Self {
        Self::new(size_of_val(values) as u64, usage)
    }

    /// A buffer for acceleration structures: `ACCELERATION_STRUCTURE_STORAGE`, with a device
    /// address. Each structure must begin at a multiple of 256 bytes in the buffer.
    pub fn acceleration_structures(size: u64) -> Self {
        let usage = vk::BufferUsageFlags::ACCELERATION_STRUCTURE_STORAGE_KHR;
        Self::new(size, usage | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS)
    }

    /// Scratch memory for building acceleration structures: a storage buffer. Its address is a
    /// multiple of `minAccelerationStructureScratchOffsetAlignment` if
    /// [`ACCELERATION_STRUCTURE`](DeviceFeatures::ACCELERATION_STRUCTURE) is enabled.
    pub fn scratch(size: u64) -> Self {
        let usage = vk::BufferUsageFlags::STORAGE_BUFFER;
        Self::new(size, usage | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS)
    }

    /// A shader binding table, which can also be the destination of a copy. Its address is a
    /// multiple of `shaderGroupBaseAlignment`.
    pub fn shader_binding_table(size: u64) -> Self {
        let usage = vk::BufferUsageFlags::SHADER_BINDING_TABLE_KHR;
        let copied = usage | vk::BufferUsageFlags::TRANSFER_DST;
        Self::new(size, copied | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS)
    }

    /// A descriptor buffer for resources and samplers. Its address is a multiple of
    /// `descriptorBufferOffsetAlignment`. Best placed in [`upload`](crate::AllocationDesc::upload)
    /// memory.
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

    /// Lets two or more queue families of the device use the buffer concurrently
    /// (`VK_SHARING_MODE_CONCURRENT`).
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

/// The usages that a description may contain with these features.
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

/// Describes an image: its format, extent, levels, layers, samples and usage.
///
/// Before creating the image, the allocator asks the driver whether it supports such an image. For
/// everything else, use the `unsafe`
/// [`Allocator::create_image_from`](crate::Allocator::create_image_from).
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

/// The image usages of Vulkan 1.0.
const IMAGE_USAGES: vk::ImageUsageFlags = vk::ImageUsageFlags::from_raw(0xFF);

impl ImageDesc {
    /// A 2D image with one level, one layer, one sample and optimal tiling.
    pub fn new_2d(format: vk::Format, width: u32, height: u32, usage: vk::ImageUsageFlags) -> Self {
        let extent = vk::Extent3D { width, height, depth: 1 };
        Self::new(vk::ImageType::TYPE_2D, format, extent, usage)
    }

    /// A 3D image with one level and optimal tiling.
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

    /// Sets the number of mip levels, including level 0.
    #[must_use]
    pub fn mip_levels(mut self, levels: u32) -> Self {
        self.mip_levels = levels;
        self
    }

    /// Sets the number of array layers.
    #[must_use]
    pub fn array_layers(mut self, layers: u32) -> Self {
        self.array_layers = layers;
        self
    }

    /// Sets the number of samples per texel.
    #[must_use]
    pub fn samples(mut self, samples: vk::SampleCountFlags) -> Self {
        self.samples = samples;
        self
    }

    /// Sets linear or optimal tiling.
    #[must_use]
    pub fn tiling(mut self, tiling: vk::ImageTiling) -> Self {
        self.tiling = tiling;
        self
    }

    /// Allows cube views, which use groups of six layers.
    #[must_use]
    pub fn cube_compatible(mut self) -> Self {
        self.cube_compatible = true;
        self
    }

    /// Lets two or more queue families of the device use the image concurrently
    /// (`VK_SHARING_MODE_CONCURRENT`).
    #[must_use]
    pub fn queue_families(mut self, families: &[u32]) -> Self {
        self.families = SmallVec::from_slice(families);
        self
    }

    /// Validates everything that can be validated without asking the driver.
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

    /// Whether this image is within the driver's limits for such images.
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

/// Describes a view of an image, in the format of the image.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ImageViewDesc {
    pub(crate) view_type: Option<vk::ImageViewType>,
    pub(crate) range: vk::ImageSubresourceRange,
}

impl ImageViewDesc {
    /// A view of all levels and layers, with the dimension of the image.
    pub fn new(aspect: vk::ImageAspectFlags) -> Self {
        let range = vk::ImageSubresourceRange::default()
            .aspect_mask(aspect)
            .level_count(vk::REMAINING_MIP_LEVELS)
            .layer_count(vk::REMAINING_ARRAY_LAYERS);
        Self { view_type: None, range }
    }

    /// Sets the type of the view, if it differs from the dimension of the image: arrays and cubes.
    #[must_use]
    pub fn view_type(mut self, view_type: vk::ImageViewType) -> Self {
        self.view_type = Some(view_type);
        self
    }

    /// Sets the mip levels of the view.
    #[must_use]
    pub fn mip_levels(mut self, base: u32, count: u32) -> Self {
        self.range.base_mip_level = base;
        self.range.level_count = count;
        self
    }

    /// Sets the array layers of the view.
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
