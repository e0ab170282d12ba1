//! The properties of a fake GPU: heaps, memory types, limits, queues and rules for sizes.

use ash::vk;

use super::topologies::{TOPOLOGIES, Topology};

const GIB: u64 = 1 << 30;

/// The description of a fake GPU. Start from [`Profile::default`] (a discrete GPU), from a recorded
/// topology ([`Profile::topology`], [`Profile::all`]), or from a given list of heaps, and then
/// change what the test needs.
///
/// ```
/// use fencepost::fake::Profile;
/// let phone = Profile::topology("Adreno (TM) 650").expect("it is one of the 158");
/// let strict = phone.max_allocation_count(16).atom(256);
/// assert_eq!(strict.name(), "Adreno (TM) 650");
/// assert_eq!(Profile::all().count(), 158);
/// ```
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) name: &'static str,
    pub(super) reports: u32,
    pub(super) api_version: u32,
    pub(super) device_type: vk::PhysicalDeviceType,
    pub(super) vendor_id: u32,
    pub(super) heaps: Vec<(u64, vk::MemoryHeapFlags)>,
    pub(super) types: Vec<(u32, vk::MemoryPropertyFlags)>,
    pub(super) granularity: u64,
    pub(super) atom: u64,
    pub(super) max_allocation_count: u32,
    pub(super) max_allocation_size: u64,
    pub(super) max_buffer_size: u64,
    pub(super) queue_families: Vec<(vk::QueueFlags, u32)>,
    pub(super) buffer_alignment: u64,
    pub(super) buffer_rounding: u64,
    pub(super) image_alignment: u64,
    pub(super) buffer_types: u32,
    pub(super) image_types: u32,
    pub(super) host_image_types: u32,
    pub(super) scratch_alignment: u32,
    pub(super) shader_group_alignment: u32,
    pub(super) descriptor_alignment: u64,
    pub(super) video_bindings: Vec<(u64, u64, u32)>,
    pub(super) prefers_dedicated: u64,
    pub(super) requires_dedicated: u64,
    pub(super) timeline_semaphores: bool,
    pub(super) device_address: bool,
    pub(super) memory_budget: bool,
    pub(super) pageable_memory: bool,
    pub(super) protected_memory: bool,
    pub(super) device_coherent_memory: bool,
    pub(super) external_memory: vk::ExternalMemoryHandleTypeFlags,
    pub(super) external_dedicated_only: bool,
    pub(super) fresh_byte: u8,
}

impl Default for Profile {
    /// A discrete GPU with Vulkan 1.3: 8 GiB of device memory, 16 GiB of host memory, and a
    /// host-visible window of 256 MiB on device memory; three queue families with 1, 2 and 1
    /// queues.
    fn default() -> Profile {
        use vk::{MemoryHeapFlags as Heap, MemoryPropertyFlags as Type, QueueFlags as Queue};
        let host = Type::HOST_VISIBLE | Type::HOST_COHERENT;
        Profile {
            name: "fencepost fake GPU",
            reports: 0,
            api_version: vk::API_VERSION_1_3,
            device_type: vk::PhysicalDeviceType::DISCRETE_GPU,
            vendor_id: 0x10005,
            heaps: vec![
                (8 * GIB, Heap::DEVICE_LOCAL),
                (16 * GIB, Heap::empty()),
                (GIB / 4, Heap::DEVICE_LOCAL),
            ],
            types: vec![
                (0, Type::DEVICE_LOCAL),
                (1, host),
                (1, host | Type::HOST_CACHED),
                (2, host | Type::DEVICE_LOCAL),
            ],
            granularity: 1024,
            atom: 64,
            max_allocation_count: 4096,
            max_allocation_size: 4 * GIB,
            max_buffer_size: u64::MAX,
            queue_families: vec![
                (Queue::GRAPHICS | Queue::COMPUTE | Queue::TRANSFER, 1),
                (Queue::COMPUTE | Queue::TRANSFER, 2),
                (Queue::TRANSFER, 1),
            ],
            buffer_alignment: 256,
            buffer_rounding: 1,
            image_alignment: 64 << 10,
            buffer_types: u32::MAX,
            image_types: u32::MAX,
            host_image_types: u32::MAX,
            scratch_alignment: 128,
            shader_group_alignment: 64,
            descriptor_alignment: 64,
            video_bindings: vec![(1 << 20, 1 << 16, !0), (100_000, 256, !0), (5000, 4096, !0)],
            prefers_dedicated: u64::MAX,
            requires_dedicated: u64::MAX,
            timeline_semaphores: true,
            device_address: true,
            memory_budget: true,
            pageable_memory: true,
            protected_memory: false,
            device_coherent_memory: false,
            external_memory: vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD
                | vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT
                | vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT,
            external_dedicated_only: false,
            fresh_byte: 0,
        }
    }
}

