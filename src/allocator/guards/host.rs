//! Guards by the host: fills, checks and poisons immediately, through the block's mapping.

use core::ops::Range;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::{
    super::inner::{Inner, Lane, LaneState},
    corruption::{Corruption, Damage, note},
    passed::{RetirePoints, place},
    site::{Site, owner_of},
    words::{clear, clear_rest, fill, verify},
};
use crate::{
    ground::lock::Locked,
    guard::{GuardPolicy, Order},
    memory::{Block, BlockList, Entry, Freed, Sight},
    tlsf::State,
    vulkan::Mapping,
};

/// Entries that are being processed, with their locations.
type Sites = SmallVec<[(Entry, Mapping, Site); FEW]>;

/// The number of entries that are processed at once if the host has no memory for a list.
const FEW: usize = 2;

/// Initialises a new block, which only this thread can access.
pub(super) fn open_block(policy: GuardPolicy, mapping: Mapping, size: u64) {
    // SAFETY: the mapping has `size` bytes, and no allocation is in the block yet.
    unsafe {
        end(policy, mapping, 0..size / 4 * 4);
        if policy == GuardPolicy::Zero {
            clear_rest(mapping, size);
        }
    }
}

/// Leaves a range in the state of free memory.
///
/// # Safety
/// As [`fill`].
unsafe fn end(policy: GuardPolicy, mapping: Mapping, range: Range<u64>) {
    // SAFETY: the caller's promise.
    unsafe {
        match policy.at_end() {
            Some(Order::Fill) => fill(mapping, range),
            Some(Order::Zero) => clear(mapping, range),
            Some(Order::Check) | None => {}
        }
    }
}

impl Site {
    /// Checks the margins, if they were ever filled.
    ///
    /// # Safety
    /// As [`verify`].
    unsafe fn check_margins(&self, mapping: Mapping, found: &mut Vec<Corruption>) {
        for (damage, range) in self.whole_margins() {
            let source = self.source(damage, Some(self.owner(None)));
            // SAFETY: the caller's promise; margins lie inside the region.
            unsafe { verify(mapping, range, |run| note(found, source.tell(run))) };
        }
    }

    /// Checks the region for writes while it was free.
    ///
    /// # Safety
    /// As [`verify`].
    unsafe fn check_poison(&self, mapping: Mapping, block: &Block, found: &mut Vec<Corruption>) {
        // SAFETY: the caller's promise.
        unsafe {
            verify(mapping, self.region.clone(), |run| {
                let owner = block.graves.at(run.offset).and_then(owner_of);
                note(found, self.source(Damage::AfterFree, owner).tell(run));
            });
        };
    }
}

pub(super) fn mapping_of(block: &Block) -> Option<Mapping> {
    match block.sight {
        Sight::Host(mapping) => Some(mapping),
        Sight::Gpu(_) | Sight::None => None,
    }
}

impl Inner {
    /// Checks a granted range for writes while it was free.
    pub(super) fn host_hand_out(
        &self,
        mut state: Locked<'_, LaneState>,
        lane: &Lane,
        entry: Entry,
        mapping: Mapping,
    ) {
        let mut found = Vec::new();
        let policy = state.guards;
        let Some(block) = state.blocks.block(entry.slot) else { return };
        let Some(region) = block.region(entry.key) else { return };
        let site = Site::new(lane.memory_type, block, &region);
        if policy.poisons() {
            // SAFETY: the region lies inside the mapped block, which stays under the lock, and the
            // owner has not got it yet.
            unsafe { site.check_poison(mapping, &block, &mut found) };
        } else {
            for (_, range) in site.margins() {
                // SAFETY: as above.
                unsafe { fill(mapping, range) };
            }
        }
        state.blocks.close_fence(entry);
        drop(state);
        self.guards.report(&found);
    }

