//! The state that all handles share: the device, a lane for each memory type and arena, and the
//! register of timelines.
//!
//! Locks: one for each lane, one for the register, one for objects. Two are never held at once, and
//! none is held across a driver call or user code.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

use super::{
    choices::Choices,
    desc::{AllocatorDesc, EndPolicy},
    error::NewError,
    guards::Guards,
    heaps::Heaps,
    lanes::Lanes,
    objects::ObjectLane,
    origins::Origins,
    recorder::Recorder,
    register::Register,
};
use crate::{
    events,
    ground::{published::Published, sync::lock},
    guard::GuardPolicy,
    memory::{Broken, Stay},
    policy::{intent::Shape, select::Rules},
    retire::BagNumber,
    vulkan::Vulkan,
};

mod lane;
pub(super) use lane::{Lane, LaneState, Scratch};

/// The core of an allocator. Facades, timelines, views and non-empty blocks each hold a reference.
pub(crate) struct Inner {
    /// For a block that becomes non-empty, and for handles that outlive the last facade.
    pub(super) myself: Weak<Inner>,
    pub(super) vulkan: Vulkan,
    /// Distinguishes this allocator's raw keys and points from those of others.
    pub(super) id: u32,
    lanes: Lanes<Lane>,
    pub(super) shape: Shape,
    pub(super) rules: Rules,
    pub(super) choices: Choices,
    /// The maximum size of a single request, in bytes.
    pub(super) largest_request: u64,
    pub(super) objects: ObjectLane,
    #[cfg(feature = "descriptors")]
    pub(super) descriptors: super::descriptor_pools::DescriptorLane,
    register: Mutex<Register>,
    pub(super) recorder: Recorder,
    /// The register's bag numbers, so that a drop does not need its lock.
    current: AtomicU64,
    reached: AtomicU64,
    /// Written under the register's lock.
    pub(super) open_recordings: Published,
    life: AtomicU8,
    lost: AtomicBool,
    /// Neither shut down nor lost, so that one read tests both.
    granting: AtomicBool,
    /// The number of collects so far: the clock for keeping empty blocks.
    pub(super) collects: AtomicU64,
    pub(super) untimed_reported: AtomicBool,
    pub(super) end_policy: EndPolicy,
    pub(super) audit: bool,
    /// Audited, or a subscriber listened to single allocations when the allocator was created.
    pub(super) observed: bool,
    /// Not observed, not recorded and, unless an arena says otherwise, not guarded: one test for
    /// the common case.
    pub(super) plain: bool,
    /// The same, whether recorded or not.
    pub(super) unwatched: bool,
    pub(super) origins: Origins,
    pub(super) map_on_access: bool,
    pub(super) guards: Guards,
    pub(super) heaps: Heaps,
    /// The user's owner of the device. It is the last field, so that it is dropped last.
    _keep_alive: Option<Arc<dyn Any + Send + Sync>>,
}