impl Profile {
    /// The recorded topology of a device, by its exact name on
    /// [vulkan.gpuinfo.org](https://vulkan.gpuinfo.org) (CC BY 4.0). If several topologies have the
    /// same name, this is the one with the most reports.
    pub fn topology(name: &str) -> Option<Profile> {
        TOPOLOGIES.iter().find(|t| t.name == name).map(Profile::from_topology)
    }

    /// All 158 recorded topologies, those with the most reports first. They represent 36,450
    /// reports.
    pub fn all() -> impl Iterator<Item = Profile> {
        TOPOLOGIES.iter().map(Profile::from_topology)
    }

    fn from_topology(topology: &Topology) -> Profile {
        let (granularity, atom, max_allocation_count) = topology.limits;
        let heaps: Vec<_> = topology
            .heaps
            .iter()
            .map(|(size, flags)| (*size, vk::MemoryHeapFlags::from_raw(*flags)))
            .collect();
        let types = topology
            .types
            .iter()
            .map(|(heap, flags)| (*heap, vk::MemoryPropertyFlags::from_raw(*flags)))
            .collect();
        let software = ["llvmpipe", "SwiftShader"].iter().any(|name| topology.name.contains(name));
        let unified = heaps.iter().all(|(_, f)| f.contains(vk::MemoryHeapFlags::DEVICE_LOCAL));
        let base = Profile {
            name: topology.name,
            reports: topology.reports,
            heaps,
            types,
            granularity,
            atom,
            max_allocation_count,
            ..Profile::default()
        };
        match (software, unified) {
            (true, _) => base
                .device_type(vk::PhysicalDeviceType::CPU)
                .queue_families(&[(vk::QueueFlags::from_raw(7), 1)])
                .buffer_alignment(64)
                .image_alignment(64),
            (_, true) => base
                .device_type(vk::PhysicalDeviceType::INTEGRATED_GPU)
                .buffer_alignment(64)
                .image_alignment(4096),
            _ => base,
        }
    }

    /// The device's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The number of reports on vulkan.gpuinfo.org with this topology; 0 if it is not a recorded
    /// one.
    pub fn reports(&self) -> u32 {
        self.reports
    }

    /// The number of queues of all families.
    pub fn queue_count(&self) -> u32 {
        self.queue_families.iter().map(|(_, count)| count).sum()
    }

    /// The size of a heap in bytes; 0 if it does not exist.
    pub fn heap_size(&self, heap: u32) -> u64 {
        self.heaps.get(heap as usize).map_or(0, |(size, _)| *size)
    }

    /// Whether the type is host-visible but not coherent, so that the fake maintains two views of
    /// it.
    pub(super) fn is_non_coherent(flags: vk::MemoryPropertyFlags) -> bool {
        flags.contains(vk::MemoryPropertyFlags::HOST_VISIBLE)
            && !flags.contains(vk::MemoryPropertyFlags::HOST_COHERENT)
    }

    /// Property flags that no allocation may have, because their feature is off.
    pub(super) fn forbidden_types(&self) -> vk::MemoryPropertyFlags {
        use vk::MemoryPropertyFlags as Type;
        let mut forbidden = Type::empty();
        if !self.protected_memory {
            forbidden |= Type::PROTECTED;
        }
        if !self.device_coherent_memory {
            forbidden |= Type::DEVICE_COHERENT_AMD | Type::DEVICE_UNCACHED_AMD;
        }
        forbidden
    }

    /// The effective value of `bufferImageGranularity`: some drivers report 0.
    pub(super) fn page(&self) -> u64 {
        self.granularity.max(1)
    }

    /// The effective value of `nonCoherentAtomSize`: some drivers report 0.
    pub(super) fn flush_atom(&self) -> u64 {
        self.atom.max(1)
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])+ $name:ident: $type:ty),+ $(,)?) => {
        /// Setters: each takes the profile and returns the changed one.
        impl Profile {
            $($(#[$doc])+ #[must_use] pub fn $name(mut self, $name: $type) -> Profile {
                self.$name = $name;
                self
            })+
        }
    };
}

