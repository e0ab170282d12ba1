//! A batch of regions, sorted by which of their neighbours are free.
//!
//! Whether a neighbour is free is unpredictable. If regions are merged in the order in which they
//! come, the processor mispredicts about half of the branches, two for each region. If they are
//! first sorted without a branch, those of the same kind follow each other.

/// A few nodes, sorted by which of their two neighbours are free.
pub(super) struct Sorted {
    /// The kinds: neither neighbour, the left one, the right one, both.
    nodes: [[u32; Self::MOST]; 4],
    counts: [usize; 4],
}

impl Default for Sorted {
    #[inline(always)]
    fn default() -> Self {
        Self { nodes: [[0; Self::MOST]; 4], counts: [0; 4] }
    }
}

impl Sorted {
    /// The maximum number of nodes: large enough for long runs of one kind, and small enough for
    /// the nearest cache.
    pub(super) const MOST: usize = 32;

    /// Adds a node, with whether its left and its right neighbour are free.
    #[inline(always)]
    pub(super) fn put(&mut self, node: u32, [left, right]: [bool; 2]) {
        let kind = usize::from(left) | usize::from(right) << 1;
        let count = &mut self.counts[kind];
        self.nodes[kind][*count % Self::MOST] = node;
        *count += 1;
    }

    /// The nodes of each kind.
    #[inline(always)]
    pub(super) fn kinds(&self) -> [impl Iterator<Item = u32>; 4] {
        [0, 1, 2, 3].map(|kind| self.nodes[kind].iter().copied().take(self.counts[kind]))
    }
}
