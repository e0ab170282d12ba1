//! What the user describes: the allocator, and the memory for a resource.

use core::time::Duration;
use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use ash::vk;

use crate::{
    guard::{GuardPolicy, GuardedBy},
    memory::Rank,
    policy::{
        intent::{Access, HostAccess, Intent, Taste},
        select::Wish,
    },
    vulkan::DeviceFeatures,
};

/// Describes how to create an [`Allocator`](crate::Allocator): the device, its enabled features,
/// and policies.
///
/// # Example
/// ```
/// # let fake = fencepost::fake::FakeDriver::new(&Default::default());
/// # let (instance, physical_device, device) = (fake.instance(), fake.physical_device(), fake.device());
/// use fencepost::{AllocatorDesc, DeviceFeatures, vk};
/// let desc = AllocatorDesc::new(instance, physical_device, device)
///     .api_version(vk::API_VERSION_1_3)
///     .features(DeviceFeatures::TIMELINE_SEMAPHORE | DeviceFeatures::SYNCHRONIZATION2)
///     .first_block(4 << 20);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct AllocatorDesc<'a> {
    pub(crate) instance: &'a ash::Instance,
    pub(crate) physical_device: vk::PhysicalDevice,
    pub(crate) device: &'a ash::Device,
    pub(crate) api_version: u32,
    pub(crate) features: DeviceFeatures,
    pub(crate) keep_alive: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) end_policy: EndPolicy,
    pub(crate) audit: bool,
    pub(crate) first_block: u64,
    pub(crate) largest_block: u64,
    pub(crate) heap_caps: [u64; vk::MAX_MEMORY_HEAPS],
    pub(crate) linger: u64,
    /// The first and the largest block size of a heap, if set for that heap.
    pub(crate) heap_blocks: [Option<(u64, u64)>; vk::MAX_MEMORY_HEAPS],
    pub(crate) map_on_access: bool,
    pub(crate) guards: GuardPolicy,
    pub(crate) guarded_by: GuardedBy,
    pub(crate) quarantine: u32,
    pub(crate) quarantine_bytes: u64,
    pub(crate) record: Option<Destination>,
    pub(crate) record_room: usize,
}

impl core::fmt::Debug for AllocatorDesc<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AllocatorDesc")
            .field("physical_device", &self.physical_device)
            .field("device", &self.device.handle())
            .field("api_version", &self.api_version)
            .field("features", &self.features)
            .field("keep_alive", &self.keep_alive.is_some())
            .field("end_policy", &self.end_policy)
            .field("audit", &self.audit)
            .field("first_block", &self.first_block)
            .field("largest_block", &self.largest_block)
            .field("heap_caps", &self.heap_caps)
            .field("linger", &self.linger)
            .field("heap_blocks", &self.heap_blocks)
            .field("map_on_access", &self.map_on_access)
            .field("guards", &self.guards)
            .field("guarded_by", &self.guarded_by)
            .field("quarantine", &self.quarantine)
            .field("quarantine_bytes", &self.quarantine_bytes)
            .field("record", &self.record.is_some())
            .finish()
    }
}

impl<'a> AllocatorDesc<'a> {
    /// Describes an allocator for Vulkan 1.0 without features. Set what your device supports with
    /// [`api_version`](Self::api_version) and [`features`](Self::features).
    pub const fn new(
        instance: &'a ash::Instance,
        physical_device: vk::PhysicalDevice,
        device: &'a ash::Device,
    ) -> Self {
        Self {
            instance,
            physical_device,
            device,
            api_version: vk::API_VERSION_1_0,
            features: DeviceFeatures::empty(),
            keep_alive: None,
            end_policy: EndPolicy::Wait(Duration::from_secs(5)),
            audit: false,
            first_block: 1 << 20,
            largest_block: 256 << 20,
            heap_caps: [u64::MAX; vk::MAX_MEMORY_HEAPS],
            linger: 1024,
            heap_blocks: [None; vk::MAX_MEMORY_HEAPS],
            map_on_access: false,
            guards: GuardPolicy::Off,
            guarded_by: GuardedBy::Host,
            quarantine: 0,
            quarantine_bytes: u64::MAX,
            record: None,
            record_room: 1 << 16,
        }
    }

    /// Sets the Vulkan version that the allocator may use: the lower of the version the instance
    /// was created with (`VkApplicationInfo::apiVersion`) and the version the physical device
    /// reports.
    #[must_use]
    pub const fn api_version(mut self, version: u32) -> Self {
        self.api_version = version;
        self
    }

