//! The end of an allocation: retired, or freed at once.
//!
//! *Retire* takes one lock, its memory type's, and makes no driver call unless the GPU is already past
//! everything.

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

/// A count that a block held, on its way out of a lock, or a share of one: dropping it may end the
/// allocator. Once the last facade is gone, who gets one finishes what is pending.
pub(super) type Keeper = Option<Arc<Inner>>;

impl Inner {
    /// Gives an allocation up, as nearly always: nobody watches, a timeline exists, the host has memory to note the
    /// end by, and others live in the block. Whether it was so; if not, nothing has changed. O(1), one lock.
    #[inline(always)]
    pub(super) fn retire_plain(&self, lane: u32, entry: Entry) -> bool {
        let Some(lane) = self.lane(lane).filter(|_| self.plain) else { return false };
        let mut state = lane.lock();
        let (bag, reached) = (self.current_bag(), self.reached_bag());
        if self.life() != Life::Open || bag == BagNumber::UNTIMED {
            return false;
        }
        if bag <= reached {
            return state.free_plain(entry);
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

    /// Gives an allocation up: its range is free once every recording that is open now has ended
    /// and the GPU has passed what was submitted by then. O(1), one lock.
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
            // Nothing of `self` is touched any more: another thread may collect the entry now, and
            // end the allocator with it.
            report_untimed(name);
        }
        Ok(keeper)
    }

    /// The bag of now, and makes sure that an end can be filed there; if the host has no memory for more, after
    /// a collect, which takes some out.
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

    /// Gives an allocation up at points that cover every use of it. O(points + log pending).
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

    /// Used → Pending at these points and those of the range's owner before.
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
            // Without memory for points it waits for all that was submitted, which covers them.
            state.bags.file(bag, entry);
        }
        lane.publish(&state);
        Ok(state.shared_keeper(life, entry))
    }

    /// Ends an allocation at once, as nearly always: nobody watches, no one before its owner waits, and others live
    /// in the block. Whether it was so; if not, nothing has changed. O(1), one lock.
    ///
    /// The caller knows that no submitted or recorded work uses it.
    #[inline(always)]
    pub(super) fn free_plain(&self, lane: u32, entry: Entry) -> bool {
        let Some(lane) = self.lane(lane).filter(|_| self.plain) else { return false };
        let mut state = lane.lock();
        state.heirs.is_empty() && self.life() == Life::Open && state.free_plain(entry)
    }

    /// Ends an allocation at once. O(1), and the driver's destruction of its resource.
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
            // Its owner is done, but the one before may not be.
            return self.file_at(lane, entry, &[]);
        }
        let life = self.life();
        self.end_at_once(lane, state, entry, life)
    }

    /// Used → Free for an allocation whose uses are all done.
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

    /// Pending → Free for one entry in hand; its resource is destroyed outside the lock.
    fn release<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        entry: Entry,
    ) -> Keeper {
        let resource = state.blocks.tenant(entry).resource;
        if resource != Resource::None && self.life() != Life::ShutDown {
            drop(state);
            // Views that were dropped before and are reached, but not collected yet, go first.
            let reached = self.reached_bag();
            self.objects.collect(&self.vulkan, reached, Extent::All, 0);
            self.end_views(resource);
            state = lane.lock();
            while self.objects.cleared(reached) < reached {
                // Another thread has some in hand: the next collect ends this, or that thread is waited for.
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

    /// A grant that nobody knows of comes to nothing. Its resource stays the caller's.
    pub(super) fn take_back(&self, lane: &Lane, mut state: Locked<'_, LaneState>, entry: Entry) {
        state.blocks.take_resource(entry);
        state.record_end(entry);
        match state.blocks.free(entry) {
            Some(Ok((_, true))) => drop(self.vacate(lane, state, entry.slot)),
            freed => debug_assert!(matches!(freed, Some(Ok(_))), "{freed:?}"),
        }
    }

    /// The block of `slot` is empty: its count comes out, and blocks that linger too long go.
    fn vacate(&self, lane: &Lane, mut state: Locked<'_, LaneState>, slot: u32) -> Keeper {
        let keeper = state.unkeep(slot);
        let last = state.blocks.empty().len() - 1;
        let blocks = self.sweep(lane, &mut state, last);
        drop(state);
        // The keeper in hand keeps `self` alive to the end of this.
        self.free_blocks(lane, blocks);
        keeper
    }
}

impl LaneState {
    /// Used → Free, as [`BlockList::free_plain`](crate::memory::BlockList::free_plain), where nobody watches.
    #[inline(always)]
    fn free_plain(&mut self, entry: Entry) -> bool {
        !self.guards.is_on() && self.blocks.free_plain(entry)
    }

    /// Used → Pending.
    #[inline(always)]
    fn retire(&mut self, entry: Entry, collects: u64) -> Result<(), KeyError> {
        self.blocks.retire(entry)?;
        self.retired.note(collects);
        Ok(())
    }

    /// Pending → Free for an entry that came out of a bag, so it is pending.
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
         `assume_idle`, because nothing tells when the GPU is done with it"
    );
}
