//! A bitmap of where allocations ever started, and a coarse index of where live ones may start. It
//! is used for pointers that are refused.
#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytemuck::allocation::try_zeroed_slice_box;

use super::seat::Era;

const BITS: usize = u64::BITS as usize;

/// More levels than any bound needs.
const LEVELS: usize = 10;

/// The number of bits in a group.
pub(super) const GROUP: usize = 256;

/// One bit for each number that was ever a member, and levels of bits above groups of them. A bit
/// of a level says whether there may be a member below it. The departure of a member is not
/// recorded; a search discovers it and corrects the levels, so it pays once for each member that
/// was added.
///
/// Bits are ordered by the remainder of their number, in rows of whole words, so that the bits of
/// multiples of a power of two, as starts often are, lie close together:
///
/// ```text
/// 0, 256, 512, …  │ 1, 257, 513, …  │ 2, 258, 514, …  │ …
/// ```
/// For `n` numbers this takes `n` bits, up to 2 KiB for rounding, and a 252nd of `n` more. The host
/// provides no pages for untouched parts.
#[derive(Debug)]
pub(super) struct Bitmap {
    ever: Box<[u64]>,
    /// How many numbers have each remainder, and the words of their row.
    groups: usize,
    row: usize,
    /// All levels, the lowest (that of the groups) first. While there is a member below a bit, the
    /// bit is set.
    words: Box<[AtomicU64]>,
    /// The index in `words` at which each level begins.
    firsts: [usize; LEVELS],
    levels: usize,
    /// A new era begins when a group is found to have no member.
    era: AtomicU32,
    /// A power of two above all numbers.
    above: u32,
}

impl Bitmap {
    /// Creates a bitmap for numbers below `bound`, without members; `None` if the host is out of
    /// memory.
    pub(super) fn new(bound: usize) -> Option<Self> {
        let groups = bound.div_ceil(GROUP).max(1);
        let (mut firsts, mut levels, mut words) = ([0; LEVELS], 0, 0);
        let mut below = groups;
        // One level at least.
        while levels == 0 || below != 1 {
            below = below.div_ceil(BITS);
            firsts[levels] = words;
            levels += 1;
            words += below;
        }
        let row = groups.div_ceil(BITS);
        let ever = try_zeroed_slice_box(row * GROUP).ok()?;
        Some(Self {
            ever,
            groups,
            row,
            words: try_zeroed_slice_box(words).ok()?,
            firsts,
            levels,
            era: AtomicU32::new(Era::FIRST.0),
            above: bound.next_power_of_two() as u32,
        })
    }

    /// The index of the word of a number's bit. The number of the bit in it is that of the group,
    /// as in the lowest level.
    #[inline]
    fn word_of(&self, number: usize) -> usize {
        number % GROUP * self.row + number / GROUP / BITS
    }

    /// Adds members. O(numbers): nearly always all bits are set already.
    pub(super) fn extend(&mut self, numbers: &[u32]) {
        for &number in numbers {
            let (word, group) = (self.word_of(number as usize), number as usize / GROUP);
            self.ever[word] |= 1 << (group % BITS);
            if *self.words[group / BITS].get_mut() >> (group % BITS) & 1 == 0 {
                self.raise(group);
            }
        }
    }

    /// Marks that there may be members in a group.
    #[cold]
    #[inline(never)]
    fn raise(&mut self, mut place: usize) {
        for &first in &self.firsts[..self.levels] {
            let word = self.words[first + place / BITS].get_mut();
            let bit = 1 << (place % BITS);
            if *word & bit != 0 {
                return;
            }
            *word |= bit;
            place /= BITS;
        }
    }

    /// While the era stays the same, no number that was added needs to be added again.
    #[inline]
    pub(super) fn era(&mut self) -> Era {
        Era(*self.era.get_mut())
    }

    /// Whether a number ever was a member.
    pub(super) fn was_in(&self, number: usize) -> bool {
        let group = number / GROUP;
        let word = self.ever.get(self.word_of(number)).filter(|_| group < self.groups);
        word.is_some_and(|word| word >> (group % BITS) & 1 != 0)
    }

