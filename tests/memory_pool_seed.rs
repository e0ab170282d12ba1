//! The three tests of the original request for the pool, unchanged.

use fencepost::MemoryPool;

#[test]
fn test_allocate_deallocate_cycle() {
    let mut pool = MemoryPool::new(1024);

    // Allocate memory
    let ptr1 = pool.allocate(256).unwrap();
    let ptr2 = pool.allocate(128).unwrap();

    assert_eq!(pool.stats().current_allocated_bytes, 384);
    assert_eq!(pool.stats().current_allocations, 2);

    // Deallocate memory
    pool.deallocate(ptr1).unwrap();
    assert_eq!(pool.stats().current_allocated_bytes, 128);
    assert_eq!(pool.stats().current_allocations, 1);

    pool.deallocate(ptr2).unwrap();
    assert_eq!(pool.stats().current_allocated_bytes, 0);
    assert_eq!(pool.stats().current_allocations, 0);
}

#[test]
fn test_double_free_detection() {
    let mut pool = MemoryPool::new(1024);

    let ptr = pool.allocate(256).unwrap();
    pool.deallocate(ptr).unwrap(); // First free - should succeed

    let result = pool.deallocate(ptr); // Second free - should fail
    assert!(result.is_err());
    assert!(result.unwrap_err().to_string().contains("Double-free"));
}

#[test]
fn test_memory_coalescing() {
    let mut pool = MemoryPool::new(1024);

    // Allocate three adjacent blocks
    let ptr1 = pool.allocate(256).unwrap();
    let ptr2 = pool.allocate(256).unwrap();
    let ptr3 = pool.allocate(256).unwrap();

    // Free them in non-sequential order
    pool.deallocate(ptr1).unwrap();
    pool.deallocate(ptr3).unwrap();
    pool.deallocate(ptr2).unwrap();

    // Should be able to allocate a large block that spans all three
    let large_ptr = pool.allocate(768);
    assert!(large_ptr.is_ok(), "Coalescing should allow large allocation");
}
