//! Arenas that place in order (rings and double stacks), over the fake driver. Their bookkeeping is
//! tested in `src/memory/line/tests.rs`.

mod support;

use std::collections::VecDeque;

use fencepost::{
    AllocateError, Allocation, AllocationDesc, AllocationFlags, Allocator, Arena, ArenaDesc,
    ArenaPolicy, GuardPolicy, Placement, ResourceKind,
    fake::{FakeDriver, Profile, Use},
    vk,
};
use support::{random::Random, *};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn of(policy: ArenaPolicy, size: u64) -> ArenaDesc {
    let desc = ArenaDesc::new(AllocationDesc::device_local());
    desc.block_size(size).max_blocks(1).policy(policy)
}

fn take_at(arena: &Arena, size: u64, flags: AllocationFlags) -> Result<Allocation, AllocateError> {
    let requirements = vk::MemoryRequirements { size, alignment: 64, memory_type_bits: !0 };
    let memory = AllocationDesc::default().flags(flags);
    arena.allocate(&requirements, ResourceKind::Linear, &memory)
}

fn take(arena: &Arena, size: u64) -> Result<Allocation, AllocateError> {
    take_at(arena, size, AllocationFlags::empty())
}

fn take_upper(arena: &Arena, size: u64) -> Result<Allocation, AllocateError> {
    take_at(arena, size, AllocationFlags::UPPER_END)
}

/// Ends an allocation that no GPU ever saw.
fn free(allocation: Allocation) {
    // SAFETY: the test submits nothing with it.
    unsafe { allocation.free_now() };
}

/// Frames that take, use and drop, three in flight. The fake judges every reuse.
#[test]
fn the_gpu_moves_the_tail_of_a_ring() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let ring = allocator.create_arena(&of(ArenaPolicy::Ring, MIB)).unwrap();
        let mut random = Random::new(5);
        let (mut laps, mut refused, mut last) = (0, 0, 0);
        // A frame is two batches: its own, and the one that signals.
        let step = || (0..2).for_each(|_| _ = fake.step(fake.queue(0)));
        for _ in 0..2000 {
            let frame = frames.begin().unwrap();
            let mut uses = Vec::new();
            for _ in 0..random.below(6) {
                let desc = buffer_desc(1 + random.below(90 * KIB));
                let Ok(buffer) = ring.create_buffer(&desc, &AllocationDesc::default()) else {
                    refused += 1;
                    // As a program would: the oldest frame has to be done first.
                    step();
                    continue;
                };
                laps += u32::from(buffer.allocation().offset() < last);
                last = buffer.allocation().offset();
                uses.push(Use::buffer(buffer.handle()));
                drop(buffer);
            }
            submit(frame, &[fake.record(&uses)]).unwrap();
            if fake.pending(fake.queue(0)) > 6 {
                step();
            }
            allocator.collect();
            assert!(ring.statistics().blocks <= 1);
        }
        assert!(laps > 100 && refused < 500, "{laps} {refused}");
        fake.run();
        allocator.collect_all();
        assert_eq!((ring.statistics().live, ring.statistics().pending), (0, 0));
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

#[test]
fn what_ends_early_in_a_ring_is_held_until_all_that_is_older_has_ended() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let ring = allocator.create_arena(&of(ArenaPolicy::Ring, MIB)).unwrap();
    let mut all: VecDeque<_> = (0..4).map(|_| take(&ring, 256 * KIB).unwrap()).collect();
    let first = all[0].memory();
    free(all.remove(1).unwrap());
    free(all.remove(1).unwrap());
    let full = take(&ring, 256 * KIB).unwrap_err();
    assert!(matches!(full, AllocateError::OutOfDeviceMemory { largest_free: 0, .. }), "{full}");
    allocator.check().unwrap();
    free(all.pop_front().unwrap());
    let again = take(&ring, 768 * KIB).unwrap();
    assert_eq!((again.memory(), again.offset()), (first, 0));
    assert!(take(&ring, 64).is_err());
    // A key names one allocation, though its place is another's now.
    free(all.pop_front().unwrap());
    let raw = again.into_raw();
    // SAFETY: the only handle of this key; nothing was submitted.
    unsafe { allocator.free_raw(raw) }.unwrap();
    let _other = take(&ring, 100).unwrap();
    // SAFETY: it is refused.
    assert!(unsafe { allocator.free_raw(raw) }.is_err());
}