    /// The largest member up to `number`, where `is_in` tells which numbers are members. `is_in` is
    /// asked about all numbers of a group that were ever added. Each group that is visited in vain
    /// is visited once for each member that was added.
    pub(super) fn last_up_to(&self, number: usize, is_in: impl Fn(usize) -> bool) -> Option<usize> {
        let (mut group, mut last) = (number / GROUP, number % GROUP);
        if group >= self.groups {
            return None;
        }
        loop {
            let first = group * GROUP;
            let mut members = (first..=first + last).rev().filter(|&number| self.was_in(number));
            if let Some(found) = members.find(|&number| is_in(number)) {
                return Some(found);
            }
            if last == GROUP - 1 {
                self.forget(group);
            }
            last = GROUP - 1;
            group = self.before(group)?;
        }
    }

    /// The next lower group that may have members.
    fn before(&self, mut place: usize) -> Option<usize> {
        for (height, &first) in self.firsts[..self.levels].iter().enumerate() {
            let word = self.words[first + place / BITS].load(Ordering::Relaxed);
            let found = word & ((1 << (place % BITS)) - 1);
            place /= BITS;
            if found == 0 {
                continue;
            }
            place = place * BITS + found.ilog2() as usize;
            for first in self.firsts[..height].iter().rev() {
                // Another thread may have cleared the word just now.
                let word = self.words[first + place].load(Ordering::Relaxed);
                place = place * BITS + word.checked_ilog2().unwrap_or(0) as usize;
            }
            return Some(place);
        }
        None
    }

    /// Marks that no member is left in a group.
    fn forget(&self, mut place: usize) {
        // If another thread does the same at this time, both begin the same next era.
        let Era(next) = Era(self.era.load(Ordering::Relaxed)).next(self.above);
        self.era.store(next, Ordering::Relaxed);
        for &first in &self.firsts[..self.levels] {
            let bit = 1 << (place % BITS);
            let word = &self.words[first + place / BITS];
            if word.fetch_and(!bit, Ordering::Relaxed) & !bit != 0 {
                return;
            }
            place /= BITS;
        }
    }

    /// Bytes of address space held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.ever)
    }

    /// Whether the bits of a member are set at every level.
    pub(super) fn shows(&self, number: usize) -> bool {
        let mut place = number / GROUP;
        self.was_in(number)
            && self.firsts[..self.levels].iter().all(|first| {
                let word = self.words[first + place / BITS].load(Ordering::Relaxed);
                let set = word >> (place % BITS) & 1 != 0;
                place /= BITS;
                set
            })
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    /// A small generator. Its numbers are clustered, so that words become empty and full.
    fn numbers(bound: usize) -> impl FnMut() -> usize {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let spread = if state & 1 == 0 { bound } else { bound.min(100) };
            (state >> 20) as usize % spread
        }
    }

    #[test]
    fn it_is_a_set() {
        for bound in [1, 63, 256, 257, 16_384, 16_385, 300_000, 1_100_000] {
            let mut bitmap = Bitmap::new(bound).unwrap();
            let mut twin = BTreeSet::new();
            let mut ever = BTreeSet::new();
            let mut number = numbers(bound);
            for step in 0..4000 {
                let (member, asked) = (number(), number());
                if step % 3 == 0 {
                    twin.remove(&member);
                } else {
                    bitmap.extend(&[member as u32]);
                    twin.insert(member);
                    ever.insert(member);
                }
                assert_eq!(bitmap.was_in(asked), ever.contains(&asked));
                let found = bitmap.last_up_to(asked, |number| twin.contains(&number));
                assert_eq!(found, twin.range(..=asked).next_back().copied());
            }
            assert!(twin.iter().all(|&member| bitmap.shows(member)));
            assert_eq!(bitmap.last_up_to(bound - 1, |_| false), None);
            assert_eq!(bitmap.last_up_to(bound + GROUP, |_| true), None, "beyond the bound");
        }
    }

    /// A member that has left is searched for once, and not again.
    #[test]
    fn a_search_puts_right_what_it_finds() {
        let mut bitmap = Bitmap::new(300_000).unwrap();
        (0..300_000).step_by(GROUP).for_each(|number| bitmap.extend(&[number]));
        let asked = core::cell::Cell::new(0);
        let count = |_: usize| {
            asked.set(asked.get() + 1);
            false
        };
        assert_eq!(bitmap.last_up_to(299_999, count), None);
        assert_eq!(asked.replace(0), 300_000_usize.div_ceil(GROUP));
        assert_eq!(bitmap.last_up_to(299_999, count), None);
        assert!(asked.get() <= 2, "{}", asked.get());
        bitmap.extend(&[77]);
        assert!(bitmap.shows(77), "and what comes again is found");
        assert_eq!(bitmap.last_up_to(299_999, |number| number == 77), Some(77));
    }
}
