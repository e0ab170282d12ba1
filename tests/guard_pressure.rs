//! Memory is short while guards hold some back: it is released before a request fails, after a
//! check where the host can make one, and otherwise counted.

mod support;
#[path = "support/world.rs"]
mod world;

use fencepost::{
    AllocateError, AllocationFlags, GuardPolicy, GuardedBy, ResourceKind, Scrub, fake::Profile, vk,
};
use world::*;

const KIB: u64 = 1 << 10;

fn unlooked(world: &World) -> u64 {
    world.allocator.guard_coverage().unlooked_allocations
}

/// What the host watches is looked at and given out; what the GPU has in quarantine is given out unlooked, and
/// counted. The control: where there is room for another block nothing is let go, and the late write is found.
#[test]
fn a_quarantine_is_never_the_reason_to_fail() {
    for by in KEEPERS {
        for blocks in [1, 2] {
            let world = World::on(&Profile::default(), GuardPolicy::Full, |it| {
                it.guarded_by(by).quarantine(1000)
            });
            let arena = arena(&world.allocator, |it| it.max_blocks(blocks));
            let stays = in_arena(&arena, "stays", 64);
            let culprit = in_arena(&arena, "culprit", 900 * KIB);
            let (memory, offset) = (culprit.memory(), culprit.offset());
            assert_eq!(world.scrub_if_on(Scrub::Due), []);
            drop(culprit);
            // The GPU poisons it, and looks at it once more, a thousand scrubs on.
            assert_eq!(world.scrub_if_on(Scrub::Due), []);
            assert!(world.fake.gpu_write(memory, offset + 100, &[9; 4]));
            let next = in_arena(&arena, "next", 900 * KIB);
            assert_eq!(next.memory() == memory, blocks == 1, "{by:?}");
            let lost = by == GuardedBy::Gpu && blocks == 1;
            assert_eq!(unlooked(&world), u64::from(lost), "{by:?} {blocks}");
            world.allocator.check().unwrap();
            let early = world.allocator.check_guards();
            assert_eq!(early.len(), usize::from(by == GuardedBy::Host), "{by:?} {blocks}");
            drop((stays, next, arena));
            // The arena is gone, so the last of its blocks goes with what is in quarantine there.
            let mut found = early;
            (0..1002).for_each(|_| found.extend(world.scrub_if_on(Scrub::Due)));
            let told: Vec<_> = found.iter().map(name).collect();
            assert_eq!(told, if lost { vec![] } else { vec![Some("culprit")] }, "{by:?} {blocks}");
            assert_eq!(world.allocator.statistics().total.pending, 0);
            world.end();
        }
    }
}

/// What has not been scrubbed at all comes back too, if nothing else does; what is to read zero does not.
#[test]
fn what_no_scrub_has_seen_comes_back_but_where_it_is_to_read_zero() {
    for policy in [GuardPolicy::Margins, GuardPolicy::Poison, GuardPolicy::Full, GuardPolicy::Zero]
    {
        let world = World::new(policy);
        let arena = arena(&world.allocator, |it| it.max_blocks(1));
        let stays = in_arena(&arena, "stays", 64);
        let take = |kib| arena.allocate(&needs(kib * KIB), ResourceKind::Linear, &coherent("big"));
        // Its range has a former owner, who is known there.
        drop(take(900).unwrap());
        (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        let big = take(900).unwrap();
        assert_eq!(world.scrub(Scrub::Due), [], "its margins are filled");
        let end = big.offset() + big.size();
        assert!(world.fake.gpu_write(big.memory(), end - 4096, &[7; 4096]));
        let memory = big.memory();
        drop(big);
        // A request that never asks may fail by its flags: nothing is let go for it.
        let never = coherent("never").flags(AllocationFlags::NEVER_ALLOCATE);
        arena.allocate(&needs(900 * KIB), ResourceKind::Linear, &never).unwrap_err();
        assert_eq!(unlooked(&world), 0);
        let again = take(500);
        let zero = policy == GuardPolicy::Zero;
        assert_eq!(again.is_err(), zero, "{policy:?}");
        assert_eq!(unlooked(&world), u64::from(!zero), "{policy:?}");
        world.allocator.check().unwrap();
        match again {
            Ok(again) => {
                assert_eq!(again.memory(), memory);
                assert!(!again.is_zeroed());
                // What is left of it is free, and nobody filled it since it was written to.
                assert_eq!(world.scrub(Scrub::Everything), [], "{policy:?}");
            }
            Err(error) => {
                let AllocateError::OutOfDeviceMemory { pending, cut, .. } = error else {
                    panic!("{error}")
                };
                assert_eq!((pending, cut), (900 * KIB, None), "no wait helps, a scrub does");
                assert_eq!(world.scrub(Scrub::Due), []);
                let again = take(900).unwrap();
                assert!(again.is_zeroed());
            }
        }
        (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), [], "{policy:?}"));
        drop((stays, arena));
        (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        world.end();
    }
}

