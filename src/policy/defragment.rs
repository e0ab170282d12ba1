//! The choice of blocks that defragmentation empties: those whose allocations fit into the others.

use std::collections::BTreeMap;

/// A block for the choice; all in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) size: u64,
    /// Everything in it may move.
    pub(crate) movable: bool,
    /// It was made for one large request: small allocations stay out, and so do large ones that
    /// would leave more than half of a hole.
    pub(crate) tailored: bool,
    pub(crate) used: Vec<u64>,
    pub(crate) free: Vec<u64>,
}

/// Limits of what may move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The size from which on requests may use tailored blocks.
    pub(crate) large: u64,
    pub(crate) bytes: u64,
    pub(crate) moves: u64,
}

/// A block, including the effects of the moves planned so far.
struct Room<'a> {
    shape: &'a Shape,
    used: u64,
    /// The free ranges: how many of each size.
    holes: BTreeMap<u64, u32>,
    leaves: bool,
    receives: bool,
}

/// The blocks to empty, the emptiest first, because it frees the most memory per moved byte. Each
/// allocation moves into the tightest hole of the fullest block, so that emptier blocks can be
/// emptied next. A block that is already empty is released anyway, and receives nothing.
///
/// O(allocations that move · blocks), at worst.
pub(crate) fn blocks_to_empty(shapes: &[Shape], limits: Limits) -> Vec<usize> {
    let mut rooms: Vec<Room<'_>> = shapes.iter().map(Room::of).collect();
    let mut emptiest: Vec<usize> =
        (0..rooms.len()).filter(|&index| rooms[index].used > 0).collect();
    emptiest.sort_by(|&a, &b| rooms[a].fullness_against(&rooms[b]));
    let fullest: Vec<usize> = emptiest.iter().rev().copied().collect();
    let (mut bytes, mut moves) = (0_u64, 0_u64);
    let mut leaving = Vec::new();
    for index in emptiest {
        let Room { shape, used, receives, .. } = rooms[index];
        let (more, count) = (bytes.saturating_add(used), moves + shape.used.len() as u64);
        if receives || !shape.movable || more > limits.bytes || count > limits.moves {
            continue;
        }
        rooms[index].leaves = true;
        if place_all(&mut rooms, &fullest, &shape.used, limits.large) {
            (bytes, moves) = (more, count);
            leaving.push(index);
        } else {
            rooms[index].leaves = false;
        }
    }
    leaving
}

