//! Guards on real drivers: the GPU writes where it must not, and fencepost reports whose bug it is.

use ash::vk;
use fencepost::{AllocationDesc, Allocator, Corruption, Damage, GuardPolicy, ResourceKind};

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, Thing, Yard, allocator_with, anchor};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("guards_are_silent_over_work_that_keeps_to_its_ranges", clean),
        Scenario::new("guards_find_the_gpu_writing_past_an_end_and_before_a_start", stray),
        Scenario::new("guards_name_who_wrote_after_a_free_too_early", after_free),
    ]
}

pub(super) const SIZE: u64 = 4096;

pub(super) fn only(found: &[Corruption]) -> Corruption {
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

pub(super) fn name(found: &Corruption) -> Option<&'static str> {
    found.owner.and_then(|owner| owner.name)
}

/// A buffer of the yard that is bound to an allocation with a name.
pub(super) fn named(allocator: &Allocator, yard: &Yard, name: &'static str) -> Thing {
    let memory = AllocationDesc::readback().name(name);
    Thing::bound_to(yard, SIZE, |needs| allocator.allocate(needs, ResourceKind::Linear, &memory))
}

fn clean(room: &Room<'_>) {
    let gpu = room.open();
    for policy in [GuardPolicy::Margins, GuardPolicy::Poison, GuardPolicy::Full] {
        let (allocator, yard) = allocator_with(&gpu, |desc| desc.guards(policy));
        let line = Line::new(&yard, &allocator, Kind::Owned);
        let commands = Commands::new(&gpu);
        let gate = Gate::new(&gpu);
        for round in 0..4 {
            let recording = line.begin(&gate);
            let things: Vec<Thing> =
                (1..8).map(|index| Thing::buffer(&allocator, index * 260 + round * 4)).collect();
            let fill = commands.record(|recorder| {
                things.iter().for_each(|thing| recorder.fill(thing.handle(), 7));
                recorder.barrier();
            });
            let point = line.submit(recording, &[fill]);
            drop(things);
            line.wait(point);
            assert!(allocator.collect().allocations > 0, "they are free again");
            assert_eq!(allocator.check_guards(), [], "{policy:?} in round {round}");
        }
        assert!(allocator.guard_coverage().guarded_bytes > 0);
    }
}

/// A buffer over the block of an allocation at any offset, which is the bug of a wrong bind or a
/// wrong index.
pub(super) fn alias(
    allocator: &Allocator,
    yard: &Yard,
    thing: &Thing,
    offset: u64,
    size: u64,
) -> vk::Buffer {
    let buffer = yard.buffer(size);
    let device = &yard.gpu.device;
    let memory = thing.allocation().memory();
    // SAFETY: the memory is alive; the queries tell what Vulkan wants to have been asked.
    unsafe {
        let needs = device.get_buffer_memory_requirements(buffer);
        assert_eq!(offset % needs.alignment, 0, "the bind is valid, the use is not");
        device.bind_buffer_memory(buffer, memory, offset).expect("a bind");
    }
    allocator.check().expect("the books are whole");
    buffer
}

fn stray(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator_with(&gpu, |desc| desc.guards(GuardPolicy::Full));
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let victim = named(&allocator, &yard, "victim");
    let begin = victim.allocation().offset();
    let run = |buffer| {
        let fill = commands.record(|recorder| {
            recorder.fill(buffer, 7);
            recorder.barrier();
        });
        line.run(line.begin(&gate), fill);
    };
    // One word too long.
    run(alias(&allocator, &yard, &victim, begin, SIZE + 4));
    let found = only(&allocator.check_guards());
    assert_eq!((found.damage, found.offset, found.words), (Damage::After, begin + SIZE, 1));
    assert_eq!((found.found, name(&found)), (7, Some("victim")));
    // Bound one alignment too early.
    // SAFETY: the device is alive.
    let needs = unsafe { gpu.device.get_buffer_memory_requirements(victim.handle()) };
    let early = begin - needs.alignment;
    run(alias(&allocator, &yard, &victim, early, needs.alignment));
    let found = only(&allocator.check_guards());
    assert_eq!(found.damage, Damage::Before);
    assert_eq!((found.found, name(&found)), (7, Some("victim")));
    assert_eq!(found.offset + found.words * 4, begin, "up to the very start");
    assert_eq!(allocator.check_guards(), [], "each is told once");
}

/// The write waits behind a semaphore. Its range is freed meanwhile through the unsafe function.
fn after_free(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator_with(&gpu, |desc| desc.guards(GuardPolicy::Full));
    let _anchor = anchor(&allocator);
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let culprit = named(&allocator, &yard, "culprit");
    let begin = culprit.allocation().offset();
    let ticket = gate.ticket();
    let recording = line.begin(&gate);
    let late = commands.record(|recorder| {
        gate.record_wait(recorder.commands, ticket);
        recorder.fill(culprit.handle(), 7);
        recorder.barrier();
    });
    let point = line.submit_behind(recording, &[late], &gate, ticket);
    // SAFETY: it is not: this is the planted bug. The buffer is the yard's, the block is anchored.
    unsafe { culprit.free_now() };
    assert_eq!(allocator.check_guards(), [], "the GPU has not written yet");
    gate.open(ticket);
    line.wait(point);
    let found = only(&allocator.check_guards());
    assert_eq!((found.damage, found.offset), (Damage::AfterFree, begin));
    assert_eq!((found.words, found.found), (SIZE / 4, 7));
    let owner = found.owner.expect("somebody lived there");
    assert_eq!((owner.name, owner.offset, owner.size), (Some("culprit"), begin, SIZE));
    assert!(owner.freed.is_some(), "it lives no more");
}
