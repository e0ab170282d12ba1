//! What the user describes: the allocator, a resource, and the memory it wants.

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

/// How to make an [`Allocator`](crate::Allocator): the device, what it has enabled, and policies.
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
    /// The first and the largest block of a heap, where they are its own.
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
    /// An allocator for Vulkan 1.0 with no features: say what your device has with
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

    /// The Vulkan version that may be used of this device: the lesser of what the instance was
    /// created with (`VkApplicationInfo::apiVersion`) and what the physical device reports.
    #[must_use]
    pub const fn api_version(mut self, version: u32) -> Self {
        self.api_version = version;
        self
    }

    /// The device features and extensions you enabled.
    #[must_use]
    pub const fn features(mut self, features: DeviceFeatures) -> Self {
        self.features = features;
        self
    }

    /// Your owner of the device. It is dropped after everything of fencepost's is gone, so that
    /// the order of destruction is right by itself: an `Arc` whose drop destroys the device. This
    /// description holds a clone too, as long as it lives.
    #[must_use]
    pub fn keep_alive(mut self, owner: Arc<dyn Any + Send + Sync>) -> Self {
        self.keep_alive = Some(owner);
        self
    }

    /// What the last clone's drop does with work that is still pending.
    #[must_use]
    pub const fn end_policy(mut self, policy: EndPolicy) -> Self {
        self.end_policy = policy;
        self
    }

    /// Whether to watch for what holds memory back: a recording that stays open, and a timeline that
    /// has work out and does not move, for 256 collects. Each is reported once by `tracing`, with the
    /// name of an allocation that waits; and so is an end before a
    /// [recorded use](crate::Allocation::record_use). And where each allocation is made is noted, for
    /// the report of [leaks](crate::Leak); with `RUST_BACKTRACE=1` in the environment, by which calls.
    ///
    /// A debugging aid: a few comparisons a collect, and an entry of a hash table an allocation.
    #[must_use]
    pub const fn audit(mut self, audit: bool) -> Self {
        self.audit = audit;
        self
    }

    /// The size of a memory type's first block, in bytes; 1 MiB unless told. Rounded down to a
    /// power of two, at least 64 KiB, at most the largest block.
    #[must_use]
    pub const fn first_block(mut self, bytes: u64) -> Self {
        self.first_block = bytes;
        self
    }

    /// The size of the largest block that small requests share, in bytes; 256 MiB unless told.
    /// Rounded down to a power of two, at most an eighth of its heap. A large request gets a block
    /// made to measure.
    #[must_use]
    pub const fn largest_block(mut self, bytes: u64) -> Self {
        self.largest_block = bytes;
        self
    }

    /// [`first_block`](Self::first_block) and [`largest_block`](Self::largest_block) for the memory
    /// types of one heap, in bytes. [`Allocator::block_sizes`](crate::Allocator::block_sizes) tells
    /// what came of it. Of no effect for a heap that does not exist.
    #[must_use]
    pub const fn heap_blocks(mut self, heap: u32, first: u64, largest: u64) -> Self {
        if (heap as usize) < self.heap_blocks.len() {
            self.heap_blocks[heap as usize] = Some((first, largest));
        }
        self
    }

    /// How many collects an empty block lingers, for a program that frees and comes back; 1024
    /// unless told. It goes at once if its heap is over budget, if the memory is needed, or before
    /// more is held than ever was. One small empty block a memory type stays until
    /// [`trim`](crate::Allocator::trim).
    #[must_use]
    pub const fn linger(mut self, collects: u64) -> Self {
        self.linger = collects;
        self
    }

    /// The most this allocator may hold of a heap, in bytes: blocks and dedicated memories, live,
    /// pending or free. Never exceeded, whatever the request; without a cap the driver decides,
    /// and for requests [within the budget](AllocationFlags::WITHIN_BUDGET) the budget. Of no
    /// effect for a heap that does not exist.
    #[must_use]
    pub const fn heap_cap(mut self, heap: u32, bytes: u64) -> Self {
        if (heap as usize) < self.heap_caps.len() {
            self.heap_caps[heap as usize] = bytes;
        }
        self
    }
}

