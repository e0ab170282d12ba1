//! Requests do not fail because guards hold back memory.
//!
//! Entries in the host's quarantine are checked and freed (`rest.rs`). The GPU cannot check memory
//! immediately. Therefore entries in its quarantine are reused unchecked and, if that does not
//! suffice, so are entries that wait for their first scrub. Two kinds of memory are excluded: what
//! the GPU is working on, including margins of allocations that ended since; and memory that should
//! be zero, which is never handed out with the data of its former owner.

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

/// What is reused unchecked, the least loss first.
const UNLOOKED: [fn(Step) -> bool; 2] =
    [|step| matches!(step, Step::Recheck { .. }), |step| matches!(step, Step::End)];

impl Inner {
    /// Handles a request that failed although the GPU holds back memory for guards: releases as
    /// much of this memory as needed unchecked, in the heaps where it may help, and repeats the
    /// request.
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

    /// Pending → Free for the entries of a lane that wait for such a step of a scrub. Returns
    /// whether there were any.
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
                    // Nobody has filled it since its owner came, so it has no valid grave.
                    block.graves.forget(region.offset..region.offset + region.size);
                }
                freeing.add(blocks, entry);
            }
            !goes
        });
        let mut collected = Collected::default();
        let freed = freeing.end(blocks);
        self.end_freeing(lane, state, freed, &mut collected);
        let count = collected.allocations;
        if count == 0 {
            return false;
        }
        self.guards.unlooked.fetch_add(count, Ordering::Relaxed);
        tracing::warn!(
            target: crate::events::GUARD,
            memory_type = lane.memory_type, bytes = collected.bytes, count,
            "memory is short: freed memory is reused before the GPU has checked it"
        );
        true
    }

    /// The bag of the first scrub in progress after which one block of the lane has this many bytes
    /// free. `None` if the host has no memory for the estimate.
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
            // Entries that may be reused unchecked wait only for scrubs that work on their margins.
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
