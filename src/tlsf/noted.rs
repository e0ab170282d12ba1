//! Functions for a table that finds used regions by the places of their nodes. A number can be
//! noted of each region. It is stored in the node itself, so that one look at a node is enough.

use super::Tlsf;
use super::pairs::{Link, Node, USED, index_of, place_of};
use super::region::{Freed, Key};
use super::search::{Found, Request};

/// A used region as described by its node, in granules, and the number that is noted of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Noted {
    /// The place of its node.
    pub(crate) place: u32,
    /// The noted number, at most [`Tlsf::MOST_NOTED`]: 0 at first.
    pub(crate) note: u32,
    /// The start.
    pub(crate) start: u32,
    pub(crate) size: u32,
    serial: u32,
    pub(super) left: u32,
    pub(super) right: u32,
}

impl Noted {
    /// Its key.
    pub(crate) fn key(self) -> Key {
        Key::new(index_of(self.place), self.serial)
    }

    /// A region that is in no block.
    #[cfg(test)]
    pub(crate) fn nowhere(place: u32, start: u32) -> Self {
        Self { place, note: 0, start, size: 0, serial: 0, left: 0, right: 0 }
    }
}

impl Tlsf {
    /// The largest number that can be noted.
    pub(crate) const MOST_NOTED: u32 = u32::MAX - USED;

    /// The place of a key's node: never 0, and less than 2³¹.
    #[inline]
    pub(crate) fn place(key: Key) -> u32 {
        place_of(key.index()) as u32
    }

    /// [`allocate`](Self::allocate) for callers who do not need the reason of a failure. It notes
    /// how many bytes the size was rounded up by, and returns the place of the node and the start
    /// in granules. The alignment is a power of two, and the rounding is small enough to be noted.
    #[inline]
    pub(crate) fn allocate_noted(&mut self, size: u64, alignment: u64) -> Option<(u32, u32)> {
        debug_assert!(alignment.is_power_of_two());
        let asked = self.in_granules(size, alignment)?;
        match self.search_first(asked, &mut ()) {
            None => self.allocate_noted_further(asked, size),
            Some(found) => self.give_noted(found, size),
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate_noted_further(&mut self, asked: Request, size: u64) -> Option<(u32, u32)> {
        let found = self.search_further(asked, &mut ())?;
        self.give_noted(found, size)
    }

    #[inline(always)]
    fn give_noted(&mut self, (request, found): (Request, Found), size: u64) -> Option<(u32, u32)> {
        self.prepare()?;
        let slack = (self.bytes(request.size) - size) as u32;
        debug_assert!(slack <= Self::MOST_NOTED);
        let (node, start, _) = self.cut(request, found, USED.wrapping_add(slack));
        Some((node, start))
    }

    /// Notes a number of a used region in place of the previous one. Returns `None`, and changes
    /// nothing, if there is no such region.
    pub(crate) fn note(&mut self, place: u32, note: u32) -> Option<()> {
        let (link, _) = self.node_in(place as usize).filter(|(link, _)| link.prev >= USED)?;
        let prev = USED.checked_add(note)?;
        self.table().set_link(place, Link { prev, ..link });
        Some(())
    }

    /// The used region whose node is at a place; `None` if there is no used region at it, or no
    /// such place.
    #[inline(always)]
    pub(crate) fn noted(&self, place: u32) -> Option<Noted> {
        self.noted_below(place, Self::MOST_NOTED + 1)
    }

    /// As [`noted`](Self::noted), but also `None` if the noted number is not below a bound.
    #[inline(always)]
    pub(crate) fn noted_below(&self, place: u32, bound: u32) -> Option<Noted> {
        debug_assert!(bound <= Self::MOST_NOTED + 1);
        let (link, node) = self.node_in(place as usize)?;
        let Node { start, size, left, right } = node;
        // Other marks and places are smaller than `USED`, so the difference wraps to more than can
        // be noted.
        let note = link.prev.wrapping_sub(USED);
        let noted = Noted { place, note, start, size, serial: link.next, left, right };
        (note < bound).then_some(noted)
    }

    /// Used → free, for a region in its present state.
    #[inline(always)]
    pub(crate) fn free_noted(&mut self, noted: Noted) -> Freed {
        debug_assert_eq!(self.noted(noted.place), Some(noted));
        let Noted { place, start, size, left, right, .. } = noted;
        let region = Node { start, size, left, right };
        self.taken.subtract(size);
        self.table().release(place, region);
        self.freed(region)
    }
}
