//! Budgets and caps: what is allocated from a heap stays within them, over blocks, dedicated memory
//! and fallbacks, on any number of threads.

mod support;

use fencepost::{
    AllocateError, Allocation, AllocationDesc, AllocationFlags, Allocator, DeviceFeatures,
    ResourceKind, Tried,
    fake::{Call, FakeDriver, Profile},
    vk,
};
use support::{random::Random, *};

const MIB: u64 = 1 << 20;

/// Device-local memory of heap 0 and nothing else.
fn only_heap_0() -> AllocationDesc {
    AllocationDesc::device_local()
}

fn within_budget() -> AllocationDesc {
    only_heap_0().flags(AllocationFlags::WITHIN_BUDGET)
}

/// One heap with one type, of a size.
fn one_heap(size: u64) -> Profile {
    use vk::{MemoryHeapFlags as Heap, MemoryPropertyFlags as Type};
    Profile::default().heaps(&[(size, Heap::DEVICE_LOCAL)]).types(&[(0, Type::DEVICE_LOCAL)])
}

fn reporting(fake: &FakeDriver) -> Allocator {
    let desc = desc(fake).features(features() | DeviceFeatures::MEMORY_BUDGET);
    // SAFETY: the fake lives as long as the allocator.
    unsafe { Allocator::new(&desc) }.unwrap()
}

fn take(allocator: &Allocator, size: u64, desc: &AllocationDesc) -> Result<Allocation, Tried> {
    let requirements = vk::MemoryRequirements { size, alignment: 256, memory_type_bits: !0 };
    match allocator.allocate(&requirements, ResourceKind::Linear, desc) {
        Ok(allocation) => Ok(allocation),
        Err(AllocateError::OutOfDeviceMemory { requested, tried, .. }) => {
            assert_eq!(requested, size);
            Err(tried)
        }
        Err(error) => panic!("{error}"),
    }
}

/// As much as there is, in requests of one size.
fn fill(allocator: &Allocator, size: u64, desc: &AllocationDesc) -> (Vec<Allocation>, Tried) {
    let mut held = Vec::new();
    loop {
        match take(allocator, size, desc) {
            Ok(allocation) => held.push(allocation),
            Err(tried) => return (held, tried),
        }
    }
}

/// VMA's `WITHIN_BUDGET` went to 2736 MiB here, on a budget of 1638.
#[test]
fn requests_of_100_mib_stay_within_a_budget_of_1638() {
    let budget = 1638 * MIB;
    let run = |desc: AllocationDesc| {
        let fake = FakeDriver::new(&one_heap(2048 * MIB));
        fake.set_budget(0, budget, 0);
        let allocator = reporting(&fake);
        let (held, tried) = fill(&allocator, 100 * MIB, &desc);
        let heap = allocator.heap_budget(0).unwrap();
        assert_eq!((heap.budget, heap.size, heap.reported), (budget, 2048 * MIB, true));
        assert_eq!(heap.reserved, fake.heap_used(0));
        allocator.check().unwrap();
        (held.len(), tried, fake.heap_peak(0))
    };
    let (count, tried, peak) = run(within_budget());
    assert!(count >= 14, "{count}");
    assert!(peak <= budget && tried.contains(Tried::BUDGET), "{peak}, {tried:?}");
    assert!(tried.contains(Tried::DEDICATED), "the fallback kept to it too");
    // The control: without the flag the budget is gone over, up to the heap.
    let (count, tried, peak) = run(only_heap_0());
    assert!(count > 16 && peak > budget, "{count}");
    assert!(tried.contains(Tried::DRIVER) && !tried.contains(Tried::BUDGET), "{tried:?}");
}

