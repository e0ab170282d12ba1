//! The end of an allocation: retired, or freed immediately.
//!
//! *Retire* takes one lock, that of the memory type. It makes no driver call, unless the GPU has
//! already passed everything.

use std::sync::{Arc, atomic::Ordering};

use super::{
    error::KeyError,
    guards::RetirePoints,
    inner::{Inner, Lane, LaneState, Life},
    names::named,
    share::Extent,
};
use crate::{
    ground::lock::Locked,
    memory::Entry,
    retire::{BagNumber, Point},
    vulkan::Resource,
};

/// The reference that a block held to the allocator, or a share of it, on its way out of a lock.
/// Dropping it may end the allocator. Once the last facade is dropped, whoever receives one
/// finishes the pending work.
pub(super) type Keeper = Option<Arc<Inner>>;

impl Inner {
    /// Retires an allocation in the common case: no observers, a timeline exists, the host has
    /// memory to store the end, and the block has other allocations. Returns whether this was the
    /// case; if not, nothing has changed. O(1), one lock.
    #[inline(always)]
    pub(super) fn retire_plain(&self, lane: u32, entry: Entry) -> bool {
        let Some(lane) = self.lane(lane).filter(|lane| lane.is_plain()) else { return false };
        let mut state = lane.lock();
        let (bag, reached) = (self.current_bag(), self.reached_bag());
        if self.life() != Life::Open || bag == BagNumber::UNTIMED {
            return false;
        }
        if bag <= reached {
            return state.blocks.free_plain(entry);
        }
        let collects = self.collects.load(Ordering::Relaxed);
        if state.bags.reserve(bag).is_err() || state.retire(entry, collects).is_err() {
            return false;
        }
        if state.bags.file(bag, entry) {
            lane.publish(&state);
        }
        true
    }

    /// Retires an allocation: its range becomes free once every recording that is open now has
    /// ended and the GPU has passed everything submitted by then. O(1), one lock.
    #[inline(never)]
    pub(super) fn retire(&self, lane: u32, entry: Entry) -> Result<Keeper, KeyError> {
        if self.observed {
            self.observe_end(lane, entry, None);
        }
        let lane = self.lane(lane).ok_or(KeyError::Stale)?;
        let state = lane.lock();
        let (bag, life) = (self.current_bag(), self.life());
        if bag.is_reached(self.reached_bag()) || life == Life::ShutDown {
            return self.end_at_once(lane, state, entry, life);
        }
        let (mut state, bag) = self.reserve_end(lane, state)?;
        state.retire(entry, self.collects.load(Ordering::Relaxed))?;
        state.record_end(entry);
        state.bags.file(bag, entry);
        lane.publish(&state);
        let keeper = state.shared_keeper(life, entry);
        if bag == BagNumber::UNTIMED && !self.untimed_reported.swap(true, Ordering::Relaxed) {
            let name = state.blocks.tenant(entry).name;
            drop(state);
            // `self` must not be accessed after this point: another thread may collect the entry
            // now, and with it end the allocator.
            report_untimed(name);
        }
        Ok(keeper)
    }

