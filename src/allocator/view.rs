//! Image views, which retire like images, and other handles retired in the same way.

use core::fmt;
use std::sync::{Arc, atomic::Ordering};

use ash::vk;

use super::{
    Allocator,
    aliasing::AliasingImage,
    allocation::Allocation,
    error::{AllocateError, CreateError, DescError},
    inner::{Inner, Life},
    resource::{Buffer, Form, Image},
    resource_desc::ImageViewDesc,
};
use crate::vulkan::Object;

/// A view of an image. Dropping it is always safe. Drop it no later than its image.
#[must_use = "dropping a view retires it at once"]
pub struct ImageView {
    inner: Arc<Inner>,
    index: u32,
    handle: vk::ImageView,
}

impl fmt::Debug for ImageView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageView").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl ImageView {
    /// The Vulkan handle. It is destroyed when this view ends.
    pub fn handle(&self) -> vk::ImageView {
        self.handle
    }
}

impl Drop for ImageView {
    fn drop(&mut self) {
        self.inner.retire_object(self.index);
    }
}

impl Image {
    /// Retires the image together with the objects that depend on it: views, descriptor sets, other
    /// images. The dependants are destroyed before the image, even if other threads begin
    /// recordings at the same time.
    pub fn retire_with<D>(self, dependants: D) {
        drop(dependants);
        drop(self);
    }
}

impl Buffer {
    /// Retires the buffer together with the objects that depend on it: descriptor sets, or an
    /// acceleration structure that contains its address. The dependants end no later than the
    /// buffer.
    pub fn retire_with<D>(self, dependants: D) {
        drop(dependants);
        drop(self);
    }
}

impl Allocator {
    /// Creates a view of an image, in the format of the image. The view retires like any resource.
    /// For another format or swizzled components, call `vkCreateImageView` yourself, and at the end
    /// of the view call [`retire_object`](Self::retire_object) before you drop the image.
    ///
    /// Cost: one driver call and one lock.
    ///
    /// # Errors
    /// The view does not fit the image, or the driver refuses.
    pub fn create_image_view(
        &self,
        image: &Image,
        desc: &ImageViewDesc,
    ) -> Result<ImageView, CreateError> {
        self.inner().create_view(image.allocation(), image.handle(), image.form(), desc)
    }

    /// Creates a view of an image that shares its memory; see
    /// [`create_image_view`](Self::create_image_view). Drop the view no later than the image.
    ///
    /// Cost: as for `create_image_view`.
    ///
    /// # Errors
    /// As for `create_image_view`.
    pub fn create_aliasing_image_view(
        &self,
        image: &AliasingImage,
        desc: &ImageViewDesc,
    ) -> Result<ImageView, CreateError> {
        self.inner().create_view(image.memory(), image.handle(), image.form(), desc)
    }

    /// Hands over your own object, to be destroyed when the GPU has finished with it. The same rule
    /// applies as for a drop. The object is destroyed before any image or buffer that is dropped at
    /// the same time or later. O(1), one lock.
    ///
    /// After [`shutdown`](Self::shutdown) this does nothing, because the device may be destroyed.
    /// If the host has no memory to store the object, a `tracing` event reports it, and the object
    /// is never destroyed.
    ///
    /// # Safety
    /// The object belongs to this device, nobody else destroys it, and all work that uses it is
    /// submitted through recordings that are open now, or was submitted before.
    pub unsafe fn retire_object(&self, object: Object) {
        let inner = self.inner();
        if inner.life() != Life::ShutDown {
            inner.retire_new_object(object);
        }
    }
}

impl Inner {
    fn create_view(
        self: &Arc<Self>,
        memory: &Allocation,
        image: vk::Image,
        form: Form,
        desc: &ImageViewDesc,
    ) -> Result<ImageView, CreateError> {
        self.check_open()?;
        if !core::ptr::eq(memory.inner(), &raw const **self) {
            return Err(DescError::View.into());
        }
        let range = &desc.range;
        let levels = view_count(range.base_mip_level, range.level_count, form.mip_levels);
        let layers = view_count(range.base_array_layer, range.layer_count, form.array_layers);
        let (Some(_), Some(layers)) = (levels, layers) else {
            return Err(DescError::View.into());
        };
        let view_type = desc.view_type.unwrap_or(match form.image_type {
            vk::ImageType::TYPE_1D => vk::ImageViewType::TYPE_1D,
            vk::ImageType::TYPE_3D => vk::ImageViewType::TYPE_3D,
            _ if layers > 1 => vk::ImageViewType::TYPE_2D_ARRAY,
            _ => vk::ImageViewType::TYPE_2D,
        });
        if !view_fits(view_type, form.image_type, layers) || range.aspect_mask.is_empty() {
            return Err(DescError::View.into());
        }
        let info = vk::ImageViewCreateInfo::default()
            .image(image)
            .view_type(view_type)
            .format(form.format)
            .subresource_range(*range);
        // SAFETY: the device contract; the range and the type fit the image.
        let made = unsafe { self.vulkan.create_image_view(&info) };
        let handle = made.map_err(CreateError::Create)?;
        let object = Object::ImageView(handle);
        let Some(index) = self.objects.insert(object, image) else {
            // SAFETY: the device contract; the view was never used.
            unsafe { self.vulkan.destroy_object(object) };
            return Err(AllocateError::OutOfHostMemory.into());
        };
        Ok(ImageView { inner: Arc::clone(self), index, handle })
    }

    /// Stores an object and retires it. If the host has no memory to store it, it is never
    /// destroyed.
    pub(super) fn retire_new_object(self: &Arc<Self>, object: Object) {
        match self.objects.insert(object, vk::Image::null()) {
            Some(index) => self.retire_object(index),
            None => tracing::error!(
                target: crate::events::LEAK, count = 1,
                "the host has no memory to store a retired object: it is never destroyed"
            ),
        }
    }

    /// Retires an object. O(1), one lock.
    pub(super) fn retire_object(self: &Arc<Self>, index: u32) {
        if self.life() == Life::ShutDown {
            return;
        }
        let bags = || (self.current_bag(), self.reached_bag());
        let collects = self.collects.load(Ordering::Relaxed);
        if let Some(object) = self.objects.retire(index, collects, bags) {
            // SAFETY: the device contract; nothing is submitted or being recorded.
            unsafe { self.vulkan.destroy_object(object) };
        }
        if self.life() == Life::Closed {
            self.finish_pending();
        }
    }
}

/// How many levels or layers a view covers, if they exist.
fn view_count(base: u32, count: u32, available: u32) -> Option<u32> {
    let remaining = available.checked_sub(base).filter(|&remaining| remaining > 0)?;
    match count {
        0 => None,
        vk::REMAINING_MIP_LEVELS => Some(remaining),
        count => (count <= remaining).then_some(count),
    }
}

/// The view types that need neither a feature nor an image flag that is not validated here.
fn view_fits(view: vk::ImageViewType, image: vk::ImageType, layers: u32) -> bool {
    use vk::{ImageType as I, ImageViewType as V};
    match (view, image) {
        (V::TYPE_1D, I::TYPE_1D) | (V::TYPE_2D, I::TYPE_2D) | (V::TYPE_3D, I::TYPE_3D) => {
            layers == 1
        }
        (V::TYPE_1D_ARRAY, I::TYPE_1D) | (V::TYPE_2D_ARRAY, I::TYPE_2D) => true,
        (V::CUBE, I::TYPE_2D) => layers == 6,
        _ => false,
    }
}
