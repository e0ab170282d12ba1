//! `MemoryPool`: what a pointer tells, where memory lies, what is counted, and each misuse a typed
//! error after which everything is as it was.

use std::alloc::Layout;
use std::collections::HashSet;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use fencepost::pool::{AllocateError, CheckError, DeallocateError, Lookup, PoolError};
use fencepost::retire::Cuts;
use fencepost::{MemoryPool, PoolDesc, Pooled, SharedPool};

fn pool(bytes: usize, desc: PoolDesc) -> MemoryPool {
    MemoryPool::owned(bytes, &desc).expect("a pool")
}

/// A pool over pages of the test's own, aligned to 64 KiB.
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

#[test]
fn a_bare_pointer_tells_in_this_order() {
    let mut pool = MemoryPool::new(4096);
    let other = MemoryPool::new(4096).allocate(16).unwrap();
    let base = pool.allocate(512).unwrap();
    let second = pool.allocate(100).unwrap();
    let address = base.addr();

    assert_eq!(pool.deallocate(null_mut()), Ok(()));
    assert_eq!(pool.lookup(null_mut()), Lookup::Null);
    for foreign in [other, base.wrapping_sub(1), base.wrapping_add(4096)] {
        let refused = Err(DeallocateError::Foreign { address: foreign.addr() });
        assert_eq!(pool.deallocate(foreign), refused);
        assert_eq!(pool.lookup(foreign), Lookup::Foreign);
    }
    // Inside: at a granule, between granules, in what the size was rounded up by.
    for (inside, start, size) in [
        (base.wrapping_add(16), base, 512),
        (base.wrapping_add(511), base, 512),
        (second.wrapping_add(105), second, 100),
    ] {
        let start = start.addr();
        let refused = DeallocateError::NotAtStart { address: inside.addr(), start, size };
        assert_eq!(pool.deallocate(inside), Err(refused));
        assert_eq!(pool.lookup(inside), Lookup::Inside { start, size });
    }
    // Never handed out.
    for untracked in [base.wrapping_add(1024), base.wrapping_add(4095)] {
        let refused = DeallocateError::Untracked { address: untracked.addr() };
        assert_eq!(pool.deallocate(untracked), Err(refused));
        assert_eq!(pool.lookup(untracked), Lookup::Untracked);
    }
    assert_eq!(pool.stats().current_allocations, 2, "refusals changed nothing");
    assert_eq!(pool.lookup(base), Lookup::Start { size: 512, by_handle: false });
    pool.deallocate(base).unwrap();
    assert_eq!(pool.deallocate(base), Err(DeallocateError::DoubleFree { address }));
    assert_eq!(pool.lookup(base), Lookup::Freed);
    // Where one once began, inside of one that lives: inside comes first.
    let inner = {
        let first = pool.allocate(64).unwrap();
        let inner = pool.allocate(64).unwrap();
        pool.deallocate(inner).unwrap();
        pool.deallocate(first).unwrap();
        inner
    };
    assert_eq!(pool.lookup(inner), Lookup::Freed);
    let around = pool.allocate(512).unwrap();
    assert_eq!((around, inner.addr()), (base, address + 64));
    assert_eq!(pool.lookup(inner), Lookup::Inside { start: address, size: 512 });
    pool.check().unwrap();
}

/// Where one began before and what began there was forgotten by a search, the next one is found all the same.
#[test]
fn who_begins_where_a_search_found_nobody_is_found() {
    let mut pool = MemoryPool::new(1 << 20);
    // So many that all starts are written down but the last.
    let all: Vec<_> = (0..2048).map(|_| pool.allocate(16).unwrap()).collect();
    all.iter().for_each(|&pointer| pool.deallocate(pointer).unwrap());
    let base = all[0];
    for round in 0..3 {
        let around = pool.allocate(16 << 10).unwrap();
        assert_eq!(around, base);
        let inside = Lookup::Inside { start: base.addr(), size: 16 << 10 };
        for offset in [1, 16, 4096, 16 << 10].map(|behind| (16 << 10) - behind) {
            let expected = if offset == 0 { pool.lookup(base) } else { inside };
            assert_eq!(pool.lookup(base.wrapping_add(offset)), expected, "round {round}");
        }
        pool.deallocate(around).unwrap();
        // Nobody lives below: this search passes all groups, and will not look there again.
        assert_eq!(pool.lookup(base.wrapping_add(1 << 19)), Lookup::Untracked);
        pool.check().unwrap();
    }
}

