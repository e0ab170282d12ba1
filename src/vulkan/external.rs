//! Memory shared with other processes, devices and APIs: what can be shared, and its handles.

use core::{cell::Cell, ffi::c_void};

use ash::vk;

use super::{DeviceFeatures, Vulkan};

/// How new memory is shared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum External<'a> {
    #[default]
    None,
    /// Handles of this type can be exported from it.
    Export(vk::ExternalMemoryHandleTypeFlags),
    /// It is imported from a file descriptor. `taken`: the driver owns the descriptor now.
    Fd { kind: vk::ExternalMemoryHandleTypeFlags, fd: i32, taken: &'a Cell<bool> },
    /// It is imported host memory.
    Host(*mut c_void),
}

/// The handle type of ordinary host memory.
pub(crate) const HOST: vk::ExternalMemoryHandleTypeFlags =
    vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT;

impl Vulkan {
    /// Whether the extensions of a handle type are enabled. The queries need Vulkan 1.1.
    pub(crate) fn shares(&self, kind: vk::ExternalMemoryHandleTypeFlags) -> bool {
        use vk::ExternalMemoryHandleTypeFlags as Kind;
        let feature = match kind {
            Kind::OPAQUE_FD => DeviceFeatures::EXTERNAL_MEMORY_FD,
            Kind::DMA_BUF_EXT => {
                DeviceFeatures::EXTERNAL_MEMORY_FD | DeviceFeatures::EXTERNAL_MEMORY_DMA_BUF
            }
            HOST => DeviceFeatures::EXTERNAL_MEMORY_HOST,
            _ => return false,
        };
        self.features.contains(feature) && self.api >= vk::API_VERSION_1_1
    }

    /// How such buffers can be shared.
    ///
    /// # Safety
    /// The device contract, for the instance; [`shares`](Self::shares).
    pub(crate) unsafe fn external_buffer(
        &self,
        info: &vk::BufferCreateInfo<'_>,
        kind: vk::ExternalMemoryHandleTypeFlags,
    ) -> vk::ExternalMemoryProperties {
        let info = vk::PhysicalDeviceExternalBufferInfo::default()
            .flags(info.flags)
            .usage(info.usage)
            .handle_type(kind);
        let mut out = vk::ExternalBufferProperties::default();
        // SAFETY: the instance contract; the version has the call.
        unsafe {
            self.instance.get_physical_device_external_buffer_properties(
                self.physical_device,
                &info,
                &mut out,
            );
        }
        out.external_memory_properties
    }

    /// How such images can be shared; an error if they cannot.
    ///
    /// # Safety
    /// The device contract, for the instance; [`shares`](Self::shares).
    pub(crate) unsafe fn external_image(
        &self,
        info: &vk::ImageCreateInfo<'_>,
        kind: vk::ExternalMemoryHandleTypeFlags,
    ) -> Result<vk::ExternalMemoryProperties, vk::Result> {
        let mut external = vk::PhysicalDeviceExternalImageFormatInfo::default().handle_type(kind);
        let info = vk::PhysicalDeviceImageFormatInfo2::default()
            .format(info.format)
            .ty(info.image_type)
            .tiling(info.tiling)
            .usage(info.usage)
            .flags(info.flags)
            .push_next(&mut external);
        let mut shared = vk::ExternalImageFormatProperties::default();
        let mut out = vk::ImageFormatProperties2::default().push_next(&mut shared);
        // SAFETY: the instance contract; the version has the call and the chained structs.
        unsafe {
            self.instance.get_physical_device_image_format_properties2(
                self.physical_device,
                &info,
                &mut out,
            )
        }?;
        Ok(shared.external_memory_properties)
    }

    /// A new file descriptor for memory. The caller owns it.
    ///
    /// # Safety
    /// The device contract; the memory was made to be exported as `kind`.
    pub(crate) unsafe fn memory_fd(
        &self,
        memory: vk::DeviceMemory,
        kind: vk::ExternalMemoryHandleTypeFlags,
    ) -> Result<i32, vk::Result> {
        let table = self.external_fd.as_ref().ok_or(vk::Result::ERROR_FEATURE_NOT_PRESENT)?;
        let info = vk::MemoryGetFdInfoKHR::default().memory(memory).handle_type(kind);
        // SAFETY: the device contract and the caller's promise.
        unsafe { table.get_memory_fd(&info) }
    }

    /// The memory types that a dma-buf can be imported as.
    ///
    /// # Safety
    /// The device contract; the descriptor is a dma-buf.
    pub(crate) unsafe fn dma_buf_types(&self, fd: i32) -> Result<u32, vk::Result> {
        let table = self.external_fd.as_ref().ok_or(vk::Result::ERROR_FEATURE_NOT_PRESENT)?;
        let mut out = vk::MemoryFdPropertiesKHR::default();
        let kind = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        // SAFETY: the device contract and the caller's promise.
        unsafe { table.get_memory_fd_properties(kind, fd, &mut out) }?;
        Ok(out.memory_type_bits)
    }

    /// The memory types that host memory can be imported as.
    ///
    /// # Safety
    /// The device contract; the address is aligned, and of mapped host memory.
    pub(crate) unsafe fn host_pointer_types(
        &self,
        address: *mut c_void,
    ) -> Result<u32, vk::Result> {
        let table = self.external_host.as_ref().ok_or(vk::Result::ERROR_FEATURE_NOT_PRESENT)?;
        let mut out = vk::MemoryHostPointerPropertiesEXT::default();
        // SAFETY: the device contract and the caller's promise.
        let result = unsafe {
            (table.fp().get_memory_host_pointer_properties_ext)(
                self.device.handle(),
                HOST,
                address,
                &raw mut out,
            )
        };
        result.result_with_success(out.memory_type_bits)
    }
}
