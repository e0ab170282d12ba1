//! Priorities of memory that change with the allocations in it, over the fake driver.

mod support;

use std::collections::HashMap;

use fencepost::{
    Allocation, AllocationDesc, Allocator, ArenaDesc, DeviceFeatures, ResourceKind,
    fake::{Call, FakeDriver, Profile},
    vk,
};
use support::{random::Random, *};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SET: Call = Call::SetDeviceMemoryPriority;

fn with(fake: &FakeDriver, more: DeviceFeatures) -> Allocator {
    let desc = desc(fake).features(features() | more);
    // SAFETY: the fake lives as long as the allocator, and the test submits nothing.
    unsafe { Allocator::new(&desc) }.unwrap()
}

fn moving() -> DeviceFeatures {
    DeviceFeatures::MEMORY_PRIORITY | DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY
}

fn take(allocator: &Allocator, size: u64, priority: Option<f32>) -> Allocation {
    let requirements = vk::MemoryRequirements { size, alignment: 64, memory_type_bits: 1 };
    let memory = AllocationDesc::device_local();
    let memory = priority.map_or(memory, |priority| memory.priority(priority));
    allocator.allocate(&requirements, ResourceKind::Linear, &memory).unwrap()
}

fn free(allocation: Allocation) {
    // SAFETY: the test submits nothing.
    unsafe { allocation.free_now() };
}