/// A bare pointer whose address has been handed out again frees the new allocation: it cannot be told
/// apart. A serial can, and a quarantine does not let it come to that.
#[test]
fn an_address_handed_out_again_is_told_apart_by_serials_alone() {
    let layout = Layout::from_size_align(256, 16).unwrap();
    let mut bare = MemoryPool::new(1024);
    let old = bare.allocate(256).unwrap();
    bare.deallocate(old).unwrap();
    assert_eq!(bare.allocate(256).unwrap(), old);
    assert_eq!(bare.deallocate(old), Ok(()), "the limit of bare pointers");

    let mut tracked = MemoryPool::new(1024);
    let old = tracked.allocate_tracked(layout).unwrap();
    tracked.deallocate_tracked(old).unwrap();
    let new = tracked.allocate_tracked(layout).unwrap();
    assert_eq!(new.as_ptr(), old.as_ptr());
    assert_ne!(new.serial(), old.serial());
    let address = old.as_ptr().addr();
    assert_eq!(tracked.deallocate_tracked(old), Err(DeallocateError::DoubleFree { address }));
    assert_eq!(tracked.stats().current_allocations, 1);
    tracked.deallocate_tracked(new).unwrap();
    let refused = bare.deallocate_tracked(new);
    assert!(matches!(refused, Err(DeallocateError::Foreign { .. })), "{refused:?}");

    let mut kept = pool(1024, PoolDesc::new().quarantine(512));
    let old = kept.allocate(256).unwrap();
    kept.deallocate(old).unwrap();
    let new = kept.allocate(256).unwrap();
    assert_ne!(new, old);
    assert!(matches!(kept.deallocate(old), Err(DeallocateError::DoubleFree { .. })));
    kept.check().unwrap();
}

#[test]
fn a_quarantine_is_first_in_first_out_and_never_the_reason_to_fail() {
    let mut pool = pool(1024, PoolDesc::new().quarantine(512));
    let all: Vec<_> = (0..4).map(|_| pool.allocate(256).unwrap()).collect();
    for &pointer in &all[..3] {
        pool.deallocate(pointer).unwrap();
    }
    // 512 bytes stay; the first one is out.
    assert_eq!(pool.pending_bytes(), 512);
    assert_eq!(pool.allocate(256).unwrap(), all[0]);
    // Nothing is free now but what is in quarantine.
    assert_eq!(pool.allocate(512).unwrap(), all[1]);
    assert_eq!(pool.pending_bytes(), 0);
    assert!(matches!(pool.allocate(1), Err(AllocateError::Full { pending: 0, .. })));
    pool.check().unwrap();
}

#[test]
fn each_refusal_of_a_request_is_typed_and_changes_nothing() {
    let mut pool = MemoryPool::new(1024);
    let largest = pool.largest_alignment();
    assert_eq!(largest, 2 << 20);
    assert_eq!(pool.allocate(0), Err(AllocateError::ZeroSize));
    assert_eq!(pool.allocate(1025), Err(AllocateError::TooLarge));
    assert_eq!(pool.allocate(usize::MAX), Err(AllocateError::TooLarge));
    let huge = Layout::from_size_align(16, 4 << 20).unwrap();
    assert_eq!(pool.allocate_layout(huge), Err(AllocateError::Alignment { largest }));
    let held = pool.allocate(1000).unwrap();
    let full = AllocateError::Full { largest_class: 16, pending: 0 };
    assert_eq!(pool.allocate(17), Err(full));
    assert_eq!(pool.allocate(16).map(|_| ()), Ok(()));
    pool.deallocate(held).unwrap();
    pool.check().unwrap();
    for (bytes, desc, refused) in [
        (0, PoolDesc::new(), PoolError::TooSmall),
        (64, PoolDesc::new().largest_address(63), PoolError::TooSmall),
        (64, PoolDesc::new().granule(24), PoolError::PowerOfTwo { bytes: 24 }),
        (64, PoolDesc::new().boundary(48), PoolError::PowerOfTwo { bytes: 48 }),
        (64, PoolDesc::new().bus_base(u64::MAX), PoolError::Wraps),
        (usize::MAX, PoolDesc::new(), PoolError::OutOfHostMemory),
    ] {
        assert_eq!(MemoryPool::owned(bytes, &desc).map(|_| ()), Err(refused), "{bytes} {desc:?}");
    }
}

