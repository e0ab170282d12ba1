//! What a vacant seat remembers: which granule's node left it, and in which era.
#![forbid(unsafe_code)]

/// The time for which what vacant seats remember holds: all of it is forgotten at once when the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Era(pub(super) u32);

impl Era {
    pub(super) const FIRST: Self = Self(0);

    /// The next one. The last one lasts: no word is wide enough for it, so nothing is remembered in it.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How the words of vacant seats are made.
///
/// A granule's pair of seats is told by the uppermost bits of its product with an odd number, modulo 2^`granules`. Two
/// granules whose lowest bits are the same differ by a multiple of the power of two above those, and so do their products,
/// which then differ above. So the pair of seats and the bits of the granule that the pair's number leaves over, the
/// *tail*, tell the granule:
///
/// ```text
/// word      │ − │ era       │ tail │
/// ```
/// A word that has no room for the tail and the era remembers nothing, and is 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// What all words of this era have in common; 0 if nothing is remembered.
    base: i32,
    /// The same, but no vacant seat's word if nothing is remembered.
    asked: i32,
    /// The bits of a tail; none if nothing is remembered.
    tail: i32,
    era: Era,
    tail_bits: u32,
    /// Of a word, without the sign.
    word_bits: u32,
}

impl Marks {
    /// Those of a table with 2^`seats` seats whose words have so many bits and a sign, for granules below 2^`granules`.
    pub(super) fn new(word_bits: u32, seats: u32, granules: u32) -> Self {
        let tail_bits = Self::tail_bits(seats, granules);
        Self { base: 0, asked: 0, tail: 0, era: Era::FIRST, tail_bits, word_bits }.of(Era::FIRST)
    }

    /// Bits of a tail.
    pub(super) fn tail_bits(seats: u32, granules: u32) -> u32 {
        (granules + 1).saturating_sub(seats)
    }

    fn of(self, era: Era) -> Self {
        let (tail, bound) = ((1_i64 << self.tail_bits) - 1, 1_i64 << self.word_bits);
        let base = i64::from(era.0) << self.tail_bits;
        if (base | tail) < bound {
            let base = (base - bound) as i32;
            Self { era, base, asked: base, tail: tail as i32, ..self }
        } else {
            Self { era, base: 0, asked: 1, tail: 0, ..self }
        }
    }

    /// From now on it is this era, and no word of an older one is made any more.
    #[inline(always)]
    pub(super) fn see(&mut self, era: Era) {
        if era != self.era {
            self.turn(era);
        }
    }

    /// The era last seen.
    pub(super) fn era(&self) -> Era {
        self.era
    }

    #[cold]
    #[inline(never)]
    fn turn(&mut self, era: Era) {
        *self = self.of(era);
    }

    /// The word of a seat that a granule's node left in the era last seen; 0, as if nobody ever sat there, if that cannot be
    /// remembered.
    #[inline(always)]
    pub(super) fn word(&self, granule: u32) -> i32 {
        self.base | granule as i32 & self.tail
    }

    /// Whether the word of a vacant seat is that of a granule, and of the era last seen.
    #[inline(always)]
    pub(super) fn tell(&self, granule: u32, word: i32) -> bool {
        word == (self.asked | granule as i32 & self.tail)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    /// No two granules have the same word in the same pair of seats, and no two eras the same word. Where a word is too
    /// narrow for that, it is 0.
    #[test]
    fn a_word_and_its_pair_of_seats_tell_the_granule_and_the_era() {
        let mut forgotten = 0;
        for bits in [15, 31] {
            for (seats, granules) in [(6, 4), (6, 6), (6, 12), (10, 12), (2, 16), (2, 17), (1, 17)]
            {
                let mut marks = Marks::new(bits, seats, granules);
                let mut known = BTreeMap::new();
                for era in [0, 1, 2, 7, 8, 1 << 19, 1 << 28, 1 << 30, u32::MAX] {
                    marks.see(Era(era));
                    for granule in 0..1_u32 << granules {
                        let product = (u64::from(granule) * 0x3844_0B73) << (64 - granules);
                        let word = marks.word(granule);
                        assert_eq!(marks.tell(granule, word), word != 0);
                        if word == 0 {
                            forgotten += 1;
                            continue;
                        }
                        assert!(word < 0 && word >> bits == -1);
                        let seat = product >> (64 - seats) >> 1;
                        let old = known.insert((seat, word), (granule, era));
                        assert_eq!(old, None, "{granule} in {era}: {bits} {seats} {granules}");
                    }
                }
                assert!(
                    !known.is_empty()
                        || (bits, granules - seats) == (15, 15)
                        || (bits, granules - seats) == (15, 16)
                );
            }
        }
        assert!(forgotten > 0);
    }
}
