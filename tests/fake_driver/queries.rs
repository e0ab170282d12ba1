//! What the device says about itself, and which commands a version has.

use std::ffi::CStr;

use ash::vk;
use fencepost::fake::{FakeDriver, Profile};

use crate::support::Gpu;

fn has(fake: &FakeDriver, name: &CStr) -> bool {
    let device = fake.device().handle();
    unsafe { fake.instance().get_device_proc_addr(device, name.as_ptr()) }.is_some()
}

#[test]
fn a_version_has_its_commands_and_extensions_the_others() {
    let fake = FakeDriver::new(&Profile::default().api_version(vk::API_VERSION_1_0));
    assert!(has(&fake, c"vkBindBufferMemory"));
    for (core, extension) in [
        (c"vkBindBufferMemory2", c"vkBindBufferMemory2KHR"),
        (c"vkGetImageMemoryRequirements2", c"vkGetImageMemoryRequirements2KHR"),
        (c"vkGetSemaphoreCounterValue", c"vkGetSemaphoreCounterValueKHR"),
        (c"vkGetBufferDeviceAddress", c"vkGetBufferDeviceAddressKHR"),
        (c"vkQueueSubmit2", c"vkQueueSubmit2KHR"),
        (c"vkGetDeviceBufferMemoryRequirements", c"vkGetDeviceBufferMemoryRequirementsKHR"),
    ] {
        assert!(!has(&fake, core) && has(&fake, extension), "{core:?}");
        assert!(has(&FakeDriver::new(&Profile::default()), core), "{core:?}");
    }
    assert!(!has(&fake, c"vkCmdDraw"));
    let without = Profile::default().timeline_semaphores(false);
    let without = FakeDriver::new(&without);
    assert!(!has(&without, c"vkWaitSemaphores") && !has(&without, c"vkWaitSemaphoresKHR"));
    fake.finish().unwrap();
}

#[test]
fn extension_loaders_of_ash_work() {
    let gpu = Gpu::with(Profile::default().api_version(vk::API_VERSION_1_1));
    let timeline = gpu.timeline(4);
    let loader = ash::khr::timeline_semaphore::Device::new(gpu.fake.instance(), &gpu.device);
    assert_eq!(unsafe { loader.get_semaphore_counter_value(timeline) }, Ok(4));
    let listed = unsafe {
        let device = gpu.fake.physical_device();
        gpu.fake.instance().enumerate_device_extension_properties(device).unwrap()
    };
    let named = |name: &CStr| listed.iter().any(|e| e.extension_name_as_c_str() == Ok(name));
    assert!(named(ash::khr::timeline_semaphore::NAME) && named(ash::ext::memory_budget::NAME));
    assert!(!named(ash::amd::device_coherent_memory::NAME));
    gpu.kept();
}

#[test]
fn the_device_says_what_the_profile_says() {
    let profile = Profile::topology("Mali-G615 MC2").unwrap().max_allocation_size(1 << 30);
    let fake = FakeDriver::new(&profile);
    let (instance, device) = (fake.instance(), fake.physical_device());
    unsafe {
        assert_eq!(instance.enumerate_physical_devices(), Ok(vec![device]));
        let mut vulkan_11 = vk::PhysicalDeviceVulkan11Properties::default();
        let mut vulkan_12 = vk::PhysicalDeviceVulkan12Properties::default();
        let mut out = vk::PhysicalDeviceProperties2::default()
            .push_next(&mut vulkan_11)
            .push_next(&mut vulkan_12);
        instance.get_physical_device_properties2(device, &mut out);
        let properties = out.properties;
        assert_eq!(properties.device_name_as_c_str(), Ok(c"Mali-G615 MC2"));
        assert_eq!(properties.device_type, vk::PhysicalDeviceType::INTEGRATED_GPU);
        assert_eq!(properties.limits.max_memory_allocation_count, 16_384);
        assert_eq!(vulkan_11.max_memory_allocation_size, 1 << 30);
        assert_eq!(vulkan_12.max_timeline_semaphore_value_difference, (1 << 31) - 1);
        let mut vulkan_12 = vk::PhysicalDeviceVulkan12Features::default();
        let mut vulkan_13 = vk::PhysicalDeviceVulkan13Features::default();
        let mut out = vk::PhysicalDeviceFeatures2::default()
            .push_next(&mut vulkan_12)
            .push_next(&mut vulkan_13);
        instance.get_physical_device_features2(device, &mut out);
        assert_eq!((vulkan_12.timeline_semaphore, vulkan_13.maintenance4), (1, 1));
    }
    fake.finish().unwrap();
}

#[test]
fn queues_are_numbered_over_all_families() {
    let fake = FakeDriver::new(&Profile::default());
    let families = unsafe {
        fake.instance().get_physical_device_queue_family_properties(fake.physical_device())
    };
    assert_eq!(families.iter().map(|f| f.queue_count).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!([0, 1, 2, 3].map(|index| fake.queue_family(index)), [0, 1, 1, 2]);
    let queue = |family, slot| unsafe { fake.device().get_device_queue(family, slot) };
    assert_eq!(
        [queue(0, 0), queue(1, 0), queue(1, 1), queue(2, 0)],
        [0, 1, 2, 3].map(|i| fake.queue(i))
    );
    assert_eq!((queue(0, 1), fake.queue(4)), (vk::Queue::null(), vk::Queue::null()));
    assert_eq!(FakeDriver::new(&Profile::default().queues(7)).profile().queue_count(), 7);
    fake.finish().unwrap();
}

#[test]
fn requirements_can_be_asked_for_without_an_object() {
    let gpu = Gpu::with(Profile::default().buffer_rounding(128));
    let create = vk::BufferCreateInfo::default().size(1000);
    let info = vk::DeviceBufferMemoryRequirements::default().create_info(&create);
    let mut out = vk::MemoryRequirements2::default();
    unsafe { gpu.device.get_device_buffer_memory_requirements(&info, &mut out) };
    assert_eq!(out.memory_requirements.size, 1024);
    assert_eq!(gpu.fake.live().total(), 0);
    let image = gpu.image(100, vk::ImageTiling::OPTIMAL);
    let real = unsafe { gpu.device.get_image_memory_requirements(image) };
    let create = vk::ImageCreateInfo::default()
        .format(vk::Format::R8G8B8A8_UNORM)
        .extent(vk::Extent3D { width: 100, height: 100, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1);
    let info = vk::DeviceImageMemoryRequirements::default().create_info(&create);
    unsafe { gpu.device.get_device_image_memory_requirements(&info, &mut out) };
    assert_eq!(out.memory_requirements.size, real.size);
    gpu.kept();
}
