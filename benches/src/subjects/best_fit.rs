//! Exact best fit over ordered maps, the reference for packing. It takes the smallest hole that can
//! hold the request and, of equal ones, the lowest.

use std::collections::{BTreeMap, BTreeSet};

use crate::subject::{Placed, Subject, granule};

/// The naive allocator.
pub struct BestFit {
    /// Holes by size, then offset.
    by_size: BTreeSet<(u64, u64)>,
    /// Size of the hole at an offset.
    by_offset: BTreeMap<u64, u64>,
    granule: u64,
}

impl BestFit {
    fn insert(&mut self, offset: u64, size: u64) {
        if size != 0 {
            self.by_size.insert((size, offset));
            self.by_offset.insert(offset, size);
        }
    }

    fn remove(&mut self, offset: u64, size: u64) {
        self.by_size.remove(&(size, offset));
        self.by_offset.remove(&offset);
    }
}

impl Subject for BestFit {
    const NAME: &'static str = "exact best fit";
    const REFERENCE: bool = true;
    const LARGEST_LIVE: usize = 50_000;
    /// Offset and size.
    type Handle = (u64, u64);

    fn new(bytes: u64, _live: usize) -> Option<Self> {
        let (by_size, by_offset) = Default::default();
        let mut arena = Self { by_size, by_offset, granule: granule(bytes) };
        arena.insert(0, bytes);
        Some(arena)
    }

    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<(u64, u64)>> {
        let size = size.next_multiple_of(self.granule);
        let mut holes = self.by_size.range((size, 0)..);
        let (hole_size, hole, offset) = holes.find_map(|&(hole_size, hole)| {
            let offset = hole.next_multiple_of(alignment);
            (offset + size <= hole + hole_size).then_some((hole_size, hole, offset))
        })?;
        self.remove(hole, hole_size);
        self.insert(hole, offset - hole);
        self.insert(offset + size, hole + hole_size - (offset + size));
        Some(Placed { handle: (offset, size), offset })
    }

    fn free(&mut self, (mut offset, mut size): (u64, u64)) {
        if let Some(&after) = self.by_offset.get(&(offset + size)) {
            self.remove(offset + size, after);
            size += after;
        }
        let before = self.by_offset.range(..offset).next_back();
        if let Some((&start, &before)) = before.filter(|&(&start, &size)| start + size == offset) {
            self.remove(start, before);
            offset = start;
            size += before;
        }
        self.insert(offset, size);
    }
}
