//! The model of sizes: how much memory a buffer or an image needs.

use ash::vk;

use super::profile::Profile;

/// `VkMemoryRequirements` and `VkMemoryDedicatedRequirements`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Requirements {
    pub(super) size: u64,
    pub(super) alignment: u64,
    pub(super) type_bits: u32,
    pub(super) prefers_dedicated: bool,
    pub(super) requires_dedicated: bool,
}

/// The parts of a `VkImageCreateInfo` that determine its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageShape {
    pub(super) flags: vk::ImageCreateFlags,
    pub(super) format: vk::Format,
    pub(super) extent: vk::Extent3D,
    pub(super) levels: u32,
    pub(super) layers: u32,
    pub(super) samples: vk::SampleCountFlags,
    pub(super) tiling: vk::ImageTiling,
    pub(super) usage: vk::ImageUsageFlags,
}

impl From<&vk::ImageCreateInfo<'_>> for ImageShape {
    fn from(info: &vk::ImageCreateInfo<'_>) -> ImageShape {
        ImageShape {
            flags: info.flags,
            format: info.format,
            extent: info.extent,
            levels: info.mip_levels,
            layers: info.array_layers,
            samples: info.samples,
            tiling: info.tiling,
            usage: info.usage,
        }
    }
}

impl Profile {
    pub(super) fn buffer_requirements(
        &self,
        size: u64,
        flags: vk::BufferCreateFlags,
    ) -> Requirements {
        let protected = flags.contains(vk::BufferCreateFlags::PROTECTED);
        let type_bits = self.type_bits(protected, false) & self.buffer_types;
        self.requirements(size, self.buffer_rounding, self.buffer_alignment, type_bits)
    }

    pub(super) fn image_requirements(&self, shape: &ImageShape) -> Requirements {
        let protected = shape.flags.contains(vk::ImageCreateFlags::PROTECTED);
        let transient = shape.usage.contains(vk::ImageUsageFlags::TRANSIENT_ATTACHMENT);
        let host = shape.usage.contains(vk::ImageUsageFlags::HOST_TRANSFER_EXT);
        let of_host = if host { self.host_image_types } else { u32::MAX };
        let type_bits = self.type_bits(protected, transient) & self.image_types & of_host;
        let alignment = self.image_alignment;
        let found = self.requirements(shape.bytes(), alignment, alignment, type_bits);
        match shape.flags.contains(vk::ImageCreateFlags::DISJOINT) {
            // No memory can be dedicated to such an image.
            true => Requirements { prefers_dedicated: false, requires_dedicated: false, ..found },
            false => found,
        }
    }

    /// The requirements of each plane of a disjoint image: a quarter of the image.
    pub(super) fn plane_requirements(&self, shape: &ImageShape) -> Option<Requirements> {
        let disjoint = shape.flags.contains(vk::ImageCreateFlags::DISJOINT);
        disjoint.then(|| {
            let whole = self.image_requirements(shape);
            let alignment = self.image_alignment;
            let size = whole.size.div_ceil(4).next_multiple_of(alignment.max(1));
            Requirements { size, ..whole }
        })
    }

    fn requirements(
        &self,
        size: u64,
        rounding: u64,
        alignment: u64,
        type_bits: u32,
    ) -> Requirements {
        let rounding = rounding.max(1);
        let size = size.div_ceil(rounding).saturating_mul(rounding);
        let requires_dedicated = size >= self.requires_dedicated;
        Requirements {
            size,
            alignment: alignment.max(1),
            type_bits,
            prefers_dedicated: requires_dedicated || size >= self.prefers_dedicated,
            requires_dedicated,
        }
    }

    /// The types that a resource can have. Protected types are only for protected resources, which
    /// can have no other, and lazily allocated types are only for transient attachments. Types
    /// whose feature is off are included, as with real drivers: the caller has to avoid them.
    pub(super) fn type_bits(&self, protected: bool, transient: bool) -> u32 {
        use vk::MemoryPropertyFlags as Type;
        let fits = |flags: Type| {
            flags.contains(Type::PROTECTED) == protected
                && (transient || !flags.contains(Type::LAZILY_ALLOCATED))
        };
        self.types
            .iter()
            .take(vk::MAX_MEMORY_TYPES)
            .enumerate()
            .filter(|(_, (_, flags))| fits(*flags))
            .fold(0, |bits, (index, _)| bits | 1 << index)
    }
}

impl ImageShape {
    /// The size in bytes of the texel blocks of all mip levels, layers and samples.
    fn bytes(&self) -> u64 {
        let (width, height, bytes) = texel_block(self.format);
        let level = |level: u32| {
            let extent = |full: u32| u64::from(full.checked_shr(level).unwrap_or(0).max(1));
            extent(self.extent.width)
                .div_ceil(width)
                .saturating_mul(extent(self.extent.height).div_ceil(height))
                .saturating_mul(extent(self.extent.depth))
        };
        (0..self.levels.clamp(1, 32))
            .fold(0u64, |sum, l| sum.saturating_add(level(l)))
            .saturating_mul(bytes)
            .saturating_mul(u64::from(self.layers.max(1)))
            .saturating_mul(u64::from(self.samples.as_raw().max(1)))
    }
}

