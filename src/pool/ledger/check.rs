//! Checks whether the bookkeeping is consistent.
#![forbid(unsafe_code)]

use super::{super::error::Broken, Ledger};
use crate::tlsf::State;

impl Ledger {
    /// Every invariant. O(granules).
    pub(in super::super) fn check(&self, live_bytes: u64) -> Result<(), Broken> {
        self.tlsf.check()?;
        let (mut bytes, mut count) = (0, 0);
        let mut last = None;
        for region in self.regions() {
            let broken = Err(Broken::Start { offset: region.offset });
            if region.state == State::Used {
                match self.start(region.offset) {
                    Some(live) if Some(live.key) == region.key => bytes += live.size,
                    _ => return broken,
                }
                if !self.began.shows(self.in_core(self.granule_of(region.offset))) {
                    return Err(Broken::Starts);
                }
                count += 1;
                last = Some(self.granule_of(region.offset));
            }
            // For the last granule of a region, the next start below is that of the region itself
            // or of the last live one.
            if self.last_start(self.granule_of(region.offset + region.size - 1)) != last {
                return broken;
            }
        }
        let found = (bytes, count, count);
        if found != (live_bytes, self.live_count(), self.starts.count() as u64) {
            return Err(Broken::Count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{
        began::Began,
        desc::PoolDesc,
        found::{Note, Request},
        seat::Era,
    };
    use crate::tlsf::Tlsf;

    /// Three allocations of 100 bytes, the second of which has ended; and the place of its node.
    fn ledger() -> (Ledger, u32) {
        let desc = PoolDesc::new();
        let layout = desc.layout(1 << 20, 4096).unwrap();
        let mut ledger = Ledger::new(&layout, &desc, (1 << 20) - layout.lead).unwrap();
        let request = Request { size: 100, alignment: 1, margin: 0, by_handle: false };
        let lives = [(); 3].map(|()| ledger.allocate(request).unwrap());
        ledger.free(&lives[1]);
        (ledger, Tlsf::place(lives[1].key))
    }

    /// The control of every check of a pool: each kind of inconsistency is found.
    #[test]
    fn broken_books_are_found() {
        let (sound, _) = ledger();
        assert_eq!(sound.check(200), Ok(()));
        let lead = sound.lead_granules;
        assert_eq!(sound.check(199), Err(Broken::Count), "the statistics have lost a byte");

        let (mut lost, _) = ledger();
        let (at, noted) = lost.entry(0).unwrap();
        lost.starts.remove(at, lead, Era::FIRST, &lost.tlsf);
        assert_eq!(lost.check(200), Err(Broken::Start { offset: 0 }), "a live one has no start");

        let (mut swapped, _) = ledger();
        let (at, _) = swapped.entry(14).unwrap();
        swapped.starts.remove(at, 14 + lead, Era::FIRST, &swapped.tlsf);
        let inserted = swapped.starts.insert(14 + lead, noted.place, Era::FIRST, &swapped.tlsf);
        assert!(inserted.is_some());
        assert_eq!(swapped.check(200), Err(Broken::Start { offset: 224 }), "another's node");

        let (mut haunted, ended) = ledger();
        let inserted = haunted.starts.insert(7 + lead, ended, Era::FIRST, &haunted.tlsf);
        assert!(inserted.is_some());
        assert_eq!(haunted.check(200), Err(Broken::Count), "nobody lives there");

        let (mut resized, _) = ledger();
        let (_, noted) = resized.entry(0).unwrap();
        resized.set_note(noted.place, Note(noted.note + 1));
        assert_eq!(resized.check(200), Err(Broken::Count), "its size is another");

        let (mut unwritten, _) = ledger();
        unwritten.began = Began::new(4096 / 16).unwrap();
        assert_eq!(unwritten.check(200), Err(Broken::Starts), "no search finds them");
    }

    /// However large a boundary and an allocation are, the bytes after it are its margin, and can
    /// be noted.
    #[test]
    fn what_is_moved_behind_a_boundary_is_as_large_as_it_was_asked_for() {
        let desc = PoolDesc::new().boundary(1 << 32).checked();
        for bits in [12, 20, 30, 31] {
            let size = 1_u64 << bits;
            let layout = desc.layout((1 << 33) - 4096, 5 << 30).unwrap();
            let mut ledger = Ledger::new(&layout, &desc, (1 << 33) - 4096 - layout.lead).unwrap();
            let request = Request { size, alignment: 1, margin: 16, by_handle: false };
            let first = ledger.allocate(Request { size: 2048, ..request }).unwrap();
            let live = ledger.allocate(request).unwrap();
            assert!(live.offset >= 4096, "it would have crossed");
            assert_eq!((live.size, live.reserved), (size, size + 16), "2^{bits}");
            assert_eq!(ledger.start(live.offset), Some(live), "2^{bits}");
            assert_eq!(ledger.check(2048 + size), Ok(()));
            ledger.free(&live);
            ledger.free(&first);
        }
    }
}