/// The stages of an allocator's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Open = 0,
    /// The last facade was dropped; handles may still exist.
    Closed = 1,
    /// The device may be destroyed; handles are inert.
    ShutDown = 2,
}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl Inner {
    /// # Safety
    /// As [`Allocator::new`](crate::Allocator::new).
    pub(super) unsafe fn new(desc: &AllocatorDesc<'_>) -> Result<Arc<Self>, NewError> {
        // SAFETY: the caller's promise is the device contract.
        let vulkan = unsafe {
            Vulkan::new(
                desc.instance,
                desc.physical_device,
                desc.device,
                desc.api_version,
                desc.features,
            )
        };
        let properties = vulkan.properties();
        if properties.types.is_empty() {
            return Err(NewError::NoMemoryTypes);
        }
        let recorder = Recorder::new(desc, properties);
        let observed =
            desc.audit || tracing::enabled!(target: events::ALLOCATION, tracing::Level::TRACE);
        let unwatched = !observed && !desc.guards.is_on();
        let plain = unwatched && !recorder.is_on();
        let mut lanes = Vec::with_capacity(properties.types.len());
        for memory_type in 0..properties.types.len() as u32 {
            let tape = recorder.tape(memory_type, memory_type);
            lanes.push(Lane::for_type(memory_type, &vulkan, desc, plain, tape)?);
        }
        let shape = Shape::of(&properties.types, &properties.heaps);
        let rules = Rules {
            forbidden: vulkan.forbidden_types().as_raw(),
            guarded_heap: shape.guarded_heap(),
        };
        let largest_heap = properties.heaps.iter().map(|heap| heap.size).max().unwrap_or(0);
        let largest_request = properties.max_allocation_size.min(largest_heap);
        let heaps = Heaps::new(properties, &desc.heap_caps);
        let guards = Guards::new(desc, properties);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new_cyclic(|myself| Self {
            myself: Weak::clone(myself),
            vulkan,
            id,
            lanes: Lanes::new(lanes.into_iter().map(|lane| lane.owned_by(myself)).collect()),
            shape,
            rules,
            choices: Choices::default(),
            largest_request,
            objects: ObjectLane::default(),
            #[cfg(feature = "descriptors")]
            descriptors: super::descriptor_pools::DescriptorLane::default(),
            register: Mutex::new(Register::new(id, desc, recorder.tape(0, 0))),
            recorder,
            current: AtomicU64::new(BagNumber::UNTIMED.get()),
            open_recordings: Published::default(),
            reached: AtomicU64::new(0),
            life: AtomicU8::new(Life::Open as u8),
            lost: AtomicBool::new(false),
            granting: AtomicBool::new(true),
            collects: AtomicU64::new(0),
            untimed_reported: AtomicBool::new(false),
            end_policy: desc.end_policy,
            audit: desc.audit,
            observed,
            plain,
            unwatched,
            origins: Origins::default(),
            map_on_access: desc.map_on_access,
            guards,
            heaps,
            _keep_alive: desc.keep_alive.clone(),
        }))
    }

    /// The lanes of memory types in order, followed by those of arenas.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    /// The lane of a memory type, or of an arena.
    #[inline]
    pub(super) fn lane(&self, index: u32) -> Option<&Lane> {
        self.lanes.get(index)
    }

    /// The lane of a memory type.
    #[inline(always)]
    pub(super) fn lane_of_type(&self, memory_type: u32) -> Option<&Lane> {
        self.lanes.of_type(memory_type)
    }

    /// A lane for an arena of a memory type: one that another arena left, or a new one. `None` if
    /// the maximum number of arenas exists, or there is no such type. O(arenas).
    pub(super) fn claim_lane(
        &self,
        memory_type: u32,
        stay: Stay,
        guards: GuardPolicy,
    ) -> Option<&Lane> {
        let twin = self.lane(memory_type).filter(|lane| lane.index == lane.memory_type)?;
        let mut left = self.lanes.arenas().filter(|lane| lane.memory_type == memory_type);
        left.find(|lane| lane.claim(stay, guards, self.plain)).or_else(|| {
            let tape = |index| self.recorder.tape(index, memory_type);
            self.lanes.add(|index| {
                let lane = Lane::for_arenas(twin, index, stay, tape(index));
                assert!(lane.claim(stay, guards, self.plain), "a new lane is free");
                lane.owned_by(&self.myself)
            })
        })
    }

    /// The register, for callers that change nothing that drops need to know.
    pub(super) fn register(&self) -> MutexGuard<'_, Register> {
        lock(&self.register)
    }

    /// Changes the register, and publishes what drops need to know.
    pub(super) fn with_register<T>(&self, change: impl FnOnce(&mut Register) -> T) -> T {
        let mut register = lock(&self.register);
        let result = change(&mut register);
        let cuts = register.cuts();
        // Release: a drop that sees a number also sees what led to it. Both numbers are stored
        // under the register's lock, so they rise in order.
        self.current.store(cuts.current().get(), Ordering::Release);
        self.open_recordings.set(cuts.open_recordings() as u64);
        self.reached.store(cuts.reached_bag().get(), Ordering::Release);
        result
    }

    /// The bag of a drop made now. It takes into account every recording that began before the
    /// drop, in program order or by synchronisation, because the recording's number was stored
    /// before.
    pub(super) fn current_bag(&self) -> BagNumber {
        BagNumber::from_number(self.current.load(Ordering::Acquire))
    }

    /// The newest bag known to be reached; may lag behind, but is never ahead.
    pub(super) fn reached_bag(&self) -> BagNumber {
        BagNumber::from_number(self.reached.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn life(&self) -> Life {
        match self.life.load(Ordering::Acquire) {
            0 => Life::Open,
            1 => Life::Closed,
            _ => Life::ShutDown,
        }
    }

    pub(super) fn set_life(&self, life: Life) {
        self.life.fetch_max(life as u8, Ordering::AcqRel);
        if life == Life::ShutDown {
            self.granting.store(false, Ordering::Release);
        }
    }

    /// Whether memory is handed out: not after the allocator is shut down, or the device lost.
    #[inline]
    pub(super) fn is_granting(&self) -> bool {
        self.granting.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The device was found to be lost: nothing is handed out any more, and everything counts as
    /// reached.
    pub(super) fn lose(&self) {
        if !self.lost.swap(true, Ordering::AcqRel) {
            self.granting.store(false, Ordering::Release);
            tracing::error!(target: events::DEVICE, "the device is lost");
            self.with_register(Register::lose);
        }
    }

    /// Verifies everything while no other thread uses the allocator, one lock at a time.
    /// O(regions).
    pub(super) fn check(&self) -> Result<(), Broken> {
        let heaps = self.vulkan.properties().heaps.len() as u32;
        let mut held: Vec<u64> = (0..heaps).map(|heap| self.sheet_bytes(heap)).collect();
        for lane in self.lanes() {
            let state = lane.lock();
            state.check()?;
            // An end in the common way would not be scrubbed.
            if lane.is_plain() && state.guards.is_on() {
                return Err(Broken::Pending);
            }
            held[lane.heap as usize] += state.blocks.reserved();
        }
        let differs = |(heap, &held): (usize, &u64)| self.heaps.reserved(heap as u32) != held;
        if self.life() != Life::ShutDown && held.iter().enumerate().any(differs) {
            return Err(Broken::Count);
        }
        if !self.objects.check() {
            return Err(Broken::Count);
        }
        lock(&self.register).cuts().check().map_err(|_| Broken::Pending)
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests;
