//! The table of a block: the rings of its bins, and three pairs of numbers for each region.
//!
//! A *place* is an index into the table. First come the links of the bins, one pair each, then the nodes,
//! three pairs each; where a node's link is, is the node's place. All stand in one table, so that the bin
//! itself is a member of its ring, and taking a region out has no special case.
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

/// What the table consists of.
pub(super) type Pair = [u32; 2];

/// Pairs of one node.
pub(super) const PAIRS: u32 = 3;

/// The inverse of [`PAIRS`] among numbers of 32 bits.
const INVERSE: u32 = 0xaaaa_aaab;

const _: () = assert!(PAIRS.wrapping_mul(INVERSE) == 1);

/// The place of node 0, which is no region: it stands before the first and after the last.
pub(super) const BORDER: u32 = BINS;

/// Nodes in a table, the border's among them, are at most so many: then no place is a mark.
pub(super) const NODES_BOUND: usize = ((LOOSE - BINS) / PAIRS) as usize;

/// Two neighbours in a ring, or what stands in their place while a region is in no ring.
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

    /// Whether this is the link of a region, in whatever state.
    #[inline]
    pub(super) const fn is_of_region(self) -> bool {
        self.prev <= LOOSE || self.prev >= SHUT
    }

    /// Whether this is the link of a free region, in a bin or loose.
    #[inline]
    pub(super) const fn is_free(self) -> bool {
        self.prev <= LOOSE
    }

    /// Whether this is the link of a free region that waits for an owner: in a bin, or shut.
    #[inline]
    pub(super) const fn is_at_rest(self) -> bool {
        self.prev < LOOSE || self.prev == SHUT
    }

    pub(super) const fn pair(self) -> Pair {
        [self.next, self.prev]
    }
}

/// Mark of a used region, and all numbers above it: by so much as is [noted](super::Noted) of the region. `next` is
/// its serial.
pub(super) const USED: u32 = LOOSE + 5;
/// Mark of a pending region. `next` is its serial.
pub(super) const PENDING: u32 = LOOSE + 4;
/// Mark of a free region in an area that is shut: in no bin.
pub(super) const SHUT: u32 = LOOSE + 3;
/// Mark of a node that stands for no region. `next` is the next vacant node, or the border.
pub(super) const VACANT: u32 = LOOSE + 2;
/// Mark of an edge: a node that is no region, and stands before the first and after the last of an area. `next` is
/// the next area's edge, or the border, which is an edge too.
pub(super) const EDGE: u32 = LOOSE + 1;
/// Mark of a region just reached that waits to be put in a bin. `next` is its serial. All below are places.
pub(super) const LOOSE: u32 = 1 << 31;

/// What a node tells of its region, in granules. Its link stands before it in the table; what state the
/// region is in stands there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node {
    /// Where the region begins.
    pub(super) start: u32,
    /// Its size.
    pub(super) size: u32,
    /// The place of the node of the region before it; the border stands before the first.
    pub(super) left: u32,
    /// The place of the node of the region after it; the border stands after the last.
    pub(super) right: u32,
}

/// The place of the node with this index, wherever the table ends.
#[inline]
pub(super) const fn place_of(index: u32) -> u64 {
    BORDER as u64 + index as u64 * PAIRS as u64
}

/// The index of the node at a place.
#[inline]
pub(super) const fn index_of(node: u32) -> u32 {
    debug_assert!((node - BORDER) % PAIRS == 0);
    // Nothing is left over, so the division is a product.
    (node - BORDER).wrapping_mul(INVERSE)
}

/// Whether a node is at a place of a ring, not a bin.
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
    // The last first: one check for all.
    let [left, right] = pairs[node + 2];
    let [start, size] = pairs[node + 1];
    Node { start, size, left, right }
}

/// The nodes of a bin, the first tried first.
pub(super) fn nodes_of(pairs: &[Pair], bin: u32) -> impl Iterator<Item = u32> {
    let after = |place: u32| Some(link_at(pairs, place).next).filter(|&place| is_node(place));
    core::iter::successors(after(bin), move |&node| after(node))
}
