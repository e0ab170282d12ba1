//! Fast functions for the common case. Requests, frees and pools that need more use the others.
#![forbid(unsafe_code)]

use super::{
    super::{found::Note, seat::Seat, statistics::Counts},
    Ledger,
};

impl Ledger {
    /// Allocates a range by size and alignment only, and returns its offset, including the lead.
    /// Returns `None`, and changes nothing, if the request needs more, or fails. O(1).
    #[inline]
    pub(in super::super) fn allocate_plain(&mut self, size: u64, alignment: u64) -> Option<u64> {
        if alignment > self.plain_alignment {
            return None;
        }
        let (place, start) = self.tlsf.allocate_noted(size, alignment)?;
        if !self.enter(start, place) {
            self.give_back(place);
            return None;
        }
        Some(u64::from(start) << self.shift)
    }

    /// Used → free, for the live allocation that starts at an address, and counts it. Returns
    /// `None`, and changes nothing, if there is none, if a handle owns it, or if there is more to
    /// do. O(1).
    #[inline(always)]
    pub(in super::super) fn free_plain(&mut self, address: u64, counts: &mut Counts) -> Option<()> {
        // An address before the origin wraps around to more than any offset, and one that is not a
        // multiple of the granule becomes more than any number of granules.
        let granule = address.wrapping_sub(self.origin).rotate_right(self.shift);
        if granule >= self.plain_granules {
            return None;
        }
        let granule = granule as u32;
        let (at, seat) = self.starts.best(address)?;
        let noted = match seat.plain(&self.tlsf) {
            Some(noted) if noted.start == granule => {
                self.starts.leave(at, granule, self.began.era());
                noted
            }
            _ => self.leave_further(granule)?.plain(&self.tlsf)?,
        };
        // First: then nothing of it has to be kept.
        counts.deallocated((u64::from(noted.size) << self.shift) - Note(noted.note).slack());
        self.tlsf.free_noted(noted);
        Some(())
    }

    /// Takes out the start of a live allocation that is not in its best seat, and that no handle owns: as if it sat
    /// alone.
    #[cold]
    #[inline(never)]
    fn leave_further(&mut self, granule: u32) -> Option<Seat> {
        let (at, noted) = self.starts.find(granule, &self.tlsf)?;
        if Note(noted.note).is_by_handle() {
            return None;
        }
        self.starts.remove(at, granule, self.began.era(), &self.tlsf);
        Some(Seat::of(noted.place))
    }
}
