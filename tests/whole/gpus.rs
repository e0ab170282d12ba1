//! Random GPUs.

use fencepost::{
    fake::{FakeDriver, Profile},
    vk,
};

use crate::support::random::Random;

pub fn properties(profile: &Profile) -> vk::PhysicalDeviceMemoryProperties {
    memory_properties(&FakeDriver::new(profile))
}

pub fn memory_properties(fake: &FakeDriver) -> vk::PhysicalDeviceMemoryProperties {
    // SAFETY: the fake lives.
    unsafe { fake.instance().get_physical_device_memory_properties(fake.physical_device()) }
}

pub fn limits(fake: &FakeDriver) -> vk::PhysicalDeviceLimits {
    // SAFETY: the fake lives.
    unsafe { fake.instance().get_physical_device_properties(fake.physical_device()) }.limits
}

/// With heaps that no GPU has, of the device alone: what the host sees is memory of this process.
pub fn grown(profile: Profile, random: &mut Random) -> Profile {
    use vk::{MemoryHeapFlags as Heap, MemoryPropertyFlags as Type};
    let size = (1 << (36 + random.below(12))) + random.below(1 << 30);
    profile
        .heaps(&[(size, Heap::DEVICE_LOCAL), (1 << 30, Heap::empty())])
        .types(&[
            (0, Type::DEVICE_LOCAL),
            (0, Type::DEVICE_LOCAL | Type::LAZILY_ALLOCATED),
            (1, Type::HOST_VISIBLE | Type::HOST_COHERENT),
            (1, Type::HOST_VISIBLE | Type::HOST_CACHED),
        ])
        .max_allocation_size(1 << (32 + random.below(12)))
}

/// With heaps that are soon full.
pub fn shrunk(
    profile: Profile,
    properties: &vk::PhysicalDeviceMemoryProperties,
    random: &mut Random,
) -> Profile {
    let heaps = properties.memory_heaps_as_slice().iter();
    let heaps: Vec<_> = heaps
        .map(|heap| {
            let size = (1 << (21 + random.below(5))) + random.below(1 << 20);
            (heap.size.min(size), heap.flags)
        })
        .collect();
    profile.heaps(&heaps)
}