/// Places all allocations, the largest first, or none.
fn place_all(rooms: &mut [Room<'_>], fullest: &[usize], sizes: &[u64], large: u64) -> bool {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable_by_key(|&size| core::cmp::Reverse(size));
    let mut placed: Vec<(usize, u64, u64, bool)> = Vec::new();
    for size in sizes {
        let mut open = fullest.iter().filter(|&&index| !rooms[index].leaves);
        let found = open.find_map(|&index| Some((index, rooms[index].tightest(size, large)?)));
        let Some((index, hole)) = found else {
            for (index, hole, size, received) in placed.into_iter().rev() {
                rooms[index].give_back(hole, size);
                rooms[index].receives = received;
            }
            return false;
        };
        placed.push((index, hole, size, rooms[index].receives));
        rooms[index].take(hole, size);
    }
    true
}

impl<'a> Room<'a> {
    fn of(shape: &'a Shape) -> Self {
        let mut holes = BTreeMap::new();
        for &hole in &shape.free {
            *holes.entry(hole).or_default() += 1;
        }
        Self { shape, used: shape.used.iter().sum(), holes, leaves: false, receives: false }
    }

    fn fullness_against(&self, other: &Self) -> core::cmp::Ordering {
        let cross = |a: &Self, b: &Self| u128::from(a.used) * u128::from(b.shape.size);
        cross(self, other).cmp(&cross(other, self))
    }

    /// The smallest hole that an allocation of this size may use.
    fn tightest(&self, size: u64, large: u64) -> Option<u64> {
        let (&hole, _) = self.holes.range(size..).next()?;
        let welcome = !self.shape.tailored || (size >= large && hole / 2 <= size);
        welcome.then_some(hole)
    }

    fn take(&mut self, hole: u64, size: u64) {
        self.remove(hole);
        if hole > size {
            *self.holes.entry(hole - size).or_default() += 1;
        }
        self.receives = true;
    }

    fn give_back(&mut self, hole: u64, size: u64) {
        if hole > size {
            self.remove(hole - size);
        }
        *self.holes.entry(hole).or_default() += 1;
    }

    fn remove(&mut self, hole: u64) {
        if let Some(count) = self.holes.get_mut(&hole) {
            *count -= 1;
            if *count == 0 {
                self.holes.remove(&hole);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Limits = Limits { large: 64, bytes: u64::MAX, moves: u64::MAX };

    fn shape(used: &[u64], free: &[u64]) -> Shape {
        let size = used.iter().chain(free).sum();
        Shape { size, movable: true, tailored: false, used: used.into(), free: free.into() }
    }

    #[test]
    fn the_emptiest_blocks_go_into_the_holes_of_the_fullest() {
        let blocks = [
            shape(&[10, 40], &[30, 20]), // half full
            shape(&[10, 5], &[85]),      // nearly empty
            shape(&[70], &[10, 20]),     // nearly full
            shape(&[], &[100]),          // empty: it goes by itself
        ];
        // Then both holes of the full block are taken, and the allocation of forty has no place.
        assert_eq!(blocks_to_empty(&blocks, ALL), [1]);
        assert_eq!(blocks_to_empty(&blocks[..1], ALL), [] as [usize; 0]);
    }

    #[test]
    fn the_largest_are_placed_first() {
        // The ten would have taken the only hole of the thirty.
        let mut free = vec![5; 20];
        free.push(10);
        let blocks = [shape(&[10, 30], &[160]), shape(&[170], &[30]), shape(&[100], &free)];
        assert_eq!(blocks_to_empty(&blocks, ALL), [0]);
    }

    #[test]
    fn a_tailored_block_takes_in_what_is_just_large() {
        let into = |size| {
            let tailored = Shape { tailored: true, ..shape(&[100], &[64]) };
            blocks_to_empty(&[shape(&[size], &[99]), tailored], ALL)
        };
        assert_eq!((into(64), into(63)), (vec![0], vec![]));
    }

    #[test]
    fn what_may_not_move_keeps_its_block_and_takes_others_in() {
        let mut blocks = [shape(&[10], &[90]), shape(&[20], &[80])];
        assert_eq!(blocks_to_empty(&blocks, ALL), [0]);
        blocks[0].movable = false;
        assert_eq!(blocks_to_empty(&blocks, ALL), [1]);
    }

    #[test]
    fn limits_hold_and_a_smaller_block_goes_instead() {
        let mut blocks = [shape(&[30], &[70]), shape(&[10; 4], &[60]), shape(&[50], &[90])];
        let go = |blocks: &[Shape], bytes, moves| {
            blocks_to_empty(blocks, Limits { bytes, moves, ..ALL })
        };
        assert_eq!(go(&blocks, 30, 1), [0]);
        assert_eq!(go(&blocks, 40, 4), [0]);
        assert_eq!(go(&blocks, 29, 4), [] as [usize; 0]);
        blocks[0].size = 40;
        assert_eq!(go(&blocks, 40, 3), [0], "four moves are too many, fifty bytes too");
    }

    #[test]
    fn tailored_blocks_take_large_ones_that_fill_half_a_hole() {
        let mut blocks = [shape(&[10], &[190]), shape(&[100], &[100])];
        blocks[1].tailored = true;
        assert_eq!(blocks_to_empty(&blocks, ALL), [1], "into the shared one, not out of it");
        let mut large = [shape(&[70], &[530]), shape(&[100], &[100])];
        large[1].tailored = true;
        assert_eq!(blocks_to_empty(&large, ALL), [0]);
        large[1].free = vec![142];
        assert_eq!(blocks_to_empty(&large, ALL), [1]);
    }

    proptest! {
        /// Everything that moves has a place, by an exact packing of its own: sizes are all equal, so a
        /// hole of `n` of them takes `n`.
        #[test]
        fn what_leaves_fits_into_what_stays(blocks in prop::collection::vec((0..9_u64, 0..9_u64), 1..12)) {
            let unit = |(used, free): (u64, u64)| shape(&vec![1; used as usize], &[free]);
            let shapes: Vec<_> = blocks.iter().copied().map(unit).collect();
            let leaving = blocks_to_empty(&shapes, ALL);
            let stays = |index: &usize| !leaving.contains(index) && blocks[*index].0 > 0;
            let room: u64 = (0..blocks.len()).filter(stays).map(|index| blocks[index].1).sum();
            let moved: u64 = leaving.iter().map(|&index| blocks[index].0).sum();
            prop_assert!(moved <= room);
            // And no other block would still fit as a whole.
            for index in (0..blocks.len()).filter(stays) {
                let rest = room - moved;
                let without = rest.saturating_sub(blocks[index].1);
                let receives = moved > 0;
                prop_assert!(receives || blocks[index].0 > without);
            }
        }
    }
}
