//! Guards by the GPU: the life of entries that wait for a scrub (`work.rs` determines the work for
//! each), and of scrubs.
//!
//! Everything that a scrub accesses belongs to nobody until the GPU has passed it: either a margin,
//! or a range that stays pending. Therefore scrubs need no order with the user's work except that
//! of their queue.

use std::{collections::TryReserveError, sync::atomic::Ordering};

use super::{
    super::{
        auditor::PATIENCE,
        collect::{Collected, Freeing},
        inner::{Inner, Lane, LaneState, Life},
    },
    passed::RetirePoints,
    scrub::{NO_MEMORY, Scrub, ScrubError, Scrubbed},
    sheet::Sheet,
    site::Site,
    state::{Job, Scrubs},
    waiting::{NOBODY, Step, Waiting},
    work::{Watched, Work},
};
use crate::{
    ground::sync::lock,
    guard::GuardPolicy,
    memory::{BlockList, Entry, Freed, Fresh, Grave, Sight, View},
    retire::{BagNumber, TimelineId},
    tlsf::Region,
};

/// Moves the entries that stay to the front, in order. Returns how many they are.
pub(super) fn keep_in_front(entries: &mut [Entry], mut stays: impl FnMut(Entry) -> bool) -> usize {
    let mut kept = 0;
    for at in 0..entries.len() {
        if stays(entries[at]) {
            entries[kept] = entries[at];
            kept += 1;
        }
    }
    kept
}

impl Inner {
    /// Whether there will be no more scrubs and no quarantine, so that waiting entries are
    /// released.
    pub(super) fn scrubs_have_ended(&self) -> bool {
        self.life() != Life::Open || self.is_lost()
    }

    fn scrubs_are_under_way(&self) -> bool {
        self.guards.jobs.load(Ordering::Acquire) > 0
    }

    /// A range was granted: its margins belong to nobody, and the next scrub fills them. If there
    /// is no memory to store this, or the end of the range, nothing has changed.
    pub(super) fn scrub_hand_out(
        &self,
        state: &mut LaneState,
        entry: Entry,
    ) -> Result<(), TryReserveError> {
        let opens = state.guards.margin() > 0;
        state.waiting.reserve(usize::from(opens), state.blocks.taken())?;
        if opens {
            let (step, freed) = (Step::Open, Freed::NEVER);
            state.waiting.push(Waiting { entry, step, freed, scrub: NOBODY, after: 0 });
        }
        Ok(())
    }