/// Eight threads allocate and free, blocks and dedicated memories, some of them with the driver
/// failing now and then. Returns the peak.
fn eight_threads(fake: &FakeDriver, allocator: &Allocator, desc: AllocationDesc) -> u64 {
    for nth in (0..200).step_by(17) {
        fake.fail(Call::AllocateMemory, nth, vk::Result::ERROR_OUT_OF_DEVICE_MEMORY);
    }
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let mut random = Random::new(thread);
                let mut held = Vec::new();
                for _ in 0..400 {
                    if held.len() > 30 || (random.below(3) == 0 && !held.is_empty()) {
                        let gone: Allocation =
                            held.swap_remove(random.below(held.len() as u64) as usize);
                        // SAFETY: no GPU work at all.
                        unsafe { gone.free_now() };
                    }
                    let size = (1 + random.below(8)) * MIB;
                    let desc = desc.dedicated(random.below(2) == 0);
                    held.extend(take(allocator, size, &desc));
                    if random.below(20) == 0 {
                        allocator.trim();
                    }
                }
                for gone in held {
                    // SAFETY: as above.
                    unsafe { gone.free_now() };
                }
            });
        }
    });
    allocator.check().unwrap();
    fake.heap_peak(0)
}

#[test]
fn eight_threads_never_exceed_the_budget() {
    let budget = 60 * MIB;
    let run = |desc: AllocationDesc| {
        let fake = FakeDriver::new(&one_heap(1024 * MIB));
        fake.set_budget(0, budget, 0);
        let allocator = reporting(&fake);
        let peak = eight_threads(&fake, &allocator, desc);
        assert_eq!(allocator.heap_budget(0).unwrap().reserved, fake.heap_used(0));
        allocator.trim();
        assert_eq!(allocator.heap_budget(0).unwrap().reserved, 0);
        peak
    };
    let strict = run(within_budget());
    assert!(strict <= budget && strict > budget / 2, "{strict}");
    assert!(run(only_heap_0()) > budget, "the control goes over");
}

#[test]
fn eight_threads_never_exceed_a_cap() {
    let fake = FakeDriver::new(&one_heap(1024 * MIB));
    // SAFETY: the fake lives as long as the allocator.
    let allocator = unsafe { Allocator::new(&desc(&fake).heap_cap(0, 60 * MIB)) }.unwrap();
    let peak = eight_threads(&fake, &allocator, only_heap_0());
    assert!(peak <= 60 * MIB && peak > 30 * MIB, "{peak}");
    let heap = allocator.heap_budget(0).unwrap();
    assert_eq!((heap.cap, heap.reported), (Some(60 * MIB), false));
}

#[test]
fn without_a_report_the_budget_is_four_fifths_of_the_heap() {
    let fake = FakeDriver::new(&one_heap(100 * MIB));
    let allocator = allocator(&fake);
    let (held, _) = fill(&allocator, MIB, &within_budget());
    assert!((79..=80).contains(&held.len()), "{}", held.len());
    let heap = allocator.heap_budget(0).unwrap();
    assert_eq!((heap.budget, heap.usage, heap.reported), (80 * MIB, 0, false));
    assert!(heap.left < MIB && heap.device_local);
    assert!(allocator.heap_budget(1).is_none());
    assert_eq!(fake.calls(Call::GetPhysicalDeviceMemoryProperties), 1, "nothing more was asked");
}

#[test]
fn what_others_take_is_seen_and_reports_are_read_by_count() {
    let fake = FakeDriver::new(&one_heap(1024 * MIB));
    fake.set_budget(0, 512 * MIB, 0);
    let allocator = reporting(&fake);
    let first = take(&allocator, 300 * MIB, &within_budget()).unwrap();
    let asked = fake.calls(Call::GetPhysicalDeviceMemoryProperties);
    // The last report still says 512 MiB: strict against what was reported, not against a guess.
    fake.set_budget(0, 512 * MIB, 200 * MIB);
    assert_eq!(allocator.heap_budget(0).unwrap().budget, 512 * MIB);
    for _ in 0..64 {
        allocator.collect();
    }
    let heap = allocator.heap_budget(0).unwrap();
    assert_eq!((heap.budget, heap.usage, heap.left), (312 * MIB, 300 * MIB, 12 * MIB));
    assert_eq!(fake.calls(Call::GetPhysicalDeviceMemoryProperties), asked + 1);
    take(&allocator, 20 * MIB, &within_budget()).unwrap_err();
    // A refusal asks again before it is said.
    fake.set_budget(0, 512 * MIB, 0);
    let second = take(&allocator, 20 * MIB, &within_budget()).unwrap();
    let asked = fake.calls(Call::GetPhysicalDeviceMemoryProperties);
    for _ in 0..320 {
        let gone = take(&allocator, MIB, &within_budget().dedicated(true)).unwrap();
        // SAFETY: the GPU does nothing.
        unsafe { gone.free_now() };
    }
    let asked = fake.calls(Call::GetPhysicalDeviceMemoryProperties) - asked;
    assert!((19..=21).contains(&asked), "{asked} reports for 640 changes");
    drop((first, second));
}

