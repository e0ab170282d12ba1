//! What is left behind by scrubs and rests: of an allocator that ends, of a scrub that never runs or runs late, of very
//! many findings.

mod support;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;

use fencepost::{GuardPolicy, GuardedBy, Scrub, fake::Profile, vk};
use support::*;
use world::*;

/// What rests where the host watches keeps its block, and so the device, no longer than the allocator lives.
#[test]
fn a_shutdown_ends_every_rest() {
    let device = Arc::new(());
    let owner = Arc::clone(&device);
    let world = World::on(&Profile::default(), GuardPolicy::Full, |it| {
        it.guarded_by(GuardedBy::Host).quarantine(1000).keep_alive(owner)
    });
    drop(in_types(&world, "rests", 300));
    world.allocator.collect();
    assert!(world.allocator.statistics().total.pending >= 300);
    let World { fake, allocator, timeline } = world;
    // SAFETY: one thread, and nothing more is submitted.
    unsafe { allocator.shutdown() }.unwrap();
    assert_eq!(allocator.statistics().total.pending, 0);
    drop((timeline, allocator));
    assert_eq!(Arc::strong_count(&device), 1, "nothing keeps the device");
    fake.finish().unwrap();
}

/// Records scrubs into command buffers, to be submitted later or never.
struct Recorder<'a>(&'a World, vk::CommandPool);

impl<'a> Recorder<'a> {
    fn new(world: &'a World) -> Self {
        let info = vk::CommandPoolCreateInfo::default();
        // SAFETY: the fake judges what is done with its objects.
        let pool = unsafe { world.fake.device().create_command_pool(&info, None) }.unwrap();
        Self(world, pool)
    }

    fn record(&self, extent: Scrub) -> (fencepost::Recording, vk::CommandBuffer) {
        let Self(World { fake, allocator, timeline }, pool) = self;
        let (recording, device) = (timeline.begin().unwrap(), fake.device());
        let info = vk::CommandBufferAllocateInfo::default().command_pool(*pool);
        // SAFETY: as above; the command buffer is recorded under the recording.
        let commands = unsafe {
            let commands =
                device.allocate_command_buffers(&info.command_buffer_count(1)).unwrap()[0];
            device.begin_command_buffer(commands, &vk::CommandBufferBeginInfo::default()).unwrap();
            allocator.record_scrub(&recording, commands, extent).unwrap();
            device.end_command_buffer(commands).unwrap();
            commands
        };
        (recording, commands)
    }

    fn end(self) {
        // SAFETY: everything was run.
        unsafe { self.0.fake.device().destroy_command_pool(self.1, None) };
    }
}

/// A scrub that never runs has done nothing, though the tables and the report that it uses are those of one that ran.
#[test]
fn a_scrub_that_is_abandoned_is_not_taken_for_the_one_before() {
    let world = World::new(GuardPolicy::Margins);
    let stays = world.allocate("stays", 300);
    let first = world.allocate("first", 256);
    assert_eq!(world.scrub(Scrub::Due), []);
    drop(first);
    world.allocator.collect();
    assert_eq!(world.scrub(Scrub::Due), []);
    let culprit = world.allocate("culprit", 256);
    assert_eq!(world.scrub(Scrub::Due), []);
    world.scribble(&culprit, 256, 1);
    drop(culprit);
    world.allocator.collect();
    let recorder = Recorder::new(&world);
    let (recording, _) = recorder.record(Scrub::Due);
    // SAFETY: its command buffer is never submitted.
    unsafe { recording.abandon() };
    world.allocator.collect();
    assert_eq!(world.allocator.check_guards(), []);
    assert!(world.allocator.statistics().total.pending >= 256, "it waits as before");
    assert_eq!(name(&only(&world.scrub(Scrub::Due))), Some("culprit"));
    assert_eq!(world.allocator.statistics().total.pending, 0);
    recorder.end();
    drop(stays);
    world.scrub_if_on(Scrub::Due);
    world.end();
}

/// What a scrub that was recorded works on is nobody's until that one is passed, though later ones were.
#[test]
fn margins_are_nobodys_until_each_scrub_that_was_recorded_is_passed() {
    for policy in [GuardPolicy::Margins, GuardPolicy::Full] {
        let world = World::on(&Profile::default(), policy, |it| it.quarantine(0));
        let stays = world.allocate("stays", 300);
        let ends = world.allocate("ends", 4096);
        assert_eq!(world.scrub(Scrub::Due), []);
        let recorder = Recorder::new(&world);
        let (recording, commands) = recorder.record(Scrub::Everything);
        // SAFETY: the GPU never saw it; what works on its margins is the allocator's own.
        unsafe { ends.free_now() };
        (0..3).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        assert!(world.allocator.statistics().total.pending >= 4096, "{policy:?}");
        submit(recording, &[commands]).unwrap();
        world.fake.run();
        world.allocator.collect();
        (0..2).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        assert_eq!(world.allocator.statistics().total.pending, 0, "{policy:?}");
        recorder.end();
        drop(stays);
        (0..2).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        world.end();
    }
}

/// The GPU looks at 16 KiB at a time; a run that goes on behind them is one.
#[test]
fn a_run_over_the_end_of_a_piece_is_told_once() {
    let world = World::new(GuardPolicy::Poison);
    let stays = world.allocate("stays", 64);
    let culprit = world.allocate("culprit", 100_096);
    let (memory, edge) = (culprit.memory(), (culprit.offset() + 1).next_multiple_of(16 << 10));
    // SAFETY: nothing was ever submitted that uses it.
    unsafe { culprit.free_now() };
    assert_eq!(world.scrub(Scrub::Due), [], "it is poisoned");
    assert!(world.fake.gpu_write(memory, edge - 8, &[9; 16]));
    // A word apart counts, in the same 16 KiB.
    assert!(world.fake.gpu_write(memory, edge + 16, &[9; 4]));
    let found = world.scrub(Scrub::Due);
    assert_eq!(found.first().map(|found| found.offset), Some(edge - 8), "{found:?}");
    let words: u64 = found.iter().map(|found| found.words).sum();
    assert_eq!((found.len(), words), (1, 5), "all that are damaged of both");
    drop(stays);
    world.end();
}

/// Who writes everywhere is found by the first few: no more are kept, and all are repaired.
#[test]
fn of_very_many_findings_the_first_are_kept() {
    let world = World::on(&Profile::default(), GuardPolicy::Poison, |it| {
        it.guarded_by(GuardedBy::Host).quarantine(0)
    });
    let culprit = in_types(&world, "culprit", 64 << 10);
    let (memory, offset) = (culprit.memory(), culprit.offset());
    // SAFETY: nothing was ever submitted that uses it.
    unsafe { culprit.free_now() };
    let scatter = |count: u64| {
        (0..count).for_each(|at| assert!(world.fake.gpu_write(memory, offset + at * 8, &[9; 4])));
        world.allocator.check_guards().len()
    };
    assert_eq!([scatter(3000), scatter(7), scatter(0)], [1024, 7, 0]);
    world.end();
}
