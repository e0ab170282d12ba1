//! The bins: free regions by size class, found through two levels of bitmaps.

use alloc::vec::Vec;

use super::class::{BINS, COLUMNS, ROWS, UNITS_BOUND, row_of};

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
    /// Bit `r` is set iff `columns[r]` is not 0.
    pub(super) rows: u64,
    /// Bit `c` of `columns[r]` is set iff the ring of bin `32 r + c` has a region.
    pub(super) columns: [u32; ROWS],
    /// Links by place.
    pub(super) links: Vec<Link>,
}

impl Bins {
    /// All bins empty, no nodes; `None` if the host is out of memory.
    pub(super) fn new() -> Option<Self> {
        let mut links = Vec::new();
        links.try_reserve_exact(BINS as usize).ok()?;
        links.extend((0..BINS).map(|bin| Link { next: bin, prev: bin }));
        Some(Self { rows: 0, columns: [0; ROWS], links })
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

    /// The lowest bin from `bin` on that has a region. Reads three words at most.
    #[inline]
    pub(super) fn first_from(&self, bin: u32) -> Option<u32> {
        let row = row_of(bin);
        let columns = self.columns[row as usize] & (u32::MAX << (bin % COLUMNS));
        if columns != 0 {
            return Some(row * COLUMNS + columns.trailing_zeros());
        }
        let rows = self.rows & (u64::MAX << row << 1);
        if rows == 0 {
            return None;
        }
        let row = rows.trailing_zeros();
        Some(row * COLUMNS + self.columns[row as usize].trailing_zeros())
    }

    /// The highest bin up to `bin` that has a region.
    #[inline]
    pub(super) fn last_up_to(&self, bin: u32) -> Option<u32> {
        let row = row_of(bin);
        let columns = self.columns[row as usize] & (u32::MAX >> (COLUMNS - 1 - bin % COLUMNS));
        if columns != 0 {
            return Some(row * COLUMNS + columns.ilog2());
        }
        let rows = self.rows & !(u64::MAX << row);
        let row = rows.checked_ilog2()?;
        Some(row * COLUMNS + self.columns[row as usize].ilog2())
    }

    /// The nodes of a bin, the first tried first.
    pub(super) fn nodes_of(&self, bin: u32) -> impl Iterator<Item = u32> {
        let after = |place: u32| node_at(self.links[place as usize].next);
        core::iter::successors(after(bin), move |&node| after(place_of(node)))
    }

    /// Puts a node at the front of a bin.
    #[inline]
    pub(super) fn insert(&mut self, node: u32, bin: u32) {
        let place = place_of(node);
        let next = self.links[bin as usize].next;
        self.links[bin as usize].next = place;
        self.links[place as usize] = Link { next, prev: bin };
        // In an empty bin this is the bin's own link.
        self.links[next as usize].prev = place;
        let row = row_of(bin);
        self.columns[row as usize] |= 1 << (bin % COLUMNS);
        self.rows |= 1 << row;
    }

    /// Takes a node out of the bin it is in.
    #[inline]
    pub(super) fn remove(&mut self, node: u32, bin: u32) {
        let Link { next, prev } = self.link(node);
        self.links[prev as usize].next = next;
        self.links[next as usize].prev = prev;
        // Only a bin is on both sides of its last region. Whether this was the last is a coin flip in
        // a small block, so the bits are computed, not branched on.
        let emptied = u32::from(next == prev);
        let row = row_of(bin);
        let columns = self.columns[row as usize] & !(emptied << (bin % COLUMNS));
        self.columns[row as usize] = columns;
        self.rows &= !(u64::from(columns == 0) << row);
    }
}
