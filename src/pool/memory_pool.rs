//! The pool itself: pointers in, pointers out.
#![forbid(unsafe_code)]

use alloc::{collections::VecDeque, vec::Vec};
use core::{alloc::Layout, ptr::NonNull};

use super::{
    backing::Backing,
    desc::{PoolDesc, PoolLayout},
    error::{AllocateError, Broken, CheckError, DeallocateError, PoolError},
    ledger::{Found, Ledger, Live, Request},
    statistics::{Counts, Fragmentation, PoolStatistics},
};
use crate::{
    retire::{Bags, Point, Reached},
    tlsf::{Key, State},
};

/// Bytes behind each allocation of a checked pool, at least.
const GUARD: u32 = 16;

/// A pool of memory: [module documentation](super).
///
/// `Send`: it may move to another thread. [`SharedPool`](super::SharedPool) serves many at a time.
///
/// Dropping it gives the memory back, live allocations or not; their pointers dangle then.
#[derive(Debug)]
pub struct MemoryPool {
    /// `None` if the host had no memory for the pool: it has no bytes then.
    ledger: Option<Ledger>,
    backing: Backing,
    counts: Counts,
    checked: bool,
    /// Bytes of the memory before the first granule.
    skip: u64,
    /// The bus address of the first byte.
    bus_base: Option<u64>,
    /// Freed, kept from being handed out: oldest first.
    quarantine: VecDeque<Key>,
    quarantine_limit: u64,
    quarantine_bytes: u64,
    /// Given up, waiting for points.
    waiting: Bags<Key>,
    /// Room for what a collect takes, kept for the next.
    reached: Vec<Key>,
}

/// A pointer with the serial of its allocation: a stale one is always refused.
///
/// The serial tells apart what a bare pointer cannot: two allocations at the same address. Serials
/// repeat after 2³² allocations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tracked {
    pub(super) pointer: NonNull<u8>,
    pub(super) key: Key,
}

impl Tracked {
    /// The pointer.
    pub fn as_ptr(self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    /// The running number of the allocation in its pool.
    pub fn serial(self) -> u32 {
        self.key.serial()
    }
}

/// What a bare pointer is to a pool; made by [`MemoryPool::lookup`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Lookup {
    /// The null pointer.
    Null,
    /// Not of this pool.
    Foreign,
    /// The exact start of a live allocation.
    Start {
        /// Its size in bytes, as asked for.
        size: u64,
        /// Whether a [`Pooled`](super::Pooled) owns it.
        by_handle: bool,
    },
    /// Inside a live allocation, or in what its size was rounded up by.
    Inside {
        /// Where the allocation begins.
        start: usize,
        /// Its size in bytes, as asked for.
        size: u64,
    },
    /// In no live allocation, and one once began here.
    Freed,
    /// None ever began here.
    Untracked,
}

impl MemoryPool {
    /// A pool of `bytes` from the host heap, not initialised. O(1).
    ///
    /// It never fails: a pool for which the host has no memory holds 0 bytes and says
    /// [`OutOfHostMemory`](AllocateError::OutOfHostMemory) to every request.
    /// [`owned`](Self::owned) tells at once.
    pub fn new(bytes: usize) -> Self {
        Self::owned(bytes, &PoolDesc::new()).unwrap_or_else(|_| Self {
            ledger: None,
            backing: Backing::empty(),
            ..Self::bare(&PoolDesc::new())
        })
    }

