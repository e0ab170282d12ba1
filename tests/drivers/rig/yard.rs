//! Objects that the test created itself, which are kept until the allocator is gone.

use std::sync::{Arc, Mutex};

use ash::vk;

use crate::support::Gpu;

/// Owns the device, and what the test created on it. The allocator keeps it alive, so its objects
/// outlive every use that the allocator may make of them.
pub(crate) struct Yard {
    objects: Mutex<Vec<Object>>,
    pub(crate) gpu: Arc<Gpu>,
}

#[derive(Clone, Copy)]
enum Object {
    Buffer(vk::Buffer),
    Image(vk::Image),
    Semaphore(vk::Semaphore),
}

impl Yard {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Arc<Self> {
        Arc::new(Self { objects: Mutex::default(), gpu: Arc::clone(gpu) })
    }

    fn keep(&self, object: Object) {
        self.objects.lock().expect("no holder panics").push(object);
    }

    /// A buffer for transfers, which is not bound.
    pub(crate) fn buffer(&self, size: u64) -> vk::Buffer {
        let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
        let info = vk::BufferCreateInfo::default().size(size).usage(usage);
        // SAFETY: the device is alive.
        let buffer = unsafe { self.gpu.device.create_buffer(&info, None) }.expect("a buffer");
        self.keep(Object::Buffer(buffer));
        buffer
    }

    /// A colour image for transfers with optimal tiling, which is not bound.
    pub(crate) fn image(&self, width: u32, height: u32) -> vk::Image {
        let info = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(vk::Format::R8G8B8A8_UNORM)
            .extent(vk::Extent3D { width, height, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .usage(vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST);
        // SAFETY: the device is alive, and every device has such images.
        let image = unsafe { self.gpu.device.create_image(&info, None) }.expect("an image");
        self.keep(Object::Image(image));
        image
    }

    /// A timeline semaphore with value 0.
    pub(crate) fn timeline_semaphore(&self) -> vk::Semaphore {
        let semaphore = self.gpu.new_timeline_semaphore().expect("a timeline semaphore");
        self.keep(Object::Semaphore(semaphore));
        semaphore
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let device = &self.gpu.device;
        // SAFETY: after the wait nothing submitted uses the objects, and this is their owner.
        unsafe {
            let _ = device.device_wait_idle();
            for object in self.objects.get_mut().expect("no holder panicked").drain(..) {
                match object {
                    Object::Buffer(buffer) => device.destroy_buffer(buffer, None),
                    Object::Image(image) => device.destroy_image(image, None),
                    Object::Semaphore(semaphore) => device.destroy_semaphore(semaphore, None),
                }
            }
        }
    }
}