impl AllocatorDesc<'_> {
    /// Maps host-visible memory for each `read` and `write` alone, and not for good. For tools that
    /// watch mapped memory and are slowed by much of it, as RenderDoc is; every access then costs
    /// two driver calls, accesses to one memory type take turns, and
    /// [`mapped`](crate::Allocation::mapped) gives nothing.
    #[must_use]
    pub const fn map_on_access(mut self, on_access: bool) -> Self {
        self.map_on_access = on_access;
        self
    }

    /// Watches for writes beside and after the life of allocations. Findings go to
    /// [`tracing`](https://docs.rs/tracing) as they are made, and to
    /// [`Allocator::check_guards`](crate::Allocator::check_guards).
    #[must_use]
    pub const fn guards(mut self, policy: GuardPolicy) -> Self {
        self.guards = policy;
        self
    }

    /// Who keeps the [`guards`](Self::guards): the host, where it sees the memory, or the GPU.
    #[must_use]
    pub const fn guarded_by(mut self, by: GuardedBy) -> Self {
        self.guarded_by = by;
        self
    }

    /// How many [scrubs](crate::Allocator::record_scrub) more what ended stays out of use, poisoned, before
    /// the GPU looks at it once more; none unless told. A write that comes so late is still found, and
    /// by its first owner's name; the footprint grows by so many frames' worth of drops.
    ///
    /// Where the host keeps the guards, for so many [collects](crate::Allocator::collect): then the host looks,
    /// and it is free. Without a quarantine that memory is free once it is poisoned, and looked at when it is
    /// handed out again: a write that comes later hits its next owner, and is found nowhere.
    ///
    /// A quarantine ends before a request fails. The host looks first. The GPU cannot look at once, so what it
    /// has in quarantine, and then what waits for its first scrub, comes back unlooked, is told and
    /// [counted](crate::GuardCoverage::unlooked_allocations); but not for a request that may fail by its
    /// flags, nor under [`GuardPolicy::Zero`](crate::GuardPolicy::Zero).
    #[must_use]
    pub const fn quarantine(mut self, scrubs: u32) -> Self {
        self.quarantine = scrubs;
        self
    }

    /// How many bytes of a memory type or arena are in [`quarantine`](Self::quarantine) at most; no limit
    /// unless told. The oldest make way, looked at by the next scrub or collect. For a quarantine by bytes alone,
    /// let it last [`u32::MAX`] scrubs.
    #[must_use]
    pub const fn quarantine_bytes(mut self, bytes: u64) -> Self {
        self.quarantine_bytes = bytes;
        self
    }

    /// Writes down what the program does with its memory, for looking at it over time and for
    /// replaying it with other settings; the form is on the page [`record`](crate::record). The first
    /// allocator made of this description takes the writer.
    ///
    /// An allocation, a drop and a submission each cost some tens of nanoseconds more, under a lock that is
    /// held in any case. [`collect`](crate::Allocator::collect) writes, with no lock held, in one
    /// call of the writer, some hundred nanoseconds an event; a writer that fails is reported by `tracing`, and ends the record. The last
    /// clone's drop writes the end.
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

    /// How many events of one memory type a [`record`](Self::record) has room for between two
    /// collects; 65,536 unless told, at 64 bytes each. Those beyond are lost, and the record says how
    /// many.
    #[must_use]
    pub const fn record_room(mut self, events: u32) -> Self {
        self.record_room = events as usize;
        self
    }
}

/// A writer for the one who comes first.
pub(crate) type Destination = Arc<Mutex<Option<Box<dyn std::io::Write + Send>>>>;

