//! In steady state neither allocating, nor dropping, nor collecting touches the host's heap.

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::count;
use fencepost::{Allocation, AllocationDesc, ResourceKind, vk};
use support::*;

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
