//! Buffers, images and dependent objects: create, query, bind, destroy.

use ash::vk;

use super::{DeviceFeatures, Vulkan};

/// Your own object, with a function that ends it: for example an acceleration structure, a slot of
/// a bindless table, or a counter to decrement.
///
/// It consists of two words and a plain function. Nothing is allocated for it, and it cannot own an
/// [`Allocator`](crate::Allocator), which would then never end.
#[derive(Clone, Copy, Debug)]
pub struct UserObject {
    /// Called once, when the GPU has passed the object, on the thread that collects, with no lock
    /// held. It must not panic: otherwise the objects that would be destroyed after it in the same
    /// call are never destroyed.
    pub destroy: unsafe fn(&ash::Device, [u64; 2]),
    /// Passed to `destroy`: for example a handle, an index, or a pointer.
    pub words: [u64; 2],
}

/// The resource bound to a region, which is destroyed when the region ends.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Resource {
    /// None that the allocator owns: the user binds and destroys it.
    #[default]
    None,
    Buffer(vk::Buffer),
    Image(vk::Image),
}

/// A Vulkan object without memory of its own, for
/// [`Allocator::retire_object`](crate::Allocator::retire_object).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Object {
    /// A buffer whose memory does not belong to the handle.
    Buffer(vk::Buffer),
    /// An image whose memory does not belong to the handle.
    Image(vk::Image),
    /// A view of an image.
    ImageView(vk::ImageView),
    /// A view of a texel buffer.
    BufferView(vk::BufferView),
    /// A sampler.
    Sampler(vk::Sampler),
    /// A framebuffer.
    Framebuffer(vk::Framebuffer),
    /// A pipeline of any kind.
    Pipeline(vk::Pipeline),
    /// A command pool, with all its command buffers.
    CommandPool(vk::CommandPool),
    /// A query pool.
    QueryPool(vk::QueryPool),
    /// A descriptor pool, with all its sets.
    DescriptorPool(vk::DescriptorPool),
    /// The layout of descriptor sets.
    DescriptorSetLayout(vk::DescriptorSetLayout),
    /// The layout of pipelines.
    PipelineLayout(vk::PipelineLayout),
    /// A render pass.
    RenderPass(vk::RenderPass),
    /// Anything else.
    User(UserObject),
}

/// Whether the driver prefers or requires a dedicated allocation for a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Dedicate {
    No,
    Prefer,
    Require,
}

/// `VkMemoryRequirements`, and whether the driver wants a dedicated allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirements {
    pub(crate) memory: vk::MemoryRequirements,
    pub(crate) dedicate: Dedicate,
}

impl Requirements {
    fn with(
        memory: vk::MemoryRequirements,
        dedicated: vk::MemoryDedicatedRequirements<'_>,
    ) -> Self {
        let dedicate = match dedicated {
            d if d.requires_dedicated_allocation == vk::TRUE => Dedicate::Require,
            d if d.prefers_dedicated_allocation == vk::TRUE => Dedicate::Prefer,
            _ => Dedicate::No,
        };
        Self { memory, dedicate }
    }
}

