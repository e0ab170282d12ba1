//! Device memory: heaps and limits, mapping, and the two views of memory that is not coherent.

use ash::vk;

use super::bytes::Bytes;
use super::call::Call;
use super::external::{Held, Sharing, take};
use super::object::{Object, Range, Submission};
use super::profile::Profile;
use super::resource::ResourceId;
use super::segments::Segments;
use super::slab::Slab;
use super::state::State;
use super::track::{Busy, Kind, tracked};
use super::violation::Violation;

pub(super) struct Memory {
    pub(super) size: u64,
    pub(super) memory_type: u32,
    heap: u32,
    flags: vk::MemoryPropertyFlags,
    /// The device address of byte 0; `None` without `DEVICE_ADDRESS`.
    pub(super) address: Option<u64>,
    /// The only resource that may be bound, if the memory is dedicated.
    pub(super) dedicated: Option<ResourceId>,
    /// The start and the end of the mapping.
    mapped: Option<(u64, u64)>,
    /// What the GPU sees. For coherent memory the host sees the same.
    device: Option<Bytes>,
    /// What the host sees of memory that is not coherent.
    host: Option<Bytes>,
    /// The live resources: optimal images, then linear ones and buffers.
    pub(super) bound: [Segments<ResourceId>; 2],
    /// Whether resources have ever overlapped here.
    pub(super) aliased: bool,
    /// The pending uses of plain ranges.
    pub(super) ranges: Segments<RangeUse>,
    pub(super) busy: Busy,
    pub(super) priority: Option<f32>,
    /// The initial value of each byte.
    fresh: u8,
    /// The handle types with which it is shared, and those as which it can be exported.
    pub(super) shared_as: [vk::ExternalMemoryHandleTypeFlags; 2],
    /// An imported descriptor, which is closed with the memory.
    _held: Option<Held>,
}

tracked!(Memory);

/// A pending use of a plain range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RangeUse {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) owner: Option<u64>,
    pub(super) submission: Submission,
}

impl RangeUse {
    /// Whether both are uses of the same thing: of one named owner, or of exactly the same range.
    pub(super) fn same_owner(&self, other: &RangeUse) -> bool {
        self.owner == other.owner
            && (self.owner.is_some() || (self.start, self.end) == (other.start, other.end))
    }
}

impl Kind for vk::DeviceMemory {
    type Value = Memory;
    const DESTROY: Call = Call::FreeMemory;

    fn slab(state: &mut State) -> &mut Slab<Self, Memory> {
        &mut state.memories
    }

    fn removed(state: &mut State, _handle: Self, memory: Memory) {
        if let Some(used) = state.heap_used.get_mut(memory.heap as usize) {
            *used = used.saturating_sub(memory.size);
        }
    }
}

/// The relevant parts of a `VkMemoryAllocateInfo` and its chain.
pub(super) struct AllocateArguments {
    pub(super) size: u64,
    pub(super) memory_type: u32,
    pub(super) device_address: bool,
    pub(super) dedicated: [Option<ResourceId>; 2],
    pub(super) priority: Option<f32>,
    pub(super) sharing: Sharing,
}

