//! Arenas over the fake driver: sets of blocks that a user makes.

mod support;

use fencepost::{
    AllocateError, AllocationDesc, AllocationFlags, Allocator, Arena, ArenaDesc, ArenaError,
    ArenaPolicy, CreateError, DeviceFeatures, GuardPolicy, KeyError, ResourceKind,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::*;

const MIB: u64 = 1 << 20;

fn of_blocks(size: u64) -> ArenaDesc {
    ArenaDesc::new(AllocationDesc::device_local()).block_size(size)
}

fn requirements(size: u64) -> vk::MemoryRequirements {
    vk::MemoryRequirements { size, alignment: 64, memory_type_bits: u32::MAX }
}

fn allocate(arena: &Arena, size: u64) -> Result<fencepost::Allocation, AllocateError> {
    arena.allocate(&requirements(size), ResourceKind::Linear, &AllocationDesc::default())
}

#[test]
fn an_arena_fills_its_blocks_exactly_and_then_refuses() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let arena = allocator.create_arena(&of_blocks(25 * MIB).max_blocks(4)).unwrap();
        let mut held: Vec<_> = (0..100).map(|_| allocate(&arena, MIB).unwrap()).collect();
        assert_eq!((arena.statistics().blocks, arena.statistics().free), (4, 0));
        assert!(matches!(
            allocate(&arena, 1),
            Err(AllocateError::OutOfDeviceMemory { largest_free: 0, pending: 0, .. })
        ));
        // Nothing of it went elsewhere, and the allocator's figures count it in.
        assert_eq!(allocator.statistics().total.blocks, 4);
        assert_eq!(allocator.statistics().total.live, 100 * MIB);
        held.pop();
        held.push(allocate(&arena, MIB).unwrap());
        allocator.check().unwrap();
        drop(held);
        drop(arena);
        assert_eq!(fake.live().memories, 0, "an arena leaves no block behind");
    }
    fake.finish().unwrap();
}

#[test]
fn the_least_blocks_are_there_from_the_start_to_the_end() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let arena = allocator.create_arena(&of_blocks(2 * MIB).min_blocks(2)).unwrap();
        assert_eq!(fake.live().memories, 2);
        let mut held: Vec<_> = (0..5).map(|_| allocate(&arena, MIB).unwrap()).collect();
        assert_eq!(fake.live().memories, 3);
        held.pop();
        for _ in 0..200 {
            allocator.collect();
        }
        assert_eq!(fake.live().memories, 3, "one empty block stays to spare");
        allocator.trim();
        assert_eq!(fake.live().memories, 2);
        held.clear();
        allocator.trim();
        assert_eq!(fake.live().memories, 2);
        allocator.check().unwrap();
        drop(arena);
        assert_eq!(fake.live().memories, 0);
    }
    fake.finish().unwrap();
}

#[test]
fn what_was_made_in_an_arena_outlives_its_handle() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let arena = allocator.create_arena(&of_blocks(MIB)).unwrap();
        let mesh = arena.create_buffer(&buffer_desc(1000), &AllocationDesc::default()).unwrap();
        let raw = allocate(&arena, 100).unwrap().into_raw();
        let recording = frames.begin().unwrap();
        let commands = [fake.record(&[Use::buffer(mesh.handle())])];
        drop(arena);
        drop(mesh);
        submit(recording, &commands).unwrap();
        allocator.collect();
        assert_eq!(fake.live().memories, 1);
        // SAFETY: the only handle of this key.
        drop(unsafe { allocator.from_raw(raw) }.unwrap());
        assert_eq!(fake.live().buffers, 1, "the GPU still works with it");
        fake.run();
        allocator.collect();
        assert_eq!((fake.live().buffers, fake.live().memories), (0, 0));
        // The lane is another arena's now; the old key is not its.
        let arena = allocator.create_arena(&of_blocks(MIB)).unwrap();
        let _other = allocate(&arena, 100).unwrap();
        // SAFETY: the key was turned back before, and is refused.
        assert_eq!(unsafe { allocator.from_raw(raw) }.unwrap_err(), KeyError::Stale);
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

