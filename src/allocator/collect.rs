//! Freeing what the GPU has passed, and returning blocks to the driver.
//!
//! *Collect* reads every busy timeline once, before it takes any lock. It visits only the memory
//! types whose oldest bag or first point is reached. It destroys the resources in the ranges, and
//! then frees the ranges as a batch.

use std::sync::{Arc, atomic::Ordering};

use smallvec::SmallVec;

use super::{
    auditor::Finding,
    guards::{PassedCuts, RetirePoints},
    inner::{Inner, Lane, LaneState, Life, Scratch},
    names::named,
    register::Register,
    share::Extent,
};
use crate::{
    ground::lock::Locked,
    memory::{Block, BlockList, Entry},
    retire::Reached,
    vulkan::Resource,
};

/// What [`Allocator::collect`](crate::Allocator::collect) freed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Collected {
    /// The number of allocations whose memory is free again.
    pub allocations: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The number of views, descriptor sets and other objects that were destroyed.
    pub objects: u64,
    /// The number of blocks that were returned to the driver.
    pub blocks: u64,
    /// Whether the GPU has passed more. The work of one call is bounded, and the next call
    /// continues.
    pub more: bool,
}

/// The number of blocks per lane whose rank one collect updates.
const MOST_RANKS: usize = 64;

/// What has become free (Pending → Free) under one acquisition of a lock.
pub(super) struct Freed {
    /// The number of blocks that were empty before.
    first: usize,
    count: u64,
    bytes: u64,
}

impl Freed {
    #[inline(always)]
    fn new(blocks: &BlockList) -> Self {
        Self { first: blocks.empty().len(), count: 0, bytes: 0 }
    }

    #[inline(always)]
    fn free(&mut self, blocks: &mut BlockList, entries: &[Entry]) {
        let (count, bytes) = blocks.reach_all(entries);
        self.count += count;
        self.bytes += bytes;
    }
}

/// Ranges that become free one after another, without a growing list.
pub(super) struct Freeing {
    /// The next ones to be freed.
    hand: SmallVec<[Entry; IN_HAND]>,
    freed: Freed,
}

/// The maximum size of a batch.
const IN_HAND: usize = 64;

impl Freeing {
    pub(super) fn new(blocks: &BlockList) -> Self {
        Self { hand: SmallVec::new(), freed: Freed::new(blocks) }
    }

    /// Adds an entry that has ended. It is freed now or in a later batch.
    pub(super) fn add(&mut self, blocks: &mut BlockList, entry: Entry) {
        if self.hand.len() == IN_HAND {
            self.freed.free(blocks, &self.hand);
            self.hand.clear();
        }
        self.hand.push(entry);
    }

    /// Frees all remaining entries.
    pub(super) fn end(mut self, blocks: &mut BlockList) -> Freed {
        self.freed.free(blocks, &self.hand);
        self.freed
    }
}

impl Inner {
    /// Destroys the views of a resource that is about to be destroyed.
    pub(super) fn end_views(&self, resource: Resource) {
        if let Resource::Image(image) = resource {
            self.objects.end_views(&self.vulkan, image);
        }
    }

    /// Records which of the empty blocks from `first` on became empty now, and removes those that
    /// have been empty for too long.
    pub(super) fn sweep(&self, lane: &Lane, state: &mut LaneState, first: usize) -> Vec<Block> {
        let now = self.collects.load(Ordering::Relaxed);
        for at in first..state.blocks.empty().len() {
            let slot = state.blocks.empty()[at];
            if let Some(block) = state.blocks.block_mut(slot) {
                block.empty_since = now;
            }
        }
        let over = self.heaps.is_over_budget(lane.heap);
        if let Some(linger) = state.blocks.lingers(first).filter(|_| !over) {
            if !lane.may_have_expired(now) {
                lane.expect_expiry(now.saturating_add(linger));
                return Vec::new();
            }
        }
        let blocks = match over {
            true => state.blocks.remove_empty(),
            false => state.blocks.remove_expired(now),
        };
        lane.publish_expiry(state);
        blocks
    }

    /// Frees what the GPU has passed. Reads each busy timeline once, and takes no lock of a memory
    /// type of which nothing is reached.
    pub(super) fn collect(self: &Arc<Self>, extent: Extent) -> Collected {
        let reached = self.poll();
        self.collect_reached(&reached, extent)
    }