/// `new` cannot fail, so a pool without memory says so later, and misuse of it is told as ever.
#[test]
fn a_pool_that_got_no_memory_refuses_everything() {
    for bytes in [0, usize::MAX] {
        let mut pool = MemoryPool::new(bytes);
        assert_eq!(pool.capacity(), 0);
        assert_eq!(pool.allocate(1), Err(AllocateError::OutOfHostMemory));
        assert_eq!(pool.deallocate(null_mut()), Ok(()));
        let wild = std::ptr::without_provenance_mut(0x1000);
        assert_eq!(pool.deallocate(wild), Err(DeallocateError::Foreign { address: 0x1000 }));
        assert_eq!(pool.lookup(wild), Lookup::Foreign);
        assert_eq!(pool.fragmentation().ratio(), 0.0);
        pool.check().unwrap();
    }
}

#[test]
fn the_books_lie_outside_and_statistics_count_what_was_asked_for() {
    let mut pool = MemoryPool::new(1024);
    assert_eq!(pool.capacity(), 1024);
    let pointers: Vec<_> = (0..64).map(|_| pool.allocate(9).unwrap()).collect();
    let stats = pool.stats();
    assert_eq!((stats.allocations, stats.bytes_allocated), (64, 576));
    assert_eq!((stats.current_allocations, stats.current_allocated_bytes), (64, 576));
    for &pointer in pointers.iter().step_by(2) {
        pool.deallocate(pointer).unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.deallocations, stats.bytes_deallocated), (32, 288));
    assert_eq!((stats.current_allocations, stats.current_allocated_bytes), (32, 288));
    assert_eq!((stats.peak_allocations, stats.peak_allocated_bytes), (64, 576));
    let dust = pool.fragmentation();
    assert_eq!((dust.free_bytes, dust.free_ranges, dust.largest_free), (512, 32, 16));
    assert!((dust.ratio() - 31.0 / 32.0).abs() < 1e-9);
    for &pointer in pointers.iter().skip(1).step_by(2) {
        pool.deallocate(pointer).unwrap();
    }
    let whole = pool.fragmentation();
    assert_eq!((whole.free_ranges, whole.largest_free, whole.ratio()), (1, 1024, 0.0));
    assert_eq!(pool.stats().peak_allocations, 64);
}

#[test]
fn pointers_are_aligned_and_disjoint_and_hold_what_is_written() {
    // Over memory of its own, and over a region of the caller's.
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
    // The control: without the boundary some allocation crosses one.
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
    // What pointers and bus addresses do not agree on cannot be aligned to.
    let (mut pool, _) = region(1 << 16, &PoolDesc::new().bus_base(0x100));
    let page = Layout::from_size_align(16, 4096).unwrap();
    assert_eq!(pool.allocate_layout(page), Err(AllocateError::Alignment { largest: 256 }));
}

#[test]
fn memory_waits_for_its_points() {
    let mut cuts = Cuts::new(1);
    let (copy, render) = (cuts.add_timeline(0), cuts.add_timeline(0));
    let mut pool = MemoryPool::new(1024);
    let buffer = pool.allocate(1024).unwrap();
    let recordings = [copy, render].map(|timeline| cuts.begin(timeline).unwrap());
    let points = recordings.map(|recording| cuts.submitted(recording, 1).unwrap());

    pool.deallocate_at(buffer, &points).unwrap();
    assert_eq!((pool.stats().current_allocations, pool.pending_bytes()), (0, 1024));
    let refused = Err(AllocateError::Full { largest_class: 0, pending: 1024 });
    assert_eq!(pool.allocate(16), refused);
    assert!(matches!(pool.deallocate(buffer), Err(DeallocateError::DoubleFree { .. })));
    assert_eq!(pool.collect(&cuts.reached()), 0);
    cuts.signalled(copy, 1).unwrap();
    assert_eq!(pool.collect(&cuts.reached()), 0, "one of two");
    pool.check().unwrap();
    cuts.signalled(render, 1).unwrap();
    assert_eq!(pool.collect(&cuts.reached()), 1);
    assert_eq!(pool.allocate(1024).unwrap(), buffer);

    // No points: at once. Points that never come: by the caller's word.
    pool.deallocate_at(buffer, &[]).unwrap();
    let buffer = pool.allocate(512).unwrap();
    let recording = cuts.begin(copy).unwrap();
    let point = cuts.submitted(recording, 2).unwrap();
    pool.deallocate_at(buffer, &[point]).unwrap();
    assert_eq!(pool.deallocate_at(null_mut(), &[point]), Ok(()));
    // SAFETY: there is no device.
    assert_eq!(unsafe { pool.assume_idle() }, 1);
    assert_eq!(pool.pending_bytes(), 0);
    pool.check().unwrap();
}

