//! A global allocator that can count the bytes that are allocated and freed. So the host memory of
//! an allocator can be measured, and an allocator that allocates in every call is not slowed down
//! while it is timed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

static BYTES: AtomicIsize = AtomicIsize::new(0);
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

#[inline]
fn count(bytes: isize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The system's allocator, with counting.
pub struct Counting;

// SAFETY: it passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: guaranteed by the caller.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// The bytes of the host's heap that `work` allocated and did not free, and its result. Nothing
/// else may run at the same time.
pub fn bytes_kept<T>(work: impl FnOnce() -> T) -> (T, isize) {
    BYTES.store(0, Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    let result = work();
    IS_COUNTING.store(false, Ordering::Relaxed);
    (result, BYTES.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_counted_and_what_is_given_back_is_not() {
        // Other tests allocate at the same time, but none so much.
        const MUCH: usize = 1 << 30;
        let (kept, bytes) = bytes_kept(|| {
            drop(Vec::<u8>::with_capacity(MUCH));
            Vec::<u8>::with_capacity(4 * MUCH)
        });
        let near = kept.capacity() as isize;
        assert!((near - (MUCH as isize) / 2..near + (MUCH as isize) / 2).contains(&bytes));
    }
}
