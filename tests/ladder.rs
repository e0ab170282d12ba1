//! What is tried when memory is short, and how little is held when it is not.

mod support;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use fencepost::{
    AllocateError, Allocation, AllocationDesc, Allocator, ResourceKind, Timeline, Tried,
    fake::{Call, FakeDriver, Profile},
    vk,
};
use support::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn profile(heaps: &[u64], types: &[u32]) -> Profile {
    let heaps: Vec<_> = heaps.iter().map(|&s| (s, vk::MemoryHeapFlags::DEVICE_LOCAL)).collect();
    let types: Vec<_> =
        types.iter().map(|&heap| (heap, vk::MemoryPropertyFlags::DEVICE_LOCAL)).collect();
    Profile::default().heaps(&heaps).types(&types)
}

fn take(allocator: &Allocator, size: u64) -> Result<Allocation, AllocateError> {
    let requirements = vk::MemoryRequirements { size, alignment: 64, memory_type_bits: !0 };
    allocator.allocate(&requirements, ResourceKind::Linear, &AllocationDesc::device_local())
}

fn fill(allocator: &Allocator, size: u64) -> (Vec<Allocation>, AllocateError) {
    let mut held = Vec::new();
    loop {
        match take(allocator, size) {
            Ok(memory) => held.push(memory),
            Err(error) => return (held, error),
        }
    }
}

fn tried(error: AllocateError) -> Tried {
    match error {
        AllocateError::OutOfDeviceMemory { tried, .. } => tried,
        other => panic!("{other}"),
    }
}

/// Ends an allocation that no GPU ever saw.
fn free(memory: Allocation) {
    // SAFETY: the test submits nothing.
    unsafe { memory.free_now() };
}

#[test]
fn a_small_buffer_holds_little_on_every_gpu_and_a_spike_leaves_nothing() {
    for profile in Profile::all() {
        let fake = FakeDriver::new(&profile);
        let allocator = allocator(&fake);
        let small = buffer(&allocator, KIB);
        let held = allocator.statistics().total.reserved;
        assert!(held <= 4 * MIB, "{}: {held} bytes for 1 KiB", profile.name());
        let spike: Vec<_> = (0..40)
            .map(|n| take(&allocator, MIB + n * 64 * KIB).unwrap())
            .chain((0..2000).map(|_| take(&allocator, 10 * KIB).unwrap()))
            .collect();
        assert!(allocator.statistics().total.reserved > 40 * MIB);
        spike.into_iter().for_each(free);
        allocator.trim();
        assert_eq!(allocator.statistics().total.reserved, held, "{}", profile.name());
        drop(small);
    }
}

/// Without `trim` too, in the time that empty blocks linger.
#[test]
fn a_spike_goes_away_by_itself() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let small = buffer(&allocator, KIB);
    let held = allocator.statistics().total.reserved;
    drop((0..50).map(|n| buffer(&allocator, (1 + n) * MIB)).collect::<Vec<_>>());
    for _ in 0..1100 {
        allocator.collect();
    }
    assert!(allocator.statistics().total.reserved <= held + 4 * MIB);
    drop(small);
}

#[test]
fn a_full_heap_is_halved_into_and_small_requests_get_no_memory_of_their_own() {
    // 10 MiB and an odd rest, in blocks of 1 MiB.
    let fake = FakeDriver::new(&profile(&[10 * MIB + 100 * KIB + 12_345], &[0]));
    let allocator = allocator(&fake);
    let (held, error) = fill(&allocator, 5000);
    let AllocateError::OutOfDeviceMemory { requested, largest_free, pending, heap, left, .. } =
        error
    else {
        panic!("{error}")
    };
    assert_eq!((requested, pending, heap, left), (5000, 0, 0, 0));
    assert!(largest_free < 5056, "{largest_free}");
    assert_eq!(tried(error), Tried::SMALLER | Tried::DRIVER);
    assert!(fake.heap_used(0) >= 10 * MIB + 64 * KIB, "to the last 64 KiB");
    assert!(allocator.snapshot().blocks().all(|block| !block.dedicated));
    assert!(fake.live().memories < 30);
    // Failing once more does not cost dozens of driver calls.
    let calls = fake.calls(Call::AllocateMemory);
    take(&allocator, 5000).unwrap_err();
    assert!(fake.calls(Call::AllocateMemory) - calls < 8);
    held.into_iter().for_each(free);
    allocator.check().unwrap();
}