    /// A pool of `bytes` from the host heap, as described. O(1); checked: O(bytes).
    ///
    /// # Errors
    /// The description contradicts itself, nothing is left of the memory, or the host has none.
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
            checked: desc.checked,
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
        let ledger = Ledger::new(&layout)?;
        // Both are parts of a `usize`.
        backing.narrow(skip as usize, size as usize);
        if desc.checked {
            backing.paint(0, size as usize);
        }
        let bus_base = desc.bus_base.map(|address| address + skip);
        Ok(Self { ledger: Some(ledger), backing, skip, bus_base, ..Self::bare(desc) })
    }

    /// Gives out `size` bytes at a multiple of the pool's granule, 16 bytes if nothing else was asked
    /// for. The bytes are not initialised. O(1).
    ///
    /// # Errors
    /// Size 0, a size above the pool's or the boundary, no room; nothing has changed then.
    #[inline]
    pub fn allocate(&mut self, size: usize) -> Result<*mut u8, AllocateError> {
        Ok(self.grant(size as u64, 1, false)?.pointer.as_ptr())
    }

    /// Gives out memory for a layout. O(1).
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate); an alignment above 2 MiB, or above what pointers and bus
    /// addresses agree on.
    #[inline]
    pub fn allocate_layout(&mut self, layout: Layout) -> Result<*mut u8, AllocateError> {
        Ok(self.grant(layout.size() as u64, layout.align() as u64, false)?.pointer.as_ptr())
    }

    /// As [`allocate_layout`](Self::allocate_layout), with a serial beside the pointer: freed with
    /// [`deallocate_tracked`](Self::deallocate_tracked), it is never taken for another allocation.
    ///
    /// Cost: as there.
    ///
    /// # Errors
    /// As `allocate_layout`.
    pub fn allocate_tracked(&mut self, layout: Layout) -> Result<Tracked, AllocateError> {
        self.grant(layout.size() as u64, layout.align() as u64, false)
    }

    /// Gives a range out, and keeps count.
    #[inline]
    pub(super) fn grant(
        &mut self,
        size: u64,
        alignment: u64,
        by_handle: bool,
    ) -> Result<Tracked, AllocateError> {
        let margin = if self.checked { GUARD } else { 0 };
        let request = Request { size, alignment, margin, by_handle };
        let ledger = self.ledger.as_mut().ok_or(AllocateError::OutOfHostMemory)?;
        let live = match ledger.allocate(request) {
            Err(AllocateError::Full { .. }) if !self.quarantine.is_empty() => {
                self.end_quarantine();
                self.ledger.as_mut().ok_or(AllocateError::OutOfHostMemory)?.allocate(request)?
            }
            live => live?,
        };
        if self.checked {
            self.expect_painted(&live)?;
        }
        self.counts.allocated(size);
        Ok(Tracked { pointer: self.backing.pointer(live.offset as usize), key: live.key })
    }

    /// Gives up what a pointer points to. Null is fine. O(1).
    ///
    /// The memory is free at once, or after the [quarantine](PoolDesc::quarantine).
    ///
    /// # Errors
    /// The pointer is not the start of a live allocation ([module](super#what-a-bare-pointer-tells)), or
    /// its guard was overwritten. Nothing has changed then.
    #[inline]
    pub fn deallocate(&mut self, pointer: *mut u8) -> Result<(), DeallocateError> {
        if pointer.is_null() {
            return Ok(());
        }
        let live = self.live(pointer)?;
        self.end(&live, &[])
    }

    /// As [`deallocate`](Self::deallocate), but the memory is free only when all points are reached,
    /// and [`collect`](Self::collect) has been told: for memory that a device still uses. No points
    /// mean at once. O(log waiting).
    ///
    /// A point that is foreign to whoever tells what is reached never is.
    ///
    /// # Errors
    /// As `deallocate`.
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

    /// Gives up a tracked allocation, which must be the very one. O(1).
    ///
    /// # Errors
    /// `DoubleFree` if it is gone, whoever lives there now; else as [`deallocate`](Self::deallocate).
    pub fn deallocate_tracked(&mut self, tracked: Tracked) -> Result<(), DeallocateError> {
        let live = self.tracked(tracked)?;
        if live.by_handle {
            return Err(DeallocateError::OwnedByHandle { address: tracked.pointer.addr().get() });
        }
        self.end(&live, &[])
    }

    /// Gives up what a handle owned.
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

    /// The live allocation that begins at a pointer, if no handle owns it.
    #[inline]
    fn live(&self, pointer: *mut u8) -> Result<Live, DeallocateError> {
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

    /// What a bare pointer is to this pool. O(1), and changes nothing.
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

    /// Ends a live allocation.
    #[inline]
    fn end(&mut self, live: &Live, points: &[Point]) -> Result<(), DeallocateError> {
        if self.checked {
            self.expect_guard(live)?;
        }
        let Some(ledger) = self.ledger.as_mut() else { return Ok(()) };
        self.counts.deallocated(live.size);
        if !points.is_empty() {
            ledger.retire(live);
            self.waiting.file_at(points, live.key);
        } else if self.quarantine_limit != 0 {
            ledger.retire(live);
            self.enter_quarantine(live.key);
        } else {
            ledger.free(live);
            if self.checked {
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
                self.reach(key, self.checked);
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
        if self.checked {
            self.backing.paint(range.offset as usize, range.size as usize);
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
    fn end_quarantine(&mut self) {
        while let Some(oldest) = self.quarantine.pop_front() {
            self.quarantine_bytes -= self.reach(oldest, false);
        }
    }

    /// A new allocation must find the poison as it was left; else it is undone.
    #[cold]
    fn expect_painted(&mut self, live: &Live) -> Result<(), AllocateError> {
        let (offset, size) = (live.offset as usize, live.reserved as usize);
        let Some(changed) = self.backing.first_changed(offset, size) else { return Ok(()) };
        self.backing.paint(offset, size);
        self.counts.corruptions += 1;
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.free(live);
        }
        let base = self.backing.address();
        Err(AllocateError::WriteAfterFree { address: base + changed, start: base + offset })
    }

    /// The guard of a live allocation, in bytes from the beginning of the pool.
    fn guard(live: &Live) -> (usize, usize) {
        ((live.offset + live.size) as usize, (live.reserved - live.size) as usize)
    }

    /// An allocation that ends must have left its guard alone.
    #[cold]
    fn expect_guard(&mut self, live: &Live) -> Result<(), DeallocateError> {
        let (guard, length) = Self::guard(live);
        let Some(changed) = self.backing.first_changed(guard, length) else { return Ok(()) };
        self.backing.paint(guard, length);
        self.counts.corruptions += 1;
        let base = self.backing.address();
        let (address, start) = (base + changed, base + live.offset as usize);
        Err(DeallocateError::Corrupted { address, start, size: live.size })
    }

    /// Checks the books, and in a [checked](PoolDesc::checked) pool every guard and all free memory.
    /// O(granules + bytes looked at); changes nothing.
    ///
    /// What waits for points is not looked at: a device may write there.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), CheckError> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let PoolStatistics { current_allocated_bytes, current_allocations, .. } = self.stats();
        ledger.check(current_allocated_bytes, current_allocations)?;
        let ranges = self.quarantine.iter().map(|&key| ledger.pending(key).size);
        if ranges.sum::<u64>() != self.quarantine_bytes {
            return Err(Broken::Count.into());
        }
        if self.checked { self.check_memory(ledger) } else { Ok(()) }
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

    /// What has been done so far. O(1).
    pub fn stats(&self) -> PoolStatistics {
        self.counts.statistics()
    }

    /// The free memory, and in what pieces it is. It walks the largest pieces: meant for reports.
    pub fn fragmentation(&self) -> Fragmentation {
        self.ledger.as_ref().map_or_else(Fragmentation::default, Ledger::fragmentation)
    }

    /// The size that was asked for, of the live allocation that begins at a pointer. O(1).
    pub fn size_of(&self, pointer: *const u8) -> Option<u64> {
        match self.lookup(pointer) {
            Lookup::Start { size, .. } => Some(size),
            _ => None,
        }
    }

    /// Where the device sees a byte of this pool. `None` if the pointer is not of this pool, or the
    /// pool was not told its [`bus_base`](PoolDesc::bus_base). O(1).
    #[inline]
    pub fn dma_address(&self, pointer: *const u8) -> Option<u64> {
        Some(self.bus_base? + self.offset_of(pointer)?)
    }

    /// How far into the pool a pointer points; `None` if it is not of this pool. O(1).
    #[inline]
    pub fn offset_of(&self, pointer: *const u8) -> Option<u64> {
        self.backing.offset_of(pointer).map(|offset| offset as u64)
    }

    /// Bytes of the memory before the first granule: 0 unless it begins between two. Offsets count from
    /// behind them.
    pub fn skipped(&self) -> u64 {
        self.skip
    }

    /// Bytes that can be live at a time.
    pub fn capacity(&self) -> u64 {
        self.ledger.as_ref().map_or(0, Ledger::size)
    }

    /// What addresses and sizes are rounded to, in bytes.
    pub fn granule(&self) -> u64 {
        self.ledger.as_ref().map_or(1, Ledger::granule)
    }

    /// The largest alignment that can be asked for, in bytes.
    pub fn largest_alignment(&self) -> u64 {
        self.ledger.as_ref().map_or(1, Ledger::largest_alignment)
    }

    /// Bytes given up that are not free yet: in quarantine, or waiting for points. O(1).
    pub fn pending_bytes(&self) -> u64 {
        self.ledger.as_ref().map_or(0, Ledger::pending_bytes)
    }

    /// Bytes of address space that the books take, outside of the pool.
    pub fn metadata_bytes(&self) -> usize {
        size_of::<Self>() + self.ledger.as_ref().map_or(0, Ledger::metadata_bytes)
    }
}
