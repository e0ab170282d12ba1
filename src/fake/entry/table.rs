//! The function table: from a command's name to its entry, for the versions that the profile has.

use std::ffi::{CStr, c_char, c_void};
use std::mem;
use std::ptr;

use ash::vk;

use super::create::*;
use super::handle::driver;
use super::{
    commands, compute, external, instance, memory, properties, sets, sync, transfer, video,
};
use crate::fake::driver::Driver;
use crate::fake::profile::Profile;

macro_rules! table {
    ($name:ident; $($text:literal $(if $there:expr)? => $type:ident($entry:expr),)+) => {
        match $name {
            $($text $(if $there)? => {
                let entry: vk::$type = $entry;
                // SAFETY:
                // - a function pointer; it is only called after it was turned back into the type
                //   that belongs to its name, which is the type here.
                Some(unsafe { mem::transmute::<vk::$type, unsafe extern "system" fn()>(entry) })
            })+
            _ => None,
        }
    };
}

/// The entry of a command; none if the fake or the profile lacks it.
fn find(name: &CStr, profile: &Profile) -> vk::PFN_vkVoidFunction {
    let name = name.to_bytes();
    let v11 = profile.api_version >= vk::API_VERSION_1_1;
    let v12 = profile.api_version >= vk::API_VERSION_1_2;
    let v13 = profile.api_version >= vk::API_VERSION_1_3;
    let (timeline, address) = (profile.timeline_semaphores, profile.device_address);
    table! { name;
        b"vkGetInstanceProcAddr" => PFN_vkGetInstanceProcAddr(get_instance_proc_addr),
        b"vkGetDeviceProcAddr" => PFN_vkGetDeviceProcAddr(get_device_proc_addr),
        b"vkDestroyInstance" => PFN_vkDestroyInstance(instance::destroy_instance),
        b"vkDestroyDevice" => PFN_vkDestroyDevice(instance::destroy_device),
        b"vkEnumeratePhysicalDevices" => PFN_vkEnumeratePhysicalDevices(instance::enumerate_physical_devices),
        b"vkEnumerateDeviceExtensionProperties" => PFN_vkEnumerateDeviceExtensionProperties(instance::enumerate_device_extensions),
        b"vkGetPhysicalDeviceProperties" => PFN_vkGetPhysicalDeviceProperties(properties::properties),
        b"vkGetPhysicalDeviceProperties2" if v11 => PFN_vkGetPhysicalDeviceProperties2(properties::properties2),
        b"vkGetPhysicalDeviceProperties2KHR" => PFN_vkGetPhysicalDeviceProperties2(properties::properties2),
        b"vkGetPhysicalDeviceFeatures" => PFN_vkGetPhysicalDeviceFeatures(properties::features),
        b"vkGetPhysicalDeviceFeatures2" if v11 => PFN_vkGetPhysicalDeviceFeatures2(properties::features2),
        b"vkGetPhysicalDeviceFeatures2KHR" => PFN_vkGetPhysicalDeviceFeatures2(properties::features2),
        b"vkGetPhysicalDeviceMemoryProperties" => PFN_vkGetPhysicalDeviceMemoryProperties(instance::memory_properties),
        b"vkGetPhysicalDeviceMemoryProperties2" if v11 => PFN_vkGetPhysicalDeviceMemoryProperties2(instance::memory_properties2),
        b"vkGetPhysicalDeviceMemoryProperties2KHR" => PFN_vkGetPhysicalDeviceMemoryProperties2(instance::memory_properties2),
        b"vkGetPhysicalDeviceQueueFamilyProperties" => PFN_vkGetPhysicalDeviceQueueFamilyProperties(instance::queue_families),
        b"vkGetPhysicalDeviceQueueFamilyProperties2" if v11 => PFN_vkGetPhysicalDeviceQueueFamilyProperties2(instance::queue_families2),
        b"vkGetPhysicalDeviceFormatProperties" => PFN_vkGetPhysicalDeviceFormatProperties(instance::format_properties),
        b"vkGetPhysicalDeviceImageFormatProperties" => PFN_vkGetPhysicalDeviceImageFormatProperties(instance::image_format_properties),
        b"vkGetPhysicalDeviceImageFormatProperties2" if v11 => PFN_vkGetPhysicalDeviceImageFormatProperties2(instance::image_format_properties2),
        b"vkGetPhysicalDeviceImageFormatProperties2KHR" => PFN_vkGetPhysicalDeviceImageFormatProperties2(instance::image_format_properties2),
        b"vkGetDeviceQueue" => PFN_vkGetDeviceQueue(instance::get_queue),
        b"vkGetDeviceQueue2" if v11 => PFN_vkGetDeviceQueue2(instance::get_queue2),

        b"vkAllocateMemory" => PFN_vkAllocateMemory(create::<AllocateMemory>),
        b"vkFreeMemory" => PFN_vkFreeMemory(destroy),
        b"vkMapMemory" => PFN_vkMapMemory(memory::map_memory),
        b"vkUnmapMemory" => PFN_vkUnmapMemory(memory::unmap_memory),
        b"vkSetDeviceMemoryPriorityEXT" if profile.pageable_memory => PFN_vkSetDeviceMemoryPriorityEXT(memory::set_priority),
        b"vkFlushMappedMemoryRanges" => PFN_vkFlushMappedMemoryRanges(memory::flush),
        b"vkInvalidateMappedMemoryRanges" => PFN_vkInvalidateMappedMemoryRanges(memory::invalidate),
        b"vkGetDeviceMemoryCommitment" => PFN_vkGetDeviceMemoryCommitment(memory::memory_commitment),

        b"vkCreateBuffer" => PFN_vkCreateBuffer(create::<CreateBuffer>),
        b"vkDestroyBuffer" => PFN_vkDestroyBuffer(destroy),
        b"vkCreateImage" => PFN_vkCreateImage(create::<CreateImage>),
        b"vkDestroyImage" => PFN_vkDestroyImage(destroy),
        b"vkCreateBufferView" => PFN_vkCreateBufferView(create::<CreateBufferView>),
        b"vkDestroyBufferView" => PFN_vkDestroyBufferView(destroy),
        b"vkCreateImageView" => PFN_vkCreateImageView(create::<CreateImageView>),
        b"vkDestroyImageView" => PFN_vkDestroyImageView(destroy),
        b"vkCreateSampler" => PFN_vkCreateSampler(create::<CreateSampler>),
        b"vkDestroySampler" => PFN_vkDestroySampler(destroy),
        b"vkGetBufferMemoryRequirements" => PFN_vkGetBufferMemoryRequirements(memory::buffer_requirements),
        b"vkGetImageMemoryRequirements" => PFN_vkGetImageMemoryRequirements(memory::image_requirements),
        b"vkGetBufferMemoryRequirements2" if v11 => PFN_vkGetBufferMemoryRequirements2(memory::buffer_requirements2),
        b"vkGetBufferMemoryRequirements2KHR" => PFN_vkGetBufferMemoryRequirements2(memory::buffer_requirements2),
        b"vkGetImageMemoryRequirements2" if v11 => PFN_vkGetImageMemoryRequirements2(memory::image_requirements2),
        b"vkGetImageMemoryRequirements2KHR" => PFN_vkGetImageMemoryRequirements2(memory::image_requirements2),
        b"vkGetDeviceBufferMemoryRequirements" if v13 => PFN_vkGetDeviceBufferMemoryRequirements(memory::device_buffer_requirements),
        b"vkGetDeviceBufferMemoryRequirementsKHR" => PFN_vkGetDeviceBufferMemoryRequirements(memory::device_buffer_requirements),
        b"vkGetDeviceImageMemoryRequirements" if v13 => PFN_vkGetDeviceImageMemoryRequirements(memory::device_image_requirements),
        b"vkGetDeviceImageMemoryRequirementsKHR" => PFN_vkGetDeviceImageMemoryRequirements(memory::device_image_requirements),
        b"vkBindBufferMemory" => PFN_vkBindBufferMemory(memory::bind_buffer),
        b"vkBindImageMemory" => PFN_vkBindImageMemory(memory::bind_image),
        b"vkBindBufferMemory2" if v11 => PFN_vkBindBufferMemory2(memory::bind_buffers),
        b"vkBindBufferMemory2KHR" => PFN_vkBindBufferMemory2(memory::bind_buffers),
        b"vkBindImageMemory2" if v11 => PFN_vkBindImageMemory2(memory::bind_images),
        b"vkBindImageMemory2KHR" => PFN_vkBindImageMemory2(memory::bind_images),
        b"vkGetBufferDeviceAddress" if v12 && address => PFN_vkGetBufferDeviceAddress(memory::buffer_address),
        b"vkGetBufferDeviceAddressKHR" if address => PFN_vkGetBufferDeviceAddress(memory::buffer_address),
        b"vkGetPhysicalDeviceExternalBufferProperties" if v11 => PFN_vkGetPhysicalDeviceExternalBufferProperties(external::buffer_properties),
        b"vkGetPhysicalDeviceExternalBufferPropertiesKHR" => PFN_vkGetPhysicalDeviceExternalBufferProperties(external::buffer_properties),
        b"vkGetMemoryFdKHR" => PFN_vkGetMemoryFdKHR(external::get_memory_fd),
        b"vkGetMemoryFdPropertiesKHR" => PFN_vkGetMemoryFdPropertiesKHR(external::memory_fd_properties),
        b"vkGetMemoryHostPointerPropertiesEXT" => PFN_vkGetMemoryHostPointerPropertiesEXT(external::host_pointer_properties),
        b"vkGetBufferDeviceAddressEXT" if address => PFN_vkGetBufferDeviceAddress(memory::buffer_address),

        b"vkCreateVideoSessionKHR" => PFN_vkCreateVideoSessionKHR(create::<CreateVideoSession>),
        b"vkDestroyVideoSessionKHR" => PFN_vkDestroyVideoSessionKHR(destroy),
        b"vkGetVideoSessionMemoryRequirementsKHR" => PFN_vkGetVideoSessionMemoryRequirementsKHR(video::requirements),
        b"vkBindVideoSessionMemoryKHR" => PFN_vkBindVideoSessionMemoryKHR(video::bind),

        b"vkQueueSubmit" => PFN_vkQueueSubmit(sync::submit),
        b"vkQueueSubmit2" if v13 => PFN_vkQueueSubmit2(sync::submit2),
        b"vkQueueSubmit2KHR" => PFN_vkQueueSubmit2(sync::submit2),
        b"vkQueueWaitIdle" => PFN_vkQueueWaitIdle(sync::queue_wait_idle),
        b"vkDeviceWaitIdle" => PFN_vkDeviceWaitIdle(sync::device_wait_idle),
        b"vkCreateFence" => PFN_vkCreateFence(create::<CreateFence>),
        b"vkDestroyFence" => PFN_vkDestroyFence(destroy),
        b"vkResetFences" => PFN_vkResetFences(sync::reset_fences),
        b"vkGetFenceStatus" => PFN_vkGetFenceStatus(sync::fence_status),
        b"vkWaitForFences" => PFN_vkWaitForFences(sync::wait_fences),
        b"vkCreateSemaphore" => PFN_vkCreateSemaphore(create::<CreateSemaphore>),
        b"vkDestroySemaphore" => PFN_vkDestroySemaphore(destroy),
        b"vkGetSemaphoreCounterValue" if v12 && timeline => PFN_vkGetSemaphoreCounterValue(sync::semaphore_counter),
        b"vkGetSemaphoreCounterValueKHR" if timeline => PFN_vkGetSemaphoreCounterValue(sync::semaphore_counter),
        b"vkSignalSemaphore" if v12 && timeline => PFN_vkSignalSemaphore(sync::signal_semaphore),
        b"vkSignalSemaphoreKHR" if timeline => PFN_vkSignalSemaphore(sync::signal_semaphore),
        b"vkWaitSemaphores" if v12 && timeline => PFN_vkWaitSemaphores(sync::wait_semaphores),
        b"vkWaitSemaphoresKHR" if timeline => PFN_vkWaitSemaphores(sync::wait_semaphores),

        b"vkCreateCommandPool" => PFN_vkCreateCommandPool(create::<CreateCommandPool>),
        b"vkDestroyCommandPool" => PFN_vkDestroyCommandPool(destroy),
        b"vkResetCommandPool" => PFN_vkResetCommandPool(commands::reset_command_pool),
        b"vkAllocateCommandBuffers" => PFN_vkAllocateCommandBuffers(commands::allocate_commands),
        b"vkFreeCommandBuffers" => PFN_vkFreeCommandBuffers(commands::free_commands),
        b"vkBeginCommandBuffer" => PFN_vkBeginCommandBuffer(commands::begin_commands),
        b"vkEndCommandBuffer" => PFN_vkEndCommandBuffer(commands::end_commands),
        b"vkResetCommandBuffer" => PFN_vkResetCommandBuffer(commands::reset_commands),

        b"vkCmdCopyBuffer" => PFN_vkCmdCopyBuffer(transfer::copy_buffer),
        b"vkCmdCopyBuffer2" if v13 => PFN_vkCmdCopyBuffer2(transfer::copy_buffer2),
        b"vkCmdCopyBuffer2KHR" => PFN_vkCmdCopyBuffer2(transfer::copy_buffer2),
        b"vkCmdFillBuffer" => PFN_vkCmdFillBuffer(transfer::fill_buffer),
        b"vkCmdUpdateBuffer" => PFN_vkCmdUpdateBuffer(transfer::update_buffer),
        b"vkCmdCopyImage" => PFN_vkCmdCopyImage(transfer::copy_image),
        b"vkCmdCopyBufferToImage" => PFN_vkCmdCopyBufferToImage(transfer::copy_buffer_to_image),
        b"vkCmdCopyImageToBuffer" => PFN_vkCmdCopyImageToBuffer(transfer::copy_image_to_buffer),
        b"vkCmdPipelineBarrier" => PFN_vkCmdPipelineBarrier(transfer::barrier),
        b"vkCmdPipelineBarrier2" if v13 => PFN_vkCmdPipelineBarrier2(transfer::barrier2),
        b"vkCmdPipelineBarrier2KHR" => PFN_vkCmdPipelineBarrier2(transfer::barrier2),

        b"vkCmdBindPipeline" => PFN_vkCmdBindPipeline(compute::bind_pipeline),
        b"vkCmdBindDescriptorSets" => PFN_vkCmdBindDescriptorSets(compute::bind_sets),
        b"vkCmdDispatch" => PFN_vkCmdDispatch(compute::dispatch),
        b"vkCreateShaderModule" => PFN_vkCreateShaderModule(create::<CreateShaderModule>),
        b"vkDestroyShaderModule" => PFN_vkDestroyShaderModule(destroy),
        b"vkCreatePipelineLayout" => PFN_vkCreatePipelineLayout(create::<CreatePipelineLayout>),
        b"vkDestroyPipelineLayout" => PFN_vkDestroyPipelineLayout(destroy),
        b"vkCreateComputePipelines" => PFN_vkCreateComputePipelines(compute::create_compute_pipelines),
        b"vkDestroyPipeline" => PFN_vkDestroyPipeline(destroy),

        b"vkCreateDescriptorSetLayout" => PFN_vkCreateDescriptorSetLayout(create::<CreateDescriptorSetLayout>),
        b"vkDestroyDescriptorSetLayout" => PFN_vkDestroyDescriptorSetLayout(destroy),
        b"vkCreateDescriptorPool" => PFN_vkCreateDescriptorPool(create::<CreateDescriptorPool>),
        b"vkDestroyDescriptorPool" => PFN_vkDestroyDescriptorPool(destroy),
        b"vkResetDescriptorPool" => PFN_vkResetDescriptorPool(sets::reset_pool),
        b"vkAllocateDescriptorSets" => PFN_vkAllocateDescriptorSets(sets::allocate_sets),
        b"vkFreeDescriptorSets" => PFN_vkFreeDescriptorSets(sets::free_sets),
        b"vkUpdateDescriptorSets" => PFN_vkUpdateDescriptorSets(sets::update_sets),
    }
}

