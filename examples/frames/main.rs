//! A headless renderer with three frames in flight that streams a world through a small amount of
//! memory.
//!
//! ```text
//! cargo run --release --example frames -- --out out
//! ```
//!
//! A camera flies down a river. Chunks of land are made when they come near, uploaded through
//! staging buffers, drawn, made again at a finer or coarser detail, and left behind. The program
//! keeps no list of things to delete and never waits for an idle GPU. It drops a resource where it
//! finds that the resource is no longer needed, in [`flight`], [`upload`] and [`world`], even
//! between the recording of a command buffer that uses it and its submission. At the end it writes
//! a picture of the land, a picture of the memory, and a summary, and nothing leaks.
//!
//! Where to look first: `flight.rs` is a frame from begin to submit, `world.rs` streams the chunks,
//! and `upload.rs` copies to device-local memory. `terrain.rs`, `trees.rs`, `ground.rs` and
//! `sunlight.rs` make the land on the CPU, without Vulkan.
mod camera;
mod chunk;
mod commands;
mod draw;
mod flight;
mod ground;
mod height_grid;
mod images;
mod noise;
mod options;
mod photograph;
mod pipelines;
mod shared;
mod summary;
mod sunlight;
#[path = "../support/mod.rs"]
mod support;
mod terrain;
mod texels;
mod tree_mesh;
mod trees;
mod upload;
mod view;
mod world;

use fencepost::{Allocator, AllocatorDesc, EndPolicy, Snapshot, vk};
use flight::Flight;
use indicatif::{ProgressBar, ProgressStyle};
use options::Options;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use summary::Summary;
use support::{Gpu, GpuRequest, Validation};

/// An error is one sentence.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    enter(std::env::args_os())
}

/// The program, given its command line.
pub(crate) fn enter(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let done = Options::read(arguments).map_err(Into::into).and_then(|options| run(&options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frames: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    fs::create_dir_all(&options.out)
        .map_err(|error| format!("cannot make the folder {}: {error}", options.out.display()))?;
    let (landscape, memory) = (options.out.join("landscape.png"), options.out.join("memory.svg"));
    // Both files are opened before the flight, so that a flight without a picture cannot happen.
    let (landscape_file, mut memory_file) = (create(&landscape)?, create(&memory)?);

    let gpu = Gpu::open(&GpuRequest {
        driver: options.driver.as_deref(),
        validation: options.validate.then_some(Validation::Synchronization),
        ..GpuRequest::default()
    })?;
    require(&gpu)?;
    let messages = gpu.messages();
    let mut summary = Summary::new(gpu.driver(), options, gpu.transfer.is_some());
    let (pixels, snapshot, report) = {
        let allocator = open_allocator(&gpu, options)?;
        let (pixels, snapshot) = fly(&gpu, &allocator, options, &mut summary)?;
        (pixels, snapshot, allocator.close().ok_or("the flight kept the allocator")?)
    };
    drop(gpu);
    summary.leaks = report.leaks.len();
    summary.still_pending = report.still_pending;

    photograph::write_png(landscape_file, options.size, &pixels)?;
    memory_file.write_all(snapshot.to_svg().as_bytes())?;
    let mut out = io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    } else {
        writeln!(out, "{summary}")?;
        writeln!(out, "  pictures    {} and {}", landscape.display(), memory.display())?;
    }

    if let Some(leak) = report.leaks.first() {
        return Err(format!("{} allocations leaked, one of them {leak:?}", summary.leaks).into());
    }
    if report.still_pending > 0 {
        return Err(format!("the GPU kept {} bytes to the end", report.still_pending).into());
    }
    let messages = messages.take();
    if let Some(first) = messages.first() {
        let count = messages.len();
        return Err(format!("the validation layer has {count} messages, at first: {first}").into());
    }
    Ok(())
}

/// An allocator that keeps the device alive until all its memory is freed.
fn open_allocator(gpu: &Arc<Gpu>, options: &Options) -> Result<Allocator> {
    let desc = AllocatorDesc::new(&gpu.instance, gpu.physical_device, &gpu.device)
        .api_version(gpu.api_version)
        .features(gpu.features())
        .guards(options.policy())
        .guarded_by(options.guarded_by())
        .end_policy(EndPolicy::Wait(Duration::from_secs(60)))
        .keep_alive(Arc::<Gpu>::clone(gpu));
    // SAFETY: instance and device are alive, and remain so as long as the allocator; the features
    // are the enabled ones; every queue in use gets a timeline.
    Ok(unsafe { Allocator::new(&desc) }?)
}

/// Flies, and returns the pixels of the photograph and the state of the memory before it.
fn fly(
    gpu: &Gpu,
    allocator: &Allocator,
    options: &Options,
    summary: &mut Summary,
) -> Result<(Vec<u8>, Snapshot)> {
    let start = Instant::now();
    let sixth = |side: u32| (side / 6).max(2) & !1;
    let (width, height) = (sixth(options.size.width), sixth(options.size.height));
    let small = vk::Extent2D { width, height };
    let progress = progress_bar(options.frames);
    let mut flight = Flight::new(gpu, allocator, options.seed, options.scrubs())?;
    for number in 0..options.frames {
        allocator.collect();
        flight.frame(number, small, |_, _| Ok(()))?;
        summary.look(&allocator.statistics());
        progress.inc(1);
    }
    progress.finish_and_clear();
    let snapshot = allocator.snapshot();
    let pixels = photograph::take(&mut flight, allocator, options.frames, options.size)?;
    summary.seconds = start.elapsed().as_secs_f64();
    summary.chunks_made = flight.world.made;
    summary.chunks_dropped = flight.world.dropped;
    let scrubbed = flight.scrubbed;
    (summary.dispatches, summary.scrubbed) =
        (scrubbed.dispatches, scrubbed.checked + scrubbed.filled);
    if let Some(first) = allocator.check_guards().first() {
        return Err(format!("somebody wrote where nothing of theirs is: {first}").into());
    }
    Ok((pixels, snapshot))
}

/// Checks the requirements of this program beyond those of fencepost: it is written for Vulkan 1.3.
fn require(gpu: &Gpu) -> Result<()> {
    // SAFETY: the physical device is one of the instance's.
    let families =
        unsafe { gpu.instance.get_physical_device_queue_family_properties(gpu.physical_device) };
    let draws = families[gpu.main.family as usize].queue_flags.contains(vk::QueueFlags::GRAPHICS);
    if draws && gpu.timeline_semaphore && gpu.synchronization2 && gpu.dynamic_rendering {
        return Ok(());
    }
    Err(format!("{} does not draw with Vulkan 1.3, which this example needs", gpu.driver()).into())
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// A progress bar on a terminal, and nothing elsewhere.
fn progress_bar(frames: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} frame {pos} of {len}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(u64::from(frames)).with_style(style)
}
