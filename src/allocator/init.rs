//! New buffers with contents: written in place if the host can access them, staged otherwise.

use std::sync::Arc;

use ash::vk;
use bytemuck::Pod;

use super::{
    Allocator,
    arena::Arena,
    desc::AllocationDesc,
    error::{CopyError, InitError},
    inner::Inner,
    place::Place,
    resource::Buffer,
    resource_desc::BufferDesc,
};

/// A new buffer, with the staging buffer that its contents have to be copied from, if there is one.
/// Created by [`Allocator::create_buffer_init`].
#[derive(Debug)]
#[must_use = "dropping it retires the buffer at once"]
pub struct BufferInit {
    /// The buffer.
    pub buffer: Buffer,
    /// Contains the contents if the host cannot access the buffer. Record [`copy`](Self::copy) from
    /// it, then drop it.
    pub staging: Option<Buffer>,
    copy: vk::BufferCopy,
}

impl BufferInit {
    /// The region to copy from the staging buffer to the buffer, if there is a staging buffer. As
    /// with any copy, you have to record a barrier between the copy and the first use.
    pub fn copy(&self) -> vk::BufferCopy {
        self.copy
    }
}

/// The function for an owner, with its documentation.
macro_rules! create_buffer_init {
    ($owner:ty, $(#[$doc:meta])*) => {
        impl $owner {
            $(#[$doc])*
            #[track_caller]
            pub fn create_buffer_init<T: Pod>(
                &self,
                desc: &BufferDesc,
                memory: &AllocationDesc,
                values: &[T],
            ) -> Result<BufferInit, InitError> {
                self.inner().create_buffer_init(desc, memory, values, self.place())
            }
        }
    };
}

create_buffer_init! {
    Allocator,
    /// Creates a buffer with contents. If its memory is host-visible, the contents are written
    /// immediately. Otherwise a staging buffer contains them, which you have to copy from. The
    /// usage `TRANSFER_DST` is added.
    ///
    /// Use [`host_access_where_free`](AllocationDesc::host_access_where_free) to avoid the copy on
    /// devices that do not need it.
    ///
    /// Cost: as for [`create_buffer`](Self::create_buffer), once or twice, plus a copy of the
    /// values.
    ///
    /// # Errors
    /// As for `create_buffer`. In addition, the values do not fit in the buffer, or the driver
    /// cannot flush. Nothing is left behind.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::{FakeDriver, Use}, *};
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    /// #     .api_version(vk::API_VERSION_1_3).features(DeviceFeatures::TIMELINE_SEMAPHORE);
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// # let frames = allocator.timeline(fake.queue(0))?;
    /// # let copy = |_: vk::CommandBuffer, from: vk::Buffer, to: vk::Buffer, _: vk::BufferCopy| {
    /// #     fake.record(&[Use::buffer(from), Use::buffer(to)])
    /// # };
    /// # let commands = vk::CommandBuffer::null();
    /// let vertices = [[0.0f32; 3]; 1000];
    /// let desc = BufferDesc::of(&vertices, vk::BufferUsageFlags::VERTEX_BUFFER);
    /// let memory = AllocationDesc::device_local().host_access_where_free().name("mesh");
    ///
    /// let load = frames.begin()?;
    /// let mesh = allocator.create_buffer_init(&desc, &memory, &vertices)?;
    /// if let Some(staging) = &mesh.staging {
    ///     // vkCmdCopyBuffer
    /// #   let commands =
    ///     copy(commands, staging.handle(), mesh.buffer.handle(), mesh.copy());
    /// #   load.submit(|signal| unsafe {
    /// #       signal.queue_submit(&[vk::SubmitInfo::default().command_buffers(&[commands])])
    /// #   })?;
    /// }
    /// let mesh = mesh.buffer; // drops the staging buffer, which ends when the GPU has copied
    /// # drop((mesh, frames));
    /// # unsafe { allocator.shutdown()? };
    /// # fake.finish()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
}

create_buffer_init! {
    Arena,
    /// Creates a buffer with contents in the arena: see [`Allocator::create_buffer_init`]. A
    /// staging buffer is not placed in the arena.
    ///
    /// Cost: as for `Allocator::create_buffer_init`.
    ///
    /// # Errors
    /// As for `Allocator::create_buffer_init`, and as for [`create_buffer`](Self::create_buffer).
}

impl Inner {
    #[track_caller]
    fn create_buffer_init<T: Pod>(
        self: &Arc<Self>,
        desc: &BufferDesc,
        memory: &AllocationDesc,
        values: &[T],
        place: Place<'_>,
    ) -> Result<BufferInit, InitError> {
        let (length, size) = (size_of_val(values) as u64, desc.size);
        if length > size {
            return Err(CopyError::OutOfRange { offset: 0, length, size }.into());
        }
        let mut desc = desc.clone();
        desc.usage |= vk::BufferUsageFlags::TRANSFER_DST;
        let copy = vk::BufferCopy::default().size(length);
        let mut buffer = self.create_described_buffer(&desc, memory, place)?;
        if length == 0 {
            return Ok(BufferInit { buffer, staging: None, copy });
        }
        match buffer.write(0, values) {
            Ok(()) => Ok(BufferInit { buffer, staging: None, copy }),
            Err(CopyError::NotMapped) => match self.stage(memory, values) {
                Ok(staging) => Ok(BufferInit { buffer, staging: Some(staging), copy }),
                Err(error) => Err(end(buffer, error)),
            },
            Err(error) => Err(end(buffer, error.into())),
        }
    }

    /// A staging buffer with the same name.
    #[track_caller]
    fn stage<T: Pod>(
        self: &Arc<Self>,
        memory: &AllocationDesc,
        values: &[T],
    ) -> Result<Buffer, InitError> {
        let desc = BufferDesc::of(values, vk::BufferUsageFlags::TRANSFER_SRC);
        let mut upload = AllocationDesc::upload();
        upload.name = memory.name;
        let mut staging = self.create_described_buffer(&desc, &upload, Place::Types)?;
        match staging.write(0, values) {
            Ok(()) => Ok(staging),
            Err(error) => Err(end(staging, error.into())),
        }
    }
}

/// Ends a buffer that was never handed out.
fn end(buffer: Buffer, error: InitError) -> InitError {
    // SAFETY: it is new, so nothing was recorded with it.
    unsafe { buffer.free_now() };
    error
}
