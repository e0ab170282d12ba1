//! Buffers, images and their views, and the rules of binding them to memory.

use ash::vk;
use smallvec::SmallVec;

use super::call::Call;
use super::object::{Object, Range};
use super::requirements::{ImageShape, Requirements};
use super::slab::Slab;
use super::state::State;
use super::track::{Busy, Kind, tracked};
use super::violation::Violation;

/// A buffer or an image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ResourceId {
    Buffer(vk::Buffer),
    Image(vk::Image),
}

impl ResourceId {
    pub(super) fn object(self) -> Object {
        match self {
            ResourceId::Buffer(buffer) => Object::of(buffer),
            ResourceId::Image(image) => Object::of(image),
        }
    }
}

pub(super) struct Resource {
    /// The size that a buffer was created with.
    pub(super) size: u64,
    pub(super) requirements: Requirements,
    /// The requirements of each plane, for a disjoint image.
    pub(super) plane: Option<Requirements>,
    /// Whether this is a buffer or a linear image, for `bufferImageGranularity`.
    pub(super) linear: bool,
    wants_address: bool,
    pub(super) bound: Option<(vk::DeviceMemory, u64)>,
    /// Whether it overlaps others on purpose. What is touched through it is known word by word.
    pub(super) overlay: bool,
    /// The handle types with which it was declared.
    pub(super) external: vk::ExternalMemoryHandleTypeFlags,
    pub(super) busy: Busy,
}

/// A view of a resource.
pub(super) struct View<R> {
    pub(super) of: R,
    pub(super) busy: Busy,
}

tracked!(Resource, View<vk::Buffer>, View<vk::Image>);

impl Kind for vk::Buffer {
    type Value = Resource;
    const DESTROY: Call = Call::DestroyBuffer;

    fn slab(state: &mut State) -> &mut Slab<Self, Resource> {
        &mut state.buffers
    }

    fn removed(state: &mut State, handle: Self, resource: Resource) {
        state.unbind(ResourceId::Buffer(handle), &resource);
    }
}

impl Kind for vk::Image {
    type Value = Resource;
    const DESTROY: Call = Call::DestroyImage;

    fn slab(state: &mut State) -> &mut Slab<Self, Resource> {
        &mut state.images
    }

    fn removed(state: &mut State, handle: Self, resource: Resource) {
        state.unbind(ResourceId::Image(handle), &resource);
    }
}

impl State {
    pub(super) fn create_buffer(
        &mut self,
        info: &vk::BufferCreateInfo<'_>,
    ) -> Result<vk::Buffer, vk::Result> {
        if info.size == 0 {
            self.report(Violation::ZeroSize { call: Call::CreateBuffer });
            return Err(vk::Result::ERROR_VALIDATION_FAILED_EXT);
        }
        let limit = self.profile.max_buffer_size;
        if info.size > limit && self.profile.api_version >= vk::API_VERSION_1_3 {
            self.report(Violation::BufferTooLarge { size: info.size, limit });
        }
        let wants_address = info.usage.contains(vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS);
        if wants_address {
            self.need_device_address(Call::CreateBuffer);
        }
        self.create(Resource {
            size: info.size,
            requirements: self.profile.buffer_requirements(info.size, info.flags),
            plane: None,
            linear: true,
            wants_address,
            bound: None,
            overlay: false,
            external: vk::ExternalMemoryHandleTypeFlags::empty(),
            busy: Busy::default(),
        })
    }

    /// Checks the queue families that share a new resource.
    pub(super) fn judge_families(
        &mut self,
        call: Call,
        sharing: vk::SharingMode,
        families: &[u32],
    ) {
        let count = self.profile.queue_families.len() as u32;
        let repeated = (1..families.len()).any(|i| families[..i].contains(&families[i]));
        let unknown = families.iter().any(|&family| family >= count);
        if sharing == vk::SharingMode::CONCURRENT && (families.len() < 2 || repeated || unknown) {
            self.report(Violation::QueueFamilies { call });
        }
    }

    pub(super) fn create_image(&mut self, shape: &ImageShape) -> Result<vk::Image, vk::Result> {
        let vk::Extent3D { width, height, depth } = shape.extent;
        if width == 0 || height == 0 || depth == 0 || shape.levels == 0 || shape.layers == 0 {
            self.report(Violation::ZeroSize { call: Call::CreateImage });
            return Err(vk::Result::ERROR_VALIDATION_FAILED_EXT);
        }
        self.create(Resource {
            size: 0,
            requirements: self.profile.image_requirements(shape),
            plane: self.profile.plane_requirements(shape),
            linear: shape.tiling == vk::ImageTiling::LINEAR,
            wants_address: false,
            bound: None,
            overlay: false,
            external: vk::ExternalMemoryHandleTypeFlags::empty(),
            busy: Busy::default(),
        })
    }

