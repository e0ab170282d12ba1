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
    /// Gives an allocation up: its range is free once every recording that is open now has ended
    /// and the GPU has passed what was submitted by then. O(1), one lock.
    #[inline(always)]
    pub(super) fn retire(&self, lane: u32, entry: Entry) -> Result<Keeper, KeyError> {
        match self.plain {
            true => self.file(lane, entry, true),
            false => self.retire_watched(lane, entry),
        }
    }

    /// [`retire`](Self::retire), where somebody watches.
    #[cold]
    #[inline(never)]
    fn retire_watched(&self, lane: u32, entry: Entry) -> Result<Keeper, KeyError> {
        if self.observed {
            self.observe_end(lane, entry, None);
        }
        self.file(lane, entry, false)
    }

    /// Used → Pending in the bag of now.
    #[inline(always)]
    fn file(&self, lane: u32, entry: Entry, plain: bool) -> Result<Keeper, KeyError> {
        let lane = self.lane(lane).ok_or(KeyError::Stale)?;
        let mut state = lane.lock();
        let (bag, reached) = (self.current_bag(), self.reached_bag());
        let is_open = self.life() == Life::Open;
        if is_open && bag > reached {
            if state.bags.reserve(bag).is_err() {
                return self.file_seldom(lane, state, entry, bag, plain);
            }
            state.retire(entry, self.collects.load(Ordering::Relaxed))?;
            if !plain {
                state.record_end(entry);
            }
            if state.bags.file(bag, entry) {
                lane.publish(&state);
            }
            return Ok(None);
        }
        if is_open && bag.is_reached(reached) {
            return self.end_at_once(lane, state, entry, Life::Open, plain);
        }
        self.file_seldom(lane, state, entry, bag, plain)
    }

    /// [`file`](Self::file) where no timeline exists, the device is lost, the last facade is gone, or the host
    /// has no memory to note the end by.
    #[cold]
    #[inline(never)]
    fn file_seldom<'a>(
        &self,
        lane: &'a Lane,
        state: Locked<'a, LaneState>,
        entry: Entry,
        bag: BagNumber,
        plain: bool,
    ) -> Result<Keeper, KeyError> {
        let life = self.life();
        if bag.is_reached(self.reached_bag()) || life == Life::ShutDown {
            return self.end_at_once(lane, state, entry, life, plain);
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

    /// Ends an allocation at once. O(1), and the driver's destruction of its resource.
    ///
    /// The caller knows that no submitted or recorded work uses it.
    pub(super) fn free_now(&self, lane: u32, entry: Entry) -> Result<Keeper, KeyError> {
        match self.plain {
            true => self.free_at_once(lane, entry, true),
            false => self.free_watched(lane, entry),
        }
    }

    /// [`free_now`](Self::free_now), where somebody watches.
    #[cold]
    #[inline(never)]
    fn free_watched(&self, lane: u32, entry: Entry) -> Result<Keeper, KeyError> {
        if self.observed {
            self.observe_end(lane, entry, Some(&[]));
        }
        self.free_at_once(lane, entry, false)
    }

    #[inline(always)]
    fn free_at_once(&self, lane: u32, entry: Entry, plain: bool) -> Result<Keeper, KeyError> {
        let lane = self.lane(lane).ok_or(KeyError::Stale)?;
        let state = lane.lock();
        if !state.heirs.is_empty() && state.heirs.contains(entry) {
            drop(state);
            // Its owner is done, but the one before may not be.
            return self.file_at(lane, entry, &[]);
        }
        let life = self.life();
        self.end_at_once(lane, state, entry, life, plain)
    }

    /// Used → Free for an allocation whose uses are all done.
    #[inline(always)]
    fn end_at_once<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        entry: Entry,
        life: Life,
        plain: bool,
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
        if !plain {
            state.record_end(entry);
        }
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
