//! Checked pools: guards behind allocations, and poison in free memory.
#![forbid(unsafe_code)]

use super::{
    error::{AllocateError, Broken, CheckError, DeallocateError},
    found::Live,
    ledger::Ledger,
    memory_pool::MemoryPool,
};
use crate::tlsf::State;

impl MemoryPool {
    /// A new allocation must find the poison unchanged. Otherwise it is undone, including the peak,
    /// which returns to `most`.
    #[cold]
    pub(super) fn expect_painted(&mut self, live: Live, most: u64) -> Result<(), AllocateError> {
        let (offset, size) = (live.offset as usize, live.reserved as usize);
        let Some(changed) = self.backing.first_changed(offset, size) else { return Ok(()) };
        self.backing.paint(offset, size);
        self.counts.corruptions += 1;
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.undo(&live, most);
        }
        let base = self.backing.address();
        Err(AllocateError::WriteAfterFree { address: base + changed, start: base + offset })
    }

    /// The guard of a live allocation, in bytes from the beginning of the pool.
    fn guard(live: &Live) -> (usize, usize) {
        ((live.offset + live.size) as usize, (live.reserved - live.size) as usize)
    }

    /// When an allocation ends, its guard must be unchanged.
    pub(super) fn expect_guard(&mut self, live: &Live) -> Result<(), DeallocateError> {
        let (guard, length) = Self::guard(live);
        let Some(changed) = self.backing.first_changed(guard, length) else { return Ok(()) };
        self.backing.paint(guard, length);
        self.counts.corruptions += 1;
        let base = self.backing.address();
        let (address, start) = (base + changed, base + live.offset as usize);
        Err(DeallocateError::Corrupted { address, start, size: live.size })
    }

    /// Checks the bookkeeping and, in a [checked](super::PoolDesc::checked) pool, every guard and
    /// all free memory. O(granules + bytes looked at). Changes nothing.
    ///
    /// Allocations that wait for points are not checked, because a device may write to them.
    ///
    /// # Errors
    /// The first fault that is found.
    pub fn check(&self) -> Result<(), CheckError> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        ledger.check(self.stats().current_allocated_bytes)?;
        let ranges = self.quarantine.iter().map(|&key| ledger.pending(key).size);
        if ranges.sum::<u64>() != self.quarantine_bytes {
            return Err(Broken::Count.into());
        }
        if self.guard != 0 { self.check_memory(ledger) } else { Ok(()) }
    }

    fn check_memory(&self, ledger: &Ledger) -> Result<(), CheckError> {
        let base = self.backing.address();
        for live in ledger.lives() {
            let (guard, length) = Self::guard(&live);
            if let Some(changed) = self.backing.first_changed(guard, length) {
                let (address, start) = (base + changed, base + live.offset as usize);
                return Err(CheckError::Overrun { address, start, size: live.size });
            }
        }
        let free = ledger.regions().filter(|region| region.state == State::Free);
        let free = free.map(|region| (region.offset, region.size));
        let kept = self.quarantine.iter().map(|&key| ledger.pending(key));
        for (offset, size) in free.chain(kept.map(|range| (range.offset, range.size))) {
            let (offset, size) = (offset as usize, size as usize);
            if let Some(changed) = self.backing.first_changed(offset, size) {
                let (address, start) = (base + changed, base + offset);
                return Err(CheckError::WriteAfterFree { address, start });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::PoolDesc;

    #[test]
    fn a_quarantine_that_is_counted_wrongly_is_found() {
        let desc = PoolDesc::new().quarantine(1024);
        let mut pool = MemoryPool::owned(4096, &desc).unwrap();
        let pointer = pool.allocate(100).unwrap();
        pool.deallocate(pointer).unwrap();
        assert_eq!(pool.check(), Ok(()));
        pool.quarantine_bytes += 16;
        assert_eq!(pool.check(), Err(CheckError::Broken(Broken::Count)));
    }
}
