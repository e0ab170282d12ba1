//! Pools over mapped Vulkan memory, for the CPU, the GPU and other devices that use its addresses.

use core::{num::TryFromIntError, ptr::NonNull};
use std::sync::Arc;

use ash::vk;

use crate::{
    AllocationDesc, Allocator, Buffer, BufferDesc, CreateError, MemoryPool, PoolDesc,
    pool::PoolError,
};

/// A [`MemoryPool`] over a buffer that stays mapped, created by [`Allocator::mapped_pool`].
///
/// The CPU refers to an allocation by its pointer, commands by the [`buffer`](Self::buffer) and the
/// [offset](MemoryPool::offset_of), and shaders by the [address](MemoryPool::dma_address), if the
/// buffer has one. Free memory with [`deallocate_at`](MemoryPool::deallocate_at) and the last point
/// that uses it, and call [`collect`](MemoryPool::collect) with [`Allocator::reached`]:
///
/// ```
/// # use fencepost::{fake::{FakeDriver, Profile}, *};
/// # let fake = FakeDriver::new(&Profile::default());
/// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
/// # let desc = desc.api_version(vk::API_VERSION_1_3).features(DeviceFeatures::TIMELINE_SEMAPHORE);
/// # let allocator = unsafe { Allocator::new(&desc)? };
/// # let frames = allocator.timeline(fake.queue(0))?;
/// # fake.set_automatic(true);
/// let buffer = BufferDesc::new(1 << 20, vk::BufferUsageFlags::TRANSFER_SRC);
/// let memory = AllocationDesc::upload().name("staging");
/// let mut staging = unsafe { allocator.mapped_pool(&buffer, &memory, &PoolDesc::new())? };
/// let pool = staging.pool_mut();
///
/// let texels = pool.allocate(4096)?;
/// unsafe { texels.write_bytes(0x7F, 4096) };
/// let recording = frames.begin()?; // a copy from `buffer()` at `offset_of(texels)`
/// let point = recording.submit(|signal| unsafe { signal.queue_submit(&[]) })?;
/// pool.deallocate_at(texels, &[point])?;
/// pool.collect(&allocator.reached());
/// # drop((staging, frames));
/// # unsafe { allocator.shutdown()? };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping the pool retires the buffer like any drop. Pointers into it are dangling from then on.
#[derive(Debug)]
pub struct MappedPool {
    pool: MemoryPool,
    buffer: Arc<Mapped>,
}

/// The buffer, owned by the pool and by everything that refers to it.
#[derive(Debug)]
struct Mapped(Buffer);

/// The reason why no pool was created. Nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappedPoolError {
    /// The buffer could not be created.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The memory is not host-visible and coherent, so a pointer is not sufficient to access it.
    #[error("the memory is not mapped, or not coherent")]
    NotCoherent,
    /// The description of the pool does not suit the memory.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The memory is larger than the host's address space.
    #[error("the memory is larger than the address space")]
    TooLarge,
}

impl From<TryFromIntError> for MappedPoolError {
    fn from(_: TryFromIntError) -> Self {
        Self::TooLarge
    }
}

impl MappedPool {
    /// The pool.
    pub fn pool(&self) -> &MemoryPool {
        &self.pool
    }

    /// The pool, to allocate from.
    pub fn pool_mut(&mut self) -> &mut MemoryPool {
        &mut self.pool
    }

    /// The buffer, for commands. Offsets in the pool are offsets in the buffer.
    pub fn buffer(&self) -> vk::Buffer {
        self.buffer.0.handle()
    }

    /// Returns the pool alone, for a [`SharedPool`](crate::SharedPool). The pool keeps the buffer
    /// alive.
    pub fn into_pool(self) -> MemoryPool {
        self.pool
    }
}

impl Allocator {
    /// Creates a pool over a new buffer in mapped, coherent memory. With the usage
    /// `SHADER_DEVICE_ADDRESS`, the bus addresses of the pool are the device addresses of the
    /// buffer, unless the description sets others.
    ///
    /// Cost: as for [`create_buffer`](Self::create_buffer).
    ///
    /// # Errors
    /// The buffer cannot be created, its memory is not host-visible and coherent, or the
    /// description of the pool does not suit it.
    ///
    /// # Safety
    /// * [`shutdown`](Self::shutdown) is not called before the last use of the pool and of its
    ///   handles.
    /// * Accesses by the GPU to the memory do not race with those by the CPU. The GPU does not
    ///   write to free memory of a checked pool.
    #[track_caller]
    pub unsafe fn mapped_pool(
        &self,
        buffer: &BufferDesc,
        memory: &AllocationDesc,
        desc: &PoolDesc,
    ) -> Result<MappedPool, MappedPoolError> {
        let buffer = self.create_buffer(buffer, memory)?;
        let allocation = buffer.allocation();
        let flags = allocation.memory_properties();
        // SAFETY: the pointer is used by the pool alone, which keeps the buffer; the rest is the
        // caller's promise.
        let bytes = unsafe { allocation.mapped() }.ok_or(MappedPoolError::NotCoherent)?;
        if !flags.contains(vk::MemoryPropertyFlags::HOST_COHERENT) {
            return Err(MappedPoolError::NotCoherent);
        }
        let length = bytes.len().min(usize::try_from(buffer.size())?);
        let region = NonNull::slice_from_raw_parts(bytes.cast::<u8>(), length);
        let mut desc = *desc;
        desc.bus_base = desc.bus_base.or_else(|| buffer.device_address());
        let buffer = Arc::new(Mapped(buffer));
        // SAFETY: the buffer is kept until the pool's last access, and its range has no other owner;
        // the rest is the caller's promise.
        let pool = unsafe { MemoryPool::from_region(region, &desc, Arc::clone(&buffer)) }?;
        if pool.skipped() != 0 {
            return Err(PoolError::Misaligned.into());
        }
        Ok(MappedPool { pool, buffer })
    }
}
