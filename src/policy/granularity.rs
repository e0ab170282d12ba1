//! `bufferImageGranularity`: linear and optimal resources must not share a page of it.
//!
//! The scheme: optimal images take whole pages, offset and size rounded up. Whatever lies beside
//! such an image then lies on other pages, so no bookkeeping is needed and no search is restarted.

/// Whether a resource's texels or bytes lie in a row or as the driver likes.
///
/// Vulkan keeps the two apart by `bufferImageGranularity`; nothing else depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum ResourceKind {
    /// Buffers, and images of `VK_IMAGE_TILING_LINEAR`.
    Linear,
    /// Images of every other tiling.
    Optimal,
}

/// Size and alignment with the pages of `granularity` kept whole for optimal images.
///
/// `granularity` is a power of two or zero (one driver says so; it means none). Returns `None` when
/// the size overflows.
pub(crate) fn placed(
    kind: ResourceKind,
    size: u64,
    alignment: u64,
    granularity: u64,
) -> Option<(u64, u64)> {
    match kind {
        ResourceKind::Linear => Some((size, alignment)),
        ResourceKind::Optimal => {
            let page = granularity.max(1);
            Some((size.checked_next_multiple_of(page)?, alignment.max(page)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ResourceKind::*, placed};

    #[test]
    fn only_optimal_images_are_rounded_to_pages() {
        assert_eq!(placed(Linear, 100, 4, 1024), Some((100, 4)));
        assert_eq!(placed(Optimal, 100, 4, 1024), Some((1024, 1024)));
        assert_eq!(placed(Optimal, 100, 4096, 1024), Some((1024, 4096)));
        assert_eq!(placed(Optimal, 100, 4, 0), Some((100, 4)));
        assert_eq!(placed(Optimal, u64::MAX, 4, 1024), None);
    }
}
