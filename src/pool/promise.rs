//! The functions that rely on a guarantee by the caller.

use alloc::boxed::Box;
use core::ptr::NonNull;

use super::{backing::Backing, desc::PoolDesc, error::PoolError, memory_pool::MemoryPool};

impl MemoryPool {
    /// Creates a pool over your memory. `keep` keeps this memory alive, and is dropped after the
    /// last access: it may be the owner of the mapping, an [`Arc`](alloc::sync::Arc) of it, or `()`
    /// for memory that is never freed.
    ///
    /// Pointers are derived from `region`, so they may be used for everything that `region` may be
    /// used for. The pool itself accesses the memory only if it is [checked](PoolDesc::checked).
    ///
    /// ```
    /// use core::ptr::NonNull;
    /// use fencepost::{MemoryPool, PoolDesc};
    ///
    /// let mut pages = vec![0_u8; 1 << 16];
    /// let region = NonNull::from(&mut pages[..]);
    /// let mut pool = unsafe { MemoryPool::from_region(region, &PoolDesc::new(), pages)? };
    /// let line = pool.allocate(64)?;
    /// assert_eq!(pool.size_of(line), Some(64));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`owned`](Self::owned). `keep` is dropped then.
    ///
    /// # Safety
    /// As long as `keep` exists, the region is valid for reads and writes on any thread. Nobody
    /// accesses it except through pointers that this pool has returned; devices access only what
    /// you let them.
    pub unsafe fn from_region(
        region: NonNull<[u8]>,
        desc: &PoolDesc,
        keep: impl Send + 'static,
    ) -> Result<Self, PoolError> {
        // SAFETY: guaranteed by the caller.
        let backing = unsafe { Backing::region(region, Box::new(keep)) };
        Self::over(backing, desc)
    }

    /// Frees everything that waits for points, whether they are reached or not. Returns how many
    /// allocations were freed. O(freed).
    ///
    /// # Safety
    /// No device will access this memory any more.
    pub unsafe fn assume_idle(&mut self) -> usize {
        self.finish_all()
    }
}
