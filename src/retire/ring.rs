//! A ring whose tail moves with the GPU's progress: taking a piece costs an addition, and freeing
//! it costs nothing.

use alloc::collections::VecDeque;

use super::BagNumber;

/// Offsets in a ring of bytes, for data that lives as long as the recordings that are open when it
/// is taken, such as the uploads of a frame.
///
/// Pieces are not freed one by one. All pieces that were taken during one bag have one *mark*, and
/// the tail moves past it when the bag is reached. Head and tail are positions that only rise, and
/// an offset is a position modulo the capacity.
///
/// ```text
///        tail              mark: bag 7      mark: bag 8 = head
///         │ taken in bag 7      │ taken in bag 8     │      free      │ (wraps)
/// ```
///
/// # Example
/// ```
/// use fencepost::retire::{Cuts, Ring};
/// let mut cuts = Cuts::new(1);
/// let queue = cuts.add_timeline(0);
/// let mut ring = Ring::new(1000);
/// let frame = cuts.begin(queue)?;
/// assert_eq!(ring.take(600, 4, cuts.current()), Some(0));
/// assert_eq!(ring.take(600, 4, cuts.current()), None);
/// let value = cuts.assign(queue)?;
/// cuts.submitted(frame, value)?;
/// cuts.signalled(queue, value)?;
/// ring.advance(cuts.reached_bag());
/// assert_eq!(ring.take(600, 4, cuts.current()), Some(0), "the rest of the lap is too short");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ring {
    capacity: u64,
    /// Invariant: `tail <= head <= tail + capacity`.
    head: u64,
    tail: u64,
    /// Bags and the position of the head at their end, both rising. The last position is `head`, if
    /// there is any mark.
    marks: VecDeque<(BagNumber, u64)>,
}

impl Ring {
    /// Creates a ring of `capacity` bytes.
    pub const fn new(capacity: u64) -> Self {
        Self { capacity, head: 0, tail: 0, marks: VecDeque::new() }
    }

    /// Takes `size` bytes at a multiple of `alignment` (any number but 0), for the recordings that
    /// are open now. `bag` is the current bag ([`Cuts::current`](super::Cuts::current)). Returns
    /// the offset, or `None` if there is no room. A bag older than that of the newest mark counts
    /// as that one. O(1). Allocates nothing once the number of bags in flight has reached its
    /// maximum.
    pub fn take(&mut self, size: u64, alignment: u64, bag: BagNumber) -> Option<u64> {
        self.take_atoms(size, alignment, 1, bag)
    }

    /// As [`take`](Self::take), and also takes the remainder of the last atom, whose size is a
    /// power of two, so that no two pieces share one.
    pub(crate) fn take_atoms(
        &mut self,
        size: u64,
        alignment: u64,
        atom: u64,
        bag: BagNumber,
    ) -> Option<u64> {
        let (head, offset) = self.fit(size, alignment, atom)?;
        self.head = head;
        match self.marks.back_mut() {
            Some((newest, end)) if *newest >= bag => *end = head,
            _ => self.marks.push_back((bag, head)),
        }
        Some(offset)
    }

    /// The position of the head after a request, and the request's offset.
    fn fit(&self, size: u64, alignment: u64, atom: u64) -> Option<(u64, u64)> {
        if size == 0 || alignment == 0 || size > self.capacity {
            return None;
        }
        let within = self.head % self.capacity;
        let aligned = within.checked_next_multiple_of(alignment);
        let fits = |offset: &u64| offset.checked_add(size).is_some_and(|end| end <= self.capacity);
        let (start, offset) = match aligned.filter(fits) {
            Some(offset) => (self.head - within, offset),
            // The remainder of the lap is skipped.
            None => (self.head + (self.capacity - within), 0),
        };
        let end = (offset + size).checked_next_multiple_of(atom).unwrap_or(self.capacity);
        let head = start.checked_add(end.min(self.capacity))?;
        (head - self.tail <= self.capacity).then_some((head, offset))
    }

    /// Frees what was taken in bags up to `reached`
    /// ([`Cuts::reached_bag`](super::Cuts::reached_bag)). O(bags passed).
    pub fn advance(&mut self, reached: BagNumber) {
        while let Some(&(bag, head)) = self.marks.front() {
            if !bag.is_reached(reached) {
                return;
            }
            self.tail = head;
            self.marks.pop_front();
        }
        // Nothing is in use, so a new lap begins and the whole ring is one piece.
        (self.head, self.tail) = (0, 0);
    }

