//! The options for guards on real drivers: a policy for an arena, and zeros from the first hand-out
//! on, maintained by the host or by the GPU.

use std::sync::Arc;

use ash::vk;
use fencepost::{
    AllocationDesc, Arena, ArenaDesc, ArenaPolicy, BufferDesc, Damage, GuardPolicy, GuardedBy,
    ResourceKind, Scrub,
};

use super::corruption::{SIZE, alias, name, named, only};
use super::scrub::scrub;
use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, Thing, Yard, allocator_with, assert_clean};
use crate::support::Validation;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "guards_of_an_arena_alone_name_its_own_and_where_it_was_retired",
            of_an_arena,
        )
        .validation(Validation::Core),
        Scenario::new("fresh_memory_reads_zero_from_the_first_scrub_on", zeros)
            .validation(Validation::Core),
        Scenario::new("a_late_write_hits_nobody_in_the_hosts_quarantine", quarantine)
            .validation(Validation::Core),
    ]
}

const KEEPERS: [GuardedBy; 2] = [GuardedBy::Host, GuardedBy::Gpu];

fn in_arena(arena: &Arena, yard: &Arc<Yard>, name: &'static str) -> Thing {
    let memory = AllocationDesc::readback().name(name);
    Thing::bound_to(yard, SIZE, |needs| arena.allocate(needs, ResourceKind::Linear, &memory))
}

fn of_an_arena(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    for by in KEEPERS {
        let (allocator, yard) = allocator_with(&gpu, |desc| desc.guarded_by(by));
        let desc = ArenaDesc::new(AllocationDesc::readback()).block_size(1 << 20);
        let arena = allocator.create_arena(&desc.guards(GuardPolicy::Full)).expect("an arena");
        let line = Line::new(&yard, &allocator, Kind::Owned);
        let commands = Commands::new(&gpu);
        let gate = Gate::new(&gpu);
        let look = |extent| match by {
            GuardedBy::Host => {
                allocator.collect();
                allocator.check_guards()
            }
            _ => scrub(&allocator, &gpu, &line, extent),
        };
        let stays = in_arena(&arena, &yard, "stays");
        let things = [named(&allocator, &yard, "unwatched"), in_arena(&arena, &yard, "watched")];
        assert_eq!(look(Scrub::Due), [], "{by:?}");
        // The same bug twice: one word too long.
        let long = things
            .each_ref()
            .map(|thing| alias(&allocator, &yard, thing, thing.allocation().offset(), SIZE + 4));
        let fill = commands.record(|recorder| {
            long.iter().for_each(|&buffer| recorder.fill(buffer, 7));
            recorder.barrier();
        });
        line.run(line.begin(&gate), fill);
        let found = only(&look(Scrub::Everything));
        assert_eq!((found.damage, name(&found)), (Damage::After, Some("watched")), "{by:?}");
        // And a write after both were retired, in a frame that they were dropped in.
        let handles = things.each_ref().map(Thing::handle);
        let frame = line.begin(&gate);
        drop(things);
        let retired = line.submit(frame, &[]);
        line.wait(retired);
        allocator.collect();
        assert_eq!(look(Scrub::Due), [], "{by:?}");
        let late = commands.record(|recorder| {
            handles.iter().for_each(|&buffer| recorder.fill(buffer, 7));
            recorder.barrier();
        });
        line.run(line.begin(&gate), late);
        let found = only(&look(Scrub::Everything));
        assert_eq!((found.damage, found.words), (Damage::AfterFree, SIZE / 4), "{by:?}");
        let owner = found.owner.expect("somebody lived there");
        assert_eq!((owner.name, owner.retired.others()), (Some("watched"), 0), "{by:?}");
        assert!(owner.retired.points().eq([retired]), "{by:?}");
        drop(stays);
    }
    assert_clean(&messages.take());
}

