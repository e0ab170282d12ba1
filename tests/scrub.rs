//! Guards that the GPU maintains, over the fake driver, which executes the two shaders: each kind
//! of damage is found and attributed, a clean run is not accused, and nothing is lost whatever
//! fails.

mod support;
#[path = "support/world.rs"]
mod world;

use fencepost::{
    Allocation, AllocationDesc, Allocator, Damage, GuardPolicy, GuardedBy, ResourceKind, Scrub,
    ScrubError, Timeline,
    fake::{Call, Profile, Violation},
    vk,
};
use support::*;
use world::*;

const POLICIES: [GuardPolicy; 3] = [GuardPolicy::Margins, GuardPolicy::Poison, GuardPolicy::Full];

/// The control of all others, on devices of all kinds: who keeps to what it owns is not accused, and
/// memory comes back.
#[test]
fn a_clean_run_finds_nothing_and_its_memory_comes_back() {
    let gpus = ["NVIDIA GeForce RTX 2080", "AMD Radeon RX 6800 XT", "Apple M1"];
    let profiles = gpus.into_iter().filter_map(Profile::topology).chain([Profile::default()]);
    for profile in profiles {
        for policy in POLICIES {
            let world = World::on(&profile, policy, |desc| desc);
            let mut blocks = 0;
            for round in 0..20 {
                let live: Vec<Allocation> = (0..20)
                    .map(|index| world.allocate("clean", 1 + (index * 97 + round) % 3000))
                    .collect();
                assert_eq!(world.scrub(Scrub::Due), [], "{policy:?} in round {round}");
                for one in &live {
                    let bytes = vec![0xA5; one.size() as usize];
                    assert!(world.fake.gpu_write(one.memory(), one.offset(), &bytes));
                }
                assert_eq!(world.scrub(Scrub::Everything), [], "{policy:?} in round {round}");
                drop(live);
                assert_eq!(world.scrub(Scrub::Due), [], "{policy:?} in round {round}");
                assert_eq!(world.scrub(Scrub::Due), [], "{policy:?} in round {round}");
                if round == 0 {
                    blocks = world.fake.live().memories;
                }
            }
            assert_eq!(world.scrub(Scrub::Everything), []);
            let statistics = world.allocator.statistics();
            assert_eq!(statistics.total.pending, 0, "nothing waits that was scrubbed twice");
            assert_eq!(world.fake.live().memories, blocks, "no block more than in the first round");
            let coverage = world.allocator.guard_coverage();
            assert!(coverage.scrubbed_blocks > 0, "{coverage:?}");
            assert_eq!(coverage.scrubbed_blocks, coverage.guarded_blocks, "the GPU's alone");
            world.end();
        }
    }
}

/// In memory that is not coherent the host writes whole atoms back, bytes of the margins as it last saw them among
/// those of the allocation: nobody is accused of that. What lies further on is watched.
#[test]
fn who_writes_in_memory_that_is_not_coherent_is_not_accused_of_whole_atoms() {
    use vk::MemoryPropertyFlags as Type;
    for atom in [64, 256] {
        let profile = Profile::default()
            .heaps(&[(1 << 30, vk::MemoryHeapFlags::DEVICE_LOCAL)])
            .types(&[
                (0, Type::DEVICE_LOCAL | Type::HOST_VISIBLE),
                (0, Type::HOST_VISIBLE | Type::HOST_COHERENT),
            ])
            .atom(atom);
        let world = World::on(&profile, GuardPolicy::Margins, |desc| desc);
        let needs = vk::MemoryRequirements { size: 41, alignment: 4, memory_type_bits: 1 };
        let memory = AllocationDesc::device_local().name("odd");
        let memory = memory.host_access(fencepost::HostAccess::Sequential);
        let mut odd = world.allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap();
        assert_eq!(world.scrub(Scrub::Due), []);
        odd.write(0, &[7_u8; 41]).unwrap();
        assert_eq!(world.scrub(Scrub::Everything), [], "{atom}");
        let end = odd.size().next_multiple_of(atom) as i64;
        for (byte, damage) in [(-4, Damage::Before), (end, Damage::After)] {
            world.scribble(&odd, byte, 1);
            let found = world.scrub(Scrub::Everything);
            assert_eq!(only(&found).damage, damage, "{atom}");
            assert_eq!(only(&found).offset, odd.offset().wrapping_add_signed(byte));
        }
        drop(odd);
        world.scrub(Scrub::Due);
        world.end();
    }
}

