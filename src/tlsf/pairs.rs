//! The table of a block: the rings of its bins, and three pairs of numbers for each node.
//!
//! A *place* is an index into the table. The links of the bins come first, one pair each, followed
//! by the nodes, three pairs each. The place of a node is that of its link. Because bins and nodes
//! are in one table, the bin itself is a member of its ring, and removing a region has no special
//! case.
//!
//! ```text
//! place 0    1         992     993                    996
//!      ┌──────┬──────┬───┬──────┬──────┬───────┬───────┬──────┬───────┬───────┬───
//!      │ next │ next │ … │ next │ next │ start │ left  │ next │ start │ left  │ …
//!      │ prev │ prev │   │ prev │ prev │ size  │ right │ prev │ size  │ right │
//!      └──────┴──────┴───┴──────┴──────┴───────┴───────┴──────┴───────┴───────┴───
//!       bin 0  bin 1      TAIL   node 0: the border     node 1
//! ```

use super::class::BINS;

/// The element of the table.
pub(super) type Pair = [u32; 2];

/// The number of pairs of a node.
pub(super) const PAIRS: u32 = 3;

/// The inverse of [`PAIRS`] modulo 2³².
const INVERSE: u32 = 0xaaaa_aaab;

const _: () = assert!(PAIRS.wrapping_mul(INVERSE) == 1);

/// The place of node 0, which has no region: it is before the first region and after the last.
pub(super) const BORDER: u32 = BINS;

/// The maximum number of nodes in a table, including the border. It ensures that no place equals a
/// mark.
pub(super) const NODES_BOUND: usize = ((LOOSE - BINS) / PAIRS) as usize;

/// Two neighbours in a ring, or other values while the region is in no ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// The next place in the ring; the serial if the region is used or pending.
    pub(super) next: u32,
    /// The previous place in the ring, or one of the marks below, which are not places.
    pub(super) prev: u32,
}

impl Link {
    /// Whether this is the link of a free region in a bin.
    #[inline]
    pub(super) const fn is_binned(self) -> bool {
        self.prev < LOOSE
    }

    /// Whether this is the link of a region in any state.
    #[inline]
    pub(super) const fn is_of_region(self) -> bool {
        self.prev <= LOOSE || self.prev >= SHUT
    }

    /// Whether this is the link of a free region, in a bin or loose.
    #[inline]
    pub(super) const fn is_free(self) -> bool {
        self.prev <= LOOSE
    }

    /// Whether this is the link of a free region that is in a bin or shut.
    #[inline]
    pub(super) const fn is_at_rest(self) -> bool {
        self.prev < LOOSE || self.prev == SHUT
    }

    pub(super) const fn pair(self) -> Pair {
        [self.next, self.prev]
    }
}

/// The mark of a used region, plus the number that is [noted](super::Noted) of the region. `next`
/// is its serial.
pub(super) const USED: u32 = LOOSE + 5;
/// The mark of a pending region. `next` is its serial.
pub(super) const PENDING: u32 = LOOSE + 4;
/// The mark of a free region in an area that is shut. It is in no bin.
pub(super) const SHUT: u32 = LOOSE + 3;
/// The mark of a node that has no region. `next` is the next vacant node, or the border.
pub(super) const VACANT: u32 = LOOSE + 2;
/// The mark of an edge: a node that has no region, and is before the first and after the last
/// region of an area. `next` is the edge of the next area, or the border, which is an edge too.
pub(super) const EDGE: u32 = LOOSE + 1;
/// The mark of a region that was just reached and has not been put into a bin yet. `next` is its
/// serial. All smaller numbers are places.
pub(super) const LOOSE: u32 = 1 << 31;

/// What a node says about its region, in granules. The state of the region is in the node's link,
/// which is in front of this in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node {
    /// The start of the region.
    pub(super) start: u32,
    /// Its size.
    pub(super) size: u32,
    /// The place of the node of the region before it. The border is before the first region.
    pub(super) left: u32,
    /// The place of the node of the region after it. The border is after the last region.
    pub(super) right: u32,
}

/// The place of the node with this index, even if it is beyond the end of the table.
#[inline]
pub(super) const fn place_of(index: u32) -> u64 {
    BORDER as u64 + index as u64 * PAIRS as u64
}

/// The index of the node at a place.
#[inline]
pub(super) const fn index_of(node: u32) -> u32 {
    debug_assert!((node - BORDER) % PAIRS == 0);
    // There is no remainder, so the division is a multiplication by the inverse.
    (node - BORDER).wrapping_mul(INVERSE)
}

/// Whether a place in a ring is a node, not a bin.
#[inline]
pub(super) const fn is_node(place: u32) -> bool {
    place >= BINS
}

/// The link at a place.
#[inline(always)]
pub(super) fn link_at(pairs: &[Pair], place: u32) -> Link {
    let [next, prev] = pairs[place as usize];
    Link { next, prev }
}

/// The node at a place.
#[inline(always)]
pub(super) fn node_at(pairs: &[Pair], node: u32) -> Node {
    let node = node as usize;
    // The highest index first, so that one check covers all.
    let [left, right] = pairs[node + 2];
    let [start, size] = pairs[node + 1];
    Node { start, size, left, right }
}

/// The nodes of a bin, in the order in which they are tried.
pub(super) fn nodes_of(pairs: &[Pair], bin: u32) -> impl Iterator<Item = u32> {
    let after = |place: u32| Some(link_at(pairs, place).next).filter(|&place| is_node(place));
    core::iter::successors(after(bin), move |&node| after(node))
}
