//! Creating a resource: create the object, query its requirements, find memory, bind. On failure
//! nothing is left behind.

use std::{panic::Location, sync::Arc, time::Duration};

use ash::vk;

use super::{
    allocation::Allocation,
    desc::AllocationDesc,
    error::{AllocateError, CreateError, DescError},
    inner::{Inner, Life},
    place::Place,
    request::{Request, Target},
    resource::{Buffer, Image},
    resource_desc::{BufferDesc, ImageDesc},
};
use crate::{
    guard::GuardPolicy,
    memory::Grant,
    vulkan::{Requirements, Resource, is_linear},
};

impl Inner {
    pub(super) fn check_open(&self) -> Result<(), AllocateError> {
        match self.life() {
            Life::ShutDown => Err(AllocateError::ShutDown),
            _ if self.is_lost() => Err(AllocateError::DeviceLost),
            _ => Ok(()),
        }
    }

    /// Validates a description, and asks the driver whether it supports such images.
    pub(super) fn check_image(&self, desc: &ImageDesc) -> Result<(), CreateError> {
        desc.check(&self.vulkan)?;
        self.check_open()?;
        // SAFETY: the device contract.
        match unsafe { self.vulkan.image_format_properties(&desc.info()) } {
            Ok(limits) if desc.fits(&limits) => Ok(()),
            Ok(_) | Err(vk::Result::ERROR_FORMAT_NOT_SUPPORTED) => {
                Err(DescError::Unsupported.into())
            }
            Err(error) => Err(CreateError::Create(error)),
        }
    }

