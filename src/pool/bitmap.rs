//! A set of small numbers that finds the nearest member below in constant time.
#![forbid(unsafe_code)]

use alloc::{boxed::Box, vec::Vec};

use bytemuck::allocation::try_zeroed_slice_box;

const BITS: usize = u64::BITS as usize;

/// A bitmap, a bitmap of its words that are not 0, and so on up to a single word.
///
/// For `n` numbers it takes `n` bits and a sixty-third more. The host gives untouched parts no pages.
#[derive(Debug)]
pub(super) struct Bitmap {
    /// Bit `i` of level `l + 1` is set iff word `i` of level `l` is not 0.
    levels: Vec<Box<[u64]>>,
}

impl Bitmap {
    /// Holds numbers below `bound`, none at first; `None` if the host is out of memory.
    pub(super) fn new(bound: usize) -> Option<Self> {
        let mut levels = Vec::new();
        let mut words = bound.div_ceil(BITS).max(1);
        loop {
            levels.try_reserve(1).ok()?;
            levels.push(try_zeroed_slice_box(words).ok()?);
            if words == 1 {
                return Some(Self { levels });
            }
            words = words.div_ceil(BITS);
        }
    }

    /// Puts a number in. Touches the next level only where a word was 0.
    #[inline]
    pub(super) fn insert(&mut self, mut number: usize) {
        for level in &mut self.levels {
            let word = &mut level[number / BITS];
            let was = *word;
            *word |= 1 << (number % BITS);
            if was != 0 {
                return;
            }
            number /= BITS;
        }
    }

    /// Takes a number out. Touches the next level only where a word becomes 0.
    #[inline]
    pub(super) fn remove(&mut self, mut number: usize) {
        for level in &mut self.levels {
            let word = &mut level[number / BITS];
            *word &= !(1 << (number % BITS));
            if *word != 0 {
                return;
            }
            number /= BITS;
        }
    }

    /// The largest member up to `number`. At most two words per level: twelve for 2³¹ numbers.
    pub(super) fn last_up_to(&self, number: usize) -> Option<usize> {
        let mut place = number;
        // Up: a word that holds the number or less. From the second level on, only less.
        let mut keep = u64::MAX >> (BITS - 1 - place % BITS);
        for (height, level) in self.levels.iter().enumerate() {
            let found = level.get(place / BITS)? & keep;
            if found != 0 {
                place = place / BITS * BITS + found.ilog2() as usize;
                return Some(self.last_below(height, place));
            }
            place /= BITS;
            keep = (1 << (place % BITS)) - 1;
        }
        None
    }

    /// Down: the largest member under bit `place` of a level, which is set.
    fn last_below(&self, height: usize, mut place: usize) -> usize {
        for level in self.levels[..height].iter().rev() {
            place = place * BITS + level[place].ilog2() as usize;
        }
        place
    }

    /// Bytes of address space held.
    pub(super) fn bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&**level)).sum()
    }

    /// Whether every level sums up the one below. O(bound).
    pub(super) fn is_whole(&self) -> bool {
        self.levels.windows(2).all(|pair| {
            let bit = |word: usize| pair[1][word / BITS] >> (word % BITS) & 1 != 0;
            pair[0].iter().enumerate().all(|(word, &bits)| (bits != 0) == bit(word))
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
            let mut number = numbers(bound);
            for step in 0..4000 {
                let (member, asked) = (number(), number());
                if step % 3 == 0 {
                    bitmap.remove(member);
                    twin.remove(&member);
                } else {
                    bitmap.insert(member);
                    twin.insert(member);
                }
                assert_eq!(bitmap.last_up_to(asked), twin.range(..=asked).next_back().copied());
            }
            assert!(bitmap.is_whole());
            for member in twin {
                bitmap.remove(member);
            }
            assert_eq!(bitmap.last_up_to(bound - 1), None);
            assert!(bitmap.is_whole() && bitmap.levels.iter().all(|level| level[0] == 0));
        }
    }

    #[test]
    fn a_broken_sum_is_seen() {
        let mut bitmap = Bitmap::new(5000).unwrap();
        bitmap.insert(77);
        bitmap.levels[0][1] = 0;
        assert!(!bitmap.is_whole());
    }
}
