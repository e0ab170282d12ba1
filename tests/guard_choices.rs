//! The options for guards over the fake driver: a policy for an arena, quarantine, zeros.

mod support;
#[path = "support/world.rs"]
mod world;

use fencepost::{
    Allocation, AllocationDesc, ArenaPolicy, Damage, GuardPolicy, GuardedBy, ResourceKind, Scrub,
    fake::Profile, vk,
};
use world::*;

/// The same two overruns: the one where guards are on is found, the other is not, whichever has them.
#[test]
fn an_arena_is_watched_as_it_was_asked_to_be() {
    for by in KEEPERS {
        let (off, full) = (GuardPolicy::Off, GuardPolicy::Full);
        for (of_types, of_arena, placed) in [
            (off, full, ArenaPolicy::Tlsf),
            (off, full, ArenaPolicy::Ring),
            (off, full, ArenaPolicy::DoubleStack),
            (full, off, ArenaPolicy::Tlsf),
        ] {
            let world = World::on(&Profile::default(), of_types, |it| it.guarded_by(by));
            let own = arena(&world.allocator, |it| it.guards(of_arena).policy(placed));
            let inherits = arena(&world.allocator, |it| it);
            let lives = [
                in_types(&world, "types", 256),
                in_arena(&own, "arena", 256),
                in_arena(&inherits, "inherits", 256),
            ];
            assert_eq!(world.scrub_if_on(Scrub::Due), [], "{by:?}");
            lives.iter().for_each(|one| world.scribble(one, 256, 1));
            let found = world.scrub_if_on(Scrub::Everything);
            let names: Vec<_> = found.iter().filter_map(name).collect();
            let watched: &[&str] = match of_arena {
                GuardPolicy::Off => &["types", "inherits"],
                _ => &["arena"],
            };
            assert_eq!(names, watched, "{by:?}");
            let coverage = world.allocator.guard_coverage();
            assert_eq!(coverage.guarded_blocks, watched.len() as u64, "{coverage:?}");
            assert_eq!(coverage.unseen_blocks, 0, "what nobody wants watched is not unseen");
            let places = lives.each_ref().map(|one| (one.memory(), one.offset() + 64));
            drop(lives);
            world.allocator.collect();
            assert_eq!(world.scrub_if_on(Scrub::Due), [], "{by:?}");
            // And after the end: poison is where guards are.
            for (memory, offset) in places {
                assert!(world.fake.gpu_write(memory, offset, &[9; 8]));
            }
            let found = world.scrub_if_on(Scrub::Everything);
            let names: Vec<_> = found.iter().filter_map(name).collect();
            assert_eq!(names, watched, "{by:?}");
            assert!(found.iter().all(|one| one.damage == Damage::AfterFree), "{found:?}");
            drop((own, inherits));
            world.end();
        }
    }
}

/// The lane that an arena left is taken by the next, with the next one's policy: for what it finds,
/// and for whether an end waits for a scrub.
#[test]
fn the_policy_of_an_arena_ends_with_it() {
    for by in KEEPERS {
        let world = World::on(&Profile::default(), GuardPolicy::Off, |it| it.guarded_by(by));
        for policy in [GuardPolicy::Full, GuardPolicy::Off, GuardPolicy::Zero, GuardPolicy::Margins]
        {
            let arena = arena(&world.allocator, |it| it.guards(policy));
            let [one, two] = ["one", "two"].map(|name| in_arena(&arena, name, 128));
            assert_eq!(world.scrub_if_on(Scrub::Due), [], "{policy:?}");
            world.scribble(&one, 128, 1);
            let watched = matches!(policy, GuardPolicy::Full | GuardPolicy::Margins);
            let found = world.scrub_if_on(Scrub::Everything);
            assert_eq!(found.len(), usize::from(watched), "{policy:?} {by:?}");
            drop(two);
            let waits = by == GuardedBy::Gpu && policy != GuardPolicy::Off;
            assert_eq!(arena.statistics().pending_count, u64::from(waits), "{policy:?} {by:?}");
            drop((arena, one));
            (0..3).for_each(|_| _ = world.scrub_if_on(Scrub::Due));
            world.allocator.trim();
            assert_eq!(world.allocator.snapshot().blocks().count(), 0, "the lane is free again");
        }
        world.end();
    }
}