#[test]
fn lanes_of_arenas_are_used_again() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    for round in 0..3000 {
        let arena = allocator.create_arena(&of_blocks(64 << 10)).unwrap();
        let kept = allocate(&arena, 64).unwrap();
        drop(arena);
        assert_eq!(allocator.statistics().memory_types.len(), 4, "round {round}");
        drop(kept);
    }
    let all: Vec<Arena> =
        (0..992).map(|_| allocator.create_arena(&of_blocks(64 << 10)).unwrap()).collect();
    assert_eq!(allocator.create_arena(&of_blocks(64 << 10)).unwrap_err(), ArenaError::TooMany);
    drop(all);
    assert!(allocator.create_arena(&of_blocks(64 << 10)).is_ok());
}

#[test]
fn the_types_and_flags_of_a_request_bind_in_an_arena_too() {
    let fake = fake();
    let allocator = allocator(&fake);
    let arena = allocator.create_arena(&of_blocks(MIB).min_alignment(4096)).unwrap();
    assert_eq!(arena.memory_type(), 0);
    let first = allocate(&arena, 100).unwrap();
    let second = allocate(&arena, 100).unwrap();
    assert_eq!((first.offset() % 4096, second.offset() % 4096), (0, 0));
    let linear = ResourceKind::Linear;
    let refused = arena.allocate(&requirements(64), linear, &AllocationDesc::upload());
    assert!(matches!(refused, Err(AllocateError::NoMemoryType { .. })));
    let others = vk::MemoryRequirements { memory_type_bits: !1, ..requirements(64) };
    let refused = arena.allocate(&others, linear, &AllocationDesc::default());
    assert!(matches!(refused, Err(AllocateError::NoMemoryType { type_bits: 0xFFFF_FFFE, .. })));
    let dedicated = AllocationDesc::default().dedicated(true);
    let refused = arena.allocate(&requirements(64), linear, &dedicated);
    assert_eq!(refused.unwrap_err(), AllocateError::NeedsDedicated);
    assert_eq!(
        allocate(&arena, MIB + 1).unwrap_err(),
        AllocateError::TooLarge { requested: MIB + 1, limit: MIB }
    );
    let asked = fake.calls(Call::AllocateMemory);
    let never = AllocationDesc::default().flags(AllocationFlags::NEVER_ALLOCATE);
    let refused = arena.allocate(&requirements(MIB), linear, &never);
    assert!(refused.unwrap_err().is_out_of_memory());
    assert_eq!(fake.calls(Call::AllocateMemory), asked);
}

/// Of the host's memory, in granules of 64 bytes: one for a byte, and a margin on each side.
#[test]
fn blocks_that_hold_nothing_but_margins_are_refused() {
    let fake = fake();
    let allocator = allocator(&fake);
    for policy in [GuardPolicy::Margins, GuardPolicy::Full, GuardPolicy::Poison] {
        let of = |bytes| ArenaDesc::new(AllocationDesc::upload()).guards(policy).block_size(bytes);
        let least = if policy == GuardPolicy::Poison { 64 } else { 192 };
        let (asked, limit) = (least - 1, 4 << 30);
        let refused = allocator.create_arena(&of(asked)).unwrap_err();
        assert_eq!(refused, ArenaError::BlockSize { asked, limit });
        assert!(allocate(&allocator.create_arena(&of(least)).unwrap(), 1).is_ok());
    }
}

