//! Placement: aligned, without overlap, within bounds of all kinds, in the region of its owner.

use std::alloc::Layout;
use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::Arc;

use fencepost::pool::{AllocateError, PoolError};
use fencepost::{MemoryPool, PoolDesc, SharedPool};

use super::{pool, region};

#[test]
fn pointers_are_aligned_and_disjoint_and_hold_what_is_written() {
    // Over memory of its own, and over a region of the caller.
    let descs = [PoolDesc::new(), PoolDesc::new().granule(64), PoolDesc::new().checked()];
    let own = descs.into_iter().map(|desc| pool(1 << 20, desc));
    let given = descs.into_iter().map(|desc| region(1 << 20, &desc.bus_base(1 << 30)).0);
    for mut pool in own.chain(given) {
        let mut live = Vec::new();
        for round in 0..300_usize {
            let alignment = 1 << (round % 13);
            let layout = Layout::from_size_align(round * 7 % 500 + 1, alignment).unwrap();
            let pointer = pool.allocate_layout(layout).unwrap();
            assert_eq!(pointer.addr() % alignment, 0);
            // SAFETY: the range is ours.
            unsafe { pointer.write_bytes(round as u8, layout.size()) };
            live.push((pointer, layout.size(), round as u8));
        }
        for (pointer, size, byte) in live {
            // SAFETY: as above; it was written.
            let bytes = unsafe { std::slice::from_raw_parts(pointer, size) };
            assert!(bytes.iter().all(|&found| found == byte));
            pool.deallocate(pointer).unwrap();
        }
        pool.check().unwrap();
        assert_eq!(pool.stats().corruptions, 0);
    }
}

#[test]
fn no_allocation_crosses_a_boundary_or_lies_beyond_the_largest_address() {
    const BASE: u64 = 0xFFFF_0010;
    for boundary in [256, 4096, 1 << 16, 1 << 32] {
        let last = BASE + 0x2_8000;
        let desc = PoolDesc::new().bus_base(BASE).boundary(boundary).largest_address(last);
        let (mut pool, _) = region(256 << 10, &desc);
        let mut granted = 0;
        let mut state = 1_u64;
        loop {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let size = (state >> 33) % boundary.min(3000) + 1;
            let Ok(pointer) = pool.allocate(size as usize) else { break };
            let first = pool.dma_address(pointer).unwrap();
            let end = first + size - 1;
            assert_eq!(first / boundary, end / boundary, "{first:#x} + {size}");
            assert!(end <= last);
            granted += size;
        }
        assert!(granted > 80_000, "{granted} bytes of 160 KiB");
        if boundary < 1 << 17 {
            let size = boundary + 1;
            let refused = Err(AllocateError::CrossesBoundary { size });
            assert_eq!(pool.allocate(size as usize), refused);
        }
        pool.check().unwrap();
    }
    // The control: without the boundary some allocation crosses it.
    let (mut pool, _) = region(256 << 10, &PoolDesc::new().bus_base(BASE));
    let crosses = (0..100).any(|_| {
        let first = {
            let pointer = pool.allocate(100).unwrap();
            pool.dma_address(pointer).unwrap()
        };
        first / 256 != (first + 99) / 256
    });
    assert!(crosses);
}

/// A boundary has no cost unless it is crossed: one far above the pool's size does not change the
/// granule and the bookkeeping.
#[test]
fn a_boundary_of_any_size_binds_and_leaves_the_granule() {
    for bits in [12, 21, 32, 40, 47, 63] {
        let (boundary, below) = (1_u64 << bits, 0x1010);
        let middle = boundary.max(1 << 20);
        let desc = PoolDesc::new().bus_base(middle - below).boundary(boundary);
        let (mut pool, _) = region(1 << 16, &desc);
        let plain = region(1 << 16, &PoolDesc::new()).0;
        assert_eq!((pool.granule(), pool.capacity()), (16, 1 << 16), "2^{bits}");
        assert!(pool.metadata_bytes() < plain.metadata_bytes() + (64 << 10), "2^{bits}");
        let (mut before, mut behind) = (0, 0);
        while let Ok(pointer) = pool.allocate(0x30) {
            let first = pool.dma_address(pointer).unwrap();
            assert_eq!(first / boundary, (first + 0x2F) / boundary, "2^{bits}");
            *if first < middle { &mut before } else { &mut behind } += 1;
        }
        assert!(before == below / 0x30 && behind > 1000, "2^{bits}: {before} {behind}");
        pool.check().unwrap();
    }
}

