//! What the tests over the fake driver share: an allocator, requirements, seeds.
#![allow(dead_code, reason = "each test target uses its own part")]

use std::sync::Arc;

use fencepost::{
    AllocationDesc, Allocator, AllocatorDesc, Buffer, BufferDesc, DeviceFeatures, fake::FakeDriver,
    fake::Profile, vk,
};

pub fn features() -> DeviceFeatures {
    DeviceFeatures::TIMELINE_SEMAPHORE | DeviceFeatures::SYNCHRONIZATION2
}

/// A description of an allocator over a fake, at Vulkan 1.3. It keeps the fake alive, so that a
/// failing test unwinds in any order.
pub fn desc(fake: &FakeDriver) -> AllocatorDesc<'_> {
    AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
        .api_version(vk::API_VERSION_1_3)
        .features(features())
        .keep_alive(Arc::new(fake.clone()))
}

pub fn allocator(fake: &FakeDriver) -> Allocator {
    // SAFETY: the fake lives as long as the test, and the test submits through timelines.
    unsafe { Allocator::new(&desc(fake)) }.expect("the fake has memory types")
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

/// A small generator with a printed seed; the same everywhere, so a seed tells a run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Fixed seeds, and one fresh one that is printed.
pub fn seeds(fixed: &[u64]) -> Vec<u64> {
    let fresh = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos() as u64);
    println!("fresh seed: {fresh}");
    fixed.iter().copied().chain([fresh]).collect()
}
