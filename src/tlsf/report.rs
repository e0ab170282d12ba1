//! Reports about a block: sums, sizes and its regions.

use core::fmt;
use core::iter::{FusedIterator, successors};

use super::Tlsf;
use super::class::{TAIL, smallest_of};
use super::error::KeyError;
use super::pairs::{BORDER, EDGE, Node, PENDING, Pair, USED, index_of, link_at, node_at, nodes_of};
use super::region::{Key, Region, State};

impl Tlsf {
    /// The size of the block in bytes, a multiple of the granule, including all
    /// [areas](Self::add_area).
    #[inline]
    pub fn size(&self) -> u64 {
        self.bytes(self.units)
    }

    /// The granule in bytes: every offset and size is a multiple of it.
    #[inline]
    pub fn granule(&self) -> u64 {
        1 << self.shift
    }

    /// Bytes in free regions.
    #[inline]
    pub fn free_bytes(&self) -> u64 {
        self.bytes(self.units - self.taken.units)
    }

    /// Bytes in used regions.
    #[inline]
    pub fn used_bytes(&self) -> u64 {
        self.bytes(self.taken.units - self.pending.units)
    }

    /// Bytes in pending regions.
    #[inline]
    pub fn pending_bytes(&self) -> u64 {
        self.bytes(self.pending.units)
    }

    /// Number of free regions.
    #[inline]
    pub fn free_count(&self) -> u32 {
        // All nodes except edges and vacant ones have regions.
        self.index_bound() - 1 - self.areas - self.vacant.count - self.taken.count
    }

    /// Number of used regions.
    #[inline]
    pub fn used_count(&self) -> u32 {
        self.taken.count - self.pending.count
    }

    /// Number of pending regions.
    #[inline]
    pub fn pending_count(&self) -> u32 {
        self.pending.count
    }

    /// Number of regions that are not free.
    #[inline]
    pub(crate) fn taken_count(&self) -> u32 {
        self.taken.count
    }

