//! Ends that are not at once: what waits for points, and the quarantine.
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
    /// As [`deallocate`](Self::deallocate), but the memory is free only when all points are reached,
    /// and [`collect`](Self::collect) has been told: for memory that a device still uses. No points
    /// mean at once. O(log waiting).
    ///
    /// The guard of a [checked](super::PoolDesc::checked) pool is looked at now. What the device writes there later is
    /// found as a write after free, by [`check`](Self::check) or when the range is handed out again.
    ///
    /// A point that is foreign to whoever tells what is reached never is.
    ///
    /// # Errors
    /// As `deallocate`; and if the host has no memory for it.
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
            // Room for all that waits, so that no collect needs memory.
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

    /// Frees what waited for points and has reached them all; tells how many. O(freed + log waiting).
    ///
    /// `reached` comes from [`Cuts::reached`](crate::retire::Cuts::reached), or with Vulkan from
    /// `Allocator::reached`.
    pub fn collect(&mut self, reached: &Reached) -> usize {
        let mut all = core::mem::take(&mut self.reached);
        self.waiting.take_reached(reached, &mut all);
        self.finish(all)
    }

    /// Frees everything that waits for points; tells how many.
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

    /// Poisons a pending allocation. Its guard is left as it is: what a device wrote there is found as all that is
    /// written to free memory.
    fn paint(&mut self, Waiting { key, guard }: Waiting) {
        if self.guard == 0 {
            return;
        }
        if let Some(ledger) = &self.ledger {
            let range = ledger.pending(key);
            self.backing.paint(range.offset as usize, (range.size - guard) as usize);
        }
    }

    /// Pending → free. Its reserved bytes.
    fn reach(&mut self, key: Key) -> u64 {
        self.ledger.as_mut().map_or(0, |ledger| ledger.reach(key).size)
    }

    /// A pending allocation joins the quarantine, which may push the oldest out.
    fn enter_quarantine(&mut self, waiting: Waiting) {
        self.paint(waiting);
        let key = waiting.key;
        if self.quarantine.try_reserve(1).is_err() {
            // No memory to remember it by: it is as if it had been in and out again.
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
