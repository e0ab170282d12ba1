//! The pool itself: it returns pointers and takes them back.
#![forbid(unsafe_code)]

use alloc::{collections::VecDeque, vec::Vec};
use core::{alloc::Layout, ptr::NonNull};

use super::{
    answers::Tracked,
    backing::Backing,
    desc::{PoolDesc, PoolLayout},
    error::{AllocateError, DeallocateError, PoolError},
    found::{Live, Request, Waiting},
    ledger::Ledger,
    statistics::{Counts, Fragmentation, PoolStatistics},
};
use crate::{retire::Bags, tlsf::Key};

/// The minimum number of guard bytes after each allocation of a checked pool.
const GUARD: u64 = 16;

/// A pool of memory. See the [module documentation](super).
///
/// The pool is `Send`, so it may move to another thread. [`SharedPool`](super::SharedPool) can be
/// used by many threads at a time.
///
/// Dropping the pool frees its memory even if allocations are live; their pointers dangle then.
#[derive(Debug)]
pub struct MemoryPool {
    /// `None` if the host had no memory for the pool, which then has no bytes.
    pub(super) ledger: Option<Ledger>,
    pub(super) backing: Backing,
    pub(super) counts: Counts,
    /// The minimum number of unused bytes after each allocation; 0 unless the pool is checked.
    pub(super) guard: u64,
    /// Bytes of the memory before the first granule.
    skip: u64,
    /// The bus address of the first byte.
    bus_base: Option<u64>,
    /// Freed allocations that are kept from being handed out, oldest first.
    pub(super) quarantine: VecDeque<Key>,
    pub(super) quarantine_limit: u64,
    pub(super) quarantine_bytes: u64,
    /// Allocations that wait for points.
    pub(super) waiting: Bags<Waiting>,
    /// Scratch room for what a collect takes, kept for the next one.
    pub(super) reached: Vec<Waiting>,
}

impl MemoryPool {
    /// Creates a pool of `bytes` from the host heap, not initialised. O(1).
    ///
    /// This never fails. A pool for which the host has no memory holds 0 bytes, and refuses every
    /// request with [`OutOfHostMemory`](AllocateError::OutOfHostMemory). [`owned`](Self::owned)
    /// reports this error immediately.
    pub fn new(bytes: usize) -> Self {
        Self::owned(bytes, &PoolDesc::new()).unwrap_or_else(|_| Self {
            ledger: None,
            backing: Backing::empty(),
            ..Self::bare(&PoolDesc::new())
        })
    }

    /// Creates a pool of `bytes` from the host heap, as described. O(1); O(bytes) if it is checked.
    ///
    /// # Errors
    /// The description contradicts itself, no memory is left after rounding, or the host has none.
    pub fn owned(bytes: usize, desc: &PoolDesc) -> Result<Self, PoolError> {
        if bytes == 0 {
            return Err(PoolError::TooSmall);
        }
        let backing = Backing::heap(bytes).ok_or(PoolError::OutOfHostMemory)?;
        Self::over(backing, desc)
    }

    fn bare(desc: &PoolDesc) -> Self {
        Self {
            ledger: None,
            backing: Backing::empty(),
            counts: Counts::default(),
            guard: if desc.checked { GUARD } else { 0 },
            skip: 0,
            bus_base: desc.bus_base,
            quarantine: VecDeque::new(),
            quarantine_limit: desc.quarantine,
            quarantine_bytes: 0,
            waiting: Bags::new(),
            reached: Vec::new(),
        }
    }

    pub(super) fn over(mut backing: Backing, desc: &PoolDesc) -> Result<Self, PoolError> {
        let layout = desc.layout(backing.address() as u64, backing.size() as u64)?;
        let PoolLayout { skip, size, .. } = layout;
        // Both are parts of a `usize`.
        backing.narrow(skip as usize, size as usize, layout.lead as usize);
        let ledger = Ledger::new(&layout, desc, backing.origin() as u64)?;
        if desc.checked {
            backing.paint(0, size as usize);
        }
        let bus_base = desc.bus_base.map(|address| address + skip);
        Ok(Self { ledger: Some(ledger), backing, skip, bus_base, ..Self::bare(desc) })
    }

    /// Allocates `size` bytes at a multiple of the pool's granule, which is 16 bytes by default.
    /// The bytes are not initialised. O(1).
    ///
    /// # Errors
    /// Size 0, a size above that of the pool or its boundary, or no room. Nothing has changed then.
    #[inline]
    pub fn allocate(&mut self, size: usize) -> Result<*mut u8, AllocateError> {
        self.allocate_at_least(size as u64, 1)
    }

    /// Allocates memory for a layout. O(1).
    ///
    /// A size that is not below its alignment is rounded up to a multiple of it if there is room
    /// for that, as in [`Tlsf::allocate`](crate::tlsf::Tlsf::allocate). The statistics count the
    /// requested size.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate); also an alignment above 2 MiB, or above the largest one
    /// that holds for both pointers and bus addresses.
    #[inline]
    pub fn allocate_layout(&mut self, layout: Layout) -> Result<*mut u8, AllocateError> {
        self.allocate_at_least(layout.size() as u64, layout.align() as u64)
    }

    #[inline]
    fn allocate_at_least(&mut self, size: u64, alignment: u64) -> Result<*mut u8, AllocateError> {
        match self.allocate_plain(size, alignment) {
            Some(pointer) => Ok(pointer.as_ptr()),
            None => Ok(self.grant(size, alignment, false)?.pointer.as_ptr()),
        }
    }

