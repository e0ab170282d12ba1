//! What allocates by pointer: this crate's `MemoryPool`, and the host's `malloc`.

use std::alloc::{GlobalAlloc, Layout, System};

use fencepost::{MemoryPool, PoolDesc};

use crate::subject::{Placed, Subject, granule};

/// `MemoryPool` over the host heap, freed by bare pointers.
pub struct Pool(MemoryPool);

/// Larger arenas are left out, as for `rlsf`.
const LARGEST: u64 = 16 << 30;

impl Subject for Pool {
    const NAME: &'static str = "fencepost, pool";
    type Handle = *mut u8;

    fn new(bytes: u64, _live: usize) -> Option<Self> {
        if bytes > LARGEST {
            return None;
        }
        let desc = PoolDesc::new().granule(granule(bytes));
        MemoryPool::owned(usize::try_from(bytes).ok()?, &desc).ok().map(Self)
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<*mut u8>> {
        let layout = Layout::from_size_align(size as usize, alignment as usize).ok()?;
        let pointer = self.0.allocate_layout(layout).ok()?;
        Some(Placed { handle: pointer, offset: self.0.offset_of(pointer)? })
    }

    #[inline]
    fn free(&mut self, pointer: *mut u8) {
        self.0.deallocate(pointer).expect("a live pointer");
    }
}

/// The host's `malloc`. It has no arena, so it is in no table of arenas: see the binary `pointer`.
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
