//! Events about guards other than damage, over the fake driver.
//!
//! Every test in this file subscribes: one that does not could take an event from one that does.

#[path = "support/ear.rs"]
mod ear;
mod support;
#[path = "support/world.rs"]
mod world;

use ear::{Ear, of};
use fencepost::{
    Corruption, GuardPolicy, GuardedBy, Point, Scrub, events::GUARD, fake::Profile, vk,
};
use support::*;
use tracing::Level;
use world::*;

fn frame(world: &World) -> Point {
    let point = submit_nothing(world.timeline.begin().unwrap()).unwrap();
    world.timeline.wait(point, LONG).unwrap();
    point
}

/// Collects what a frame has passed, writes there late, and has the GPU look.
fn late_write(world: &World, memory: vk::DeviceMemory, offset: u64) -> Corruption {
    // A later frame, which is not the one it waited for.
    frame(world);
    world.allocator.collect();
    assert_eq!(world.scrub_if_on(Scrub::Due), []);
    assert!(world.fake.gpu_write(memory, offset + 100, &[9; 4]));
    only(&world.scrub_if_on(Scrub::Everything))
}

/// A write after free is told with the point that its owner was retired at, by a drop and by hand.
#[test]
fn a_report_tells_where_the_former_owner_was_retired() {
    for by in KEEPERS {
        for by_hand in [false, true] {
            let mut retired = None;
            let told = Ear::hear(|| {
                let world =
                    World::on(&Profile::default(), GuardPolicy::Full, |it| it.guarded_by(by));
                let _stays = in_types(&world, "stays", 64);
                frame(&world);
                let culprit = in_types(&world, "culprit", 512);
                let (memory, offset) = (culprit.memory(), culprit.offset());
                let recording = world.timeline.begin().unwrap();
                let point = if by_hand {
                    let point = submit_nothing(recording).unwrap();
                    // SAFETY: nothing that was submitted uses it.
                    unsafe { culprit.retire_at(&[point]) }.unwrap();
                    point
                } else {
                    drop(culprit);
                    submit_nothing(recording).unwrap()
                };
                world.fake.run();
                let found = late_write(&world, memory, offset);
                let owner = found.owner.expect("it was the culprit's");
                assert_eq!((owner.name, owner.retired.others()), (Some("culprit"), 0), "{by:?}");
                assert!(owner.retired.points().eq([point]), "{by:?}");
                let text = found.to_string();
                assert!(text.contains(&format!("retired at {point}")), "{text}");
                retired = Some(point);
                drop(_stays);
                world.end();
            });
            let fields = ["allocation", "freed", "timeline", "value"];
            let events = of(&told, GUARD, Level::ERROR, &fields);
            assert_eq!(events.len(), 1, "{told:?}");
            assert_eq!(events[0].fields["value"], retired.unwrap().value().to_string());
            assert_eq!(events[0].fields["timeline"], "0");
        }
    }
}

/// Who waited for several timelines is told with a point of each, whichever came first.
#[test]
fn a_report_tells_all_timelines_that_the_former_owner_waited_for() {
    for (by, by_hand, count) in
        KEEPERS.into_iter().flat_map(|by| [(by, false, 2), (by, true, 2), (by, true, 6)])
    {
        let told = Ear::hear(|| {
            let queues = [(vk::QueueFlags::COMPUTE, 6)];
            let profile = Profile::default().queue_families(&queues);
            let world = World::on(&profile, GuardPolicy::Full, |it| it.guarded_by(by));
            let _stays = in_types(&world, "stays", 64);
            let queues: Vec<_> = (1..count).map(|index| world.fake.queue(index as u32)).collect();
            let others = queues.iter().map(|&queue| world.allocator.timeline(queue).unwrap());
            let timelines: Vec<_> = others.collect();
            let culprit = in_types(&world, "culprit", 512);
            let (memory, offset) = (culprit.memory(), culprit.offset());
            let all = timelines.iter().chain([&world.timeline]);
            let recordings: Vec<_> = all.map(|timeline| timeline.begin().unwrap()).collect();
            let submit = |recordings: Vec<fencepost::Recording>| -> Vec<Point> {
                recordings.into_iter().map(|one| submit_nothing(one).unwrap()).collect()
            };
            let mut points = if by_hand {
                let points = submit(recordings);
                // SAFETY: nothing that was submitted uses it.
                unsafe { culprit.retire_at(&points) }.unwrap();
                points
            } else {
                drop(culprit);
                submit(recordings)
            };
            // One after the other, each noticed.
            for &queue in &queues {
                assert!(world.fake.step(queue));
                world.allocator.collect();
            }
            world.fake.run();
            let found = late_write(&world, memory, offset);
            let retired = found.owner.expect("it was the culprit's").retired;
            points.sort();
            let all: Vec<_> = retired.points().collect();
            assert_eq!(all.len() + retired.others() as usize, count, "{by:?} {retired}");
            assert!(all.iter().all(|point| points.contains(point)), "{by:?} {retired}");
            assert_eq!(all.len(), count.min(4));
            let text = found.to_string();
            assert!(text.contains(&format!("retired at {retired}")), "{text}");
            drop((_stays, timelines));
            world.end();
        });
        let events = of(&told, GUARD, Level::ERROR, &["timeline", "value", "others"]);
        assert_eq!(events.len(), 1, "{told:?}");
        assert_eq!(events[0].fields["others"], (count - 1).to_string());
    }
}

