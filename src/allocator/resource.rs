//! Buffers and images that own their memory.

use core::fmt;

use ash::vk;
use bytemuck::Pod;

use super::{
    allocation::Allocation,
    error::{CopyError, Refused},
    inner::Life,
};
use crate::retire::Point;

/// A buffer with its memory. Dropping it is always safe: see [`Allocation`].
#[must_use = "dropping a buffer retires it at once"]
pub struct Buffer {
    allocation: Allocation,
    handle: vk::Buffer,
    size: u64,
    usage: vk::BufferUsageFlags,
}

/// An image with its memory. Dropping it is always safe: see [`Allocation`].
#[must_use = "dropping an image retires it at once"]
pub struct Image {
    allocation: Allocation,
    handle: vk::Image,
    form: Form,
}

/// The properties of an image that its views must match.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) image_type: vk::ImageType,
    pub(super) format: vk::Format,
    pub(super) extent: vk::Extent3D,
    pub(super) mip_levels: u32,
    pub(super) array_layers: u32,
}

impl Form {
    pub(super) fn of(info: &vk::ImageCreateInfo<'_>) -> Self {
        Self {
            image_type: info.image_type,
            format: info.format,
            extent: info.extent,
            mip_levels: info.mip_levels,
            array_layers: info.array_layers,
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("handle", &self.handle)
            .field("size", &self.size)
            .field("allocation", &self.allocation)
            .finish()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("handle", &self.handle)
            .field("format", &self.form.format)
            .field("extent", &self.form.extent)
            .field("allocation", &self.allocation)
            .finish_non_exhaustive()
    }
}

impl Buffer {
    pub(super) fn new(
        allocation: Allocation,
        handle: vk::Buffer,
        info: &vk::BufferCreateInfo<'_>,
    ) -> Self {
        Self { allocation, handle, size: info.size, usage: info.usage }
    }
}

impl Image {
    pub(super) fn new(
        allocation: Allocation,
        handle: vk::Image,
        info: &vk::ImageCreateInfo<'_>,
    ) -> Self {
        Self { allocation, handle, form: Form::of(info) }
    }
}

/// The functions to end a resource, which buffers and images share.
macro_rules! ends {
    ($handle:ty) => {
        /// The memory that the resource is bound to.
        pub fn allocation(&self) -> &Allocation {
            &self.allocation
        }

        /// Retires the resource at explicit points: see [`Allocation::retire_at`].
        ///
        /// # Errors
        /// A point belongs to another allocator. The error returns the handle.
        ///
        /// # Safety
        /// As for [`Allocation::retire_at`].
        #[allow(clippy::result_large_err, reason = "the error is the handle, given back")]
        pub unsafe fn retire_at(self, points: &[Point]) -> Result<(), Refused<Self>> {
            // SAFETY: the caller's promise.
            match unsafe { self.allocation.retire_at(points) } {
                Ok(()) => Ok(()),
                Err(Refused { handle, point }) => {
                    Err(Refused { handle: Self { allocation: handle, ..self }, point })
                }
            }
        }

        /// Destroys the resource and frees its memory immediately: see [`Allocation::free_now`].
        ///
        /// # Safety
        /// As for [`Allocation::free_now`].
        pub unsafe fn free_now(self) {
            // SAFETY: the caller's promise.
            unsafe { self.allocation.free_now() }
        }

        /// Splits the resource into its parts. You must destroy the Vulkan handle before the memory
        /// ends.
        pub fn into_parts(self) -> ($handle, Allocation) {
            self.allocation.disown();
            (self.handle, self.allocation)
        }
    };
}

impl Buffer {
    /// The Vulkan handle. It is destroyed when this buffer ends.
    pub fn handle(&self) -> vk::Buffer {
        self.handle
    }

    /// The size in bytes that the buffer was created with.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Copies values into the buffer at a byte offset: see [`Allocation::write`].
    ///
    /// # Errors
    /// As for [`Allocation::write`].
    pub fn write<T: Pod>(&mut self, offset: u64, values: &[T]) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.write(offset, values)
    }

    /// Copies values out of the buffer from a byte offset: see [`Allocation::read`].
    ///
    /// # Errors
    /// As for [`Allocation::read`].
    pub fn read<T: Pod>(&self, offset: u64, values: &mut [T]) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.read(offset, values)
    }

    /// Copies values into the buffer if the GPU has passed a point: see
    /// [`Allocation::write_after`].
    ///
    /// # Errors
    /// As for [`Allocation::write_after`].
    pub fn write_after<T: Pod>(
        &mut self,
        point: Point,
        offset: u64,
        values: &[T],
    ) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.write_after(point, offset, values)
    }

    /// Copies values into the buffer without a flush: see [`Allocation::write_unflushed`].
    ///
    /// # Errors
    /// As for [`Allocation::write_unflushed`].
    pub fn write_unflushed<T: Pod>(&mut self, offset: u64, values: &[T]) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.write_unflushed(offset, values)
    }

    /// Copies values out of the buffer if the GPU has passed a point: see
    /// [`Allocation::read_after`].
    ///
    /// # Errors
    /// As for [`Allocation::read_after`].
    pub fn read_after<T: Pod>(
        &self,
        point: Point,
        offset: u64,
        values: &mut [T],
    ) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.read_after(point, offset, values)
    }

    pub(super) fn usage(&self) -> vk::BufferUsageFlags {
        self.usage
    }

    fn check_range(&self, offset: u64, length: usize) -> Result<(), CopyError> {
        let length = length as u64;
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(CopyError::OutOfRange { offset, length, size: self.size }),
        }
    }

    /// The address of the buffer for shaders. `None` unless the feature is enabled and the usage
    /// contains `SHADER_DEVICE_ADDRESS`. One driver call.
    pub fn device_address(&self) -> Option<vk::DeviceAddress> {
        let inner = self.allocation.inner();
        let named = self.usage.contains(vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS);
        if !named || inner.life() == Life::ShutDown {
            return None;
        }
        // SAFETY: the device contract; the buffer is bound and has the usage.
        unsafe { inner.vulkan.buffer_address(self.handle) }
    }

    ends!(vk::Buffer);
}

impl Image {
    /// The Vulkan handle. It is destroyed when this image ends.
    pub fn handle(&self) -> vk::Image {
        self.handle
    }

    /// The format.
    pub fn format(&self) -> vk::Format {
        self.form.format
    }

    /// The extent of level 0, in texels.
    pub fn extent(&self) -> vk::Extent3D {
        self.form.extent
    }

    /// The number of mip levels.
    pub fn mip_levels(&self) -> u32 {
        self.form.mip_levels
    }

    /// The number of array layers.
    pub fn array_layers(&self) -> u32 {
        self.form.array_layers
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    ends!(vk::Image);
}
