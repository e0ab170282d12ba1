//! Every driver call that an operation makes is failed once, with every error it may return: the
//! operation fails with the right error or finds another way, and nothing is lost or left behind.

mod support;

use std::sync::Arc;

use fencepost::{
    AllocationDesc, Allocator, ArenaDesc, BufferDesc, ImageDesc, ImageViewDesc, PoolDesc,
    ResourceKind, Timeline,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::*;

/// A world in which steps are taken. Resources stay until the end.
struct World {
    fake: FakeDriver,
    /// Memory is mapped for each access, and not for good.
    on_access: bool,
    allocator: Option<Allocator>,
    held: Vec<Box<dyn std::any::Any>>,
    timeline: Option<Timeline>,
    ring: Option<Timeline>,
}

type Step = (&'static str, fn(&mut World) -> Result<(), String>);

impl World {
    fn new(on_access: bool) -> Self {
        let fake = FakeDriver::new(&Profile::default());
        // SAFETY: the fake lives as long as the test, and the test submits through timelines.
        let allocator = unsafe { Allocator::new(&desc(&fake).map_on_access(on_access)) };
        let allocator = Some(allocator.unwrap());
        Self { fake, on_access, allocator, held: Vec::new(), timeline: None, ring: None }
    }

    fn allocator(&self) -> &Allocator {
        self.allocator.as_ref().unwrap()
    }

    fn keep<T: 'static, E: std::fmt::Debug>(&mut self, made: Result<T, E>) -> Result<(), String> {
        self.held.push(Box::new(made.map_err(|error| format!("{error:?}"))?));
        Ok(())
    }

    /// All of them, or none: what was made is given back.
    fn keep_all<T: 'static, E: std::fmt::Debug>(
        &mut self,
        made: impl IntoIterator<Item = Result<T, E>>,
    ) -> Result<(), String> {
        let made: Result<Vec<T>, E> = made.into_iter().collect();
        self.keep(made)
    }

    /// What must be as before after a failure.
    fn picture(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let statistics = self.allocator().statistics();
        let live: Vec<(u64, u64)> =
            statistics.memory_types.iter().map(|t| (t.live, t.live_count)).collect();
        // An empty block may linger; whether it leaks is seen at the end.
        let mut objects = self.fake.live();
        objects.memories = 0;
        // What is dropped lives until the GPU is done: here buffers alone are dropped.
        objects.buffers -= statistics.pending_count as usize;
        (live, statistics.live_objects, statistics.open_recordings, objects)
    }
}

fn buffer_step(world: &mut World, desc: AllocationDesc) -> Result<(), String> {
    let made = world.allocator().create_buffer(&buffer_desc(5000), &desc);
    world.keep(made)
}

fn image_desc() -> ImageDesc {
    let usage = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_DST;
    ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 300, 200, usage).mip_levels(4)
}