/// What the GPU works on is not given out: the refusal names the scrub, and a wait for it helps.
#[test]
fn a_scrub_under_way_is_worth_a_wait() {
    for (policy, extent) in [
        (GuardPolicy::Poison, Scrub::Due),
        (GuardPolicy::Zero, Scrub::Due),
        (GuardPolicy::Full, Scrub::Everything),
    ] {
        let world = World::new(policy);
        let arena = arena(&world.allocator, |it| it.max_blocks(1));
        let stays = in_arena(&arena, "stays", 64);
        let take = || arena.allocate(&needs(900 * KIB), ResourceKind::Linear, &coherent("big"));
        drop(take().unwrap());
        if extent == Scrub::Everything {
            // All that is free is in the scrub's hands.
            (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        }
        let point = world.try_scrub(extent).unwrap().unwrap();
        let error = take().unwrap_err();
        let AllocateError::OutOfDeviceMemory { cut: Some(cut), .. } = error else {
            panic!("{policy:?}: {error}")
        };
        assert_eq!(unlooked(&world), 0, "{policy:?}");
        world.fake.set_automatic(true);
        world.allocator.wait_for(cut, LONG).unwrap();
        world.timeline.wait(point, LONG).unwrap();
        let big = take().unwrap();
        // Poisoned, and not looked at again.
        assert_eq!(unlooked(&world), u64::from(policy == GuardPolicy::Poison));
        assert_eq!(world.allocator.check_guards(), []);
        drop((stays, big, arena));
        (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        world.end();
    }
}

/// What ended at once is not given out while a scrub that began before is at work on its margins: it would fill
/// them over the next owner's bytes, or look at a block that is gone. A wait for that scrub helps.
#[test]
fn margins_that_a_scrub_works_on_are_nobodys() {
    for (policy, extent) in [
        (GuardPolicy::Margins, Scrub::Due),
        (GuardPolicy::Full, Scrub::Due),
        (GuardPolicy::Margins, Scrub::Everything),
    ] {
        let world = World::new(policy);
        let arena = arena(&world.allocator, |it| it.max_blocks(1));
        let take = || arena.allocate(&needs(900 * KIB), ResourceKind::Linear, &coherent("big"));
        let big = take().unwrap();
        if extent == Scrub::Everything {
            assert_eq!(world.scrub(Scrub::Due), [], "its margins are whole");
        }
        world.try_scrub(extent).unwrap().unwrap();
        // SAFETY: the GPU never saw it; what works on its margins is the allocator's own.
        unsafe { big.free_now() };
        let error = take().unwrap_err();
        let AllocateError::OutOfDeviceMemory { cut: Some(cut), .. } = error else {
            panic!("{policy:?}: {error}")
        };
        // Nor does its block go, though all there is has ended.
        world.allocator.trim();
        assert_eq!(world.fake.violations(), []);
        world.fake.set_automatic(true);
        world.allocator.wait_for(cut, LONG).unwrap();
        drop(take().unwrap());
        assert_eq!(unlooked(&world), 1, "{policy:?}");
        drop(arena);
        (0..4).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        world.end();
    }
}

/// The same without an arena: a heap that has no room for one more block.
#[test]
fn a_full_heap_gets_back_what_is_in_quarantine_there() {
    let heap =
        [(4 << 20, vk::MemoryHeapFlags::DEVICE_LOCAL), (64 << 20, vk::MemoryHeapFlags::empty())];
    let visible = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
    let types = [(0, vk::MemoryPropertyFlags::DEVICE_LOCAL), (1, visible)];
    let profile = Profile::default().heaps(&heap).types(&types);
    for falls_back in [false, true] {
        let world = World::on(&profile, GuardPolicy::Poison, |it| it.quarantine(1000));
        let take = |bits, name| {
            let needs =
                vk::MemoryRequirements { size: 3 << 20, alignment: 64, memory_type_bits: bits };
            let memory = fencepost::AllocationDesc::device_local().name(name);
            world.allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap()
        };
        drop(take(1, "first"));
        (0..2).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        assert_eq!(world.allocator.statistics().total.pending, 3 << 20);
        // Another memory type comes before the loss.
        let next = take(if falls_back { 3 } else { 1 }, "next");
        assert_eq!(unlooked(&world), u64::from(!falls_back));
        drop(next);
        (0..1002).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        world.end();
    }
}