    /// Sets the device features and extensions that you enabled.
    #[must_use]
    pub const fn features(mut self, features: DeviceFeatures) -> Self {
        self.features = features;
        self
    }

    /// Sets the owner of the device, for example an `Arc` whose drop destroys the device. The
    /// allocator drops it after everything else that belongs to the allocator, which ensures the
    /// right order of destruction. This description also holds a clone while it exists.
    #[must_use]
    pub fn keep_alive(mut self, owner: Arc<dyn Any + Send + Sync>) -> Self {
        self.keep_alive = Some(owner);
        self
    }

    /// Sets what happens to pending work when the last clone of the allocator is dropped.
    #[must_use]
    pub const fn end_policy(mut self, policy: EndPolicy) -> Self {
        self.end_policy = policy;
        self
    }

    /// Enables auditing of recordings and timelines that prevent memory from being freed: a
    /// recording that stays open, or a timeline with outstanding work that makes no progress, for
    /// 256 collects. Each is reported once through `tracing`, with the name of an allocation that
    /// waits for it. Auditing also reports allocations that end before a [recorded
    /// use](crate::Allocation::record_use), and records where each allocation was made, for reports
    /// of [leaks](crate::Leak); if the environment contains `RUST_BACKTRACE=1`, with a backtrace.
    ///
    /// This is a debugging aid. It costs a few comparisons per collect, and one hash table entry
    /// per allocation.
    #[must_use]
    pub const fn audit(mut self, audit: bool) -> Self {
        self.audit = audit;
        self
    }

    /// Sets the size of a memory type's first block, in bytes; 1 MiB by default. It is rounded down
    /// to a power of two, is at least 64 KiB, and at most the size of the largest block.
    #[must_use]
    pub const fn first_block(mut self, bytes: u64) -> Self {
        self.first_block = bytes;
        self
    }

    /// Sets the maximum size of blocks that small requests share, in bytes; 256 MiB by default. It is
    /// rounded down to a power of two, and is at most an eighth of the heap. A large request may get a
    /// block made for it alone.
    #[must_use]
    pub const fn largest_block(mut self, bytes: u64) -> Self {
        self.largest_block = bytes;
        self
    }

    /// Sets [`first_block`](Self::first_block) and [`largest_block`](Self::largest_block) for the
    /// memory types of one heap, in bytes.
    /// [`Allocator::block_sizes`](crate::Allocator::block_sizes) returns the resulting sizes. Has
    /// no effect if the heap does not exist.
    #[must_use]
    pub const fn heap_blocks(mut self, heap: u32, first: u64, largest: u64) -> Self {
        if (heap as usize) < self.heap_blocks.len() {
            self.heap_blocks[heap as usize] = Some((first, largest));
        }
        self
    }

    /// Sets for how many collects an empty block is kept before it is returned to the driver; 1024
    /// by default. This helps programs that free memory and soon need it again. An empty block is
    /// returned earlier if its heap is over budget, if the memory is needed elsewhere, or before
    /// more memory is reserved than ever before. One small empty block per memory type stays until
    /// [`trim`](crate::Allocator::trim).
    #[must_use]
    pub const fn linger(mut self, collects: u64) -> Self {
        self.linger = collects;
        self
    }

    /// Sets the maximum number of bytes that this allocator may reserve in a heap, over all blocks
    /// and dedicated allocations, whether live, pending or free. No request exceeds this limit.
    /// Without it, the driver decides and, for requests [within the
    /// budget](AllocationFlags::WITHIN_BUDGET), the budget. Has no effect if the heap does not
    /// exist.
    #[must_use]
    pub const fn heap_cap(mut self, heap: u32, bytes: u64) -> Self {
        if (heap as usize) < self.heap_caps.len() {
            self.heap_caps[heap as usize] = bytes;
        }
        self
    }
}

