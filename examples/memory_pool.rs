//! A memory pool that frees by bare pointers: what it returns, what it refuses, and what it finds.
//!
//! ```text
//! cargo run --example memory_pool
//! ```
use std::{alloc::Layout, error::Error};

use fencepost::{MemoryPool, PoolDesc, SharedPool};

fn main() -> Result<(), Box<dyn Error>> {
    let mut pool = MemoryPool::new(1024);
    let [first, second, third] = [pool.allocate(256)?, pool.allocate(256)?, pool.allocate(256)?];
    let stats = pool.stats();
    println!(
        "{} bytes in {} allocations",
        stats.current_allocated_bytes, stats.current_allocations
    );
    pool.deallocate(first)?;
    pool.deallocate(third)?;
    println!("{:.0} % of what is free is not in one piece", 100.0 * pool.fragmentation().ratio());
    pool.deallocate(second)?;
    println!("merged: {} bytes in one piece\n", pool.fragmentation().largest_free);

    // Misuse is an error and changes nothing.
    let packet = pool.allocate(100)?;
    for wrong in [second, packet.wrapping_add(8), packet.wrapping_add(2000)] {
        if let Err(error) = pool.deallocate(wrong) {
            println!("refused: {error}");
        }
    }

    // A serial distinguishes allocations that an address cannot.
    let old = pool.allocate_tracked(Layout::new::<[u64; 4]>())?;
    pool.deallocate_tracked(old)?;
    let new = pool.allocate_tracked(Layout::new::<[u64; 4]>())?;
    println!("the same address: {}", old.as_ptr() == new.as_ptr());
    println!("refused: {}\n", pool.deallocate_tracked(old).unwrap_err());

    // For a device: bus addresses, no allocation that crosses a page, and detection of writes out
    // of bounds.
    let desc = PoolDesc::new().bus_base(0x8000_0000).boundary(4096).cache_line(64).checked();
    let mut ring = MemoryPool::owned(64 << 10, &desc)?;
    let descriptor = ring.allocate(96)?;
    println!("the device reads at {:#x}", ring.dma_address(descriptor).ok_or("not of the pool")?);
    // SAFETY: the byte behind the allocation is the pool's guard.
    unsafe { descriptor.add(96).write(1) };
    println!("found: {}\n", ring.deallocate(descriptor).unwrap_err());

    // For threads and for values: a `Box` in the pool.
    let shared = SharedPool::from(MemoryPool::new(1 << 16));
    let names = shared.insert_slice(3, |index| format!("name {index}"))?;
    println!("{}", names.join(", "));
    println!("refused: {}", shared.deallocate(names.as_ptr().cast()).unwrap_err());
    drop(names);
    println!("{} allocations live", shared.stats().current_allocations);
    Ok(())
}
