//! The host has no memory while blocks are created, freed, closed and opened: an operation returns
//! an error or finds another way, and nothing is lost.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/moving.rs"]
mod moving;
mod support;

use counting::{short_of_memory, without_the_next};
use fencepost::{
    AllocateError, Allocation, AllocationDesc, AllocationFlags, DefragmentDesc, ResourceKind,
    fake::{FakeDriver, Profile},
    tlsf::{AreaError, Tlsf},
    vk,
};
use moving::*;
use support::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[test]
fn an_area_without_books_is_an_error_and_to_go_needs_none() {
    let mut space = Tlsf::without_areas(64).unwrap();
    let mut areas = Vec::with_capacity(1000);
    let mut refused = 0;
    for at in 0..1000 {
        let (added, times) = short_of_memory(0, || space.add_area(at * MIB, 64 * KIB));
        let area = added.unwrap_or_else(|error| {
            assert_eq!((error, times > 0), (AreaError::OutOfHostMemory, true));
            assert_eq!((space.area_count() as u64, space.size()), (at, at * 64 * KIB));
            space.check().unwrap();
            refused += 1;
            space.add_area(at * MIB, 64 * KIB).unwrap()
        });
        areas.push(area);
    }
    assert!(refused > 10, "{refused}");
    space.check().unwrap();
    for area in areas.drain(..) {
        let (removed, times) = short_of_memory(0, || space.remove_area(area));
        assert!(removed.is_ok() && times == 0);
    }
    assert_eq!(space.size(), 0);
    space.check().unwrap();
}

/// The fake has its own memory, as it had so many memories before.
fn warm(fake: &FakeDriver) {
    let info = vk::MemoryAllocateInfo::default().allocation_size(64 * KIB);
    // SAFETY: the fake's own, and nothing uses them.
    let warm = [(); 100].map(|()| unsafe { fake.device().allocate_memory(&info, None) }.unwrap());
    // SAFETY: as above.
    warm.into_iter().for_each(|memory| unsafe { fake.device().free_memory(memory, None) });
}

/// The heap refuses the k-th request of an allocation that asks for a block, for every k: what is made goes back to the
/// driver or is there, and the next one is granted.
#[test]
fn a_block_without_books_goes_back_and_the_next_is_granted() {
    let mut refusals = Vec::new();
    for before in 0..70 {
        for granted in 0.. {
            let fake = FakeDriver::new(&Profile::default());
            warm(&fake);
            let desc = desc(&fake).first_block(64 * KIB).largest_block(64 * KIB);
            let allocator = made(&desc);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let take = || {
                let needs =
                    vk::MemoryRequirements { size: 60 * KIB, alignment: 64, memory_type_bits: 1 };
                allocator.allocate(&needs, ResourceKind::Linear, &AllocationDesc::device_local())
            };
            let full: Vec<Allocation> = (0..before).map(|_| take().unwrap()).collect();
            let (made, refused) = without_the_next(granted, take);
            allocator.check().unwrap();
            let statistics = allocator.statistics().total;
            assert_eq!(
                fake.live().memories as u32,
                statistics.blocks,
                "{before} {granted}: {made:?}"
            );
            assert_eq!(statistics.live_count, before + u64::from(made.is_ok()));
            if let Err(error) = &made {
                assert!(refused, "{before} {granted}: {error}");
                assert_eq!(*error, AllocateError::OutOfHostMemory, "{before} {granted}");
                refusals.push((before, granted));
            }
            let next = take().unwrap();
            allocator.check().unwrap();
            drop((made, full, next));
            allocator.check().unwrap();
            allocator.trim();
            assert_eq!(fake.live().memories, 0);
            drop((frames, allocator));
            fake.finish().unwrap();
            if !refused {
                break;
            }
        }
    }
    println!("refused with so many blocks, after so many requests that were granted: {refusals:?}");
    assert!(refusals.len() > 10, "{refusals:?}");
}

/// To look at need into closed blocks opens and shuts them, which asks the host for nothing.
#[test]
fn a_closed_block_is_opened_at_need_and_shut_without_memory() {
    // A heap of 8 MiB in blocks of 1 MiB.
    let small = Profile::default()
        .heaps(&[(8 * MIB, vk::MemoryHeapFlags::DEVICE_LOCAL)])
        .types(&[(0, vk::MemoryPropertyFlags::DEVICE_LOCAL)]);
    let stage = Stage::over(FakeDriver::new(&small));
    let allocator = &stage.allocator;
    let meshes = scattered(allocator, 200 * KIB, 36);
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    assert!(run.remaining() > 0);
    let needs = vk::MemoryRequirements { size: 50 * KIB, alignment: 64, memory_type_bits: 1 };
    let memory = AllocationDesc::device_local().flags(AllocationFlags::NEVER_ALLOCATE);
    let take = || allocator.allocate(&needs, ResourceKind::Linear, &memory);
    let mut others = Vec::with_capacity(1000);
    let mut refused = false;
    let (closed, _) = short_of_memory(0, || {
        let mut closed = 0;
        for nth in 1.. {
            match take() {
                Ok(one) => {
                    closed += u32::from(run.contains(&one));
                    others.push(one);
                    // One of three ends at once, beside what is free.
                    if nth % 3 == 0 {
                        drop(others.swap_remove(others.len() - 2));
                    }
                }
                Err(error) => {
                    refused |= error == AllocateError::OutOfHostMemory;
                    break;
                }
            }
        }
        closed
    });
    assert!(closed > 8 && !refused, "{closed}");
    allocator.check().unwrap();
    drop(meshes);
    allocator.check().unwrap();
    drop((run, others));
    allocator.check().unwrap();
    allocator.collect_all();
    allocator.trim();
    assert_eq!(allocator.statistics().total.reserved, 0);
}