fn submit_step(world: &mut World, timeline: Timeline) -> Result<(), String> {
    let recording = timeline.begin().map_err(|error| format!("{error:?}"))?;
    let buffer = world.allocator().create_buffer(&buffer_desc(64), &AllocationDesc::default());
    let buffer = match buffer {
        Ok(buffer) => buffer,
        Err(error) => {
            // SAFETY: nothing was recorded.
            unsafe { recording.abandon() };
            return Err(format!("{error:?}"));
        }
    };
    let commands = [world.fake.record(&[Use::buffer(buffer.handle())])];
    drop(buffer);
    let batch = vk::SubmitInfo::default().command_buffers(&commands);
    // SAFETY: the fake's command buffer is recorded.
    match recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) }) {
        Ok(_) => Ok(()),
        Err(fencepost::SubmitError::Failed { recording, error }) => {
            // SAFETY: the submission failed and is not made again.
            unsafe { recording.abandon() };
            if error == vk::Result::ERROR_DEVICE_LOST {
                // The driver said so: the rest of the device follows.
                world.fake.lose_device();
            }
            world.allocator().collect();
            Err(format!("{error:?}"))
        }
        Err(fencepost::SubmitError::Refused { recording, reason }) => {
            // SAFETY: as above.
            unsafe { recording.abandon() };
            world.allocator().collect();
            Err(format!("{reason:?}"))
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// A frame on the ring of one fence, after the one before is done.
fn ring_step(world: &mut World) -> Result<(), String> {
    world.fake.run();
    submit_step(world, world.ring.clone().unwrap())
}

const COPIES: &str = "a buffer that is written and read";

const STEPS: &[Step] = &[
    ("a device-local buffer", |w| buffer_step(w, AllocationDesc::device_local())),
    ("an upload buffer", |w| buffer_step(w, AllocationDesc::upload())),
    ("a dedicated buffer", |w| buffer_step(w, AllocationDesc::readback().dedicated(true))),
    ("a buffer within the budget", |w| {
        let desc = AllocationDesc::device_local().dedicated(true);
        buffer_step(w, desc.flags(fencepost::AllocationFlags::WITHIN_BUDGET))
    }),
    ("a buffer and its contents", |w| {
        let memory = AllocationDesc::device_local();
        let made = w.allocator().create_buffer_init(&buffer_desc(64), &memory, &[7u32; 16]);
        w.keep(made)
    }),
    ("a large buffer", |w| {
        let desc = BufferDesc::new(200 << 20, vk::BufferUsageFlags::STORAGE_BUFFER);
        let made = w.allocator().create_buffer(&desc, &AllocationDesc::device_local());
        w.keep(made)
    }),
    ("an image", |w| {
        let made = w.allocator().create_image(&image_desc(), &AllocationDesc::device_local());
        w.keep(made)
    }),
    ("an image and its view", |w| {
        let image = w
            .allocator()
            .create_image(&image_desc(), &AllocationDesc::device_local())
            .map_err(|error| format!("{error:?}"))?;
        let desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
        let view = w.allocator().create_image_view(&image, &desc);
        let view = view.map_err(|error| {
            // SAFETY: nothing was recorded with the image.
            unsafe { w.allocator().assume_idle() };
            format!("{error:?}")
        });
        match view {
            Ok(view) => w.keep(Ok::<_, ()>((view, image))),
            Err(error) => {
                // SAFETY: nothing was recorded with the image.
                unsafe { image.free_now() };
                Err(error)
            }
        }
    }),
    ("two buffers on one allocation", |w| {
        w.fake.set_aliasing(true);
        let allocator = w.allocator();
        let needs = allocator.buffer_requirements(&buffer_desc(5000));
        let needs = needs.map_err(|error| format!("{error:?}"))?;
        let memory = AllocationDesc::device_local();
        let memory = allocator.allocate(&needs, ResourceKind::Linear, &memory);
        let memory = Arc::new(memory.map_err(|error| format!("{error:?}"))?);
        let pair = [0, 1024]
            .map(|offset| allocator.create_aliasing_buffer(&memory, offset, &buffer_desc(3000)));
        let made = pair.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| {
            // SAFETY: nothing was recorded.
            unsafe { allocator.assume_idle() };
            format!("{error:?}")
        });
        if made.is_err() {
            let memory = Arc::into_inner(memory).expect("the refused resources share no more");
            // SAFETY: nothing was recorded.
            unsafe { memory.free_now() };
        }
        w.keep(made)
    }),
    ("an arena", |w| {
        let desc = ArenaDesc::new(AllocationDesc::upload()).block_size(1 << 20).min_blocks(2);
        let made = w.allocator().create_arena(&desc).map_err(|error| format!("{error:?}"))?;
        let buffer = made.create_buffer(&buffer_desc(1 << 20), &AllocationDesc::default());
        let next = made.create_buffer(&buffer_desc(1 << 20), &AllocationDesc::default());
        let third = made.create_buffer(&buffer_desc(1 << 20), &AllocationDesc::default());
        w.keep_all([buffer, next, third])
    }),
    ("a timeline", |w| {
        let made = w.allocator().timeline(w.fake.queue(0)).map_err(|error| format!("{error:?}"))?;
        w.timeline = Some(made);
        Ok(())
    }),
    ("a ring of fences", |w| {
        let made = w.allocator().fence_timeline(w.fake.queue(1), 1);
        w.ring = Some(made.map_err(|error| format!("{error:?}"))?);
        Ok(())
    }),
    ("a frame with a drop", |w| submit_step(w, w.timeline.clone().unwrap())),
    ("a frame with a new fence", ring_step),
    ("a frame with a fence that was used", ring_step),
    ("a collect", |w| {
        w.fake.run();
        w.allocator().collect();
        Ok(())
    }),
    ("an image of its own", |w| {
        let desc = AllocationDesc::device_local().dedicated(true);
        let made = w.allocator().create_image(&image_desc(), &desc);
        w.keep(made)
    }),
    (COPIES, |w| {
        let made = w.allocator().create_buffer(&buffer_desc(3000), &AllocationDesc::readback());
        let mut buffer = made.map_err(|error| format!("{error:?}"))?;
        let copied = buffer.write(8, &[1_u32, 2]).and_then(|()| {
            let mut values = [0; 2];
            buffer.read(8, &mut values)?;
            assert_eq!(values, [1, 2]);
            Ok(())
        });
        if let Err(error) = copied {
            // SAFETY: nothing was recorded with the buffer.
            unsafe { buffer.free_now() };
            return Err(format!("{error:?}"));
        }
        w.keep(Ok::<_, ()>(buffer))
    }),
    ("buffers all or none", |w| {
        let needs =
            vk::MemoryRequirements { size: 300 << 10, alignment: 256, memory_type_bits: !0 };
        let memory = AllocationDesc::readback();
        let all = [needs; 9];
        let made = w.allocator().allocate_many(&all, ResourceKind::Linear, &memory);
        w.keep(made)
    }),
    ("a pool over mapped memory", |w| {
        if w.on_access {
            return Ok(());
        }
        let (allocator, upload) = (w.allocator(), AllocationDesc::upload());
        let buffer = buffer_desc(1 << 20);
        // SAFETY: the pool goes before the device, and the GPU touches nothing of it.
        let made = unsafe { allocator.mapped_pool(&buffer, &upload, &PoolDesc::new()) };
        w.keep(made)
    }),
    ("memory without a resource", |w| {
        let requirements =
            vk::MemoryRequirements { size: 1 << 20, alignment: 4096, memory_type_bits: !0 };
        let made =
            w.allocator().allocate(&requirements, ResourceKind::Linear, &AllocationDesc::upload());
        w.keep(made)
    }),
];

fn errors(call: Call) -> &'static [vk::Result] {
    use vk::Result as R;
    match call {
        Call::AllocateMemory => &[
            R::ERROR_OUT_OF_DEVICE_MEMORY,
            R::ERROR_OUT_OF_HOST_MEMORY,
            R::ERROR_TOO_MANY_OBJECTS,
            R::ERROR_UNKNOWN,
        ],
        Call::MapMemory => &[R::ERROR_MEMORY_MAP_FAILED, R::ERROR_OUT_OF_HOST_MEMORY],
        Call::QueueSubmit | Call::GetSemaphoreCounterValue | Call::GetFenceStatus => {
            &[R::ERROR_OUT_OF_DEVICE_MEMORY, R::ERROR_DEVICE_LOST]
        }
        _ => &[R::ERROR_OUT_OF_DEVICE_MEMORY, R::ERROR_OUT_OF_HOST_MEMORY],
    }
}