/// What happens to pending work when the last [`Allocator`](crate::Allocator) goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EndPolicy {
    /// Wait for the GPU, at most this long at a time. What is not reached by then stays allocated
    /// for ever, and is reported: leaking is safe, freeing in flight is not.
    Wait(Duration),
    /// Do not wait. What is not reached is kept for ever and reported.
    Keep,
}

bitflags::bitflags! {
    /// What an allocation must not do, even if it fails for it; and where it is to lie.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct AllocationFlags: u32 {
        /// Fail rather than go over a heap's [budget](crate::Allocator::heap_budget): a budget that
        /// is exceeded costs speed, because the system moves memory out of the way.
        const WITHIN_BUDGET = 1;
        /// Fail rather than ask the driver for memory: take what existing blocks have.
        const NEVER_ALLOCATE = 1 << 1;
        /// From the upper end of an arena's [double stack](crate::ArenaPolicy::DoubleStack). Of no effect
        /// elsewhere.
        const UPPER_END = 1 << 2;
    }
}

/// What memory a resource wants. Start from an intent:
/// [`device_local`](Self::device_local), [`upload`](Self::upload), [`readback`](Self::readback) or
/// [`transient`](Self::transient).
///
/// An intent, the resource's usage and the shape of the device tell which memory properties are
/// required, which are preferred, and which are avoided. The order of preference among the types
/// that are allowed and have what is required:
/// 1. not the small window that the host has on a graphics card's memory (a PCI BAR of 256 MiB at
///    most), unless device-local *and* host-visible are asked for;
/// 2. the fewest preferred properties missing;
/// 3. the fewest avoided properties present;
/// 4. the driver's own order.
///
/// Out of memory there, the next one is tried. Types with properties that need a feature (protected,
/// AMD's device-coherent) or are a vendor's own are never taken unless named by
/// [`required`](Self::required) or [`preferred`](Self::preferred), and the first two not unless their
/// feature is on. [`Allocator::plan`](crate::Allocator::plan) tells what comes of a description.
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
    /// Nothing is said of the memory but where it is to be, and who lives there.
    #[inline(always)]
    pub(crate) const fn is_usual(&self) -> bool {
        self.min_alignment <= 1 && !self.dedicated
    }

    /// Whether there is anything to remember of who lives on the range, besides the resource.
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

    /// Memory the GPU reaches fastest. The host does not touch it.
    pub const fn device_local() -> Self {
        Self::intent(Intent::DeviceLocal)
    }

    /// Memory the host writes once, in order, and the GPU reads: staging buffers, uniforms.
    ///
    /// Host-visible. Where the host sees all of a graphics card's memory (resizable BAR), what
    /// shaders read where it lies goes there; what is only copied from, or of unknown use, goes to
    /// the host's own memory, and so does everything where the host sees but a small window.
    pub const fn upload() -> Self {
        Self::intent(Intent::Upload)
    }

    /// Memory the GPU writes and the host reads, in any order. Host-visible, and cached where there
    /// is such a type.
    pub const fn readback() -> Self {
        Self::intent(Intent::Readback)
    }

    /// Memory for attachments that live within one render pass
    /// (`VK_IMAGE_USAGE_TRANSIENT_ATTACHMENT_BIT`): lazily allocated where the GPU has such a type,
    /// device-local elsewhere.
    pub const fn transient() -> Self {
        Self::intent(Intent::Transient)
    }

    /// How the host goes through the memory, where that is not the intent's own way. Makes the
    /// memory host-visible: [`device_local`](Self::device_local) with it asks for memory of the
    /// device that the host can write, the window of a graphics card too.
    #[must_use]
    pub const fn host_access(mut self, access: HostAccess) -> Self {
        self.taste.access = Access::said(access);
        self
    }

    /// Host-visible too where that costs nothing: where host and GPU share one memory, and where the
    /// host sees all of a graphics card's (resizable BAR). For buffers that are filled once:
    /// [`Allocator::create_buffer_init`](crate::Allocator::create_buffer_init) writes into them
    /// there, and stages the bytes elsewhere. The small window of a card is left alone.
    #[must_use]
    pub const fn host_access_where_free(mut self) -> Self {
        self.taste.access_where_free = true;
        self
    }

    /// Rather the host's memory than the device's: for what the GPU rarely touches and should not
    /// take room from the rest.
    #[must_use]
    pub const fn prefer_host(mut self) -> Self {
        self.taste.prefer_host = true;
        self
    }

    /// A name for reports and pictures. It costs a side-table entry, and nothing where unused. Made at
    /// run time: [`intern`](crate::intern).
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// An alignment of the offset in bytes, for what `VkMemoryRequirements` does not tell. A power of
    /// two, or 0 for none; the stricter of the two holds. What a buffer's usage asks of its address is known: see
    /// [`BufferDesc::scratch`](crate::BufferDesc::scratch) and those beside it.
    ///
    /// Up to 16 MiB, or 4 MiB where the host sees the memory, it costs padding alone. Above, no search is for it: the request gets a new block, or a walk finds
    /// room where there can be none.
    #[must_use]
    pub const fn min_alignment(mut self, bytes: u64) -> Self {
        self.min_alignment = bytes;
        self
    }

    /// Whether the resource gets a `VkDeviceMemory` of its own in any case.
    #[must_use]
    pub const fn dedicated(mut self, dedicated: bool) -> Self {
        self.dedicated = dedicated;
        self
    }

    /// How important it is, from 0 to 1, when the system is short of memory and moves some away; in
    /// steps of a sixteenth, and clamped. Unless told, 0.5.
    ///
    /// A memory of its own gets it where
    /// [`MEMORY_PRIORITY`](crate::DeviceFeatures::MEMORY_PRIORITY) is on. With
    /// [`PAGEABLE_DEVICE_LOCAL_MEMORY`](crate::DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY) a block
    /// has the highest priority of what lives there, pending ranges left out, and
    /// [`collect`](crate::Allocator::collect) tells the driver when that has changed.
    /// [`Allocation::set_priority`](crate::Allocation::set_priority) changes it.
    #[must_use]
    pub const fn priority(mut self, priority: f32) -> Self {
        self.rank = Rank::of(priority);
        self
    }

    /// Adds flags: [within the budget](AllocationFlags::WITHIN_BUDGET),
    /// [never ask the driver](AllocationFlags::NEVER_ALLOCATE).
    #[must_use]
    pub const fn flags(mut self, flags: AllocationFlags) -> Self {
        self.flags = self.flags.union(flags);
        self
    }

    /// How long the call may wait for the GPU rather than fail for want of memory: for what was dropped
    /// and is pending, as [`Allocator::wait_for`](crate::Allocator::wait_for) waits for it, after all
    /// else was tried. At first it may not.
    ///
    /// It waits for submitted work alone; where a recording that is open holds back what is pending,
    /// the call fails at once. No lock is held meanwhile. A refusal says by
    /// [`Tried::WAIT`](crate::Tried::WAIT) that it has waited, and names the drop that it would wait for
    /// next.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Adds memory properties that the type must have.
    #[must_use]
    pub const fn required(mut self, flags: vk::MemoryPropertyFlags) -> Self {
        self.taste.explicit.required |= flags.as_raw();
        self
    }

    /// Adds memory properties that the type should have.
    #[must_use]
    pub const fn preferred(mut self, flags: vk::MemoryPropertyFlags) -> Self {
        self.taste.explicit.prefer(flags.as_raw());
        self
    }

    /// Adds memory properties that the type should not have, if there is a choice.
    #[must_use]
    pub const fn avoided(mut self, flags: vk::MemoryPropertyFlags) -> Self {
        self.taste.explicit.avoid(flags.as_raw());
        self
    }
}
