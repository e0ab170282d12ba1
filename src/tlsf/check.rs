//! Checks of every invariant of a block.

use thiserror::Error;

use super::class::{BINS, COLUMNS, ROWS, row_of};
use super::pairs::{
    BORDER, EDGE, Link, Node, PAIRS, PENDING, SHUT, USED, VACANT, index_of, is_node, link_at,
    node_at,
};
use super::{Sum, Tlsf, bin_beside};

/// An invariant that does not hold. This is a bug of this crate, never of its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Broken {
    /// The regions are not adjacent, or do not cover the block or area from its beginning to its
    /// end.
    #[error("node {node}: the regions do not lie side by side")]
    Gap {
        /// The node after the gap. If the gap is at the end, the edge node, which is 0 for the
        /// block.
        node: u32,
    },
    /// A node and its neighbour do not refer to each other.
    #[error("node {node}: its left neighbour does not name it")]
    Neighbour {
        /// The node whose left neighbour is wrong.
        node: u32,
    },
    /// Two adjacent regions are both free.
    #[error("node {node}: free, and so is the region before it")]
    NotMerged {
        /// The second of them.
        node: u32,
    },
    /// The mark of a node does not match its region.
    #[error("node {node}: neither free in a bin, nor used, nor pending")]
    Mark {
        /// The node with the mark.
        node: u32,
    },
    /// The ring of a bin is broken.
    #[error("bin {bin}: its ring is broken")]
    Ring {
        /// The bin.
        bin: u32,
    },
    /// A region is in a bin that is not the bin of its size.
    #[error("node {node}: in bin {bin}, where it does not belong")]
    WrongBin {
        /// The region's node.
        node: u32,
        /// The bin that contains it.
        bin: u32,
    },
    /// A bit of the bitmaps is set although its bin is empty, or the other way round.
    #[error("bin {bin}: its bit does not tell whether it is empty")]
    Bit {
        /// The bin, or the first bin of a row.
        bin: u32,
    },
    /// A free region is in no bin, or a bin contains a node that has no region.
    #[error("{regions} free regions, {binned} in bins")]
    Unbinned {
        /// The number of free regions in address order.
        regions: u32,
        /// The number of nodes in bins.
        binned: u32,
    },
    /// The list of vacant nodes does not match the nodes that have no region.
    #[error("{expected} nodes stand for no region, {found} are in the list of vacant ones")]
    Vacant {
        /// The number of nodes that have no region.
        expected: u32,
        /// The number of nodes in the list.
        found: u32,
    },
    /// A count or a sum of bytes is wrong.
    #[error("the counts are not those of the regions")]
    Count,
}

