//! How it ends: as it should, in the middle of everything, with the device lost.

use fencepost::{GuardedBy, Scrub};

use crate::{
    support::random::Random,
    world::{Made, Open, World},
};

impl World {
    /// Ends everything: nothing is left, of the allocator or of the driver.
    pub fn end(mut self, random: &mut Random) {
        let lost = random.one_in(8);
        if lost {
            self.fake.lose_device();
        }
        for Open { recording, .. } in self.open.drain(..) {
            // SAFETY: nothing more is submitted.
            unsafe { recording.abandon() };
        }
        let early = random.one_in(2);
        if early {
            self.arenas.clear();
            self.runs.clear();
        }
        for thing in core::mem::take(&mut self.things) {
            if let Made::Raw(raw) = thing.made {
                // SAFETY: the key is turned back once.
                unsafe { self.allocator.retire_raw(raw) }.unwrap();
            }
        }
        self.fake.run();
        if self.guards == Some(GuardedBy::Gpu) && !lost {
            for _ in 0..6 {
                let (line, family) = (&self.timelines[0], self.fake.queue_family(0));
                // SAFETY: the family computes, and no other thread submits.
                _ = unsafe { self.allocator.scrub(line, family, Scrub::Due) };
                self.fake.run();
                self.allocator.collect_all();
            }
        }
        for _ in 0..20 {
            self.allocator.collect_all();
        }
        self.allocator.check().unwrap();
        self.arenas.clear();
        self.runs.clear();
        let total = self.allocator.statistics().total;
        assert_eq!(total.live_count, 0);
        if self.guards.is_none() {
            assert_eq!((total.pending_count, total.pending), (0, 0));
            self.allocator.trim();
            let total = self.allocator.statistics().total;
            assert_eq!((total.blocks, total.reserved), (0, 0));
            assert_eq!(self.fake.live().memories, 0);
        }
        self.timelines.clear();
        let Self { fake, allocator, own, pages, .. } = self;
        let report = allocator.close().expect("the last");
        assert_eq!((report.leaks.len(), report.still_pending), (0, 0));
        drop(pages);
        // SAFETY: nobody uses it any more.
        unsafe { fake.device().destroy_semaphore(own.0, None) };
        fake.finish().unwrap();
    }
}
