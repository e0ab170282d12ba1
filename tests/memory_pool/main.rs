//! `MemoryPool`: the classification of pointers, the placement of memory, the counts, and misuse,
//! which is always a typed error that changes nothing.

mod counts;
mod damage;
mod ends;
mod handles;
mod placement;
mod pointers;

use std::alloc::Layout;
use std::ptr::NonNull;

use fencepost::{MemoryPool, PoolDesc};

fn pool(bytes: usize, desc: PoolDesc) -> MemoryPool {
    MemoryPool::owned(bytes, &desc).expect("a pool")
}

/// A pool over pages of the test, aligned to 64 KiB.
fn region(bytes: usize, desc: &PoolDesc) -> (MemoryPool, NonNull<u8>) {
    let layout = Layout::from_size_align(bytes, 64 << 10).unwrap();
    struct Pages(NonNull<u8>, Layout);
    // SAFETY: plain memory.
    unsafe impl Send for Pages {}
    impl Drop for Pages {
        fn drop(&mut self) {
            // SAFETY: allocated with this layout.
            unsafe { std::alloc::dealloc(self.0.as_ptr(), self.1) };
        }
    }
    // SAFETY: the layout is not empty.
    let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
    let slice = NonNull::slice_from_raw_parts(base, bytes);
    // SAFETY: the pages live as long as the pool, and only the pool's pointers are used.
    let pool = unsafe { MemoryPool::from_region(slice, desc, Pages(base, layout)) };
    (pool.expect("a pool"), base)
}
