//! An index of the lines by the class of their largest free range, so that a line with room is
//! found without looking at the lines.
//!
//! A class is a few steps of [room](room_of), eight classes to a power of two. A bitmap tells which
//! classes have a line. For each class, words of 64 slots tell which lines are in it, and a second
//! level of words tells which of these words are not zero. So the line with the least sufficient
//! room (the oldest of equals) is found with a few words, and a change modifies one or two bits.

use std::collections::TryReserveError;

use crate::{
    ground::published::Published,
    tlsf::{ROOM_STEPS, room_of},
};

/// The smallest granule of any block, in bytes.
pub(crate) const UNIT: u64 = 64;

/// The number of classes for each power of two. With finer classes the chosen blocks would be
/// tighter but less often old, and more memory would be held.
pub(crate) const DOUBLE: u32 = 8;

/// The number of steps of room in a class.
const STEPS: u32 = ROOM_STEPS / DOUBLE;

/// The number of classes that sizes can have. The first one is that of no room.
const CLASSES: usize = (u64::BITS * DOUBLE) as usize;

/// For each class, one bit for each of 64 slots.
type Row = [u64; CLASSES];

const NOBODY: Row = [0; CLASSES];

/// The number of words with one bit for each class.
const WORDS: u32 = (CLASSES / 64) as u32;

/// One bit for each class that has a slot. Class 0, of no room, is never looked up. It can be read
/// without the lock of the index.
#[derive(Debug, Default)]
pub(crate) struct Present([Published; WORDS as usize]);

impl Present {
    /// A number of bytes that every range of the highest class has; 0 if no slot has room. O(1).
    pub(crate) fn most(&self) -> u64 {
        let words = self.0.iter().map(Published::get);
        let highest = words
            .zip(0..)
            .filter_map(|(word, place)| Some(place * u64::BITS + word.checked_ilog2()?));
        highest.max().filter(|&class| class > 0).map_or(0, least_of)
    }

    /// Marks that a slot has this class.
    #[inline(always)]
    fn mark(&self, class: u32) {
        self.0[(class / 64 % WORDS) as usize].mark(1 << (class % 64));
    }

    /// If `is_gone`, marks that no slot has this class any more. There is no branch on it.
    #[inline(always)]
    fn clear_if(&self, is_gone: bool, class: u32) {
        self.0[(class / 64 % WORDS) as usize].clear(u64::from(is_gone) << (class % 64));
    }

    /// The lowest class from `class` on that has a slot.
    #[inline(always)]
    fn first_from(&self, class: u32) -> Option<u32> {
        let word = class / 64;
        let classes = self.0.get(word as usize)?.get() & (u64::MAX << (class % 64));
        match classes {
            0 => self.first_above(word),
            _ => Some(word * 64 + classes.trailing_zeros()),
        }
    }

    /// The lowest class in the words after this one. This is rare, because a word covers a factor
    /// of 256.
    #[cold]
    #[inline(never)]
    fn first_above(&self, word: u32) -> Option<u32> {
        let mut words = (word + 1..).zip(self.0.iter().skip(word as usize + 1));
        words.find_map(|(word, classes)| match classes.get() {
            0 => None,
            classes => Some(word * 64 + classes.trailing_zeros()),
        })
    }
}

/// The largest free range of each slot, by class. The bitmap of classes is kept
/// [separately](Present), one for each index.
#[derive(Debug, Default)]
pub(crate) struct FitIndex {
    /// One row for 64 slots.
    rows: Vec<Row>,
    /// One row for 64 rows, if there is more than one row.
    upper: Vec<Row>,
}

/// The class of a free range of `bytes`. Ranges of one class differ by less than an eighth. 0 is
/// below all others.
#[inline(always)]
pub(crate) const fn class_of(bytes: u64) -> u32 {
    class_of_room(room_of(bytes))
}

/// The class of a free range with this [room](room_of).
#[inline(always)]
pub(crate) const fn class_of_room(room: u32) -> u32 {
    room / STEPS
}

/// The number of bytes that every range of a class has, which is at least [`UNIT`]. The inverse of
/// [`class_of`].
const fn least_of(class: u32) -> u64 {
    ((DOUBLE + class % DOUBLE) as u64) << (class / DOUBLE) >> DOUBLE.ilog2()
}

/// The lowest class whose ranges all have `bytes`, if there is one. `bytes` must be at least 1.
pub(crate) const fn class_at_least(bytes: u64) -> Option<u32> {
    match class_of(bytes - 1) + 1 {
        class if class < CLASSES as u32 => Some(class),
        _ => None,
    }
}

impl FitIndex {
    /// The classes of a slot: the one to which it was changed last, unless that is 0. O(classes).
    /// For checks.
    pub(crate) fn classes(&self, slot: u32) -> impl Iterator<Item = u32> {
        let row = self.rows.get(slot as usize / 64);
        let is_in =
            move |&class: &u32| row.is_some_and(|row| row[class as usize] >> (slot % 64) & 1 != 0);
        (1..CLASSES as u32).filter(is_in)
    }

    /// Ensures that this many slots need no more memory.
    pub(crate) fn reserve(&mut self, slots: usize) -> Result<(), TryReserveError> {
        let rows = slots.div_ceil(64);
        self.rows.try_reserve(rows.saturating_sub(self.rows.len()))?;
        self.upper.try_reserve(rows.div_ceil(64).saturating_sub(self.upper.len()))
    }