impl State {
    pub(super) fn allocate_memory(
        &mut self,
        arguments: &AllocateArguments,
    ) -> Result<vk::DeviceMemory, vk::Result> {
        let &AllocateArguments { size, memory_type, .. } = arguments;
        let Some(&(heap, flags)) = self.profile.types.get(memory_type as usize) else {
            self.report(Violation::NoSuchType { memory_type });
            return Err(vk::Result::ERROR_VALIDATION_FAILED_EXT);
        };
        if size == 0 {
            self.report(Violation::ZeroSize { call: Call::AllocateMemory });
            return Err(vk::Result::ERROR_VALIDATION_FAILED_EXT);
        }
        let forbidden = flags & self.profile.forbidden_types();
        if !forbidden.is_empty() {
            self.report(Violation::ForbiddenType { memory_type, flags: forbidden });
        }
        if let Some(priority) = arguments.priority {
            self.check_priority(Call::AllocateMemory, priority);
        }
        if arguments.device_address {
            self.need_device_address(Call::AllocateMemory);
        }
        let heap_size = self.profile.heap_size(heap);
        if size > heap_size {
            self.report(Violation::LargerThanHeap { heap, size });
            return Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY);
        }
        let dedicated = self.dedicated(arguments);
        self.check_sharing(arguments.sharing, size, memory_type)?;
        let limit = self.profile.max_allocation_count as usize;
        if limit != 0 && self.memories.len() >= limit {
            return Err(vk::Result::ERROR_TOO_MANY_OBJECTS);
        }
        let used = self.heap_used.get(heap as usize).copied().unwrap_or(0);
        if size > self.profile.max_allocation_size || size > heap_size.saturating_sub(used) {
            return Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY);
        }
        let address = self.next_address;
        self.next_address = address.saturating_add(size.div_ceil(1 << 16).saturating_mul(1 << 16));
        let memory = self.create::<vk::DeviceMemory>(Memory {
            size,
            memory_type,
            heap,
            flags,
            address: arguments.device_address.then_some(address),
            dedicated,
            mapped: None,
            device: match arguments.sharing {
                Sharing::Host { address } => Bytes::of_host(address, size),
                _ => None,
            },
            host: None,
            bound: Default::default(),
            aliased: false,
            ranges: Segments::default(),
            busy: Busy::default(),
            priority: arguments.priority,
            fresh: self.profile.fresh_byte,
            shared_as: [arguments.sharing.kinds(), arguments.sharing.exported()],
            _held: None,
        })?;
        if let (Sharing::Fd { fd, .. }, Some(made)) =
            (arguments.sharing, self.memories.get_mut(memory))
        {
            made._held = Some(take(fd));
        }
        if let Some(used) = self.heap_used.get_mut(heap as usize) {
            *used = used.saturating_add(size);
            if let Some(peak) = self.heap_peak.get_mut(heap as usize) {
                *peak = (*peak).max(*used);
            }
        }
        Ok(memory)
    }

    pub(super) fn set_priority(&mut self, memory: vk::DeviceMemory, priority: f32) {
        let call = Call::SetDeviceMemoryPriority;
        self.check_priority(call, priority);
        if let Some(found) = self.find(call, memory) {
            found.priority = Some(priority);
        }
    }

    fn check_priority(&mut self, call: Call, priority: f32) {
        if !(0.0..=1.0).contains(&priority) {
            self.report(Violation::Priority { call });
        }
    }

    /// The resource to which the allocation is dedicated, checked.
    fn dedicated(&mut self, arguments: &AllocateArguments) -> Option<ResourceId> {
        let mut named = arguments.dedicated.iter().flatten();
        let (first, second) = (named.next().copied(), named.next().copied());
        let id = first?;
        let Some(needed) = self.resource(id).map(|resource| resource.requirements.size) else {
            self.report(Violation::Unknown { call: Call::AllocateMemory, object: id.object() });
            return None;
        };
        if needed != arguments.size || second.is_some() {
            let (resource, size) = (id.object(), arguments.size);
            self.report(Violation::DedicatedMismatch { resource, size, needed });
        }
        Some(id)
    }

    /// Maps a range and returns the host's address of its first byte.
    pub(super) fn map_memory(
        &mut self,
        memory: vk::DeviceMemory,
        offset: u64,
        size: u64,
    ) -> Result<*mut u8, vk::Result> {
        let failed = vk::Result::ERROR_MEMORY_MAP_FAILED;
        let call = Call::MapMemory;
        let found = self.find(call, memory).ok_or(failed)?;
        let end = if size == vk::WHOLE_SIZE { found.size } else { offset.saturating_add(size) };
        let object = Object::of(memory);
        let violation = if !found.flags.contains(vk::MemoryPropertyFlags::HOST_VISIBLE) {
            Violation::MapNotVisible { memory: object }
        } else if found.mapped.is_some() {
            Violation::MapTwice { memory: object }
        } else if offset >= end || end > found.size {
            Violation::MapOutOfRange { call, range: Range { memory, offset, size } }
        } else {
            let address = found.host_view().ok_or(failed)?.at(offset);
            found.mapped = Some((offset, end));
            return Ok(address);
        };
        self.report(violation);
        Err(failed)
    }

    pub(super) fn unmap_memory(&mut self, memory: vk::DeviceMemory) {
        let call = Call::UnmapMemory;
        if let Some(found) = self.find(call, memory) {
            if found.mapped.take().is_none() {
                self.report(Violation::NotMapped { call, memory: Object::of(memory) });
            }
        }
    }

    /// Flushes (host to device) or invalidates (device to host) a range.
    pub(super) fn transfer(
        &mut self,
        call: Call,
        memory: vk::DeviceMemory,
        offset: u64,
        size: u64,
    ) -> vk::Result {
        let atom = self.profile.flush_atom();
        let Some(found) = self.find(call, memory) else {
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        };
        let range = Range { memory, offset, size };
        let Some((map_start, map_end)) = found.mapped else {
            self.report(Violation::NotMapped { call, memory: Object::of(memory) });
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        };
        let end = if size == vk::WHOLE_SIZE { map_end } else { offset.saturating_add(size) };
        if offset < map_start || offset >= end || end > map_end {
            self.report(Violation::MapOutOfRange { call, range });
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        }
        let whole = |at: u64| at % atom == 0;
        let aligned = whole(offset) && (whole(end) || end == found.size);
        found.copy_views(call == Call::FlushMappedMemoryRanges, offset, end - offset);
        if !aligned {
            self.report(Violation::FlushMisaligned { call, range, atom });
        }
        vk::Result::SUCCESS
    }

    /// Writes as the GPU. Returns false if the bytes are not inside a live memory.
    pub(super) fn gpu_write(&mut self, memory: vk::DeviceMemory, at: u64, bytes: &[u8]) -> bool {
        let Some(found) = self.memories.get_mut(memory) else { return false };
        let fits = found.holds(at, bytes.len());
        let view = found.device_view().filter(|_| fits);
        view.map(|view| view.write(at, bytes)).is_some()
    }

    /// Reads as the GPU. Returns false if the bytes are not inside a live memory.
    pub(super) fn gpu_read(&mut self, memory: vk::DeviceMemory, at: u64, out: &mut [u8]) -> bool {
        let Some(found) = self.memories.get_mut(memory) else { return false };
        let fits = found.holds(at, out.len());
        let view = found.device_view().filter(|_| fits);
        view.map(|view| view.read(at, out)).is_some()
    }
}

impl Memory {
    fn holds(&self, offset: u64, len: usize) -> bool {
        offset.checked_add(len as u64).is_some_and(|end| end <= self.size)
    }

    fn device_view(&mut self) -> Option<&mut Bytes> {
        view(&mut self.device, self.size, self.fresh)
    }

    fn host_view(&mut self) -> Option<&mut Bytes> {
        if Profile::is_non_coherent(self.flags) {
            view(&mut self.host, self.size, self.fresh)
        } else {
            view(&mut self.device, self.size, self.fresh)
        }
    }

    fn copy_views(&mut self, to_device: bool, offset: u64, size: u64) {
        if !Profile::is_non_coherent(self.flags) {
            return;
        }
        if let (Some(device), Some(host)) = (
            view(&mut self.device, self.size, self.fresh),
            view(&mut self.host, self.size, self.fresh),
        ) {
            let (target, source) = if to_device { (device, host) } else { (host, device) };
            target.copy_from(source, offset, size);
        }
    }
}

/// The bytes, which are created on first use.
fn view(slot: &mut Option<Bytes>, size: u64, fresh: u8) -> Option<&mut Bytes> {
    if slot.is_none() {
        *slot = Bytes::new(size, fresh);
    }
    slot.as_mut()
}
