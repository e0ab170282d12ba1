//! A `Box` in a shared pool.

use core::{
    alloc::Layout,
    fmt,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use super::{
    answers::Tracked,
    error::{AllocateError, DeallocateError},
    shared::SharedPool,
};

/// Owns a value in a [`SharedPool`], as a `Box` owns a value in the host heap.
///
/// Only the handle frees its memory: [`deallocate`](SharedPool::deallocate) refuses its pointer. A
/// drop takes the pool's lock once. If a handle is forgotten, its range leaks until the pool ends.
pub struct Pooled<T: ?Sized> {
    value: NonNull<T>,
    memory: Tracked,
    pool: SharedPool,
}

// SAFETY: it owns its value, as a `Box` does; the pool is `Send + Sync`, and the serial a number.
unsafe impl<T: ?Sized + Send> Send for Pooled<T> {}
// SAFETY: as above; a shared handle gives out shared references only.
unsafe impl<T: ?Sized + Sync> Sync for Pooled<T> {}

/// A value for which there was no room in the pool. It is returned to the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refused<T> {
    /// The reason.
    pub error: AllocateError,
    /// The value.
    pub value: T,
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> core::error::Error for Refused<T> {}

impl SharedPool {
    /// Moves a value into the pool. O(1).
    ///
    /// # Errors
    /// As [`allocate_layout`](SharedPool::allocate_layout). The error contains the value.
    pub fn insert<T>(&self, value: T) -> Result<Pooled<T>, Refused<T>> {
        let memory = match self.grant(Layout::new::<T>()) {
            Ok(memory) => memory,
            Err(error) => return Err(Refused { error, value }),
        };
        let place = memory.pointer.cast::<T>();
        // SAFETY: the range is new, of the type's size and alignment, and ours alone.
        unsafe { place.write(value) };
        Ok(Pooled { value: place, memory, pool: self.clone() })
    }

    /// Creates a slice of `length` values, each made by `make` from its index. O(length).
    ///
    /// # Errors
    /// As [`allocate_layout`](SharedPool::allocate_layout). No value is made then.
    pub fn insert_slice<T>(
        &self,
        length: usize,
        mut make: impl FnMut(usize) -> T,
    ) -> Result<Pooled<[T]>, AllocateError> {
        let layout = Layout::array::<T>(length).map_err(|_| AllocateError::TooLarge)?;
        let memory = self.grant(layout)?;
        let first = memory.pointer.cast::<T>();
        // If `make` panics, the values made so far are dropped, and the range is freed.
        let empty = NonNull::slice_from_raw_parts(first, 0);
        let mut slice = Pooled { value: empty, memory, pool: self.clone() };
        for index in 0..length {
            let value = make(index);
            // SAFETY: the index lies in the range, which is new and ours alone.
            unsafe { first.add(index).write(value) };
            slice.value = NonNull::slice_from_raw_parts(first, index + 1);
        }
        Ok(slice)
    }

    /// Memory that a handle will own. An empty value also takes a byte, so each handle has its own
    /// address.
    fn grant(&self, layout: Layout) -> Result<Tracked, AllocateError> {
        self.lock().grant((layout.size() as u64).max(1), layout.align() as u64, true)
    }
}

impl<T: ?Sized> Pooled<T> {
    /// The address of the value, for [`dma_address`](SharedPool::dma_address) and devices.
    pub fn as_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }

    /// The pool that contains the value.
    pub fn pool(&self) -> &SharedPool {
        &self.pool
    }

    /// Frees the range; the value is gone or moved out.
    fn free(memory: Tracked, pool: &SharedPool) {
        let mut pool = pool.lock();
        let mut freed = pool.deallocate_handle(memory);
        if let Err(DeallocateError::Corrupted { .. }) = freed {
            // The damage is counted and the guard has been filled again, so this call frees it.
            freed = pool.deallocate_handle(memory);
        }
        debug_assert!(freed.is_ok(), "the handle alone frees: {freed:?}");
    }
}

impl<T> Pooled<T> {
    /// Moves the value out of the pool.
    pub fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so the value is read once, and so is the pool.
        let (value, pool) = unsafe { (this.value.read(), core::ptr::read(&this.pool)) };
        Self::free(this.memory, &pool);
        value
    }
}

impl<T: ?Sized> Drop for Pooled<T> {
    fn drop(&mut self) {
        /// Frees the range even if the value's own drop panics.
        struct Free<'a>(Tracked, &'a SharedPool);
        impl Drop for Free<'_> {
            fn drop(&mut self) {
                Pooled::<()>::free(self.0, self.1);
            }
        }
        let _free = Free(self.memory, &self.pool);
        // SAFETY: the value is whole and owned, and nobody sees it after this.
        unsafe { self.value.drop_in_place() };
    }
}

impl<T: ?Sized> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value lives as long as the handle, which owns it.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; the handle is borrowed exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Pooled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