#[test]
fn a_block_is_as_important_as_the_most_important_who_lives_there() {
    let fake = fake();
    {
        let allocator = with(&fake, moving());
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let low = take(&allocator, KIB, Some(0.25));
        let memory = low.memory();
        let told = || fake.priority(memory);
        assert_eq!(told(), Some(0.25), "the block is made for it");
        allocator.collect();
        assert_eq!((told(), fake.calls(SET)), (Some(0.25), 0), "and so there is nothing to tell");
        let high = take(&allocator, KIB, Some(1.0));
        assert_eq!((high.memory(), told()), (memory, Some(0.25)), "not before a collect");
        allocator.collect();
        assert_eq!(told(), Some(1.0));
        drop(high);
        allocator.collect();
        assert_eq!(told(), Some(0.25));
        // Of whom nothing is told, is as important as a driver takes it.
        let usual = take(&allocator, KIB, None);
        allocator.collect();
        assert_eq!(told(), Some(0.5));
        free(usual);
        allocator.collect();
        assert_eq!(told(), Some(0.25));
        low.set_priority(0.75);
        allocator.collect();
        assert_eq!(told(), Some(0.75));
        low.set_priority(f32::NAN);
        allocator.collect();
        assert_eq!(told(), Some(0.5));
        low.set_priority(0.0);
        allocator.collect();
        assert_eq!(told(), Some(0.0));
        drop(low);
        allocator.collect();
        assert_eq!(told(), Some(0.5), "an empty block is an ordinary one");
        let calls = fake.calls(SET);
        for _ in 0..10 {
            allocator.collect();
        }
        assert_eq!(fake.calls(SET), calls, "nothing changes, nothing is told");
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

#[test]
fn a_memory_of_its_own_is_told_at_once_and_moves_too() {
    let fake = fake();
    let allocator = with(&fake, moving());
    let memory = AllocationDesc::device_local().dedicated(true).priority(0.9);
    let buffer = allocator.create_buffer(&buffer_desc(100), &memory).unwrap();
    let own = buffer.allocation().memory();
    assert_eq!(fake.priority(own), Some(0.875), "in sixteenths");
    buffer.allocation().set_priority(0.125);
    allocator.collect();
    assert_eq!(fake.priority(own), Some(0.125));
    // SAFETY: nothing was submitted.
    unsafe { buffer.free_now() };
}

#[test]
fn nothing_moves_unless_the_feature_is_named() {
    for (feature, own) in [
        (DeviceFeatures::empty(), None),
        (DeviceFeatures::MEMORY_PRIORITY, Some(1.0)),
        // It needs the other one.
        (DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY, None),
    ] {
        let fake = FakeDriver::new(&Profile::default().pageable_memory(false));
        let allocator = with(&fake, feature);
        let first = take(&allocator, KIB, Some(1.0));
        first.set_priority(0.0);
        let memory = AllocationDesc::device_local().dedicated(true).priority(1.0);
        let dedicated = allocator.create_buffer(&buffer_desc(100), &memory).unwrap();
        allocator.collect();
        assert_eq!(fake.priority(first.memory()), None, "{feature:?}: many may live there");
        assert_eq!(fake.priority(dedicated.allocation().memory()), own, "{feature:?}");
        allocator.check().unwrap();
        free(first);
    }
}

#[test]
fn an_arena_of_one_priority_keeps_it_until_it_is_given_another() {
    let fake = fake();
    let allocator = with(&fake, moving());
    let desc = ArenaDesc::new(AllocationDesc::device_local()).block_size(MIB);
    let fixed = allocator.create_arena(&desc.priority(0.25)).unwrap();
    let requirements = vk::MemoryRequirements { size: MIB, alignment: 64, memory_type_bits: !0 };
    let high = AllocationDesc::default().priority(1.0);
    let make = |arena: &fencepost::Arena| {
        arena.allocate(&requirements, ResourceKind::Linear, &high).unwrap()
    };
    let held: Vec<_> = (0..3).map(|_| make(&fixed)).collect();
    let told = |held: &[Allocation]| -> Vec<Option<f32>> {
        held.iter().map(|one| fake.priority(one.memory())).collect()
    };
    allocator.collect();
    assert_eq!(told(&held), [Some(0.25); 3]);
    fixed.set_priority(0.0);
    fixed.set_priority(f32::NAN);
    allocator.collect();
    assert_eq!(told(&held), [Some(0.0); 3]);
    assert_eq!(told(&[make(&fixed)]), [Some(0.0)], "what it will have, too");
    // Without one it goes by what lives there.
    let free = allocator.create_arena(&desc).unwrap();
    assert_eq!(told(&[make(&free)]), [Some(1.0)]);
    allocator.check().unwrap();
}

/// Of many blocks that change at once some are told in each collect, and all in the end.
#[test]
fn a_collect_tells_of_a_bounded_number_of_blocks() {
    let fake = fake();
    let allocator = with(&fake, moving());
    let arena = ArenaDesc::new(AllocationDesc::device_local()).block_size(64 * KIB);
    let arena = allocator.create_arena(&arena).unwrap();
    let requirements =
        vk::MemoryRequirements { size: 64 * KIB, alignment: 64, memory_type_bits: !0 };
    let held: Vec<_> = (0..200)
        .map(|_| arena.allocate(&requirements, ResourceKind::Linear, &AllocationDesc::default()))
        .collect::<Result<_, _>>()
        .unwrap();
    held.iter().for_each(|one| one.set_priority(1.0));
    for told in [64, 128, 192, 200, 200] {
        allocator.collect();
        assert_eq!(fake.calls(SET), told);
    }
    assert!(held.iter().all(|one| fake.priority(one.memory()) == Some(1.0)));
}

/// Against a list of all that lives, by every way in and out.
#[test]
fn priorities_are_those_of_a_list_of_everybody() {
    let fake = fake();
    {
        let allocator = with(&fake, moving());
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let mut random = Random::new(11);
        let mut held: Vec<(Allocation, Option<f32>)> = Vec::new();
        let mut values = [0; 17];
        for round in 0..3000 {
            let priority =
                |random: &mut Random| (random.below(3) > 0).then(|| random.below(17) as f32 / 16.0);
            match random.below(5) {
                0 | 1 if held.len() < 40 => {
                    let priority = priority(&mut random);
                    let size = if random.below(8) == 0 { MIB } else { 100 * KIB };
                    held.push((take(&allocator, size, priority), priority));
                }
                2 if !held.is_empty() => {
                    let at = random.below(held.len() as u64) as usize;
                    held[at].1 = priority(&mut random);
                    held[at].0.set_priority(held[at].1.unwrap_or(f32::NAN));
                }
                _ if !held.is_empty() => {
                    let (gone, _) = held.swap_remove(random.below(held.len() as u64) as usize);
                    let raw = match random.below(4) {
                        0 => continue,
                        1 => {
                            free(gone);
                            continue;
                        }
                        _ => gone.into_raw(),
                    };
                    // SAFETY: the only handle of this key; the test submits nothing.
                    unsafe { allocator.retire_raw(raw) }.unwrap();
                }
                _ => {}
            }
            allocator.collect();
            let mut blocks: HashMap<vk::DeviceMemory, f32> = HashMap::new();
            for (one, priority) in &held {
                let block = blocks.entry(one.memory()).or_insert(0.0);
                *block = block.max(priority.unwrap_or(0.5));
            }
            for (memory, wanted) in blocks {
                // One that was made without being told has the driver's own.
                let told = fake.priority(memory).unwrap_or(0.5);
                assert_eq!(told, wanted, "round {round}");
                values[(told * 16.0) as usize] += 1;
            }
            if round % 100 == 0 {
                allocator.check().unwrap();
                allocator.trim();
            }
        }
        assert!(values[..8].iter().sum::<u32>() > 50 && values[8] > 50, "{values:?}");
    }
    fake.finish().unwrap();
}