/// By bytes alone: the newest rest, the oldest make way.
#[test]
fn quarantine_keeps_so_many_bytes_at_most() {
    let world = World::on(&Profile::default(), GuardPolicy::Poison, |it| {
        it.quarantine(u32::MAX).quarantine_bytes(3 * 4096)
    });
    let stays = world.allocate("stays", 64);
    let victims: Vec<Allocation> = (0..8).map(|_| world.allocate("victim", 4096)).collect();
    let places: Vec<_> = victims.iter().map(|one| (one.memory(), one.offset())).collect();
    let free = |place: &(vk::DeviceMemory, u64)| {
        let snapshot = world.allocator.snapshot();
        let mut regions = snapshot.blocks().flat_map(|block| &block.regions);
        regions.any(|region| {
            region.state == fencepost::RegionState::Free
                && (region.offset..region.offset + region.size).contains(&place.1)
        })
    };
    for (round, victim) in victims.into_iter().enumerate() {
        drop(victim);
        assert_eq!(world.scrub(Scrub::Due), []);
        let ended = (round + 1) as u64;
        // One more than the quarantine holds is in the scrub that has just poisoned it.
        assert_eq!(
            world.allocator.statistics().total.pending,
            4096 * ended.min(4),
            "round {round}"
        );
        for (index, place) in places.iter().enumerate() {
            assert_eq!(free(place), index + 4 <= round, "{index} in round {round}");
        }
    }
    // The oldest that rests still tells who wrote.
    assert!(world.fake.gpu_write(places[5].0, places[5].1, &[9; 4]));
    assert_eq!(name(&only(&world.scrub(Scrub::Everything))), Some("victim"));
    drop(stays);
    world.end();
}

/// The range rests for so many scrubs, and the last looks at it.
#[test]
fn quarantine_keeps_what_ended_for_so_many_scrubs() {
    for rest in [0, 1, 5] {
        let world = World::on(&Profile::default(), GuardPolicy::Poison, |it| it.quarantine(rest));
        let stays = world.allocate("stays", 64);
        let culprit = world.allocate("culprit", 4096);
        let (memory, offset) = (culprit.memory(), culprit.offset());
        drop(culprit);
        for scrub in 0..=rest {
            assert_eq!(world.scrub(Scrub::Due), []);
            assert_eq!(world.allocator.statistics().total.pending, 4096, "after {scrub} of {rest}");
        }
        assert!(world.fake.gpu_write(memory, offset, &[9; 4]));
        assert_eq!(name(&only(&world.scrub(Scrub::Due))), Some("culprit"));
        assert_eq!(world.allocator.statistics().total.pending, 0, "it is free");
        drop(stays);
        world.end();
    }
}

/// Where the host watches, what ended rests for so many collects: a late write hits nobody and is told. The
/// control: without a quarantine it hits the next owner and is not.
#[test]
fn a_late_write_hits_nobody_in_the_hosts_quarantine() {
    for (rest, by_bytes) in [(0, false), (3, false), (u32::MAX, true)] {
        let world = World::on(&Profile::default(), GuardPolicy::Full, |it| {
            let it = it.guarded_by(GuardedBy::Host).quarantine(rest);
            if by_bytes { it.quarantine_bytes(8192) } else { it }
        });
        let stays = in_types(&world, "stays", 64);
        let culprit = in_types(&world, "culprit", 4000);
        let (memory, offset) = (culprit.memory(), culprit.offset());
        drop(culprit);
        let pending = world.allocator.statistics().total.pending;
        assert_eq!(pending > 0, rest > 0);
        let snapshot = world.allocator.snapshot();
        let mut regions = snapshot.blocks().flat_map(|block| &block.regions);
        let waits = regions.find_map(|region| region.waits);
        assert_eq!(waits, (rest > 0).then_some(fencepost::Wait::Quarantine));
        let next = in_types(&world, "next", 4000);
        assert_eq!((next.memory(), next.offset()) == (memory, offset), rest == 0);
        let late = |at| assert!(world.fake.gpu_write(memory, offset + at, &[9; 4]));
        late(100);
        let found = world.allocator.check_guards();
        assert_eq!(found.len(), usize::from(rest > 0), "on demand");
        late(200);
        let more = if by_bytes {
            vec![in_types(&world, "more", 4000), in_types(&world, "more", 4000)]
        } else {
            Vec::new()
        };
        drop(more);
        (0..3).for_each(|_| _ = world.allocator.collect());
        world.allocator.check().unwrap();
        let left = world.allocator.statistics().total.pending;
        assert_eq!(left, if by_bytes { pending } else { 0 }, "the oldest made way");
        let snapshot = world.allocator.snapshot();
        let mut regions = snapshot.blocks().flat_map(|block| &block.regions);
        let free = regions.any(|region| {
            region.state == fencepost::RegionState::Free
                && (region.offset..region.offset + region.size).contains(&offset)
        });
        assert_eq!(free, rest > 0, "it rested, or the next has it");
        let found: Vec<_> = found.into_iter().chain(world.allocator.check_guards()).collect();
        let offsets: Vec<u64> = found.iter().map(|one| one.offset - offset).collect();
        assert_eq!(offsets, if rest > 0 { vec![100, 200] } else { vec![] }, "each once");
        for one in found {
            assert_eq!((one.damage, name(&one)), (Damage::AfterFree, Some("culprit")));
        }
        drop((stays, next));
        world.end();
    }
}