#[test]
fn an_overrun_by_a_word_is_found_on_demand_and_at_the_end() {
    for policy in [GuardPolicy::Margins, GuardPolicy::Full] {
        for size in [64, 100, 1001, 40_000] {
            for on_demand in [true, false] {
                let world = World::new(policy);
                let live = ["left", "victim", "right"].map(|name| world.allocate(name, size));
                assert_eq!(world.scrub(Scrub::Due), [], "the margins are filled");
                let [_, victim, _] = &live;
                let (offset, end) = (victim.offset(), size.next_multiple_of(4));
                world.scribble(victim, end as i64, 1);
                if on_demand {
                    let found = only(&world.scrub(Scrub::Everything));
                    assert_eq!(found.offset, offset + end, "{policy:?}");
                    assert_eq!(world.scrub(Scrub::Everything), [], "it is told once");
                    world.scribble(victim, end as i64, 1);
                }
                drop(live);
                let found = only(&world.scrub(Scrub::Due));
                assert_eq!((found.damage, found.words), (Damage::After, 1));
                assert_eq!((found.offset, found.found), (offset + end, 0x0707_0707));
                let owner = found.owner.expect("a margin has an owner");
                let told = (owner.name, owner.offset, owner.size, owner.freed);
                assert_eq!(told, (Some("victim"), offset, size, None));
                assert_eq!(world.scrub(Scrub::Everything), [], "it is told once");
                world.end();
            }
        }
    }
}

#[test]
fn an_underrun_is_found() {
    let world = World::new(GuardPolicy::Full);
    let victim = world.allocate("victim", 256);
    assert_eq!(world.scrub(Scrub::Due), []);
    world.scribble(&victim, -8, 2);
    let offset = victim.offset();
    drop(victim);
    let found = only(&world.scrub(Scrub::Due));
    assert_eq!((found.damage, found.words, found.offset), (Damage::Before, 2, offset - 8));
    assert_eq!(name(&found), Some("victim"));
    world.end();
}

/// A stray write into the margin of another is told as that one's margin.
#[test]
fn a_wild_write_is_told_by_whose_margin_it_hit() {
    let world = World::new(GuardPolicy::Full);
    let [wild, victim] = ["wild", "victim"].map(|name| world.allocate(name, 128));
    assert_eq!(world.scrub(Scrub::Due), []);
    let distance = victim.offset() as i64 - wild.offset() as i64;
    world.scribble(&wild, distance - 4, 1);
    let found = only(&world.scrub(Scrub::Everything));
    assert_eq!((found.damage, name(&found)), (Damage::Before, Some("victim")));
    drop((wild, victim));
    world.end();
}

/// The write comes while the range is in quarantine, or when it is free already.
#[test]
fn a_write_after_free_is_found_in_quarantine_and_in_free_memory() {
    for policy in [GuardPolicy::Poison, GuardPolicy::Full] {
        for size in [512, 100_096] {
            for quarantined in [true, false] {
                let world = World::new(policy);
                let _stays = world.allocate("stays", 64);
                let culprit = world.allocate("culprit", size);
                let (memory, offset) = (culprit.memory(), culprit.offset());
                // SAFETY: nothing was ever submitted that uses it.
                unsafe { culprit.free_now() };
                let freed = 0;
                assert_eq!(world.scrub(Scrub::Due), [], "it is poisoned");
                if !quarantined {
                    assert_eq!(world.scrub(Scrub::Due), [], "nobody wrote");
                }
                assert!(world.fake.gpu_write(memory, offset + 100, &[9; 12]));
                let extent = if quarantined { Scrub::Due } else { Scrub::Everything };
                let found = only(&world.scrub(extent));
                assert_eq!((found.damage, found.offset), (Damage::AfterFree, offset + 100));
                assert_eq!((found.words, found.found), (3, 0x0909_0909));
                let owner = found.owner.expect("it was the culprit's");
                let told = (owner.name, owner.offset, owner.size, owner.freed);
                assert_eq!(told, (Some("culprit"), offset, size, Some(freed)));
                assert_eq!(world.scrub(Scrub::Everything), [], "it is told once");
                drop(_stays);
                world.end();
            }
        }
    }
}

