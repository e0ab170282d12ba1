//! Damage: what a checked pool finds, and that other pools check nothing.

use fencepost::PoolDesc;
use fencepost::pool::{AllocateError, CheckError, DeallocateError, Lookup};
use fencepost::retire::Cuts;

use super::{pool, region};

/// Each kind of damage is found in its place and reported once, and later calls succeed. The same
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

/// An allocation that is refused because of damage is not counted, not even in the peak.
#[test]
fn a_refused_allocation_is_no_peak() {
    let mut pool = pool(4096, PoolDesc::new().checked());
    let first = pool.allocate(100).unwrap();
    let before = pool.stats();
    assert_eq!((before.peak_allocations, before.current_allocations), (1, 1));
    // SAFETY: the pool's memory.
    unsafe { first.add(500).write(7) };
    assert!(matches!(pool.allocate(1000), Err(AllocateError::WriteAfterFree { .. })));
    let mut after = pool.stats();
    after.corruptions -= 1;
    assert_eq!(after, before);
    let second = pool.allocate(1000).unwrap();
    assert_eq!(pool.stats().peak_allocations, 2);
    pool.deallocate(second).unwrap();
    pool.deallocate(first).unwrap();
    pool.check().unwrap();
    assert_eq!(pool.stats().peak_allocations, 2);
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

/// A device writes past the end of memory that it still uses, after that was deallocated. The bytes
/// after it have no owner, and the damage is still found after the wait. A write within bounds is
/// not damage.
#[test]
fn an_overrun_while_memory_waits_for_its_points_is_found() {
    for (quarantine, at, damaged) in
        [(0, 100, true), (0, 99, false), (1024, 100, true), (1024, 99, false), (0, 111, true)]
    {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let mut pool = pool(4096, PoolDesc::new().checked().quarantine(quarantine));
        let first = pool.allocate(100).unwrap();
        let recording = cuts.begin(timeline).unwrap();
        let point = cuts.submitted(recording, 1).unwrap();
        pool.deallocate_at(first, &[point]).unwrap();
        // SAFETY: the pool's memory; the device's it is until the point.
        unsafe { first.add(at).write(7) };
        pool.check().unwrap();
        cuts.signalled(timeline, 1).unwrap();
        assert_eq!(pool.collect(&cuts.reached()), 1);
        let (address, start) = (first.addr() + at, first.addr());
        let found = Err(CheckError::WriteAfterFree { address, start });
        assert_eq!(pool.check(), if damaged { found } else { Ok(()) }, "{quarantine} {at}");
        let again = pool.allocate(4000);
        let found = Err(AllocateError::WriteAfterFree { address, start });
        assert_eq!(again.map(|_| ()), if damaged { found } else { Ok(()) }, "{quarantine} {at}");
        assert_eq!(pool.stats().corruptions, u64::from(damaged));
        pool.check().unwrap();
    }
}

/// The control of the checks: a pool that is not checked writes nothing and finds nothing.
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