/// Each kind of damage is found where it is, reported once, and what comes after goes on. The same
/// writes within bounds are not reported.
#[test]
fn damage_is_found() {
    let mut pool = pool(4096, PoolDesc::new().checked());
    let first = pool.allocate(100).unwrap();
    let second = pool.allocate(100).unwrap();
    // SAFETY: within bounds.
    unsafe { first.write_bytes(0, 100) };
    pool.check().unwrap();

    // An overrun by one byte.
    // SAFETY: the byte behind is the pool's guard, of the pool's memory.
    unsafe { first.add(100).write(7) };
    let (address, start, size) = (first.addr() + 100, first.addr(), 100);
    assert_eq!(pool.check(), Err(CheckError::Overrun { address, start, size }));
    let refused = DeallocateError::Corrupted { address, start, size };
    assert_eq!(pool.deallocate(first), Err(refused));
    assert_eq!(pool.lookup(first), Lookup::Start { size: 100, by_handle: false });
    pool.check().unwrap();
    pool.deallocate(first).unwrap();

    // An underrun hits the memory before: free here.
    // SAFETY: as above.
    unsafe { second.sub(1).write(7) };
    let (address, start) = (second.addr() - 1, first.addr());
    assert_eq!(pool.check(), Err(CheckError::WriteAfterFree { address, start }));
    let refused = AllocateError::WriteAfterFree { address, start };
    assert_eq!(pool.allocate(100), Err(refused));
    pool.check().unwrap();

    // A write after free, of the first byte and of the last.
    for offset in [0, 99] {
        let third = pool.allocate(100).unwrap();
        pool.deallocate(third).unwrap();
        // SAFETY: as above.
        unsafe { third.add(offset).write(!third.add(offset).read()) };
        let (address, start) = (third.addr() + offset, third.addr());
        assert_eq!(pool.check(), Err(CheckError::WriteAfterFree { address, start }));
        assert_eq!(pool.allocate(100), Err(AllocateError::WriteAfterFree { address, start }));
        pool.check().unwrap();
    }
    assert_eq!(pool.stats().corruptions, 4);
    assert_eq!(pool.stats().current_allocations, 1);
    pool.deallocate(second).unwrap();
    assert_eq!(pool.fragmentation().largest_free, 4096);
}

#[test]
fn damage_in_quarantine_is_found() {
    let mut pool = pool(4096, PoolDesc::new().checked().quarantine(1024));
    let first = pool.allocate(100).unwrap();
    pool.deallocate(first).unwrap();
    pool.check().unwrap();
    // SAFETY: the pool's memory.
    unsafe { first.add(50).write(7) };
    let (address, start) = (first.addr() + 50, first.addr());
    assert_eq!(pool.check(), Err(CheckError::WriteAfterFree { address, start }));
}

/// The control of the checks: a pool that is not checked writes nothing and sees nothing.
#[test]
fn an_unchecked_pool_touches_nothing() {
    let (mut pool, base) = region(4096, &PoolDesc::new());
    let first = pool.allocate(100).unwrap();
    // SAFETY: the region's bytes.
    unsafe { first.add(100).write(7) };
    pool.deallocate(first).unwrap();
    pool.check().unwrap();
    // SAFETY: the pool's keeper holds the pages, and they were zeroed.
    let touched = (0..4096).filter(|&at| unsafe { base.add(at).read() } != 0).count();
    assert_eq!(touched, 1);
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
    // The handle keeps the pool, and so the region.
    let shared = SharedPool::from(pool);
    let boxed = shared.insert([7_u64; 4]).unwrap();
    drop(shared);
    assert_eq!((Arc::strong_count(&kept), boxed[3]), (2, 7));
    drop(boxed);
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn a_handle_alone_frees_what_it_owns() {
    let shared = SharedPool::from(MemoryPool::new(4096));
    let dropped = Arc::new(());
    let boxed = shared.insert((Arc::clone(&dropped), 5)).unwrap();
    let pointer = boxed.as_ptr().cast::<u8>();
    let refused = Err(DeallocateError::OwnedByHandle { address: pointer.addr() });
    assert_eq!(shared.deallocate(pointer), refused);
    assert_eq!(shared.deallocate_at(pointer, &[]), refused);
    let Lookup::Start { by_handle: true, .. } = shared.lookup(pointer) else { panic!() };
    assert_eq!(boxed.1, 5);
    drop(boxed);
    assert_eq!(Arc::strong_count(&dropped), 1);
    assert!(matches!(shared.deallocate(pointer), Err(DeallocateError::DoubleFree { .. })));

    let boxed = shared.insert(String::from("moved")).unwrap();
    assert_eq!(boxed.into_inner(), "moved");
    let mut slice = shared.insert_slice(10, |index| index.to_string()).unwrap();
    slice[3].push('!');
    assert_eq!(slice.concat(), "0123!456789");
    let nothing = (shared.insert(()).unwrap(), shared.insert_slice(0, |_| 0_u32).unwrap());
    assert_eq!(nothing.1.len(), 0);
    drop((slice, nothing));

    let too_large = shared.insert([0_u8; 5000]).map(|_| ()).unwrap_err();
    assert_eq!((too_large.error, too_large.value.len()), (AllocateError::TooLarge, 5000));
    assert_eq!(
        shared.insert_slice(usize::MAX, |_| 0_u64).map(|_| ()),
        Err(AllocateError::TooLarge)
    );
    assert_eq!(shared.stats().current_allocations, 0);
    shared.check().unwrap();
    let other = shared.clone();
    let shared = shared.try_into_inner().unwrap_err();
    drop(other);
    assert_eq!(shared.try_into_inner().unwrap().capacity(), 4096);
}

/// Panics in user code leave nothing behind.
#[test]
fn panics_in_values_leak_nothing() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "the bomb");
        }
    }
    let shared = SharedPool::from(MemoryPool::new(4096));
    let boxed = shared.insert(Bomb(true)).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(boxed)));
    assert!(caught.is_err());
    let alive = Arc::new(());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        shared.insert_slice(10, |index| {
            assert!(index < 5, "no more");
            Arc::clone(&alive)
        })
    }));
    assert!(caught.is_err());
    assert_eq!((Arc::strong_count(&alive), shared.stats().current_allocations), (1, 0));
}

