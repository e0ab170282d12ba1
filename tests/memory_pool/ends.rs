//! Deferred frees: quarantine, and points.

use std::ptr::null_mut;

use fencepost::pool::{AllocateError, DeallocateError};
use fencepost::retire::Cuts;
use fencepost::{MemoryPool, PoolDesc};

use super::pool;

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
