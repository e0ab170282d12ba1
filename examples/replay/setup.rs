//! Opens a real or a fake device, replays a trace on it, and closes it again.

use std::sync::Arc;

use ash::vk;
use fencepost::fake::{FakeDriver, Profile};
use fencepost::record::Record;
use fencepost::{
    Allocator, AllocatorDesc, DeviceFeatures, GuardPolicy, GuardedBy, NewError, Timeline,
};
use indicatif::ProgressBar;

use super::arguments::{Arguments, Fault};
use super::copies::Copies;
use super::declared::Declared;
use super::fault::EarlyFree;
use super::fit::{Machine, available_memory};
use super::notes::Notes;
use super::replayer::{Outcome, Stage, replay};
use super::settings::{BlockSize, Settings};
use super::stop::Stop;
use super::support::{Gpu, GpuRequest, Validation};

/// The default maximum of outstanding submissions on a real driver. It limits the memory that waits
/// for a slow GPU.
const IN_FLIGHT_REAL: usize = 64;

/// The same for the fake driver, whose GPU is always as late as possible.
const IN_FLIGHT_FAKE: usize = 2;

/// The result of a trace, and its device.
pub(crate) struct Played {
    pub(crate) outcome: Outcome,
    pub(crate) driver: String,
    pub(crate) settings: String,
    pub(crate) in_flight: usize,
    /// The notes of the replay, if it took any.
    pub(crate) notes: Option<Notes>,
}

/// Replays on the device that the arguments name.
pub(crate) fn play(
    trace: &Record,
    arguments: &Arguments,
    settings: &Settings,
    progress: &ProgressBar,
) -> Result<Played, Stop> {
    if arguments.no_driver {
        on_fake(trace, arguments, settings, progress)
    } else {
        on_driver(trace, arguments, settings, progress)
    }
}

/// A description with the settings, which writes to the notes if they are needed.
fn with_settings<'a>(
    desc: AllocatorDesc<'a>,
    settings: &Settings,
    by: GuardedBy,
    notes: Option<&Notes>,
) -> AllocatorDesc<'a> {
    let desc = match settings.block_size {
        None => desc,
        Some(BlockSize { first, largest }) => desc.first_block(first).largest_block(largest),
    };
    let desc = match settings.guards {
        None => desc,
        Some(guards) => desc.guards(guards.policy()).guarded_by(by),
    };
    match notes {
        None => desc,
        // A trace may make all its allocations between two frames.
        Some(notes) => desc.record(notes.clone()).record_room(1 << 20),
    }
}

fn on_driver(
    trace: &Record,
    arguments: &Arguments,
    settings: &Settings,
    progress: &ProgressBar,
) -> Result<Played, Stop> {
    let in_flight = settings.frames_in_flight.map_or(IN_FLIGHT_REAL, usize::from);
    let notes = Notes::wanted(arguments);
    // The layer's check for hazards does not support host waits on timeline semaphores.
    let listening = if arguments.fences { Validation::Synchronization } else { Validation::Core };
    let gpu = Gpu::open(&GpuRequest {
        driver: arguments.driver.as_deref(),
        validation: arguments.validation.then_some(listening),
        ..GpuRequest::default()
    })?;
    // The memory of these devices is that of the machine.
    let shared = [vk::PhysicalDeviceType::CPU, vk::PhysicalDeviceType::INTEGRATED_GPU]
        .contains(&gpu.properties.device_type);
    let available = if shared { available_memory() } else { None };
    Machine::new(&gpu.memory, available).check(&trace.peak())?;

    // SAFETY: all work on the memory goes to the one queue that `open_timeline` is for.
    let allocator = unsafe {
        allocator_on(&gpu, |desc| with_settings(desc, settings, watch(arguments), notes.as_ref()))
    }?;
    let fences = arguments.fences || !gpu.timeline_semaphore;
    let stage = Stage {
        timeline: open_timeline(&allocator, gpu.main.queue, fences, in_flight)?,
        allocator,
        witness: Copies::new(&gpu, trace.requests().len() as u32)?,
        longest_side: gpu.properties.limits.max_image_dimension2_d,
        in_flight,
        reuse: settings.reuse == Some(true),
        scrubs: scrubs(settings, gpu.main.family),
        early_free: early_free(arguments, &gpu.device),
    };
    let outcome = replay(trace, stage, progress)?;

    let (driver, messages) = (gpu.driver().to_owned(), gpu.messages());
    // The layer reports what is live when the device is destroyed, so it must be destroyed here.
    drop(Arc::into_inner(gpu).ok_or(Stop::DeviceKept)?);
    match &messages.take()[..] {
        [] => Ok(Played { outcome, driver, settings: settings.to_string(), in_flight, notes }),
        [first, ..] => Err(Stop::Validation(first.to_string())),
    }
}