    /// Checks the margins of the given entries and poisons the entries, without holding the lock.
    pub(super) fn host_ends<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        entries: &[Entry],
        points: &RetirePoints,
    ) -> Locked<'a, LaneState> {
        let mut sites = Sites::new();
        // All at once or, without memory for that, a few at a time.
        let many = sites.try_reserve(entries.len()).map_or(FEW, |()| entries.len().max(FEW));
        for entries in entries.chunks(many) {
            let site = |entry: &Entry| {
                let block = state.blocks.block(entry.slot)?;
                let site = Site::new(lane.memory_type, block, &block.region(entry.key)?);
                Some((*entry, mapping_of(&block)?, site))
            };
            sites.extend(entries.iter().filter_map(site));
            if !sites.is_empty() {
                state = self.end_sites(lane, state, &sites, points);
                sites.clear();
            }
        }
        state
    }

    fn end_sites<'a>(
        &self,
        lane: &'a Lane,
        state: Locked<'a, LaneState>,
        sites: &Sites,
        points: &RetirePoints,
    ) -> Locked<'a, LaneState> {
        let policy = state.guards;
        drop(state);
        let mut found = Vec::new();
        for (_, mapping, site) in sites {
            // SAFETY: the region is pending and in hand, so its block and mapping stay, and nobody
            // else may use its bytes.
            unsafe {
                site.check_margins(*mapping, &mut found);
                end(policy, *mapping, site.region.clone());
            }
        }
        self.guards.report(&found);
        let mut state = lane.lock();
        if policy.poisons() {
            let collect = self.collects.load(Ordering::Relaxed);
            for (entry, _, site) in sites {
                let freed = Freed { collect, at: points.of(*entry) };
                if let Some(block) = state.blocks.block_mut(entry.slot) {
                    block.graves.bury(site.region.clone(), site.grave(freed));
                }
            }
        }
        state
    }

    /// Checks everything that the host watches in a lane. Without memory for a list of the entries
    /// in quarantine, or of the regions of a ring or stacks, these are left out: they are checked
    /// when they end.
    pub(super) fn host_check(&self, lane: &Lane) {
        let mut found = Vec::new();
        let state = lane.lock();
        let resting = state.resting.sorted();
        let mut all = resting.is_ok();
        for (slot, block) in state.blocks.iter() {
            let Some(mapping) = mapping_of(&block) else { continue };
            let visited = block.visit(|region| {
                let entry = region.key.map(|key| Entry { slot, key });
                let rests = match (region.state, &resting) {
                    (State::Pending, Err(_)) => return Ok(()),
                    (State::Pending, Ok(resting)) => {
                        entry.is_some_and(|entry| resting.binary_search(&place(entry)).is_ok())
                    }
                    _ => false,
                };
                let site = Site::new(lane.memory_type, block, &region);
                if region.state != State::Free && !rests {
                    // SAFETY: the region lies in the mapped block, which stays under the lock.
                    unsafe { site.check_margins(mapping, &mut found) };
                } else if state.guards.poisons() {
                    // SAFETY: as above; the region belongs to no allocation.
                    unsafe { site.check_poison(mapping, &block, &mut found) };
                }
                Ok(())
            });
            all &= visited.is_ok();
        }
        drop(state);
        self.guards.report(&found);
        if !all {
            tracing::warn!(
                target: crate::events::GUARD, memory_type = lane.memory_type,
                "the host has no memory to check everything that it watches"
            );
        }
    }
}

/// Checks an entry in quarantine that ends now.
pub(super) fn look_once_more(
    lane: &Lane,
    blocks: &BlockList,
    entry: Entry,
    found: &mut Vec<Corruption>,
) {
    let Some(block) = blocks.block(entry.slot) else { return };
    if let (Some(region), Some(mapping)) = (block.region(entry.key), mapping_of(&block)) {
        let site = Site::new(lane.memory_type, block, &region);
        // SAFETY: the region lies in the mapped block, which stays under the lock; it is pending and in hand.
        unsafe { site.check_poison(mapping, &block, found) };
    }
}
