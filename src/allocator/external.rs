//! Shared memory: exported and imported file descriptors, and imported host memory.
//!
//! Shared memory is always a dedicated allocation. The driver is queried first, handle types are
//! declared on the resource and on the memory, and `DEDICATED_ONLY` is obeyed.

use core::ptr::NonNull;
use std::{panic::Location, sync::Arc};

use ash::vk;

use super::{
    Allocator,
    allocate::Granted,
    allocation::Allocation,
    choices::Choice,
    desc::AllocationDesc,
    error::{AllocateError, CreateError, ExternalError},
    inner::Inner,
    request::{Request, Target},
    resource::{Buffer, Image},
    resource_desc::BufferDesc,
};
use crate::{
    memory::Rank,
    vulkan::{Dedicate, External, HOST, NewMemory, Requirements, Resource, Vulkan},
};

/// How a resource is shared, after the driver was queried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharing<'a> {
    pub(super) external: External<'a>,
    /// The memory types that the handle allows.
    pub(super) type_bits: u32,
    /// The size of the imported memory.
    pub(super) size: Option<u64>,
    /// The memory must be dedicated to the resource.
    pub(super) dedicated: bool,
    /// The place of the user's call.
    pub(super) origin: &'static Location<'static>,
}

impl Sharing<'_> {
    /// Whether the memory is dedicated to the resource, and its size. Dedicated memory has exactly
    /// the size that the resource needs, which may be less than that of a dma-buf. Both sides of an
    /// opaque handle come to the same result. For host memory, a preference of the driver counts
    /// only if the sizes are equal.
    fn shape(
        &self,
        requirements: &Requirements,
        needed: u64,
    ) -> Result<(bool, u64), ExternalError> {
        let dma_buf = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        let size = self.size.unwrap_or(needed);
        let required = self.dedicated || requirements.dedicate == Dedicate::Require;
        let dedicated = required
            || requirements.dedicate == Dedicate::Prefer
                && (size == needed || !matches!(self.external, External::Host(_)));
        match self.external {
            _ if size < needed => Err(ExternalError::Size { size, needed }),
            External::Fd { kind, .. } if dedicated && kind == dma_buf => Ok((true, needed)),
            _ if dedicated && size != needed => Err(ExternalError::Size { size, needed }),
            _ => Ok((dedicated, size)),
        }
    }
}

impl Allocator {
    /// Creates a buffer in existing host memory, for example a mapped file, or memory that a
    /// network card writes. Needs
    /// [`DeviceFeatures::EXTERNAL_MEMORY_HOST`](crate::DeviceFeatures::EXTERNAL_MEMORY_HOST).
    /// Address and length must be multiples of
    /// [`host_pointer_alignment`](Self::host_pointer_alignment).
    ///
    /// Cost: about six driver calls, including `vkAllocateMemory`. It takes no room in blocks.
    ///
    /// # Errors
    /// The driver cannot import the memory; otherwise as for
    /// [`create_buffer`](Self::create_buffer).
    ///
    /// # Safety
    /// The bytes at `address` are mapped memory of this process, and stay mapped until the buffer
    /// has ended: either it was dropped and collected after the GPU had passed it, or the allocator
    /// is gone. Host accesses do not race with those of the GPU.
    #[track_caller]
    pub unsafe fn import_host_memory(
        &self,
        address: NonNull<u8>,
        length: u64,
        desc: &BufferDesc,
        memory: &AllocationDesc,
    ) -> Result<Buffer, ExternalError> {
        let inner = self.inner();
        desc.check(&inner.vulkan).map_err(CreateError::from)?;
        let alignment = self.host_pointer_alignment().ok_or(ExternalError::NotEnabled)?;
        let start = address.as_ptr() as u64;
        if start % alignment != 0 || length % alignment != 0 || length < desc.size {
            return Err(ExternalError::HostRange { alignment });
        }
        let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(HOST);
        let info = desc.info().push_next(&mut external);
        let features = vk::ExternalMemoryFeatureFlags::IMPORTABLE;
        let dedicated = inner.check_shared_buffer(&info, HOST, features)?;
        let address = address.as_ptr().cast();
        // SAFETY: the device contract; the address is aligned, and the caller's word for the rest.
        let type_bits =
            unsafe { inner.vulkan.host_pointer_types(address) }.map_err(ExternalError::Driver)?;
        let (external, size) = (External::Host(address), Some(length));
        let sharing = Sharing { external, type_bits, size, dedicated, origin: Location::caller() };
        // SAFETY: the description was checked, and the driver has such buffers.
        unsafe { inner.create_shared_buffer(&info, memory, &sharing) }
    }

