//! Guards that the GPU maintains, on real drivers: memory is treated as if the host could not
//! access it. Shaders fill and check it, and fencepost reports whose bug it is, whoever wrote.

use ash::vk;
use fencepost::{
    AllocationDesc, Allocator, Corruption, Damage, GuardPolicy, GuardedBy, ImageDesc, Scrub,
};

use super::corruption::{SIZE, alias, name, named, only};
use crate::harness::{Room, Scenario};
use crate::rig::{
    Commands, Gate, Kind, Line, Thing, allocator_on, allocator_with, anchor, assert_clean,
    assert_seen,
};
use crate::support::{Gpu, Message, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("scrubs_are_silent_over_work_that_keeps_to_its_ranges", clean)
            .validation(Validation::Synchronization),
        Scenario::new("scrubs_find_writes_past_an_end_before_a_start_and_astray", stray)
            .validation(Validation::Core),
        Scenario::new("scrubs_name_who_wrote_after_a_free_too_early", after_free)
            .validation(Validation::Core),
        Scenario::new("scrubs_ride_in_a_command_buffer_of_vulkan_1_0", riding)
            .api_version(vk::API_VERSION_1_0)
            .validation(Validation::Core),
        Scenario::new("control_a_shader_of_vulkan_1_1_is_reported_in_1_0", newer_shader)
            .api_version(vk::API_VERSION_1_0)
            .validation(Validation::Core),
        Scenario::new("the_barriers_of_scrubs_order_them_between_the_users_submissions", |room| {
            assert_clean(&between(room, Clone::clone));
        })
        .validation(Validation::Synchronization),
        Scenario::new("control_the_hazard_oracle_reports_scrubs_without_barriers", |room| {
            assert_seen(&between(room, without_barriers), "SYNC-HAZARD-WRITE-AFTER-WRITE");
        })
        .validation(Validation::Synchronization),
    ]
}

/// A scrub that the GPU passes, and all that was found.
pub(super) fn scrub(
    allocator: &Allocator,
    gpu: &Gpu,
    line: &Line,
    extent: Scrub,
) -> Vec<Corruption> {
    // SAFETY: the queue is of this family, and scenarios submit from one thread.
    let point = unsafe { allocator.scrub(&line.timeline, gpu.main.family, extent) };
    if let Some(point) = point.unwrap_or_else(|error| panic!("{error}")) {
        line.wait(point);
    }
    allocator.collect();
    allocator.check().expect("the books are whole");
    allocator.check_guards()
}

fn clean(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    for policy in [GuardPolicy::Margins, GuardPolicy::Poison, GuardPolicy::Full] {
        let (allocator, yard) =
            allocator_with(&gpu, |desc| desc.guards(policy).guarded_by(GuardedBy::Gpu));
        let line = Line::new(&yard, &allocator, Kind::Fences(2));
        let commands = Commands::new(&gpu);
        let gate = Gate::new(&gpu);
        let look = |extent| scrub(&allocator, &gpu, &line, extent);
        for round in 0..3 {
            let things: Vec<Thing> =
                (1..8).map(|index| Thing::buffer(&allocator, index * 5260 + round * 4)).collect();
            let usage = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
            let desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 60, 50, usage);
            let image = allocator
                .create_image(&desc, &AllocationDesc::device_local().name("image"))
                .expect("an image");
            assert_eq!(look(Scrub::Due), [], "{policy:?} in round {round}");
            let recording = line.begin(&gate);
            let work = commands.record(|recorder| {
                let (new, to) = (vk::ImageLayout::UNDEFINED, vk::ImageLayout::GENERAL);
                recorder.layout(image.handle(), new, to);
                recorder.clear(image.handle(), to, [255; 4]);
                things.iter().for_each(|thing| recorder.fill(thing.handle(), 7));
            });
            let point = line.submit(recording, &[work]);
            assert_eq!(look(Scrub::Everything), [], "{policy:?} in round {round}");
            drop((things, image));
            line.wait(point);
            // What was dropped waits for a scrub from the collect on that sees it reached.
            allocator.collect();
            assert_eq!(look(Scrub::Due), [], "{policy:?} in round {round}");
            assert_eq!(look(Scrub::Due), [], "{policy:?} in round {round}");
        }
        assert_eq!(allocator.statistics().total.pending, 0, "what was scrubbed is free");
        let coverage = allocator.guard_coverage();
        assert!(coverage.scrubbed_blocks > 0 && coverage.unseen_blocks == 0, "{coverage:?}");
    }
    assert_clean(&messages.take());
}

