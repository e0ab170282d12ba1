//! The contents of a seat of the table of starts, in four bytes.
#![forbid(unsafe_code)]

use super::found::Note;
use crate::tlsf::{Noted, Tlsf};

/// The topmost bit, which no place and no granule has set.
const LEFT: u32 = 1 << 31;

/// The place of the node in this seat; otherwise the start that left it, or 0 if there was never a
/// node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seat(u32);

impl Seat {
    /// The seat of a node with this place, which is not 0.
    #[inline]
    pub(super) fn of(place: u32) -> Self {
        Self(place)
    }

    /// The contents of a seat after the node of a granule has left it.
    #[inline]
    pub(super) fn left(granule: u32, era: Era) -> Self {
        Self(era.0 | granule | LEFT)
    }

    /// Whether there is a node in the seat.
    #[inline]
    pub(super) fn is_taken(self) -> bool {
        self.0.wrapping_sub(1) < LEFT - 1
    }

    /// Whether the last node in the seat started at a granule, and left in this era.
    #[inline]
    pub(super) fn remembers(self, granule: u32, era: Era) -> bool {
        self.0 == era.0 | granule
    }

    /// The used region whose node is in the seat, if there is one.
    #[inline(always)]
    pub(super) fn used(self, nodes: &impl Nodes) -> Option<Noted> {
        nodes.used(self.0)
    }

    /// The same, but only if no handle owns the region. Then the number noted of it is just its
    /// slack.
    #[inline(always)]
    pub(super) fn plain(self, tlsf: &Tlsf) -> Option<Noted> {
        tlsf.noted_below(self.0, Note::BY_HANDLE)
    }
}

/// The nodes of used regions by their places.
pub(super) trait Nodes {
    /// The used region whose node is at a place; `None` if there is none, in particular at 0 and
    /// from 2³¹ on.
    fn used(&self, place: u32) -> Option<Noted>;
}

impl Nodes for Tlsf {
    #[inline(always)]
    fn used(&self, place: u32) -> Option<Noted> {
        self.noted(place)
    }
}

/// The period in which the memories of vacant seats are valid. When the next one begins, all of
/// them are forgotten at once.
///
/// It is encoded in the bits above those of the granules. If there are none, or they are used up,
/// nothing is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Era(pub(super) u32);

impl Era {
    pub(super) const FIRST: Self = Self(LEFT);

    /// The last era, in which nothing is remembered: except for 0, no vacant seat is without the
    /// topmost bit.
    const LAST: Self = Self(1);

    /// The next era, for granules below a power of two.
    pub(super) fn next(self, granules: u32) -> Self {
        match self {
            Self::LAST => self,
            Self(era) => era.checked_add(granules).map_or(Self::LAST, Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Where each node begins.
    impl Nodes for Vec<u32> {
        fn used(&self, place: u32) -> Option<Noted> {
            let start = *self.get(place as usize)?;
            (start != u32::MAX).then(|| Noted::nowhere(place, start))
        }
    }

    /// Eras differ as long as there are bits; the last one remembers nothing.
    #[test]
    fn a_seat_remembers_who_left_it_in_this_era() {
        for bits in [3, 20, 29, 31] {
            let (granules, mut era) = (1 << bits, Era::FIRST);
            let mut eras = alloc::vec![];
            for _ in 0..5 {
                let known = eras.len() < 1 << (31 - bits).min(3);
                for granule in [0, 1, granules - 1] {
                    let seat = Seat::left(granule, era);
                    assert!(!seat.is_taken());
                    assert_eq!(seat.remembers(granule, era), known, "{bits}: {granule}");
                    assert!(!seat.remembers(granule ^ 1, era));
                    assert!(!Seat::default().remembers(granule, era));
                    let older = eras.iter().any(|&other| seat.remembers(granule, other));
                    assert!(!known || !older, "{bits}: {granule}");
                }
                eras.push(era);
                era = era.next(granules);
            }
        }
    }

    #[test]
    fn a_place_is_taken_and_nothing_else() {
        assert!(Seat::of(1).is_taken() && Seat::of(LEFT - 1).is_taken());
        assert!(!Seat::default().is_taken() && !Seat::left(0, Era::FIRST).is_taken());
    }
}
