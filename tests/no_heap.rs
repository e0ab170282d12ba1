//! In steady state neither allocating, nor dropping, nor collecting touches the host's heap.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use fencepost::{Allocation, AllocationDesc, ResourceKind, vk};
use support::*;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

fn count(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn allocate_drop_and_collect_make_no_heap_allocation() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let requirements = vk::MemoryRequirements { size: 3000, alignment: 256, memory_type_bits: !0 };
    let desc = AllocationDesc::device_local();
    let mut held: Vec<Allocation> = Vec::with_capacity(1000);
    let mut total = 0;
    for round in 0..200 {
        let frame = frames.begin().unwrap();
        let counted = count(|| {
            held.drain(..held.len() / 2);
            while held.len() < 800 {
                let made = allocator.allocate(&requirements, ResourceKind::Linear, &desc);
                held.push(made.unwrap());
            }
        });
        submit_nothing(frame).unwrap();
        fake.run();
        let collected = count(|| {
            allocator.collect();
        });
        // The first rounds make blocks, nodes and queues.
        if round >= 20 {
            total += counted + collected;
        }
    }
    assert_eq!(total, 0);
    let ring = allocator.create_ring(&buffer_desc(100_000), &AllocationDesc::upload()).unwrap();
    for round in 0..200 {
        let frame = frames.begin().unwrap();
        let counted = count(|| {
            for _ in 0..100 {
                ring.push(&frame, 16, &[0u32; 100]).unwrap();
            }
        });
        submit_nothing(frame).unwrap();
        fake.run();
        allocator.collect();
        assert!(counted == 0 || round < 20, "the ring keeps a mark a frame, no more");
    }
    assert!(count(|| drop(vec![0u8; 100])) > 0, "the control: the counter counts");
}
