//! What a pool returns, and how it classifies a pointer.
#![forbid(unsafe_code)]

use core::ptr::NonNull;

use crate::tlsf::Key;

/// A pointer with the serial of its allocation. A stale one is always refused.
///
/// The serial distinguishes what a bare pointer cannot: two allocations at the same address.
/// Serials repeat after 2³² allocations.
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

/// The classification of a bare pointer by a pool, returned by
/// [`MemoryPool::lookup`](super::MemoryPool::lookup).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Lookup {
    /// The null pointer.
    Null,
    /// Not of this pool.
    Foreign,
    /// The exact start of a live allocation.
    Start {
        /// The requested size in bytes.
        size: u64,
        /// Whether a [`Pooled`](super::Pooled) owns it.
        by_handle: bool,
    },
    /// Inside a live allocation, or in the bytes by which its size was rounded up.
    Inside {
        /// The start of the allocation.
        start: usize,
        /// The requested size in bytes.
        size: u64,
    },
    /// In no live allocation, but an allocation once started here.
    Freed,
    /// No allocation ever started here.
    Untracked,
}
