//! Several allocations in one call, and several resources in one allocation.

use core::fmt;
use std::sync::Arc;

use ash::vk;

use super::{
    Allocator,
    allocation::Allocation,
    desc::AllocationDesc,
    error::{AliasError, AllocateError, CreateError},
    inner::Inner,
    place::Place,
    request::Target,
    resource::Form,
    resource_desc::{BufferDesc, ImageDesc},
};
use crate::{
    policy::granularity::{ResourceKind, placed},
    vulkan::{Dedicate, Object, Requirements, Resource},
};

/// A buffer in memory that it may share with other resources. Dropping it is always safe. The
/// memory is freed with the last resource that shares it.
#[must_use = "dropping a buffer retires it at once"]
pub struct AliasingBuffer {
    handle: vk::Buffer,
    ended: Ended,
}

/// An image in memory that it may share with other resources: see [`AliasingBuffer`]. Create views
/// of it with [`Allocator::create_aliasing_image_view`].
#[must_use = "dropping an image retires it at once"]
pub struct AliasingImage {
    handle: vk::Image,
    form: Form,
    ended: Ended,
}

/// Retires the object, and then releases the memory. Therefore the object is destroyed no later
/// than the memory is freed, unless the memory is retired at explicit points. In that case the
/// object overlaps another one until it is destroyed, but is not used; Vulkan allows this.
struct Ended {
    inner: Arc<Inner>,
    index: u32,
    memory: Arc<Allocation>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.inner.retire_object(self.index);
    }
}

macro_rules! handles {
    ($name:ident, $handle:ty) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let memory = &self.ended.memory;
                f.debug_struct(stringify!($name))
                    .field("handle", &self.handle)
                    .field("memory", memory)
                    .finish()
            }
        }

        impl $name {
            /// The Vulkan handle. It is destroyed when this resource ends.
            pub fn handle(&self) -> $handle {
                self.handle
            }

            /// The memory of the resource.
            pub fn memory(&self) -> &Arc<Allocation> {
                &self.ended.memory
            }
        }
    };
}

handles!(AliasingBuffer, vk::Buffer);
handles!(AliasingImage, vk::Image);

impl AliasingImage {
    pub(super) fn form(&self) -> Form {
        self.form
    }
}

/// Returns the requirements of memory that can hold any one of several resources: the largest size
/// and alignment, and the memory types that all of them allow. `None` if there are no resources, or
/// no common memory type.
///
/// For resources that are in use at the same time, choose offsets yourself.
pub fn aliasing_requirements(all: &[vk::MemoryRequirements]) -> Option<vk::MemoryRequirements> {
    let merged = all.iter().copied().reduce(|a, b| vk::MemoryRequirements {
        size: a.size.max(b.size),
        alignment: a.alignment.max(b.alignment),
        memory_type_bits: a.memory_type_bits & b.memory_type_bits,
    });
    merged.filter(|merged| merged.memory_type_bits != 0)
}

impl Allocator {
    /// Returns the memory requirements of a buffer. Cost: creates and destroys one.
    ///
    /// # Errors
    /// The description is invalid, or the driver refuses.
    pub fn buffer_requirements(
        &self,
        desc: &BufferDesc,
    ) -> Result<vk::MemoryRequirements, CreateError> {
        let inner = self.inner();
        desc.check(&inner.vulkan)?;
        inner.check_open()?;
        // SAFETY: the device contract; the description was checked.
        let made = unsafe { inner.vulkan.create_buffer(&desc.info()) };
        let target = Target::buffer(made.map_err(CreateError::Create)?, desc.usage);
        Ok(inner.ask_and_destroy(target).memory)
    }

    /// Returns the memory requirements of an image. Cost: creates and destroys one.
    ///
    /// # Errors
    /// The description is invalid, or the driver refuses.
    pub fn image_requirements(
        &self,
        desc: &ImageDesc,
    ) -> Result<vk::MemoryRequirements, CreateError> {
        let inner = self.inner();
        inner.check_image(desc)?;
        // SAFETY: the device contract; the description was checked, and the driver has such images.
        let made = unsafe { inner.vulkan.create_image(&desc.info()) };
        let made = made.map_err(CreateError::Create)?;
        Ok(inner.ask_and_destroy(Target::image(made, desc.usage, desc.tiling)).memory)
    }

