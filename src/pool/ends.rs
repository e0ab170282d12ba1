//! Ends that are not at once: what waits for points, and the quarantine.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::{error::DeallocateError, found::Live, memory_pool::MemoryPool};
use crate::{
    retire::{Point, Reached},
    tlsf::Key,
};

impl MemoryPool {
    /// As [`deallocate`](Self::deallocate), but the memory is free only when all points are reached,
    /// and [`collect`](Self::collect) has been told: for memory that a device still uses. No points
    /// mean at once. O(log waiting).
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
        if self.guard != 0 {
            self.expect_guard(live)?;
        }
        let Some(ledger) = self.ledger.as_mut() else { return Ok(()) };
        if !points.is_empty() {
            // Room for all that waits, so that no collect needs memory.
            let room = self.reached.try_reserve(self.waiting.len() + 1);
            if room.is_err() || self.waiting.file_at(points, live.key).is_err() {
                return Err(DeallocateError::OutOfHostMemory);
            }
        }
        self.counts.deallocated(live.size);
        if !points.is_empty() {
            ledger.retire(live);
        } else if self.quarantine_limit != 0 {
            ledger.retire(live);
            self.enter_quarantine(live.key);
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
        let mut keys = core::mem::take(&mut self.reached);
        self.waiting.take_reached(reached, &mut keys);
        self.finish(keys)
    }

    /// Frees everything that waits for points; tells how many.
    pub(super) fn finish_all(&mut self) -> usize {
        let mut keys = core::mem::take(&mut self.reached);
        self.waiting.take_all(&mut keys);
        self.finish(keys)
    }

    fn finish(&mut self, mut keys: Vec<Key>) -> usize {
        let count = keys.len();
        for key in keys.drain(..) {
            if self.quarantine_limit != 0 {
                self.enter_quarantine(key);
            } else {
                self.reach(key, self.guard != 0);
            }
        }
        self.reached = keys;
        count
    }

    /// Pending → free.
    fn reach(&mut self, key: Key, paint: bool) -> u64 {
        let Some(ledger) = self.ledger.as_mut() else { return 0 };
        let freed = ledger.reach(key);
        if paint {
            self.backing.paint(freed.offset as usize, freed.size as usize);
        }
        freed.size
    }

    /// A pending allocation joins the quarantine, which may push the oldest out.
    fn enter_quarantine(&mut self, key: Key) {
        let Some(ledger) = self.ledger.as_ref() else { return };
        let range = ledger.pending(key);
        if self.guard != 0 {
            self.backing.paint(range.offset as usize, range.size as usize);
        }
        if self.quarantine.try_reserve(1).is_err() {
            // No memory to remember it by: it is as if it had been in and out again.
            self.reach(key, false);
            return;
        }
        self.quarantine.push_back(key);
        self.quarantine_bytes += range.size;
        while self.quarantine_bytes > self.quarantine_limit {
            let Some(oldest) = self.quarantine.pop_front() else { break };
            self.quarantine_bytes -= self.reach(oldest, false);
        }
    }

    /// Frees everything in quarantine. O(freed).
    #[cold]
    pub(super) fn end_quarantine(&mut self) {
        while let Some(oldest) = self.quarantine.pop_front() {
            self.quarantine_bytes -= self.reach(oldest, false);
        }
    }
}
