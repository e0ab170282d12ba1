//! Blocks that are used in order: as a ring, or as two stacks that grow towards each other.
//!
//! There is no search. A new range is placed after the last one. A range that ends is *held* until
//! everything taken after it in a stack, or before it in a ring, has ended too; then the end of the
//! chain moves past all ranges that are held there.
//!
//! ```text
//! ring:          first (oldest)            last
//!                  │ used │ held │ pending  │      free     │ (wraps)
//! double stack:  │ used │ held │ used = top │   free   │ top = pending │ used │
//!                  lower →                                        ← upper
//! ```

use core::ops::Range;
use std::collections::TryReserveError;

use super::broken::Broken;
use crate::tlsf::{Key, KeyError, Placed, Region, State};

/// How an [`Arena`](crate::Arena) places its allocations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum ArenaPolicy {
    /// Where they fit best, in any order: a two-level segregated fit, as outside of arenas.
    #[default]
    Tlsf,
    /// One after another, and then from the start again. This is for allocations that end in the
    /// order in which they were made, such as those of a frame. The tail moves as the GPU makes
    /// progress. An allocation that ends early holds its range until all older ones have ended.
    Ring,
    /// From the lower end upwards and, with [`UPPER_END`](crate::AllocationFlags::UPPER_END), from
    /// the upper end downwards. This is for allocations that end in the reverse order, such as a
    /// level and, on top of it, its rooms. An allocation that ends early holds its range until all
    /// above it have ended.
    DoubleStack,
}

/// An end of a double stack. A ring has only the lower one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Lower,
    Upper,
}

/// The ranges of one block, in order.
#[derive(Debug)]
pub(super) struct Line {
    is_ring: bool,
    /// The size, which is a multiple of the granule, as are all offsets and sizes.
    capacity: u64,
    granule: u64,
    /// The nodes by index; index 0 stands for none. Empty until there is a range.
    nodes: Vec<Node>,
    /// The first of the chained vacant nodes.
    vacant: u32,
    /// The chain of the ring, or those of the two stacks.
    chains: [Chain; 2],
    next_serial: u32,
    used: (u64, u32),
    pending: (u64, u32),
}

/// A sequence of ranges by their nodes; 0 for none.
#[derive(Clone, Copy, Default, Debug)]
struct Chain {
    /// The next range to leave: the oldest of a ring, or the top of a stack.
    next: u32,
    /// The newest range of a ring.
    last: u32,
}

/// A range that was taken and has not left its chain.
#[derive(Clone, Copy, Debug)]
struct Node {
    offset: u64,
    size: u64,
    /// Free means that it has ended and is held.
    state: State,
    serial: u32,
    is_upper: bool,
    /// Whether [`hold`](Line::hold) took it, so that it has no owner.
    is_hold: bool,
    /// The node that leaves after this one; for a vacant node, the next vacant one.
    after: u32,
}

impl Node {
    const NONE: Self = Self {
        offset: 0,
        size: 0,
        state: State::Free,
        serial: 0,
        is_upper: false,
        is_hold: false,
        after: 0,
    };

    fn end(&self) -> u64 {
        self.offset + self.size
    }
}