#[test]
fn who_asks_for_a_memory_of_its_own_gets_it_though_a_block_has_room() {
    let fake = FakeDriver::new(&Profile::default());
    let allocator = allocator(&fake);
    let requirements = vk::MemoryRequirements { size: 4096, alignment: 64, memory_type_bits: !0 };
    let beside = take(&allocator, 4096).unwrap();
    for name in [None, Some("alone")] {
        let mut desc = AllocationDesc::device_local().dedicated(true);
        desc = name.map_or(desc, |name| desc.name(name));
        let alone = allocator.allocate(&requirements, ResourceKind::Linear, &desc).unwrap();
        assert!(alone.memory() != beside.memory() && alone.offset() == 0);
        assert_eq!(allocator.statistics().total.blocks, 2);
        drop(alone);
        // SAFETY: nothing was submitted.
        unsafe { allocator.assume_idle() };
        allocator.trim();
    }
    assert_eq!(take(&allocator, 4096).unwrap().memory(), beside.memory(), "the control");
}

#[test]
fn what_is_large_ends_in_a_memory_of_its_own() {
    let fake = FakeDriver::new(&profile(&[10 * MIB + 100], &[0]));
    let allocator = allocator(&fake);
    // A block is a multiple of 64 KiB; this request is all of the heap.
    let all = take(&allocator, 10 * MIB + 100).unwrap();
    assert!(allocator.snapshot().blocks().next().unwrap().dedicated);
    let error = take(&allocator, MIB).unwrap_err();
    assert_eq!(tried(error), Tried::DEDICATED | Tried::DRIVER);
    free(all);
}

#[test]
fn pending_memory_is_collected_and_empty_blocks_go_before_a_worse_type_is_taken() {
    use vk::{MemoryHeapFlags as Heap, MemoryPropertyFlags as Type};
    let profile = Profile::default()
        .heaps(&[(20 * MIB, Heap::DEVICE_LOCAL), (100 * MIB, Heap::empty())])
        .types(&[(0, Type::DEVICE_LOCAL), (1, Type::HOST_VISIBLE | Type::HOST_COHERENT)]);
    let fake = FakeDriver::new(&profile);
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let frame = frames.begin().unwrap();
    let first = take(&allocator, 15 * MIB).unwrap();
    assert_eq!(first.memory_type(), 0);
    drop(first);
    submit_nothing(frame).unwrap();
    // The GPU is not done: the other type.
    let second = take(&allocator, 18 * MIB).unwrap();
    assert_eq!(second.memory_type(), 1);
    fake.run();
    // It is done: what it had is collected, its block is too small and goes, and the best type has room.
    let third = take(&allocator, 18 * MIB).unwrap();
    assert_eq!(third.memory_type(), 0);
    assert_eq!(fake.calls(Call::FreeMemory), 1);
    let error = take(&allocator, 95 * MIB).unwrap_err();
    assert!(tried(error).contains(Tried::OTHER_TYPES | Tried::DRIVER), "{error}");
    drop((second, third));
}

#[test]
fn memories_are_counted_and_the_last_ones_are_found_by_releasing() {
    let fake = FakeDriver::new(&Profile::default().max_allocation_count(8));
    let allocator = allocator(&fake);
    let dedicated = AllocationDesc::device_local().dedicated(true);
    let make = || allocator.create_buffer(&buffer_desc(100), &dedicated);
    // An empty block of another type lingers.
    free(
        allocator
            .allocate(
                &vk::MemoryRequirements { size: KIB, alignment: 64, memory_type_bits: !0 },
                ResourceKind::Linear,
                &AllocationDesc::upload(),
            )
            .unwrap(),
    );
    assert_eq!(fake.live().memories, 1);
    let eight: Vec<_> = (0..8).map(|_| make().unwrap()).collect();
    assert_eq!(fake.live().memories, 8);
    let error = make().unwrap_err();
    assert!(error.to_string().contains("8 memory objects"), "{error}");
    // Small requests share: they need one memory for all.
    let mut eight = eight.into_iter();
    // SAFETY: nothing was submitted.
    unsafe { eight.next().unwrap().free_now() };
    let shared: Vec<_> = (0..100).map(|_| take(&allocator, KIB).unwrap()).collect();
    assert_eq!(fake.live().memories, 8);
    drop((eight, shared));
}

#[test]
fn heaps_of_every_kind() {
    // A heap of nothing, one without a type, a tiny one, an odd one.
    let fake = FakeDriver::new(&profile(&[0, 100 * MIB, 5000, 70 * KIB + 1], &[0, 2, 3]));
    let allocator = allocator(&fake);
    let first = take(&allocator, 4000).unwrap();
    assert_eq!(first.memory_type(), 2, "the others cannot hold a block");
    // More than any heap with a type holds, and less than the heap without one.
    let error = take(&allocator, MIB).unwrap_err();
    assert!(!tried(error).contains(Tried::DRIVER), "{error}");
    assert!(matches!(take(&allocator, 200 * MIB), Err(AllocateError::TooLarge { .. })));
    let own = AllocationDesc::device_local().dedicated(true);
    let requirements = vk::MemoryRequirements { size: 5000, alignment: 64, memory_type_bits: !0 };
    let tiny = allocator.allocate(&requirements, ResourceKind::Linear, &own).unwrap();
    assert_eq!(tiny.memory_type(), 1, "a memory of its own fits the tiny heap");
    allocator.check().unwrap();
    drop((first, tiny));
}