impl AllocatorDesc<'_> {
    /// Maps host-visible memory for each `read` and `write` instead of permanently. Use this for
    /// tools that track mapped memory and slow down if there is much of it, such as RenderDoc.
    /// Every access then costs two driver calls, accesses to the same memory type are serialised,
    /// and [`mapped`](crate::Allocation::mapped) returns `None`.
    #[must_use]
    pub const fn map_on_access(mut self, on_access: bool) -> Self {
        self.map_on_access = on_access;
        self
    }

    /// Detects writes outside the range or the lifetime of an allocation. Findings are reported
    /// through [`tracing`](https://docs.rs/tracing) when they are made, and returned by
    /// [`Allocator::check_guards`](crate::Allocator::check_guards).
    #[must_use]
    pub const fn guards(mut self, policy: GuardPolicy) -> Self {
        self.guards = policy;
        self
    }

    /// Sets whether the host (for memory it can access) or the GPU maintains the
    /// [`guards`](Self::guards).
    #[must_use]
    pub const fn guarded_by(mut self, by: GuardedBy) -> Self {
        self.guarded_by = by;
        self
    }

    /// Sets for how many more [scrubs](crate::Allocator::record_scrub) freed memory stays poisoned
    /// and out of use before the GPU checks it once more; 0 by default. A write that comes late
    /// within this time is still found and attributed to the last owner. The footprint grows by
    /// what that many frames free.
    ///
    /// If the host maintains the guards, the quarantine lasts that many
    /// [collects](crate::Allocator::collect); then the host checks the memory and frees it. Without
    /// a quarantine, the host frees memory as soon as it is poisoned and checks it when it is
    /// allocated again; a write after that goes to the next owner and is not detected.
    ///
    /// The quarantine ends early rather than let a request fail. The host checks the memory first.
    /// The GPU cannot check it immediately, so memory in quarantine, and then memory that waits for
    /// its first scrub, is reused unchecked; this is reported and
    /// [counted](crate::GuardCoverage::unlooked_allocations). It does not happen for requests whose
    /// flags allow them to fail, nor under [`GuardPolicy::Zero`](crate::GuardPolicy::Zero).
    #[must_use]
    pub const fn quarantine(mut self, scrubs: u32) -> Self {
        self.quarantine = scrubs;
        self
    }

    /// Limits the bytes per memory type or arena that are in [`quarantine`](Self::quarantine);
    /// unlimited by default. When the limit is exceeded, the oldest ranges leave: the next scrub or
    /// collect checks them. To limit the quarantine by bytes only, set its duration to [`u32::MAX`]
    /// scrubs.
    #[must_use]
    pub const fn quarantine_bytes(mut self, bytes: u64) -> Self {
        self.quarantine_bytes = bytes;
        self
    }

    /// Records what the program does with its memory, so that you can look at it over time or
    /// replay it with other settings. The module [`record`](crate::record) describes the format.
    /// The first allocator created from this description takes the writer.
    ///
    /// An allocation, a drop and a submission each cost some tens of nanoseconds more, under a lock
    /// that is held anyway. [`collect`](crate::Allocator::collect) writes the events in one call of
    /// the writer, without holding a lock; this costs some hundred nanoseconds per event. If the
    /// writer fails, a `tracing` event reports it and the record ends. Dropping the last clone of
    /// the allocator writes the end of the record.
    ///
    /// # Example
    /// ```
    /// # use fencepost::*;
    /// # let fake = fake::FakeDriver::new(&Default::default());
    /// let path = std::env::temp_dir().join(format!("my-game-{}.trace", std::process::id()));
    /// let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    ///     .record(std::fs::File::create(&path)?);
    /// let allocator = unsafe { Allocator::new(&desc)? };
    /// let mesh = BufferDesc::new(4096, vk::BufferUsageFlags::VERTEX_BUFFER);
    /// drop(allocator.create_buffer(&mesh, &AllocationDesc::device_local().name("mesh"))?);
    /// # unsafe { allocator.shutdown()? };
    /// drop(allocator);
    /// let text = std::fs::read_to_string(&path)?;
    /// assert!(text.contains("a 0 4096 ") && text.contains(" mesh\nf 0\n"));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn record(mut self, writer: impl std::io::Write + Send + 'static) -> Self {
        self.record = Some(Arc::new(Mutex::new(Some(Box::new(writer)))));
        self
    }

    /// Sets how many events of one memory type a [`record`](Self::record) can hold between two
    /// collects; 65,536 by default, at 64 bytes each. Further events are lost, and the record
    /// contains how many.
    #[must_use]
    pub const fn record_room(mut self, events: u32) -> Self {
        self.record_room = events as usize;
        self
    }
}

/// A writer that the first allocator takes.
pub(crate) type Destination = Arc<Mutex<Option<Box<dyn std::io::Write + Send>>>>;

/// What happens to pending work when the last [`Allocator`](crate::Allocator) is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EndPolicy {
    /// Wait for the GPU, at most this long at a time. Whatever the GPU has not passed by then is
    /// never freed, and is reported: a leak is safe, freeing memory in use is not.
    Wait(Duration),
    /// Do not wait. Whatever the GPU has not passed is never freed, and is reported.
    Keep,
}

