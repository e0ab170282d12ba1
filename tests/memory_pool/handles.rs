//! Owning handles, alone and among threads.

use std::sync::Arc;

use fencepost::pool::{AllocateError, DeallocateError, Lookup};
use fencepost::{MemoryPool, PoolDesc, Pooled, SharedPool};

use super::pool;

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

/// A tracked pointer of a pool that is gone, over the same memory: whoever has its serial now lies elsewhere, or is a
/// handle's.
#[test]
fn a_tracked_pointer_of_another_pool_ends_nothing() {
    let mut memory = vec![0_u128; 256];
    let region = core::ptr::NonNull::from(memory.as_mut_slice());
    let region = core::ptr::NonNull::slice_from_raw_parts(region.cast::<u8>(), 4096);
    // SAFETY: the memory outlives the pools, of which one lives at a time.
    let pool = || unsafe { MemoryPool::from_region(region, &PoolDesc::new(), ()) }.unwrap();
    let layout = |size| std::alloc::Layout::from_size_align(size, 16).unwrap();
    let old = {
        let mut pool = pool();
        [16, 16].map(|size| pool.allocate_tracked(layout(size)).unwrap())
    };
    let mut other = pool();
    let new = [64, 16].map(|size| other.allocate_tracked(layout(size)).unwrap());
    assert_eq!(old[1].serial(), new[1].serial());
    let address = old[1].as_ptr().addr();
    assert_eq!(other.deallocate_tracked(old[1]), Err(DeallocateError::DoubleFree { address }));
    new.iter().for_each(|&new| other.deallocate_tracked(new).unwrap());
    drop(other);
    let shared = SharedPool::from(pool());
    let handle = shared.insert([0_u8; 16]).unwrap();
    let address = old[0].as_ptr().addr();
    assert_eq!(handle.as_ptr().addr(), address);
    let refused = Err(DeallocateError::OwnedByHandle { address });
    assert_eq!(shared.deallocate_tracked(old[0]), refused);
}
