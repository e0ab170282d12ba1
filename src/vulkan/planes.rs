//! Disjoint images: each plane of a format is bound separately. Here all planes are placed in one
//! range, one after the other, so that one allocation holds them, all or none, and ends with the
//! image.

use ash::vk;

use super::{Dedicate, Requirements, Vulkan};

/// No format has more planes.
const MOST: usize = 3;

const ASPECTS: [vk::ImageAspectFlags; MOST] =
    [vk::ImageAspectFlags::PLANE_0, vk::ImageAspectFlags::PLANE_1, vk::ImageAspectFlags::PLANE_2];

/// The offsets of the planes of an image in a range, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Planes {
    offsets: [u64; MOST],
    count: usize,
}

impl Vulkan {
    /// The requirements of a range for all planes of a disjoint image, and the offsets of the
    /// planes. `None` if planes cannot be bound: before Vulkan 1.1, for formats with one plane, and
    /// for tilings whose planes are memory planes and not format planes.
    ///
    /// # Safety
    /// The device contract; the image was created disjoint, of this create-info.
    pub(crate) unsafe fn planes(
        &self,
        image: vk::Image,
        info: &vk::ImageCreateInfo<'_>,
    ) -> Option<(Planes, Requirements)> {
        let count = planes_of(info.format);
        let by_format = info.tiling != vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT;
        if self.api < vk::API_VERSION_1_1 || count < 2 || !by_format {
            return None;
        }
        let mut planes = Planes { offsets: [0; MOST], count };
        let mut sum = vk::MemoryRequirements { size: 0, alignment: 1, memory_type_bits: !0 };
        for (offset, aspect) in planes.offsets.iter_mut().zip(ASPECTS).take(count) {
            let mut plane = vk::ImagePlaneMemoryRequirementsInfo::default().plane_aspect(aspect);
            let info =
                vk::ImageMemoryRequirementsInfo2::default().image(image).push_next(&mut plane);
            let mut out = vk::MemoryRequirements2::default();
            // SAFETY: the device contract; Vulkan 1.1 has the call, and the format the plane.
            unsafe { self.device.get_image_memory_requirements2(&info, &mut out) };
            let needs = out.memory_requirements;
            *offset = sum.size.checked_next_multiple_of(needs.alignment.max(1))?;
            sum.size = offset.checked_add(needs.size)?;
            sum.alignment = sum.alignment.max(needs.alignment);
            sum.memory_type_bits &= needs.memory_type_bits;
        }
        // Memory must not be dedicated to a disjoint image.
        Some((planes, Requirements { memory: sum, dedicate: Dedicate::No }))
    }

    /// Binds all planes, or returns an error.
    ///
    /// # Safety
    /// The device contract; [`planes`](Self::planes) told the planes of this image, and the range at
    /// `offset` satisfies their requirements; nothing is bound yet.
    pub(crate) unsafe fn bind_planes(
        &self,
        image: vk::Image,
        planes: &Planes,
        memory: vk::DeviceMemory,
        offset: u64,
    ) -> Result<(), vk::Result> {
        let mut aspects =
            ASPECTS.map(|aspect| vk::BindImagePlaneMemoryInfo::default().plane_aspect(aspect));
        let all = aspects.iter_mut().zip(planes.offsets).take(planes.count);
        let binds: smallvec::SmallVec<[vk::BindImageMemoryInfo<'_>; MOST]> = all
            .map(|(aspect, plane)| {
                let bind = vk::BindImageMemoryInfo::default().image(image).memory(memory);
                bind.memory_offset(offset + plane).push_next(aspect)
            })
            .collect();
        // SAFETY: the device contract and the caller's promise; Vulkan 1.1 has the call.
        unsafe { self.device.bind_image_memory2(&binds) }
    }
}

/// The number of planes of a format; 1 for single-plane formats.
const fn planes_of(format: vk::Format) -> usize {
    use vk::Format as F;
    match format {
        F::G8_B8R8_2PLANE_420_UNORM
        | F::G8_B8R8_2PLANE_422_UNORM
        | F::G8_B8R8_2PLANE_444_UNORM
        | F::G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16
        | F::G10X6_B10X6R10X6_2PLANE_422_UNORM_3PACK16
        | F::G10X6_B10X6R10X6_2PLANE_444_UNORM_3PACK16
        | F::G12X4_B12X4R12X4_2PLANE_420_UNORM_3PACK16
        | F::G12X4_B12X4R12X4_2PLANE_422_UNORM_3PACK16
        | F::G12X4_B12X4R12X4_2PLANE_444_UNORM_3PACK16
        | F::G16_B16R16_2PLANE_420_UNORM
        | F::G16_B16R16_2PLANE_422_UNORM
        | F::G16_B16R16_2PLANE_444_UNORM => 2,
        F::G8_B8_R8_3PLANE_420_UNORM
        | F::G8_B8_R8_3PLANE_422_UNORM
        | F::G8_B8_R8_3PLANE_444_UNORM
        | F::G10X6_B10X6_R10X6_3PLANE_420_UNORM_3PACK16
        | F::G10X6_B10X6_R10X6_3PLANE_422_UNORM_3PACK16
        | F::G10X6_B10X6_R10X6_3PLANE_444_UNORM_3PACK16
        | F::G12X4_B12X4_R12X4_3PLANE_420_UNORM_3PACK16
        | F::G12X4_B12X4_R12X4_3PLANE_422_UNORM_3PACK16
        | F::G12X4_B12X4_R12X4_3PLANE_444_UNORM_3PACK16
        | F::G16_B16_R16_3PLANE_420_UNORM
        | F::G16_B16_R16_3PLANE_422_UNORM
        | F::G16_B16_R16_3PLANE_444_UNORM => 3,
        _ => 1,
    }
}
