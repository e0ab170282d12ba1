//! Who watches a block.

use ash::vk;

use crate::vulkan::Mapping;

/// Whether the memory of a block that the GPU watches is as the driver gave it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Fresh {
    /// It is not, or nobody asks.
    #[default]
    No,
    /// No scrub has gone over it.
    Yes,
    /// Nor had one when somebody got some of it, which was told.
    Told,
}

/// Who keeps a block's guards.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Sight {
    /// Nobody: it is not guarded.
    #[default]
    None,
    /// The host, through the block's mapping.
    Host(Mapping),
    /// The GPU, through a buffer over the whole block, which goes before its memory.
    Gpu(vk::Buffer),
}