/// The range stays its owner's until the GPU has passed the scrub that looked last.
#[test]
fn what_ended_is_nobodys_until_two_scrubs_are_passed() {
    for (policy, scrubs) in [(GuardPolicy::Margins, 1), (GuardPolicy::Full, 2)] {
        let world = World::new(policy);
        let stays = world.allocate("stays", 64);
        let first = world.allocate("first", 4096);
        let place = (first.memory(), first.offset());
        drop(first);
        for scrub in 0..scrubs {
            world.allocator.collect();
            let snapshot = world.allocator.snapshot();
            let mut regions = snapshot.blocks().flat_map(|block| &block.regions);
            let waits = regions.find_map(|region| region.waits);
            assert_eq!(waits, Some(fencepost::Wait::Scrub), "a picture tells what it waits for");
            let other = world.allocate("other", 4096);
            assert_ne!((other.memory(), other.offset()), place, "{scrub} scrubs are passed");
            let point = world.try_scrub(Scrub::Due).unwrap().expect("something is due");
            world.allocator.collect();
            let another = world.allocate("another", 4096);
            assert_ne!((another.memory(), another.offset()), place, "it is under way");
            world.timeline.wait(point, LONG).unwrap();
            world.allocator.collect();
            drop((other, another));
        }
        let next = world.allocate("next", 4096);
        assert_eq!((next.memory(), next.offset()), place, "now it is free");
        drop((stays, next));
        world.end();
    }
}

/// A scrub in the user's own command buffer; and one whose recording is never submitted.
#[test]
fn a_scrub_rides_in_a_command_buffer_of_the_users() {
    let world = World::new(GuardPolicy::Full);
    let victim = world.allocate("victim", 256);
    let pool = vk::CommandPoolCreateInfo::default();
    let device = world.fake.device();
    // SAFETY: the fake judges what is done with its objects.
    let pool = unsafe { device.create_command_pool(&pool, None) }.unwrap();
    let record = |extent| {
        let recording = world.timeline.begin().unwrap();
        let info = vk::CommandBufferAllocateInfo::default().command_pool(pool);
        // SAFETY: as above; the command buffer is recorded under the recording.
        unsafe {
            let commands =
                device.allocate_command_buffers(&info.command_buffer_count(1)).unwrap()[0];
            device.begin_command_buffer(commands, &vk::CommandBufferBeginInfo::default()).unwrap();
            let scrubbed = world.allocator.record_scrub(&recording, commands, extent).unwrap();
            device.end_command_buffer(commands).unwrap();
            (recording, commands, scrubbed)
        }
    };
    let (recording, _, scrubbed) = record(Scrub::Due);
    assert!(scrubbed.filled >= 128 && scrubbed.checked == 0, "{scrubbed:?}");
    // SAFETY: its command buffer is never submitted.
    unsafe { recording.abandon() };
    world.allocator.collect();
    // What was due still is.
    let (recording, commands, mut again) = record(Scrub::Due);
    assert_eq!((scrubbed.number, again.number), (1, 2));
    again.number = scrubbed.number;
    assert_eq!(again, scrubbed);
    let point = submit(recording, &[commands]).unwrap();
    world.timeline.wait(point, LONG).unwrap();
    world.allocator.collect();
    let (recording, _, nothing) = record(Scrub::Due);
    assert_eq!(nothing, Default::default(), "nothing is due");
    // SAFETY: as above.
    unsafe { recording.abandon() };
    world.scribble(&victim, 256, 1);
    let (recording, commands, _) = record(Scrub::Everything);
    submit(recording, &[commands]).unwrap();
    world.fake.run();
    assert_eq!(name(&only(&world.allocator.check_guards())), Some("victim"));
    drop(victim);
    // SAFETY: everything was run.
    unsafe { device.destroy_command_pool(pool, None) };
    world.end();
}

