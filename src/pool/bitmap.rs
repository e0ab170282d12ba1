//! A set of small numbers that finds the nearest member below in constant time.
#![forbid(unsafe_code)]

use alloc::boxed::Box;

use bytemuck::allocation::try_zeroed_slice_box;

const BITS: usize = u64::BITS as usize;

/// 64 numbers, a bit for each: those that are in the set, and those that ever were.
type Window = [u64; 2];
const MEMBERS: usize = 0;
const EVER: usize = 1;

/// More levels than any bound needs.
const LEVELS: usize = 10;

/// A bitmap, a bitmap of its words that are not 0, and so on up to a single word. It also remembers
/// what was ever in it.
///
/// For `n` numbers it takes `2 n` bits and a sixty-third of `n` more. The host gives untouched parts no
/// pages.
#[derive(Debug)]
pub(super) struct Bitmap {
    windows: Box<[Window]>,
    /// All levels, the lowest first. Bit `i` of that is set iff window `i` has members; bit `i` of a
    /// level above, iff word `i` of the level below is not 0.
    words: Box<[u64]>,
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
        let windows = try_zeroed_slice_box(count).ok()?;
        Some(Self { windows, words: try_zeroed_slice_box(words).ok()?, firsts, levels })
    }

    /// Puts a number in. O(1): the levels above change only where something was empty.
    #[inline]
    pub(super) fn insert(&mut self, number: usize) {
        let bit = 1 << (number % BITS);
        let mut place = number / BITS;
        let window = &mut self.windows[place];
        let mut before = window[MEMBERS];
        window[MEMBERS] |= bit;
        window[EVER] |= bit;
        for &first in &self.firsts[..self.levels] {
            if before != 0 {
                return;
            }
            let word = &mut self.words[first + place / BITS];
            before = *word;
            *word |= 1 << (place % BITS);
            place /= BITS;
        }
    }

    /// Takes a number out. O(1): the levels above change only where something becomes empty.
    #[inline]
    pub(super) fn remove(&mut self, number: usize) {
        let mut place = number / BITS;
        let window = &mut self.windows[place];
        window[MEMBERS] &= !(1 << (number % BITS));
        let mut after = window[MEMBERS];
        for &first in &self.firsts[..self.levels] {
            if after != 0 {
                return;
            }
            let word = &mut self.words[first + place / BITS];
            *word &= !(1 << (place % BITS));
            after = *word;
            place /= BITS;
        }
    }

    /// Whether a number ever was in it.
    pub(super) fn was_in(&self, number: usize) -> bool {
        let window = self.windows.get(number / BITS);
        window.is_some_and(|window| window[EVER] >> (number % BITS) & 1 != 0)
    }

    /// The largest member up to `number`. At most two words per level, of six at most.
    pub(super) fn last_up_to(&self, number: usize) -> Option<usize> {
        let mut place = number / BITS;
        let found = self.windows.get(place)?[MEMBERS] & (u64::MAX >> (BITS - 1 - number % BITS));
        if found != 0 {
            return Some(place * BITS + found.ilog2() as usize);
        }
        // Up, to a word with a bit below the one we come from.
        for (height, &first) in self.firsts[..self.levels].iter().enumerate() {
            let found = self.words[first + place / BITS] & ((1 << (place % BITS)) - 1);
            place /= BITS;
            if found != 0 {
                return Some(self.last_below(height, place * BITS + found.ilog2() as usize));
            }
        }
        None
    }

    /// Down: the largest member under bit `place` of a level, which is set.
    fn last_below(&self, height: usize, mut place: usize) -> usize {
        for first in self.firsts[..height].iter().rev() {
            place = place * BITS + self.words[first + place].ilog2() as usize;
        }
        place * BITS + self.windows[place][MEMBERS].ilog2() as usize
    }

    /// Bytes of address space held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.windows)
    }

    /// A level's words.
    fn level(&self, height: usize) -> &[u64] {
        let end = if height + 1 < self.levels { self.firsts[height + 1] } else { self.words.len() };
        &self.words[self.firsts[height]..end]
    }

    /// Whether every level sums up the one below. O(bound).
    pub(super) fn is_whole(&self) -> bool {
        let sums = |height: usize, word: usize, bits: u64| {
            height == self.levels
                || (bits != 0) == (self.level(height)[word / BITS] >> (word % BITS) & 1 != 0)
        };
        let mut windows = self.windows.iter().enumerate();
        windows.all(|(word, window)| {
            window[MEMBERS] & !window[EVER] == 0 && sums(0, word, window[MEMBERS])
        }) && (0..self.levels).all(|height| {
            let mut words = self.level(height).iter().enumerate();
            words.all(|(word, &bits)| sums(height + 1, word, bits))
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
                    bitmap.remove(member);
                    twin.remove(&member);
                } else {
                    bitmap.insert(member);
                    twin.insert(member);
                    ever.insert(member);
                }
                assert_eq!(bitmap.was_in(asked), ever.contains(&asked));
                assert_eq!(bitmap.last_up_to(asked), twin.range(..=asked).next_back().copied());
            }
            assert!(bitmap.is_whole());
            for member in twin {
                bitmap.remove(member);
            }
            assert_eq!(bitmap.last_up_to(bound - 1), None);
            assert!(bitmap.is_whole() && bitmap.words.iter().all(|&word| word == 0));
        }
    }

    #[test]
    fn a_broken_sum_is_seen() {
        let mut bitmap = Bitmap::new(5000).unwrap();
        bitmap.insert(77);
        bitmap.windows[1][MEMBERS] = 0;
        assert!(!bitmap.is_whole());
        bitmap.remove(77);
        bitmap.words[bitmap.firsts[1]] = 1;
        assert!(!bitmap.is_whole());
    }
}
