//! Numbers that are written under a lock and read without it.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that is written only by the holder of the lock to which it belongs, and that any thread
/// may read. A read returns some value that it had. Two numbers that are read one after the other
/// may be inconsistent while a thread writes.
#[derive(Debug, Default)]
pub(crate) struct Published(AtomicU64);

impl Published {
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Only under the lock.
    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Only under the lock, so no other thread writes between the read and the write.
    #[inline(always)]
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get() + more);
    }

    /// Sets bits, under the same condition as [`add`](Self::add).
    #[inline(always)]
    pub(crate) fn mark(&self, bits: u64) {
        self.set(self.get() | bits);
    }

    /// Clears bits, under the same condition as [`add`](Self::add).
    #[inline(always)]
    pub(crate) fn clear(&self, bits: u64) {
        self.set(self.get() & !bits);
    }

    /// Subtracts, under the same condition as [`add`](Self::add).
    #[inline(always)]
    pub(crate) fn subtract(&self, less: u64) {
        debug_assert!(self.get() >= less, "a count falls below nothing");
        self.set(self.get() - less);
    }
}
