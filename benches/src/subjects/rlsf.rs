//! `rlsf`: TLSF whose records are *in* the arena, in front of each allocation. So its arena is real
//! memory, which device memory could not be. Its records count in the footprint, and it has none
//! outside.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;

use crate::subject::{Placed, Subject};

/// `rlsf::Tlsf` over an arena in host memory.
pub struct Rlsf {
    tlsf: rlsf::Tlsf<'static, u32, u32, 32, 32>,
    arena: NonNull<u8>,
    layout: Layout,
}

/// The arena begins at a multiple of this, the largest alignment of any workload.
const BASE: usize = 2 << 20;

/// Larger arenas are not supported: their touched pages would not fit into a usual host.
const LARGEST: u64 = 16 << 30;

impl Subject for Rlsf {
    const NAME: &'static str = "rlsf (in-band)";
    const LARGEST_LIVE: usize = 200_000;
    const COUNTABLE: bool = false;
    type Handle = (NonNull<u8>, u32);

    fn new(bytes: u64, _live: usize) -> Option<Self> {
        if bytes > LARGEST {
            return None;
        }
        let layout = Layout::from_size_align(bytes as usize, BASE).ok()?;
        // The arena is not a cost of the allocator, so it is not counted. SAFETY: the layout is not
        // empty.
        let arena = NonNull::new(unsafe { System.alloc(layout) })?;
        let mut tlsf = rlsf::Tlsf::new();
        let memory = NonNull::slice_from_raw_parts(arena, layout.size());
        // SAFETY: the memory is this arena's alone until it is dropped.
        unsafe { tlsf.insert_free_block_ptr(memory) }?;
        Some(Self { tlsf, arena, layout })
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<Self::Handle>> {
        let layout = Layout::from_size_align(size as usize, alignment as usize).ok()?;
        let pointer = self.tlsf.allocate(layout)?;
        let offset = pointer.addr().get() - self.arena.addr().get();
        let handle = (pointer, alignment as u32);
        Some(Placed { handle, offset: offset as u64 })
    }

    #[inline]
    fn free(&mut self, (pointer, alignment): Self::Handle) {
        // SAFETY: the allocation is of this arena with this alignment, and it is freed once.
        unsafe { self.tlsf.deallocate(pointer, alignment as usize) }
    }
}

impl Drop for Rlsf {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout, and the allocator over it is used no more.
        unsafe { System.dealloc(self.arena.as_ptr(), self.layout) }
    }
}