bitflags::bitflags! {
    /// Restrictions that may make an allocation fail, and where it is placed.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct AllocationFlags: u32 {
        /// Fail rather than exceed the [budget](crate::Allocator::heap_budget) of a heap. Exceeding
        /// a budget costs speed, because the system moves memory out of the heap.
        const WITHIN_BUDGET = 1;
        /// Fail rather than allocate from the driver: use only free ranges of existing blocks.
        const NEVER_ALLOCATE = 1 << 1;
        /// Allocate from the upper end of an arena's [double
        /// stack](crate::ArenaPolicy::DoubleStack). Has no effect elsewhere.
        const UPPER_END = 1 << 2;
    }
}

/// Describes what memory a resource needs. Start from an intent:
/// [`device_local`](Self::device_local), [`upload`](Self::upload), [`readback`](Self::readback) or
/// [`transient`](Self::transient).
///
/// The intent, the usage of the resource and the kind of device determine which memory properties
/// are required, preferred, and avoided. Among the memory types that the resource allows and that
/// have the required properties, the order of preference is:
/// 1. types outside the small host-visible window of a graphics card (a PCI BAR of at most 256
///    MiB), unless the description asks for memory that is device-local *and* host-visible;
/// 2. the fewest missing preferred properties;
/// 3. the fewest present avoided properties;
/// 4. the order of the driver.
///
/// If a type is out of memory, the next one is tried. Types with properties that need a feature
/// (protected, AMD's device-coherent) or that are vendor-specific are used only if
/// [`required`](Self::required) or [`preferred`](Self::preferred) names the property; the first two
/// also need their feature to be enabled. [`Allocator::plan`](crate::Allocator::plan) returns the
/// result for a description.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AllocationDesc {
    pub(crate) taste: Taste,
    pub(crate) name: Option<&'static str>,
    pub(crate) min_alignment: u64,
    pub(crate) dedicated: bool,
    pub(crate) flags: AllocationFlags,
    pub(crate) patience: Duration,
    pub(crate) rank: Option<Rank>,
}

impl AllocationDesc {
    /// Whether the description restricts nothing about the memory except its type, and perhaps
    /// names its owner.
    #[inline(always)]
    pub(crate) const fn is_usual(&self) -> bool {
        self.min_alignment <= 1 && !self.dedicated
    }

    /// Whether anything besides the resource has to be stored for the range.
    #[inline(always)]
    pub(crate) const fn is_told(&self) -> bool {
        self.name.is_some() || self.rank.is_some()
    }
}

impl Default for AllocationDesc {
    /// [`device_local`](Self::device_local).
    fn default() -> Self {
        Self::device_local()
    }
}

impl AllocationDesc {
    const fn intent(intent: Intent) -> Self {
        Self {
            taste: Taste {
                intent,
                access: Access::Unsaid,
                prefer_host: false,
                access_where_free: false,
                explicit: Wish { required: 0, preferred: 0, avoided: 0 },
            },
            name: None,
            min_alignment: 1,
            dedicated: false,
            flags: AllocationFlags::empty(),
            patience: Duration::ZERO,
            rank: None,
        }
    }

    /// Memory with the fastest access for the GPU. The host does not access it.
    pub const fn device_local() -> Self {
        Self::intent(Intent::DeviceLocal)
    }

    /// Memory that the host writes once, in order, and the GPU reads: staging buffers, uniforms.
    ///
    /// It is host-visible. If the host can access all of a graphics card's memory (resizable BAR),
    /// resources that shaders read directly are placed there. Resources that are only copied from,
    /// or whose usage is unknown, are placed in host memory. If the host can access only a small
    /// window of the card's memory, everything is placed in host memory.
    pub const fn upload() -> Self {
        Self::intent(Intent::Upload)
    }

    /// Memory that the GPU writes and the host reads, in any order. It is host-visible, and cached
    /// if the device has such a type.
    pub const fn readback() -> Self {
        Self::intent(Intent::Readback)
    }

    /// Memory for attachments that live within one render pass
    /// (`VK_IMAGE_USAGE_TRANSIENT_ATTACHMENT_BIT`): lazily allocated if the device has such a type,
    /// device-local otherwise.
    pub const fn transient() -> Self {
        Self::intent(Intent::Transient)
    }

