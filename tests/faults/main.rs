//! Every driver call of an operation fails once, with every error that it may return. The operation
//! fails with the right error or finds another way, and nothing is lost or left behind.

mod steps;
#[path = "../support/mod.rs"]
mod support;

use fencepost::{
    AllocationDesc, Allocator, BufferDesc, DeviceFeatures, Timeline,
    fake::{Call, FakeDriver, Profile},
    vk,
};
use steps::{COPIES, STEPS};
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
        let more = DeviceFeatures::MEMORY_PRIORITY
            | DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY
            | DeviceFeatures::EXTERNAL_MEMORY_FD
            | DeviceFeatures::EXTERNAL_MEMORY_HOST;
        let desc = desc(&fake).map_on_access(on_access).features(features() | more);
        // SAFETY: the fake lives as long as the test, and the test submits through timelines.
        let allocator = unsafe { Allocator::new(&desc) };
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
        objects.buffers -= statistics.total.pending_count as usize;
        (live, statistics.live_objects, statistics.open_recordings, objects)
    }
}

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
        heaps.insert(allocator.snapshot().blocks().map(|block| block.heap).max());
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
