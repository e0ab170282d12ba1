//! Buffers and images that own their memory, and views that retire with them.

use core::fmt;

use ash::vk;
use bytemuck::Pod;

use super::{
    allocation::Allocation,
    error::{CopyError, Refused},
    inner::Life,
};
use crate::retire::Point;

/// A buffer and its memory. Dropping it is safe at any time: see [`Allocation`].
#[must_use = "dropping a buffer retires it at once"]
pub struct Buffer {
    allocation: Allocation,
    handle: vk::Buffer,
    size: u64,
    usage: vk::BufferUsageFlags,
}

/// An image and its memory. Dropping it is safe at any time: see [`Allocation`].
#[must_use = "dropping an image retires it at once"]
pub struct Image {
    allocation: Allocation,
    handle: vk::Image,
    form: Form,
}

/// What views of an image have to fit.
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

/// The ends that buffers and images share.
macro_rules! ends {
    ($handle:ty) => {
        /// The memory it is bound to.
        pub fn allocation(&self) -> &Allocation {
            &self.allocation
        }

        /// Gives it up at explicit points: see [`Allocation::retire_at`].
        ///
        /// # Errors
        /// A point of another allocator; the handle comes back.
        ///
        /// # Safety
        /// As [`Allocation::retire_at`].
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

        /// Destroys it and frees its memory at once: see [`Allocation::free_now`].
        ///
        /// # Safety
        /// As [`Allocation::free_now`].
        pub unsafe fn free_now(self) {
            // SAFETY: the caller's promise.
            unsafe { self.allocation.free_now() }
        }

        /// Takes it apart: the Vulkan handle is yours to destroy, before the memory ends.
        pub fn into_parts(self) -> ($handle, Allocation) {
            self.allocation.disown();
            (self.handle, self.allocation)
        }
    };
}

impl Buffer {
    /// The Vulkan handle. It is destroyed with this buffer's end.
    pub fn handle(&self) -> vk::Buffer {
        self.handle
    }

    /// The size it was created with, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Copies values in, at a byte offset: see [`Allocation::write`].
    ///
    /// # Errors
    /// As [`Allocation::write`].
    pub fn write<T: Pod>(&mut self, offset: u64, values: &[T]) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.write(offset, values)
    }

    /// Copies values out, from a byte offset: see [`Allocation::read`].
    ///
    /// # Errors
    /// As [`Allocation::read`].
    pub fn read<T: Pod>(&self, offset: u64, values: &mut [T]) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.read(offset, values)
    }

    /// Copies values in, if the GPU has passed a point: see [`Allocation::write_after`].
    ///
    /// # Errors
    /// As [`Allocation::write_after`].
    pub fn write_after<T: Pod>(
        &mut self,
        point: Point,
        offset: u64,
        values: &[T],
    ) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.write_after(point, offset, values)
    }

    /// Copies values in without a flush: see [`Allocation::write_unflushed`].
    ///
    /// # Errors
    /// As [`Allocation::write_unflushed`].
    pub fn write_unflushed<T: Pod>(&mut self, offset: u64, values: &[T]) -> Result<(), CopyError> {
        self.check_range(offset, size_of_val(values))?;
        self.allocation.write_unflushed(offset, values)
    }

    /// Copies values out, if the GPU has passed a point: see [`Allocation::read_after`].
    ///
    /// # Errors
    /// As [`Allocation::read_after`].
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

    /// The address shaders reach it at: `None` unless the feature is on and the usage
    /// `SHADER_DEVICE_ADDRESS` was named. One driver call.
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
    /// The Vulkan handle. It is destroyed with this image's end.
    pub fn handle(&self) -> vk::Image {
        self.handle
    }

    /// Its format.
    pub fn format(&self) -> vk::Format {
        self.form.format
    }

    /// Its extent at level 0, in texels.
    pub fn extent(&self) -> vk::Extent3D {
        self.form.extent
    }

    /// How many mip levels it has.
    pub fn mip_levels(&self) -> u32 {
        self.form.mip_levels
    }

    /// How many array layers it has.
    pub fn array_layers(&self) -> u32 {
        self.form.array_layers
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    ends!(vk::Image);
}
