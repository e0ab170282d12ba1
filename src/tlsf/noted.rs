//! The doors of a table that finds used regions by the places of their nodes: it notes something of each,
//! which stands in the node itself, so that one look at a node tells all.

use super::Tlsf;
use super::pairs::{Link, Node, USED, index_of, place_of};
use super::region::{Freed, Key};
use super::search::{Found, Request};

/// A used region, as its node tells it, in granules; and what is noted of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Noted {
    /// The place of its node.
    pub(crate) place: u32,
    /// What is noted, at most [`Tlsf::MOST_NOTED`]: 0 at first.
    pub(crate) note: u32,
    /// Where it begins.
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

    /// One that is in no block.
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

    /// [`allocate`](Self::allocate) for who does not ask why not, with a note of how many bytes the size is
    /// rounded up by: the place of its node, and where it begins, in granules. The alignment is a power of two,
    /// and so many bytes can be noted.
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

    /// Notes something of a used region, and forgets what was noted before. None, and nothing has changed, if
    /// there is no such region.
    pub(crate) fn note(&mut self, place: u32, note: u32) -> Option<()> {
        let (link, _) = self.node_in(place as usize).filter(|(link, _)| link.prev >= USED)?;
        let prev = USED.checked_add(note)?;
        self.table().set_link(place, Link { prev, ..link });
        Some(())
    }

    /// The used region whose node is at a place; none if nobody lives there, or the place is none.
    #[inline(always)]
    pub(crate) fn noted(&self, place: u32) -> Option<Noted> {
        self.noted_below(place, Self::MOST_NOTED + 1)
    }

    /// [`noted`](Self::noted), but none too if what is noted is not below a bound.
    #[inline(always)]
    pub(crate) fn noted_below(&self, place: u32, bound: u32) -> Option<Noted> {
        debug_assert!(bound <= Self::MOST_NOTED + 1);
        let (link, node) = self.node_in(place as usize)?;
        let Node { start, size, left, right } = node;
        // Other marks and the places in a bin's link are less, and so become more than can be noted.
        let note = link.prev.wrapping_sub(USED);
        let noted = Noted { place, note, start, size, serial: link.next, left, right };
        (note < bound).then_some(noted)
    }

    /// Used → free, of a region as it is now.
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
