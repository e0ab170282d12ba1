//! The GPU as the guard: what waits for a scrub, and what comes of one.
//!
//! ```text
//! handed out: Used            ── Open ──▶ its margins hold the pattern
//! ended:      Pending         ── End ───▶ margins checked, all of it filled: Pending, in quarantine
//!             in quarantine   ── Recheck ▶ a word that changed is a write after free: Free
//! free:       Pending meanwhile ─ Held ──▶ likewise: Free again
//! ```
//!
//! Whatever a scrub touches is nobody's until the GPU has passed it: a margin, or a range that stays
//! pending. So scrubs need no order with the user's work but that of their queue.

use core::ops::Range;
use std::sync::{MutexGuard, atomic::Ordering};

use ash::vk;

use super::{
    super::{
        collect::Collected,
        inner::{Inner, Lane, LaneState, Life},
    },
    doors::Scrub,
    sheet::Sheet,
    site::{Run, Site, Source, owner_of},
};
use crate::{
    ground::sync::lock,
    guard::{Corruption, Damage, GuardPolicy, Order, Placed, Seen, Table, pattern},
    memory::{Entry, Sight},
    retire::BagNumber,
    tlsf::State,
    vulkan::Compute,
};

/// What a scrub does for an entry, and what comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Open,
    End,
    /// `rest` scrubs pass before it.
    Recheck {
        rest: u32,
    },
    Held,
}

/// An entry that waits for a scrub, or for the GPU to have passed one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Waiting {
    entry: Entry,
    step: Step,
    /// The number of the collect that ended it.
    freed: u64,
}

/// All scrubs of an allocator. Behind a lock that no driver call is made under.
#[derive(Debug, Default)]
pub(super) struct Scrubs {
    pub(super) compute: Option<Compute>,
    pub(super) sheets: Vec<Sheet>,
    /// Submitted, or about to be.
    jobs: Vec<Job>,
}

/// What one scrub does.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) checks: Table<vk::Buffer>,
    pub(super) fills: Table<vk::Buffer>,
    /// Whose bug it is if these pieces of `checks` are damaged.
    sources: Vec<(Range<usize>, Source)>,
    /// Entries by lane.
    waiting: Vec<(u32, Waiting)>,
}

/// A scrub on its way.
#[derive(Debug)]
pub(super) struct Job {
    /// Once it is reached, so is the scrub.
    pub(super) bag: BagNumber,
    pub(super) work: Work,
    pub(super) sheet: Sheet,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.checks.pieces.is_empty() && self.fills.pieces.is_empty()
    }

    fn check(&mut self, block: (vk::Buffer, u64), range: Range<u64>, source: Source) {
        let pieces = self.checks.add(block, Order::Check, range);
        if !pieces.is_empty() {
            self.sources.push((pieces, source));
        }
    }

    /// What the GPU found, given what it told of each piece. A run that goes over the end of a piece
    /// is told once.
    fn findings(&self, seen: impl Fn(usize) -> Option<Seen>) -> Vec<Corruption> {
        let mut found = Vec::new();
        for (pieces, source) in &self.sources {
            let mut run: Option<(Run, u64)> = None;
            for index in pieces.clone() {
                let Placed { index: first, words } = self.checks.pieces[index];
                let Some(seen) = seen(index) else { continue };
                let at = first + u64::from(seen.first);
                let end = at + u64::from(seen.words);
                match &mut run {
                    Some((run, past)) if *past == at => {
                        run.words += u64::from(seen.words);
                        *past = end;
                    }
                    _ => {
                        found.extend(run.take().map(|(run, _)| source.tell(run)));
                        let wrong = pattern(at) ^ seen.found;
                        let offset = at * 4 + u64::from(wrong.trailing_zeros() / 8);
                        let (words, expected) = (u64::from(seen.words), pattern(at));
                        run = Some((Run { offset, words, expected, found: seen.found }, end));
                    }
                }
                debug_assert!(end <= first + u64::from(words));
            }
            found.extend(run.map(|(run, _)| source.tell(run)));
        }
        found
    }
}

impl Inner {
    /// No scrub comes any more: what waits for one is let go.
    fn scrubs_have_ended(&self) -> bool {
        self.life() != Life::Open || self.is_lost()
    }

    fn scrubs_are_under_way(&self) -> bool {
        self.guards.jobs.load(Ordering::Acquire) > 0
    }