    /// The common case; everything else is out of line. The result fits into a register.
    fn allocate_plain(&mut self, size: u64, alignment: u64) -> Option<NonNull<u8>> {
        let offset = self.ledger.as_mut()?.allocate_plain(size, alignment)?;
        self.counts.allocated(size);
        self.backing.counted(offset as usize)
    }

    /// Allocates a range, and counts it.
    #[inline(never)]
    pub(super) fn grant(
        &mut self,
        size: u64,
        alignment: u64,
        by_handle: bool,
    ) -> Result<Tracked, AllocateError> {
        let request = Request { size, alignment, margin: self.guard, by_handle };
        let Some(ledger) = self.ledger.as_mut() else {
            return Err(AllocateError::OutOfHostMemory);
        };
        let most = ledger.most_live();
        let live = match ledger.allocate(request) {
            Ok(live) => live,
            Err(error) => self.grant_at_last(size, alignment, by_handle, error)?,
        };
        if self.guard != 0 {
            self.expect_painted(live, most)?;
        }
        self.counts.allocated(size);
        Ok(Tracked { pointer: self.backing.pointer(live.offset as usize), key: live.key })
    }

    /// Ends the quarantine before a request fails.
    #[cold]
    fn grant_at_last(
        &mut self,
        size: u64,
        alignment: u64,
        by_handle: bool,
        error: AllocateError,
    ) -> Result<Live, AllocateError> {
        if self.quarantine.is_empty() || !matches!(error, AllocateError::Full { .. }) {
            return Err(error);
        }
        self.end_quarantine();
        let request = Request { size, alignment, margin: self.guard, by_handle };
        self.ledger.as_mut().ok_or(AllocateError::OutOfHostMemory)?.allocate(request)
    }

    /// Frees what a pointer points to. Null is allowed. O(1).
    ///
    /// The memory is free immediately, or after the [quarantine](PoolDesc::quarantine).
    ///
    /// # Errors
    /// The pointer is not the start of a live allocation ([module](super#what-a-bare-pointer-tells)), or
    /// its guard was overwritten. Nothing has changed then.
    #[inline]
    pub fn deallocate(&mut self, pointer: *mut u8) -> Result<(), DeallocateError> {
        match self.deallocate_plain(pointer) {
            true => Ok(()),
            false => self.deallocate_further(pointer),
        }
    }

    /// The common case. Returns `false`, and changes nothing, in any other case.
    fn deallocate_plain(&mut self, pointer: *mut u8) -> bool {
        let Some(ledger) = self.ledger.as_mut() else { return false };
        ledger.free_plain(pointer.addr() as u64, &mut self.counts).is_some()
    }

    #[cold]
    #[inline(never)]
    fn deallocate_further(&mut self, pointer: *mut u8) -> Result<(), DeallocateError> {
        self.deallocate_at(pointer, &[])
    }

    /// The statistics of all operations so far. O(1).
    pub fn stats(&self) -> PoolStatistics {
        let ledger = self.ledger.as_ref();
        let live = ledger.map_or((0, 0), |ledger| (ledger.live_count(), ledger.most_live()));
        self.counts.statistics(live.0, live.1)
    }

    /// How much memory is free, and in how many pieces. This walks the largest pieces, so it is
    /// meant for reports.
    pub fn fragmentation(&self) -> Fragmentation {
        self.ledger.as_ref().map_or_else(Fragmentation::default, Ledger::fragmentation)
    }

    /// The address at which the device sees a byte of this pool. `None` if the pointer is not of
    /// this pool, or the pool has no [`bus_base`](PoolDesc::bus_base). O(1).
    #[inline]
    pub fn dma_address(&self, pointer: *const u8) -> Option<u64> {
        Some(self.bus_base? + self.offset_of(pointer)?)
    }

    /// The offset of a pointer in the pool; `None` if the pointer is not of this pool. O(1).
    #[inline]
    pub fn offset_of(&self, pointer: *const u8) -> Option<u64> {
        self.backing.offset_of(pointer).map(|offset| offset as u64)
    }

    /// The number of bytes in front of the first granule: 0 unless the memory begins between two
    /// granules. Offsets count from the first granule.
    pub fn skipped(&self) -> u64 {
        self.skip
    }

    /// The number of bytes that can be live at a time.
    pub fn capacity(&self) -> u64 {
        self.ledger.as_ref().map_or(0, Ledger::size)
    }

    /// The unit in bytes to which addresses and sizes are rounded.
    pub fn granule(&self) -> u64 {
        self.ledger.as_ref().map_or(1, Ledger::granule)
    }

    /// The largest alignment that can be requested, in bytes.
    pub fn largest_alignment(&self) -> u64 {
        self.ledger.as_ref().map_or(1, Ledger::largest_alignment)
    }

    /// The number of bytes that were freed but cannot be reused yet: they are in quarantine, or
    /// wait for points. O(1).
    pub fn pending_bytes(&self) -> u64 {
        self.ledger.as_ref().map_or(0, Ledger::pending_bytes)
    }

    /// The number of bytes of address space that the bookkeeping takes outside the pool.
    pub fn metadata_bytes(&self) -> usize {
        size_of::<Self>() + self.ledger.as_ref().map_or(0, Ledger::metadata_bytes)
    }
}
