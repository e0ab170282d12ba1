//! What a vacant seat remembers: the granule whose node left it, and the era.
#![forbid(unsafe_code)]

/// A period of time during which the memories of vacant seats are valid. When the next one begins, all
/// of them become invalid at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Era(pub(super) u32);

impl Era {
    pub(super) const FIRST: Self = Self(0);

    /// The next era. The last one does not end: no word has room for it, so nothing is remembered in
    /// it.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Makes the words of vacant seats.
///
/// A pair of seats has the index `⌊(granule × odd factor + constant) mod 2^G / 2^T⌋`, where all
/// granules are below 2^`G`; if there are more pairs than granules, `T` is 0. A word contains the
/// *tail* of the granule: its lowest `T` bits. The tail and the pair identify the granule. If two
/// different granules have the same tail, they differ by a multiple of 2^`T` that is not 0 modulo
/// 2^`G`. So do their products, because the factor is odd, and therefore their pairs are different.
///
/// ```text
/// word      │ − │ era       │ tail │
/// ```
/// If a word has no room for the era and the tail, it remembers nothing and is 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// The bits that all words of this era have in common. 0 if nothing is remembered.
    base: i32,
    /// The same, except that it is not the word of a vacant seat if nothing is remembered.
    asked: i32,
    /// The mask of a tail. 0 if nothing is remembered.
    tail: i32,
    era: Era,
    tail_bits: u32,
    /// The number of bits of a word without the sign.
    word_bits: u32,
}

impl Marks {
    /// The marks of a table with 2^`seats` seats, whose words have `word_bits` bits and a sign, for
    /// granules below 2^`granules`.
    pub(super) fn new(word_bits: u32, seats: u32, granules: u32) -> Self {
        let tail_bits = Self::tail_bits(seats, granules);
        Self { base: 0, asked: 0, tail: 0, era: Era::FIRST, tail_bits, word_bits }.of(Era::FIRST)
    }

    /// The number of bits of a tail.
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

    /// Sets the era. Words that are made from now on belong to it.
    #[inline(always)]
    pub(super) fn see(&mut self, era: Era) {
        if era != self.era {
            self.turn(era);
        }
    }

    /// The era that was set last.
    pub(super) fn era(&self) -> Era {
        self.era
    }

    #[cold]
    #[inline(never)]
    fn turn(&mut self, era: Era) {
        *self = self.of(era);
    }

    /// The word of a seat that the node of a granule leaves in this era. It is 0, like that of an
    /// unused seat, if nothing is remembered.
    #[inline(always)]
    pub(super) fn word(&self, granule: u32) -> i32 {
        self.base | granule as i32 & self.tail
    }

    /// Whether the word of a vacant seat was made for a granule in this era.
    #[inline(always)]
    pub(super) fn tell(&self, granule: u32, word: i32) -> bool {
        word == (self.asked | granule as i32 & self.tail)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    /// No two granules have the same word in the same pair of seats, and no two eras have the same
    /// word, whatever the odd factor. If a word is too narrow for this, it is 0.
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
                        let product = (u64::from(granule) * 0x9E37_79B1) << (64 - granules);
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
