//! The doors of what is plain: all else of a request, an end or a pool goes through the others.
#![forbid(unsafe_code)]

use super::{
    super::{found::Note, seat::Seat, statistics::Counts},
    Ledger,
};

impl Ledger {
    /// Gives a range out of which nothing is asked but size and alignment, and tells its offset, the lead counted; none, and
    /// nothing has changed, where more is asked, or it cannot. O(1).
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

    /// Used → free, of the live allocation that begins at an address, and counts it. None, and nothing has changed, if there
    /// is no such one or no such address, a handle owns it, or more is to be done. O(1).
    #[inline(always)]
    pub(in super::super) fn free_plain(&mut self, address: u64, counts: &mut Counts) -> Option<()> {
        // Before the origin it wraps around to more than any offset, and what is no multiple of the granule is more than any
        // number of granules.
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