#[test]
fn a_double_stack_grows_from_both_ends_and_shrinks_in_order() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let stack = allocator.create_arena(&of(ArenaPolicy::DoubleStack, MIB)).unwrap();
        let level = take(&stack, 300 * KIB).unwrap();
        let scratch = take_upper(&stack, 200 * KIB).unwrap();
        let room = take(&stack, 100 * KIB).unwrap();
        let more = take_upper(&stack, 100 * KIB).unwrap();
        let offsets = [&level, &room, &more, &scratch].map(Allocation::offset);
        assert_eq!(offsets, [0, 300 * KIB, 724 * KIB, 824 * KIB]);
        // They meet in the middle.
        assert!(take(&stack, 324 * KIB + 1).is_err() && take_upper(&stack, 324 * KIB + 1).is_err());
        let between = take_upper(&stack, 324 * KIB).unwrap();
        assert!(take(&stack, 1).is_err() && take_upper(&stack, 1).is_err());
        // Out of order: held until the top falls.
        free(level);
        assert!(take(&stack, 1).is_err());
        free(between);
        let above = take(&stack, 64).unwrap();
        assert_eq!(above.offset(), 400 * KIB, "the room is still there, above the level");
        let snapshot = allocator.snapshot();
        let blocks: Vec<_> = snapshot.blocks().collect();
        assert_eq!(blocks[0].regions[0].size, 300 * KIB, "the level's place is nobody's");
        free(above);
        free(room);
        let again = take(&stack, 64).unwrap();
        assert_eq!(again.offset(), 0, "the top fell, and all that it held");
        free(scratch);
        assert_eq!(take_upper(&stack, 64).unwrap().offset(), 724 * KIB - 256);
        allocator.check().unwrap();
        drop((frames, more, again));
    }
    fake.finish().unwrap();
}

/// Drops in any order while the GPU works: a stack comes down only as far as the GPU is.
#[test]
fn a_stack_comes_down_as_the_gpu_goes_on() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let stack = allocator.create_arena(&of(ArenaPolicy::DoubleStack, MIB)).unwrap();
        let mut random = Random::new(9);
        let (mut granted, mut upper) = (0, 0);
        let mut held = Vec::new();
        for _ in 0..1500 {
            let frame = frames.begin().unwrap();
            let flags = match random.below(2) {
                0 => AllocationFlags::UPPER_END,
                _ => AllocationFlags::empty(),
            };
            let desc = buffer_desc(1 + random.below(100 * KIB));
            if let Ok(buffer) = stack.create_buffer(&desc, &AllocationDesc::default().flags(flags))
            {
                granted += 1;
                upper += u32::from(buffer.allocation().offset() > 700 * KIB);
                held.push(buffer);
            }
            let uses: Vec<Use> = held.iter().map(|buffer| Use::buffer(buffer.handle())).collect();
            // Mostly the newest goes, now and then any.
            while held.len() > 6 || !held.is_empty() && random.below(3) == 0 {
                let at = match random.below(6) {
                    0 => random.below(held.len() as u64) as usize,
                    _ => held.len() - 1,
                };
                drop(held.remove(at));
            }
            submit(frame, &[fake.record(&uses)]).unwrap();
            if random.below(2) == 0 {
                fake.step(fake.queue(0));
            }
            if fake.pending(fake.queue(0)) > 4 {
                fake.run();
            }
            allocator.collect();
        }
        assert!(granted > 500 && upper > 100, "{granted} {upper}");
        fake.run();
        drop(held);
        allocator.collect_all();
        allocator.check().unwrap();
        let whole = take(&stack, MIB).unwrap();
        assert_eq!(whole.offset(), 0, "nothing is held when all has ended");
    }
    fake.finish().unwrap();
}

#[test]
fn granules_and_pages_are_whole_in_every_policy() {
    for policy in [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack] {
        // An odd block: its last bytes are nobody's, and what would need them is too large.
        let profile = Profile::default().granularity(4 * KIB).atom(256);
        let fake = FakeDriver::new(&profile);
        let allocator = allocator(&fake);
        let arena = allocator.create_arena(&of(policy, 100 * KIB + 100)).unwrap();
        let refused = take(&arena, 100 * KIB + 100).unwrap_err();
        let limit = 100 * KIB;
        assert_eq!(refused, AllocateError::TooLarge { requested: 100 * KIB + 100, limit });
        assert_eq!(fake.live().memories, 0, "{policy:?}: no block is made in vain");
        let first = take(&arena, 100).unwrap();
        let memory = AllocationDesc::default();
        let needs = vk::MemoryRequirements { size: 100, alignment: 64, memory_type_bits: !0 };
        let optimal = arena.allocate(&needs, ResourceKind::Optimal, &memory).unwrap();
        let last = take(&arena, 1).unwrap();
        let page = |one: &Allocation| one.offset() / (4 * KIB);
        assert_ne!(page(&first), page(&optimal), "{policy:?}");
        assert_ne!(page(&optimal), page(&last), "{policy:?}");
        allocator.check().unwrap();
    }
}