/// Scrubs between the passes of a frame tell which pass wrote past an end: the one before the first that sees it.
#[test]
fn scrubs_between_passes_tell_which_of_them_wrote() {
    const PASSES: usize = 4;
    for culprit in 0..PASSES {
        let world = World::new(GuardPolicy::Full);
        let victim = world.allocate("victim", 256);
        assert_eq!(world.scrub(Scrub::Due), []);
        let device = world.fake.device();
        let info = vk::BufferCreateInfo::default().size(1024);
        let info = info.usage(vk::BufferUsageFlags::TRANSFER_DST);
        let recording = world.timeline.begin().unwrap();
        // SAFETY: the fake judges what is done with its objects. The buffer lies over the victim, and beyond: the bug.
        let (pool, astray, scrubs) = unsafe {
            let astray = device.create_buffer(&info, None).unwrap();
            let at = victim.offset() / 256 * 256;
            device.bind_buffer_memory(astray, victim.memory(), at).unwrap();
            let pool = device.create_command_pool(&Default::default(), None).unwrap();
            let info = vk::CommandBufferAllocateInfo::default().command_pool(pool);
            let commands =
                device.allocate_command_buffers(&info.command_buffer_count(1)).unwrap()[0];
            device.begin_command_buffer(commands, &Default::default()).unwrap();
            let scrub = || world.allocator.record_scrub(&recording, commands, Scrub::Everything);
            let scrubs: Vec<u64> = (0..PASSES)
                .map(|pass| {
                    let past = victim.offset() + 256 - at;
                    let bytes = if pass == culprit { 8 } else { 0 };
                    device.cmd_fill_buffer(commands, astray, past - 4, 4 + bytes, 7);
                    scrub().unwrap().number
                })
                .collect();
            device.end_command_buffer(commands).unwrap();
            submit(recording, &[commands]).unwrap();
            (pool, astray, scrubs)
        };
        world.fake.run();
        world.allocator.collect();
        let found = only(&world.allocator.check_guards());
        assert_eq!((found.scrub, found.words), (Some(scrubs[culprit]), 2), "{scrubs:?}");
        let text = found.to_string();
        assert!(text.ends_with(&format!(", seen by scrub {}", scrubs[culprit])), "{text}");
        assert_eq!(world.allocator.scrubbed().number, scrubs[PASSES - 1]);
        // SAFETY: everything was run.
        unsafe {
            device.destroy_command_pool(pool, None);
            device.destroy_buffer(astray, None);
        }
        drop(victim);
        (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        world.end();
    }
}

/// Memory that the host sees is the host's, and only the rest is the GPU's.
#[test]
fn each_block_is_watched_by_one_of_both() {
    let profile = Profile::topology("NVIDIA GeForce RTX 2080").unwrap();
    let world = World::on(&profile, GuardPolicy::Full, |it| it.guarded_by(GuardedBy::HostOrGpu));
    let unseen = world.allocate("unseen", 1000);
    let needs = vk::MemoryRequirements { size: 1000, alignment: 16, memory_type_bits: !0 };
    let coherent = AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT);
    let seen = world.allocator.allocate(&needs, ResourceKind::Linear, &coherent).unwrap();
    let coverage = world.allocator.guard_coverage();
    assert_eq!((coverage.guarded_blocks, coverage.scrubbed_blocks), (2, 1), "{coverage:?}");
    assert_eq!(world.scrub(Scrub::Due), []);
    world.scribble(&unseen, 1000, 1);
    world.scribble(&seen, 1000, 1);
    let found = world.allocator.check_guards();
    assert_eq!(only(&found).memory_type, seen.memory_type(), "the host looks at once");
    let found = world.scrub(Scrub::Everything);
    assert_eq!(only(&found).memory_type, unseen.memory_type(), "the GPU at a scrub");
    drop((seen, unseen));
    world.end();
}

/// A block that is larger than buffers can be cannot be looked at by a shader: it is made all the same, unguarded. The
/// next smaller one is watched.
#[test]
fn a_block_larger_than_any_buffer_is_unguarded() {
    for (limit, watched) in [((1 << 20) - 1, 0), (1 << 20, 1)] {
        let profile = Profile::default().max_buffer_size(limit);
        let world = World::on(&profile, GuardPolicy::Full, |desc| desc);
        let arena = arena(&world.allocator, |it| it);
        let one = in_arena(&arena, "one", 1000);
        let coverage = world.allocator.guard_coverage();
        assert_eq!((coverage.scrubbed_blocks, coverage.unseen_blocks), (watched, 1 - watched));
        assert_eq!(world.scrub(Scrub::Due), []);
        world.scribble(&one, 1000, 1);
        assert_eq!(world.scrub(Scrub::Everything).len() as u64, watched);
        drop((one, arena));
        (0..3).for_each(|_| _ = world.scrub(Scrub::Due));
        world.end();
    }
}

