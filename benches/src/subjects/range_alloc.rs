//! `range-alloc`: a sorted list of free ranges, walked for the best fit.

use std::ops::Range;

use range_alloc::RangeAllocator;

use crate::subject::{Placed, Subject, granule};

/// `range_alloc::RangeAllocator`.
pub struct RangeAlloc {
    allocator: RangeAllocator<u64>,
    granule: u64,
}

impl Subject for RangeAlloc {
    const NAME: &'static str = "range-alloc";
    const REFERENCE: bool = true;
    const LARGEST_LIVE: usize = 2_000;
    type Handle = Range<u64>;

    fn new(bytes: u64, _live: usize) -> Option<Self> {
        Some(Self { allocator: RangeAllocator::new(0..bytes), granule: granule(bytes) })
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<Range<u64>>> {
        let size = size.next_multiple_of(self.granule);
        let range = self.allocator.allocate_range_aligned(size, alignment).ok()?;
        Some(Placed { offset: range.start, handle: range })
    }

    #[inline]
    fn free(&mut self, range: Range<u64>) {
        self.allocator.free_range(range);
    }
}
