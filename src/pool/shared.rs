//! A pool for many threads.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{
    answers::{Lookup, Tracked},
    error::{AllocateError, CheckError, DeallocateError},
    memory_pool::MemoryPool,
    statistics::{Fragmentation, PoolStatistics},
};
use crate::{
    ground::sync,
    retire::{Point, Reached},
};

/// A [`MemoryPool`] behind a lock: `Clone`, `Send`, `Sync`. All clones are the same pool, which
/// ends with the last clone and the last [`Pooled`](super::Pooled).
///
/// The lock is held only for the pool's own work, never while your code runs.
///
/// ```
/// use fencepost::{MemoryPool, SharedPool};
///
/// let pool = SharedPool::from(MemoryPool::new(1 << 20));
/// std::thread::scope(|threads| {
///     for number in 0..4_u64 {
///         let pool = pool.clone();
///         threads.spawn(move || {
///             let boxed = pool.insert(number).unwrap();
///             assert_eq!(*boxed, number);
///         });
///     }
/// });
/// assert_eq!(pool.stats().current_allocations, 0);
/// ```
#[derive(Clone, Debug)]
pub struct SharedPool {
    pool: Arc<Mutex<MemoryPool>>,
}

impl From<MemoryPool> for SharedPool {
    fn from(pool: MemoryPool) -> Self {
        Self { pool: Arc::new(Mutex::new(pool)) }
    }
}

impl SharedPool {
    pub(super) fn lock(&self) -> MutexGuard<'_, MemoryPool> {
        sync::lock(&self.pool)
    }

    /// Returns the pool for exclusive use by this thread.
    ///
    /// # Errors
    /// Another clone or a handle exists. The error contains this clone.
    pub fn try_into_inner(self) -> Result<MemoryPool, Self> {
        let pool = Arc::try_unwrap(self.pool).map_err(|pool| Self { pool })?;
        Ok(pool.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// See [`MemoryPool::allocate`].
    ///
    /// Cost: the same, under the lock. This holds for all functions below.
    ///
    /// # Errors
    /// The same.
    pub fn allocate(&self, size: usize) -> Result<*mut u8, AllocateError> {
        self.lock().allocate(size)
    }

    /// See [`MemoryPool::allocate_layout`].
    ///
    /// # Errors
    /// The same.
    pub fn allocate_layout(&self, layout: Layout) -> Result<*mut u8, AllocateError> {
        self.lock().allocate_layout(layout)
    }

    /// See [`MemoryPool::allocate_tracked`].
    ///
    /// # Errors
    /// The same.
    pub fn allocate_tracked(&self, layout: Layout) -> Result<Tracked, AllocateError> {
        self.lock().allocate_tracked(layout)
    }

    /// See [`MemoryPool::deallocate`]. An allocation that a handle owns is refused.
    ///
    /// # Errors
    /// The same.
    pub fn deallocate(&self, pointer: *mut u8) -> Result<(), DeallocateError> {
        self.lock().deallocate(pointer)
    }

    /// See [`MemoryPool::deallocate_at`]. An allocation that a handle owns is refused.
    ///
    /// # Errors
    /// The same.
    pub fn deallocate_at(&self, pointer: *mut u8, points: &[Point]) -> Result<(), DeallocateError> {
        self.lock().deallocate_at(pointer, points)
    }

    /// See [`MemoryPool::deallocate_tracked`]. An allocation that a handle owns is refused.
    ///
    /// # Errors
    /// The same.
    pub fn deallocate_tracked(&self, tracked: Tracked) -> Result<(), DeallocateError> {
        self.lock().deallocate_tracked(tracked)
    }

    /// See [`MemoryPool::collect`].
    pub fn collect(&self, reached: &Reached) -> usize {
        self.lock().collect(reached)
    }

    /// See [`MemoryPool::lookup`]. Another thread may have changed the answer already.
    pub fn lookup(&self, pointer: *const u8) -> Lookup {
        self.lock().lookup(pointer)
    }

    /// See [`MemoryPool::dma_address`].
    pub fn dma_address(&self, pointer: *const u8) -> Option<u64> {
        self.lock().dma_address(pointer)
    }

    /// See [`MemoryPool::offset_of`].
    pub fn offset_of(&self, pointer: *const u8) -> Option<u64> {
        self.lock().offset_of(pointer)
    }

    /// See [`MemoryPool::stats`].
    pub fn stats(&self) -> PoolStatistics {
        self.lock().stats()
    }

    /// See [`MemoryPool::fragmentation`].
    pub fn fragmentation(&self) -> Fragmentation {
        self.lock().fragmentation()
    }

    /// See [`MemoryPool::check`].
    ///
    /// # Errors
    /// The same.
    pub fn check(&self) -> Result<(), CheckError> {
        self.lock().check()
    }
}