/// The width and height of a format's texel block in texels, and its size in bytes. Multi-planar
/// and unknown formats count as four bytes per texel.
fn texel_block(format: vk::Format) -> (u64, u64, u64) {
    /// The last raw value of each run of formats of the same size, and that size.
    const PLAIN: [(i32, u64); 30] = [
        (1, 1),
        (8, 2),
        (15, 1),
        (22, 2),
        (36, 3),
        (69, 4),
        (76, 2),
        (83, 4),
        (90, 6),
        (97, 8),
        (100, 4),
        (103, 8),
        (106, 12),
        (109, 16),
        (112, 8),
        (115, 16),
        (118, 24),
        (121, 32),
        (123, 4),
        (124, 2),
        (126, 4),
        (127, 1),
        (129, 4),
        (130, 8),
        // From here on blocks of 4×4 texels: BC1, BC2 and 3, BC4, BC5 to 7, ETC2 RGB, and RGBA.
        (134, 8),
        (138, 16),
        (140, 8),
        (146, 16),
        (150, 8),
        (152, 16),
    ];
    /// The ASTC block sizes in the order of the formats, two formats each.
    const ASTC: [(u64, u64); 14] = [
        (4, 4),
        (5, 4),
        (5, 5),
        (6, 5),
        (6, 6),
        (8, 5),
        (8, 6),
        (8, 8),
        (10, 5),
        (10, 6),
        (10, 8),
        (10, 10),
        (12, 10),
        (12, 12),
    ];
    let raw = format.as_raw();
    match raw {
        1..=152 => {
            let bytes = PLAIN.iter().find(|(last, _)| raw <= *last).map_or(4, |(_, bytes)| *bytes);
            if raw > 130 { (4, 4, bytes) } else { (1, 1, bytes) }
        }
        153..=154 => (4, 4, 8),
        155..=156 => (4, 4, 16),
        157..=184 => {
            let (width, height) = ASTC.get((raw - 157) as usize / 2).copied().unwrap_or((4, 4));
            (width, height, 16)
        }
        _ => (1, 1, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texel_blocks_have_the_sizes_of_the_specification() {
        use vk::Format as F;
        for (format, block) in [
            (F::R4G4_UNORM_PACK8, (1, 1, 1)),
            (F::R5G6B5_UNORM_PACK16, (1, 1, 2)),
            (F::R8_SRGB, (1, 1, 1)),
            (F::R8G8_UNORM, (1, 1, 2)),
            (F::B8G8R8_SRGB, (1, 1, 3)),
            (F::R8G8B8A8_UNORM, (1, 1, 4)),
            (F::A2B10G10R10_SINT_PACK32, (1, 1, 4)),
            (F::R16_SFLOAT, (1, 1, 2)),
            (F::R16G16_UNORM, (1, 1, 4)),
            (F::R16G16B16_UNORM, (1, 1, 6)),
            (F::R16G16B16A16_SFLOAT, (1, 1, 8)),
            (F::R32_SFLOAT, (1, 1, 4)),
            (F::R32G32_UINT, (1, 1, 8)),
            (F::R32G32B32_SFLOAT, (1, 1, 12)),
            (F::R32G32B32A32_SFLOAT, (1, 1, 16)),
            (F::R64_UINT, (1, 1, 8)),
            (F::R64G64_UINT, (1, 1, 16)),
            (F::R64G64B64_UINT, (1, 1, 24)),
            (F::R64G64B64A64_SFLOAT, (1, 1, 32)),
            (F::B10G11R11_UFLOAT_PACK32, (1, 1, 4)),
            (F::D16_UNORM, (1, 1, 2)),
            (F::D32_SFLOAT, (1, 1, 4)),
            (F::S8_UINT, (1, 1, 1)),
            (F::D24_UNORM_S8_UINT, (1, 1, 4)),
            (F::D32_SFLOAT_S8_UINT, (1, 1, 8)),
            (F::BC1_RGB_UNORM_BLOCK, (4, 4, 8)),
            (F::BC1_RGBA_SRGB_BLOCK, (4, 4, 8)),
            (F::BC2_UNORM_BLOCK, (4, 4, 16)),
            (F::BC3_SRGB_BLOCK, (4, 4, 16)),
            (F::BC4_SNORM_BLOCK, (4, 4, 8)),
            (F::BC5_UNORM_BLOCK, (4, 4, 16)),
            (F::BC7_SRGB_BLOCK, (4, 4, 16)),
            (F::ETC2_R8G8B8A1_SRGB_BLOCK, (4, 4, 8)),
            (F::ETC2_R8G8B8A8_UNORM_BLOCK, (4, 4, 16)),
            (F::EAC_R11_SNORM_BLOCK, (4, 4, 8)),
            (F::EAC_R11G11_UNORM_BLOCK, (4, 4, 16)),
            (F::ASTC_4X4_UNORM_BLOCK, (4, 4, 16)),
            (F::ASTC_12X12_SRGB_BLOCK, (12, 12, 16)),
        ] {
            assert_eq!(texel_block(format), block, "{format:?}");
        }
    }

    #[test]
    fn an_image_has_all_its_levels_layers_and_samples() {
        let shape = ImageShape {
            flags: vk::ImageCreateFlags::empty(),
            format: vk::Format::R8G8B8A8_UNORM,
            extent: vk::Extent3D { width: 256, height: 128, depth: 1 },
            levels: 9,
            layers: 6,
            samples: vk::SampleCountFlags::TYPE_1,
            tiling: vk::ImageTiling::OPTIMAL,
            usage: vk::ImageUsageFlags::SAMPLED,
        };
        let texels: u64 = (0..9).map(|l| (256u64 >> l).max(1) * (128u64 >> l).max(1)).sum();
        assert_eq!(shape.bytes(), texels * 4 * 6);
        let requirements = Profile::default().image_requirements(&shape);
        assert_eq!(requirements.size, (texels * 4 * 6).div_ceil(65536) * 65536);
        assert_eq!(requirements.alignment, 65536);
        let absurd = vk::Extent3D { width: u32::MAX, height: u32::MAX, depth: u32::MAX };
        assert_eq!(ImageShape { extent: absurd, ..shape }.bytes(), u64::MAX);
    }
}
