//! Deferred frees: allocations that wait for points, and the quarantine.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::{
    error::DeallocateError,
    found::{Live, Waiting},
    memory_pool::MemoryPool,
};
use crate::{
    retire::{Point, Reached},
    tlsf::Key,
};

impl MemoryPool {
    /// As [`deallocate`](Self::deallocate), but the memory becomes free only when all points are
    /// reached and [`collect`](Self::collect) has been told so. Use it for memory that a device
    /// still uses. Without points the memory is free immediately. O(log waiting).
    ///
    /// In a [checked](super::PoolDesc::checked) pool the guard is checked now. If the device writes
    /// there later, this is found as a write after free, by [`check`](Self::check) or when the
    /// range is handed out again.
    ///
    /// A point that is foreign to the source of `reached` is never reached.
    ///
    /// # Errors
    /// As `deallocate`; also if the host has no memory for this.
    pub fn deallocate_at(
        &mut self,
        pointer: *mut u8,
        points: &[Point],
    ) -> Result<(), DeallocateError> {
        if pointer.is_null() {
            return Ok(());
        }
        let live = self.live(pointer)?;
        self.end(&live, points)
    }

    /// Ends a live allocation.
    pub(super) fn end(&mut self, live: &Live, points: &[Point]) -> Result<(), DeallocateError> {
        let mut guard = 0;
        if self.guard != 0 {
            self.expect_guard(live)?;
            guard = live.reserved - live.size;
        }
        let waiting = Waiting { key: live.key, guard };
        let Some(ledger) = self.ledger.as_mut() else { return Ok(()) };
        if !points.is_empty() {
            // Room for everything that waits, so that no collect needs memory.
            let room = self.reached.try_reserve(self.waiting.len() + 1);
            if room.is_err() || self.waiting.file_at(points, waiting).is_err() {
                return Err(DeallocateError::OutOfHostMemory);
            }
        }
        self.counts.deallocated(live.size);
        if !points.is_empty() {
            ledger.retire(live);
        } else if self.quarantine_limit != 0 {
            ledger.retire(live);
            self.enter_quarantine(waiting);
        } else {
            ledger.free(live);
            if self.guard != 0 {
                self.backing.paint(live.offset as usize, live.reserved as usize);
            }
        }
        Ok(())
    }

    /// Frees what waited for points that are now all reached. Returns how many allocations were
    /// freed. O(freed + log waiting).
    ///
    /// `reached` comes from [`Cuts::reached`](crate::retire::Cuts::reached) or, with Vulkan, from
    /// `Allocator::reached`.
    pub fn collect(&mut self, reached: &Reached) -> usize {
        let mut all = core::mem::take(&mut self.reached);
        self.waiting.take_reached(reached, &mut all);
        self.finish(all)
    }

    /// Frees everything that waits for points. Returns how many allocations were freed.
    pub(super) fn finish_all(&mut self) -> usize {
        let mut all = core::mem::take(&mut self.reached);
        self.waiting.take_all(&mut all);
        self.finish(all)
    }

    fn finish(&mut self, mut all: Vec<Waiting>) -> usize {
        let count = all.len();
        for waiting in all.drain(..) {
            if self.quarantine_limit != 0 {
                self.enter_quarantine(waiting);
            } else {
                self.paint(waiting);
                self.reach(waiting.key);
            }
        }
        self.reached = all;
        count
    }

    /// Poisons a pending allocation, except its guard: what a device wrote there is found as any
    /// other write to free memory.
    fn paint(&mut self, Waiting { key, guard }: Waiting) {
        if self.guard == 0 {
            return;
        }
        if let Some(ledger) = &self.ledger {
            let range = ledger.pending(key);
            self.backing.paint(range.offset as usize, (range.size - guard) as usize);
        }
    }

    /// Pending → free. Returns its reserved bytes.
    fn reach(&mut self, key: Key) -> u64 {
        self.ledger.as_mut().map_or(0, |ledger| ledger.reach(key).size)
    }

    /// A pending allocation enters the quarantine, which may push out the oldest ones.
    fn enter_quarantine(&mut self, waiting: Waiting) {
        self.paint(waiting);
        let key = waiting.key;
        if self.quarantine.try_reserve(1).is_err() {
            // There is no memory to store it, so it enters and leaves the quarantine immediately.
            self.reach(key);
            return;
        }
        self.quarantine.push_back(key);
        self.quarantine_bytes += self.ledger.as_ref().map_or(0, |ledger| ledger.pending(key).size);
        while self.quarantine_bytes > self.quarantine_limit {
            let Some(oldest) = self.quarantine.pop_front() else { break };
            self.quarantine_bytes -= self.reach(oldest);
        }
    }

    /// Frees everything in quarantine. O(freed).
    #[cold]
    pub(super) fn end_quarantine(&mut self) {
        while let Some(oldest) = self.quarantine.pop_front() {
            self.quarantine_bytes -= self.reach(oldest);
        }
    }
}
