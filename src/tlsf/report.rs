//! What a block tells about itself: sums, sizes and its regions.

use core::fmt;
use core::iter::{FusedIterator, successors};

use super::Tlsf;
use super::class::{TAIL, smallest_of};
use super::error::KeyError;
use super::pairs::{BORDER, EDGE, Node, PENDING, Pair, USED, index_of, link_at, node_at, nodes_of};
use super::region::{Key, Region, State};

impl Tlsf {
    /// Size of the block in bytes, a multiple of the granule; with that of all [areas](Self::add_area).
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
        // All nodes but the edges and the vacant ones stand for regions.
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
    /// Exact, so it walks all regions of the highest bin: meant for reports.
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

    /// A request of this many bytes or fewer at the granule's alignment is granted; may be 0.
    ///
    /// A lower bound of [`largest_free`](Self::largest_free), less than 1/32 below it, in O(1).
    #[inline]
    pub fn largest_class(&self) -> u64 {
        let highest = self.bitmaps.highest().map_or(0, smallest_of);
        self.bytes(highest.max(self.tail()))
    }

    /// Granules of the free tail, 0 if there is none.
    #[inline(always)]
    pub(super) fn tail(&self) -> u32 {
        let last = node_at(&self.pairs, BORDER).left;
        // Read in any case: whether the last region is free is a coin flip in a full block.
        let size = node_at(&self.pairs, last).size;
        size & u32::from(link_at(&self.pairs, last).is_binned()).wrapping_neg()
    }

    /// The serial that the next allocation gets.
    #[inline]
    pub fn next_serial(&self) -> u32 {
        self.serial
    }

    /// Every key's [index](Key::index) is below this. It never falls; side tables are sized by it.
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
    /// The key is of no allocation that lives.
    #[inline]
    pub fn get(&self, key: Key) -> Result<Region, KeyError> {
        let (node, link, _) = self.find_node(key.index()).ok_or(KeyError::Unknown)?;
        if link.next == key.serial() && link.prev >= PENDING {
            Ok(self.region_of(node))
        } else {
            Err(KeyError::Stale)
        }
    }

    /// The region that a key's [index](Key::index) stands for now, whoever owns it; none if no region
    /// has it. O(1).
    ///
    /// For tables that remember where an allocation was put and want to know whether it lives.
    #[inline]
    pub fn region_at(&self, index: u32) -> Option<Region> {
        let (node, link, _) = self.find_node(index)?;
        link.is_of_region().then(|| self.region_of(node))
    }

    /// All regions in the order of their addresses; those of the range that it was made with before those of
    /// areas. O(1) per region.
    pub fn regions(&self) -> Regions<'_> {
        Regions::from(self, node_at(&self.pairs, BORDER).right, true)
    }

    /// Where the free regions begin, in the order of the bins. With [`regions`](Self::regions) it is
    /// all that decides about future operations: tests compare whole states by it.
    #[doc(hidden)]
    pub fn search_order(&self) -> impl Iterator<Item = u64> {
        let next = |bin: &u32| self.bitmaps.first_from(bin + 1);
        let bins = successors(self.bitmaps.first_from(0), next);
        let nodes = bins.flat_map(|bin| nodes_of(&self.pairs, bin));
        nodes.map(|node| self.bytes(node_at(&self.pairs, node).start))
    }

    /// What the node of a region says.
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

/// The regions of a block or of an area in the order of their addresses, made by [`Tlsf::regions`] and
/// [`Tlsf::area_regions`].
#[derive(Clone, Debug)]
pub struct Regions<'a> {
    tlsf: &'a Tlsf,
    next: Option<u32>,
    /// It goes on with the next area.
    all: bool,
}

impl<'a> Regions<'a> {
    /// The regions from the one at a place on, or from the edge there.
    pub(super) fn from(tlsf: &'a Tlsf, place: u32, all: bool) -> Self {
        let mut regions = Self { tlsf, next: None, all };
        regions.go_to(place);
        regions
    }

    /// Goes to a region, or over an edge to the first region of the next area.
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