#[test]
fn descriptions_that_contradict_themselves_are_refused() {
    let fake = fake();
    let allocator = allocator(&fake);
    let refused = |desc: ArenaDesc| allocator.create_arena(&desc).unwrap_err();
    let limit = 4 << 30;
    // Nothing would fit into less than 64 bytes.
    for asked in [0, 1, 63] {
        assert_eq!(refused(of_blocks(asked)), ArenaError::BlockSize { asked, limit });
        assert_eq!(refused(of_blocks(asked).min_blocks(1)), ArenaError::BlockSize { asked, limit });
    }
    assert_eq!(refused(of_blocks(limit + 1)), ArenaError::BlockSize { asked: limit + 1, limit });
    let none = ArenaError::BlockCount { min: 0, max: 0 };
    assert_eq!(refused(of_blocks(MIB).max_blocks(0)), none);
    let crossed = ArenaError::BlockCount { min: 2, max: 1 };
    assert_eq!(refused(of_blocks(MIB).min_blocks(2).max_blocks(1)), crossed);
    let growing = ArenaDesc::new(AllocationDesc::upload());
    assert_eq!(refused(growing.min_blocks(1)), ArenaError::NoBlockSize);
    for priority in [-0.1, 1.1, f32::NAN] {
        assert_eq!(refused(growing.priority(priority)), ArenaError::Priority);
    }
    for alignment in [0, 3] {
        assert_eq!(refused(growing.min_alignment(alignment)), ArenaError::Alignment { alignment });
    }
    assert_eq!(refused(growing.memory_types(1)), ArenaError::NoMemoryType);
    assert_eq!(fake.calls(Call::AllocateMemory), 0);
}

#[test]
fn a_priority_reaches_the_driver_where_it_is_enabled() {
    for (feature, told) in
        [(DeviceFeatures::MEMORY_PRIORITY, Some(0.25)), (DeviceFeatures::empty(), None)]
    {
        let fake = fake();
        // SAFETY: the fake lives as long as the test, which submits nothing.
        let allocator = unsafe { Allocator::new(&desc(&fake).features(feature)) }.unwrap();
        let arena = allocator.create_arena(&of_blocks(MIB).priority(0.25)).unwrap();
        let made = allocate(&arena, 100).unwrap();
        assert_eq!(fake.priority(made.memory()), told);
    }
}

#[test]
fn a_growing_arena_gives_a_large_request_a_block() {
    let fake = fake();
    let allocator = allocator(&fake);
    let arena = allocator.create_arena(&ArenaDesc::new(AllocationDesc::upload())).unwrap();
    assert!(arena.memory_properties().contains(vk::MemoryPropertyFlags::HOST_VISIBLE));
    let small = allocate(&arena, 100).unwrap();
    assert!(allocator.statistics().total.reserved <= MIB);
    let large = allocate(&arena, 700 * MIB).unwrap();
    assert_ne!(small.memory(), large.memory());
    assert!(allocator.snapshot().blocks().all(|block| !block.dedicated));
}

#[test]
fn a_granularity_holds_in_arenas() {
    let fake = FakeDriver::new(&Profile::default().granularity(64 << 10));
    let allocator = allocator(&fake);
    let arena = allocator.create_arena(&of_blocks(MIB)).unwrap();
    let memory = AllocationDesc::default();
    let linear = allocate(&arena, 100).unwrap();
    let optimal = arena.allocate(&requirements(100), ResourceKind::Optimal, &memory).unwrap();
    assert_ne!(linear.offset() >> 16, optimal.offset() >> 16);
}

#[test]
fn arenas_share_the_most_blocks_between_threads() {
    let fake = fake();
    let allocator = allocator(&fake);
    let arena = allocator.create_arena(&of_blocks(64 << 10).max_blocks(8)).unwrap();
    let held: usize = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| (0..8).filter_map(|_| allocate(&arena, 64 << 10).ok()).collect())
            })
            .collect();
        let held: Vec<Vec<_>> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
        let count = held.iter().map(Vec::len).sum();
        assert!(arena.statistics().blocks <= 8);
        count
    });
    // A thread may be refused while another's block is on its way, but none is lost.
    assert!(held <= 8);
    allocator.check().unwrap();
    let rest: Vec<_> = (0..8).map_while(|_| allocate(&arena, 64 << 10).ok()).collect();
    assert!(rest.len() <= 8);
}