/// However the end comes, what rests in the host's quarantine is let go.
#[test]
fn every_end_lets_go_what_rests() {
    for end in 0..4 {
        let world = World::on(&Profile::default(), GuardPolicy::Full, |it| {
            it.guarded_by(GuardedBy::Host).quarantine(1000)
        });
        let lives = in_types(&world, "lives", 300);
        drop(in_types(&world, "rests", 300));
        assert!(world.allocator.statistics().total.pending > 0);
        let World { fake, allocator, timeline } = world;
        drop(timeline);
        match end {
            0 => {
                drop(lives);
                let report = allocator.close().unwrap();
                assert_eq!((report.leaks.len(), report.still_pending), (0, 0));
            }
            1 => {
                allocator.close();
                drop(lives);
            }
            2 => {
                // SAFETY: one thread, and nothing was submitted.
                unsafe { allocator.shutdown() }.unwrap();
                fake.finish().unwrap();
                drop((lives, allocator));
            }
            _ => {
                fake.lose_device();
                drop(lives);
                allocator.collect();
                allocator.check().unwrap();
                drop(allocator);
            }
        }
        fake.finish().unwrap_or_else(|error| panic!("{end}: {error}"));
    }
}

/// What is free of a ring and of stacks is looked at as what is free of other blocks; the control is a policy
/// that poisons nothing.
#[test]
fn the_free_parts_of_rings_and_stacks_are_watched() {
    for placed in [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack] {
        for policy in [GuardPolicy::Poison, GuardPolicy::Full, GuardPolicy::Margins] {
            let world = World::on(&Profile::default(), GuardPolicy::Off, |it| it);
            let arena = arena(&world.allocator, |it| it.guards(policy).policy(placed));
            let [first, second] = ["first", "second"].map(|name| in_arena(&arena, name, 4096));
            let memory = first.memory();
            let stray = |at| assert!(world.fake.gpu_write(memory, at, &[9; 8]));
            let places = [first.offset() + 64, 512 << 10];
            stray(places[1]);
            assert_eq!(world.scrub(Scrub::Everything), [], "there was nothing to compare with");
            drop(first);
            (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
            places.iter().for_each(|&at| stray(at));
            let found = world.scrub(Scrub::Everything);
            let mut told: Vec<_> = found.iter().map(|one| (one.offset, name(one))).collect();
            told.sort_unstable();
            let all = [(places[0], Some("first")), (places[1], None)];
            let expected = if policy == GuardPolicy::Margins { &[][..] } else { &all };
            assert_eq!(told, expected, "{placed:?} {policy:?}");
            assert_eq!(
                world.allocator.statistics().total.pending,
                0,
                "what was held is free again"
            );
            let next = in_arena(&arena, "next", 256 << 10);
            assert_eq!(next.memory(), memory, "and is handed out");
            drop((second, next, arena));
            (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
            world.end();
        }
        let world = World::on(&Profile::default(), GuardPolicy::Off, |it| it);
        let desc = |it: fencepost::ArenaDesc| it.guards(GuardPolicy::Zero).policy(placed);
        let arena = arena(&world.allocator, |it| desc(it).min_blocks(1));
        assert_eq!(world.scrub(Scrub::Due), []);
        let one = in_arena(&arena, "one", 4096);
        assert!(one.is_zeroed(), "{placed:?}");
        drop((one, arena));
        world.end();
    }
}

/// Nobody reads what another wrote, and an allocation knows whether it reads zero.
#[test]
fn memory_that_somebody_had_reads_zero() {
    for by in [GuardedBy::Host, GuardedBy::Gpu] {
        let world = World::on(&Profile::default(), GuardPolicy::Zero, |it| it.guarded_by(by));
        let needs = vk::MemoryRequirements { size: 4096, alignment: 64, memory_type_bits: !0 };
        let coherent = AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT);
        let allocate = || {
            world.allocator.allocate(&needs, ResourceKind::Linear, &coherent.name("one")).unwrap()
        };
        let reads = |one: &Allocation| {
            let mut bytes = vec![1; 4096];
            assert!(world.fake.gpu_read(one.memory(), one.offset(), &mut bytes));
            bytes
        };
        let stays = allocate();
        let secret = allocate();
        let place = (secret.memory(), secret.offset());
        assert_eq!(secret.is_zeroed(), by == GuardedBy::Host, "the GPU knows nothing of it yet");
        assert!(world.fake.gpu_write(secret.memory(), secret.offset(), &[7; 4096]));
        drop(secret);
        if by == GuardedBy::Gpu {
            assert_eq!(world.scrub(Scrub::Due), []);
        }
        let next = allocate();
        assert_eq!((next.memory(), next.offset()), place, "it is given again");
        assert!(next.is_zeroed() && reads(&next).iter().all(|&byte| byte == 0), "{by:?}");
        assert!(world.fake.gpu_write(next.memory(), next.offset(), &[8; 4096]));
        if by == GuardedBy::Gpu {
            assert_eq!(world.scrub(Scrub::Everything), [], "what it writes is nobody's concern");
        }
        assert_eq!(reads(&next), [8; 4096], "nor touched");
        drop((stays, next));
        world.end();
    }
    // The control: without the policy the next one reads the secret.
    let world = World::new(GuardPolicy::Margins);
    let secret = world.allocate("secret", 4096);
    let (memory, offset) = (secret.memory(), secret.offset());
    assert!(world.fake.gpu_write(memory, offset, &[7; 4096]));
    drop(secret);
    world.scrub(Scrub::Due);
    let next = world.allocate("next", 4096);
    let mut bytes = [0; 4];
    assert!(world.fake.gpu_read(memory, offset, &mut bytes));
    assert!(bytes == [7; 4] && !next.is_zeroed());
    drop(next);
    world.end();
}

/// A scrub that never ran has zeroed nothing; the next one does.
#[test]
fn fresh_memory_waits_for_a_scrub_that_runs() {
    let world = World::on(&Profile::default(), GuardPolicy::Zero, |desc| desc);
    let first = world.allocate("first", 64);
    world.fake.fail(fencepost::fake::Call::QueueSubmit, 0, vk::Result::ERROR_OUT_OF_HOST_MEMORY);
    world.try_scrub(Scrub::Due).unwrap_err();
    world.fake.clear_faults();
    let second = world.allocate("second", 64);
    assert_eq!(second.memory(), first.memory(), "what it held is free again");
    assert!(!second.is_zeroed());
    world.scrub(Scrub::Due);
    let third = world.allocate("third", 64);
    assert!(third.is_zeroed());
    drop((first, second, third));
    world.end();
}

/// What nobody has had yet is poisoned by the first scrub after its block was made.
#[test]
fn a_stray_write_into_fresh_memory_is_found_where_memory_is_poisoned() {
    for (policy, poisons) in
        [(GuardPolicy::Poison, true), (GuardPolicy::Full, true), (GuardPolicy::Margins, false)]
    {
        let world = World::new(policy);
        let one = world.allocate("one", 256);
        let stray = || world.scribble(&one, 64 << 10, 2);
        stray();
        assert_eq!(world.scrub(Scrub::Everything), [], "there was nothing to compare with");
        stray();
        let found = world.scrub(Scrub::Everything);
        assert_eq!(found.len(), usize::from(poisons), "{policy:?}: {found:?}");
        for one in found {
            assert_eq!((one.damage, one.words, one.owner), (Damage::AfterFree, 2, None));
        }
        assert_eq!(world.allocator.statistics().total.pending, 0, "what was held is free again");
        let place = one.offset();
        drop(one);
        (0..2).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        assert_eq!(world.allocate("next", 256).offset(), place);
        world.end();
    }
}