    /// The size in bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The number of bytes that are in use, including those skipped for alignment.
    pub fn taken(&self) -> u64 {
        self.head - self.tail
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::ground::random::Random;

    fn bag(number: u64) -> BagNumber {
        BagNumber::from_number(number)
    }

    #[test]
    fn a_lap_is_left_early_where_its_rest_is_too_short() {
        let mut ring = Ring::new(100);
        assert_eq!(ring.take(60, 1, bag(1)), Some(0));
        assert_eq!(ring.take(30, 1, bag(2)), Some(60));
        assert_eq!(ring.take(20, 1, bag(2)), None, "the tail is in the way");
        ring.advance(bag(1));
        assert_eq!(ring.take(61, 1, bag(3)), None);
        assert_eq!(ring.take(60, 1, bag(3)), Some(0));
        assert_eq!(ring.taken(), 100);
        ring.advance(bag(2));
        assert_eq!(ring.taken(), 70);
        ring.advance(bag(3));
        assert_eq!((ring.taken(), ring.take(100, 1, bag(4))), (0, Some(0)));
    }

    #[test]
    fn refuses_what_can_never_be() {
        let mut ring = Ring::new(100);
        for (size, alignment) in [(0, 1), (1, 0), (101, 1), (u64::MAX, u64::MAX)] {
            assert_eq!(ring.take(size, alignment, bag(1)), None, "{size} {alignment}");
        }
        assert_eq!(Ring::new(0).take(1, 1, bag(1)), None);
        assert_eq!(ring.take(10, 12, bag(1)), Some(0));
        assert_eq!(ring.take(10, 12, bag(1)), Some(12), "any number is an alignment");
    }

    /// At any alignment and of any size: a flush of one piece touches no other.
    #[test]
    fn pieces_of_whole_atoms_share_none() {
        let mut random = Random::new(3);
        for atom in [1, 64, 256] {
            let mut ring = Ring::new(5000);
            let mut before = 0;
            for number in 0..2000 {
                let (size, alignment) = (1 + random.below(300), 1 + random.below(300));
                let Some(offset) = ring.take_atoms(size, alignment, atom, bag(number)) else {
                    ring.advance(bag(number));
                    before = 0;
                    continue;
                };
                assert!(offset % alignment == 0 && offset + size <= 5000);
                // A new lap begins when all is free.
                assert!(before <= offset / atom * atom, "{offset} in the atoms up to {before}");
                before = (offset + size).next_multiple_of(atom);
            }
        }
    }

    /// Compared with a list of all taken pieces: nothing overlaps, nothing is refused that the list
    /// would grant at the same offset, and nothing is left at the end.
    #[test]
    fn no_two_taken_ranges_overlap() {
        let mut random = Random::new(7);
        let mut below = |most: u64| random.below(most);
        let mut ring = Ring::new(1000);
        let mut taken: VecDeque<(u64, u64, u64)> = VecDeque::new();
        let (mut now, mut reached, mut granted) = (1, 0, 0);
        for _ in 0..20_000 {
            match below(4) {
                0 => now += 1,
                1 => {
                    reached = (reached + below(3)).min(now - 1);
                    ring.advance(bag(reached));
                    taken.retain(|&(_, _, of)| of > reached);
                }
                _ => {
                    let (size, alignment) = (1 + below(120), 1 + below(40));
                    let Some(offset) = ring.take(size, alignment, bag(now)) else {
                        assert!(!taken.is_empty(), "an empty ring refuses nothing so small");
                        continue;
                    };
                    granted += 1;
                    assert!(offset % alignment == 0 && offset + size <= 1000);
                    let free = taken.iter().all(|&(o, s, _)| offset + size <= o || o + s <= offset);
                    assert!(free, "{offset} + {size} is taken: {taken:?}");
                    taken.push_back((offset, size, now));
                }
            }
            assert!(ring.taken() <= ring.capacity());
        }
        assert!(granted > 1000, "{granted}");
        ring.advance(bag(now));
        assert_eq!(ring.taken(), 0);
    }
}