#[test]
fn an_allocator_ends_before_its_arenas() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let arena = allocator.create_arena(&of_blocks(MIB).min_blocks(1)).unwrap();
    let buffer = arena.create_buffer(&buffer_desc(100), &AllocationDesc::default()).unwrap();
    let report = allocator.close().unwrap();
    assert_eq!(report.leaks.len(), 1);
    drop(buffer);
    drop((arena, frames));
    fake.finish().unwrap();
}

#[test]
fn a_shutdown_makes_arenas_inert() {
    let fake = fake();
    let allocator = allocator(&fake);
    let arena = allocator.create_arena(&of_blocks(MIB).min_blocks(2)).unwrap();
    let buffer = arena.create_buffer(&buffer_desc(100), &AllocationDesc::default()).unwrap();
    // SAFETY: one thread, nothing submitted.
    unsafe { allocator.shutdown() }.unwrap();
    assert_eq!(fake.live().memories, 0);
    let refused = arena.create_buffer(&buffer_desc(100), &AllocationDesc::default());
    assert!(matches!(refused, Err(CreateError::Allocate(AllocateError::ShutDown))));
    let refused = allocator.create_arena(&of_blocks(MIB)).unwrap_err();
    assert_eq!(refused, ArenaError::Allocate(AllocateError::ShutDown));
    drop((arena, buffer, allocator));
    fake.finish().unwrap();
}

#[test]
fn counts_survive_the_arena_that_they_are_of() {
    let fake = fake();
    let allocator = allocator(&fake);
    let kept = allocator.create_arena(&of_blocks(2 * MIB)).unwrap();
    for round in 1..=3 {
        let arena = allocator.create_arena(&of_blocks(2 * MIB)).unwrap();
        let held: Vec<_> = (0..4 - round).map(|_| allocate(&arena, 1000).unwrap()).collect();
        let own = arena.statistics();
        assert_eq!((own.allocations, own.live_count), (4 - round, 4 - round));
        assert_eq!(own.peak_live, own.live, "of this arena alone");
        let all = allocator.statistics();
        // 3, then 3 + 2, then 3 + 2 + 1: nothing falls though the lane is another arena's.
        assert_eq!(all.total.allocations, [3, 5, 6][round as usize - 1]);
        assert_eq!(all.heaps.iter().map(|heap| heap.peak_live).sum::<u64>(), 3 * 1024);
        for allocation in held {
            // SAFETY: no GPU is there.
            unsafe { allocation.free_now() };
        }
    }
    drop(kept);
    drop(allocator);
    fake.finish().unwrap();
}

/// A new block is its asker's until it has its range: whoever gives empty blocks back, or takes what is free, meanwhile, no
/// request fails while the heap has room.
#[test]
fn a_new_block_is_there_for_who_asked_for_it() {
    for policy in [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack] {
        let fake = fake();
        let allocator = allocator(&fake);
        let _timeline = allocator.timeline(fake.queue(0)).unwrap();
        let desc = ArenaDesc::new(AllocationDesc::device_local()).block_size(64 << 10);
        let arena = allocator.create_arena(&desc.policy(policy)).unwrap();
        let needs = vk::MemoryRequirements { size: 40 << 10, alignment: 64, memory_type_bits: !0 };
        let running = std::sync::atomic::AtomicUsize::new(3);
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    let take = |_| {
                        let desc = AllocationDesc::device_local();
                        arena.allocate(&needs, ResourceKind::Linear, &desc).map(drop)
                    };
                    let refused = (0..2000).map(take).find(Result::is_err);
                    running.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                    assert_eq!(refused, None, "{policy:?}");
                });
            }
            while running.load(std::sync::atomic::Ordering::Relaxed) > 0 {
                allocator.trim();
            }
        });
    }
}