/// An allocator that keeps the device alive.
///
/// # Safety
/// Every queue whose work may touch its memory has a timeline of it, or its memory is freed only by
/// `free_now`.
pub(crate) unsafe fn allocator_on(
    gpu: &Arc<Gpu>,
    more: impl FnOnce(AllocatorDesc<'_>) -> AllocatorDesc<'_>,
) -> Result<Allocator, NewError> {
    let mut features = DeviceFeatures::empty();
    features.set(DeviceFeatures::TIMELINE_SEMAPHORE, gpu.timeline_semaphore);
    let desc = AllocatorDesc::new(&gpu.instance, gpu.physical_device, &gpu.device)
        .api_version(gpu.api_version)
        .features(features)
        .keep_alive(Arc::clone(gpu) as _);
    // SAFETY: instance, device, version and features belong together, and `keep_alive` owns them;
    // the caller promises the rest.
    unsafe { Allocator::new(&more(desc)) }
}

fn on_fake(
    trace: &Record,
    arguments: &Arguments,
    settings: &Settings,
    progress: &ProgressBar,
) -> Result<Played, Stop> {
    let in_flight = settings.frames_in_flight.map_or(IN_FLIGHT_FAKE, usize::from);
    let notes = Notes::wanted(arguments);
    let mut profile = profile(settings.topology.as_deref())?;
    if let Some(bytes) = settings.granularity {
        profile = profile.granularity(bytes);
    }
    let fake = FakeDriver::new(&profile);
    fake.set_ordered_reuse(settings.reuse == Some(true));
    if scrubs(settings, 0).is_some() {
        // Scrubs access blocks through buffers of their own.
        fake.set_aliasing(true);
    }
    let (instance, physical_device) = (fake.instance(), fake.physical_device());
    // SAFETY: the physical device is the instance's.
    let (properties, memory) = unsafe {
        (
            instance.get_physical_device_properties(physical_device),
            instance.get_physical_device_memory_properties(physical_device),
        )
    };
    Machine::new(&memory, None).check(&trace.peak())?;

    let desc = AllocatorDesc::new(instance, physical_device, fake.device())
        .api_version(properties.api_version)
        .features(DeviceFeatures::TIMELINE_SEMAPHORE)
        .keep_alive(Arc::new(fake.clone()));
    // SAFETY: as on a driver.
    let allocator = unsafe {
        Allocator::new(&with_settings(desc, settings, watch(arguments), notes.as_ref()))
    }?;
    let stage = Stage {
        timeline: open_timeline(&allocator, fake.queue(0), arguments.fences, in_flight)?,
        allocator,
        witness: Declared::new(fake.clone()),
        longest_side: properties.limits.max_image_dimension2_d,
        in_flight,
        reuse: settings.reuse == Some(true),
        scrubs: scrubs(settings, fake.queue_family(0)),
        early_free: early_free(arguments, fake.device()),
    };
    let mut outcome = replay(trace, stage, progress)?;
    // The fake validates at the end, and reports what is live then as a leak.
    if let Err(violations) = fake.finish() {
        outcome.verdict.mismatches = violations.count();
        outcome.verdict.first = violations.list().first().map(ToString::to_string);
    }
    let driver = format!("the fake driver as {}", fake.profile().name());
    Ok(Played { outcome, driver, settings: settings.to_string(), in_flight, notes })
}

/// The profile of the recorded GPU with that name, or else of the first one whose name contains it.
fn profile(topology: Option<&str>) -> Result<Profile, Stop> {
    let Some(wanted) = topology else { return Ok(Profile::default()) };
    let has_part =
        |one: &Profile| one.name().to_ascii_lowercase().contains(&wanted.to_ascii_lowercase());
    Profile::topology(wanted)
        .or_else(|| Profile::all().find(has_part))
        .ok_or_else(|| Stop::UnknownTopology(wanted.to_owned()))
}

fn open_timeline(
    allocator: &Allocator,
    queue: vk::Queue,
    fences: bool,
    in_flight: usize,
) -> Result<Timeline, Stop> {
    if !fences {
        return Ok(allocator.timeline(queue)?);
    }
    // One more than can be outstanding, for the open recording; and as many for their scrubs.
    let fences = u32::try_from(in_flight).unwrap_or(u32::MAX).saturating_add(1).saturating_mul(2);
    Ok(allocator.fence_timeline(queue, fences)?)
}

/// Who maintains the guards.
fn watch(arguments: &Arguments) -> GuardedBy {
    if arguments.scrub { GuardedBy::Gpu } else { GuardedBy::HostOrGpu }
}

/// The family of the queue that scrubs, if anything is guarded.
fn scrubs(settings: &Settings, family: u32) -> Option<u32> {
    settings.guards.filter(|guards| guards.policy() != GuardPolicy::Off).map(|_| family)
}

fn early_free(arguments: &Arguments, device: &ash::Device) -> Option<EarlyFree> {
    (arguments.fault == Some(Fault::EarlyFree)).then(|| EarlyFree::new(device))
}