unsafe extern "system" fn get_instance_proc_addr(
    instance: vk::Instance,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    if instance == vk::Instance::null() || name.is_null() {
        return None;
    }
    // SAFETY: C1, C2: a string with a zero at its end.
    unsafe { find(CStr::from_ptr(name), &driver(instance).profile) }
}

unsafe extern "system" fn get_device_proc_addr(
    device: vk::Device,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    if device == vk::Device::null() || name.is_null() {
        return None;
    }
    // SAFETY: C1, C2: a string with a zero at its end.
    unsafe { find(CStr::from_ptr(name), &driver(device).profile) }
}

fn address(name: &CStr, driver: &Driver) -> *const c_void {
    find(name, &driver.profile).map_or(ptr::null(), |entry| entry as *const c_void)
}

/// The instance's commands.
pub(in crate::fake) fn load_instance(driver: &Driver) -> ash::Instance {
    // SAFETY:
    // - each address is null or a function of the type that belongs to its name, see `table!`.
    unsafe { ash::Instance::load_with(|name| address(name, driver), driver.root.instance()) }
}

/// The device's commands.
pub(in crate::fake) fn load_device(driver: &Driver) -> ash::Device {
    // SAFETY:
    // - as in `load_instance`.
    unsafe { ash::Device::load_with(|name| address(name, driver), driver.root.device()) }
}