/// The device, whose barriers come to nothing.
fn without_barriers(device: &ash::Device) -> ash::Device {
    unsafe extern "system" fn nothing(
        _: vk::CommandBuffer,
        _: vk::PipelineStageFlags,
        _: vk::PipelineStageFlags,
        _: vk::DependencyFlags,
        _: u32,
        _: *const vk::MemoryBarrier<'_>,
        _: u32,
        _: *const vk::BufferMemoryBarrier<'_>,
        _: u32,
        _: *const vk::ImageMemoryBarrier<'_>,
    ) {
    }
    let mut core = device.fp_v1_0().clone();
    core.cmd_pipeline_barrier = nothing;
    let later = (device.fp_v1_1().clone(), device.fp_v1_2().clone(), device.fp_v1_3().clone());
    ash::Device::from_parts_1_3(device.handle(), core, later.0, later.1, later.2)
}

/// Scrubs between submissions that write, with no wait of the host between them, and no barrier but
/// the scrubs' own. Returns what the layer says.
fn between(room: &Room<'_>, device: impl FnOnce(&ash::Device) -> ash::Device) -> Vec<Message> {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) = allocator_on(&gpu, &device(&gpu.device), |desc| {
        desc.guards(GuardPolicy::Full).guarded_by(GuardedBy::Gpu)
    });
    let line = Line::new(&yard, &allocator, Kind::Fences(64));
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let mut things = Vec::new();
    let mut last = None;
    // Many: what the GPU has done before the next is submitted, and a fence tells so, is no hazard.
    for word in 0..16 {
        things.push(Thing::buffer(&allocator, 4096));
        let fill = commands.record(|recorder| {
            things.iter().for_each(|thing: &Thing| recorder.fill(thing.handle(), word));
        });
        line.submit(line.begin(&gate), &[fill]);
        // SAFETY: the queue is of this family, and scenarios submit from one thread.
        let point = unsafe { allocator.scrub(&line.timeline, gpu.main.family, Scrub::Due) };
        last = point.unwrap_or_else(|error| panic!("{error}"));
    }
    line.wait(last.expect("the margins of the newest are filled"));
    allocator.collect();
    assert_eq!(allocator.check_guards(), []);
    messages.take()
}

fn stray(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) =
        allocator_with(&gpu, |desc| desc.guards(GuardPolicy::Full).guarded_by(GuardedBy::Gpu));
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let look = |extent| scrub(&allocator, &gpu, &line, extent);
    let [victim, wild] = ["victim", "wild"].map(|it| named(&allocator, &yard, it));
    let begin = victim.allocation().offset();
    // SAFETY: the device is alive.
    let needs = unsafe { gpu.device.get_buffer_memory_requirements(victim.handle()) };
    let step = needs.alignment;
    // Each of them with an alias of the block, bound where it must not be: by the GPU.
    let fill = |offset, size| {
        let buffer = alias(&allocator, &yard, &victim, offset, size);
        let fill = commands.record(|recorder| {
            recorder.fill(buffer, 7);
            recorder.barrier();
        });
        line.run(line.begin(&gate), fill);
    };
    assert_eq!(look(Scrub::Due), [], "the margins are filled");
    // One word too long.
    fill(begin, SIZE + 4);
    let found = only(&look(Scrub::Everything));
    assert_eq!((found.damage, found.offset, found.words), (Damage::After, begin + SIZE, 1));
    assert_eq!((found.found, name(&found)), (7, Some("victim")));
    // Bound one alignment too early.
    fill(begin - step, step);
    let found = only(&look(Scrub::Everything));
    assert_eq!((found.damage, found.found, name(&found)), (Damage::Before, 7, Some("victim")));
    assert_eq!(found.offset + found.words * 4, begin, "up to the very start");
    // Far astray, into the margin of another.
    let hit = wild.allocation().offset();
    fill(hit - step, 4);
    let found = only(&look(Scrub::Everything));
    assert_eq!((found.offset, found.words, name(&found)), (hit - step, 1, Some("wild")));
    // By the host, through its own mapping.
    // SAFETY: the GPU is idle, and the word after the allocation lies in the mapped block.
    let pattern = unsafe {
        let bytes = victim.allocation().mapped().expect("it is host-visible").cast::<u8>();
        let word = bytes.add(SIZE as usize).cast::<u32>();
        let pattern = word.read();
        word.write(9);
        pattern
    };
    // It ends, and the end finds it.
    drop(victim);
    let found = only(&look(Scrub::Due));
    assert_eq!((found.damage, found.offset), (Damage::After, begin + SIZE));
    assert_eq!((found.words, found.found, name(&found)), (1, 9, Some("victim")));
    assert_eq!(found.expected, pattern, "the shader writes the pattern that the host expects");
    assert_eq!(look(Scrub::Everything), [], "each is told once");
    assert_clean(&messages.take());
}