    /// Returns the required alignment of addresses and lengths of imported host memory, in bytes.
    /// `None` unless the feature is enabled.
    pub fn host_pointer_alignment(&self) -> Option<u64> {
        let vulkan = &self.inner().vulkan;
        vulkan.shares(HOST).then(|| vulkan.properties().host_pointer_alignment)
    }
}

impl Inner {
    /// Asks the driver whether such buffers can be shared. Returns whether they need dedicated
    /// memory.
    pub(super) fn check_shared_buffer(
        &self,
        info: &vk::BufferCreateInfo<'_>,
        kind: vk::ExternalMemoryHandleTypeFlags,
        wanted: vk::ExternalMemoryFeatureFlags,
    ) -> Result<bool, ExternalError> {
        self.check_shared(kind, wanted, |vulkan| {
            // SAFETY: the device contract; the extensions are on.
            Ok(unsafe { vulkan.external_buffer(info, kind) })
        })
    }

    /// Like [`check_shared_buffer`](Self::check_shared_buffer), for images.
    pub(super) fn check_shared_image(
        &self,
        info: &vk::ImageCreateInfo<'_>,
        kind: vk::ExternalMemoryHandleTypeFlags,
        wanted: vk::ExternalMemoryFeatureFlags,
    ) -> Result<bool, ExternalError> {
        // SAFETY: the device contract; the extensions are on.
        self.check_shared(kind, wanted, |vulkan| unsafe { vulkan.external_image(info, kind) })
    }

    /// Asks the driver, if the extensions of a handle type are enabled.
    fn check_shared(
        &self,
        kind: vk::ExternalMemoryHandleTypeFlags,
        wanted: vk::ExternalMemoryFeatureFlags,
        ask: impl FnOnce(&Vulkan) -> Result<vk::ExternalMemoryProperties, vk::Result>,
    ) -> Result<bool, ExternalError> {
        self.check_open().map_err(CreateError::from)?;
        if !self.vulkan.shares(kind) {
            return Err(ExternalError::NotEnabled);
        }
        let found = ask(&self.vulkan).map_err(|error| match error {
            vk::Result::ERROR_FORMAT_NOT_SUPPORTED => ExternalError::Unsupported,
            other => ExternalError::Driver(other),
        })?;
        let features = found.external_memory_features;
        match features.contains(wanted) {
            true => Ok(features.contains(vk::ExternalMemoryFeatureFlags::DEDICATED_ONLY)),
            false => Err(ExternalError::Unsupported),
        }
    }

    /// # Safety
    /// The create-info is valid, and names the handle type; the driver can share such buffers so.
    /// What is imported is what its handle's type says.
    pub(super) unsafe fn create_shared_buffer(
        self: &Arc<Self>,
        info: &vk::BufferCreateInfo<'_>,
        memory: &AllocationDesc,
        sharing: &Sharing<'_>,
    ) -> Result<Buffer, ExternalError> {
        // SAFETY: the caller's promise.
        let handle = unsafe { self.vulkan.create_buffer(info) }.map_err(CreateError::Create)?;
        let target = Target::buffer(handle, info.usage);
        Ok(Buffer::new(self.share(target, memory, sharing)?, handle, info))
    }

