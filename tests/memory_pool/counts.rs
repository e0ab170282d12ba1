//! What is counted, and that nothing leaks.

use fencepost::MemoryPool;

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