/// The calls a step makes when all goes well.
fn calls_of(step: usize, on_access: bool) -> Vec<(Call, u64)> {
    let mut world = world_before(step, on_access);
    let before: Vec<u64> = Call::ALL.iter().map(|&call| world.fake.calls(call)).collect();
    STEPS[step].1(&mut world).unwrap();
    let made = Call::ALL.iter().zip(before).map(|(&call, n)| (call, world.fake.calls(call) - n));
    let made = made.filter(|&(call, n)| n > 0 && call.can_fail()).collect();
    end(world);
    made
}

fn world_before(step: usize, on_access: bool) -> World {
    let mut world = World::new(on_access);
    for (name, step) in &STEPS[..step] {
        step(&mut world).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    world
}

/// Ends a world: everything is dropped, and the fake finds no leak and no misuse.
fn end(mut world: World) {
    world.fake.clear_faults();
    world.fake.run();
    world.held.clear();
    (world.timeline, world.ring) = (None, None);
    world.allocator().check().unwrap();
    let allocator = world.allocator.take().unwrap();
    // SAFETY: nothing runs and nothing more is submitted.
    unsafe { allocator.assume_idle() };
    allocator.close();
    world.fake.finish().unwrap();
}

#[test]
fn each_call_failed_once_leaves_everything_as_it_was() {
    for on_access in [false, true] {
        each_call_failed_once(on_access);
    }
    let copies = |on_access| {
        let step = STEPS.iter().position(|&(name, _)| name == COPIES).unwrap();
        let calls = calls_of(step, on_access).into_iter();
        calls.filter(|&(call, _)| call == Call::MapMemory).map(|(_, count)| count).sum::<u64>()
    };
    assert!(copies(true) >= 2 && copies(false) <= 1, "each access is mapped, or none");
}

fn each_call_failed_once(on_access: bool) {
    let (mut failures, mut ways_out) = (0, 0);
    for (step, &(name, take)) in STEPS.iter().enumerate() {
        for (call, count) in calls_of(step, on_access) {
            for nth in 0..count {
                for &error in errors(call) {
                    let mut world = world_before(step, on_access);
                    let before = world.picture();
                    let context = format!("{name}, {call:?} #{nth} = {error:?}");
                    world.fake.fail(call, nth, error);
                    let result = take(&mut world);
                    world.allocator().check().unwrap();
                    let lost = error == vk::Result::ERROR_DEVICE_LOST;
                    if lost {
                        // The driver said so: the rest of the device follows.
                        world.fake.lose_device();
                    }
                    match result {
                        Err(message) => {
                            failures += 1;
                            let told = lost
                                || message.contains(&format!("{error:?}"))
                                || message.contains(&shorter(error));
                            assert!(told, "{context}: {message}");
                            if !lost {
                                assert_eq!(before, world.picture(), "{context}");
                            }
                        }
                        Ok(()) => ways_out += 1,
                    }
                    if !lost {
                        world.fake.clear_faults();
                        take(&mut world).unwrap_or_else(|e| panic!("{context}, again: {e}"));
                    }
                    end(world);
                }
            }
        }
    }
    println!("{failures} failures were reported, {ways_out} had a way out");
    assert!(failures > 40 && ways_out > 5, "the faults must reach the operations");
}

/// Our own word for a driver's error.
fn shorter(error: vk::Result) -> String {
    match error {
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => "OutOfDeviceMemory",
        vk::Result::ERROR_OUT_OF_HOST_MEMORY => "OutOfHostMemory",
        vk::Result::ERROR_TOO_MANY_OBJECTS => "TooManyAllocations",
        _ => "Driver",
    }
    .to_owned()
}

#[test]
fn shutdown_that_cannot_wait_changes_nothing_and_a_lost_device_is_no_error() {
    for error in [vk::Result::ERROR_OUT_OF_HOST_MEMORY, vk::Result::ERROR_DEVICE_LOST] {
        let mut world = world_before(STEPS.len(), false);
        world.fake.run();
        let before = world.picture();
        world.fake.fail(Call::DeviceWaitIdle, 0, error);
        // SAFETY: one thread; nothing more is submitted.
        let result = unsafe { world.allocator().shutdown() };
        if error == vk::Result::ERROR_DEVICE_LOST {
            result.unwrap();
            world.fake.finish().unwrap();
        } else {
            assert_eq!(result, Err(error));
            assert_eq!(before, world.picture());
            // SAFETY: as above.
            unsafe { world.allocator().shutdown() }.unwrap();
        }
        world.held.clear();
        world.allocator = None;
        (world.timeline, world.ring) = (None, None);
        world.fake.finish().unwrap();
    }
}

#[test]
fn a_full_small_heap_falls_back_to_another_type_and_at_last_to_an_error_that_helps() {
    let profile = Profile::topology("NVIDIA GeForce RTX 2080").unwrap();
    let fake = FakeDriver::new(&profile);
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    // Host-visible device memory: a heap of 214 MiB.
    let desc = AllocationDesc::device_local().required(vk::MemoryPropertyFlags::HOST_VISIBLE);
    let mut held = Vec::new();
    let mut heaps = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let buffer = allocator
            .create_buffer(
                &BufferDesc::new(30 << 20, vk::BufferUsageFlags::STORAGE_BUFFER),
                &desc.avoided(vk::MemoryPropertyFlags::empty()),
            )
            .unwrap();
        heaps.insert(allocator.blocks().iter().map(|block| block.heap).max());
        held.push(buffer);
    }
    assert!(fake.heap_used(2) > 150 << 20, "the small heap is used first");
    assert!(fake.heap_used(1) > 0, "the rest is in system memory");
    assert!(!heaps.is_empty());
    allocator.check().unwrap();
    drop(held);
    drop(_frames);
    drop(allocator);
    fake.finish().unwrap();
}

#[test]
fn more_memories_than_the_device_can_have_is_a_typed_error() {
    let fake = FakeDriver::new(&Profile::default().max_allocation_count(3));
    let allocator = allocator(&fake);
    let desc = AllocationDesc::device_local().dedicated(true);
    let three: Vec<_> =
        (0..3).map(|_| allocator.create_buffer(&buffer_desc(64), &desc).unwrap()).collect();
    let error = allocator.create_buffer(&buffer_desc(64), &desc).unwrap_err();
    let limit = fencepost::AllocateError::TooManyAllocations { limit: 3 };
    assert_eq!(error, fencepost::CreateError::Allocate(limit));
    drop(three);
    // SAFETY: nothing was submitted.
    unsafe { allocator.assume_idle() };
    drop(allocator.create_buffer(&buffer_desc(64), &desc).unwrap());
    drop(allocator);
}