#[test]
fn no_single_allocation_is_larger_than_the_device_says() {
    let fake = FakeDriver::new(&profile(&[1024 * MIB], &[0]).max_allocation_size(10 * MIB + 1));
    let allocator = allocator(&fake);
    assert!(matches!(take(&allocator, 10 * MIB + 2), Err(AllocateError::TooLarge { limit, .. })
        if limit == 10 * MIB + 1));
    let most = take(&allocator, 10 * MIB + 1).unwrap();
    let small: Vec<_> = (0..200).map(|_| take(&allocator, MIB).unwrap()).collect();
    assert!(allocator.snapshot().blocks().all(|block| block.size <= 10 * MIB + 1));
    drop((most, small));
}

#[test]
fn block_sizes_are_set_by_heap_and_told() {
    let fake = fake();
    let desc = desc(&fake).first_block(2 * MIB).heap_blocks(1, 128 * KIB, 4 * MIB + 1);
    // SAFETY: the fake lives as long as the allocator.
    let allocator = unsafe { Allocator::new(&desc) }.unwrap();
    let sizes = |memory_type| {
        let sizes = allocator.block_sizes(memory_type)?;
        Some((sizes.first, sizes.largest, sizes.large))
    };
    assert_eq!(sizes(0), Some((2 * MIB, 256 * MIB, 8 * MIB)));
    assert_eq!(sizes(1), Some((128 * KIB, 4 * MIB, 512 * KIB)));
    // The window of 256 MiB has blocks of an eighth at most.
    assert_eq!(sizes(3), Some((2 * MIB, 32 * MIB, 8 * MIB)));
    assert_eq!((sizes(4), sizes(32), sizes(u32::MAX)), (None, None, None));
    let staging = AllocationDesc::upload();
    let small = allocator.create_buffer(&buffer_desc(100), &staging.prefer_host()).unwrap();
    assert_eq!(allocator.snapshot().blocks().next().unwrap().size, 128 * KIB);
    drop(small);
}

/// A heap that holds one large buffer and not two, and a first one that a frame holds back.
fn one_pending(fake: &FakeDriver, allocator: &Allocator) -> Timeline {
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let first = take(allocator, 40 * MIB).unwrap();
    let frame = frames.begin().unwrap();
    drop(first);
    fake.set_stalled(fake.queue(0), true);
    fake.set_patience(LONG);
    submit_nothing(frame).unwrap();
    frames
}