/// What waited for nothing was retired at no point.
#[test]
fn a_report_tells_of_no_point_where_nothing_was_out() {
    let told = Ear::hear(|| {
        let world = World::on(&Profile::default(), GuardPolicy::Full, |it| it);
        let _stays = world.allocate("stays", 64);
        let culprit = world.allocate("culprit", 512);
        let (memory, offset) = (culprit.memory(), culprit.offset());
        frame(&world);
        drop(culprit);
        world.scrub(Scrub::Due);
        assert!(world.fake.gpu_write(memory, offset + 100, &[9; 4]));
        assert_eq!(only(&world.scrub(Scrub::Due)).owner.unwrap().retired, Default::default());
        drop(_stays);
        world.end();
    });
    let events = of(&told, GUARD, Level::ERROR, &["freed"]);
    assert!(events.iter().all(|one| !one.fields.contains_key("value")), "{events:?}");
}

/// Who never scrubs is told once what it costs; who does, and whom the host watches, is not.
#[test]
fn memory_that_waits_for_scrubs_that_never_come_is_told_once() {
    for (by, scrubs, ends) in [
        (GuardedBy::Gpu, false, true),
        (GuardedBy::Gpu, true, true),
        (GuardedBy::Gpu, false, false),
        (GuardedBy::Host, false, true),
    ] {
        let told = Ear::hear(|| {
            let world = World::on(&Profile::default(), GuardPolicy::Full, |it| it.guarded_by(by));
            let lives = in_types(&world, "lives", 4096);
            if ends {
                drop(in_types(&world, "ends", 4096));
            }
            for collect in 0..1200 {
                if scrubs && collect % 100 == 0 {
                    world.try_scrub(Scrub::Due).unwrap();
                    world.fake.run();
                    drop(in_types(&world, "ends", 4096));
                }
                world.allocator.collect();
            }
            drop(lives);
            world.end();
        });
        let warned = told.iter().filter(|one| one.fields.contains_key("collects"));
        let warned: Vec<_> = warned.map(|one| one.fields["bytes"].clone()).collect();
        let expected = if by == GuardedBy::Gpu && !scrubs && ends { 1 } else { 0 };
        assert_eq!(warned.len(), expected, "{by:?} {scrubs} {ends}: {told:?}");
        assert!(warned.iter().all(|bytes| bytes.parse::<u64>().unwrap() >= 4096), "{warned:?}");
    }
}

/// What comes back unlooked, because memory is short, is told; the control has room for it.
#[test]
fn what_comes_back_unlooked_is_told() {
    for blocks in [1, 2] {
        let told = Ear::hear(|| {
            let world = World::on(&Profile::default(), GuardPolicy::Poison, |it| it);
            let arena = arena(&world.allocator, |it| it.max_blocks(blocks));
            let stays = in_arena(&arena, "stays", 64);
            drop(in_arena(&arena, "ends", 900 << 10));
            drop((in_arena(&arena, "next", 900 << 10), stays, arena));
            (0..3).for_each(|_| _ = world.scrub(Scrub::Due));
            world.end();
        });
        let warned = told.iter().filter(|one| one.target == GUARD && one.level == Level::WARN);
        let bytes: Vec<_> = warned.map(|one| one.fields["bytes"].clone()).collect();
        assert!(told.iter().all(|one| one.target != GUARD || one.fields["count"] == "1"));
        assert_eq!(bytes, if blocks == 1 { vec!["921600"] } else { vec![] }, "{told:?}");
    }
}

