//! The words that stand in the seats of the table of starts, of 16 bits where that is enough.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use crate::tlsf::Tlsf;

/// What stands in a seat.
///
/// A positive word stands for the place of the node that sits there. The word of a vacant seat is 0, or negative where it
/// [remembers](super::marks) who left it.
pub(super) trait Word: Copy + Default {
    /// Its bits without the sign. (`BITS` would be the integer's own.)
    const DIGITS: u32;

    /// The word of a place; `None` if a word is too narrow for it.
    fn of(place: u32) -> Option<Self>;

    /// The place of the node that sits there. If nobody does, it is 0 or from 2³¹ on, where no node is.
    fn place(self) -> u32;

    fn number(self) -> i32;

    /// The word of a vacant seat.
    fn vacant(number: i32) -> Self;
}

/// Half the bytes, so twice as many words are in the nearest cache. All places are multiples of [`Tlsf::PLACES`], and the
/// word is a place divided by that: enough for a table of 32,436 nodes.
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

/// Enough for any table: the word is the place.
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

/// So many seats in which nobody ever sat; `None` if the host has no memory for them.
pub(super) fn vacant<W: Word>(length: usize) -> Option<Vec<W>> {
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