#[test]
fn pending_bytes_count_until_the_gpu_is_done() {
    let fake = FakeDriver::new(&one_heap(1024 * MIB));
    fake.set_budget(0, 300 * MIB, 0);
    let allocator = reporting(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let frame = frames.begin().unwrap();
    let mesh = take(&allocator, 200 * MIB, &within_budget()).unwrap();
    drop(mesh);
    submit_nothing(frame).unwrap();
    let tried = take(&allocator, 200 * MIB, &within_budget()).unwrap_err();
    assert!(tried.contains(Tried::BUDGET) && !tried.contains(Tried::COLLECT), "{tried:?}");
    fake.run();
    let again = take(&allocator, 200 * MIB, &within_budget()).unwrap();
    assert!(fake.heap_peak(0) <= 300 * MIB);
    drop(again);
}

#[test]
fn a_block_is_made_smaller_rather_than_go_over_the_budget() {
    let fake = FakeDriver::new(&one_heap(8192 * MIB));
    fake.set_budget(0, 3 * MIB, 0);
    let desc =
        desc(&fake).features(features() | DeviceFeatures::MEMORY_BUDGET).first_block(4 << 20);
    // SAFETY: the fake lives as long as the allocator.
    let allocator = unsafe { Allocator::new(&desc) }.unwrap();
    // Without the flag, too: a block of 4 MiB is not needed for this.
    let small = take(&allocator, 1000, &only_heap_0()).unwrap();
    assert_eq!(fake.heap_used(0), 2 * MIB);
    // What does not fit at all goes over, for want of the flag.
    let large = take(&allocator, 10 * MIB, &only_heap_0()).unwrap();
    assert!(fake.heap_used(0) >= 12 * MIB);
    assert_eq!(allocator.heap_budget(0).unwrap().left, 0);
    drop((small, large));
}

#[test]
fn never_allocate_takes_what_is_there_and_asks_nobody() {
    let fake = FakeDriver::new(&one_heap(1024 * MIB));
    let allocator = allocator(&fake);
    let never = only_heap_0().flags(AllocationFlags::NEVER_ALLOCATE);
    assert_eq!(take(&allocator, 1000, &never).unwrap_err(), Tried::empty());
    assert_eq!(take(&allocator, 1000, &never.dedicated(true)).unwrap_err(), Tried::empty());
    let first = take(&allocator, 1000, &only_heap_0()).unwrap();
    let second = take(&allocator, 1000, &never).unwrap();
    assert_eq!(first.memory(), second.memory());
    let (_held, tried) = fill(&allocator, 10_000, &never);
    assert_eq!(tried, Tried::empty());
    assert_eq!(fake.calls(Call::AllocateMemory), 1);
}

#[test]
fn a_failed_call_gives_its_reservation_back() {
    let fake = FakeDriver::new(&one_heap(100 * MIB));
    let allocator = reporting(&fake);
    for result in [vk::Result::ERROR_OUT_OF_DEVICE_MEMORY, vk::Result::ERROR_UNKNOWN] {
        fake.fail_all(Call::AllocateMemory, result);
        let requirements =
            vk::MemoryRequirements { size: MIB, alignment: 256, memory_type_bits: !0 };
        allocator.allocate(&requirements, ResourceKind::Linear, &within_budget()).unwrap_err();
        fake.clear_faults();
        assert_eq!(allocator.heap_budget(0).unwrap().reserved, 0);
        allocator.check().unwrap();
    }
    assert!(fill(&allocator, 10 * MIB, &within_budget()).0.len() >= 9);
}