    pub(super) fn create_buffer_view(
        &mut self,
        of: vk::Buffer,
    ) -> Result<vk::BufferView, vk::Result> {
        self.find(Call::CreateBufferView, of).ok_or(vk::Result::ERROR_VALIDATION_FAILED_EXT)?;
        self.create(View { of, busy: Busy::default() })
    }

    pub(super) fn create_image_view(&mut self, of: vk::Image) -> Result<vk::ImageView, vk::Result> {
        self.find(Call::CreateImageView, of).ok_or(vk::Result::ERROR_VALIDATION_FAILED_EXT)?;
        self.create(View { of, busy: Busy::default() })
    }

    pub(super) fn resource(&self, id: ResourceId) -> Option<&Resource> {
        match id {
            ResourceId::Buffer(buffer) => self.buffers.get(buffer),
            ResourceId::Image(image) => self.images.get(image),
        }
    }

    pub(super) fn resource_mut(&mut self, id: ResourceId) -> Option<&mut Resource> {
        match id {
            ResourceId::Buffer(buffer) => self.buffers.get_mut(buffer),
            ResourceId::Image(image) => self.images.get_mut(image),
        }
    }

    pub(super) fn requirements(&mut self, call: Call, id: ResourceId) -> Requirements {
        match self.resource(id) {
            Some(resource) => resource.requirements,
            None => {
                self.report(Violation::Unknown { call, object: id.object() });
                Requirements::default()
            }
        }
    }

    /// Reports a violation if the feature is off.
    pub(super) fn need_device_address(&mut self, call: Call) {
        if !self.profile.device_address {
            self.report(Violation::NotEnabled { call, feature: "bufferDeviceAddress" });
        }
    }

    /// The address of a buffer. If it has none, returns 0 and reports a violation.
    pub(super) fn buffer_address(&mut self, buffer: vk::Buffer) -> u64 {
        let Some(found) = self.find(Call::GetBufferDeviceAddress, buffer) else { return 0 };
        let (wanted, bound) = (found.wants_address, found.bound);
        let address = bound.filter(|_| wanted).and_then(|(memory, offset)| {
            Some(self.memories.get(memory)?.address?.saturating_add(offset))
        });
        if address.is_none() {
            self.report(Violation::NoAddress { buffer: Object::of(buffer) });
        }
        address.unwrap_or(0)
    }

    /// Binds a resource. Every broken rule is reported. If possible the resource is bound
    /// nevertheless, so that the consequences are visible too.
    pub(super) fn bind(
        &mut self,
        call: Call,
        id: ResourceId,
        memory: vk::DeviceMemory,
        offset: u64,
    ) -> vk::Result {
        match self.resource(id) {
            Some(Resource { plane: Some(_), .. }) => {
                self.report(Violation::Planes { call, image: id.object() });
                vk::Result::ERROR_VALIDATION_FAILED_EXT
            }
            _ => self.bind_whole(call, id, memory, offset),
        }
    }

    /// As [`bind`](Self::bind), also for a disjoint image.
    pub(super) fn bind_whole(
        &mut self,
        call: Call,
        id: ResourceId,
        memory: vk::DeviceMemory,
        offset: u64,
    ) -> vk::Result {
        let object = id.object();
        let Some(resource) = self.resource(id) else {
            self.report(Violation::Unknown { call, object });
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        };
        if resource.bound.is_some() {
            self.report(Violation::BindTwice { resource: object });
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        }
        if self.memories.get(memory).is_none() {
            self.report(Violation::Unknown { call, object: Object::of(memory) });
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        }
        let size = resource.requirements.size;
        let place = Place { id, range: Range { memory, offset, size }, linear: resource.linear };
        let mut broken = self.broken_fit(&place);
        let aliased = self.neighbours(&place, &mut broken);
        for violation in broken {
            self.report(violation);
        }
        if let Some(found) = self.memories.get_mut(memory) {
            found.aliased |= aliased;
            if let Some(bound) = found.bound.get_mut(usize::from(place.linear)) {
                bound.insert(offset, offset.saturating_add(size), id);
            }
        }
        if let Some(resource) = self.resource_mut(id) {
            resource.bound = Some((memory, offset));
        }
        vk::Result::SUCCESS
    }