/// Two blocks are two rings; what a block cannot give, the next one may.
#[test]
fn an_arena_of_several_blocks_has_an_order_in_each() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let desc = of(ArenaPolicy::Ring, 256 * KIB).max_blocks(2).min_blocks(1);
        let ring = allocator.create_arena(&desc).unwrap();
        let held: Vec<_> = (0..8).map(|_| take(&ring, 64 * KIB).unwrap()).collect();
        assert_eq!(ring.statistics().blocks, 2);
        assert!(take(&ring, 64).unwrap_err().is_out_of_memory());
        drop(held);
        assert_eq!(ring.statistics().live_count, 0);
        allocator.trim();
        assert_eq!(ring.statistics().blocks, 1);
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

/// Guards watch what is placed in order, too.
#[test]
fn a_write_past_the_end_is_found_in_every_policy() {
    for policy in [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack] {
        let fake = fake();
        // SAFETY: the fake lives as long as the allocator.
        let allocator = unsafe { Allocator::new(&desc(&fake).guards(GuardPolicy::Full)) }.unwrap();
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let desc = ArenaDesc::new(AllocationDesc::upload()).block_size(MIB).policy(policy);
        let arena = allocator.create_arena(&desc).unwrap();
        let named = AllocationDesc::default().name("victim");
        let victim = arena.create_buffer(&buffer_desc(1000), &named).unwrap();
        drop(arena.create_buffer(&buffer_desc(1000), &AllocationDesc::default()).unwrap());
        assert!(allocator.check_guards().is_empty());
        let (memory, offset) = (victim.allocation().memory(), victim.allocation().offset());
        assert!(fake.gpu_write(memory, offset + victim.allocation().size(), &[1]));
        let found = allocator.check_guards();
        assert_eq!(found.len(), 1, "{policy:?}: {found:?}");
        assert!(found[0].to_string().contains("victim"), "{}", found[0]);
    }
}

/// Whatever an arena's policy, its plan tells what the next allocation does: a block that is there, a new
/// one of the size that is then asked for, or the same error.
#[test]
fn a_plan_comes_true() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let mut seen = [0; 3];
        for policy in [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack] {
            let desc = of(policy, 64 * KIB).max_blocks(3).min_alignment(256);
            let arena = allocator.create_arena(&desc).unwrap();
            let mut random = Random::new(9);
            let mut live = VecDeque::new();
            for _ in 0..3000 {
                let alignment = 1 << random.below(14);
                let size = 1 + random.below(60 * KIB);
                let requirements = vk::MemoryRequirements { size, alignment, memory_type_bits: !0 };
                let upper = random.below(2) == 0;
                let flags = AllocationFlags::UPPER_END | AllocationFlags::NEVER_ALLOCATE;
                let flags = if upper { flags } else { AllocationFlags::empty() };
                let memory = AllocationDesc::default().flags(flags);
                let before = arena.statistics();
                let plan = arena.plan(&requirements, ResourceKind::Linear, &memory);
                assert_eq!(arena.statistics(), before, "a plan changes nothing");
                let made = arena.allocate(&requirements, ResourceKind::Linear, &memory);
                let grown = arena.statistics().reserved - before.reserved;
                match (plan.map(|plan| (plan.placement, plan.size, plan.memory_type)), made) {
                    (Ok((placement, bytes, memory_type)), Ok(made)) => {
                        let wanted = match placement {
                            Placement::NewBlock { size } => size,
                            _ => 0,
                        };
                        assert_eq!(grown, wanted, "{placement:?}");
                        assert!(made.size() >= bytes && made.memory_type() == memory_type);
                        seen[usize::from(wanted > 0)] += 1;
                        live.push_back(made);
                    }
                    (Err(planned), Err(refused)) => {
                        assert_eq!(
                            core::mem::discriminant(&planned),
                            core::mem::discriminant(&refused)
                        );
                        assert_eq!(grown, 0);
                        seen[2] += 1;
                    }
                    (planned, made) => panic!("planned {planned:?}, came {made:?}"),
                }
                if random.below(3) > 0 {
                    // A ring's in order, a stack's from its ends.
                    let oldest = policy != ArenaPolicy::DoubleStack;
                    let ended = if oldest { live.pop_front() } else { live.pop_back() };
                    ended.into_iter().for_each(free);
                }
            }
            live.into_iter().for_each(free);
        }
        assert!(seen.iter().all(|&times| times >= 9), "{seen:?}");
        let most = vk::MemoryRequirements { size: 65 * KIB, alignment: 1, memory_type_bits: !0 };
        let arena = allocator.create_arena(&of(ArenaPolicy::Ring, 64 * KIB)).unwrap();
        let plan = arena.plan(&most, ResourceKind::Linear, &AllocationDesc::default());
        assert!(matches!(plan, Err(AllocateError::TooLarge { .. })), "{plan:?}");
    }
    assert_eq!(fake.violations(), []);
}
