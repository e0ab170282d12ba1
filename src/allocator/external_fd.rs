//! Memory by file descriptor: export and import. Descriptors are owned types, and none is lost.

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

/// What a file descriptor of device memory is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FdKind {
    /// The driver's own (`VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT`): for another process, or
    /// another interface, on the same device and driver.
    Opaque,
    /// A Linux dma-buf: for other devices and drivers, cameras and displays too.
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

/// A memory to import: its descriptor, and what Vulkan wants to know of it.
#[derive(Debug)]
pub struct SharedFd {
    /// The descriptor. Owned: it is closed where it is dropped, and handed on where it is imported.
    pub fd: OwnedFd,
    /// What it is.
    pub kind: FdKind,
    /// The size of the whole memory, in bytes.
    pub size: u64,
    /// The memory type that an opaque descriptor was exported from; of a dma-buf the driver is
    /// asked.
    pub memory_type: u32,
}

impl SharedFd {
    /// A descriptor that came from elsewhere, with what its exporter tells of it.
    pub const fn new(fd: OwnedFd, kind: FdKind, size: u64, memory_type: u32) -> Self {
        Self { fd, kind, size, memory_type }
    }
}

const EXPORTABLE: vk::ExternalMemoryFeatureFlags = vk::ExternalMemoryFeatureFlags::EXPORTABLE;
const IMPORTABLE: vk::ExternalMemoryFeatureFlags = vk::ExternalMemoryFeatureFlags::IMPORTABLE;

impl Allocator {
    /// Creates a buffer whose memory can be [exported](Allocation::export).
    ///
    /// Its memory is its own. The rule of drops knows this device's work alone: a peer's last use
    /// is yours to wait for, or to name in [`retire_at`](Buffer::retire_at).
    ///
    /// Cost: about five driver calls, `vkAllocateMemory` among them: what is shared has a memory of its own.
    ///
    /// # Errors
    /// A kind that is not enabled or that the driver cannot export; as
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
    /// Cost: as there.
    ///
    /// # Errors
    /// As there.
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

    /// Creates a buffer on the memory that a descriptor stands for. The descriptor is consumed: by
    /// the driver, or closed on failure.
    ///
    /// Cost: as [`create_exportable_buffer`](Self::create_exportable_buffer).
    ///
    /// # Errors
    /// A kind that is not enabled or that the driver cannot import, a memory that is too small or
    /// of no fitting type; as [`create_buffer`](Self::create_buffer).
    ///
    /// # Safety
    /// The descriptor is what `shared` says, and an opaque one was exported by the same driver for
    /// the same device, of a buffer of the same description. Uses by others do not race with ours.
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

    /// Creates an image on the memory that a descriptor stands for: see
    /// [`import_buffer`](Self::import_buffer).
    ///
    /// Cost: as there.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there, of an image of the same description.
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

    /// Lets `create` import a descriptor, and closes it unless the driver has taken it.
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
            // The driver's from now on, whatever came afterwards.
            let _ = fd.into_raw_fd();
        }
        made
    }
}

impl Allocation {
    /// A new descriptor of this memory, for a peer to import. The memory lives on until both sides
    /// have let go of it.
    ///
    /// Cost: one driver call.
    ///
    /// # Errors
    /// Memory that was not made to be exported as `kind`; a driver's error.
    pub fn export(&self, kind: FdKind) -> Result<SharedFd, ExternalError> {
        let inner = self.inner();
        if inner.life() == Life::ShutDown || self.exported_as() & kind.flag().as_raw() == 0 {
            return Err(ExternalError::NotExportable);
        }
        // SAFETY: the device contract; the memory was made for it.
        let fd = unsafe { inner.vulkan.memory_fd(self.memory(), kind.flag()) };
        let fd = fd.map_err(ExternalError::Driver)?;
        // SAFETY: the driver made the descriptor for us to own.
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