    /// A range was granted: its margins are nobody's, and are filled by the next scrub.
    pub(super) fn scrub_hand_out(&self, mut state: MutexGuard<'_, LaneState>, entry: Entry) {
        if self.guards.policy.margin() > 0 {
            state.waiting.push(Waiting { entry, step: Step::Open, freed: 0 });
        }
    }

    /// Takes out of the entries those that wait for a scrub before they are free.
    pub(super) fn scrub_ends(&self, state: &mut LaneState, entries: &mut Vec<Entry>) {
        // Where scrubs have ended, one that is under way may still look at margins.
        let over =
            !self.guards.scrubs() || self.scrubs_have_ended() && !self.scrubs_are_under_way();
        if over {
            return;
        }
        let freed = self.collects.load(Ordering::Relaxed);
        let LaneState { blocks, waiting, .. } = state;
        entries.retain(|&entry| {
            let sight = blocks.block(entry.slot).map(|block| block.sight);
            let waits = matches!(sight, Some(Sight::Gpu(_)));
            if waits {
                waiting.push(Waiting { entry, step: Step::End, freed });
            }
            !waits
        });
    }

    /// Takes all that waits for a scrub, once those that the GPU has passed are taken back, and says
    /// what is to be done for it.
    pub(super) fn take_scrub_work(&self, extent: Scrub) -> Work {
        self.finish_scrubs(self.poll().bag(), &mut Collected::default());
        let limits = self.vulkan.properties().tables;
        let mut work = Work {
            checks: Table::new(limits),
            fills: Table::new(limits),
            sources: Vec::new(),
            waiting: Vec::new(),
        };
        for lane in self.lanes() {
            let mut state = lane.lock();
            let mut waiting = core::mem::take(&mut state.waiting);
            if extent == Scrub::Due {
                state.waiting = rest(&mut waiting);
            }
            if extent == Scrub::Everything && self.guards.policy.poisons() {
                self.hold_free(&mut state, &mut waiting);
            }
            waiting.sort_by_key(|waiting| (waiting.entry.slot, waiting.entry.key.index()));
            for waiting in waiting {
                if self.plan_scrub(lane, &state, &mut work, waiting).is_some() {
                    work.waiting.push((lane.index, waiting));
                }
            }
            if extent == Scrub::Everything {
                check_live_margins(lane, &state, &mut work);
            }
        }
        work
    }

    /// Takes the free ranges of blocks where anybody has lived, so that nobody gets them meanwhile.
    fn hold_free(&self, state: &mut LaneState, waiting: &mut Vec<Waiting>) {
        for slot in 0..state.blocks.slots() {
            let block = state.blocks.block(slot);
            let watched = |block: &&crate::memory::Block| {
                matches!(block.sight, Sight::Gpu(_)) && !block.graves.is_empty()
            };
            if block.filter(watched).is_none() {
                continue;
            }
            let (entries, first) = state.blocks.hold(slot);
            if first {
                if let Some(myself) = self.myself.upgrade() {
                    state.keep(slot, myself);
                }
            }
            let held = |entry| Waiting { entry, step: Step::Held, freed: 0 };
            waiting.extend(entries.into_iter().map(held));
        }
    }

    /// Adds what is to be done for an entry; `None` if it is no more.
    fn plan_scrub(
        &self,
        lane: &Lane,
        state: &LaneState,
        work: &mut Work,
        waiting: Waiting,
    ) -> Option<()> {
        let block = state.blocks.block(waiting.entry.slot)?;
        let Sight::Gpu(buffer) = block.sight else { return None };
        let region = block.region(waiting.entry.key)?;
        let site = Site::new(lane, block, &region);
        let buffer = (buffer, block.size);
        match waiting.step {
            Step::Open => {
                for (_, range) in site.margins() {
                    work.fills.add(buffer, Order::Fill, range);
                }
            }
            Step::End => {
                for (damage, range) in site.whole_margins() {
                    work.check(buffer, range, site.source(damage, Some(site.owner(None))));
                }
                if let Some(order) = self.guards.policy.at_end() {
                    work.fills.add(buffer, order, site.region.clone());
                }
            }
            Step::Recheck { .. } => {
                let owner = site.owner(Some(waiting.freed));
                let source = site.source(Damage::AfterFree, Some(owner));
                work.check(buffer, site.region.clone(), source);
            }
            Step::Held => {
                for (range, grave) in block.graves.within(site.region.clone()) {
                    let source = site.source(Damage::AfterFree, Some(owner_of(grave)));
                    work.check(buffer, range, source);
                }
            }
        }
        Some(())
    }

