//! Numbers that are written under a lock and read without it.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread at a time writes, whoever holds the lock it belongs to, and that anyone
/// reads. A read sees some value that it had; two numbers that are read one after the other need not fit
/// each other while a thread writes.
#[derive(Debug, Default)]
pub(crate) struct Published(AtomicU64);

impl Published {
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Under the lock only.
    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Under the lock only: no other thread writes between the read and the write.
    #[inline(always)]
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get() + more);
    }

    /// Sets bits, as [`add`](Self::add) adds.
    #[inline(always)]
    pub(crate) fn mark(&self, bits: u64) {
        self.set(self.get() | bits);
    }

    /// Takes bits off, as [`add`](Self::add) adds.
    #[inline(always)]
    pub(crate) fn clear(&self, bits: u64) {
        self.set(self.get() & !bits);
    }

    /// As [`add`](Self::add).
    #[inline(always)]
    pub(crate) fn subtract(&self, less: u64) {
        debug_assert!(self.get() >= less, "a count falls below nothing");
        self.set(self.get() - less);
    }
}
