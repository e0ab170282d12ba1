//! What a pool counts.
#![forbid(unsafe_code)]

/// What a pool has done so far. Bytes are the bytes asked for, not what they were rounded up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Allocations granted.
    pub allocations: u64,
    /// Allocations given up: freed at once, in quarantine, or waiting for points.
    pub deallocations: u64,
    /// Bytes of all allocations granted.
    pub bytes_allocated: u64,
    /// Bytes of all allocations given up.
    pub bytes_deallocated: u64,
    /// Bytes of the allocations that live.
    pub current_allocated_bytes: u64,
    /// Allocations that live.
    pub current_allocations: u64,
    /// The most bytes that lived at a time.
    pub peak_allocated_bytes: u64,
    /// The most allocations that lived at a time.
    pub peak_allocations: u64,
    /// Damage found so far: overruns and writes after free. Only checked pools look.
    pub corruptions: u64,
}

/// The free memory of a pool, and in what pieces it is. Bytes are what allocations are rounded up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Fragmentation {
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Pieces they lie in; no two are neighbours.
    pub free_ranges: u64,
    /// Bytes of the largest piece.
    pub largest_free: u64,
    /// Bytes given up that are not free yet: in quarantine, or waiting for points.
    pub pending_bytes: u64,
}

impl Fragmentation {
    /// The share of free memory that is not in the largest piece: 0 for one piece or none, near 1 for
    /// dust.
    pub fn ratio(&self) -> f64 {
        if self.free_bytes == 0 {
            return 0.0;
        }
        1.0 - self.largest_free as f64 / self.free_bytes as f64
    }
}

/// The running counts. How many live, and did at most, is counted elsewhere; what derives from the others is computed
/// when asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    bytes_allocated: u64,
    bytes_deallocated: u64,
    peak_bytes: u64,
    deallocations: u64,
    pub(super) corruptions: u64,
}

impl Counts {
    fn bytes(&self) -> u64 {
        self.bytes_allocated - self.bytes_deallocated
    }

    /// An allocation has been granted.
    #[inline]
    pub(super) fn allocated(&mut self, size: u64) {
        self.bytes_allocated += size;
        // Seldom, but for the first ones: nothing is written where there is no new peak.
        if self.bytes() > self.peak_bytes {
            self.peak_bytes = self.bytes();
        }
    }

    #[inline]
    pub(super) fn deallocated(&mut self, size: u64) {
        self.deallocations += 1;
        self.bytes_deallocated += size;
    }

    pub(super) fn statistics(&self, live: u64, most: u64) -> PoolStatistics {
        PoolStatistics {
            allocations: self.deallocations + live,
            deallocations: self.deallocations,
            bytes_allocated: self.bytes_allocated,
            bytes_deallocated: self.bytes_deallocated,
            current_allocated_bytes: self.bytes(),
            current_allocations: live,
            peak_allocated_bytes: self.peak_bytes,
            peak_allocations: most,
            corruptions: self.corruptions,
        }
    }
}
