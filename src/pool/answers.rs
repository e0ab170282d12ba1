//! What a pool hands out, and what it answers of a pointer.
#![forbid(unsafe_code)]

use core::ptr::NonNull;

use crate::tlsf::Key;

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

/// What a bare pointer is to a pool; made by [`MemoryPool::lookup`](super::MemoryPool::lookup).
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
