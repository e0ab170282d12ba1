//! Whether an image whose tiling is a Linux DRM format modifier is linear.

use core::ffi::c_void;

use ash::vk;

/// `DRM_FORMAT_MOD_LINEAR`.
const LINEAR: u64 = 0;

/// Whether an image certainly has a linear tiling. An image to which the driver may give another
/// modifier, or without information, does not; treating it as optimal is always correct.
///
/// # Safety
/// The create-info is valid, its chain of structs too.
pub(crate) unsafe fn is_linear(info: &vk::ImageCreateInfo<'_>) -> bool {
    match info.tiling {
        vk::ImageTiling::LINEAR => true,
        // SAFETY: the caller's promise.
        vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT => unsafe { only_linear(info.p_next) },
        _ => false,
    }
}

/// Whether a chain contains only the linear modifier.
///
/// # Safety
/// The chain is valid.
unsafe fn only_linear(mut next: *const c_void) -> bool {
    type List<'a> = vk::ImageDrmFormatModifierListCreateInfoEXT<'a>;
    type Explicit<'a> = vk::ImageDrmFormatModifierExplicitCreateInfoEXT<'a>;
    use vk::TaggedStructure;
    // SAFETY: the caller's promise: each element begins as `BaseInStructure` does, and its type says
    // what it is; a list has as many modifiers as it says.
    unsafe {
        while let Some(base) = next.cast::<vk::BaseInStructure<'_>>().as_ref() {
            match base.s_type {
                Explicit::STRUCTURE_TYPE => {
                    return (*next.cast::<Explicit<'_>>()).drm_format_modifier == LINEAR;
                }
                List::STRUCTURE_TYPE => {
                    let list = &*next.cast::<List<'_>>();
                    let count = list.drm_format_modifier_count as usize;
                    return count > 0
                        && (0..count).all(|at| *list.p_drm_format_modifiers.add(at) == LINEAR);
                }
                _ => next = base.p_next.cast(),
            }
        }
    }
    false
}
