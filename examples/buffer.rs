//! The shortest program: it drops a buffer while the GPU may still use it.
//!
//! ```text
//! cargo run --example buffer
//! ```
use fencepost::{AllocationDesc, Allocator, AllocatorDesc, BufferDesc, vk};
use std::time::Duration;

mod support;
use support::{Gpu, GpuRequest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = Gpu::open(&GpuRequest::default())?;
    let desc = AllocatorDesc::new(&gpu.instance, gpu.physical_device, &gpu.device)
        .api_version(gpu.api_version)
        .features(gpu.features())
        .keep_alive(gpu.clone());
    // SAFETY: the device lives as long as the allocator, and the queue in use gets a timeline.
    let allocator = unsafe { Allocator::new(&desc)? };
    let timeline = allocator.timeline(gpu.main.queue)?;

    let words = BufferDesc::new(4096, vk::BufferUsageFlags::STORAGE_BUFFER);
    let mut buffer = allocator.create_buffer(&words, &AllocationDesc::upload().name("words"))?;
    buffer.write(0, &[42u32; 1024])?;

    let recording = timeline.begin()?;
    // … here commands that use `buffer.handle()` are recorded …
    drop(buffer);
    // SAFETY: a submission without batches is valid; only the signal is submitted.
    let point = recording.submit(|signal| unsafe { signal.queue_submit(&[]) })?;
    println!("{}: {} bytes wait for the GPU", gpu.driver(), allocator.statistics().total.pending);

    timeline.wait(point, Duration::from_secs(10))?;
    println!("{} bytes are free again", allocator.collect().bytes);
    Ok(())
}
