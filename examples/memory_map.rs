//! The memory map of a small scene, or of a record at its peak: an SVG, an HTML page, and the dump
//! that VMA's visualiser draws. With a record, the page also has a time line, and a trace for
//! Perfetto is written.
//!
//! ```text
//! cargo run --example memory_map -- out
//! cargo run --example memory_map -- out --record game.trace
//! ```
use std::{error::Error, ffi::OsString, fs, path::PathBuf};

use clap::Parser;
use fencepost::{
    AllocationDesc, Allocator, AllocatorDesc, BufferDesc, DeviceFeatures, Snapshot,
    fake::{FakeDriver, Profile},
    record::{Intent, Operation, Record},
    vk,
};

/// Draws a map of memory.
#[derive(Parser)]
struct Arguments {
    /// Where the files go
    #[arg(default_value = "out")]
    directory: PathBuf,
    /// What `AllocatorDesc::record` wrote
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Also accepts a record without an end, from a program that could not close its allocator
    #[arg(long, requires = "record")]
    torn: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    enter(std::env::args_os())
}

/// The program, given its command line.
pub(crate) fn enter(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<(), Box<dyn Error>> {
    let Arguments { directory, record, torn } = Arguments::parse_from(arguments);
    let mut files = Vec::new();
    let (snapshot, page) = match record {
        None => {
            let snapshot = scene()?;
            let page = snapshot.to_html();
            (snapshot, page)
        }
        Some(path) => {
            let text = fs::read_to_string(path)?;
            let record = if torn { Record::parse_torn(&text)? } else { Record::parse(&text)? };
            let snapshot = fullest(&record)?;
            files.push(("timeline.svg", record.to_svg()));
            files.push(("perfetto.json", record.to_chrome_trace()));
            let page = snapshot.to_html_with(&record);
            (snapshot, page)
        }
    };
    files.extend([
        ("memory_map.svg", snapshot.to_svg()),
        ("memory_map.html", page),
        ("memory_map.json", snapshot.to_vma_json()),
    ]);
    fs::create_dir_all(&directory)?;
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn open(fake: &FakeDriver) -> Result<Allocator, Box<dyn Error>> {
    let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
        .api_version(vk::API_VERSION_1_3)
        .features(DeviceFeatures::TIMELINE_SEMAPHORE);
    // SAFETY: the fake outlives the allocator, and the only queue in use has a timeline.
    Ok(unsafe { Allocator::new(&desc)? })
}

/// A few buffers, some of which wait for a recording.
fn scene() -> Result<Snapshot, Box<dyn Error>> {
    let fake = FakeDriver::new(&Profile::default());
    let allocator = open(&fake)?;
    let timeline = allocator.timeline(fake.queue(0))?;
    let recording = timeline.begin()?;
    let mut buffers = Vec::new();
    for number in 1..200u64 {
        let size = 1000 * (1 + number * number % 97);
        let name = ["terrain", "trees", "water", "rocks"][number as usize % 4];
        let desc = BufferDesc::new(size, vk::BufferUsageFlags::VERTEX_BUFFER);
        let buffer = allocator.create_buffer(&desc, &AllocationDesc::device_local().name(name))?;
        if number % 5 != 0 {
            buffers.push(buffer); // the others are dropped, and wait for the recording
        }
    }
    let snapshot = allocator.snapshot();
    // SAFETY: nothing is submitted.
    recording.submit(|signal| unsafe { signal.queue_submit(&[]) })?;
    fake.run();
    // SAFETY: nothing else uses the device.
    unsafe { allocator.shutdown()? };
    Ok(snapshot)
}

/// The requests of a record up to the moment at which the most bytes were live, in the memory of a
/// fake device.
fn fullest(record: &Record) -> Result<Snapshot, Box<dyn Error>> {
    let fake = FakeDriver::new(&Profile::default());
    let allocator = open(&fake)?;
    let size = |id: u32| record.requests()[id as usize].size.get();
    let (mut live, mut most, mut peak) = (0, 0, 0);
    for (number, operation) in (1..).zip(record.operations()) {
        match *operation {
            Operation::Allocate(id) => live += size(id),
            Operation::Free(id) => live -= size(id),
            Operation::Submit | Operation::Present => {}
        }
        if live > most {
            (most, peak) = (live, number);
        }
    }
    let mut held: Vec<_> = record.requests().iter().map(|_| None).collect();
    for operation in &record.operations()[..peak] {
        match *operation {
            Operation::Allocate(id) => {
                let request = &record.requests()[id as usize];
                let requirements = vk::MemoryRequirements {
                    size: request.size.get(),
                    alignment: request.alignment,
                    memory_type_bits: !0,
                };
                let mut memory = match request.intent {
                    Intent::DeviceLocal => AllocationDesc::device_local(),
                    Intent::Upload => AllocationDesc::upload(),
                    Intent::Readback => AllocationDesc::readback(),
                };
                if let Some(name) = record.name(id) {
                    memory = memory.name(name.to_owned().leak());
                }
                held[id as usize] =
                    Some(allocator.allocate(&requirements, request.kind, &memory)?);
            }
            Operation::Free(id) => {
                if let Some(ended) = held[id as usize].take() {
                    // SAFETY: no GPU uses it.
                    unsafe { ended.free_now() };
                }
            }
            Operation::Submit | Operation::Present => {}
        }
    }
    let snapshot = allocator.snapshot();
    // SAFETY: nothing else uses the device.
    unsafe { allocator.shutdown()? };
    Ok(snapshot)
}