/// The oracle's control: a range that is freed too early, and given to another, is found by the fake
/// if a scrub touches it while the GPU uses it.
#[test]
fn a_scrub_of_what_another_queue_still_uses_is_seen_by_the_fake() {
    let profile = Profile::default().queue_families(&[(vk::QueueFlags::COMPUTE, 2)]);
    for too_early in [false, true] {
        let world = World::on(&profile, GuardPolicy::Full, |desc| desc);
        let other = world.allocator.timeline(world.fake.queue(1)).unwrap();
        let used = world.allocate("used", 4096);
        let memory = fencepost::fake::Use::memory(used.memory(), used.offset(), 4096);
        let recording = other.begin().unwrap();
        submit(recording, &[world.fake.record(&[memory])]).unwrap();
        if too_early {
            // SAFETY: it is not: this is the bug.
            unsafe { used.free_now() };
        } else {
            drop(used);
        }
        world.try_scrub(Scrub::Due).unwrap();
        let overlaps = |it: &Violation| matches!(it, Violation::SubmitOverlap { .. });
        assert_eq!(world.fake.violations().iter().any(overlaps), too_early);
        world.fake.run();
    }
}

#[test]
fn refusals_say_why_and_change_nothing() {
    let fake = fake();
    let off = allocator(&fake);
    let timeline = off.timeline(fake.queue(0)).unwrap();
    // SAFETY: the queue is of this family, and no other thread submits.
    let refused = |allocator: &Allocator, timeline: &Timeline| unsafe {
        allocator.scrub(timeline, 0, Scrub::Due)
    };
    assert_eq!(refused(&off, &timeline), Err(ScrubError::Off));
    let world = World::new(GuardPolicy::Full);
    let victim = world.allocate("victim", 64);
    assert_eq!(refused(&world.allocator, &timeline), Err(ScrubError::Foreign));
    assert!(world.try_scrub(Scrub::Due).unwrap().is_some(), "what was due still is");
    assert_eq!(world.try_scrub(Scrub::Due).unwrap(), None, "nothing is due");
    drop(victim);
    // SAFETY: one thread, and nothing more is submitted.
    unsafe { world.allocator.shutdown() }.unwrap();
    world.fake.finish().unwrap();
    assert_eq!(world.try_scrub(Scrub::Due), Err(ScrubError::ShutDown));
}

/// Two queues are in no order, so while a scrub of one is under way a scrub of the other is refused, also one that is
/// recorded and not submitted yet. Then it goes on, and what was due still is.
#[test]
fn scrubs_of_two_timelines_take_turns() {
    let profile = Profile::default().queue_families(&[(vk::QueueFlags::COMPUTE, 2)]);
    let world = World::on(&profile, GuardPolicy::Full, |desc| desc);
    let other = world.allocator.timeline(world.fake.queue(1)).unwrap();
    // SAFETY: the queue is of this family, and no other thread submits.
    let elsewhere = || unsafe { world.allocator.scrub(&other, 0, Scrub::Everything) };
    let victim = world.allocate("victim", 256);
    let point = world.try_scrub(Scrub::Due).unwrap().unwrap();
    // Its range waits for no scrub that is under way, but its margins do.
    // SAFETY: the GPU never saw it.
    unsafe { victim.free_now() };
    assert_eq!(elsewhere(), Err(ScrubError::Elsewhere));
    assert!(world.try_scrub(Scrub::Due).unwrap().is_some(), "of the same queue");
    world.timeline.wait(point, LONG).unwrap();
    world.fake.run();
    assert!(elsewhere().unwrap().is_some());
    assert_eq!(world.try_scrub(Scrub::Due), Err(ScrubError::Elsewhere));
    world.fake.run();
    assert_eq!(world.scrub(Scrub::Due), []);
    assert_eq!(world.allocator.statistics().total.pending, 0);
    drop(other);
    world.end();
}