/// Fresh memory is not what somebody had, but it may be what another process had: the first scrub goes
/// over it, and from then on all that is handed out reads zero. What was handed out before is known.
#[test]
fn fresh_memory_reads_zero_from_the_first_scrub_on() {
    for policy in [GuardPolicy::Zero, GuardPolicy::Poison] {
        let zero = policy == GuardPolicy::Zero;
        let told = Ear::hear(|| {
            let world = World::on(&Profile::default(), GuardPolicy::Off, |desc| desc);
            let arena = arena(&world.allocator, |it| it.guards(policy).min_blocks(2));
            let early = in_arena(&arena, "early", 4096);
            let second = in_arena(&arena, "second", 4096);
            assert!(!early.is_zeroed(), "no scrub has gone over it");
            // What the driver gave.
            for block in [early.memory(), second.memory()] {
                assert!(world.fake.gpu_write(block, 0, &vec![7; 1 << 20]));
            }
            if let Some(point) = world.try_scrub(Scrub::Due).unwrap() {
                // It is under way: nobody gets any of it.
                let meanwhile = in_arena(&arena, "meanwhile", 4096);
                assert!(!meanwhile.is_zeroed());
                assert!(!zero || meanwhile.memory() != early.memory(), "another block");
                world.timeline.wait(point, LONG).unwrap();
            }
            world.allocator.collect();
            let later = in_arena(&arena, "later", 100_000);
            assert_eq!(later.is_zeroed(), zero, "{policy:?}");
            let mut bytes = vec![1; 100_000];
            assert!(world.fake.gpu_read(later.memory(), later.offset(), &mut bytes));
            assert_eq!(bytes.iter().all(|&byte| byte == 0), zero, "{policy:?}");
            assert!(world.fake.gpu_read(early.memory(), early.offset(), &mut bytes[..4096]));
            assert!(bytes[..4096].iter().all(|&byte| byte == 7), "what lives is not touched");
            let unzeroed = world.allocator.guard_coverage().unzeroed_allocations;
            assert_eq!(unzeroed, if zero { 3 } else { 0 }, "early, second, meanwhile");
            drop((early, second, later, arena));
            (0..3).for_each(|_| _ = world.scrub(Scrub::Due));
            assert_eq!(world.allocator.statistics().total.pending, 0);
            world.end();
        });
        let warned = told.iter().filter(|one| one.fields["message"].contains("as the driver gave"));
        assert!(warned.count() <= 3, "once a block");
    }
}

/// Of a memory of its own of any size every byte reads zero where it is said to, whatever the driver gave.
#[test]
fn the_last_bytes_of_a_memory_of_its_own_read_zero() {
    let _told = Ear::hear(|| {
        for size in [1, 3, 4, 1001, 4097] {
            let dirty = Profile::default().fresh_byte(0xEE);
            let world = World::on(&dirty, GuardPolicy::Zero, |it| it.guarded_by(GuardedBy::Host));
            let memory = coherent("own").dedicated(true);
            let own = world.allocator.create_buffer(&buffer_desc(size), &memory).unwrap();
            let mut bytes = vec![1; size as usize];
            let (memory, offset) = (own.allocation().memory(), own.allocation().offset());
            assert!(world.fake.gpu_read(memory, offset, &mut bytes));
            assert_eq!((own.allocation().is_zeroed(), bytes), (true, vec![0; size as usize]));
            // The control: who asks for no zeros gets what there was.
            let off = World::on(&dirty, GuardPolicy::Off, |it| it);
            let one = in_types(&off, "one", size);
            let mut bytes = vec![1; size as usize];
            assert!(off.fake.gpu_read(one.memory(), one.offset(), &mut bytes));
            assert_eq!((one.is_zeroed(), bytes), (false, vec![0xEE; size as usize]));
        }
    });
}

/// A memory of its own is zeroed by the host where the host sees it; elsewhere it is told and counted.
#[test]
fn a_memory_of_its_own_reads_zero_or_is_told() {
    for by in KEEPERS {
        let told = Ear::hear(|| {
            let world = World::on(&Profile::default(), GuardPolicy::Zero, |it| it.guarded_by(by));
            let memory = coherent("own").dedicated(true);
            let own = world.allocator.create_buffer(&buffer_desc(4096), &memory).unwrap();
            let own = own.allocation();
            assert_eq!(own.is_zeroed(), by == GuardedBy::Host, "{by:?}");
            let unzeroed = u64::from(by == GuardedBy::Gpu);
            let coverage = world.allocator.guard_coverage();
            assert_eq!(coverage.unzeroed_allocations, unzeroed, "{by:?}");
            assert_eq!(coverage.dedicated_blocks, 1);
        });
        let warned = told.iter().filter(|one| one.target == GUARD).count();
        assert_eq!(warned, usize::from(by == GuardedBy::Gpu), "{told:?}");
    }
}
