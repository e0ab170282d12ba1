//! `offset-allocator`: bins by a small float. It has no alignment parameter, so the padding is part
//! of the request.

use offset_allocator::{Allocation, Allocator};

use crate::subject::{Placed, Subject, granule};

/// `offset_allocator::Allocator`, logging compiled out.
pub struct OffsetAllocator {
    allocator: Allocator<u32>,
    shift: u32,
}

impl Subject for OffsetAllocator {
    const NAME: &'static str = "offset-allocator";
    type Handle = Allocation<u32>;

    fn new(bytes: u64, live: usize) -> Option<Self> {
        let shift = granule(bytes).trailing_zeros();
        // A node for each allocation, and for a hole beside each.
        let nodes = 2 * live as u32 + 16;
        Some(Self { allocator: Allocator::with_max_allocs((bytes >> shift) as u32, nodes), shift })
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<Allocation<u32>>> {
        let size = ((size - 1) >> self.shift) as u32 + 1;
        let mask = ((alignment - 1) >> self.shift) as u32;
        let handle = self.allocator.allocate(size + mask)?;
        let offset = (handle.offset + mask) & !mask;
        Some(Placed { handle, offset: u64::from(offset) << self.shift })
    }

    #[inline]
    fn free(&mut self, handle: Allocation<u32>) {
        self.allocator.free(handle);
    }
}