impl Line {
    /// Creates a line over a block, whose keys begin at a serial. The granule is a power of two.
    pub(super) fn new(is_ring: bool, size: u64, granule: u64, serial: u32) -> Self {
        Self {
            is_ring,
            capacity: size - size % granule,
            granule,
            nodes: Vec::new(),
            vacant: 0,
            chains: [Chain::default(); 2],
            next_serial: serial,
            used: (0, 0),
            pending: (0, 0),
        }
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize).filter(|_| index != 0)
    }

    /// Takes a range at an end. A ring has only one end. Returns `None`, and changes nothing, if
    /// there is no room, or no host memory for its node. O(1).
    pub(super) fn allocate(&mut self, size: u64, alignment: u64, end: End) -> Option<Placed> {
        let size = size.checked_next_multiple_of(self.granule)?;
        let offset = self.place(size, alignment.max(self.granule), end)?;
        if self.vacant == 0 {
            self.nodes.try_reserve(2).ok()?;
        }
        let is_upper = end == End::Upper && !self.is_ring;
        let (state, serial) = (State::Used, self.next_serial);
        let index = self.add(Node { offset, size, state, serial, is_upper, ..Node::NONE });
        let chain = &mut self.chains[usize::from(is_upper)];
        if !self.is_ring {
            self.nodes[index as usize].after = core::mem::replace(&mut chain.next, index);
        } else if chain.next == 0 {
            *chain = Chain { next: index, last: index };
        } else {
            let last = core::mem::replace(&mut chain.last, index);
            self.nodes[last as usize].after = index;
        }
        self.used = (self.used.0 + size, self.used.1 + 1);
        let key = Key::from_bits(u64::from(serial) << 32 | u64::from(index))?;
        Some(Placed { key, offset, size })
    }

    /// Stores a node with the next serial, for which there is room, and returns its index. The node
    /// is in no chain yet.
    fn add(&mut self, node: Node) -> u32 {
        debug_assert_eq!(node.serial, self.next_serial);
        self.next_serial = node.serial.wrapping_add(1);
        if self.nodes.is_empty() {
            self.nodes.push(Node::NONE);
        }
        match self.vacant {
            0 => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
            vacant => {
                let place = &mut self.nodes[vacant as usize];
                self.vacant = core::mem::replace(place, node).after;
                vacant
            }
        }
    }

    /// Whether [`allocate`](Self::allocate) would find a range. O(1).
    pub(super) fn holds(&self, size: u64, alignment: u64, end: End) -> bool {
        let size = size.checked_next_multiple_of(self.granule);
        let place = |size| self.place(size, alignment.max(self.granule), end);
        size.and_then(place).is_some()
    }

    /// The offset of a range of whole granules if it were taken now.
    fn place(&self, size: u64, alignment: u64, end: End) -> Option<u64> {
        let between = |start: u64, end: u64| {
            let offset = start.checked_next_multiple_of(alignment)?;
            (offset.checked_add(size)? <= end).then_some(offset)
        };
        if self.is_ring {
            let Some(oldest) = self.node(self.chains[0].next) else {
                return between(0, self.capacity);
            };
            let newest = self.node(self.chains[0].last)?;
            return match newest.offset < oldest.offset {
                true => between(newest.end(), oldest.offset),
                false => between(newest.end(), self.capacity).or_else(|| between(0, oldest.offset)),
            };
        }
        let (lower, upper) = self.tops();
        match end {
            End::Lower => between(lower, upper),
            End::Upper => {
                let offset = upper.checked_sub(size)? & !(alignment - 1);
                (offset >= lower).then_some(offset)
            }
        }
    }

    /// The start and the end of the free range between the two stacks.
    fn tops(&self) -> (u64, u64) {
        let [lower, upper] = self.chains.map(|chain| self.node(chain.next));
        (lower.map_or(0, Node::end), upper.map_or(self.capacity, |node| node.offset))
    }

    /// The largest size that a range can have now, with the granule's alignment. O(1).
    pub(super) fn largest(&self) -> u64 {
        if !self.is_ring {
            let (lower, upper) = self.tops();
            return upper - lower;
        }
        match (self.node(self.chains[0].next), self.node(self.chains[0].last)) {
            (Some(oldest), Some(newest)) if newest.offset < oldest.offset => {
                oldest.offset - newest.end()
            }
            (Some(oldest), Some(newest)) => oldest.offset.max(self.capacity - newest.end()),
            _ => self.capacity,
        }
    }

    /// The bytes between a node and the one that leaves after it, if there are any: they were
    /// skipped for alignment, or because the ring went back to the start before the end of the
    /// block.
    fn skipped(&self, node: &Node) -> Option<Range<u64>> {
        let after = self.node(node.after);
        let skipped = match (self.is_ring, after) {
            (true, None) => return None,
            (true, Some(after)) if after.offset < node.offset => node.end()..self.capacity,
            (true, Some(after)) => node.end()..after.offset,
            (false, after) if node.is_upper => {
                node.end()..after.map_or(self.capacity, |after| after.offset)
            }
            (false, after) => after.map_or(0, Node::end)..node.offset,
        };
        (!skipped.is_empty()).then_some(skipped)
    }

    /// The maximum number of ranges that [`hold`](Self::hold) takes: those that have ended and keep
    /// their place, those that were skipped, and two that can be allocated. O(ranges).
    pub(super) fn most_free(&self) -> usize {
        let both = self.chained(0).chain(self.chained(1)).map(|(_, node)| node);
        let free = |node: &Node| {
            usize::from(node.state == State::Free) + usize::from(self.skipped(node).is_some())
        };
        both.map(free).sum::<usize>() + 2
    }

    /// Takes everything that has no owner, so that nobody else gets it: Free → Pending. A range
    /// that has ended keeps its place in the chain, and a skipped range gets one. A range that can
    /// be allocated leaves as soon as it is free again, even if older ranges of a ring have not
    /// left. Returns `None`, and changes nothing, if the host has no memory for this. O(ranges).
    pub(super) fn hold(&mut self) -> Option<Vec<Key>> {
        let (mut keys, most) = (Vec::new(), self.most_free());
        keys.try_reserve_exact(most).ok()?;
        // One for each, the first node, and one that an allocation reserves and may not need.
        self.nodes.try_reserve(most + 2).ok()?;
        let mut pend = |line: &mut Self, index: u32| {
            // The old key of a range that has ended stays stale.
            let Node { size, serial, .. } = line.nodes[index as usize];
            line.pending = (line.pending.0 + size, line.pending.1 + 1);
            keys.extend(Key::from_bits(u64::from(serial) << 32 | u64::from(index)));
        };
        for mut index in self.chains.map(|chain| chain.next) {
            while let Some(&node) = self.node(index) {
                if node.state == State::Free {
                    let (state, serial) = (State::Pending, self.next_serial);
                    self.nodes[index as usize] = Node { state, serial, ..node };
                    self.next_serial = serial.wrapping_add(1);
                    pend(self, index);
                }
                if let Some(skipped) = self.skipped(&node) {
                    let between = self.add(Node {
                        offset: skipped.start,
                        size: skipped.end - skipped.start,
                        state: State::Pending,
                        serial: self.next_serial,
                        is_hold: true,
                        ..node
                    });
                    self.nodes[index as usize].after = between;
                    pend(self, between);
                }
                index = node.after;
            }
        }
        let ends = (self.node(self.chains[0].next), self.node(self.chains[0].last));
        let gaps = match ends {
            (Some(oldest), Some(newest)) if self.is_ring && newest.offset >= oldest.offset => {
                [self.capacity - newest.end(), oldest.offset]
            }
            _ => [self.largest(), 0],
        };
        for gap in gaps.into_iter().filter(|&gap| gap > 0) {
            let Some(placed) = self.allocate(gap, 1, End::Lower) else { break };
            self.nodes[placed.key.index() as usize].is_hold = true;
            match self.turn(placed.key, State::Used, State::Pending) {
                Ok(_) => keys.push(placed.key),
                Err(error) => unreachable!("{placed:?} was just granted: {error}"),
            }
        }
        Some(keys)
    }

    /// Changes the state of a range. Returns its bytes. Free ranges leave as far as they can. O(1),
    /// and those that leave; O(ranges) for ranges that were [held](Self::hold).
    pub(super) fn turn(&mut self, key: Key, from: State, to: State) -> Result<u64, KeyError> {
        let region = self.get(key)?;
        match region.state {
            state if state == from => {}
            State::Pending => return Err(KeyError::AlreadyRetired),
            _ => return Err(KeyError::Stale),
        }
        let size = region.size;
        let node = &mut self.nodes[key.index() as usize];
        node.state = to;
        let Node { is_upper, is_hold, .. } = *node;
        let left = if from == State::Used { &mut self.used } else { &mut self.pending };
        *left = (left.0 - size, left.1 - 1);
        if to == State::Pending {
            self.pending = (self.pending.0 + size, self.pending.1 + 1);
        } else {
            self.let_leave(is_upper);
            if is_hold && self.is_ring {
                self.let_retreat();
            }
        }
        Ok(size)
    }

    /// Removes the ranges of a chain that are next and have ended.
    fn let_leave(&mut self, is_upper: bool) {
        let chain = &mut self.chains[usize::from(is_upper)];
        while let Some(node) = self.nodes.get_mut(chain.next as usize) {
            if chain.next == 0 || node.state != State::Free {
                return;
            }
            let vacant = core::mem::replace(&mut self.vacant, chain.next);
            chain.next = core::mem::replace(node, Node { after: vacant, ..Node::NONE }).after;
        }
    }

    /// Removes the ranges at the newer end of a ring that were held and are free, unless something
    /// was taken after them.
    fn let_retreat(&mut self) {
        let stays = |(_, node): &(u32, &Node)| node.state != State::Free || !node.is_hold;
        let Some((last, _)) = self.chained(0).filter(stays).last() else { return };
        self.chains[0].last = last;
        let mut next = core::mem::replace(&mut self.nodes[last as usize].after, 0);
        while next != 0 {
            let vacant = core::mem::replace(&mut self.vacant, next);
            let node = &mut self.nodes[next as usize];
            next = core::mem::replace(node, Node { after: vacant, ..Node::NONE }).after;
        }
    }

    /// The region of a key, if it is used or pending. O(1).
    pub(super) fn get(&self, key: Key) -> Result<Region, KeyError> {
        let node = self.node(key.index()).filter(|node| node.serial == key.serial());
        let node = node.filter(|node| node.state != State::Free).ok_or(KeyError::Stale)?;
        Ok(Region { state: node.state, offset: node.offset, size: node.size, key: Some(key) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used.1 + self.pending.1 == 0
    }

    /// Bytes and counts of used and of pending ranges.
    pub(super) fn usage(&self) -> [(u64, u32); 2] {
        [self.used, self.pending]
    }

    /// The serial after that of the last key.
    pub(super) fn next_serial(&self) -> u32 {
        self.next_serial
    }

    /// The nodes of a chain, in the order in which they leave.
    fn chained(&self, chain: usize) -> impl Iterator<Item = (u32, &Node)> {
        let at = |index: u32| self.node(index).map(|node| (index, node));
        core::iter::successors(at(self.chains[chain].next), move |(_, node)| at(node.after))
    }

    /// All regions in address order. Held ranges are free. O(n log n).
    pub(super) fn regions(&self) -> Vec<Region> {
        let count = self.taken().count();
        self.list(Vec::with_capacity(count), Vec::with_capacity(2 * count + 1))
    }

    /// As [`regions`](Self::regions), if the host has memory for them.
    pub(super) fn try_regions(&self) -> Result<Vec<Region>, TryReserveError> {
        let (mut taken, mut regions) = (Vec::new(), Vec::new());
        let count = self.taken().count();
        taken.try_reserve_exact(count)?;
        regions.try_reserve_exact(2 * count + 1)?;
        Ok(self.list(taken, regions))
    }

    /// The nodes that are used or pending.
    fn taken(&self) -> impl Iterator<Item = (u32, &Node)> {
        let both = self.chained(0).chain(self.chained(1));
        both.filter(|(_, node)| node.state != State::Free)
    }

    /// Collects the regions in lists that have room for them.
    fn list<'a>(
        &'a self,
        mut taken: Vec<(u32, &'a Node)>,
        mut regions: Vec<Region>,
    ) -> Vec<Region> {
        taken.extend(self.taken());
        taken.sort_unstable_by_key(|(_, node)| node.offset);
        let mut at = 0;
        let free = |from: u64, to: u64| {
            let region = Region { state: State::Free, offset: from, size: to - from, key: None };
            (from < to).then_some(region)
        };
        for (index, node) in taken {
            regions.extend(free(at, node.offset));
            let key = Key::from_bits(u64::from(node.serial) << 32 | u64::from(index));
            regions.push(Region { state: node.state, offset: node.offset, size: node.size, key });
            at = node.end();
        }
        regions.extend(free(at, self.capacity));
        regions
    }

    /// Verifies the line. O(n log n).
    pub(super) fn check(&self) -> Result<(), Broken> {
        let sum = |state: State| {
            let both = self.chained(0).chain(self.chained(1));
            let of_state = both.filter(|(_, node)| node.state == state);
            of_state.fold((0, 0), |(bytes, count), (_, node)| (bytes + node.size, count + 1))
        };
        let mut ranges: Vec<(u64, u64)> = self
            .chained(0)
            .chain(self.chained(1))
            .map(|(_, node)| (node.offset, node.end()))
            .collect();
        let chained = ranges.len();
        ranges.sort_unstable();
        let apart = ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        let inside = ranges.last().is_none_or(|&(_, end)| end <= self.capacity);
        // Everything that could leave has left.
        let stays = |end: Option<(u32, &Node)>| end.is_none_or(|(_, n)| n.state != State::Free);
        let retreated = self
            .chained(0)
            .last()
            .is_none_or(|(_, n)| !self.is_ring || !n.is_hold || n.state != State::Free);
        let stuck = retreated && (0..2).all(|chain| stays(self.chained(chain).next()));
        let next = |&index: &u32| Some(self.nodes.get(index as usize)?.after).filter(|&at| at != 0);
        let vacant = core::iter::successors(Some(self.vacant).filter(|&at| at != 0), next).count();
        let sums = sum(State::Used) == self.used && sum(State::Pending) == self.pending;
        match apart && inside && stuck && sums && chained + vacant + 1 == self.nodes.len().max(1) {
            true => Ok(()),
            false => Err(Broken::Count),
        }
    }
}

#[cfg(test)]
mod tests;
