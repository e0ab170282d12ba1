//! Counts the use of the host's heap for each thread.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
    static REFUSED: Cell<u64> = const { Cell::new(0) };
    static NEXT_REFUSED: Cell<u64> = const { Cell::new(u64::MAX) };
    static EXEMPT: Cell<fn() -> bool> = const { Cell::new(|| false) };
}

// SAFETY: every call is passed on to the system's allocator. `realloc` is the default, which calls
// these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if EXEMPT.get()() {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        let left = NEXT_REFUSED.get();
        NEXT_REFUSED.set(if left == 0 { u64::MAX } else { left.saturating_sub(1) });
        if layout.size() > LARGEST.get() || left == 0 {
            REFUSED.set(REFUSED.get() + 1);
            return std::ptr::null_mut();
        }
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// What this thread allocates while `is_exempt` returns true is granted and not counted.
pub fn exempt(is_exempt: fn() -> bool) {
    EXEMPT.set(is_exempt);
}

/// How often `work` allocates from the heap.
pub fn count(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// The bytes that this thread has allocated and not freed.
pub fn bytes() -> i64 {
    BYTES.get()
}

/// Runs `work` while the heap refuses this thread everything larger than `largest` bytes. Also
/// returns how often that was requested.
pub fn short_of_memory<T>(largest: usize, work: impl FnOnce() -> T) -> (T, u64) {
    let before = REFUSED.get();
    LARGEST.set(largest);
    let done = work();
    LARGEST.set(usize::MAX);
    (done, REFUSED.get() - before)
}

/// Runs `work` while the heap refuses this thread one request, after it has granted `granted`
/// others. Returns whether it refused one.
pub fn without_the_next<T>(granted: u64, work: impl FnOnce() -> T) -> (T, bool) {
    let before = REFUSED.get();
    NEXT_REFUSED.set(granted);
    let done = work();
    NEXT_REFUSED.set(u64::MAX);
    (done, REFUSED.get() > before)
}