    /// Reports once that freed memory waits for scrubs that nobody records.
    pub(in super::super) fn tell_unscrubbed(&self, now: u64) {
        let guards = &self.guards;
        let since = now.saturating_sub(guards.scrubbed.load(Ordering::Relaxed));
        if since == 0 || since % u64::from(PATIENCE) != 0 || guards.told.load(Ordering::Relaxed) {
            return;
        }
        let waiting = |lane: &Lane| -> u64 {
            let state = lane.lock();
            let ended = state.waiting.ended();
            ended.map(|waiting| state.blocks.pending_size(waiting.entry)).sum()
        };
        let bytes: u64 = self.lanes().map(waiting).sum();
        if bytes == 0 || guards.told.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            target: crate::events::GUARD, bytes, collects = since,
            "freed memory waits for a scrub, and none was recorded for long: call `record_scrub` or \
             `scrub` once per frame, or freed memory is never reused"
        );
    }

    /// Lists the entries that wait for a scrub before they are free, and moves the others to the
    /// front. Returns how many those are.
    pub(super) fn scrub_ends(
        &self,
        state: &mut LaneState,
        entries: &mut [Entry],
        points: &RetirePoints,
    ) -> usize {
        // Even if scrubs have ended, one in progress may still check margins.
        let over =
            !self.guards.scrubs() || self.scrubs_have_ended() && !self.scrubs_are_under_way();
        if over {
            return entries.len();
        }
        let collect = self.collects.load(Ordering::Relaxed);
        // Without margins, no scrub works on live allocations.
        let has_margins = state.guards.margin() > 0;
        let after = if has_margins { self.guards.begun.load(Ordering::Relaxed) } else { 0 };
        let LaneState { blocks, waiting, .. } = state;
        keep_in_front(entries, |entry| {
            let sight = blocks.block(entry.slot).map(|block| block.sight);
            let waits = matches!(sight, Some(Sight::Gpu(_)));
            if waits {
                let freed = Freed { collect, at: points.of(entry) };
                waiting.push(Waiting { entry, step: Step::End, freed, scrub: NOBODY, after });
            }
            !waits
        })
    }

    /// Finishes the scrubs that the GPU has passed, then marks all entries that wait for a scrub
    /// and returns the work for them. The work becomes a [job](Self::add_job) or
    /// [ends](Self::end_work).
    pub(super) fn take_scrub_work(
        &self,
        timeline: TimelineId,
        extent: Scrub,
    ) -> Result<Work, ScrubError> {
        self.finish_scrubs(self.poll().bag(), &mut Collected::default());
        let number = self.guards.begin_scrub(timeline)?;
        let mut work = Work::new(number, self.vulkan.properties().tables);
        for lane in self.lanes() {
            if let Err(error) = self.plan_scrub(lane, extent, &mut work) {
                self.end_work(&work, false);
                return Err(error);
            }
        }
        Ok(work)
    }

    /// Adds the work in a lane.
    fn plan_scrub(&self, lane: &Lane, extent: Scrub, work: &mut Work) -> Result<(), ScrubError> {
        let mut state = lane.lock();
        let (number, policy) = (work.number, state.guards);
        if policy.at_end().is_some() {
            self.hold_free(&mut state, number, Step::Fresh)?;
        }
        if extent == Scrub::Everything && policy.poisons() {
            self.hold_free(&mut state, number, Step::Held)?;
        }
        let LaneState { blocks, waiting, .. } = &mut *state;
        let recorded = self.guards.recorded.load(Ordering::Relaxed);
        let rest = (extent == Scrub::Due).then_some((recorded, self.guards.quarantine.bytes));
        waiting.take_due(number, blocks, rest);
        let atom = if lane.writes_atoms() { self.guards.atom } else { 1 };
        let watched = Watched { memory_type: lane.memory_type, policy, atom, blocks };
        let mut plan = || {
            for waiting in waiting.of_scrub(number)? {
                work.plan(&watched, waiting)?;
            }
            match extent {
                Scrub::Everything => work.check_live_margins(&watched),
                Scrub::Due => Ok(()),
            }
        };
        plan().map_err(|_: TryReserveError| NO_MEMORY)
    }

    /// A scrub takes the free ranges of used blocks, or of new ones, so that nobody gets them in
    /// the meantime.
    fn hold_free(&self, state: &mut LaneState, scrub: u64, step: Step) -> Result<(), ScrubError> {
        for slot in 0..state.blocks.slots() {
            let taken = state.blocks.taken();
            let Some(block) = state.blocks.block(slot) else { continue };
            let due = match step {
                Step::Fresh => block.fresh != Fresh::No,
                _ => !block.graves.is_empty(),
            };
            if !due || !matches!(block.sight, Sight::Gpu(_)) {
                continue;
            }
            state.waiting.reserve(block.most_free(), taken).map_err(|_| NO_MEMORY)?;
            let (keys, first) = state.blocks.hold(slot).ok_or(NO_MEMORY)?;
            if let (Step::Fresh, Some(block)) = (step, state.blocks.block_mut(slot)) {
                block.fresh = Fresh::No;
            }
            if first {
                self.keep(state, slot);
            }
            for key in keys {
                let entry = Entry { slot, key };
                state.waiting.push(Waiting { entry, step, freed: Freed::NEVER, scrub, after: 0 });
            }
        }
        Ok(())
    }

    /// A scrub was submitted, or recorded into work that will be.
    pub(super) fn add_job(&self, job: Job) {
        let mut scrubs = lock(&self.guards.scrubs);
        let Scrubbed { number, checked, filled, dispatches } = job.work.scrubbed();
        scrubs.total.number = scrubs.total.number.max(number);
        scrubs.total.checked += checked;
        scrubs.total.filled += filled;
        scrubs.total.dispatches += dispatches;
        scrubs.jobs.push(job);
        self.guards.recorded.fetch_add(1, Ordering::Relaxed);
        self.guards.scrubbed.store(self.collects.load(Ordering::Relaxed), Ordering::Relaxed);
        self.guards.jobs.store(scrubs.jobs.len(), Ordering::Release);
    }

    /// Work becomes no job: either there was none, or it is still due.
    pub(super) fn end_work(&self, work: &Work, done: bool) {
        self.guards.recorded.fetch_add(u64::from(done), Ordering::Relaxed);
        self.end_scrub(work.number, done, &mut Collected::default());
    }

    /// Returns a sheet for reuse; destroys it if the host has no memory to keep it.
    pub(super) fn give_back_sheet(&self, sheet: Sheet) {
        let mut scrubs = lock(&self.guards.scrubs);
        if scrubs.sheets.try_reserve(1).is_ok() {
            scrubs.sheets.push(sheet);
            return;
        }
        drop(scrubs);
        // SAFETY: the device contract; no submitted work uses a sheet that is not in a job.
        unsafe { sheet.destroy(&self.vulkan, &self.heaps) };
    }

    /// Finishes the scrubs whose bags are reached.
    pub(in super::super) fn finish_scrubs(&self, reached: BagNumber, collected: &mut Collected) {
        self.finish_scrubs_where(|job| job.bag.is_reached(reached), collected);
        if self.scrubs_have_ended() && !self.scrubs_are_under_way() {
            self.let_waiting_go(collected);
        }
    }

    /// Finishes every scrub. The caller knows that the GPU has finished.
    pub(in super::super) fn finish_all_scrubs(&self, collected: &mut Collected) {
        self.finish_scrubs_where(|_| true, collected);
    }

    fn finish_scrubs_where(&self, done: impl Fn(&Job) -> bool, collected: &mut Collected) {
        loop {
            let mut scrubs = lock(&self.guards.scrubs);
            let Some(at) = scrubs.jobs.iter().position(&done) else { return };
            let Job { work, sheet, .. } = scrubs.jobs.remove(at);
            self.guards.jobs.store(scrubs.jobs.len(), Ordering::Release);
            drop(scrubs);
            // An abandoned recording is also reached, but its scrub has not run.
            let ran = sheet.has_run();
            if ran {
                self.guards.report(&work.findings(|piece| sheet.seen(piece)));
            }
            self.end_scrub(work.number, ran, collected);
            self.give_back_sheet(sheet);
        }
    }

    /// Takes each entry of a scrub to its next step, if the scrub ran. Otherwise the entries keep
    /// waiting.
    fn end_scrub(&self, number: u64, ran: bool, collected: &mut Collected) {
        self.guards.end_scrub(number);
        for lane in self.lanes() {
            let mut state = lane.lock();
            if state.waiting.is_empty() {
                continue;
            }
            let LaneState { blocks, waiting, guards: policy, .. } = &mut *state;
            let mut freeing = Freeing::new(blocks);
            waiting.retain(|waiting| {
                if waiting.scrub != number {
                    return true;
                }
                waiting.scrub = NOBODY;
                let entry = waiting.entry;
                // A scrub that was recorded earlier may still be submitted later.
                let may_go = ran && self.guards.is_left_alone(waiting);
                match waiting.step {
                    Step::Held => {}
                    Step::Fresh => {
                        let region = blocks.region(entry);
                        if let Some(block) = blocks.block_mut(entry.slot) {
                            match region {
                                Some(Region { offset, size, .. }) if ran => {
                                    block.graves.bury(offset..offset + size, Grave::of_nobody());
                                }
                                _ => block.fresh = Fresh::Yes,
                            }
                        }
                    }
                    Step::Recheck { .. } if may_go => {}
                    Step::End if ran => {
                        if policy.at_end().is_some() {
                            bury(lane, blocks, waiting);
                        }
                        if policy.poisons() {
                            let recorded = self.guards.recorded.load(Ordering::Relaxed);
                            let rest = u64::from(self.guards.quarantine.scrubs);
                            waiting.step = Step::Recheck { rest: recorded.saturating_add(rest) };
                        }
                        if policy.poisons() || !may_go {
                            return true;
                        }
                    }
                    Step::Open if ran => {
                        // If it has ended meanwhile, nobody has its key.
                        blocks.close_fence(entry);
                        return false;
                    }
                    _ => return true,
                }
                freeing.add(blocks, entry);
                false
            });
            let freed = freeing.end(blocks);
            self.end_freeing(lane, state, freed, collected);
        }
    }

    /// Releases entries that wait for a scrub that will not come.
    pub(in super::super) fn let_waiting_go(&self, collected: &mut Collected) {
        for lane in self.lanes() {
            let mut state = lane.lock();
            let LaneState { blocks, waiting, .. } = &mut *state;
            let mut freeing = Freeing::new(blocks);
            waiting.retain(|waiting| {
                let goes = waiting.scrub == NOBODY;
                if goes && waiting.step != Step::Open {
                    freeing.add(blocks, waiting.entry);
                }
                !goes
            });
            let freed = freeing.end(blocks);
            self.end_freeing(lane, state, freed, collected);
        }
    }

    /// Whether all of a region was filled with zeros, and only its present owner has had it since.
    pub(in super::super) fn is_zeroed(&self, lane: &Lane, entry: Entry) -> bool {
        reads_zero(&lane.lock(), entry)
    }

    /// The bytes of a heap that sheets occupy.
    pub(in super::super) fn sheet_bytes(&self, heap: u32) -> u64 {
        let scrubs = lock(&self.guards.scrubs);
        let under_way = scrubs.jobs.iter().map(|job| &job.sheet);
        scrubs.sheets.iter().chain(under_way).map(|sheet| sheet.bytes_of(heap)).sum()
    }

    /// Destroys the driver's objects for scrubs.
    pub(in super::super) fn destroy_scrubs(&self) {
        let mut scrubs = lock(&self.guards.scrubs);
        let Scrubs { compute, sheets, jobs, .. } = &mut *scrubs;
        let (compute, sheets, jobs) =
            (compute.take(), core::mem::take(sheets), core::mem::take(jobs));
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

fn bury(lane: &Lane, blocks: &mut BlockList, waiting: &Waiting) {
    let Entry { slot, key } = waiting.entry;
    let Some(block) = blocks.block(slot) else { return };
    let Some(region) = block.region(key) else { return };
    let site = Site::new(lane.memory_type, block, &region);
    let Some(block) = blocks.block_mut(slot) else { return };
    block.graves.bury(site.region.clone(), site.grave(waiting.freed));
}

/// Whether all of a region was filled with zeros, and only its present owner has had it since.
pub(super) fn reads_zero(state: &LaneState, entry: Entry) -> bool {
    let Some(block) = state.blocks.block(entry.slot) else { return false };
    let zeroed = |block: View<'_>| {
        let region = block.region(entry.key);
        region.is_some_and(|it| block.graves.cover(it.offset..it.offset + it.size))
    };
    state.guards == GuardPolicy::Zero && (matches!(block.sight, Sight::Host(_)) || zeroed(block))
}