    /// Creates a buffer at an offset in memory that it may share with other resources.
    ///
    /// Writing one resource destroys the contents of the others that overlap it. Order their uses
    /// with barriers, as Vulkan requires. Overlapping writes cannot affect memory outside the
    /// allocation.
    ///
    /// Cost: three driver calls (create, requirements, bind) and one lock; no memory.
    ///
    /// # Errors
    /// The memory does not suit the buffer; otherwise as for
    /// [`create_buffer`](Self::create_buffer). Nothing is left behind.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # use std::sync::Arc;
    /// # let fake = FakeDriver::new(&Default::default());
    /// # fake.set_aliasing(true);
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// let usage = vk::BufferUsageFlags::STORAGE_BUFFER;
    /// let (shadows, blur) = (BufferDesc::new(1000, usage), BufferDesc::new(5000, usage));
    /// let needs = [allocator.buffer_requirements(&shadows)?, allocator.buffer_requirements(&blur)?];
    /// let needs = aliasing_requirements(&needs).expect("buffers share their memory types");
    /// let memory = AllocationDesc::device_local();
    /// let memory = Arc::new(allocator.allocate(&needs, ResourceKind::Linear, &memory)?);
    /// let shadows = allocator.create_aliasing_buffer(&memory, 0, &shadows)?;
    /// let blur = allocator.create_aliasing_buffer(&memory, 0, &blur)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_aliasing_buffer(
        &self,
        memory: &Arc<Allocation>,
        offset: u64,
        desc: &BufferDesc,
    ) -> Result<AliasingBuffer, AliasError> {
        let inner = self.inner();
        desc.check(&inner.vulkan).map_err(CreateError::from)?;
        inner.check_open().map_err(CreateError::from)?;
        // SAFETY: the device contract; the description was checked.
        let made = unsafe { inner.vulkan.create_buffer(&desc.info()) };
        let handle = made.map_err(CreateError::Create)?;
        let target = Target::buffer(handle, desc.usage);
        Ok(AliasingBuffer { handle, ended: inner.alias(target, memory, offset)? })
    }

    /// Creates an image at an offset in memory that it may share with other resources: see
    /// [`create_aliasing_buffer`](Self::create_aliasing_buffer). When the image takes over the
    /// memory from another resource, its layout is undefined.
    ///
    /// Cost: as for `create_aliasing_buffer`, plus one query.
    ///
    /// # Errors
    /// As for `create_aliasing_buffer`.
    pub fn create_aliasing_image(
        &self,
        memory: &Arc<Allocation>,
        offset: u64,
        desc: &ImageDesc,
    ) -> Result<AliasingImage, AliasError> {
        let inner = self.inner();
        inner.check_image(desc)?;
        let info = desc.info().flags(vk::ImageCreateFlags::ALIAS);
        // SAFETY: the device contract; the description was checked, and the driver has such images.
        let made = unsafe { inner.vulkan.create_image(&info) };
        let handle = made.map_err(CreateError::Create)?;
        let target = Target::image(handle, info.usage, info.tiling);
        let ended = inner.alias(target, memory, offset)?;
        Ok(AliasingImage { handle, form: Form::of(&info), ended })
    }
}

impl Inner {
    #[track_caller]
    pub(super) fn allocate_many(
        self: &Arc<Self>,
        requirements: &[vk::MemoryRequirements],
        kind: ResourceKind,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Vec<Allocation>, AllocateError> {
        let mut made = Vec::with_capacity(requirements.len());
        for one in requirements {
            match self.allocate_plain(one, kind, memory, place) {
                Ok(allocation) => made.push(allocation),
                Err(error) => {
                    for allocation in made {
                        // SAFETY: the allocation was never handed out.
                        unsafe { allocation.free_now() };
                    }
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// Returns the requirements of a resource that was created only for this query, and destroys
    /// it.
    pub(super) fn ask_and_destroy(&self, target: Target) -> Requirements {
        let requirements = self.needs(target);
        // SAFETY: the device contract; the resource was never used.
        unsafe { self.vulkan.destroy_resource(target.resource) };
        requirements
    }

    /// Binds a new resource to memory that it may share. On failure, destroys it.
    fn alias(
        self: &Arc<Self>,
        target: Target,
        memory: &Arc<Allocation>,
        offset: u64,
    ) -> Result<Ended, AliasError> {
        let resource = target.resource;
        let bound = self.fits_alias(target, memory, offset).and_then(|()| {
            // SAFETY: the device contract; the place satisfies the requirements.
            let done =
                unsafe { self.vulkan.bind(resource, memory.memory(), memory.offset() + offset) };
            done.map_err(|error| CreateError::Bind(error).into())
        });
        let object = match resource {
            Resource::Buffer(buffer) => Object::Buffer(buffer),
            Resource::Image(image) => Object::Image(image),
            Resource::None => unreachable!("an aliasing resource was just made"),
        };
        let known = bound.and_then(|()| {
            let index = self.objects.insert(object, vk::Image::null());
            index.ok_or(CreateError::Allocate(AllocateError::OutOfHostMemory).into())
        });
        match known {
            Ok(index) => Ok(Ended { inner: Arc::clone(self), index, memory: Arc::clone(memory) }),
            Err(error) => {
                // SAFETY: the device contract; the resource was never used.
                unsafe { self.vulkan.destroy_resource(resource) };
                Err(error)
            }
        }
    }

    fn fits_alias(
        &self,
        target: Target,
        memory: &Allocation,
        offset: u64,
    ) -> Result<(), AliasError> {
        if memory.home.id != self.id {
            return Err(AliasError::Foreign);
        }
        if memory.is_exclusive() {
            return Err(AliasError::Exclusive);
        }
        let needs = self.needs(target);
        if needs.dedicate == Dedicate::Require {
            return Err(AliasError::NeedsDedicated);
        }
        let needs = needs.memory;
        if needs.memory_type_bits >> memory.memory_type() & 1 == 0 {
            let (memory_type, type_bits) = (memory.memory_type(), needs.memory_type_bits);
            return Err(AliasError::MemoryType { memory_type, type_bits });
        }
        // An optimally tiled image occupies whole granularity pages, in the allocation as in a
        // block.
        let granularity = self.vulkan.properties().buffer_image_granularity;
        let size = memory.size();
        let (needed, alignment) = placed(target.kind, needs.size, needs.alignment, granularity)
            .ok_or(AliasError::OutOfRange { offset, needed: needs.size, size })?;
        if (memory.offset() + offset.min(size)) % alignment != 0 {
            return Err(AliasError::Misaligned { offset, alignment });
        }
        match offset.checked_add(needed) {
            Some(end) if end <= size => Ok(()),
            _ => Err(AliasError::OutOfRange { offset, needed, size }),
        }
    }
}
