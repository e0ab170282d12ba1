//! A global allocator that counts the bytes that are alive, so that an allocator's own cost is seen.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
pub struct Counting;

// SAFETY: it passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(size, Ordering::Relaxed);
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Bytes of the host's heap that are alive.
pub fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// The largest alignment that [`allocate_sized`] serves, and the room before the memory for its size.
const HEADER: usize = 64;

/// Allocates as C does, whose `free` tells no size. Null if that fails.
pub(crate) fn allocate_sized(size: usize, alignment: usize) -> *mut c_void {
    assert!(alignment <= HEADER);
    let Ok(layout) = Layout::from_size_align(size + HEADER, HEADER) else { return ptr::null_mut() };
    // SAFETY: the layout is not empty; the header lies in it.
    unsafe {
        let memory = System.alloc(layout);
        if memory.is_null() {
            return ptr::null_mut();
        }
        BYTES.fetch_add(size, Ordering::Relaxed);
        memory.cast::<usize>().write(size);
        memory.add(HEADER).cast()
    }
}

/// Frees what [`allocate_sized`] gave out, or null.
///
/// # Safety
/// It is freed once.
pub(crate) unsafe fn free_sized(memory: *mut c_void) {
    if memory.is_null() {
        return;
    }
    // SAFETY: `allocate_sized` wrote the size before the memory and allocated with this layout.
    unsafe {
        let memory = memory.cast::<u8>().sub(HEADER);
        let size = memory.cast::<usize>().read();
        BYTES.fetch_sub(size, Ordering::Relaxed);
        System.dealloc(memory, Layout::from_size_align_unchecked(size + HEADER, HEADER));
    }
}