    /// Creates a buffer from a description, after validating it.
    #[track_caller]
    pub(super) fn create_described_buffer(
        self: &Arc<Self>,
        desc: &BufferDesc,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Buffer, CreateError> {
        desc.check(&self.vulkan)?;
        // SAFETY: the description was checked: no pointers, known usages, features on.
        unsafe { self.create_buffer(&desc.info(), memory, place) }
    }

    /// # Safety
    /// The create-info is valid for this device.
    #[track_caller]
    pub(super) unsafe fn create_buffer(
        self: &Arc<Self>,
        info: &vk::BufferCreateInfo<'_>,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Buffer, CreateError> {
        self.check_open()?;
        // SAFETY: the caller's promise.
        let handle = unsafe { self.vulkan.create_buffer(info) }.map_err(CreateError::Create)?;
        let target = Target::buffer(handle, info.usage);
        Ok(Buffer::new(self.allocate_and_bind(target, memory, place)?, handle, info))
    }

    /// # Safety
    /// The create-info is valid for this device; the image is not sparse.
    #[track_caller]
    pub(super) unsafe fn create_image(
        self: &Arc<Self>,
        info: &vk::ImageCreateInfo<'_>,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Image, CreateError> {
        self.check_open()?;
        // SAFETY: the caller's promise.
        let handle = unsafe { self.vulkan.create_image(info) }.map_err(CreateError::Create)?;
        // SAFETY: the caller's promise.
        let tiling = match unsafe { is_linear(info) } {
            true => vk::ImageTiling::LINEAR,
            false => vk::ImageTiling::OPTIMAL,
        };
        let target = Target::image(handle, info.usage, tiling);
        let allocation = match info.flags.contains(vk::ImageCreateFlags::DISJOINT) {
            true => self.allocate_and_bind_planes(handle, target, info, memory, place)?,
            false => self.allocate_and_bind(target, memory, place)?,
        };
        Ok(Image::new(allocation, handle, info))
    }

    /// Binds one range to all planes of a new disjoint image. If there is no memory, destroys the
    /// image.
    #[track_caller]
    fn allocate_and_bind_planes(
        self: &Arc<Self>,
        image: vk::Image,
        target: Target,
        info: &vk::ImageCreateInfo<'_>,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Allocation, CreateError> {
        // SAFETY: the device contract; the image is new and of this create-info.
        let planes = unsafe { self.vulkan.planes(image, info) };
        let granted = planes.ok_or(DescError::Unsupported.into()).and_then(|(planes, needs)| {
            Ok((planes, self.grant(&needs, target.disjoint(), memory, place)?))
        });
        let (planes, grant) = granted.inspect_err(|_: &CreateError| {
            // SAFETY: the device contract; the image was never used.
            unsafe { self.vulkan.destroy_resource(target.resource) };
        })?;
        self.bind_by(&grant, |memory, offset| {
            // SAFETY: the device contract; the range satisfies the requirements of all planes.
            unsafe { self.vulkan.bind_planes(image, &planes, memory, offset) }
        })
    }

    /// Allocates memory for a new resource. If there is no memory, destroys the resource.
    #[track_caller]
    fn allocate_and_bind(
        self: &Arc<Self>,
        target: Target,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Allocation, CreateError> {
        let resource = target.resource;
        let requirements = self.needs(target);
        let grant = self.grant(&requirements, target, memory, place).inspect_err(|_| {
            // SAFETY: the device contract; the resource was never used.
            unsafe { self.vulkan.destroy_resource(resource) };
        })?;
        self.bind_new(resource, &grant)
    }

    /// The memory requirements of a live resource: those of the driver, with the address alignment
    /// that its usage requires.
    pub(super) fn needs(&self, target: Target) -> Requirements {
        // SAFETY: the device contract; the resource lives.
        let mut needs = unsafe { self.vulkan.requirements(target.resource) };
        if let Resource::Buffer(_) = target.resource {
            let addresses = self.vulkan.properties().addresses;
            needs.memory.alignment = needs.memory.alignment.max(addresses.alignment(target.usage));
        }
        needs
    }

    /// Binds a new resource to the range that was granted for it. On failure, ends both.
    pub(super) fn bind_new(
        self: &Arc<Self>,
        resource: Resource,
        grant: &Grant,
    ) -> Result<Allocation, CreateError> {
        self.bind_by(grant, |memory, offset| {
            // SAFETY: the device contract; the range satisfies the requirements.
            unsafe { self.vulkan.bind(resource, memory, offset) }
        })
    }

    /// Like [`bind_new`](Self::bind_new), with the given driver call.
    fn bind_by(
        self: &Arc<Self>,
        grant: &Grant,
        bind: impl FnOnce(vk::DeviceMemory, u64) -> Result<(), vk::Result>,
    ) -> Result<Allocation, CreateError> {
        // From here on this handle owns the range and the resource.
        let allocation = Allocation::new(grant);
        match bind(grant.memory, grant.offset) {
            Ok(()) => Ok(allocation),
            Err(error) => {
                // SAFETY: nothing was recorded with the resource or the range.
                unsafe { allocation.free_now() };
                Err(CreateError::Bind(error))
            }
        }
    }

    /// The guard policy of allocations in this place.
    fn guards_at(&self, place: Place<'_>) -> GuardPolicy {
        match place {
            Place::Arena(arena) | Place::Others(_, Some(arena)) => arena.guards,
            Place::Types | Place::Ordered(_) | Place::Others(_, None) => self.guards.policy,
        }
    }

    /// The request for a place.
    pub(super) fn request(
        &self,
        requirements: &Requirements,
        target: Target,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Request {
        let mut request = Request::new(requirements, target, memory);
        request.margin = self.guards.margin(self.guards_at(place));
        if let Place::Arena(arena) | Place::Others(_, Some(arena)) = place {
            request.align(arena.min_alignment);
        }
        request
    }

    #[inline(never)]
    #[track_caller]
    pub(super) fn grant(
        &self,
        requirements: &Requirements,
        target: Target,
        memory: &AllocationDesc,
        place: Place<'_>,
    ) -> Result<Grant, AllocateError> {
        let guards = self.guards_at(place);
        let request = self.request(requirements, target, memory, place);
        let ask = || match place {
            Place::Types => self.allocate(&request),
            Place::Arena(arena) => self.allocate_in_arena(arena, &request),
            Place::Ordered(order) => self.allocate_ordered(order, &request),
            Place::Others(lane, _) => self.allocate_in_others(lane, &request),
        };
        let (lane, grant) = self.persist(&request, memory.patience, ask)?;
        if guards.is_on() {
            self.guard_hand_out(lane, grant.entry)?;
        }
        if self.observed {
            let caller = Location::caller();
            let origin = if let Place::Ordered(order) = place { order.origin } else { caller };
            self.observe_grant(lane, grant.entry, (grant.offset, grant.size), memory.name, origin);
        }
        Ok(grant)
    }
    /// Makes a request, and repeats it after a failure as long as the patience lasts, and once more
    /// if memory that guards held back has come free.
    #[inline(always)]
    pub(super) fn persist<T>(
        &self,
        request: &Request,
        patience: Duration,
        ask: impl Fn() -> Result<T, AllocateError>,
    ) -> Result<T, AllocateError> {
        let granted = match ask() {
            Err(refusal) if !patience.is_zero() => self.ask_again(patience, refusal, &ask),
            done => done,
        };
        match granted {
            Err(refusal) if self.guards.scrubs() => self.ask_unlooked(request, refusal, ask),
            done => done,
        }
        .inspect_err(|&error| self.tell_pressure(request, error))
    }
}