    /// Returns the current bag, and ensures that an end can be added to it. If the host has no
    /// memory for that, it collects first, which removes some entries.
    fn reserve_end<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
    ) -> Result<(Locked<'a, LaneState>, BagNumber), KeyError> {
        let bag = self.current_bag();
        if state.bags.reserve(bag).is_ok() {
            return Ok((state, bag));
        }
        drop(state);
        if let Some(myself) = self.myself.upgrade() {
            Inner::collect(&myself, Extent::All);
        }
        state = lane.lock();
        let bag = self.current_bag();
        state.bags.reserve(bag).map_err(|_| KeyError::OutOfHostMemory)?;
        Ok((state, bag))
    }

    /// Retires an allocation at points that cover every use of it. O(points + log pending).
    pub(super) fn retire_at(
        &self,
        lane: u32,
        entry: Entry,
        unreached: &[Point],
    ) -> Result<Keeper, KeyError> {
        if self.observed {
            self.observe_end(lane, entry, Some(unreached));
        }
        let lane = self.lane(lane).ok_or(KeyError::Stale)?;
        self.file_at(lane, entry, unreached)
    }

    /// Used → Pending at these points and those of the range's previous owner.
    fn file_at(&self, lane: &Lane, entry: Entry, unreached: &[Point]) -> Result<Keeper, KeyError> {
        let (mut state, bag) = self.reserve_end(lane, lane.lock())?;
        state.retire(entry, self.collects.load(Ordering::Relaxed))?;
        state.record_end(entry);
        let mut points = state.heirs.take(entry);
        let known = points.try_reserve(unreached.len()).is_ok();
        points.extend_from_slice(if known { unreached } else { &[] });
        let life = self.life();
        if life == Life::ShutDown || known && points.is_empty() {
            return Ok(self.release(lane, state, entry));
        }
        if !known || state.bags.file_at(&points, entry).is_err() {
            // Without memory for the points, it waits for everything submitted, which covers them.
            state.bags.file(bag, entry);
        }
        lane.publish(&state);
        Ok(state.shared_keeper(life, entry))
    }

    /// Frees an allocation immediately in the common case: no observers, no previous owner to wait
    /// for, and the block has other allocations. Returns whether this was the case; if not, nothing
    /// has changed. O(1), one lock.
    ///
    /// The caller knows that no submitted or recorded work uses it.
    #[inline(always)]
    pub(super) fn free_plain(&self, lane: u32, entry: Entry) -> bool {
        let Some(lane) = self.lane(lane).filter(|lane| lane.is_plain()) else { return false };
        let mut state = lane.lock();
        state.heirs.is_empty() && self.life() == Life::Open && state.blocks.free_plain(entry)
    }

    /// Frees an allocation immediately. O(1), plus the driver call that destroys its resource.
    ///
    /// The caller knows that no submitted or recorded work uses it.
    #[inline(never)]
    pub(super) fn free_now(&self, lane: u32, entry: Entry) -> Result<Keeper, KeyError> {
        if self.observed {
            self.observe_end(lane, entry, Some(&[]));
        }
        let lane = self.lane(lane).ok_or(KeyError::Stale)?;
        let state = lane.lock();
        if !state.heirs.is_empty() && state.heirs.contains(entry) {
            drop(state);
            // The owner has finished, but the previous owner may not have.
            return self.file_at(lane, entry, &[]);
        }
        let life = self.life();
        self.end_at_once(lane, state, entry, life)
    }

    /// Used → Free, for an allocation whose uses have all finished.
    fn end_at_once<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        entry: Entry,
        life: Life,
    ) -> Result<Keeper, KeyError> {
        let freed = match state.guards.is_on() {
            true => None,
            false => state.blocks.free(entry),
        };
        let Some(freed) = freed else {
            state.retire(entry, self.collects.load(Ordering::Relaxed))?;
            state.record_end(entry);
            return Ok(self.release(lane, state, entry));
        };
        let (_, emptied) = freed?;
        state.record_end(entry);
        Ok(match emptied {
            true => self.vacate(lane, state, entry.slot),
            false => state.shared_keeper(life, entry),
        })
    }

    /// Pending → Free for one entry. Its resource is destroyed outside the lock.
    fn release<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        entry: Entry,
    ) -> Keeper {
        let resource = state.blocks.tenant(entry).resource;
        if resource != Resource::None && self.life() != Life::ShutDown {
            drop(state);
            // Views that were dropped earlier and are reached, but not collected yet, are destroyed
            // first.
            let reached = self.reached_bag();
            self.objects.collect(&self.vulkan, reached, Extent::All, 0);
            self.end_views(resource);
            state = lane.lock();
            while self.objects.cleared(reached) < reached {
                // Another thread is destroying some of them: the next collect ends this entry, or
                // that thread is waited for.
                if state.bags.reserve(BagNumber::FIRST).is_ok() {
                    state.bags.file(BagNumber::FIRST, entry);
                    lane.publish(&state);
                    return state.shared_keeper(self.life(), entry);
                }
                drop(state);
                std::thread::yield_now();
                state = lane.lock();
            }
            state.blocks.take_resource(entry);
            drop(state);
            // SAFETY: the caller found every use done; the resource was ours alone.
            unsafe { self.vulkan.destroy_resource(resource) };
            state = lane.lock();
        }
        if state.guards.is_on() {
            let left;
            (state, left) = self.guard_ends(lane, state, &mut [entry], &RetirePoints::default());
            if left == 0 {
                return None;
            }
        }
        match state.reach(entry) {
            (_, true) => self.vacate(lane, state, entry.slot),
            (_, false) => state.shared_keeper(self.life(), entry),
        }
    }

    /// Takes back a grant that was never handed out. Its resource still belongs to the caller.
    pub(super) fn take_back(&self, lane: &Lane, mut state: Locked<'_, LaneState>, entry: Entry) {
        state.blocks.take_resource(entry);
        state.record_end(entry);
        state.blocks.counters().withdraw();
        match state.blocks.free(entry) {
            Some(Ok((_, true))) => drop(self.vacate(lane, state, entry.slot)),
            freed => debug_assert!(matches!(freed, Some(Ok(_))), "{freed:?}"),
        }
    }

    /// The block of `slot` is empty: removes its reference, and releases blocks that have been
    /// empty for too long.
    fn vacate(&self, lane: &Lane, mut state: Locked<'_, LaneState>, slot: u32) -> Keeper {
        let keeper = state.unkeep(slot);
        let last = state.blocks.empty().len() - 1;
        let blocks = self.sweep(lane, &mut state, last);
        drop(state);
        // `keeper` keeps `self` alive until the end of this function.
        self.free_blocks(lane, blocks);
        keeper
    }
}

impl LaneState {
    /// Used → Pending.
    #[inline(always)]
    fn retire(&mut self, entry: Entry, collects: u64) -> Result<(), KeyError> {
        self.blocks.retire(entry)?;
        self.retired.note(collects);
        Ok(())
    }

    /// Pending → Free, for an entry that came out of a bag and is therefore pending.
    #[inline(always)]
    pub(super) fn reach(&mut self, entry: Entry) -> (u64, bool) {
        match self.blocks.reach(entry) {
            Ok(freed) => freed,
            Err(error) => unreachable!("{entry:?} was pending: {error}"),
        }
    }
}

fn report_untimed(name: Option<&'static str>) {
    tracing::warn!(
        target: crate::events::WAITING, allocation = named(name),
        "an allocation was dropped before any timeline existed: it stays pending until \
         `assume_idle`, because the GPU's progress is unknown"
    );
}
