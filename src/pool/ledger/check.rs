//! Whether the books agree with themselves.
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
                if !self.began.shows(self.granule_of(region.offset) as usize) {
                    return Err(Broken::Starts);
                }
                count += 1;
                last = Some(self.granule_of(region.offset));
            }
            // From the last granule of a region the next start below is the region's own, or that of
            // the last one that lives.
            if self.last_start(self.granule_of(region.offset + region.size - 1)) != last {
                return broken;
            }
        }
        if (bytes, count) != (live_bytes, self.live_count()) {
            return Err(Broken::Count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{began::Began, desc::PoolDesc, ledger::Request, starts::Entry};

    /// Three live allocations of 100 bytes, the second of which has ended.
    fn ledger() -> Ledger {
        let layout = PoolDesc::new().layout(1 << 20, 4096).unwrap();
        let mut ledger = Ledger::new(&layout).unwrap();
        let request = Request { size: 100, alignment: 1, margin: 0, by_handle: false };
        let lives = [(); 3].map(|()| ledger.allocate(request).unwrap());
        ledger.free(&lives[1]);
        ledger
    }

    /// The control of every check of a pool: each way in which the books can disagree is found.
    #[test]
    fn broken_books_are_found() {
        let sound = ledger();
        assert_eq!(sound.check(200), Ok(()));
        assert_eq!(sound.check(199), Err(Broken::Count), "the statistics have lost a byte");

        let mut lost = ledger();
        let (place, entry) = lost.entry(0).unwrap();
        lost.starts.remove(place, &lost.tlsf);
        assert_eq!(lost.check(200), Err(Broken::Start { offset: 0 }), "a live one has no start");

        let mut swapped = ledger();
        let (place, _) = swapped.entry(14).unwrap();
        swapped.starts.remove(place, &swapped.tlsf);
        let lead = swapped.lead_granules;
        swapped.starts.insert(14 + lead, entry);
        assert_eq!(swapped.check(200), Err(Broken::Start { offset: 224 }), "another's node");

        let mut haunted = ledger();
        let ended =
            haunted.regions().nth(1).filter(|it| it.state == State::Free && it.offset == 112);
        assert!(ended.is_some(), "between the two");
        let node = (1..10).find(|&node| haunted.tlsf.start_at(node) == 7 + lead).unwrap();
        haunted.starts.insert(7 + lead, Entry { node, note: 0 });
        assert_eq!(haunted.check(200), Err(Broken::Start { offset: 112 }), "nobody lives there");

        let mut unwritten = ledger();
        unwritten.began = Began::new(4096 / 16).unwrap();
        assert_eq!(unwritten.check(200), Err(Broken::Starts), "no search finds them");
    }
}