    /// A scrub was submitted, or recorded where it will be.
    pub(super) fn add_job(&self, job: Job) {
        let mut scrubs = lock(&self.guards.scrubs);
        scrubs.jobs.push(job);
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
        for of_lane in work.waiting.chunk_by(|a, b| a.0 == b.0) {
            let Some(lane) = self.lane(of_lane[0].0) else { continue };
            let mut state = lane.lock();
            let mut scratch = core::mem::take(&mut state.scratch);
            for &(_, waiting) in of_lane {
                let entry = waiting.entry;
                match waiting.step {
                    Step::Held => scratch.entries.push(entry),
                    Step::Recheck { .. } if ran => scratch.entries.push(entry),
                    Step::End if ran => {
                        let policy = self.guards.policy;
                        if policy.at_end().is_some() {
                            bury(lane, &mut state, waiting);
                        }
                        if policy.poisons() {
                            let step = Step::Recheck { rest: self.guards.quarantine };
                            state.waiting.push(Waiting { step, ..waiting });
                        } else {
                            scratch.entries.push(entry);
                        }
                    }
                    Step::Open if ran => {
                        let block = state.blocks.block_mut(entry.slot);
                        // It may have ended meanwhile, and another may have its place.
                        if let Some(block) = block.filter(|b| b.region(entry.key).is_some()) {
                            block.tenants.close_fence(entry.key);
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
        let state = lane.lock();
        let Some(block) = state.blocks.block(entry.slot) else { return false };
        self.guards.policy == GuardPolicy::Zero
            && match block.sight {
                Sight::None => false,
                Sight::Host(_) => true,
                Sight::Gpu(_) => block.region(entry.key).is_some_and(|region| {
                    block.graves.cover(region.offset..region.offset + region.size)
                }),
            }
    }

    /// Bytes of a heap that sheets hold.
    pub(in super::super) fn sheet_bytes(&self, heap: u32) -> u64 {
        let scrubs = lock(&self.guards.scrubs);
        let under_way = scrubs.jobs.iter().map(|job| &job.sheet);
        scrubs.sheets.iter().chain(under_way).map(|sheet| sheet.bytes_of(heap)).sum()
    }

    /// Destroys what scrubs need of the driver.
    pub(in super::super) fn destroy_scrubs(&self) {
        let Scrubs { compute, sheets, jobs } = core::mem::take(&mut *lock(&self.guards.scrubs));
        for sheet in sheets.into_iter().chain(jobs.into_iter().map(|job| job.sheet)) {
            // SAFETY: the device contract; the caller found the GPU idle.
            unsafe { sheet.destroy(self) };
        }
        if let Some(compute) = compute {
            // SAFETY: as above.
            unsafe { self.vulkan.destroy_compute(&compute) };
        }
    }
}

/// Takes out those whose quarantine goes on after the next scrub.
fn rest(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    let mut resting = Vec::new();
    waiting.retain(|&one| match one.step {
        Step::Recheck { rest: 1.. } => {
            resting.push(one);
            false
        }
        _ => true,
    });
    for one in &mut resting {
        if let Step::Recheck { rest } = &mut one.step {
            *rest -= 1;
        }
    }
    resting
}

fn bury(lane: &Lane, state: &mut LaneState, waiting: Waiting) {
    let Some(block) = state.blocks.block_mut(waiting.entry.slot) else { return };
    let Some(region) = block.region(waiting.entry.key) else { return };
    let site = Site::new(lane, block, &region);
    block.graves.bury(site.region.clone(), site.grave(waiting.freed));
}

/// Margins of those who live. Those of entries that wait are checked as their step says.
fn check_live_margins(lane: &Lane, state: &LaneState, work: &mut Work) {
    for (_, block) in state.blocks.iter() {
        let Sight::Gpu(buffer) = block.sight else { continue };
        for region in block.regions().iter().filter(|region| region.state == State::Used) {
            let site = Site::new(lane, block, region);
            for (damage, range) in site.whole_margins() {
                let source = site.source(damage, Some(site.owner(None)));
                work.check((buffer, block.size), range, source);
            }
        }
    }
}
