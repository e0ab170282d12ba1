//! Every order of ends is safe: handles, clones, timelines, the device.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use ash::vk;
use fencepost::{
    AllocationDesc, Allocator, AllocatorDesc, Buffer, BufferDesc, EndPolicy, Image, ImageDesc,
    ImageView, ImageViewDesc,
};

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, allocator, allocator_with, assert_clean};
use crate::support::{Gpu, Message, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    [
        Scenario::new("handles_may_outlive_the_allocator", handles_outlive),
        Scenario::new("close_waits_for_what_is_pending", close_waits),
        Scenario::new("handles_may_be_dropped_after_close_while_work_is_pending", drop_after_close),
        Scenario::new("an_end_that_does_not_wait_keeps_what_is_pending", end_keeps),
        Scenario::new("a_timeline_may_be_dropped_while_it_records", timeline_first),
        Scenario::new("shutdown_comes_before_the_device_and_handles_after", shutdown),
    ]
    .map(|scenario| scenario.validation(Validation::Core))
    .to_vec()
}

/// One of each handle.
struct Handles {
    buffer: Buffer,
    view: ImageView,
    image: Image,
}

impl Handles {
    fn new(allocator: &Allocator) -> Self {
        let usage = vk::BufferUsageFlags::TRANSFER_DST;
        let memory = AllocationDesc::upload().name("left over");
        let buffer =
            allocator.create_buffer(&BufferDesc::new(5000, usage), &memory).expect("a buffer");
        let usage = vk::ImageUsageFlags::TRANSFER_DST | vk::ImageUsageFlags::SAMPLED;
        let desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 50, 50, usage);
        let image = allocator
            .create_image(&desc, &AllocationDesc::device_local().name("left image"))
            .expect("an image");
        let view = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
        let view = allocator.create_image_view(&image, &view).expect("a view");
        Self { buffer, view, image }
    }

    /// Work that writes buffer and image, recorded by `commands`.
    fn write(&self, commands: &Commands) -> vk::CommandBuffer {
        let general = vk::ImageLayout::GENERAL;
        commands.record(|recorder| {
            recorder.fill(self.buffer.handle(), 5);
            recorder.layout(self.image.handle(), vk::ImageLayout::UNDEFINED, general);
            recorder.clear(self.image.handle(), general, [1, 2, 3, 4]);
        })
    }
}

/// An allocator, a timeline, and handles that work behind the gate uses. What a scenario does not
/// drop itself is dropped in this order.
struct World {
    gate: Gate,
    commands: Commands,
    handles: Handles,
    line: Line,
    allocator: Allocator,
    ticket: u64,
}

impl World {
    fn new(gpu: &Arc<Gpu>, policy: EndPolicy) -> Self {
        let (allocator, yard) = allocator_with(gpu, |desc| desc.end_policy(policy));
        let line = Line::new(&yard, &allocator, Kind::Owned);
        let handles = Handles::new(&allocator);
        let (commands, gate) = (Commands::new(gpu), Gate::new(gpu));
        let recording = line.begin(&gate);
        let ticket = gate.ticket();
        let write = handles.write(&commands);
        line.submit_behind(recording, &[write], &gate, ticket);
        Self { gate, commands, handles, line, allocator, ticket }
    }
}

/// Drops the device, and returns the messages of the layer up to and including that.
fn end(gpu: Arc<Gpu>) -> Vec<Message> {
    let messages = gpu.messages();
    let weak: Weak<Gpu> = Arc::downgrade(&gpu);
    drop(gpu);
    assert!(weak.upgrade().is_none(), "something still holds the device");
    messages.take()
}

const PATIENT: EndPolicy = EndPolicy::Wait(Duration::from_secs(20));

/// The timeline is dropped between the first command and the submission; buffer and image too.
fn timeline_first(room: &Room<'_>) {
    let gpu = room.open();
    for kind in [Kind::Owned, Kind::Fences(3)] {
        let (allocator, yard) = allocator(&gpu);
        let (commands, gate) = (Commands::new(&gpu), Gate::new(&gpu));
        let handles = Handles::new(&allocator);
        let line = Line::new(&yard, &allocator, kind);
        let recording = line.begin(&gate);
        let write = [handles.write(&commands)];
        drop((line, handles));
        assert!(allocator.timeline(gpu.main.queue).is_err(), "the recording is for the queue");
        let (semaphore, value) = gate.semaphore(gate.ticket()).expect("the ticket is a semaphore");
        let (semaphores, values) = ([semaphore], [value]);
        let mut wait = vk::TimelineSemaphoreSubmitInfo::default().wait_semaphore_values(&values);
        let batch = vk::SubmitInfo::default()
            .command_buffers(&write)
            .wait_semaphores(&semaphores)
            .wait_dst_stage_mask(&[vk::PipelineStageFlags::ALL_COMMANDS])
            .push_next(&mut wait);
        // SAFETY: the batch is valid, and no other thread uses the queue.
        let submitted = recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) });
        submitted.unwrap_or_else(|error| panic!("{error}"));
        // The next one follows on the queue, after what is pending.
        let line = Line::new(&yard, &allocator, Kind::Owned);
        let beside = Handles::new(&allocator);
        allocator.collect();
        let pending = allocator.statistics();
        assert_eq!((pending.total.pending_count, pending.pending_objects), (2, 1), "{kind:?}");
        gate.open(1);
        line.run(line.begin(&gate), beside.write(&commands));
        allocator.collect_all();
        let left = allocator.statistics();
        assert_eq!((left.total.pending_count, left.total.live_count), (0, 2), "{kind:?}");
    }
    assert_clean(&end(gpu));
}

