//! The counts of a pool.
#![forbid(unsafe_code)]

/// What a pool has done so far. Bytes are the requested bytes, before rounding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStatistics {
    /// Allocations granted.
    pub allocations: u64,
    /// Allocations that were deallocated: freed, in quarantine, or waiting for points.
    pub deallocations: u64,
    /// Bytes of all allocations granted.
    pub bytes_allocated: u64,
    /// Bytes of all allocations that were deallocated.
    pub bytes_deallocated: u64,
    /// Bytes of the live allocations.
    pub current_allocated_bytes: u64,
    /// The number of live allocations.
    pub current_allocations: u64,
    /// The most bytes that were live at a time.
    pub peak_allocated_bytes: u64,
    /// The most allocations that were live at a time.
    pub peak_allocations: u64,
    /// Damage found so far: overruns and writes after free. Only checked pools look for it.
    pub corruptions: u64,
}

/// The free memory of a pool, and how many pieces it consists of. Bytes are after rounding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Fragmentation {
    /// Bytes that are free.
    pub free_bytes: u64,
    /// The number of free pieces. No two of them are adjacent.
    pub free_ranges: u64,
    /// Bytes of the largest piece.
    pub largest_free: u64,
    /// Bytes that were freed but cannot be reused yet: they are in quarantine, or wait for points.
    pub pending_bytes: u64,
}

impl Fragmentation {
    /// The share of free memory that is not in the largest piece: 0 if there is at most one piece,
    /// and near 1 if there are many small ones.
    pub fn ratio(&self) -> f64 {
        if self.free_bytes == 0 {
            return 0.0;
        }
        1.0 - self.largest_free as f64 / self.free_bytes as f64
    }
}

/// The running counts. The live count and its peak are counted elsewhere, and derived figures are
/// computed on request.
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
        // Rare, except at first: nothing is written unless there is a new peak.
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
