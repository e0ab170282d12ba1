//! The doors that need the caller's word.

use alloc::boxed::Box;
use core::ptr::NonNull;

use super::{backing::Backing, desc::PoolDesc, error::PoolError, memory_pool::MemoryPool};

impl MemoryPool {
    /// A pool over memory of yours, kept alive by `keep`, which is dropped after the last access: the
    /// owner of the mapping, an [`Arc`](alloc::sync::Arc) of it, or `()` for memory that never goes.
    ///
    /// Pointers are derived from the one given here, so they may be used for all that it may be used
    /// for. The pool itself touches the memory only if it is [checked](PoolDesc::checked).
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
    /// As [`owned`](Self::owned); `keep` is dropped then.
    ///
    /// # Safety
    /// As long as `keep` lives, the region is valid for reads and writes on any thread, and nobody
    /// accesses it but through pointers that this pool has handed out; devices only where you let them.
    pub unsafe fn from_region(
        region: NonNull<[u8]>,
        desc: &PoolDesc,
        keep: impl Send + 'static,
    ) -> Result<Self, PoolError> {
        // SAFETY: the caller's promise.
        let backing = unsafe { Backing::region(region, Box::new(keep)) };
        Self::over(backing, desc)
    }

    /// Frees everything that waits for points, reached or not; tells how many. O(freed).
    ///
    /// # Safety
    /// No device will touch any of it any more.
    pub unsafe fn assume_idle(&mut self) -> usize {
        self.finish_all()
    }
}
