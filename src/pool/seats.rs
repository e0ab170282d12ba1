//! The words in the seats of the table of starts, of 16 or 32 bits.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use crate::tlsf::Tlsf;

/// The content of a seat.
///
/// A positive word encodes the place of the node in the seat. The word of a vacant seat is 0, or
/// negative if it [remembers](super::marks) which granule left it.
pub(super) trait Word: Copy + Default {
    /// The number of bits without the sign. (The name `BITS` would hide the integer's own constant.)
    const DIGITS: u32;

    /// The word of a place; `None` if a word is too narrow for it.
    fn of(place: u32) -> Option<Self>;

    /// The place of the node in the seat. For a vacant seat it is 0 or at least 2³¹, where no node is.
    fn place(self) -> u32;

    /// The word as a number.
    fn number(self) -> i32;

    /// The word of a vacant seat.
    fn vacant(number: i32) -> Self;
}

/// Half the bytes, so that twice as many words are in the first-level cache. All places are multiples
/// of [`Tlsf::PLACES`], and the word is the place divided by it: enough for a table of 32,436 nodes.
impl Word for i16 {
    const DIGITS: u32 = 15;

    #[inline(always)]
    fn of(place: u32) -> Option<Self> {
        let word = place.wrapping_mul(Tlsf::PLACES_INVERSE);
        (word < 1 << Self::DIGITS).then_some(word as Self)
    }

    #[inline(always)]
    fn place(self) -> u32 {
        i32::from(self).wrapping_mul(Tlsf::PLACES as i32) as u32
    }

    #[inline(always)]
    fn number(self) -> i32 {
        self.into()
    }

    #[inline(always)]
    fn vacant(number: i32) -> Self {
        number as Self
    }
}

/// The word is the place, which is enough for any table.
impl Word for i32 {
    const DIGITS: u32 = 31;

    #[inline(always)]
    fn of(place: u32) -> Option<Self> {
        Self::try_from(place).ok()
    }

    #[inline(always)]
    fn place(self) -> u32 {
        self as u32
    }

    #[inline(always)]
    fn number(self) -> i32 {
        self
    }

    #[inline(always)]
    fn vacant(number: i32) -> Self {
        number
    }
}

/// A number of vacant seats. `None` if the host has no memory for them.
pub(super) fn vacant<W: Copy + Default>(length: usize) -> Option<Vec<W>> {
    let mut seats = Vec::new();
    seats.try_reserve_exact(length).ok()?;
    seats.resize(length, W::default());
    Some(seats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_positive_word_is_a_place_and_no_other_is() {
        let narrow = |place: u32| <i16 as Word>::of(place);
        for place in [1, 331, 332, 0x7FFF].map(|index| index * Tlsf::PLACES) {
            assert_eq!(narrow(place).map(Word::place), Some(place));
            assert_eq!(<i32 as Word>::of(place).map(Word::place), Some(place));
        }
        assert_eq!(narrow(0x8000 * Tlsf::PLACES), None);
        let largest = (1 << 31) - 2;
        assert_eq!((narrow(largest), <i32 as Word>::of(largest)), (None, Some(i32::MAX - 1)));
        assert_eq!(<i32 as Word>::of(1 << 31), None);
        for vacant in [i16::MIN, -1, 0] {
            assert!(vacant.place() == 0 || vacant.place() >= 1 << 31);
        }
    }
}