#[test]
fn cache_lines_are_shared_by_nobody() {
    for (line, shared) in [(1, true), (64, false)] {
        let (mut pool, _) = region(64 << 10, &PoolDesc::new().cache_line(line));
        let mut lines = HashSet::new();
        let mut twice = false;
        for size in (1..150).step_by(7) {
            let first = pool.allocate(size).unwrap().addr();
            for number in first / 64..=(first + size - 1) / 64 {
                twice |= !lines.insert(number);
            }
        }
        assert_eq!(twice, shared, "lines of {line}");
    }
}

/// If the lines of the processor and of the bus start at different places, no granule keeps both
/// apart.
#[test]
fn cache_lines_that_begin_elsewhere_on_the_bus_are_refused() {
    let refused = |bus, line| {
        let layout = Layout::from_size_align(1 << 16, 1 << 16).unwrap();
        // SAFETY: the layout is not empty.
        let pages = NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap();
        let pages = NonNull::slice_from_raw_parts(pages, layout.size());
        let desc = PoolDesc::new().bus_base(bus).cache_line(line);
        // SAFETY: the pages outlive the pool, and only its pointers are used.
        let made = unsafe { MemoryPool::from_region(pages, &desc, ()) };
        let error = made.err();
        // SAFETY: allocated with this layout; the pool is gone.
        unsafe { std::alloc::dealloc(pages.cast().as_ptr(), layout) };
        error
    };
    assert_eq!(refused(0x4000_0010, 64), Some(PoolError::CacheLine { agreed: 16 }));
    assert_eq!(refused(0x4000_0020, 64), Some(PoolError::CacheLine { agreed: 32 }));
    assert_eq!(refused(0x4000_0040, 64), None);
    assert_eq!(refused(0x4000_0010, 16), None);
    assert_eq!(refused(0x4000_0001, 1), None, "nobody asked for lines");
}

#[test]
fn the_bus_address_follows_the_pointer() {
    let (mut pool, base) = region(1 << 16, &PoolDesc::new().bus_base(0x4000_0000));
    pool.allocate(100).unwrap();
    let pointer = pool.allocate(100).unwrap();
    let offset = (pointer.addr() - base.addr().get()) as u64;
    assert_eq!(pool.offset_of(pointer), Some(offset));
    assert_eq!(pool.dma_address(pointer.wrapping_add(3)), Some(0x4000_0000 + offset + 3));
    assert_eq!(pool.dma_address(base.as_ptr().wrapping_sub(1)), None);
    assert_eq!(MemoryPool::new(64).dma_address(pointer), None);
    // No alignment is possible on which pointers and bus addresses do not agree.
    let (mut pool, _) = region(1 << 16, &PoolDesc::new().bus_base(0x100));
    let page = Layout::from_size_align(16, 4096).unwrap();
    assert_eq!(pool.allocate_layout(page), Err(AllocateError::Alignment { largest: 256 }));
}

#[test]
fn a_region_is_kept_until_the_pool_ends() {
    let kept = Arc::new(());
    let mut bytes = vec![0_u8; 4096];
    let region = NonNull::from(&mut bytes[..]);
    let keep = (bytes, Arc::clone(&kept));
    // SAFETY: the vector's buffer is kept, and used by the pool alone.
    let mut pool = unsafe { MemoryPool::from_region(region, &PoolDesc::new(), keep) }.unwrap();
    assert_eq!(pool.capacity() % 16, 0);
    let pointer = pool.allocate(64).unwrap();
    // SAFETY: handed out.
    unsafe { pointer.write_bytes(1, 64) };
    assert_eq!(Arc::strong_count(&kept), 2);
    // The handle keeps the pool alive, and so the region.
    let shared = SharedPool::from(pool);
    let boxed = shared.insert([7_u64; 4]).unwrap();
    drop(shared);
    assert_eq!((Arc::strong_count(&kept), boxed[3]), (2, 7));
    drop(boxed);
    assert_eq!(Arc::strong_count(&kept), 1);
}
