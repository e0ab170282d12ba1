//! The bins: free regions by size class, found through two levels of bitmaps.

use alloc::vec::Vec;

use super::bitmaps::Bitmaps;
use super::class::{BINS, UNITS_BOUND};

/// Two neighbours in a ring, or what stands in their place while a region is in no ring.
///
/// A *place* is an index into the links: first the bins' own links, then one per node. The bin itself
/// is a member of its ring, so taking a region out has no special case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// The place after this one; the serial while the region is used or pending.
    pub(super) next: u32,
    /// The place before this one, or one of the marks below, which are no places.
    pub(super) prev: u32,
}

impl Link {
    /// Whether this is the link of a free region in a bin.
    #[inline]
    pub(super) const fn is_binned(self) -> bool {
        self.prev < LOOSE
    }

    /// Whether this is the link of a free region, in a bin or loose.
    #[inline]
    pub(super) const fn is_free(self) -> bool {
        self.prev <= LOOSE
    }
}

/// Mark of a used region. `next` is its serial.
pub(super) const USED: u32 = u32::MAX;
/// Mark of a pending region. `next` is its serial.
pub(super) const PENDING: u32 = u32::MAX - 1;
/// Mark of a node that stands for no region. `next` is the next vacant node, or 0.
pub(super) const VACANT: u32 = u32::MAX - 2;
/// Mark of a region just reached that waits to be put in a bin. `next` is its serial.
pub(super) const LOOSE: u32 = u32::MAX - 3;

// There are fewer nodes than granules and an eighth more, so no place is a mark.
const _: () = assert!(BINS + UNITS_BOUND + UNITS_BOUND / 8 < LOOSE);

/// The place of a node.
#[inline]
pub(super) const fn place_of(node: u32) -> u32 {
    BINS + node
}

/// The node at a place, none if a bin is there.
#[inline]
pub(super) const fn node_at(place: u32) -> Option<u32> {
    place.checked_sub(BINS)
}

/// All bins of a block, and the link of every node.
#[derive(Clone)]
pub(super) struct Bins {
    /// Which of them have a region.
    pub(super) bitmaps: Bitmaps,
    /// Links by place.
    pub(super) links: Vec<Link>,
}

impl Bins {
    /// All bins empty, no nodes; `None` if the host is out of memory.
    pub(super) fn new() -> Option<Self> {
        let mut links = Vec::new();
        links.try_reserve_exact(BINS as usize).ok()?;
        links.extend((0..BINS).map(|bin| Link { next: bin, prev: bin }));
        Some(Self { bitmaps: Bitmaps::default(), links })
    }

    /// The link of a node.
    #[inline]
    pub(super) fn link(&self, node: u32) -> Link {
        self.links[place_of(node) as usize]
    }

    /// The link of a node that may not be there.
    #[inline]
    pub(super) fn get(&self, node: u32) -> Option<Link> {
        self.links.get(BINS.saturating_add(node) as usize).copied()
    }

    /// Sets the link of a node that is in no ring.
    #[inline]
    pub(super) fn set_link(&mut self, node: u32, next: u32, mark: u32) {
        self.links[place_of(node) as usize] = Link { next, prev: mark };
    }

    /// The nodes of a bin, the first tried first.
    pub(super) fn nodes_of(&self, bin: u32) -> impl Iterator<Item = u32> {
        let after = |place: u32| node_at(self.links[place as usize].next);
        core::iter::successors(after(bin), move |&node| after(place_of(node)))
    }
}
