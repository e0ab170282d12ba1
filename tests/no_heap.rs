//! In steady state neither allocating, nor dropping, nor collecting uses the host's heap.

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::count;
use fencepost::{
    Allocation, AllocationDesc, Allocator, ArenaDesc, ArenaPolicy, DeviceFeatures, ResourceKind,
    Timeline, fake::FakeDriver, vk,
};
use support::*;

/// Rounds of allocating, dropping and collecting. Returns how often they allocate from the heap
/// after some rounds.
fn churn(
    make: impl Fn() -> Allocation,
    frames: &Timeline,
    fake: &FakeDriver,
    collect: impl Fn(),
) -> u64 {
    let mut held: Vec<Allocation> = Vec::with_capacity(1000);
    let mut total = 0;
    for round in 0..200 {
        let frame = frames.begin().unwrap();
        let counted = count(|| {
            held.drain(..held.len() / 2);
            while held.len() < 800 {
                held.push(make());
            }
        });
        submit_nothing(frame).unwrap();
        fake.run();
        let collected = count(&collect);
        // The first rounds create blocks, nodes and queues.
        if round >= 20 {
            total += counted + collected;
        }
    }
    total
}

#[test]
fn allocate_drop_and_collect_make_no_heap_allocation() {
    let fake = fake();
    let moving = DeviceFeatures::MEMORY_PRIORITY | DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY;
    // SAFETY: the fake is kept alive, and the test submits through timelines.
    let allocator = unsafe { Allocator::new(&desc(&fake).features(features() | moving)) }.unwrap();
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let requirements = vk::MemoryRequirements { size: 3000, alignment: 256, memory_type_bits: !0 };
    let (linear, plain) = (ResourceKind::Linear, AllocationDesc::device_local());
    let collect = || _ = allocator.collect();
    for memory in [plain, plain.priority(1.0), plain.priority(0.0)] {
        let make = || allocator.allocate(&requirements, linear, &memory).unwrap();
        assert_eq!(churn(make, &frames, &fake, collect), 0, "{memory:?}");
    }
    for policy in [ArenaPolicy::Ring, ArenaPolicy::DoubleStack] {
        // In a ring the oldest end first; in a stack the ranges that are held are freed at the end.
        let arena = ArenaDesc::new(plain).policy(policy).block_size(64 << 20);
        let arena = allocator.create_arena(&arena).unwrap();
        let make = || arena.allocate(&requirements, linear, &plain).unwrap();
        if policy == ArenaPolicy::Ring {
            assert_eq!(churn(make, &frames, &fake, collect), 0);
            continue;
        }
        let mut held: Vec<Allocation> = Vec::with_capacity(1000);
        let mut stack = || {
            count(|| {
                (0..800).for_each(|_| held.push(make()));
                held.drain(..).rev().for_each(drop);
                collect();
            })
        };
        for _ in 0..20 {
            stack();
        }
        assert_eq!(stack(), 0);
    }
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