    fn collect_reached(self: &Arc<Self>, reached: &Reached, extent: Extent) -> Collected {
        let mut collected = Collected::default();
        let now = self.collects.fetch_add(1, Ordering::Relaxed) + 1;
        // Views are destroyed before the images they refer to: a view that is dropped no later than
        // its image is in no later bag.
        collected.objects += self.objects.collect(&self.vulkan, reached.bag(), extent, now);
        collected.more |= self.objects.cleared(reached.bag()) < reached.bag();
        #[cfg(feature = "descriptors")]
        {
            let (sets, more) = self.descriptors.collect(&self.vulkan, reached, extent, now);
            collected.objects += sets;
            collected.more |= more;
        }
        if self.guards.scrubs() {
            self.finish_scrubs(reached.bag(), &mut collected);
            self.tell_unscrubbed(now);
        }
        let passed = match self.guards.is_on() {
            true => {
                self.end_rests(false, &mut collected);
                self.with_register(|register| register.passed_cuts())
            }
            false => PassedCuts::default(),
        };
        for lane in self.lanes() {
            if lane.soonest.may_be_reached(reached) || lane.may_have_expired(now) {
                self.collect_lane(lane, reached, (&passed, extent, now), &mut collected);
            }
        }
        if self.vulkan.moves_priorities() {
            self.tell_priorities();
        }
        if self.audit {
            for finding in self.with_register(Register::audit) {
                self.report_finding(finding);
            }
        }
        collected
    }

    /// Like [`collect_reached`](Self::collect_reached), for a lane of which something may be
    /// reached.
    #[inline(never)]
    fn collect_lane(
        &self,
        lane: &Lane,
        reached: &Reached,
        (passed, extent, now): (&PassedCuts, Extent, u64),
        collected: &mut Collected,
    ) {
        let mut state = lane.lock();
        let mut scratch = core::mem::take(&mut state.scratch);
        let dated = state.bags.has_dated();
        let most = state.retired.most(extent, now).min(state.bags.len());
        // If there is no memory for all of them, a later collect continues.
        let most = scratch.room(most, state.blocks.houses());
        // Under this lock it is known what was dropped before these entries. Objects that are left
        // for a later share, or that another thread is destroying, hold back what was dropped after
        // them.
        let cleared = self.objects.cleared(reached.bag());
        let points = match state.guards.is_on() {
            true => RetirePoints::new(&state.bags, reached, passed),
            false => RetirePoints::default(),
        };
        collected.more |= if cleared < reached.bag() {
            state.bags.copy_bags(most, cleared, &mut scratch.entries);
            true
        } else {
            state.bags.copy_reached_at_most(most, reached, &mut scratch.entries)
        };
        lane.publish(&state);
        self.release_batch(lane, state, scratch, (&points, dated), collected);
    }

    /// Informs the driver of changed priorities, for a bounded number of blocks in each lane.
    fn tell_priorities(&self) {
        if self.life() == Life::ShutDown || self.is_lost() {
            return;
        }
        for lane in self.lanes().filter(|lane| lane.counters.restless.get() > 0) {
            let blocks = lane.lock().blocks.take_ranks(MOST_RANKS);
            if blocks.is_empty() {
                continue;
            }
            for &(_, memory, rank) in &blocks {
                // SAFETY: the device contract; the block stays until it is let go.
                unsafe { self.vulkan.set_priority(memory, rank.priority()) };
            }
            let mut state = lane.lock();
            blocks.iter().for_each(|&(slot, ..)| state.blocks.let_go(slot));
            lane.publish_expiry(&state);
        }
    }

    pub(super) fn report_finding(&self, finding: Finding) {
        let waiting = self.lanes().filter_map(|lane| {
            let state = lane.lock();
            let &entry = state.bags.first().filter(|entry| !entry.is_gone())?;
            Some((state.bags.oldest(), state.blocks.tenant(entry).name))
        });
        let allocation = waiting.min_by_key(|&(bag, _)| bag).map(|(_, name)| named(name));
        match finding {
            Finding::OpenRecording { number } => tracing::warn!(
                target: crate::events::WAITING, recording = number, allocation,
                "a recording stays open and holds back everything dropped since it began: was it \
                 never submitted?"
            ),
            Finding::StillTimeline { reached, submitted } => tracing::warn!(
                target: crate::events::WAITING, reached, submitted, allocation,
                "a timeline has outstanding work and makes no progress: is it signalled at all?"
            ),
            Finding::Jump { value, assigned } => tracing::error!(
                target: crate::events::WAITING, value, assigned, allocation,
                "a timeline's counter jumped above its last assigned value: what waits for it stays pending"
            ),
        }
    }

