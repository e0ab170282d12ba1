//! `VkDeviceMemory`: allocate, free, map, flush, invalidate, and the memory budget.

use core::ptr::NonNull;

use ash::vk;

use super::{DeviceFeatures, External, HOST, Resource, Vulkan};
use crate::policy::budget::Report;

/// The host address of mapped memory. It may be sent between threads, because it is only an
/// address, and every use of it is justified where it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapping(NonNull<u8>);

// SAFETY: an address has no thread affinity; Vulkan mappings are valid on every thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared `Mapping` provides only the address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// A mapping of memory that a test provides.
    #[cfg(test)]
    pub(crate) fn at(address: NonNull<u8>) -> Self {
        Self(address)
    }

    pub(crate) fn as_ptr(self) -> NonNull<u8> {
        self.0
    }

    /// The address at an offset.
    ///
    /// # Safety
    /// `offset` is at most the size of the mapped memory.
    pub(crate) unsafe fn add(self, offset: u64) -> Self {
        // SAFETY: the caller keeps the offset inside the mapping, which lies in the address space,
        // so it fits a usize.
        Self(unsafe { self.0.add(offset as usize) })
    }
}

/// A request to the driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewMemory<'a> {
    pub(crate) memory_type: u32,
    pub(crate) size: u64,
    /// The only resource that will be bound to it, if it is dedicated.
    pub(crate) dedicated_to: Resource,
    /// From 0, paged out first, to 1. Has an effect if memory priorities are enabled.
    pub(crate) priority: Option<f32>,
    pub(crate) external: External<'a>,
}

impl Vulkan {
    /// Whether the driver reports budgets. The query needs Vulkan 1.1.
    pub(crate) fn reports_budget(&self) -> bool {
        self.features.contains(DeviceFeatures::MEMORY_BUDGET) && self.api >= vk::API_VERSION_1_1
    }

    /// The budget and usage of each heap; zero if the driver reports nothing.
    ///
    /// # Safety
    /// The device contract, for the instance; [`reports_budget`](Self::reports_budget).
    pub(crate) unsafe fn memory_budget(&self) -> [Report; vk::MAX_MEMORY_HEAPS] {
        let mut budgets = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
        let mut properties = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budgets);
        // SAFETY: the instance contract; the version has the call, and the caller enabled the
        // extension that has the chained struct.
        unsafe {
            self.instance
                .get_physical_device_memory_properties2(self.physical_device, &mut properties);
        }
        core::array::from_fn(|heap| Report {
            budget: budgets.heap_budget[heap],
            usage: budgets.heap_usage[heap],
        })
    }

    /// `vkAllocateMemory`.
    ///
    /// # Safety
    /// The device contract; what is imported is of its type, and may be so. The caller owns the memory.
    pub(crate) unsafe fn allocate_memory(
        &self,
        new: &NewMemory<'_>,
    ) -> Result<vk::DeviceMemory, vk::Result> {
        let mut info = vk::MemoryAllocateInfo::default()
            .allocation_size(new.size)
            .memory_type_index(new.memory_type);
        let mut flags =
            vk::MemoryAllocateFlagsInfo::default().flags(vk::MemoryAllocateFlags::DEVICE_ADDRESS);
        if self.features.contains(DeviceFeatures::BUFFER_DEVICE_ADDRESS) {
            info = info.push_next(&mut flags);
        }
        let mut dedicated = match new.dedicated_to {
            Resource::None => None,
            Resource::Buffer(buffer) => {
                Some(vk::MemoryDedicatedAllocateInfo::default().buffer(buffer))
            }
            Resource::Image(image) => Some(vk::MemoryDedicatedAllocateInfo::default().image(image)),
        };
        if let (Some(dedicated), true) = (&mut dedicated, self.has_requirements2()) {
            info = info.push_next(dedicated);
        }
        let mut priority = new
            .priority
            .filter(|_| self.features.contains(DeviceFeatures::MEMORY_PRIORITY))
            .map(|priority| vk::MemoryPriorityAllocateInfoEXT::default().priority(priority));
        if let Some(priority) = &mut priority {
            info = info.push_next(priority);
        }
        let (mut export, mut fd, mut host);
        match new.external {
            External::None => {}
            External::Export(kinds) => {
                export = vk::ExportMemoryAllocateInfo::default().handle_types(kinds);
                info = info.push_next(&mut export);
            }
            External::Fd { kind, fd: descriptor, .. } => {
                fd = vk::ImportMemoryFdInfoKHR::default().handle_type(kind).fd(descriptor);
                info = info.push_next(&mut fd);
            }
            External::Host(address) => {
                host = vk::ImportMemoryHostPointerInfoEXT::default()
                    .handle_type(HOST)
                    .host_pointer(address);
                info = info.push_next(&mut host);
            }
        }
        // SAFETY: the device contract; the chained structs live to the end of the call.
        let memory = unsafe { self.device.allocate_memory(&info, None) }?;
        if let External::Fd { taken, .. } = new.external {
            taken.set(true);
        }
        Ok(memory)
    }

    /// `vkFreeMemory`; unmaps it too.
    ///
    /// # Safety
    /// The device contract; no submitted work uses the memory and nothing will.
    pub(crate) unsafe fn free_memory(&self, memory: vk::DeviceMemory) {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.free_memory(memory, None) }
    }

    /// Whether the priority of existing memory can be changed.
    pub(crate) fn moves_priorities(&self) -> bool {
        self.pageable.is_some()
    }

    /// `vkSetDeviceMemoryPriorityEXT`, where [priorities move](Self::moves_priorities).
    ///
    /// # Safety
    /// The device contract; the priority is between 0 and 1.
    pub(crate) unsafe fn set_priority(&self, memory: vk::DeviceMemory, priority: f32) {
        if let Some(table) = &self.pageable {
            let set = table.fp().set_device_memory_priority_ext;
            // SAFETY: the device contract and the caller's promise; the feature is on.
            unsafe { set(self.device.handle(), memory, priority) };
        }
    }

    /// Maps a whole memory object.
    ///
    /// # Safety
    /// The device contract; the memory is host-visible and not mapped.
    pub(crate) unsafe fn map_memory(
        &self,
        memory: vk::DeviceMemory,
    ) -> Result<Mapping, vk::Result> {
        let flags = vk::MemoryMapFlags::empty();
        // SAFETY: the device contract and the caller's promise.
        let address = unsafe { self.device.map_memory(memory, 0, vk::WHOLE_SIZE, flags) }?;
        NonNull::new(address.cast()).map(Mapping).ok_or(vk::Result::ERROR_MEMORY_MAP_FAILED)
    }

    /// Unmaps a memory.
    ///
    /// # Safety
    /// The device contract; the memory is mapped, and its address is not used any more.
    pub(crate) unsafe fn unmap_memory(&self, memory: vk::DeviceMemory) {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.unmap_memory(memory) }
    }

    /// Makes host writes to ranges visible to the device.
    ///
    /// # Safety
    /// The device contract; the memories are mapped; offsets and sizes are multiples of
    /// `nonCoherentAtomSize` or end with the memory.
    pub(crate) unsafe fn flush(
        &self,
        ranges: &[vk::MappedMemoryRange<'_>],
    ) -> Result<(), vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.flush_mapped_memory_ranges(ranges) }
    }

    /// Makes device writes to ranges visible to the host.
    ///
    /// # Safety
    /// As [`flush`](Self::flush).
    pub(crate) unsafe fn invalidate(
        &self,
        ranges: &[vk::MappedMemoryRange<'_>],
    ) -> Result<(), vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.invalidate_mapped_memory_ranges(ranges) }
    }
}
