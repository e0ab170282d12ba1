//! Classification of pointers, and the functions for tracked pointers.
#![forbid(unsafe_code)]

use core::alloc::Layout;

use super::{
    answers::{Lookup, Tracked},
    error::{AllocateError, DeallocateError},
    found::{Found, Live},
    memory_pool::MemoryPool,
};

impl MemoryPool {
    /// The live allocation that starts at a pointer, if no handle owns it.
    pub(super) fn live(&self, pointer: *mut u8) -> Result<Live, DeallocateError> {
        let offset = self.backing.offset_of(pointer);
        let live = offset.and_then(|offset| self.ledger.as_ref()?.start(offset as u64));
        match live {
            Some(live) if !live.by_handle => Ok(live),
            _ => Err(self.refusal(pointer)),
        }
    }

    #[cold]
    fn refusal(&self, pointer: *mut u8) -> DeallocateError {
        let address = pointer.addr();
        match self.lookup(pointer) {
            Lookup::Null | Lookup::Foreign => DeallocateError::Foreign { address },
            Lookup::Start { .. } => DeallocateError::OwnedByHandle { address },
            Lookup::Inside { start, size } => DeallocateError::NotAtStart { address, start, size },
            Lookup::Freed => DeallocateError::DoubleFree { address },
            Lookup::Untracked => DeallocateError::Untracked { address },
        }
    }

    /// Classifies a bare pointer. O(1). Changes nothing.
    pub fn lookup(&self, pointer: *const u8) -> Lookup {
        if pointer.is_null() {
            return Lookup::Null;
        }
        let (Some(offset), Some(ledger)) = (self.backing.offset_of(pointer), &self.ledger) else {
            return Lookup::Foreign;
        };
        match ledger.find(offset as u64) {
            Found::Start(Live { size, by_handle, .. }) => Lookup::Start { size, by_handle },
            Found::Inside(Live { offset, size, .. }) => {
                Lookup::Inside { start: self.backing.address() + offset as usize, size }
            }
            Found::Freed => Lookup::Freed,
            Found::Untracked => Lookup::Untracked,
        }
    }

    /// The requested size of the live allocation that starts at a pointer. O(1).
    pub fn size_of(&self, pointer: *const u8) -> Option<u64> {
        match self.lookup(pointer) {
            Lookup::Start { size, .. } => Some(size),
            _ => None,
        }
    }

    /// As [`allocate_layout`](Self::allocate_layout), and also returns a serial. With
    /// [`deallocate_tracked`](Self::deallocate_tracked) the pointer is never mistaken for another
    /// allocation.
    ///
    /// Cost: the same.
    ///
    /// # Errors
    /// As `allocate_layout`.
    pub fn allocate_tracked(&mut self, layout: Layout) -> Result<Tracked, AllocateError> {
        self.grant(layout.size() as u64, layout.align() as u64, false)
    }

    /// Frees exactly this tracked allocation. O(1).
    ///
    /// # Errors
    /// `DoubleFree` if the allocation is gone, even if another one is at its address now; else as
    /// [`deallocate`](Self::deallocate).
    pub fn deallocate_tracked(&mut self, tracked: Tracked) -> Result<(), DeallocateError> {
        let live = self.tracked(tracked)?;
        if live.by_handle {
            return Err(DeallocateError::OwnedByHandle { address: tracked.pointer.addr().get() });
        }
        self.end(&live, &[])
    }

    /// Frees the allocation of a handle.
    #[cfg(feature = "std")]
    pub(super) fn deallocate_handle(&mut self, tracked: Tracked) -> Result<(), DeallocateError> {
        let live = self.tracked(tracked)?;
        self.end(&live, &[])
    }

    /// The live allocation that a tracked pointer names.
    fn tracked(&self, tracked: Tracked) -> Result<Live, DeallocateError> {
        let address = tracked.pointer.addr().get();
        let foreign = DeallocateError::Foreign { address };
        let offset = self.backing.offset_of(tracked.as_ptr()).ok_or(foreign)? as u64;
        let live = self.ledger.as_ref().and_then(|ledger| ledger.by_key(tracked.key));
        live.filter(|live| live.offset == offset).ok_or(DeallocateError::DoubleFree { address })
    }
}
