//! How the guards of a block are maintained.

use ash::vk;

use crate::vulkan::Mapping;

/// Whether the memory of a block that the GPU watches is still as the driver provided it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Fresh {
    /// It is not, or this does not matter.
    #[default]
    No,
    /// No scrub has processed it.
    Yes,
    /// No scrub had processed it when a part was handed out, which was reported.
    Told,
}

/// Who maintains the guards of a block.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Sight {
    /// Nobody: it is not guarded.
    #[default]
    None,
    /// The host, through the block's mapping.
    Host(Mapping),
    /// The GPU, through a buffer over the whole block, which is destroyed before the memory.
    Gpu(vk::Buffer),
}
