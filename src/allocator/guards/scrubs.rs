//! The GPU as the guard: what becomes of entries that wait for a scrub (`work.rs` says what each is to
//! have done), and of scrubs.
//!
//! Whatever a scrub touches is nobody's until the GPU has passed it: a margin, or a range that stays
//! pending. So scrubs need no order with the user's work but that of their queue.

use std::sync::atomic::Ordering;

use super::{
    super::{
        auditor::PATIENCE,
        collect::Collected,
        inner::{Inner, Lane, LaneState, Life},
    },
    passed::RetirePoints,
    scrub::{Scrub, Scrubbed},
    sheet::Sheet,
    site::Site,
    state::{Job, Scrubs},
    waiting::{Step, Waiting, rest},
    work::{Watched, Work},
};
use crate::{
    ground::{lock::Locked, sync::lock},
    guard::GuardPolicy,
    memory::{Entry, Freed, Fresh, Grave, Sight, View},
    retire::BagNumber,
    tlsf::Region,
};

impl Inner {
    /// No scrub comes any more, and nothing rests: what waits is let go.
    pub(super) fn scrubs_have_ended(&self) -> bool {
        self.life() != Life::Open || self.is_lost()
    }

    fn scrubs_are_under_way(&self) -> bool {
        self.guards.jobs.load(Ordering::Acquire) > 0
    }

    /// A range was granted: its margins are nobody's, and are filled by the next scrub.
    pub(super) fn scrub_hand_out(&self, mut state: Locked<'_, LaneState>, entry: Entry) {
        if state.guards.margin() > 0 {
            let step = Step::Open;
            state.waiting.push(Waiting { entry, step, freed: Freed::NEVER, after: 0 });
        }
    }