    /// The rules between the resource and the memory.
    fn broken_fit(&self, place: &Place) -> SmallVec<[Violation; 2]> {
        let mut broken = SmallVec::new();
        let (resource, range) = (place.id.object(), place.range);
        let (Some(it), Some(memory)) = (self.resource(place.id), self.memories.get(range.memory))
        else {
            return broken;
        };
        let needs = it.requirements;
        let memory_size = memory.size;
        if range.offset.checked_add(range.size).is_none_or(|end| end > memory_size) {
            broken.push(Violation::BindOutOfRange { resource, range, memory_size });
        }
        if range.offset % needs.alignment != 0 {
            let alignment = needs.alignment;
            broken.push(Violation::BindMisaligned { resource, range, alignment });
        }
        let memory_type = memory.memory_type;
        if needs.type_bits.checked_shr(memory_type).unwrap_or(0) & 1 == 0 {
            let type_bits = needs.type_bits;
            broken.push(Violation::BindWrongType { resource, memory_type, type_bits });
        }
        let dedicated_fits = match memory.dedicated {
            Some(owner) => owner == place.id && range.offset == 0,
            None => !needs.requires_dedicated,
        };
        if !dedicated_fits {
            broken.push(Violation::BindNotDedicated { resource, range });
        }
        let kinds = memory.shared_as[0];
        if !kinds.is_empty() && !it.external.intersects(kinds) {
            let memory = Object::of(range.memory);
            broken.push(Violation::BindNotExternal { resource, memory });
        }
        if !kinds.is_empty() && self.profile.external_dedicated_only && memory.dedicated.is_none() {
            broken.push(Violation::BindNotDedicated { resource, range });
        }
        if it.wants_address && memory.address.is_none() {
            let memory = Object::of(range.memory);
            broken.push(Violation::BindWithoutAddress { resource, memory });
        }
        broken
    }

    /// The rules between the resource and what is in the memory already. Also returns whether it
    /// overlaps another resource.
    fn neighbours(&self, place: &Place, broken: &mut SmallVec<[Violation; 2]>) -> bool {
        let Some(memory) = self.memories.get(place.range.memory) else { return false };
        let (resource, range) = (place.id.object(), place.range);
        let (start, end) = (range.offset, range.offset.saturating_add(range.size));
        let page = self.profile.page();
        let mut aliased = false;
        for (linear, segments) in memory.bound.iter().enumerate() {
            let other_kind = linear != usize::from(place.linear);
            let (from, to) = if other_kind && page > 1 {
                (start / page * page, end.div_ceil(page).saturating_mul(page))
            } else {
                (start, end)
            };
            for (other_start, other_end, other) in segments.overlapping(from, to) {
                let found = self.resource(other);
                // All of it, because a segment may end where the owners of the next one begin.
                let whole = found.and_then(|found| {
                    let (_, offset) = found.bound?;
                    Some((offset, offset.saturating_add(found.requirements.size)))
                });
                let (other_start, other_end) = whole.unwrap_or((other_start, other_end));
                let overlaps = other_start < end && other_end > start;
                // Resources that share a page without sharing bytes also alias. If order is judged,
                // that check covers this case.
                let excused = self.judges_order;
                aliased |= overlaps || excused;
                let busy = found.and_then(|found| found.busy.any());
                let other = other.object();
                let violation = match (overlaps, busy) {
                    (false, _) if excused => continue,
                    (false, _) => Violation::Granularity { resource, range, other },
                    (true, _) if self.aliasing => continue,
                    (true, Some(submission)) => {
                        Violation::BindInUse { resource, range, other, submission }
                    }
                    (true, None) => Violation::BindOverlap { resource, range, other },
                };
                // The other resource may be in several segments.
                if !broken.contains(&violation) {
                    broken.push(violation);
                }
            }
        }
        if !self.aliasing {
            for (_, _, used) in memory.ranges.overlapping(start, end) {
                let (other, submission) = (Object::of(range.memory), used.submission);
                broken.push(Violation::BindInUse { resource, range, other, submission });
            }
        }
        aliased
    }

    fn unbind(&mut self, id: ResourceId, resource: &Resource) {
        let Some((memory, offset)) = resource.bound else { return };
        let Some(found) = self.memories.get_mut(memory) else { return };
        if let Some(bound) = found.bound.get_mut(usize::from(resource.linear)) {
            bound.remove(offset, offset.saturating_add(resource.requirements.size), id);
        }
    }
}

/// A resource, and the range to which it is about to be bound.
struct Place {
    id: ResourceId,
    range: Range,
    linear: bool,
}
