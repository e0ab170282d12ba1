//! Where allocations ever began, and a coarse picture of where live ones may: for pointers that are
//! refused.
#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use bytemuck::allocation::try_zeroed_slice_box;

const BITS: usize = u64::BITS as usize;

/// More levels than any bound needs.
const LEVELS: usize = 10;

/// A bit for each number that ever was a member, and above it levels of bits: each says whether there
/// may be a member under it. A member that leaves is not written down; the search for one finds out,
/// and puts right what it finds, so that it pays once for each that came.
///
/// For `n` numbers it takes `n` bits and a sixty-third of `n` more. The host gives untouched parts no
/// pages.
#[derive(Debug)]
pub(super) struct Bitmap {
    ever: Box<[u64]>,
    /// All levels, the lowest first. No bit says that there is none under it while there is one.
    words: Box<[AtomicU64]>,
    /// Where each level begins in `words`.
    firsts: [usize; LEVELS],
    levels: usize,
}

impl Bitmap {
    /// Holds numbers below `bound`, none at first; `None` if the host is out of memory.
    pub(super) fn new(bound: usize) -> Option<Self> {
        let count = bound.div_ceil(BITS).max(1);
        let (mut firsts, mut levels, mut words) = ([0; LEVELS], 0, 0);
        let mut below = count;
        while below != 1 {
            below = below.div_ceil(BITS);
            firsts[levels] = words;
            levels += 1;
            words += below;
        }
        let ever = try_zeroed_slice_box(count).ok()?;
        Some(Self { ever, words: try_zeroed_slice_box(words).ok()?, firsts, levels })
    }

    /// A number is a member from now on. O(1): nearly always all is written down already.
    #[inline]
    pub(super) fn insert(&mut self, number: usize) {
        let mut place = number / BITS;
        self.ever[place] |= 1 << (number % BITS);
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

    /// Whether a number ever was a member.
    pub(super) fn was_in(&self, number: usize) -> bool {
        let word = self.ever.get(number / BITS);
        word.is_some_and(|word| word >> (number % BITS) & 1 != 0)
    }

    /// The largest member up to `number`, where `is_in` tells members. Each word that it visits in vain
    /// is visited once for a member that came; 64 numbers are asked for in each of the lowest.
    pub(super) fn last_up_to(&self, number: usize, is_in: impl Fn(usize) -> bool) -> Option<usize> {
        let member = |place: usize, mask: u64| {
            let mut bits = self.ever[place] & mask;
            while bits != 0 {
                let bit = bits.ilog2() as usize;
                if is_in(place * BITS + bit) {
                    return Some(place * BITS + bit);
                }
                bits &= !(1 << bit);
            }
            None
        };
        let mut place = number / BITS;
        if place >= self.ever.len() {
            return None;
        }
        let mut mask = u64::MAX >> (BITS - 1 - number % BITS);
        loop {
            if let Some(found) = member(place, mask) {
                return Some(found);
            }
            if mask == u64::MAX {
                self.forget(place);
            }
            mask = u64::MAX;
            place = self.before(place)?;
        }
    }

    /// The next lower place that may have members.
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
                // Another thread may just have found out that there is none.
                let word = self.words[first + place].load(Ordering::Relaxed);
                place = place * BITS + word.checked_ilog2().unwrap_or(0) as usize;
            }
            return Some(place);
        }
        None
    }

    /// No member is left under a place of the lowest level.
    fn forget(&self, mut place: usize) {
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

    /// Whether a member is written down at every level.
    pub(super) fn shows(&self, number: usize) -> bool {
        let mut place = number / BITS;
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

    /// A small generator; the numbers it gives cluster, so that words empty and fill.
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
        for bound in [1, 63, 64, 65, 4096, 4097, 300_000] {
            let mut bitmap = Bitmap::new(bound).unwrap();
            let mut twin = BTreeSet::new();
            let mut ever = BTreeSet::new();
            let mut number = numbers(bound);
            for step in 0..4000 {
                let (member, asked) = (number(), number());
                if step % 3 == 0 {
                    twin.remove(&member);
                } else {
                    bitmap.insert(member);
                    twin.insert(member);
                    ever.insert(member);
                }
                assert_eq!(bitmap.was_in(asked), ever.contains(&asked));
                let found = bitmap.last_up_to(asked, |number| twin.contains(&number));
                assert_eq!(found, twin.range(..=asked).next_back().copied());
            }
            assert!(twin.iter().all(|&member| bitmap.shows(member)));
            assert_eq!(bitmap.last_up_to(bound - 1, |_| false), None);
            assert_eq!(bitmap.last_up_to(bound + 64, |_| true), None, "beyond the bound");
        }
    }

    /// What left is looked for once, and not again.
    #[test]
    fn a_search_puts_right_what_it_finds() {
        let mut bitmap = Bitmap::new(300_000).unwrap();
        (0..300_000).step_by(64).for_each(|number| bitmap.insert(number));
        let asked = core::cell::Cell::new(0);
        let count = |_: usize| {
            asked.set(asked.get() + 1);
            false
        };
        assert_eq!(bitmap.last_up_to(299_999, count), None);
        assert_eq!(asked.replace(0), 300_000_usize.div_ceil(64));
        assert_eq!(bitmap.last_up_to(299_999, count), None);
        assert!(asked.get() <= 2, "{}", asked.get());
        bitmap.insert(77);
        assert!(bitmap.shows(77), "and what comes again is found");
        assert_eq!(bitmap.last_up_to(299_999, |number| number == 77), Some(77));
    }
}