#[test]
fn an_overrun_handle_is_counted_and_freed() {
    let shared = SharedPool::from(pool(4096, PoolDesc::new().checked()));
    let boxed = shared.insert([0_u8; 20]).unwrap();
    // SAFETY: the guard is the pool's memory.
    unsafe { boxed.as_ptr().cast::<u8>().add(20).write(1) };
    drop(boxed);
    let stats = shared.stats();
    assert_eq!((stats.corruptions, stats.current_allocations), (1, 0));
}

#[test]
fn threads_share_a_pool() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    fn shareable<T: Send + Sync + Clone>(value: T) -> T {
        value
    }
    let shared = shareable(SharedPool::from(sendable(pool(1 << 20, PoolDesc::new().checked()))));
    std::thread::scope(|threads| {
        for thread in 0..4_u64 {
            let shared = &shared;
            threads.spawn(move || {
                let mut held: Vec<Pooled<[u64]>> = Vec::new();
                for round in 0..500_u64 {
                    let length = (round * 7 % 40) as usize;
                    held.push(shared.insert_slice(length, |_| thread << 32 | round).unwrap());
                    if held.len() > 20 {
                        let old = held.swap_remove((round % 20) as usize);
                        assert!(old.windows(2).all(|pair| pair[0] == pair[1]));
                        assert!(old.first().is_none_or(|word| word >> 32 == thread));
                    }
                }
            });
        }
    });
    let stats = shared.stats();
    assert_eq!((stats.allocations, stats.current_allocations, stats.corruptions), (2000, 0, 0));
    shared.check().unwrap();
}

fn cycles(rounds: u64) {
    let mut pool = MemoryPool::new(1 << 20);
    let mut live: Vec<*mut u8> = Vec::new();
    let mut state = 1_u64;
    let mut metadata = None;
    for round in 0..rounds {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if live.len() == 500 {
            let victim = (state >> 40) as usize % live.len();
            pool.deallocate(live.swap_remove(victim)).unwrap();
        }
        live.push(pool.allocate((state >> 33) as usize % 1500 + 1).unwrap());
        if round == rounds / 2 {
            metadata = Some(pool.metadata_bytes());
        }
    }
    for pointer in live {
        pool.deallocate(pointer).unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.allocations, stats.deallocations), (rounds, rounds));
    assert_eq!((stats.current_allocated_bytes, pool.fragmentation().largest_free), (0, 1 << 20));
    let bytes = pool.metadata_bytes();
    assert!(metadata.is_some_and(|half| bytes <= half + half / 8), "{bytes}, halfway {metadata:?}");
    pool.check().unwrap();
}

#[test]
fn nothing_leaks() {
    cycles(300_000);
}

#[test]
#[ignore = "ten million cycles; a second with --release"]
fn nothing_leaks_in_ten_million_cycles() {
    cycles(10_000_000);
}