/// The write is submitted after its range was freed through the unsafe door: the scrub that poisons it
/// is before the write, the scrub that looks again is behind it.
fn after_free(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) =
        allocator_with(&gpu, |desc| desc.guards(GuardPolicy::Full).guarded_by(GuardedBy::Gpu));
    let _anchor = anchor(&allocator);
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let look = |extent| scrub(&allocator, &gpu, &line, extent);
    // In quarantine; and once it is free and nobody has it.
    for (scrubs, extent) in [(1, Scrub::Due), (2, Scrub::Everything)] {
        let culprit = named(&allocator, &yard, "culprit");
        let begin = culprit.allocation().offset();
        let handle = culprit.handle();
        // SAFETY: it is not: this is the planted bug. The buffer is the yard's, the block is anchored.
        unsafe { culprit.free_now() };
        for _ in 0..scrubs {
            assert_eq!(look(Scrub::Due), [], "the GPU has not written yet");
        }
        let ticket = gate.ticket();
        let recording = line.begin(&gate);
        let late = commands.record(|recorder| {
            gate.record_wait(recorder.commands, ticket);
            recorder.fill(handle, 7);
            recorder.barrier();
        });
        let late = line.submit_behind(recording, &[late], &gate, ticket);
        // SAFETY: the queue is of this family, and this thread alone submits.
        let point = unsafe { allocator.scrub(&line.timeline, gpu.main.family, extent) };
        let point = point.expect("a scrub").expect("something is due");
        assert_eq!(allocator.check_guards(), [], "the gate is closed");
        gate.open(ticket);
        line.wait(late);
        line.wait(point);
        let found = only(&allocator.check_guards());
        assert_eq!((found.damage, found.offset), (Damage::AfterFree, begin), "{scrubs}");
        assert_eq!((found.words, found.found), (SIZE / 4, 7));
        let owner = found.owner.expect("somebody lived there");
        assert_eq!((owner.name, owner.offset, owner.size), (Some("culprit"), begin, SIZE));
        assert!(owner.freed.is_some(), "it lives no more");
        assert_eq!(look(Scrub::Everything), [], "it is told once");
    }
    assert_clean(&messages.take());
}

/// Nothing of a later Vulkan is needed: fences, and the user's own command buffer.
fn riding(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) =
        allocator_with(&gpu, |desc| desc.guards(GuardPolicy::Margins).guarded_by(GuardedBy::Gpu));
    let line = Line::new(&yard, &allocator, Kind::Fences(2));
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let victim = named(&allocator, &yard, "victim");
    let long = alias(&allocator, &yard, &victim, victim.allocation().offset(), SIZE + 4);
    // In one command buffer: the margins are filled, and then the GPU writes too far.
    let recording = line.begin(&gate);
    let frame = commands.record(|recorder| {
        // SAFETY: the command buffer is being recorded, and submitted once with the recording.
        let scrubbed = unsafe {
            allocator.record_scrub(&recording, recorder.commands, Scrub::Due).expect("a scrub")
        };
        assert!(scrubbed.filled > 0 && scrubbed.checked == 0);
        recorder.fill(long, 7);
        recorder.barrier();
    });
    line.run(recording, frame);
    allocator.collect();
    // In the next it does so between two scrubs: the first tells of the frame before, the second of this one's pass.
    let (recording, mut numbers) = (line.begin(&gate), Vec::new());
    let frame = commands.record(|recorder| {
        for pass in 0..3 {
            if pass == 1 {
                recorder.fill(long, 9);
            }
            // SAFETY: as above.
            let scrubbed =
                unsafe { allocator.record_scrub(&recording, recorder.commands, Scrub::Everything) };
            numbers.push(scrubbed.expect("a scrub").number);
        }
        recorder.barrier();
    });
    line.run(recording, frame);
    allocator.collect();
    let found = allocator.check_guards();
    let told: Vec<_> = found.iter().map(|one| (one.found, one.scrub)).collect();
    assert_eq!(told, [(7, Some(numbers[0])), (9, Some(numbers[1]))], "{found:?}");
    for one in found {
        assert_eq!((one.damage, one.words, name(&one)), (Damage::After, 1, Some("victim")));
    }
    drop(victim);
    assert_eq!(scrub(&allocator, &gpu, &line, Scrub::Due), []);
    assert_clean(&messages.take());
}

/// What the layer has seen to be valid in one version it must not take for valid in another.
fn newer_shader(room: &Room<'_>) {
    let bytes = include_bytes!("../../../shaders/guard.spv");
    let words = ash::util::read_spv(&mut std::io::Cursor::new(bytes)).expect("SPIR-V");
    let newer = [&[words[0], 0x0001_0300], &words[2..]].concat();
    let messages = |api_version: u32, code: &[u32]| {
        let gpu = room.open_as(api_version);
        let messages = gpu.messages();
        let info = vk::ShaderModuleCreateInfo::default().code(code);
        // SAFETY: the words are a module, and nobody uses what is made of it.
        unsafe {
            let module = gpu.device.create_shader_module(&info, None).expect("a module");
            gpu.device.destroy_shader_module(module, None);
        }
        messages.take()
    };
    assert_clean(&messages(vk::API_VERSION_1_0, &words));
    assert_clean(&messages(vk::API_VERSION_1_1, &newer));
    assert_seen(&messages(vk::API_VERSION_1_0, &newer), "InconsistentSpirv");
}