    /// Whether nothing is used or pending.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taken.count == 0
    }

    /// Size of the largest free region in bytes, 0 if there is none.
    ///
    /// This is exact, so it walks all regions of the highest bin. It is meant for reports.
    ///
    /// O(ranges of the largest class).
    pub fn largest_free(&self) -> u64 {
        let largest_of = |bin: u32| {
            let sizes = nodes_of(&self.pairs, bin).map(|node| node_at(&self.pairs, node).size);
            sizes.max().unwrap_or(0)
        };
        let highest = self.bitmaps.highest().map_or(0, largest_of);
        self.bytes(highest.max(largest_of(TAIL)))
    }

    /// A request of at most this many bytes with the granule's alignment succeeds. May be 0.
    ///
    /// This is a lower bound of [`largest_free`](Self::largest_free), less than 1/32 below it, in
    /// O(1).
    #[inline]
    pub fn largest_class(&self) -> u64 {
        let highest = self.bitmaps.highest().map_or(0, smallest_of);
        self.bytes(highest.max(self.tail()))
    }

    /// The granules of the free tail, 0 if there is none.
    #[inline(always)]
    pub(super) fn tail(&self) -> u32 {
        let last = node_at(&self.pairs, BORDER).left;
        // Read in any case: whether the last region is free is unpredictable in a full block.
        let size = node_at(&self.pairs, last).size;
        size & u32::from(link_at(&self.pairs, last).is_binned()).wrapping_neg()
    }

    /// The serial that the next allocation gets.
    #[inline]
    pub fn next_serial(&self) -> u32 {
        self.serial
    }

    /// The [index](Key::index) of every key is below this. It never decreases. Use it to size side
    /// tables.
    #[inline]
    pub fn index_bound(&self) -> u32 {
        index_of(self.pairs.len() as u32)
    }

    /// Bytes of host memory held for this block, in use or reserved.
    pub fn metadata_bytes(&self) -> usize {
        size_of::<Self>() + self.pairs.capacity() * size_of::<Pair>()
    }

    /// The region of a used or pending allocation.
    ///
    /// O(1).
    ///
    /// # Errors
    /// The key does not name a live allocation.
    #[inline]
    pub fn get(&self, key: Key) -> Result<Region, KeyError> {
        let (node, link, _) = self.find_node(key.index()).ok_or(KeyError::Unknown)?;
        if link.next == key.serial() && link.prev >= PENDING {
            Ok(self.region_of(node))
        } else {
            Err(KeyError::Stale)
        }
    }

    /// The region at the [index](Key::index) of a key now, whoever owns it; `None` if there is
    /// none. O(1).
    ///
    /// For tables that remember where an allocation was and need to know whether it is live.
    #[inline]
    pub fn region_at(&self, index: u32) -> Option<Region> {
        let (node, link, _) = self.find_node(index)?;
        link.is_of_region().then(|| self.region_of(node))
    }

    /// All regions in address order: first those of the range for which the block was created, and
    /// then those of areas. O(1) per region.
    pub fn regions(&self) -> Regions<'_> {
        Regions::from(self, node_at(&self.pairs, BORDER).right, true)
    }

    /// The starts of the free regions, in the order of the bins. Together with
    /// [`regions`](Self::regions) this determines all future operations, so tests use it to compare
    /// whole states.
    #[doc(hidden)]
    pub fn search_order(&self) -> impl Iterator<Item = u64> {
        let next = |bin: &u32| self.bitmaps.first_from(bin + 1);
        let bins = successors(self.bitmaps.first_from(0), next);
        let nodes = bins.flat_map(|bin| nodes_of(&self.pairs, bin));
        nodes.map(|node| self.bytes(node_at(&self.pairs, node).start))
    }

    /// The region that a node describes.
    #[inline]
    fn region_of(&self, node: u32) -> Region {
        let link = link_at(&self.pairs, node);
        let Node { start, size, .. } = node_at(&self.pairs, node);
        let (state, key) = match link.prev {
            USED.. => (State::Used, Some(Key::new(index_of(node), link.next))),
            PENDING => (State::Pending, Some(Key::new(index_of(node), link.next))),
            _ => (State::Free, None),
        };
        Region { state, offset: self.bytes(start), size: self.bytes(size), key }
    }
}

impl fmt::Debug for Tlsf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tlsf")
            .field("size", &self.size())
            .field("granule", &self.granule())
            .field("used", &self.used_bytes())
            .field("pending", &self.pending_bytes())
            .field("free", &self.free_bytes())
            .field("regions", &(self.taken.count + self.free_count()))
            .finish_non_exhaustive()
    }
}

/// The regions of a block or of an area in address order, returned by [`Tlsf::regions`] and
/// [`Tlsf::area_regions`].
#[derive(Clone, Debug)]
pub struct Regions<'a> {
    tlsf: &'a Tlsf,
    next: Option<u32>,
    /// Whether to continue with the next area.
    all: bool,
}

impl<'a> Regions<'a> {
    /// The regions from a place on; if it is the place of an edge, from the first region of its
    /// area.
    pub(super) fn from(tlsf: &'a Tlsf, place: u32, all: bool) -> Self {
        let mut regions = Self { tlsf, next: None, all };
        regions.go_to(place);
        regions
    }

    /// Moves to a region or, at an edge, to the first region of the next area.
    fn go_to(&mut self, mut place: u32) {
        let pairs = &self.tlsf.pairs;
        loop {
            let link = link_at(pairs, place);
            self.next = (link.prev != EDGE).then_some(place);
            if self.next.is_some() || !self.all || link.next == BORDER {
                return;
            }
            place = node_at(pairs, link.next).right;
        }
    }
}

impl Iterator for Regions<'_> {
    type Item = Region;

    fn next(&mut self) -> Option<Region> {
        let place = self.next?;
        self.go_to(node_at(&self.tlsf.pairs, place).right);
        Some(self.tlsf.region_of(place))
    }
}

impl FusedIterator for Regions<'_> {}