    /// Says once that what ended waits for scrubs that nobody records.
    pub(in super::super) fn tell_unscrubbed(&self, now: u64) {
        let guards = &self.guards;
        let since = now.saturating_sub(guards.scrubbed.load(Ordering::Relaxed));
        if since == 0 || since % u64::from(PATIENCE) != 0 || guards.told.load(Ordering::Relaxed) {
            return;
        }
        let waiting = |lane: &Lane| -> u64 {
            let state = lane.lock();
            let ended = state.waiting.iter().filter(|waiting| waiting.step != Step::Open);
            ended.map(|waiting| state.blocks.pending_size(waiting.entry)).sum()
        };
        let bytes: u64 = self.lanes().map(waiting).sum();
        if bytes == 0 || guards.told.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            target: crate::events::GUARD, bytes, collects = since,
            "what ended waits for a scrub, and none was recorded for long: call `record_scrub` or \
             `scrub` once a frame, or nothing comes back"
        );
    }

    /// Takes out of the entries those that wait for a scrub before they are free.
    pub(super) fn scrub_ends(
        &self,
        state: &mut LaneState,
        entries: &mut Vec<Entry>,
        points: &RetirePoints,
    ) {
        // Where scrubs have ended, one that is under way may still look at margins.
        let over =
            !self.guards.scrubs() || self.scrubs_have_ended() && !self.scrubs_are_under_way();
        if over {
            return;
        }
        let collect = self.collects.load(Ordering::Relaxed);
        // Without margins no scrub works on what lives.
        let has_margins = state.guards.margin() > 0;
        let after = if has_margins { self.guards.begun.load(Ordering::Relaxed) } else { 0 };
        let LaneState { blocks, waiting, .. } = state;
        entries.retain(|&entry| {
            let sight = blocks.block(entry.slot).map(|block| block.sight);
            let waits = matches!(sight, Some(Sight::Gpu(_)));
            if waits {
                let freed = Freed { collect, at: points.of(entry) };
                waiting.push(Waiting { entry, step: Step::End, freed, after });
            }
            !waits
        });
    }

    /// Takes all that waits for a scrub, once those that the GPU has passed are taken back, and says
    /// what is to be done for it.
    pub(super) fn take_scrub_work(&self, extent: Scrub) -> Work {
        self.finish_scrubs(self.poll().bag(), &mut Collected::default());
        let number = self.guards.begin_scrub();
        let mut work = Work::new(number, self.vulkan.properties().tables);
        for lane in self.lanes() {
            let mut state = lane.lock();
            let mut waiting = core::mem::take(&mut state.waiting);
            if extent == Scrub::Due {
                state.waiting = rest(&mut waiting, &state.blocks, self.guards.quarantine.bytes);
            }
            if state.guards.at_end().is_some() {
                self.hold_free(&mut state, &mut waiting, Step::Fresh);
            }
            if extent == Scrub::Everything && state.guards.poisons() {
                self.hold_free(&mut state, &mut waiting, Step::Held);
            }
            waiting.sort_by_key(|waiting| (waiting.entry.slot, waiting.entry.key.index()));
            let (policy, blocks) = (state.guards, &state.blocks);
            let atom = if lane.writes_atoms() { self.guards.atom } else { 1 };
            let watched = Watched { memory_type: lane.memory_type, policy, atom, blocks };
            for waiting in waiting {
                if work.plan(&watched, waiting).is_some() {
                    work.waiting.push((lane.index, waiting));
                }
            }
            if extent == Scrub::Everything {
                work.check_live_margins(&watched);
            }
        }
        work
    }

    /// Takes the free ranges of blocks where anybody has lived, or of those that are fresh, so that
    /// nobody gets them meanwhile.
    fn hold_free(&self, state: &mut LaneState, waiting: &mut Vec<Waiting>, step: Step) {
        for slot in 0..state.blocks.slots() {
            let Some(block) = state.blocks.block_mut(slot) else { continue };
            let due = match step {
                Step::Fresh => block.fresh != Fresh::No,
                _ => !block.graves.is_empty(),
            };
            if !due || !matches!(block.sight, Sight::Gpu(_)) {
                continue;
            }
            // Where the host has no memory for that, the next scrub does it.
            let Some((keys, first)) = state.blocks.hold(slot) else { continue };
            if let (Step::Fresh, Some(block)) = (step, state.blocks.block_mut(slot)) {
                block.fresh = Fresh::No;
            }
            if first {
                if let Some(myself) = self.myself.upgrade() {
                    state.keep(slot, myself);
                }
            }
            let held = |key| {
                let entry = Entry { slot, key };
                Waiting { entry, step, freed: Freed::NEVER, after: 0 }
            };
            waiting.extend(keys.into_iter().map(held));
        }
    }

    /// A scrub was submitted, or recorded where it will be.
    pub(super) fn add_job(&self, job: Job) {
        let mut scrubs = lock(&self.guards.scrubs);
        let Scrubbed { checked, filled, dispatches } = job.work.scrubbed();
        scrubs.total.checked += checked;
        scrubs.total.filled += filled;
        scrubs.total.dispatches += dispatches;
        scrubs.jobs.push(job);
        self.guards.scrubbed.store(self.collects.load(Ordering::Relaxed), Ordering::Relaxed);
        self.guards.jobs.store(scrubs.jobs.len(), Ordering::Release);
    }

    pub(super) fn give_back_sheet(&self, sheet: Sheet) {
        lock(&self.guards.scrubs).sheets.push(sheet);
    }

    /// Takes back the scrubs whose bags are reached.
    pub(in super::super) fn finish_scrubs(&self, reached: BagNumber, collected: &mut Collected) {
        self.finish_scrubs_where(|job| job.bag.is_reached(reached), collected);
        if self.scrubs_have_ended() && !self.scrubs_are_under_way() {
            self.let_waiting_go(collected);
        }
    }

    /// Takes back every scrub: the caller knows that the GPU is done.
    pub(in super::super) fn finish_all_scrubs(&self, collected: &mut Collected) {
        self.finish_scrubs_where(|_| true, collected);
    }

    fn finish_scrubs_where(&self, done: impl Fn(&Job) -> bool, collected: &mut Collected) {
        let mut scrubs = lock(&self.guards.scrubs);
        let (finished, under_way): (Vec<Job>, Vec<Job>) =
            core::mem::take(&mut scrubs.jobs).into_iter().partition(done);
        scrubs.jobs = under_way;
        self.guards.jobs.store(scrubs.jobs.len(), Ordering::Release);
        drop(scrubs);
        for job in finished {
            let Job { work, sheet, .. } = job;
            // An abandoned recording is reached too, and has done nothing.
            let ran = sheet.has_run();
            if ran {
                self.guards.report(&work.findings(|piece| sheet.seen(piece)));
            }
            self.end_work(work, ran, collected);
            self.give_back_sheet(sheet);
        }
    }

    /// The next step of each entry, after a scrub that ran; after one that did not, they wait on.
    pub(super) fn end_work(&self, work: Work, ran: bool, collected: &mut Collected) {
        self.guards.end_scrub(work.number);
        for of_lane in work.waiting.chunk_by(|a, b| a.0 == b.0) {
            let Some(lane) = self.lane(of_lane[0].0) else { continue };
            let mut state = lane.lock();
            let mut scratch = core::mem::take(&mut state.scratch);
            for &(_, waiting) in of_lane {
                let entry = waiting.entry;
                // A scrub on another queue may be slower.
                let may_go = ran && self.guards.is_left_alone(&waiting);
                match waiting.step {
                    Step::Held => scratch.entries.push(entry),
                    Step::Fresh => {
                        let region = state.blocks.region(entry);
                        if let Some(block) = state.blocks.block_mut(entry.slot) {
                            match region {
                                Some(Region { offset, size, .. }) if ran => {
                                    block.graves.bury(offset..offset + size, Grave::of_nobody());
                                }
                                _ => block.fresh = Fresh::Yes,
                            }
                        }
                        scratch.entries.push(entry);
                    }
                    Step::Recheck { .. } if may_go => scratch.entries.push(entry),
                    Step::End if ran => {
                        let policy = state.guards;
                        if policy.at_end().is_some() {
                            bury(lane, &mut state, waiting);
                        }
                        if policy.poisons() {
                            let step = Step::Recheck { rest: self.guards.quarantine.scrubs };
                            state.waiting.push(Waiting { step, ..waiting });
                        } else if may_go {
                            scratch.entries.push(entry);
                        } else {
                            state.waiting.push(waiting);
                        }
                    }
                    Step::Open if ran => {
                        // It may have ended meanwhile, and another may have its place.
                        if state.blocks.region(entry).is_some() {
                            state.blocks.close_fence(entry);
                        }
                    }
                    _ => state.waiting.push(waiting),
                }
            }
            self.free_batch(lane, state, scratch, collected);
        }
    }

    /// Lets go what waits for a scrub that will not come.
    pub(in super::super) fn let_waiting_go(&self, collected: &mut Collected) {
        for lane in self.lanes() {
            let mut state = lane.lock();
            if state.waiting.is_empty() {
                continue;
            }
            let mut scratch = core::mem::take(&mut state.scratch);
            let waiting = core::mem::take(&mut state.waiting);
            let ended = waiting.iter().filter(|waiting| waiting.step != Step::Open);
            scratch.entries.extend(ended.map(|waiting| waiting.entry));
            self.free_batch(lane, state, scratch, collected);
        }
    }

    /// Whether all of a region was filled with zeros, and nobody had it since but its owner now.
    pub(in super::super) fn is_zeroed(&self, lane: &Lane, entry: Entry) -> bool {
        reads_zero(&lane.lock(), entry)
    }

    /// Bytes of a heap that sheets hold.
    pub(in super::super) fn sheet_bytes(&self, heap: u32) -> u64 {
        let scrubs = lock(&self.guards.scrubs);
        let under_way = scrubs.jobs.iter().map(|job| &job.sheet);
        scrubs.sheets.iter().chain(under_way).map(|sheet| sheet.bytes_of(heap)).sum()
    }

    /// Destroys what scrubs need of the driver.
    pub(in super::super) fn destroy_scrubs(&self) {
        let mut scrubs = lock(&self.guards.scrubs);
        let total = scrubs.total;
        let Scrubs { compute, sheets, jobs, .. } =
            core::mem::replace(&mut *scrubs, Scrubs { total, ..Scrubs::default() });
        drop(scrubs);
        for sheet in sheets.into_iter().chain(jobs.into_iter().map(|job| job.sheet)) {
            // SAFETY: the device contract; the caller found the GPU idle.
            unsafe { sheet.destroy(&self.vulkan, &self.heaps) };
        }
        if let Some(compute) = compute {
            // SAFETY: as above.
            unsafe { self.vulkan.destroy_compute(&compute) };
        }
    }
}

fn bury(lane: &Lane, state: &mut LaneState, waiting: Waiting) {
    let Entry { slot, key } = waiting.entry;
    let Some(block) = state.blocks.block(slot) else { return };
    let Some(region) = block.region(key) else { return };
    let site = Site::new(lane.memory_type, block, &region);
    let Some(block) = state.blocks.block_mut(slot) else { return };
    block.graves.bury(site.region.clone(), site.grave(waiting.freed));
}

/// Whether all of a region was filled with zeros, and nobody had it since but its owner now.
pub(super) fn reads_zero(state: &LaneState, entry: Entry) -> bool {
    let Some(block) = state.blocks.block(entry.slot) else { return false };
    let zeroed = |block: View<'_>| {
        let region = block.region(entry.key);
        region.is_some_and(|it| block.graves.cover(it.offset..it.offset + it.size))
    };
    state.guards == GuardPolicy::Zero && (matches!(block.sight, Sight::Host(_)) || zeroed(block))
}
