//! The classification of bare pointers, and the reasons for refusing a request.

use std::alloc::Layout;
use std::ptr::null_mut;

use fencepost::pool::{AllocateError, DeallocateError, Lookup, PoolError};
use fencepost::{MemoryPool, PoolDesc};

use super::pool;

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
    // Inside: at a granule, between granules, and in the bytes by which the size was rounded up.
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
    // If an allocation once started inside one that is live now, `Inside` takes precedence.
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

/// If an allocation started before where a search has cleared the bits, the next allocation there
/// is found nevertheless.
#[test]
fn who_begins_where_a_search_found_nobody_is_found() {
    let mut pool = MemoryPool::new(1 << 20);
    // So many that all starts but the last one are in the bitmap.
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
        // No live allocation is below, so this search passes all groups, and does not look there
        // again.
        assert_eq!(pool.lookup(base.wrapping_add(1 << 19)), Lookup::Untracked);
        pool.check().unwrap();
    }
}

/// A bare pointer whose address has been handed out again frees the new allocation, because they
/// cannot be distinguished. A serial distinguishes them, and a quarantine avoids the situation.
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

/// The size that a refusal reports as possible is granted, also with the guard of a checked pool,
/// and one granule more is not.
#[test]
fn what_a_refusal_offers_is_granted() {
    for desc in [PoolDesc::new(), PoolDesc::new().checked()] {
        for kept in [16, 100, 500, 1000] {
            let mut pool = pool(4096, desc);
            pool.allocate(4096 - kept - if desc.checked { 16 } else { 0 }).unwrap();
            let Err(AllocateError::Full { largest_class, .. }) = pool.allocate(3000) else {
                panic!("3000 of {kept} bytes")
            };
            let class = largest_class as usize;
            assert_eq!(class == 0, kept < 32 && desc.checked, "{kept} {desc:?}");
            assert!(class == 0 || pool.allocate(class).is_ok(), "{class} of {kept} {desc:?}");
        }
    }
}

/// `new` cannot fail, so a pool without memory reports this later, and misuse of it gives the usual
/// errors.
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
