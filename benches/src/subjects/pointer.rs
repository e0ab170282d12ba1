//! Allocators that return pointers: this crate's `MemoryPool`, and the host's `malloc`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;

use fencepost::{MemoryPool, PoolDesc};

use crate::subject::{Placed, Subject, granule};

/// `MemoryPool` over the host heap, freed by bare pointers.
pub struct Pool {
    pool: MemoryPool,
    /// The address of its memory. Offsets are needed only for the checks, and cost nothing
    /// elsewhere.
    base: usize,
}

/// Larger arenas are left out, as for `rlsf`.
const LARGEST: u64 = 16 << 30;

impl Subject for Pool {
    const NAME: &'static str = "fencepost, pool";
    // It has a niche, like the key of the core, so an empty slot needs no additional word.
    type Handle = NonNull<u8>;

    fn new(bytes: u64, _live: usize) -> Option<Self> {
        if bytes > LARGEST {
            return None;
        }
        let desc = PoolDesc::new().granule(granule(bytes));
        let mut pool = MemoryPool::owned(usize::try_from(bytes).ok()?, &desc).ok()?;
        let first = pool.allocate(1).ok()?;
        let base = first.addr() - usize::try_from(pool.offset_of(first)?).ok()?;
        pool.deallocate(first).ok()?;
        Some(Self { pool, base })
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<NonNull<u8>>> {
        let layout = Layout::from_size_align(size as usize, alignment as usize).ok()?;
        let handle = NonNull::new(self.pool.allocate_layout(layout).ok()?)?;
        Some(Placed { handle, offset: (handle.addr().get() - self.base) as u64 })
    }

    #[inline]
    fn free(&mut self, pointer: NonNull<u8>) {
        self.pool.deallocate(pointer.as_ptr()).expect("a live pointer");
    }
}

/// The host's `malloc`. It has no arena, so it is in no table that needs one; see the binary
/// `pointer`.
pub struct Malloc;

impl Subject for Malloc {
    const NAME: &'static str = "malloc";
    const COUNTABLE: bool = false;
    type Handle = (*mut u8, Layout);

    fn new(_bytes: u64, _live: usize) -> Option<Self> {
        Some(Self)
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<Self::Handle>> {
        let layout = Layout::from_size_align(size as usize, alignment as usize).ok()?;
        // SAFETY: no stream asks for 0 bytes.
        let pointer = unsafe { System.alloc(layout) };
        (!pointer.is_null()).then_some(Placed { handle: (pointer, layout), offset: 0 })
    }

    #[inline]
    fn free(&mut self, (pointer, layout): Self::Handle) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { System.dealloc(pointer, layout) }
    }
}
