//! The nodes and the bins of a block, borrowed together for one operation.
//!
//! The address and the length of a slice stay in registers while an operation writes to it; those
//! of a vector would be read again after each write.

use super::bitmaps::Bitmaps;
use super::class::{TAIL, bin_of};
use super::pairs::{BORDER, LOOSE, Link, Node, Pair, VACANT, link_at, node_at};
use super::sorted::Sorted;

/// The nodes that have no region, as a list.
#[derive(Clone, Copy)]
pub(super) struct Vacant {
    /// The first of them, or the border if there is none.
    pub(super) first: u32,
    /// The length of the list.
    pub(super) count: u32,
}

impl Default for Vacant {
    fn default() -> Self {
        Self { first: BORDER, count: 0 }
    }
}

/// The tables of a block.
pub(super) struct Table<'a> {
    /// The links of the bins, then the nodes.
    pub(super) pairs: &'a mut [Pair],
    pub(super) bitmaps: &'a mut Bitmaps,
    pub(super) vacant: &'a mut Vacant,
}

/// The bin of a free region whose right neighbour is `right`.
#[inline(always)]
pub(super) fn bin_beside(units: u32, right: u32) -> u32 {
    if right == BORDER { TAIL } else { bin_of(units) }
}

impl Table<'_> {
    #[inline(always)]
    pub(super) fn node(&self, node: u32) -> Node {
        node_at(self.pairs, node)
    }

    #[inline(always)]
    pub(super) fn set_node(&mut self, at: u32, node: Node) {
        let at = at as usize;
        // The higher index first, so that one check covers both.
        self.pairs[at + 2] = [node.left, node.right];
        self.pairs[at + 1] = [node.start, node.size];
    }

    #[inline(always)]
    pub(super) fn set_left(&mut self, node: u32, left: u32) {
        self.pairs[node as usize + 2][0] = left;
    }

    #[inline(always)]
    pub(super) fn set_right(&mut self, node: u32, right: u32) {
        self.pairs[node as usize + 2][1] = right;
    }

    /// The link of a node.
    #[inline(always)]
    pub(super) fn link(&self, node: u32) -> Link {
        link_at(self.pairs, node)
    }

    /// Sets the link of a node that is in no ring.
    #[inline(always)]
    pub(super) fn set_link(&mut self, node: u32, link: Link) {
        self.pairs[node as usize] = link.pair();
    }

    /// Puts a node at the front of a bin.
    #[inline(always)]
    pub(super) fn insert(&mut self, node: u32, bin: u32) {
        let head = &mut self.pairs[bin as usize];
        let next = head[0];
        head[0] = node;
        self.set_link(node, Link { next, prev: bin });
        // If the bin is empty, this is the link of the bin itself.
        self.pairs[next as usize][1] = node;
        self.bitmaps.set(bin);
    }

    /// Removes a node from its bin, whichever that is.
    #[inline(always)]
    pub(super) fn remove(&mut self, node: u32) {
        let Link { next, prev } = self.link(node);
        self.pairs[prev as usize][0] = next;
        self.pairs[next as usize][1] = prev;
        // Only the bin itself can be on both sides of its last region; then `next` is the bin.
        self.bitmaps.clear_if(u32::from(next == prev), next);
    }

    /// Takes a node from the list of vacant ones, which must not be empty.
    #[inline(always)]
    pub(super) fn take_vacant(&mut self) -> u32 {
        let node = self.vacant.first;
        let link = self.link(node);
        debug_assert!(node != BORDER && link.prev == VACANT);
        self.vacant.first = link.next;
        self.vacant.count -= 1;
        node
    }

    /// Puts a node on the list of vacant ones.
    #[inline(always)]
    pub(super) fn give_vacant(&mut self, node: u32) {
        self.set_link(node, Link { next: self.vacant.first, prev: VACANT });
        self.vacant.first = node;
        self.vacant.count += 1;
    }

    /// Takes `units` from the front of a free region in `bin`, or all of it. The remainder keeps
    /// the node and, if possible, its bin. Returns the node of the taken part.
    #[inline(always)]
    pub(super) fn cut_front(&mut self, node: u32, bin: u32, units: u32) -> u32 {
        let Node { start, size, left, right } = self.node(node);
        let rest = size - units;
        if rest == 0 {
            self.remove(node);
            return node;
        }
        let taken = self.take_vacant();
        self.set_right(left, taken);
        self.set_node(taken, Node { start, size: units, left, right: node });
        self.set_node(node, Node { start: start + units, size: rest, left: taken, right });
        let rest_bin = bin_beside(rest, right);
        if rest_bin != bin {
            self.remove(node);
            self.insert(node, rest_bin);
        }
        taken
    }

    /// Takes `units` from the middle or the back of a free region. The padding keeps the node and
    /// becomes a free region. The region before it is taken, so it cannot be merged.
    #[inline(always)]
    pub(super) fn cut_middle(&mut self, node: u32, padding: u32, units: u32) -> u32 {
        let Node { start, size, left, right } = self.node(node);
        let rest = size - padding - units;
        let taken = self.take_vacant();
        let last = if rest == 0 { taken } else { self.take_vacant() };
        self.remove(node);
        self.insert(node, bin_of(padding));
        self.set_node(node, Node { start, size: padding, left, right: taken });
        let start = start + padding;
        let after = if rest == 0 { right } else { last };
        self.set_node(taken, Node { start, size: units, left: node, right: after });
        self.set_left(right, last);
        if rest != 0 {
            let start = start + units;
            self.set_node(last, Node { start, size: rest, left: taken, right });
            self.insert(last, bin_beside(rest, right));
        }
        taken
    }

    /// Makes a taken region free and merges it with its free neighbours. Returns the [bin](bin_of)
    /// of the merged size.
    #[inline(always)]
    pub(super) fn release(&mut self, node: u32, region: Node) -> u32 {
        let Node { mut start, mut size, mut left, mut right } = region;
        let mut kept = node;
        let before_is_free = self.link(left).is_binned();
        let after_is_free = self.link(right).is_binned();
        if after_is_free {
            let after = self.node(right);
            if after.right == BORDER {
                return self.grow_tail(node, region, before_is_free);
            }
            self.remove(right);
            self.give_vacant(right);
            size += after.size;
            right = after.right;
        }
        if before_is_free {
            let before = self.node(left);
            self.remove(left);
            self.give_vacant(node);
            kept = left;
            start = before.start;
            size += before.size;
            left = before.left;
        }
        if before_is_free || after_is_free {
            self.set_node(kept, Node { start, size, left, right });
            self.set_left(right, kept);
        }
        self.insert(kept, bin_beside(size, right));
        bin_of(size)
    }

    /// [`release`](Self::release) for the region before the tail: the start of the tail moves down,
    /// and the tail keeps its position in its bin.
    #[inline(always)]
    fn grow_tail(&mut self, node: u32, region: Node, before_is_free: bool) -> u32 {
        let Node { mut start, size, mut left, right: tail } = region;
        let mut size = size + self.node(tail).size;
        self.give_vacant(node);
        if before_is_free {
            let before = self.node(left);
            self.remove(left);
            self.give_vacant(left);
            start = before.start;
            size += before.size;
            left = before.left;
        }
        self.set_right(left, tail);
        self.set_node(tail, Node { start, size, left, right: BORDER });
        bin_of(size)
    }

    /// Puts loose regions into their bins, merged with their free neighbours. At most
    /// [`Sorted::MOST`].
    #[inline(always)]
    pub(super) fn settle_all(&mut self, nodes: impl Iterator<Item = u32>) {
        let mut sorted = Sorted::default();
        for node in nodes {
            let [left, right] = self.pairs[node as usize + 2];
            sorted.put(node, [left, right].map(|beside| self.link(beside).is_free()));
        }
        let [none, left, right, both] = sorted.kinds();
        none.for_each(|node| self.settle::<false, false>(node));
        left.for_each(|node| self.settle::<true, false>(node));
        right.for_each(|node| self.settle::<false, true>(node));
        both.for_each(|node| self.settle::<true, true>(node));
    }

    /// Puts a loose region into its bin, merged with its free neighbours on the given sides, or
    /// merges it into a loose neighbour before it. A region that is no longer loose is part of a
    /// neighbour already.
    #[inline(always)]
    fn settle<const LEFT: bool, const RIGHT: bool>(&mut self, node: u32) {
        if self.link(node).prev != LOOSE {
            return;
        }
        let Node { mut start, mut size, mut left, mut right } = self.node(node);
        let mut kept = node;
        if RIGHT {
            // Loose neighbours after it, each of which is visited once in the batch. A neighbour in
            // a bin is the last one, because its own neighbours are taken or loose.
            let mut link = self.link(right);
            while link.is_free() {
                let after = self.node(right);
                if link.is_binned() {
                    self.remove(right);
                }
                self.give_vacant(right);
                size += after.size;
                right = after.right;
                link = self.link(right);
            }
        }
        let mut is_part = false;
        if LEFT {
            let link = self.link(left);
            let before = self.node(left);
            if link.is_binned() {
                self.remove(left);
            }
            is_part = link.prev == LOOSE;
            self.give_vacant(node);
            kept = left;
            start = before.start;
            size += before.size;
            left = before.left;
        }
        if LEFT || RIGHT {
            self.set_node(kept, Node { start, size, left, right });
            self.set_left(right, kept);
        }
        if !is_part {
            self.insert(kept, bin_beside(size, right));
        }
    }
}