fn handles_outlive(room: &Room<'_>) {
    let gpu = room.open();
    let world = World::new(&gpu, PATIENT);
    drop((world.gate, world.commands, world.line));
    let mut handles = world.handles;
    let again = world.allocator.clone();
    assert_eq!(world.allocator.close(), None, "a clone lives");
    let report = again.close().expect("the last clone");
    let names: Vec<_> = report.leaks.iter().filter_map(|leak| leak.name).collect();
    assert_eq!(names, ["left image", "left over"], "largest first");
    assert!(report.leaks[0].size >= 50 * 50 * 4 && report.leaks[1].size >= 5000, "{report:?}");
    // The handles are valid.
    handles.buffer.write(0, &[7_u32; 10]).expect("it is host-visible");
    let mut seen = [0_u32; 11];
    handles.buffer.read(0, &mut seen).expect("it is host-visible");
    assert_eq!(seen, [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0x05]);
    // They keep the device alive until the last one is dropped.
    let (weak, messages) = (Arc::downgrade(&gpu), gpu.messages());
    drop(gpu);
    drop((handles.view, handles.image));
    assert!(weak.upgrade().is_some(), "a handle lives without a device");
    drop(handles.buffer);
    assert!(weak.upgrade().is_none(), "something still holds the device");
    assert_clean(&messages.take());
}

fn close_waits(room: &Room<'_>) {
    let gpu = room.open();
    let world = World::new(&gpu, PATIENT);
    drop((world.handles, world.line));
    assert_eq!(world.allocator.statistics().total.pending_count, 2);
    let (gate, allocator) = (&world.gate, world.allocator);
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            gate.open(world.ticket);
        });
        allocator.close().expect("the last clone")
    });
    assert_eq!((report.leaks.len(), report.still_pending), (0, 0), "{report:?}");
    drop((world.gate, world.commands));
    assert_clean(&end(gpu));
}

fn drop_after_close(room: &Room<'_>) {
    let gpu = room.open();
    let world = World::new(&gpu, PATIENT);
    let gate = &world.gate;
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            gate.open(world.ticket);
        });
        // Closing waits for what is submitted even though nothing is retired; then each drop finds
        // the work done.
        drop(world.allocator);
        drop(world.line);
        drop(world.handles);
    });
    drop((world.gate, world.commands));
    assert_clean(&end(gpu));
}

fn end_keeps(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let world = World::new(&gpu, EndPolicy::Keep);
    drop((world.handles, world.line));
    let report = world.allocator.close().expect("the last clone");
    assert!(report.still_pending >= 5000 + 50 * 50 * 4, "{report:?}");
    drop((world.gate, world.commands));
    // The work was never observed to end, so memory and device are kept for ever, and nothing was
    // freed in flight.
    let weak = Arc::downgrade(&gpu);
    drop(gpu);
    assert!(weak.upgrade().is_some(), "the device went from under memory that is kept");
    assert_clean(&messages.take());
}

fn shutdown(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let desc = AllocatorDesc::new(&gpu.instance, gpu.physical_device, &gpu.device)
        .api_version(gpu.api_version)
        .features(gpu.features());
    // SAFETY: the description names what the device was created with; `shutdown` comes before the
    // device goes; the one queue in use has a timeline.
    let allocator = unsafe { Allocator::new(&desc) }.expect("an allocator");
    let timeline = allocator.timeline(gpu.main.queue).expect("a timeline");
    let mut kept = Handles::new(&allocator);
    let pending = Handles::new(&allocator);
    let (commands, gate) = (Commands::new(&gpu), Gate::new(&gpu));
    let recording = timeline.begin().expect("a recording");
    let never_submitted = timeline.begin().expect("a recording");
    let writes = [kept.write(&commands), pending.write(&commands)];
    let ticket = gate.ticket();
    let (wait, value) = gate.semaphore(ticket).expect("the ticket is a semaphore");
    let (waits, values) = ([wait], [value]);
    let mut wait = vk::TimelineSemaphoreSubmitInfo::default().wait_semaphore_values(&values);
    let batch = vk::SubmitInfo::default()
        .command_buffers(&writes)
        .wait_semaphores(&waits)
        .wait_dst_stage_mask(&[vk::PipelineStageFlags::ALL_COMMANDS])
        .push_next(&mut wait);
    // SAFETY: the batch is valid, and no other thread uses the queue.
    let submitted = recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) });
    let point = submitted.unwrap_or_else(|error| panic!("{error}"));
    drop(pending);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            gate.open(ticket);
        });
        // SAFETY: no other thread uses the allocator or the queue; nothing is submitted later.
        unsafe { allocator.shutdown() }.expect("the device idles");
    });
    drop((gate, commands));
    assert_clean(&end(gpu));
    // The device is gone, and every function returns an error.
    let desc = BufferDesc::new(1, vk::BufferUsageFlags::TRANSFER_DST);
    assert!(allocator.create_buffer(&desc, &AllocationDesc::upload()).is_err());
    assert!(kept.buffer.write(0, &[1_u8]).is_err());
    assert_eq!(kept.buffer.device_address(), None);
    assert!(timeline.begin().is_err());
    assert!(timeline.wait(point, Duration::ZERO).is_err());
    allocator.collect();
    allocator.trim();
    drop(never_submitted);
    drop(kept.view);
    drop((allocator, timeline));
    drop((kept.buffer, kept.image));
    assert_clean(&messages.take());
}
