//! A batch of regions by which of their neighbours are free.
//!
//! Whether a neighbour is free is a coin flip, so who merges regions as they come pays for it twice a region: the
//! processor guesses, and half of what it did meanwhile is thrown away. Sorted first, without a branch,
//! those of a kind come one after another.

/// A few nodes by which of their two neighbours are free.
pub(super) struct Sorted {
    /// Neither, the left one, the right one, both.
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
    /// So many at a time: most of a kind come after another, and all stay in the nearest cache.
    pub(super) const MOST: usize = 32;

    /// Takes a node in, with whether its left and its right neighbour are free.
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
