//! Pressure: what guards keep back is not the reason why a request fails.
//!
//! What rests where the host watches is looked at and free (`rest.rs`). The GPU cannot look at once: what is
//! in its quarantine comes back unlooked, and if that does not do, what waits for its first scrub. Not what
//! the GPU is working on, margins of what has ended since among it, and not what is to read zero: that is never
//! given out with its former owner's bytes.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::{
    super::{
        collect::{Collected, Freeing},
        error::AllocateError,
        inner::{Inner, Lane, LaneState},
        request::Request,
    },
    waiting::{NOBODY, Step},
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
        let LaneState { blocks, waiting, guards: policy, .. } = &mut *state;
        let fills = policy.at_end() == Some(Order::Fill);
        let mut freeing = Freeing::new(blocks);
        waiting.retain(|waiting| {
            let goes =
                waiting.scrub == NOBODY && goes(waiting.step) && self.guards.is_left_alone(waiting);
            if goes {
                let entry = waiting.entry;
                let region = blocks.region(entry);
                let unfilled = region.filter(|_| fills && waiting.step == Step::End);
                if let Some((region, block)) = unfilled.zip(blocks.block_mut(entry.slot)) {
                    // Nobody has filled it since its owner came.
                    block.graves.forget(region.offset..region.offset + region.size);
                }
                freeing.add(blocks, entry);
            }
            !goes
        });
        let mut collected = Collected::default();
        self.end_freeing(lane, state, freeing, &mut collected);
        let count = collected.allocations;
        if count == 0 {
            return false;
        }
        self.guards.unlooked.fetch_add(count, Ordering::Relaxed);
        tracing::warn!(
            target: crate::events::GUARD,
            memory_type = lane.memory_type, bytes = collected.bytes, count,
            "memory is short: what ended comes back before the GPU has looked at it"
        );
        true
    }

    /// The bag of the first scrub under way by whose end one block of the lane has so many bytes back. The guess is
    /// left out where the host has no memory for it.
    pub(in super::super) fn earliest_scrub(&self, lane: &Lane, bytes: u64) -> Option<BagNumber> {
        let mut jobs: SmallVec<[(u64, BagNumber); 8]> = SmallVec::new();
        let scrubs = lock(&self.guards.scrubs);
        jobs.try_reserve(scrubs.jobs.len()).ok()?;
        jobs.extend(scrubs.jobs.iter().map(|job| (job.work.number, job.bag)));
        drop(scrubs);
        let state = lane.lock();
        let mut waiting: Vec<(BagNumber, Entry)> = Vec::new();
        waiting.try_reserve(state.waiting.len()).ok()?;
        waiting.extend(state.waiting.iter().filter_map(|waiting| {
            // What may come back unlooked waits for those alone that are at work on its margins.
            let holds = |number: u64| match waiting.scrub {
                NOBODY => number <= waiting.after,
                scrub => number == scrub && waiting.step != Step::Open,
            };
            let bags = jobs.iter().filter(|&&(number, _)| holds(number));
            Some((bags.map(|&(_, bag)| bag).max()?, waiting.entry))
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
