//! Shared by the tests over the fake driver: an allocator, requirements, seeds.
#![allow(dead_code, reason = "each test target uses its own part")]

pub mod random;

use std::sync::Arc;

use fencepost::{
    AllocationDesc, Allocator, AllocatorDesc, Buffer, BufferDesc, DeviceFeatures, Point, Recording,
    SubmitError, fake::FakeDriver, fake::Profile, vk,
};

pub fn features() -> DeviceFeatures {
    DeviceFeatures::TIMELINE_SEMAPHORE | DeviceFeatures::SYNCHRONIZATION2
}

/// The description of an allocator over a fake, with Vulkan 1.3. It keeps the fake alive, so that a
/// failing test may unwind in any order.
pub fn desc(fake: &FakeDriver) -> AllocatorDesc<'_> {
    AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
        .api_version(vk::API_VERSION_1_3)
        .features(features())
        .keep_alive(Arc::new(fake.clone()))
}

/// The layout of a set with `count` uniform buffers.
pub fn set_layout(fake: &FakeDriver, count: u32) -> vk::DescriptorSetLayout {
    let binding = vk::DescriptorSetLayoutBinding::default()
        .descriptor_type(vk::DescriptorType::UNIFORM_BUFFER)
        .descriptor_count(count)
        .stage_flags(vk::ShaderStageFlags::COMPUTE);
    let bindings = [binding];
    let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
    // SAFETY: the fake lives.
    unsafe { fake.device().create_descriptor_set_layout(&info, None) }.unwrap()
}

pub fn allocator(fake: &FakeDriver) -> Allocator {
    made(&desc(fake))
}

pub fn made(desc: &AllocatorDesc<'_>) -> Allocator {
    // SAFETY: the fake lives as long as the test, and the test submits through timelines.
    unsafe { Allocator::new(desc) }.expect("the fake has memory types")
}

pub fn fake() -> FakeDriver {
    FakeDriver::new(&Profile::default())
}

pub fn buffer_desc(size: u64) -> BufferDesc {
    BufferDesc::new(size, vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST)
}

pub fn buffer(allocator: &Allocator, size: u64) -> Buffer {
    allocator
        .create_buffer(&buffer_desc(size), &AllocationDesc::device_local().name("buffer"))
        .expect("the fake has room")
}

/// Submits a recording with command buffers of the fake.
pub fn submit(
    recording: Recording,
    commands: &[vk::CommandBuffer],
) -> Result<Point, SubmitError<vk::Result>> {
    let batches = [vk::SubmitInfo::default().command_buffers(commands)];
    // SAFETY: the fake recorded the command buffers; it judges what they use.
    recording.submit(|signal| unsafe { signal.queue_submit(&batches) })
}

/// Submits a recording without commands.
pub fn submit_nothing(recording: Recording) -> Result<Point, SubmitError<vk::Result>> {
    // SAFETY: an empty submission on the fake's queue.
    recording.submit(|signal| unsafe { signal.queue_submit(&[]) })
}
