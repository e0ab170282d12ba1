//! What an operation works on: the nodes, their links and the bins of a block, borrowed at once.
//!
//! A slice's address and length stay in registers while an operation writes to it; those of a vector
//! are read again after each write.

use super::bins::{LOOSE, Link, VACANT, place_of};
use super::bitmaps::Bitmaps;
use super::class::{BINS, TAIL, bin_of};
use super::region::Node;

/// The nodes that stand for no region, in a list.
#[derive(Clone, Copy, Default)]
pub(super) struct Vacant {
    /// The first of them, 0 if there is none.
    pub(super) first: u32,
    /// How many.
    pub(super) count: u32,
}

/// The tables of a block.
pub(super) struct Table<'a> {
    /// Nodes by index.
    pub(super) nodes: &'a mut [Node],
    /// Links by place: those of the bins, then one for each node.
    pub(super) links: &'a mut [Link],
    pub(super) bitmaps: &'a mut Bitmaps,
    pub(super) vacant: &'a mut Vacant,
}

/// The bin of a free region whose right neighbour is `right`.
#[inline(always)]
pub(super) fn bin_beside(units: u32, right: u32) -> u32 {
    if right == 0 { TAIL } else { bin_of(units) }
}

impl Table<'_> {
    #[inline(always)]
    pub(super) fn node(&self, node: u32) -> Node {
        self.nodes[node as usize]
    }

    /// The links of the nodes, by node. As long as the nodes, so that an index checked for one is
    /// checked for both.
    #[inline(always)]
    fn node_links(&mut self) -> &mut [Link] {
        &mut self.links[BINS as usize..][..self.nodes.len()]
    }

    /// The link of a node.
    #[inline(always)]
    pub(super) fn link(&self, node: u32) -> Link {
        self.links[BINS as usize..][..self.nodes.len()][node as usize]
    }

    /// Sets the link of a node that is in no ring.
    #[inline(always)]
    pub(super) fn set_link(&mut self, node: u32, link: Link) {
        self.node_links()[node as usize] = link;
    }

    /// Puts a node at the front of a bin.
    #[inline(always)]
    pub(super) fn insert(&mut self, node: u32, bin: u32) {
        let place = place_of(node);
        let head = &mut self.links[bin as usize];
        let next = head.next;
        head.next = place;
        self.set_link(node, Link { next, prev: bin });
        // In an empty bin this is the bin's own link.
        self.links[next as usize].prev = place;
        self.bitmaps.set(bin);
    }

    /// Takes a node out of the bin it is in, whichever that is.
    #[inline(always)]
    pub(super) fn remove(&mut self, node: u32) {
        let Link { next, prev } = self.link(node);
        self.links[prev as usize].next = next;
        self.links[next as usize].prev = prev;
        // Only the bin itself is on both sides of its last region: then `next` is the bin.
        self.bitmaps.clear_if(u32::from(next == prev), next);
    }

    /// Takes a node off the list of vacant ones, which must not be empty.
    #[inline(always)]
    pub(super) fn take_vacant(&mut self) -> u32 {
        let node = self.vacant.first;
        let link = self.link(node);
        debug_assert!(node != 0 && link.prev == VACANT);
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

    /// Takes `units` from the front of a free region in `bin`, or all of it. The rest keeps the node
    /// and, where it can, its bin. Returns the node of what is taken.
    #[inline(always)]
    pub(super) fn cut_front(&mut self, node: u32, bin: u32, units: u32) -> u32 {
        let Node { start, size, left, right } = self.node(node);
        let rest = size - units;
        if rest == 0 {
            self.remove(node);
            return node;
        }
        let taken = self.take_vacant();
        self.nodes[left as usize].right = taken;
        self.nodes[taken as usize] = Node { start, size: units, left, right: node };
        self.nodes[node as usize] = Node { start: start + units, size: rest, left: taken, right };
        let rest_bin = bin_beside(rest, right);
        if rest_bin != bin {
            self.remove(node);
            self.insert(node, rest_bin);
        }
        taken
    }

    /// Takes `units` from the middle of a free region, or its back. The padding keeps the node and
    /// becomes a free region: the region before it is taken, so there is nothing to merge it with.
    #[inline(always)]
    pub(super) fn cut_middle(&mut self, node: u32, padding: u32, units: u32) -> u32 {
        let Node { start, size, left, right } = self.node(node);
        let rest = size - padding - units;
        let taken = self.take_vacant();
        let last = if rest == 0 { taken } else { self.take_vacant() };
        self.remove(node);
        self.insert(node, bin_of(padding));
        self.nodes[node as usize] = Node { start, size: padding, left, right: taken };
        let start = start + padding;
        let after = if rest == 0 { right } else { last };
        self.nodes[taken as usize] = Node { start, size: units, left: node, right: after };
        self.nodes[right as usize].left = last;
        if rest != 0 {
            let start = start + units;
            self.nodes[last as usize] = Node { start, size: rest, left: taken, right };
            self.insert(last, bin_beside(rest, right));
        }
        taken
    }

    /// Makes a taken region free, merged with its free neighbours. Returns the [bin](bin_of) of the
    /// merged size.
    #[inline(always)]
    pub(super) fn release(&mut self, node: u32) -> u32 {
        let Node { mut start, mut size, mut left, mut right } = self.node(node);
        let mut kept = node;
        let before_is_free = self.link(left).is_binned();
        let after_is_free = self.link(right).is_binned();
        if after_is_free {
            let after = self.node(right);
            if after.right == 0 {
                return self.grow_tail(node, before_is_free);
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
            self.nodes[kept as usize] = Node { start, size, left, right };
            self.nodes[right as usize].left = kept;
        }
        self.insert(kept, bin_beside(size, right));
        bin_of(size)
    }

    /// [`release`](Self::release) of the region before the tail: the tail begins earlier, and stays
    /// where it is in its bin.
    #[inline(always)]
    fn grow_tail(&mut self, node: u32, before_is_free: bool) -> u32 {
        let Node { mut start, size, mut left, right: tail } = self.node(node);
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
        self.nodes[left as usize].right = tail;
        self.nodes[tail as usize] = Node { start, size, left, right: 0 };
        bin_of(size)
    }

    /// Puts a loose region in its bin, merged with its free neighbours, or into a loose neighbour
    /// before it, which comes later in the batch.
    pub(super) fn settle(&mut self, node: u32) {
        let Node { mut start, mut size, mut left, mut right } = self.node(node);
        let mut kept = node;
        let mut merged = false;
        // Loose neighbours after it, each walked over once in the batch. A binned one is the last: it
        // has taken and loose neighbours only.
        loop {
            let link = self.link(right);
            if !link.is_free() {
                break;
            }
            let after = self.node(right);
            if link.is_binned() {
                self.remove(right);
            }
            self.give_vacant(right);
            size += after.size;
            right = after.right;
            merged = true;
        }
        let link = self.link(left);
        if link.is_free() {
            let before = self.node(left);
            if link.is_binned() {
                self.remove(left);
            }
            self.give_vacant(node);
            kept = left;
            start = before.start;
            size += before.size;
            left = before.left;
            merged = true;
        }
        if merged {
            self.nodes[kept as usize] = Node { start, size, left, right };
            self.nodes[right as usize].left = kept;
        }
        if link.prev != LOOSE {
            self.insert(kept, bin_beside(size, right));
        }
    }
}