    /// Changes the class of a slot. O(1).
    #[inline]
    pub(crate) fn change(&mut self, present: &Present, slot: u32, old: u32, new: u32) {
        match self.rows.as_mut_slice() {
            [row] if slot < 64 => {
                let place = &mut row[old as usize % CLASSES];
                *place &= !(1 << slot);
                let left = *place;
                row[new as usize % CLASSES] |= 1 << slot;
                present.clear_if(left == 0, old);
                present.mark(new);
            }
            _ => self.change_among_many(present, slot as usize, old, new),
        }
    }

    /// [`change`](Self::change) if there are more than 64 slots, or for the first slot.
    #[cold]
    #[inline(never)]
    fn change_among_many(&mut self, present: &Present, slot: usize, old: u32, new: u32) {
        let (row, bit) = (slot / 64, 1 << (slot % 64));
        let (group, row_bit) = (row / 64, 1 << (row % 64));
        if row >= self.rows.len() {
            self.rows.resize(row + 1, NOBODY);
            self.upper.resize(group + 1, NOBODY);
            // A single row has no upper level.
            for (upper, first) in self.upper[0].iter_mut().zip(&self.rows[0]) {
                *upper = *upper & !1 | u64::from(*first != 0);
            }
        }
        let (place, new_place) = (old as usize % CLASSES, new as usize % CLASSES);
        self.rows[row][place] &= !bit;
        if self.rows[row][place] == 0 {
            self.upper[group][place] &= !row_bit;
            present.clear_if(self.upper.iter().all(|upper| upper[place] == 0), old);
        }
        self.rows[row][new_place] |= bit;
        self.upper[group][new_place] |= row_bit;
        present.mark(new);
    }

    /// The oldest slot of the lowest class from `class` on, and that class.
    #[inline(always)]
    pub(crate) fn tightest(&self, present: &Present, class: u32) -> Option<(u32, u32)> {
        debug_assert!(class > 0, "class 0 is no room");
        let class = present.first_from(class)?;
        Some((self.oldest(class)?, class))
    }

    /// The lowest slot of a class that has one.
    #[inline(always)]
    fn oldest(&self, class: u32) -> Option<u32> {
        let class = class as usize % CLASSES;
        if let [row] = self.rows.as_slice() {
            return Some(row[class].trailing_zeros());
        }
        let group = self.upper.iter().position(|upper| upper[class] != 0)?;
        let row = group * 64 + self.upper[group][class].trailing_zeros() as usize;
        Some((row * 64) as u32 + self.rows[row][class].trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::random::Random;

    #[test]
    fn classes_are_monotone_and_a_class_keeps_what_it_promises() {
        let mut sizes: Vec<u64> =
            (6..50).flat_map(|p| (0..32).map(move |s| (32 + s) << p)).collect();
        sizes.extend(1..5000);
        sizes.extend((7..50).flat_map(|power| [(1 << power) - 1, (1 << power) + 1]));
        sizes.sort_unstable();
        assert!(sizes.is_sorted_by_key(|&size| class_of(size)));
        for &size in &sizes {
            let class = class_at_least(size).unwrap();
            // All ranges of this class hold the size, and some of the next lower class do not.
            let smallest = sizes.iter().find(|&&other| class_of(other) >= class);
            assert!(smallest.is_none_or(|&smallest| smallest >= size), "{size}");
            assert!(class_of(size) >= class - 1, "{size}");
        }
        for class in class_of(UNIT)..class_of(1 << 52) {
            let least = least_of(class);
            assert_eq!((class_of(least), class_of(least - 1)), (class, class - 1));
        }
        assert_eq!(class_of(0), 0);
        assert_eq!((class_of(63), class_of(64), class_at_least(64)), (47, 48, Some(48)));
        assert!(class_of(i64::MAX as u64) < CLASSES as u32);
        assert!(class_of(u64::MAX) >= CLASSES as u32 && class_at_least(u64::MAX).is_none());
    }

    #[test]
    fn the_tightest_slot_is_found_as_by_walking() {
        let (mut index, present) = (FitIndex::default(), Present::default());
        let mut sizes = vec![0_u64; 10_000];
        let mut random = Random::new(1);
        let mut random = |bound: u64| random.below(bound);
        let mut found = 0;
        for round in 0..20_000 {
            let slot = match round % 3 {
                // One row alone at first.
                _ if round < 500 => random(64),
                0 => random(10_000),
                _ => random(200),
            };
            let size = random(2) * (UNIT << random(24)) * (1 + random(7));
            let old = core::mem::replace(&mut sizes[slot as usize], size);
            index.change(&present, slot as u32, class_of(old), class_of(size));
            if round % 100 == 0 {
                let known = Some(class_of(size)).filter(|&class| class != 0);
                assert!(index.classes(slot as u32).eq(known));
            }
            let class = class_at_least(UNIT << random(28)).unwrap();
            let enough = (0..10_000).filter(|&slot| class_of(sizes[slot as usize]) >= class);
            let walked = enough.min_by_key(|&slot| (class_of(sizes[slot as usize]), slot));
            let walked = walked.map(|slot| (slot, class_of(sizes[slot as usize])));
            assert_eq!(index.tightest(&present, class), walked, "round {round}");
            let most = sizes.iter().map(|&size| class_of(size)).max().filter(|&class| class > 0);
            assert_eq!(present.most(), most.map_or(0, least_of), "round {round}");
            found += usize::from(walked.is_some());
        }
        assert!(found > 10_000 && found < 20_000, "{found}");
    }
}