impl Vulkan {
    /// # Safety
    /// The device contract; the create-info is valid.
    pub(crate) unsafe fn create_buffer(
        &self,
        info: &vk::BufferCreateInfo<'_>,
    ) -> Result<vk::Buffer, vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.create_buffer(info, None) }
    }

    /// # Safety
    /// The device contract; the create-info is valid.
    pub(crate) unsafe fn create_image(
        &self,
        info: &vk::ImageCreateInfo<'_>,
    ) -> Result<vk::Image, vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.create_image(info, None) }
    }

    /// # Safety
    /// The device contract; the create-info is valid.
    pub(crate) unsafe fn create_image_view(
        &self,
        info: &vk::ImageViewCreateInfo<'_>,
    ) -> Result<vk::ImageView, vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.create_image_view(info, None) }
    }

    /// # Safety
    /// The device contract; no submitted work uses the resource and nothing will.
    pub(crate) unsafe fn destroy_resource(&self, resource: Resource) {
        match resource {
            Resource::None => {}
            // SAFETY: the device contract and the caller's promise.
            Resource::Buffer(buffer) => unsafe { self.device.destroy_buffer(buffer, None) },
            // SAFETY: the device contract and the caller's promise.
            Resource::Image(image) => unsafe { self.device.destroy_image(image, None) },
        }
    }

    /// # Safety
    /// The device contract; no submitted work uses the object and nothing will.
    pub(crate) unsafe fn destroy_object(&self, object: Object) {
        // SAFETY: the device contract and the caller's promise.
        unsafe {
            match object {
                Object::Buffer(buffer) => self.device.destroy_buffer(buffer, None),
                Object::Image(image) => self.device.destroy_image(image, None),
                Object::ImageView(view) => self.device.destroy_image_view(view, None),
                Object::BufferView(view) => self.device.destroy_buffer_view(view, None),
                Object::Sampler(sampler) => self.device.destroy_sampler(sampler, None),
                Object::Framebuffer(buffer) => self.device.destroy_framebuffer(buffer, None),
                Object::Pipeline(pipeline) => self.device.destroy_pipeline(pipeline, None),
                Object::CommandPool(pool) => self.device.destroy_command_pool(pool, None),
                Object::QueryPool(pool) => self.device.destroy_query_pool(pool, None),
                Object::DescriptorPool(pool) => self.device.destroy_descriptor_pool(pool, None),
                Object::DescriptorSetLayout(layout) => {
                    self.device.destroy_descriptor_set_layout(layout, None);
                }
                Object::PipelineLayout(layout) => self.device.destroy_pipeline_layout(layout, None),
                Object::RenderPass(pass) => self.device.destroy_render_pass(pass, None),
                Object::User(UserObject { destroy, words }) => destroy(&self.device, words),
            }
        }
    }

    /// Whether the requirements can be queried together with the preference for dedicated memory.
    pub(super) fn has_requirements2(&self) -> bool {
        self.api >= vk::API_VERSION_1_1 || self.requirements2.is_some()
    }

    /// The requirements of a resource. [`Resource::None`] has none.
    ///
    /// # Safety
    /// The device contract.
    pub(crate) unsafe fn requirements(&self, resource: Resource) -> Requirements {
        match resource {
            Resource::None => {
                Requirements { memory: vk::MemoryRequirements::default(), dedicate: Dedicate::No }
            }
            // SAFETY: the device contract.
            Resource::Buffer(buffer) => unsafe { self.buffer_requirements(buffer) },
            // SAFETY: the device contract.
            Resource::Image(image) => unsafe { self.image_requirements(image) },
        }
    }

    /// # Safety
    /// The device contract.
    unsafe fn buffer_requirements(&self, buffer: vk::Buffer) -> Requirements {
        if !self.has_requirements2() {
            // SAFETY: the device contract.
            let memory = unsafe { self.device.get_buffer_memory_requirements(buffer) };
            return Requirements { memory, dedicate: Dedicate::No };
        }
        let info = vk::BufferMemoryRequirementsInfo2::default().buffer(buffer);
        let mut dedicated = vk::MemoryDedicatedRequirements::default();
        let mut out = vk::MemoryRequirements2::default().push_next(&mut dedicated);
        // SAFETY: the device contract; Vulkan 1.1 or the enabled extensions have the call.
        unsafe {
            match &self.requirements2 {
                Some(khr) => khr.get_buffer_memory_requirements2(&info, &mut out),
                None => self.device.get_buffer_memory_requirements2(&info, &mut out),
            }
        }
        Requirements::with(out.memory_requirements, dedicated)
    }

    /// # Safety
    /// The device contract.
    unsafe fn image_requirements(&self, image: vk::Image) -> Requirements {
        if !self.has_requirements2() {
            // SAFETY: the device contract.
            let memory = unsafe { self.device.get_image_memory_requirements(image) };
            return Requirements { memory, dedicate: Dedicate::No };
        }
        let info = vk::ImageMemoryRequirementsInfo2::default().image(image);
        let mut dedicated = vk::MemoryDedicatedRequirements::default();
        let mut out = vk::MemoryRequirements2::default().push_next(&mut dedicated);
        // SAFETY: the device contract; Vulkan 1.1 or the enabled extensions have the call.
        unsafe {
            match &self.requirements2 {
                Some(khr) => khr.get_image_memory_requirements2(&info, &mut out),
                None => self.device.get_image_memory_requirements2(&info, &mut out),
            }
        }
        Requirements::with(out.memory_requirements, dedicated)
    }

    /// # Safety
    /// The device contract; the range satisfies the resource's requirements and the resource has
    /// no memory yet.
    pub(crate) unsafe fn bind(
        &self,
        resource: Resource,
        memory: vk::DeviceMemory,
        offset: u64,
    ) -> Result<(), vk::Result> {
        match resource {
            Resource::None => Ok(()),
            // SAFETY: the device contract and the caller's promise.
            Resource::Buffer(buffer) => unsafe {
                self.device.bind_buffer_memory(buffer, memory, offset)
            },
            // SAFETY: the device contract and the caller's promise.
            Resource::Image(image) => unsafe {
                self.device.bind_image_memory(image, memory, offset)
            },
        }
    }

    /// The driver's limits for images with these parameters, or `ERROR_FORMAT_NOT_SUPPORTED`.
    ///
    /// # Safety
    /// The device contract.
    pub(crate) unsafe fn image_format_properties(
        &self,
        info: &vk::ImageCreateInfo<'_>,
    ) -> Result<vk::ImageFormatProperties, vk::Result> {
        // SAFETY: the device contract.
        unsafe {
            self.instance.get_physical_device_image_format_properties(
                self.physical_device,
                info.format,
                info.image_type,
                info.tiling,
                info.usage,
                info.flags,
            )
        }
    }

    /// The device address of a buffer, if the feature is enabled.
    ///
    /// # Safety
    /// The device contract; the buffer is bound and has `SHADER_DEVICE_ADDRESS` usage.
    pub(crate) unsafe fn buffer_address(&self, buffer: vk::Buffer) -> Option<vk::DeviceAddress> {
        if !self.features.contains(DeviceFeatures::BUFFER_DEVICE_ADDRESS) {
            return None;
        }
        let info = vk::BufferDeviceAddressInfo::default().buffer(buffer);
        // SAFETY: the device contract, the caller's promise, and the feature is on.
        Some(unsafe {
            match &self.address {
                Some(khr) => khr.get_buffer_device_address(&info),
                None => self.device.get_buffer_device_address(&info),
            }
        })
    }
}