fn take_patiently(allocator: &Allocator, patience: Duration) -> Result<Allocation, AllocateError> {
    let desc = AllocationDesc::device_local().patience(patience);
    let requirements =
        vk::MemoryRequirements { size: 40 * MIB, alignment: 64, memory_type_bits: !0 };
    allocator.allocate(&requirements, ResourceKind::Linear, &desc)
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_patient_request_waits_for_the_gpu_and_is_granted() {
    let fake = FakeDriver::new(&profile(&[64 * MIB], &[0]));
    {
        let allocator = allocator(&fake);
        let _frames = one_pending(&fake, &allocator);
        // The control: without patience it is refused, and nobody was waited for.
        let refused = take(&allocator, 40 * MIB).unwrap_err();
        assert!(!tried(refused).contains(Tried::WAIT), "{refused:?}");
        let waits = || fake.calls(Call::WaitSemaphores);
        let (before, answered) = (waits(), AtomicBool::new(false));
        let granted = std::thread::scope(|scope| {
            scope.spawn(|| {
                // The GPU goes on only once it is waited for.
                while waits() == before && !answered.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                fake.set_stalled(fake.queue(0), false);
                fake.run();
            });
            let granted = take_patiently(&allocator, LONG);
            answered.store(true, Ordering::Relaxed);
            granted
        });
        drop(granted.unwrap());
        assert!(waits() > before, "it has waited");
    }
    fake.finish().unwrap();
}

#[test]
fn patience_ends_by_its_bound_and_at_once_where_no_wait_helps() {
    let fake = FakeDriver::new(&profile(&[64 * MIB], &[0]));
    {
        let allocator = allocator(&fake);
        let frames = one_pending(&fake, &allocator);
        let start = Instant::now();
        let refused = take_patiently(&allocator, Duration::from_millis(20)).unwrap_err();
        assert!(start.elapsed() >= Duration::from_millis(20), "{:?}", start.elapsed());
        assert!(tried(refused).contains(Tried::WAIT), "{refused:?}");
        let AllocateError::OutOfDeviceMemory { cut: Some(cut), .. } = refused else { panic!() };
        assert!(allocator.wait_for(cut, Duration::ZERO).is_err(), "it is what it waited for");
        fake.set_stalled(fake.queue(0), false);
        fake.run();
        let again = take_patiently(&allocator, LONG).unwrap();
        // A recording that was open at the drop still is: the GPU cannot help.
        let open = frames.begin().unwrap();
        drop(again);
        let start = Instant::now();
        let refused = take_patiently(&allocator, LONG).unwrap_err();
        assert!(start.elapsed() < LONG / 2 && !tried(refused).contains(Tried::WAIT), "{refused:?}");
        submit_nothing(open).unwrap();
        fake.run();
    }
    fake.finish().unwrap();
}

/// Before more is held than ever, the oldest empty block goes, and no more than have to: for a block, and for a memory
/// of its own.
#[test]
fn the_oldest_empty_block_makes_way() {
    for dedicated in [false, true] {
        let fake = FakeDriver::new(&profile(&[256 * MIB, 256 * MIB], &[0, 1]));
        let desc = desc(&fake).first_block(MIB).largest_block(MIB).linger(1000);
        let allocator = made(&desc);
        let take = |types: u32, size: u64, dedicated: bool| {
            let needs = vk::MemoryRequirements { size, alignment: 64, memory_type_bits: types };
            let memory = AllocationDesc::device_local().dedicated(dedicated);
            allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap()
        };
        let blocks = || -> Vec<u32> {
            allocator.statistics().memory_types.iter().map(|of| of.blocks).collect()
        };
        let [young, old] = [take(1, MIB, false), take(2, MIB, false)];
        free(take(1, 20 * MIB, true));
        allocator.collect();
        free(old);
        allocator.collect();
        free(young);
        allocator.collect();
        assert_eq!(blocks()[..2], [1, 1]);
        // With both it would be the most ever, with one of them it is not.
        let large = take(1, 20 * MIB + MIB / 2, dedicated);
        assert_eq!(blocks()[..2], [2, 0], "dedicated: {dedicated}");
        free(large);
    }
}

/// The heap that is short is what is told, though another type is refused for another reason after it.
#[test]
fn out_of_memory_is_told_before_what_comes_after_it() {
    let local = vk::MemoryPropertyFlags::DEVICE_LOCAL;
    let visible = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
    let heaps =
        [(4 * MIB, vk::MemoryHeapFlags::DEVICE_LOCAL), (64 * MIB, vk::MemoryHeapFlags::empty())];
    let types = [(0, local), (1, visible)];
    let fake = FakeDriver::new(&Profile::default().heaps(&heaps).types(&types));
    let allocator = allocator(&fake);
    fake.fail_all(Call::MapMemory, vk::Result::ERROR_MEMORY_MAP_FAILED);
    let error = take(&allocator, 8 * MIB).unwrap_err();
    let AllocateError::OutOfDeviceMemory { heap: 0, tried, .. } = error else { panic!("{error}") };
    assert!(tried.contains(Tried::OTHER_TYPES), "{tried}");
    // The control: alone, that is the error.
    let only = vk::MemoryRequirements { size: MIB, alignment: 64, memory_type_bits: 2 };
    let memory = AllocationDesc::device_local();
    let error = allocator.allocate(&only, ResourceKind::Linear, &memory).unwrap_err();
    assert_eq!(error, AllocateError::Map(vk::Result::ERROR_MEMORY_MAP_FAILED));
}

/// A plan knows that there are as many memories as there may be; so does one in an arena.
#[test]
fn a_plan_tells_of_too_many_memories() {
    let fake = FakeDriver::new(&profile(&[256 * MIB], &[0]).max_allocation_count(2));
    let allocator = made(&desc(&fake).first_block(MIB).largest_block(MIB));
    let arena = fencepost::ArenaDesc::new(AllocationDesc::device_local()).block_size(MIB);
    let arena = allocator.create_arena(&arena).unwrap();
    let plans = |size| {
        let needs = vk::MemoryRequirements { size, alignment: 64, memory_type_bits: !0 };
        let (kind, memory) = (ResourceKind::Linear, AllocationDesc::device_local());
        [allocator.plan(&needs, kind, &memory), arena.plan(&needs, kind, &memory)]
            .map(|plan| plan.map(|plan| plan.placement))
    };
    assert!(plans(MIB).iter().all(Result::is_ok));
    let held = [take(&allocator, MIB).unwrap(), take(&allocator, MIB).unwrap()];
    let too_many = AllocateError::TooManyAllocations { limit: 2 };
    assert_eq!(plans(MIB), [Err(too_many); 2]);
    assert_eq!(take(&allocator, MIB).unwrap_err(), too_many);
    // What no memory could hold is told as that.
    assert!(matches!(plans(300 * MIB)[0], Err(AllocateError::TooLarge { .. })));
    held.into_iter().for_each(free);
}
