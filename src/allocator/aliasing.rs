//! Many allocations at once, and many resources on one.

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

/// A buffer on memory that it shares. Dropping it is safe at any time; the memory goes with the
/// last who shares it.
#[must_use = "dropping a buffer retires it at once"]
pub struct AliasingBuffer {
    handle: vk::Buffer,
    ended: Ended,
}

/// An image on memory that it shares: see [`AliasingBuffer`]. Views of it:
/// [`Allocator::create_aliasing_image_view`].
#[must_use = "dropping an image retires it at once"]
pub struct AliasingImage {
    handle: vk::Image,
    form: Form,
    ended: Ended,
}

/// Retires the object, and then lets go of the memory: so the object is destroyed no later, unless the memory ends at
/// points of its own. Then it lies over another's until it is destroyed, unused, as Vulkan allows.
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
            /// The Vulkan handle. It is destroyed with this one's end.
            pub fn handle(&self) -> $handle {
                self.handle
            }

            /// The memory that it shares.
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

/// What memory must have to hold any of several resources, one at a time: the largest size and
/// alignment, and the memory types of all. `None` for no resource, or if no type is left.
///
/// For resources that live at the same time, place them at offsets of your own.
pub fn aliasing_requirements(all: &[vk::MemoryRequirements]) -> Option<vk::MemoryRequirements> {
    let merged = all.iter().copied().reduce(|a, b| vk::MemoryRequirements {
        size: a.size.max(b.size),
        alignment: a.alignment.max(b.alignment),
        memory_type_bits: a.memory_type_bits & b.memory_type_bits,
    });
    merged.filter(|merged| merged.memory_type_bits != 0)
}

impl Allocator {
    /// What a buffer needs of memory. Cost: creates and destroys one.
    ///
    /// # Errors
    /// A description that is not valid, a driver that refuses.
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

    /// What an image needs of memory. Cost: creates and destroys one.
    ///
    /// # Errors
    /// A description that is not valid, a driver that refuses.
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

    /// Creates a buffer at an offset of memory that it may share with other resources.
    ///
    /// What one resource holds is gone once another is written to; order their uses by barriers,
    /// as Vulkan asks. Writing over each other is no danger to anyone else's memory.
    ///
    /// Cost: three driver calls (create, requirements, bind) and one lock; no memory.
    ///
    /// # Errors
    /// What the memory does not fit; as [`create_buffer`](Self::create_buffer). Nothing is left
    /// behind.
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

    /// Creates an image at an offset of memory that it may share with other resources: see
    /// [`create_aliasing_buffer`](Self::create_aliasing_buffer). An image that comes after another
    /// resource begins in an undefined layout.
    ///
    /// Cost: as there, and one query more.
    ///
    /// # Errors
    /// As there.
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
                        // SAFETY: nobody has seen it.
                        unsafe { allocation.free_now() };
                    }
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// What a resource needs that was made for the question.
    pub(super) fn ask_and_destroy(&self, target: Target) -> Requirements {
        let requirements = self.needs(target);
        // SAFETY: the device contract; the resource was never used.
        unsafe { self.vulkan.destroy_resource(target.resource) };
        requirements
    }

    /// Binds a new resource to memory that it shares. It is destroyed if that cannot be.
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
        // An optimal image keeps its pages to itself, within the allocation as within a block.
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