/// Whatever is under way when the end comes, nothing is left behind and no rule broken.
#[test]
fn every_end_lets_go_what_waits_for_a_scrub() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum End {
        Close,
        HandlesLast,
        Shutdown,
        ShutdownHandlesLast,
        Lost,
    }
    let ends = [End::Close, End::HandlesLast, End::Shutdown, End::ShutdownHandlesLast, End::Lost];
    for end in ends {
        for scrubs in 0..4 {
            let world = World::new(GuardPolicy::Full);
            let lives = world.allocate("lives", 300);
            let ended = world.allocate("ended", 300);
            world.try_scrub(Scrub::Due).unwrap();
            drop(ended);
            for scrub in 0..scrubs {
                // Some are passed, the last is not.
                let extent = if scrub % 2 == 0 { Scrub::Due } else { Scrub::Everything };
                world.allocator.collect();
                world.try_scrub(extent).unwrap();
                if scrub + 1 < scrubs {
                    world.fake.run();
                }
            }
            drop(world.allocate("waits", 500));
            let context = format!("{end:?} after {scrubs} scrubs");
            let World { fake, allocator, timeline } = world;
            match end {
                End::Close => {
                    drop(lives);
                    drop(timeline);
                    let report = allocator.close().unwrap();
                    assert_eq!((report.leaks.len(), report.still_pending), (0, 0), "{context}");
                }
                End::HandlesLast => {
                    allocator.close();
                    drop(timeline);
                    drop(lives);
                }
                End::Shutdown | End::ShutdownHandlesLast => {
                    let kept = (end == End::ShutdownHandlesLast).then_some(lives);
                    // SAFETY: one thread, and nothing more is submitted.
                    unsafe { allocator.shutdown() }.unwrap();
                    fake.finish().unwrap_or_else(|error| panic!("{context}: {error}"));
                    drop((kept, timeline, allocator));
                }
                End::Lost => {
                    fake.lose_device();
                    drop(lives);
                    allocator.collect();
                    allocator.check().unwrap_or_else(|error| panic!("{context}: {error:?}"));
                    drop((timeline, allocator));
                }
            }
            fake.finish().unwrap_or_else(|error| panic!("{context}: {error}"));
        }
    }
}

/// Each call of a scrub that can fail fails once: the error says so, nothing is lost, and the next
/// scrub finds what the first would have.
#[test]
fn each_failed_call_of_a_scrub_leaves_everything_due() {
    let prepare = || {
        let world = World::new(GuardPolicy::Full);
        let victim = world.allocate("victim", 300);
        (world, victim)
    };
    let run = |world: &World, victim: Allocation| {
        assert_eq!(world.scrub(Scrub::Due), []);
        world.scribble(&victim, 300, 1);
        drop(victim);
        assert_eq!(name(&only(&world.scrub(Scrub::Due))), Some("victim"));
    };
    let calls: Vec<(Call, u64)> = {
        let (world, victim) = prepare();
        let before: Vec<u64> = Call::ALL.iter().map(|&call| world.fake.calls(call)).collect();
        world.try_scrub(Scrub::Everything).unwrap();
        let made = Call::ALL.iter().zip(before).map(|(&it, n)| (it, world.fake.calls(it) - n));
        let made = made.filter(|&(call, count)| count > 0 && call.can_fail()).collect();
        drop(victim);
        world.end();
        made
    };
    let mut failures = 0;
    for (call, count) in calls {
        for nth in 0..count {
            let (world, victim) = prepare();
            let error = vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;
            world.fake.fail(call, nth, error);
            match world.try_scrub(Scrub::Everything) {
                Err(ScrubError::Driver(told)) => assert_eq!(told, error, "{call:?} #{nth}"),
                Err(ScrubError::Memory(told)) => assert!(told.is_out_of_memory(), "{told}"),
                Err(other) => panic!("{call:?} #{nth}: {other}"),
                // The tables lie in another memory type.
                Ok(_) => {
                    assert!(matches!(call, Call::AllocateMemory | Call::MapMemory), "{call:?}");
                    world.fake.run();
                }
            }
            failures += 1;
            world.allocator.check().unwrap();
            world.fake.clear_faults();
            run(&world, victim);
            world.end();
        }
    }
    assert!(failures >= 12, "{failures} calls can fail");
}
