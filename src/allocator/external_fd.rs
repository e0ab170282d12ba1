//! Export and import of memory by file descriptor. Descriptors are owned types, and none is leaked.

use core::{cell::Cell, panic::Location};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use ash::vk;

use super::{
    Allocator,
    allocation::Allocation,
    desc::AllocationDesc,
    error::{CreateError, ExternalError},
    external::Sharing,
    inner::Life,
    resource::{Buffer, Image},
    resource_desc::{BufferDesc, ImageDesc},
};
use crate::vulkan::External;

/// The kind of a file descriptor of device memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FdKind {
    /// A driver-specific descriptor (`VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT`), for another
    /// process or another API on the same device and driver.
    Opaque,
    /// A Linux dma-buf, which other devices and drivers, including cameras and displays, can also
    /// use.
    DmaBuf,
}

impl FdKind {
    const fn flag(self) -> vk::ExternalMemoryHandleTypeFlags {
        match self {
            Self::Opaque => vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD,
            Self::DmaBuf => vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT,
        }
    }
}

/// Memory to import: its descriptor, and what Vulkan needs to know about it.
#[derive(Debug)]
pub struct SharedFd {
    /// The descriptor. It is owned: it is closed when dropped, and passed on when imported.
    pub fd: OwnedFd,
    /// The kind of descriptor.
    pub kind: FdKind,
    /// The size of the whole memory, in bytes.
    pub size: u64,
    /// The memory type that an opaque descriptor was exported from. For a dma-buf, the driver is
    /// queried instead.
    pub memory_type: u32,
}

impl SharedFd {
    /// A descriptor that came from elsewhere, with the data that its exporter provides.
    pub const fn new(fd: OwnedFd, kind: FdKind, size: u64, memory_type: u32) -> Self {
        Self { fd, kind, size, memory_type }
    }
}

const EXPORTABLE: vk::ExternalMemoryFeatureFlags = vk::ExternalMemoryFeatureFlags::EXPORTABLE;
const IMPORTABLE: vk::ExternalMemoryFeatureFlags = vk::ExternalMemoryFeatureFlags::IMPORTABLE;

impl Allocator {
    /// Creates a buffer whose memory can be [exported](Allocation::export).
    ///
    /// Its memory is a dedicated allocation. The deferred-drop rule covers only the work of this
    /// device: wait for the last use by a peer yourself, or pass it to
    /// [`retire_at`](Buffer::retire_at).
    ///
    /// Cost: about five driver calls, including `vkAllocateMemory`, because shared memory is always
    /// dedicated.
    ///
    /// # Errors
    /// The kind is not enabled, or the driver cannot export it; otherwise as for
    /// [`create_buffer`](Self::create_buffer).
    #[track_caller]
    pub fn create_exportable_buffer(
        &self,
        desc: &BufferDesc,
        memory: &AllocationDesc,
        kind: FdKind,
    ) -> Result<Buffer, ExternalError> {
        let inner = self.inner();
        desc.check(&inner.vulkan).map_err(CreateError::from)?;
        let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(kind.flag());
        let info = desc.info().push_next(&mut external);
        let dedicated = inner.check_shared_buffer(&info, kind.flag(), EXPORTABLE)?;
        // SAFETY: the description was checked, and the driver can export such buffers.
        unsafe { inner.create_shared_buffer(&info, memory, &export(kind, dedicated)) }
    }

    /// Creates an image whose memory can be [exported](Allocation::export): see
    /// [`create_exportable_buffer`](Self::create_exportable_buffer).
    ///
    /// Cost: as for `create_exportable_buffer`.
    ///
    /// # Errors
    /// As for `create_exportable_buffer`.
    #[track_caller]
    pub fn create_exportable_image(
        &self,
        desc: &ImageDesc,
        memory: &AllocationDesc,
        kind: FdKind,
    ) -> Result<Image, ExternalError> {
        let inner = self.inner();
        inner.check_image(desc)?;
        let mut external = vk::ExternalMemoryImageCreateInfo::default().handle_types(kind.flag());
        let info = desc.info().push_next(&mut external);
        let dedicated = inner.check_shared_image(&info, kind.flag(), EXPORTABLE)?;
        // SAFETY: the description was checked, and the driver can export such images.
        unsafe { inner.create_shared_image(&info, memory, &export(kind, dedicated)) }
    }

