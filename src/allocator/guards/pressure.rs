//! Pressure: what guards keep back is not the reason why a request fails.
//!
//! What rests where the host watches is looked at and free (`rest.rs`). The GPU cannot look at once: what is
//! in its quarantine comes back unlooked, and if that does not do, what waits for its first scrub. Not what
//! the GPU is working on, margins of what has ended since among it, and not what is to read zero: that is never
//! given out with its former owner's bytes.

use std::sync::atomic::Ordering;

use super::{
    super::{
        collect::Collected,
        error::AllocateError,
        inner::{Inner, Lane},
        request::Request,
    },
    waiting::Step,
};
use crate::{
    ground::sync::lock,
    guard::{GuardPolicy, Order},
    memory::Entry,
    retire::BagNumber,
};

/// What comes back unlooked, the least loss first.
const UNLOOKED: [fn(Step) -> bool; 2] =
    [|step| matches!(step, Step::Recheck { .. }), |step| matches!(step, Step::End)];

impl Inner {
    /// What becomes of a request that was refused where the GPU keeps guards: as much of what they keep
    /// back as it takes comes back unlooked, in the heaps where that may help, and it is asked again.
    #[cold]
    pub(in super::super) fn ask_unlooked<T>(
        &self,
        request: &Request,
        mut refusal: AllocateError,
        mut ask: impl FnMut() -> Result<T, AllocateError>,
    ) -> Result<T, AllocateError> {
        if !request.may_ask() {
            return Err(refusal);
        }
        let mut spare = None;
        let types = &self.choice(&request.question, &mut spare).ranking;
        for goes in UNLOOKED {
            let any_heap = match refusal {
                AllocateError::OutOfDeviceMemory { .. } => false,
                AllocateError::TooManyAllocations { .. } => true,
                _ => break,
            };
            let of_heap = |heap: u32| {
                let mut lanes = types.iter().filter_map(|memory_type| self.lane(memory_type));
                any_heap || lanes.any(|lane| lane.heap == heap)
            };
            let lanes = self.lanes().filter(|lane| of_heap(lane.heap));
            if !lanes.fold(false, |any, lane| any | self.let_go_unlooked(lane, goes)) {
                continue;
            }
            refusal = match ask() {
                Ok(granted) => return Ok(granted),
                Err(refusal) => refusal,
            };
        }
        Err(refusal)
    }

    /// Pending → Free for what waits in a lane for such a step of a scrub. Whether anything did.
    fn let_go_unlooked(&self, lane: &Lane, goes: fn(Step) -> bool) -> bool {
        let mut state = lane.lock();
        if state.guards == GuardPolicy::Zero {
            return false;
        }
        let mut scratch = core::mem::take(&mut state.scratch);
        // Without memory for the list they wait on.
        let may = scratch.entries.try_reserve(state.waiting.len()).is_ok();
        state.waiting.retain(|waiting| {
            let goes = may && goes(waiting.step) && self.guards.is_left_alone(waiting);
            if goes {
                scratch.entries.push(waiting.entry);
            }
            !goes
        });
        if goes(Step::End) && state.guards.at_end() == Some(Order::Fill) {
            for &Entry { slot, key } in &scratch.entries {
                let region = state.blocks.region(Entry { slot, key });
                let Some((region, block)) = region.zip(state.blocks.block_mut(slot)) else {
                    continue;
                };
                // Nobody has filled it since its owner came.
                block.graves.forget(region.offset..region.offset + region.size);
            }
        }
        let count = scratch.entries.len() as u64;
        if count == 0 {
            state.scratch = scratch;
            return false;
        }
        let mut collected = Collected::default();
        self.free_batch(lane, state, scratch, &mut collected);
        self.guards.unlooked.fetch_add(count, Ordering::Relaxed);
        tracing::warn!(
            target: crate::events::GUARD,
            memory_type = lane.memory_type, bytes = collected.bytes, count,
            "memory is short: what ended comes back before the GPU has looked at it"
        );
        true
    }

    /// The bag of the first scrub under way by whose end one block of the lane has so many bytes back.
    pub(in super::super) fn earliest_scrub(&self, lane: &Lane, bytes: u64) -> Option<BagNumber> {
        let mut waiting: Vec<(BagNumber, Entry)> = Vec::new();
        let mut jobs: Vec<(u64, BagNumber)> = Vec::new();
        for job in &lock(&self.guards.scrubs).jobs {
            jobs.try_reserve(1).ok()?;
            jobs.push((job.work.number, job.bag));
            let of_lane = job.work.waiting.iter().filter(|(of, _)| *of == lane.index);
            // The guess is left out where the host has no memory for it.
            waiting.try_reserve(job.work.waiting.len()).ok()?;
            let pending = of_lane.filter(|(_, waiting)| waiting.step != Step::Open);
            waiting.extend(pending.map(|(_, waiting)| (job.bag, waiting.entry)));
        }
        let state = lane.lock();
        waiting.try_reserve(state.waiting.len()).ok()?;
        // What may come back unlooked waits for those alone that are at work on its margins.
        waiting.extend(state.waiting.iter().filter_map(|waiting| {
            let at_work = jobs.iter().filter(|(number, _)| *number <= waiting.after);
            Some((at_work.map(|(_, bag)| *bag).max()?, waiting.entry))
        }));
        waiting.sort_unstable_by_key(|&(bag, entry)| (bag, entry.slot));
        let enough = |entries: &&[(BagNumber, Entry)]| {
            let sizes = entries.iter().map(|&(_, entry)| state.blocks.pending_size(entry));
            sizes.sum::<u64>() >= bytes
        };
        let by_block = waiting.chunk_by(|a, b| (a.0, a.1.slot) == (b.0, b.1.slot));
        by_block.filter(enough).filter_map(|entries| Some(entries.first()?.0)).min()
    }
}