    /// Sets how the host accesses the memory, if this differs from the intent. This makes the
    /// memory host-visible: combined with [`device_local`](Self::device_local), it asks for device
    /// memory that the host can access, including the small window of a graphics card.
    #[must_use]
    pub const fn host_access(mut self, access: HostAccess) -> Self {
        self.taste.access = Access::said(access);
        self
    }

    /// Makes the memory host-visible where this has no cost: where host and GPU share one memory,
    /// and where the host can access all of a graphics card's memory (resizable BAR). The small
    /// window of a card is not used. Use this for buffers that are filled once:
    /// [`Allocator::create_buffer_init`](crate::Allocator::create_buffer_init) writes in place if
    /// the memory is host-visible, and uses a staging buffer otherwise.
    #[must_use]
    pub const fn host_access_where_free(mut self) -> Self {
        self.taste.access_where_free = true;
        self
    }

    /// Prefers host memory to device memory, for data that the GPU rarely accesses and that should
    /// not take space in device memory.
    #[must_use]
    pub const fn prefer_host(mut self) -> Self {
        self.taste.prefer_host = true;
        self
    }

    /// Sets a name for reports and drawings. It costs an entry in a side table; unnamed allocations
    /// cost nothing. For names made at run time, use [`intern`](crate::intern).
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets a minimum alignment of the offset in bytes, for requirements that
    /// `VkMemoryRequirements` does not contain. It must be a power of two, or 0 for none; the
    /// stricter of the two alignments applies. The allocator knows the address alignments that
    /// buffer usages require: see [`BufferDesc::scratch`](crate::BufferDesc::scratch) and related
    /// methods.
    ///
    /// Alignments up to 16 MiB, or 4 MiB in host-visible memory, cost only padding. For larger ones
    /// there is no constant-time search: the request gets a new block, or, if there can be none, a
    /// walk over all free ranges finds room.
    #[must_use]
    pub const fn min_alignment(mut self, bytes: u64) -> Self {
        self.min_alignment = bytes;
        self
    }

    /// Sets whether the resource always gets its own `VkDeviceMemory`.
    #[must_use]
    pub const fn dedicated(mut self, dedicated: bool) -> Self {
        self.dedicated = dedicated;
        self
    }

    /// Sets how important it is to keep the resource in its heap when the system is short of
    /// memory, from 0 to
    /// 1. The value is clamped and rounded to a sixteenth; 0.5 by default.
    ///
    /// A dedicated allocation has this priority if
    /// [`MEMORY_PRIORITY`](crate::DeviceFeatures::MEMORY_PRIORITY) is enabled. With
    /// [`PAGEABLE_DEVICE_LOCAL_MEMORY`](crate::DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY), a
    /// shared block has the highest priority of its live allocations (not of pending ones), and
    /// [`collect`](crate::Allocator::collect) informs the driver when this changes.
    /// [`Allocation::set_priority`](crate::Allocation::set_priority) changes the priority later.
    #[must_use]
    pub const fn priority(mut self, priority: f32) -> Self {
        self.rank = Rank::of(priority);
        self
    }

    /// Adds flags: [within the budget](AllocationFlags::WITHIN_BUDGET), [never allocate from the
    /// driver](AllocationFlags::NEVER_ALLOCATE).
    #[must_use]
    pub const fn flags(mut self, flags: AllocationFlags) -> Self {
        self.flags = self.flags.union(flags);
        self
    }

    /// Sets how long the call may wait for the GPU before it fails for lack of memory; zero by
    /// default. After everything else was tried, the call waits for pending memory, as
    /// [`Allocator::wait_for`](crate::Allocator::wait_for) does.
    ///
    /// It waits only for submitted work. If an open recording holds back the pending memory, the
    /// call fails immediately. No lock is held during the wait. In the error,
    /// [`Tried::WAIT`](crate::Tried::WAIT) says that the call has waited, and `cut` identifies the
    /// drop that it would wait for next.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Adds memory properties that the memory type must have.
    #[must_use]
    pub const fn required(mut self, flags: vk::MemoryPropertyFlags) -> Self {
        self.taste.explicit.required |= flags.as_raw();
        self
    }

    /// Adds memory properties that the memory type should have.
    #[must_use]
    pub const fn preferred(mut self, flags: vk::MemoryPropertyFlags) -> Self {
        self.taste.explicit.prefer(flags.as_raw());
        self
    }

    /// Adds memory properties that the memory type should not have, if there is a choice.
    #[must_use]
    pub const fn avoided(mut self, flags: vk::MemoryPropertyFlags) -> Self {
        self.taste.explicit.avoid(flags.as_raw());
        self
    }
}