    /// Creates a buffer in the memory of a descriptor. The descriptor is consumed: the driver takes
    /// it, or it is closed on failure.
    ///
    /// Cost: as for [`create_exportable_buffer`](Self::create_exportable_buffer).
    ///
    /// # Errors
    /// The kind is not enabled, the driver cannot import it, the memory is too small, or its type
    /// does not suit the buffer; otherwise as for [`create_buffer`](Self::create_buffer).
    ///
    /// # Safety
    /// The descriptor is as `shared` describes. An opaque descriptor was exported by the same
    /// driver for the same device, from a buffer with the same description. Uses by others do not
    /// race with those of this device.
    #[track_caller]
    pub unsafe fn import_buffer(
        &self,
        desc: &BufferDesc,
        memory: &AllocationDesc,
        shared: SharedFd,
    ) -> Result<Buffer, ExternalError> {
        let inner = self.inner();
        let flag = shared.kind.flag();
        desc.check(&inner.vulkan).map_err(CreateError::from)?;
        let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(flag);
        let info = desc.info().push_next(&mut external);
        let dedicated = inner.check_shared_buffer(&info, flag, IMPORTABLE)?;
        self.import(shared, dedicated, |sharing| {
            // SAFETY: the description was checked, the driver can import such buffers, and the
            // descriptor is what the caller says.
            unsafe { inner.create_shared_buffer(&info, memory, sharing) }
        })
    }

    /// Creates an image in the memory of a descriptor: see [`import_buffer`](Self::import_buffer).
    ///
    /// Cost: as for `import_buffer`.
    ///
    /// # Errors
    /// As for `import_buffer`.
    ///
    /// # Safety
    /// As for `import_buffer`, with an image of the same description.
    #[track_caller]
    pub unsafe fn import_image(
        &self,
        desc: &ImageDesc,
        memory: &AllocationDesc,
        shared: SharedFd,
    ) -> Result<Image, ExternalError> {
        let inner = self.inner();
        let flag = shared.kind.flag();
        inner.check_image(desc)?;
        let mut external = vk::ExternalMemoryImageCreateInfo::default().handle_types(flag);
        let info = desc.info().push_next(&mut external);
        let dedicated = inner.check_shared_image(&info, flag, IMPORTABLE)?;
        self.import(shared, dedicated, |sharing| {
            // SAFETY: as in `import_buffer`.
            unsafe { inner.create_shared_image(&info, memory, sharing) }
        })
    }

    /// Calls `create` to import a descriptor, and closes the descriptor unless the driver has taken
    /// it.
    #[track_caller]
    fn import<T>(
        &self,
        shared: SharedFd,
        dedicated: bool,
        create: impl FnOnce(&Sharing<'_>) -> Result<T, ExternalError>,
    ) -> Result<T, ExternalError> {
        let SharedFd { fd, kind, size, memory_type } = shared;
        let type_bits = match kind {
            FdKind::Opaque => 1u32.checked_shl(memory_type).unwrap_or(0),
            // SAFETY: the device contract; the caller says that it is a dma-buf.
            FdKind::DmaBuf => unsafe { self.inner().vulkan.dma_buf_types(fd.as_raw_fd()) }
                .map_err(ExternalError::Driver)?,
        };
        let taken = Cell::new(false);
        let external = External::Fd { kind: kind.flag(), fd: fd.as_raw_fd(), taken: &taken };
        let size = Some(size);
        let made =
            create(&Sharing { external, type_bits, size, dedicated, origin: Location::caller() });
        if taken.get() {
            // The driver owns the descriptor from now on, even if a later step failed.
            let _ = fd.into_raw_fd();
        }
        made
    }
}

impl Allocation {
    /// Returns a new descriptor of this memory, for a peer to import. The memory lives until both
    /// sides have released it.
    ///
    /// Cost: one driver call.
    ///
    /// # Errors
    /// The memory was not allocated for export as `kind`; a driver error.
    pub fn export(&self, kind: FdKind) -> Result<SharedFd, ExternalError> {
        let inner = self.inner();
        if inner.life() == Life::ShutDown || self.exported_as() & kind.flag().as_raw() == 0 {
            return Err(ExternalError::NotExportable);
        }
        // SAFETY: the device contract; the memory was made for it.
        let fd = unsafe { inner.vulkan.memory_fd(self.memory(), kind.flag()) };
        let fd = fd.map_err(ExternalError::Driver)?;
        // SAFETY: the driver created the descriptor, and this call owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(SharedFd { fd, kind, size: self.size(), memory_type: self.memory_type() })
    }
}

#[track_caller]
fn export(kind: FdKind, dedicated: bool) -> Sharing<'static> {
    let flag = kind.flag();
    let external = External::Export(flag);
    let origin = Location::caller();
    Sharing { external, type_bits: u32::MAX, size: None, dedicated, origin }
}
