//! How a run ends: regularly, in the middle of everything, or with a lost device.

use fencepost::{AllocateError, Allocator, GuardedBy, ResourceKind, Scrub, vk};

use crate::{
    asks,
    support::random::Random,
    world::{Done, Made, Open, Thing, World},
};

impl World {
    /// Ends everything, in one of the ways that there are: nothing is left, of the allocator or of the driver.
    pub fn end(mut self, random: &mut Random) -> Done {
        if random.one_in(4) {
            self.lose(random);
            self.note("lost");
        }
        let mut done = core::mem::take(&mut self.done);
        let (what, end): (_, fn(Self, &mut Random)) = match random.below(4) {
            0 => ("shut down", Self::shut_down),
            1 => ("closed", Self::close),
            _ => ("ended in order", Self::end_in_order),
        };
        end(self, random);
        done.insert(what, 1);
        done
    }

    /// The device is lost, and the program goes on for a while.
    fn lose(&mut self, random: &mut Random) {
        self.allocator.collect();
        let busy = self.batches.iter().any(|batches| !batches.is_empty());
        self.fake.lose_device();
        self.lost = true;
        self.model.lose();
        for _ in 0..random.below(100) {
            match random.below(12) {
                0..3 => self.grant_one(random),
                3 => self.grant_other(random),
                4 => self.grant_many(random),
                5 => self.begin(random),
                6 => self.abandon(random),
                7 => self.collect(random),
                8 => self.use_stale(random),
                9 => _ = self.allocator.trim(),
                _ => self.end_one(random),
            }
        }
        self.allocator.check().unwrap();
        // Who asks after the GPU's work is told, and from then on nothing is handed out.
        self.allocator.collect();
        let needs = asks::requirements(random, self.most);
        let memory = asks::memory(random);
        let made = self.allocator.allocate(&needs, ResourceKind::Linear, &memory);
        assert!(!busy || matches!(made, Err(AllocateError::DeviceLost)), "{made:?}");
        _ = made.map(|made| self.take_in(Made::Plain(made), ResourceKind::Linear, None));
    }

    fn end_in_order(mut self, random: &mut Random) {
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
        if self.guards == Some(GuardedBy::Gpu) && !self.lost {
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
        let report = self.allocator.clone().close();
        assert!(report.is_none(), "not the last");
        let Self { fake, allocator, own, pages, .. } = self;
        let report = allocator.close().expect("the last");
        assert_eq!((report.leaks.len(), report.still_pending), (0, 0));
        drop(pages);
        // SAFETY: nobody uses it any more.
        unsafe { fake.device().destroy_semaphore(own.0, None) };
        fake.finish().unwrap();
    }

    /// Everything is destroyed while it lives, and what lives on is inert.
    fn shut_down(mut self, random: &mut Random) {
        // SAFETY: nothing is submitted any more, and there is no other thread.
        let report = unsafe { self.allocator.shutdown() }.unwrap();
        if !self.has_sheets() {
            assert_eq!(report.leaks.len(), self.things.len());
        }
        let live = self.fake.live();
        let objects = [live.memories, live.buffers, live.images, live.image_views, live.fences];
        assert_eq!((objects, live.semaphores), ([0; 5], 1), "but for the program's own");
        let needs = vk::MemoryRequirements { size: 64, alignment: 1, memory_type_bits: !0 };
        let memory = asks::memory(random);
        let refused = self.allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap_err();
        assert_eq!(refused, AllocateError::ShutDown);
        assert_eq!(self.allocator.check_guards(), []);
        for _ in 0..random.below(20) {
            match random.below(5) {
                0 => _ = self.allocator.collect_all(),
                1 => _ = self.allocator.trim(),
                2 => _ = self.allocator.statistics(),
                3 => self.prioritise(random),
                _ => _ = self.allocator.snapshot(),
            }
        }
        self.drop_all(random, None);
    }

    /// The last facade goes while everything lives, and what lives on is whole until its own end.
    fn close(mut self, random: &mut Random) {
        while !self.open.is_empty() {
            match self.lost || random.one_in(2) {
                true => self.abandon(random),
                false => self.submit(random),
            }
        }
        for thing in &mut self.things {
            if let Made::Raw(raw) = thing.made {
                // SAFETY: the key is turned back once.
                thing.made = Made::Plain(unsafe { self.allocator.from_raw(raw) }.unwrap());
            }
        }
        let alive = self.things.len();
        let (sheets, facade) = (self.has_sheets(), self.allocator.clone());
        self.drop_all(random, Some((facade, alive, sheets)));
    }

    /// All goes in any order, the GPU's work in between.
    fn drop_all(self, random: &mut Random, closes: Option<(Allocator, usize, bool)>) {
        let Self { fake, allocator, mut timelines, mut arenas, mut runs, things, open, .. } = self;
        let (mut things, mut open) = (things, open);
        let mut allocator = Some(allocator);
        if let Some((facade, alive, sheets)) = closes {
            assert!(allocator.take().and_then(Allocator::close).is_none());
            let report = facade.close().expect("the last");
            assert!(sheets || report.leaks.len() == alive, "{report:?} of {alive}");
        }
        while things.len() + arenas.len() + runs.len() + timelines.len() + open.len() > 0 {
            match random.below(8) {
                0 => _ = arenas.pop(),
                1 => _ = runs.pop(),
                2 if random.one_in(4) => _ = timelines.pop(),
                3 => _ = fake.step(fake.queue(random.below(timelines.len() as u64 + 1) as u32)),
                4 => {
                    if let Some(Open { recording, .. }) = open.pop() {
                        // SAFETY: nothing is submitted any more.
                        unsafe { recording.abandon() };
                    }
                }
                5 if random.one_in(10) => allocator = None,
                _ => drop(take(&mut things, random)),
            }
        }
        drop(allocator);
        drop(self.pages);
        // SAFETY: nobody uses it any more.
        unsafe { fake.device().destroy_semaphore(self.own.0, None) };
        fake.finish().unwrap();
    }
}

fn take(things: &mut Vec<Thing>, random: &mut Random) -> Option<Thing> {
    let count = things.len() as u64;
    (count > 0).then(|| things.swap_remove(random.below(count) as usize))
}