setters! {
    /// The Vulkan version, such as `vk::API_VERSION_1_1`. Commands of later versions are null.
    /// Commands that also exist as extensions remain available under the extension's name.
    api_version: u32,
    /// The device type that it reports.
    device_type: vk::PhysicalDeviceType,
    /// `bufferImageGranularity` in bytes.
    granularity: u64,
    /// `nonCoherentAtomSize` in bytes.
    atom: u64,
    /// `maxMemoryAllocationCount`. An allocation beyond it is `ERROR_TOO_MANY_OBJECTS`. 0, which
    /// some drivers report, means no limit.
    max_allocation_count: u32,
    /// `maxMemoryAllocationSize` in bytes. A larger allocation is `ERROR_OUT_OF_DEVICE_MEMORY`.
    max_allocation_size: u64,
    /// `maxBufferSize` in bytes, from Vulkan 1.3 on. A larger buffer is a violation.
    max_buffer_size: u64,
    /// The initial value of each byte of new memory; 0 costs nothing.
    fresh_byte: u8,
    /// Alignment of buffers in bytes, a power of two.
    buffer_alignment: u64,
    /// The unit in bytes to which sizes of buffers are rounded up; 1 leaves them unchanged.
    buffer_rounding: u64,
    /// Alignment of images in bytes, a power of two. Their sizes are rounded up to it.
    image_alignment: u64,
    /// The memory types that a buffer can have, as a mask over those that are possible for it.
    buffer_types: u32,
    /// The memory types that an image can have, as a mask over those that are possible for it.
    image_types: u32,
    /// The memory types of an image that the host copies to and from, as such a mask.
    host_image_types: u32,
    /// `minAccelerationStructureScratchOffsetAlignment` in bytes.
    scratch_alignment: u32,
    /// `shaderGroupBaseAlignment` in bytes.
    shader_group_alignment: u32,
    /// `descriptorBufferOffsetAlignment` in bytes.
    descriptor_alignment: u64,
    /// The size in bytes from which on a resource prefers dedicated memory.
    prefers_dedicated: u64,
    /// The size in bytes from which on a resource requires dedicated memory.
    requires_dedicated: u64,
    /// Whether timeline semaphores are supported.
    timeline_semaphores: bool,
    /// Whether buffers have device addresses.
    device_address: bool,
    /// Whether `VK_EXT_memory_budget` is supported.
    memory_budget: bool,
    /// Whether `VK_EXT_pageable_device_local_memory` is supported.
    pageable_memory: bool,
    /// Whether protected memory is enabled. If not, an allocation of such a type is a violation.
    protected_memory: bool,
    /// Whether AMD's device-coherent memory is enabled. If not, an allocation of such a type is a
    /// violation.
    device_coherent_memory: bool,
    /// The handle types by which memory can be shared.
    external_memory: vk::ExternalMemoryHandleTypeFlags,
    /// Whether shared memory must be dedicated to one resource.
    external_dedicated_only: bool,
}

impl Profile {
    /// The queue families, each with its flags and its number of queues.
    #[must_use]
    pub fn queue_families(mut self, families: &[(vk::QueueFlags, u32)]) -> Profile {
        self.queue_families = families.to_vec();
        self
    }

    /// One family with `count` queues that support everything.
    #[must_use]
    pub fn queues(self, count: u32) -> Profile {
        self.queue_families(&[(vk::QueueFlags::from_raw(7), count)])
    }

    /// The requirements of the bindings of a video session: size and alignment in bytes, and a mask
    /// of memory types.
    #[must_use]
    pub fn video_bindings(mut self, bindings: &[(u64, u64, u32)]) -> Profile {
        self.video_bindings = bindings.to_vec();
        self
    }

    /// The heaps, at most 16, each with its size in bytes and its flags.
    #[must_use]
    pub fn heaps(mut self, heaps: &[(u64, vk::MemoryHeapFlags)]) -> Profile {
        self.heaps = heaps.iter().copied().take(vk::MAX_MEMORY_HEAPS).collect();
        self
    }

    /// The memory types, at most 32, each with its heap index and its property flags.
    #[must_use]
    pub fn types(mut self, types: &[(u32, vk::MemoryPropertyFlags)]) -> Profile {
        self.types = types.iter().copied().take(vk::MAX_MEMORY_TYPES).collect();
        self
    }
}