    /// # Safety
    /// As [`create_shared_buffer`](Self::create_shared_buffer).
    pub(super) unsafe fn create_shared_image(
        self: &Arc<Self>,
        info: &vk::ImageCreateInfo<'_>,
        memory: &AllocationDesc,
        sharing: &Sharing<'_>,
    ) -> Result<Image, ExternalError> {
        // SAFETY: the caller's promise.
        let handle = unsafe { self.vulkan.create_image(info) }.map_err(CreateError::Create)?;
        let target = Target::image(handle, info.usage, info.tiling);
        Ok(Image::new(self.share(target, memory, sharing)?, handle, info))
    }

    /// Allocates memory for a new resource. On failure, destroys the resource.
    fn share(
        self: &Arc<Self>,
        target: Target,
        memory: &AllocationDesc,
        sharing: &Sharing<'_>,
    ) -> Result<Allocation, ExternalError> {
        let resource = target.resource;
        let requirements = self.needs(target);
        let granted = self.share_memory(&requirements, target, memory, sharing);
        let (lane, grant) = granted.inspect_err(|_| {
            // SAFETY: the device contract; the resource was never used.
            unsafe { self.vulkan.destroy_resource(resource) };
        })?;
        if self.observed {
            self.observe_grant(
                lane,
                grant.entry,
                (grant.offset, grant.size),
                memory.name,
                sharing.origin,
            );
        }
        Ok(self.bind_new(resource, &grant)?)
    }

    fn share_memory(
        &self,
        requirements: &Requirements,
        target: Target,
        memory: &AllocationDesc,
        sharing: &Sharing<'_>,
    ) -> Result<Granted<'_>, ExternalError> {
        let mut request = Request::new(requirements, target, memory);
        request.question.type_bits &= sharing.type_bits;
        let shape = sharing.shape(requirements, request.size)?;
        self.validate(&request).map_err(CreateError::from)?;
        if !request.may_ask() {
            return Err(CreateError::from(AllocateError::out_of_memory()).into());
        }
        let ask = || self.ask_shared(&request, sharing.external, shape);
        Ok(self.persist(&request, memory.patience, ask).map_err(CreateError::from)?)
    }

    /// Tries a dedicated allocation in each type, and once more after releasing the heap's empty
    /// blocks.
    fn ask_shared(
        &self,
        request: &Request,
        external: External<'_>,
        (dedicated, size): (bool, u64),
    ) -> Result<Granted<'_>, AllocateError> {
        let taken = || matches!(external, External::Fd { taken, .. } if taken.get());
        if taken() {
            // The driver has consumed the descriptor, so the import cannot be retried.
            return Err(AllocateError::out_of_memory());
        }
        let mut search = self.search(request)?;
        let mut spare = None;
        let Choice { ranking, required } = self.choice(&request.question, &mut spare);
        let mut failure = AllocateError::NoMemoryType {
            type_bits: request.question.type_bits,
            required: *required,
        };
        for lane in ranking.iter().filter_map(|memory_type| self.lane(memory_type)) {
            let new = NewMemory {
                memory_type: lane.memory_type,
                size,
                dedicated_to: if dedicated { request.resource } else { Resource::None },
                priority: request.rank.map(Rank::priority),
                external,
            };
            let limit = request.limit();
            let made = match self.allocate_memory(lane, &new, limit, &mut search.tried) {
                Err(error)
                    if error.is_out_of_memory()
                        && !taken()
                        && self.release_for(lane, error, &mut search) =>
                {
                    self.allocate_memory(lane, &new, limit, &mut search.tried)
                }
                done => done,
            };
            match made {
                Ok((memory, mapping)) => {
                    let grant = self.settle_dedicated(lane, &new, memory, mapping, request);
                    return Ok((lane, grant?));
                }
                Err(error) => failure = error,
            }
            if taken() || !failure.is_out_of_memory() {
                break;
            }
        }
        Err(match failure {
            AllocateError::OutOfDeviceMemory { .. } => self.out_of_memory(&search, ranking.iter()),
            other => other,
        })
    }
}