fn zeros(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let policies = [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack];
    for (by, policy) in KEEPERS.into_iter().flat_map(|by| policies.map(|policy| (by, policy))) {
        let (allocator, yard) =
            allocator_with(&gpu, |desc| desc.guards(GuardPolicy::Zero).guarded_by(by));
        let desc = ArenaDesc::new(AllocationDesc::readback()).block_size(1 << 20).min_blocks(1);
        let arena = allocator.create_arena(&desc.policy(policy)).expect("an arena");
        let line = Line::new(&yard, &allocator, Kind::Owned);
        let commands = Commands::new(&gpu);
        let gate = Gate::new(&gpu);
        let early = in_arena(&arena, &yard, "early");
        assert_eq!(early.allocation().is_zeroed(), by == GuardedBy::Host, "{by:?}");
        if by == GuardedBy::Gpu {
            // Fresh memory of a software driver reads zero: here it is as a driver might give it.
            let whole = alias(&allocator, &yard, &early, 0, 1 << 20);
            let fill = commands.record(|recorder| {
                recorder.fill(whole, 7);
                recorder.barrier();
            });
            line.run(line.begin(&gate), fill);
            early.assert_words(SIZE, 7, "what was there");
            assert_eq!(scrub(&allocator, &gpu, &line, Scrub::Due), []);
            early.assert_words(SIZE, 7, "what lives");
        }
        for round in 0..3 {
            let mut next = in_arena(&arena, &yard, "next");
            assert!(next.allocation().is_zeroed(), "{by:?} {policy:?} in round {round}");
            next.assert_words(SIZE, 0, "what is handed out");
            next.write_words(SIZE, 9);
            drop(next);
            allocator.collect();
            if by == GuardedBy::Gpu {
                assert_eq!(scrub(&allocator, &gpu, &line, Scrub::Due), []);
            }
        }
        // A memory of its own: the host sees to it, or it is known that nobody does.
        let usage = vk::BufferUsageFlags::TRANSFER_SRC;
        let memory = AllocationDesc::readback().dedicated(true);
        let own = allocator.create_buffer(&BufferDesc::new(SIZE, usage), &memory);
        let own = own.expect("a buffer");
        assert_eq!(own.allocation().is_zeroed(), by == GuardedBy::Host, "{by:?}");
        let uncovered = allocator.guard_coverage().unzeroed_allocations;
        assert_eq!(uncovered, if by == GuardedBy::Gpu { 2 } else { 0 }, "early, and its own");
    }
    assert_clean(&messages.take());
}

/// The GPU writes to what has ended, three collects ago at most. The control: without a quarantine it hits the
/// next owner, and nothing is told.
fn quarantine(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    for rest in [3, 0] {
        let (allocator, yard) = allocator_with(&gpu, |desc| {
            desc.guards(GuardPolicy::Full).guarded_by(GuardedBy::Host).quarantine(rest)
        });
        let line = Line::new(&yard, &allocator, Kind::Owned);
        let commands = Commands::new(&gpu);
        let gate = Gate::new(&gpu);
        let stays = named(&allocator, &yard, "stays");
        let culprit = named(&allocator, &yard, "culprit");
        let (late, offset) = (culprit.handle(), culprit.allocation().offset());
        drop(culprit);
        allocator.collect();
        let mut next = named(&allocator, &yard, "next");
        next.write_words(SIZE, 9);
        assert_eq!(next.allocation().offset() == offset, rest == 0);
        let fill = commands.record(|recorder| {
            recorder.fill(late, 7);
            recorder.barrier();
        });
        line.run(line.begin(&gate), fill);
        (0..rest).for_each(|_| _ = allocator.collect());
        let found = allocator.check_guards();
        if rest == 0 {
            assert_eq!(found, []);
            next.assert_words(SIZE, 7, "what the next owner finds");
        } else {
            let found = only(&found);
            assert_eq!((found.damage, name(&found)), (Damage::AfterFree, Some("culprit")));
            assert_eq!(found.words, SIZE / 4);
            next.assert_words(SIZE, 9, "what the next owner wrote");
            assert_eq!(allocator.statistics().total.pending, 0, "it is free");
        }
        drop((stays, next));
    }
    assert_clean(&messages.take());
}
