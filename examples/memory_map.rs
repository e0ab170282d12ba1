//! The memory map of a small scene: an SVG, a page to look around in, and the dump that VMA's
//! visualiser draws.
//!
//! ```text
//! cargo run --example memory_map -- out
//! ```
use fencepost::{
    AllocationDesc, Allocator, AllocatorDesc, BufferDesc,
    fake::{FakeDriver, Profile},
    vk,
};
use std::{fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap_or("out".into()));
    let fake = FakeDriver::new(&Profile::default());
    let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
        .api_version(vk::API_VERSION_1_3)
        .features(fencepost::DeviceFeatures::TIMELINE_SEMAPHORE);
    // SAFETY: the fake outlives the allocator, and the only queue in use has a timeline.
    let allocator = unsafe { Allocator::new(&desc)? };
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
    fs::create_dir_all(&directory)?;
    for (name, text) in [
        ("memory_map.svg", snapshot.to_svg()),
        ("memory_map.html", snapshot.to_html()),
        ("memory_map.json", snapshot.to_vma_json()),
    ] {
        let path = directory.join(name);
        fs::write(&path, text)?;
        println!("{}", path.display());
    }
    // SAFETY: nothing is submitted.
    recording.submit(|signal| unsafe { signal.queue_submit(&[]) })?;
    fake.run();
    // SAFETY: nothing else uses the device.
    unsafe { allocator.shutdown()? };
    Ok(())
}