    /// Frees everything pending, reached or not. The caller knows that the GPU has finished.
    pub(super) fn collect_everything(self: &Arc<Self>) -> Collected {
        let mut collected = Collected::default();
        collected.objects += self.objects.collect_everything(&self.vulkan);
        #[cfg(feature = "descriptors")]
        {
            collected.objects += self.descriptors.collect_everything(&self.vulkan);
        }
        if self.guards.scrubs() {
            self.finish_all_scrubs(&mut collected);
        }
        for lane in self.lanes() {
            let mut left = lane.lock().bags.len();
            while left > 0 {
                left -= self.collect_some(lane, left, &mut collected);
            }
        }
        collected
    }

    /// Frees pending entries of a lane, reached or not: as many of the `left` oldest as the host
    /// has memory for, which is at least some. Returns how many.
    fn collect_some(&self, lane: &Lane, left: usize, collected: &mut Collected) -> usize {
        let mut state = lane.lock();
        let mut scratch = core::mem::take(&mut state.scratch);
        let most = scratch.room(left, state.blocks.houses());
        if most == 0 {
            state.scratch = scratch;
            drop(state);
            // Another thread uses the lane's lists, and there is no memory for more lists.
            std::thread::yield_now();
            return 0;
        }
        state.bags.copy_some(most, &mut scratch.entries);
        lane.publish(&state);
        let points = RetirePoints::default();
        self.release_batch(lane, state, scratch, (&points, false), collected);
        most
    }

    /// Pending → Free for many entries. Destroys their resources outside the lock, then frees the
    /// ranges under it, block by block, then returns blocks that have been empty for too long
    /// outside it. With `dated`, some entries may be reached before the views that refer to them.
    fn release_batch<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        mut scratch: Scratch,
        (points, dated): (&RetirePoints, bool),
        collected: &mut Collected,
    ) {
        let Scratch { entries, resources, .. } = &mut scratch;
        state.blocks.take_resources(entries, resources);
        if !resources.is_empty() {
            drop(state);
            for resource in resources.drain(..) {
                if dated {
                    self.end_views(resource);
                }
                // SAFETY: the device contract; the bag is reached, so no work uses it, and it was
                // taken off its region, so nobody else destroys it.
                unsafe { self.vulkan.destroy_resource(resource) };
            }
            state = lane.lock();
        }
        if state.guards.is_on() {
            let left;
            (state, left) = self.guard_ends(lane, state, entries, points);
            entries.truncate(left);
        }
        self.free_batch(lane, state, scratch, collected);
    }

    /// Pending → Free for many entries that have ended, in any order.
    fn free_batch<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        mut scratch: Scratch,
        collected: &mut Collected,
    ) {
        let mut freed = Freed::new(&state.blocks);
        freed.free(&mut state.blocks, &scratch.entries);
        scratch.entries.clear();
        state.scratch = scratch;
        self.end_freeing(lane, state, freed, collected);
    }

    /// Counts what became free, and releases blocks that are empty now.
    pub(super) fn end_freeing(
        &self,
        lane: &Lane,
        mut state: Locked<'_, LaneState>,
        Freed { first, count, bytes }: Freed,
        collected: &mut Collected,
    ) {
        collected.allocations += count;
        collected.bytes += bytes;
        let emptied = first..state.blocks.empty().len();
        for at in emptied.clone() {
            let slot = state.blocks.empty()[at];
            // This is never the last reference, because the caller holds one.
            drop(state.unkeep(slot));
        }
        let now = self.collects.load(Ordering::Relaxed);
        let blocks = match emptied.is_empty() && !lane.may_have_expired(now) {
            true => Vec::new(),
            false => self.sweep(lane, &mut state, first),
        };
        drop(state);
        collected.blocks += self.free_blocks(lane, blocks);
    }

    /// Returns every empty block to the driver. Returns how many there were.
    pub(super) fn trim(self: &Arc<Self>) -> u64 {
        if self.life() == Life::ShutDown {
            return 0;
        }
        self.lanes()
            .map(|lane| {
                let blocks = lane.lock().blocks.remove_empty();
                self.free_blocks(lane, blocks)
            })
            .sum()
    }

    /// Calls `vkFreeMemory` for blocks that were removed from their list.
    pub(super) fn free_blocks(&self, lane: &Lane, blocks: Vec<Block>) -> u64 {
        let count = blocks.len() as u64;
        for block in blocks {
            if block.memory != ash::vk::DeviceMemory::null() {
                // SAFETY: the device contract; nothing in the block is used or pending.
                unsafe {
                    self.close_sight(block.sight);
                    self.free_memory(lane.heap, block.memory, block.size);
                }
                tracing::debug!(
                    target: crate::events::BLOCK,
                    memory_type = lane.memory_type, bytes = block.size,
                    "returned a block to the driver"
                );
            }
        }
        count
    }
}