impl Tlsf {
    /// Checks every invariant; meant for tests. O(nodes).
    ///
    /// The regions cover the block and each area without gap or overlap. No two adjacent regions
    /// are both free. Each free region is in exactly the bin of its size, and the tail is in its
    /// own bin. A bit is set iff its bin has a region. The counts and sums match the regions. Every
    /// other node is vacant.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        let free = self.check_regions()?;
        self.check_bins(free)?;
        self.check_vacant()
    }

    /// The link and the node at a place, if there is a node.
    fn record(&self, node: u32) -> Option<(Link, Node)> {
        let is_one =
            is_node(node) && (node - BORDER) % PAIRS == 0 && (node as usize) < self.pairs.len();
        is_one.then(|| (link_at(&self.pairs, node), node_at(&self.pairs, node)))
    }

    /// Walks the areas. Returns the number of regions that are free and not shut.
    fn check_regions(&self) -> Result<u32, Broken> {
        let mut counts = Counts::default();
        let (mut edge, mut areas, mut end) = (BORDER, 0, 0);
        loop {
            let lost = Broken::Neighbour { node: number(edge) };
            let (link, node) = self.record(edge).ok_or(lost)?;
            if link.prev != EDGE || areas > self.areas || node.start < end {
                return Err(lost);
            }
            self.check_area(edge, &mut counts)?;
            end = node.start.checked_add(node.size).ok_or(Broken::Gap { node: number(edge) })?;
            counts.units += u64::from(node.size);
            edge = link.next;
            if edge == BORDER {
                break;
            }
            areas += 1;
        }
        let Counts { taken, pending, free, shut, units } = counts;
        let sums = taken == self.taken && pending == self.pending && units == u64::from(self.units);
        if areas == self.areas && sums && free == self.free_count() {
            Ok(free - shut)
        } else {
            Err(Broken::Count)
        }
    }

    /// Walks the regions of an area in address order, and counts them.
    fn check_area(&self, edge: u32, counts: &mut Counts) -> Result<(), Broken> {
        let area = node_at(&self.pairs, edge);
        let (mut left, mut at, mut end) = (edge, area.right, u64::from(area.start));
        let area_end = end + u64::from(area.size);
        let mut left_free = false;
        while at != edge {
            let (link, region) = self.record(at).ok_or(Broken::Neighbour { node: number(at) })?;
            let node = index_of(at);
            if region.left != left {
                return Err(Broken::Neighbour { node });
            }
            let outside = u64::from(region.size) > area_end - end;
            if u64::from(region.start) != end || region.size == 0 || outside {
                return Err(Broken::Gap { node });
            }
            match link.prev {
                USED.. => counts.taken.add(region.size),
                PENDING => {
                    counts.taken.add(region.size);
                    counts.pending.add(region.size);
                }
                SHUT => (counts.free, counts.shut) = (counts.free + 1, counts.shut + 1),
                _ if link.is_binned() => counts.free += 1,
                _ => return Err(Broken::Mark { node }),
            }
            if link.is_at_rest() && left_free {
                return Err(Broken::NotMerged { node });
            }
            left_free = link.is_at_rest();
            end += u64::from(region.size);
            (left, at) = (at, region.right);
        }
        if end != area_end {
            return Err(Broken::Gap { node: index_of(edge) });
        }
        if area.left != left { Err(Broken::Neighbour { node: index_of(edge) }) } else { Ok(()) }
    }

    /// Walks every bin that is not empty.
    fn check_bins(&self, free: u32) -> Result<(), Broken> {
        let mut binned = 0;
        let (mut rows, mut columns) = (0, [0; ROWS]);
        for bin in 0..BINS {
            let link = link_at(&self.pairs, bin);
            let empty = Link { next: bin, prev: bin };
            if link != empty {
                binned += self.check_ring(bin)?;
                columns[row_of(bin) as usize] |= 1 << (bin % COLUMNS);
                rows |= 1 << row_of(bin);
            }
        }
        for (row, (ours, theirs)) in (0..).zip(columns.iter().zip(&self.bitmaps.columns)) {
            if ours != theirs {
                return Err(Broken::Bit { bin: row * COLUMNS + (ours ^ theirs).trailing_zeros() });
            }
        }
        if rows != self.bitmaps.rows {
            let wrong = (rows ^ self.bitmaps.rows).trailing_zeros();
            return Err(Broken::Bit { bin: wrong * COLUMNS });
        }
        if binned != free {
            return Err(Broken::Unbinned { regions: free, binned });
        }
        Ok(())
    }

    /// Walks a bin that is not empty. Returns the number of regions in it.
    fn check_ring(&self, bin: u32) -> Result<u32, Broken> {
        let mut binned = 0;
        let (mut before, mut place) = (bin, link_at(&self.pairs, bin).next);
        // Each link must refer back to the one from which the walk came, so the walk ends.
        while let Some((link, region)) = self.record(place) {
            if link.prev != before {
                break;
            }
            if bin_beside(region.size, region.right) != bin {
                return Err(Broken::WrongBin { node: index_of(place), bin });
            }
            (before, place) = (place, link.next);
            binned += 1;
        }
        // The walk must end at a bin, and it must be this bin.
        let is_closed = place == bin && link_at(&self.pairs, bin).prev == before;
        if is_closed { Ok(binned) } else { Err(Broken::Ring { bin }) }
    }

    /// Walks the list of vacant nodes.
    fn check_vacant(&self) -> Result<(), Broken> {
        let regions = self.taken.count + self.free_count();
        let expected = self.index_bound() - 1 - self.areas - regions;
        let (mut found, mut at) = (0, self.vacant.first);
        while at != BORDER && found <= expected {
            match self.record(at) {
                Some((link, _)) if link.prev == VACANT => at = link.next,
                _ => return Err(Broken::Mark { node: number(at) }),
            }
            found += 1;
        }
        if found != expected || found != self.vacant.count {
            return Err(Broken::Vacant { expected, found });
        }
        Ok(())
    }
}

/// The counts of a walk over all regions.
#[derive(Default)]
struct Counts {
    taken: Sum,
    pending: Sum,
    free: u32,
    /// The number of those that are in areas that are shut.
    shut: u32,
    /// Granules of all areas.
    units: u64,
}

/// How a report denotes a place that should be a node's: by the index of the node there.
fn number(place: u32) -> u32 {
    place.checked_sub(BORDER).map_or(u32::MAX, |pairs| pairs / PAIRS)
}

#[cfg(test)]
mod tests;
