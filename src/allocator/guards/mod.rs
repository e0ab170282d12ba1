//! Guards: which blocks are watched and by whom, what was found, and the hooks of the other flows.
//!
//! A range is checked and poisoned after its resource is destroyed and before it is free, so while it
//! is pending and nobody's. The host does so at once, through the block's mapping (`host.rs`); what
//! it does not see waits for a scrub of the GPU (`scrubs.rs`).

mod corruption;
mod doors;
mod host;
mod passed;
mod rest;
mod scrubs;
mod sheet;
mod site;
mod words;
mod work;

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use ash::vk;

pub use corruption::{Corruption, Damage, Owner};
pub use doors::{Scrub, ScrubError, Scrubbed};
pub(super) use passed::{PassedCuts, RetirePoints};
pub(super) use rest::Resting;
pub(super) use work::Waiting;

use super::{
    Allocator,
    desc::AllocatorDesc,
    inner::{Inner, Lane, LaneState},
    names::named,
    register::Register,
};
use crate::{
    ground::{lock::Locked, sync::lock},
    guard::{GuardPolicy, GuardedBy},
    memory::{Entry, Fresh, Grave, Graves, Sight},
    retire::Point,
    vulkan::Mapping,
};

/// The policy, what was found since it was last asked, and the scrubs that are under way.
#[derive(Debug)]
pub(super) struct Guards {
    /// Of memory types, and of arenas that have none of their own.
    pub(super) policy: GuardPolicy,
    /// Anything is watched, or was.
    on: AtomicBool,
    by: GuardedBy,
    quarantine: Quarantine,
    found: Mutex<Vec<Corruption>>,
    scrubs: Mutex<scrubs::Scrubs>,
    /// How many of them there are; written under their lock.
    jobs: AtomicUsize,
    /// The number of the collect after which the last was recorded.
    scrubbed: AtomicU64,
    /// It was told that none is.
    told: AtomicBool,
    /// Allocations of memory that was to read zero and may not.
    unzeroed: AtomicU64,
}

/// How long what ended rests between the scrub that poisons it and the one that looks again; where the
/// host watches, between the collects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Quarantine {
    scrubs: u32,
    /// Of a memory type or arena; the oldest go first.
    bytes: u64,
}

/// More than this is not kept, only traced: who writes everywhere is found by the first few.
const KEPT: usize = 1024;

impl Guards {
    pub(super) fn new(desc: &AllocatorDesc<'_>) -> Self {
        Self {
            policy: desc.guards,
            on: AtomicBool::new(desc.guards.is_on()),
            by: desc.guarded_by,
            quarantine: Quarantine { scrubs: desc.quarantine, bytes: desc.quarantine_bytes },
            found: Mutex::default(),
            scrubs: Mutex::default(),
            jobs: AtomicUsize::new(0),
            scrubbed: AtomicU64::new(0),
            told: AtomicBool::new(false),
            unzeroed: AtomicU64::new(0),
        }
    }

    /// Whether anything is watched.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Whether the GPU watches anything.
    pub(super) fn scrubs(&self) -> bool {
        self.is_on() && self.by != GuardedBy::Host
    }

    /// Tells findings, with no lock of a lane held: a subscriber is user code.
    fn report(&self, found: &[Corruption]) {
        if found.is_empty() {
            return;
        }
        for corruption in found {
            let &Corruption { memory_type, offset, words, expected, found, owner, .. } = corruption;
            let allocation = owner.map(|owner| named(owner.name));
            let freed = owner.and_then(|owner| owner.freed);
            let retired = owner.map(|owner| owner.retired).unwrap_or_default();
            let first = retired.points().next();
            let (timeline, value) =
                (first.map(|point| point.timeline().number), first.map(Point::value));
            let others =
                first.map(|_| retired.points().count() as u64 - 1 + u64::from(retired.others()));
            tracing::error!(
                target: crate::events::GUARD,
                memory_type, offset, words, expected, found, allocation, freed, timeline, value, others,
                "{corruption}"
            );
        }
        let mut kept = lock(&self.found);
        let room = KEPT.saturating_sub(kept.len()).min(found.len());
        kept.extend_from_slice(&found[..room]);
    }
}

/// How much of an allocator's memory its guards watch: counts and bytes of blocks. An arena without
/// guards is left out, as its blocks are not meant to be watched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GuardCoverage {
    /// Blocks that are watched.
    pub guarded_blocks: u64,
    /// Their bytes.
    pub guarded_bytes: u64,
    /// Of those, the blocks that the GPU watches, at each [scrub](Allocator::scrub).
    pub scrubbed_blocks: u64,
    /// Their bytes.
    pub scrubbed_bytes: u64,
    /// Dedicated memories: one resource fills them.
    pub dedicated_blocks: u64,
    /// Their bytes.
    pub dedicated_bytes: u64,
    /// Blocks that nobody watches: the host does not see them, or they are not coherent or not
    /// mapped; and the GPU shall not, or no storage buffer can lie in them.
    pub unseen_blocks: u64,
    /// Their bytes.
    pub unseen_bytes: u64,
    /// Under [`GuardPolicy::Zero`]: allocations so far whose memory was as the driver gave it.
    pub unzeroed_allocations: u64,
}

impl Inner {
    /// Blocks will be watched so.
    pub(super) fn watch(&self, policy: GuardPolicy) {
        if policy.is_on() && !self.guards.on.swap(true, Ordering::Relaxed) {
            self.with_register(Register::remember_cuts);
        }
    }

    /// A block is new, and nobody has it yet: who is to watch it? The host poisons it as a whole.
    pub(super) fn guard_block(
        &self,
        lane: &Lane,
        policy: GuardPolicy,
        memory: vk::DeviceMemory,
        size: u64,
        mapping: Option<Mapping>,
    ) -> Sight {
        if !policy.is_on() {
            return Sight::None;
        }
        let by = self.guards.by;
        let mut refused = None;
        if let Some(mapping) = self.seen(lane, mapping) {
            host::open_block(policy, mapping, size);
            return Sight::Host(mapping);
        }
        if by != GuardedBy::Host {
            // SAFETY: the device contract; the memory is new, shared, and of this type and size.
            match unsafe { self.vulkan.create_overlay(memory, lane.memory_type, size) } {
                Ok(Some(buffer)) => return Sight::Gpu(buffer),
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        tracing::warn!(
            target: crate::events::GUARD, memory_type = lane.memory_type, bytes = size, ?by, ?refused,
            "a block is unguarded: neither does the host see it, nor can the GPU scrub it"
        );
        Sight::None
    }

    /// A memory of its own is new, and not somebody else's: it is not guarded. Where all is to read
    /// zero, the host sees to it, if it can: then it is one whole grave.
    pub(super) fn open_dedicated(
        &self,
        lane: &Lane,
        size: u64,
        mapping: Option<Mapping>,
    ) -> Graves {
        let mut graves = Graves::default();
        let zeroed = self.guards.policy == GuardPolicy::Zero;
        if let Some(mapping) = self.seen(lane, mapping).filter(|_| zeroed) {
            host::open_block(GuardPolicy::Zero, mapping, size);
            graves.bury(0..size, Grave::of_nobody());
        } else {
            self.tell_unguarded(lane, size);
        }
        graves
    }

    /// The mapping of a new memory, if it is the host that watches it.
    fn seen(&self, lane: &Lane, mapping: Option<Mapping>) -> Option<Mapping> {
        mapping.filter(|_| lane.is_coherent() && self.guards.by != GuardedBy::Gpu)
    }

    /// A memory of its own is not guarded.
    pub(super) fn tell_unguarded(&self, lane: &Lane, size: u64) {
        if self.guards.policy.is_on() {
            tracing::warn!(
                target: crate::events::GUARD, memory_type = lane.memory_type, bytes = size,
                "a dedicated memory is unguarded: guards watch blocks that allocations share"
            );
        }
    }

    /// The block of a sight goes: what it looks through goes before.
    ///
    /// # Safety
    /// The device contract; no submitted work uses the block.
    pub(super) unsafe fn close_sight(&self, sight: Sight) {
        if let Sight::Gpu(buffer) = sight {
            let overlay = crate::vulkan::Resource::Buffer(buffer);
            // SAFETY: the caller's promise; the buffer is the block's alone.
            unsafe { self.vulkan.destroy_resource(overlay) };
        }
    }

    /// A range was granted where guards are on, and its owner does not know of it yet.
    #[cold]
    #[inline(never)]
    pub(super) fn guard_hand_out(&self, lane: &Lane, entry: Entry) {
        let mut state = lane.lock();
        if state.guards == GuardPolicy::Zero && !work::reads_zero(&state, entry) {
            self.guards.unzeroed.fetch_add(1, Ordering::Relaxed);
            let block = state.blocks.block_mut(entry.slot);
            if let Some(block) = block.filter(|block| block.fresh == Fresh::Yes) {
                block.fresh = Fresh::Told;
                let bytes = block.size;
                drop(state);
                tracing::warn!(
                    target: crate::events::GUARD, memory_type = lane.memory_type, bytes,
                    "memory is handed out as the driver gave it: no scrub has gone over its block"
                );
                return;
            }
        }
        match state.blocks.block(entry.slot).map(|block| block.sight) {
            Some(Sight::Host(mapping)) => self.host_hand_out(state, lane, entry, mapping),
            Some(Sight::Gpu(_)) => self.scrub_hand_out(state, entry),
            Some(Sight::None) | None => {}
        }
    }

    /// Allocations end: their entries are pending and in the caller's hands alone, their resources
    /// destroyed. What the host watches is checked and poisoned, without the lock; what the GPU
    /// watches is taken out of the entries, and is free only after a scrub.
    pub(super) fn guard_ends<'a>(
        &self,
        lane: &'a Lane,
        mut state: Locked<'a, LaneState>,
        entries: &mut Vec<Entry>,
        points: &RetirePoints,
    ) -> Locked<'a, LaneState> {
        self.scrub_ends(&mut state, entries, points);
        state = self.host_ends(lane, state, entries, points);
        self.lay_to_rest(lane, &mut state, entries);
        state
    }
}

impl Allocator {
    /// Checks every margin and all poison that the host watches now, and returns what was found since
    /// the last call, here, when memory was handed out or ended, or by a scrub that the GPU is done
    /// with. Each damaged word is repaired, so it is told once.
    ///
    /// For a test's end or a debug key: reads all free memory of the watched blocks, under the lock
    /// of its memory type. Of more than 1024 findings the rest is traced and not kept. What the GPU
    /// watches is checked by [`scrub`](Self::scrub) with [`Scrub::Everything`].
    ///
    /// # Example
    /// ```
    /// # let fake = fencepost::fake::FakeDriver::new(&Default::default());
    /// use fencepost::{Allocator, AllocatorDesc, GuardPolicy};
    /// let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    ///     .guards(GuardPolicy::Full);
    /// // SAFETY: the fake device outlives the allocator, and no feature is named.
    /// let allocator = unsafe { Allocator::new(&desc) }.expect("a device with memory");
    /// assert!(allocator.check_guards().is_empty());
    /// ```
    pub fn check_guards(&self) -> Vec<Corruption> {
        let inner = self.inner();
        if inner.guards.is_on() {
            if inner.guards.scrubs() {
                let reached = inner.poll();
                inner.finish_scrubs(reached.bag(), &mut Default::default());
            }
            inner.lanes().for_each(|lane| inner.host_check(lane));
        }
        core::mem::take(&mut lock(&inner.guards.found))
    }

    /// How much of the memory is watched. All zero where guards are off. O(blocks).
    pub fn guard_coverage(&self) -> GuardCoverage {
        let inner = self.inner();
        let mut coverage = GuardCoverage {
            unzeroed_allocations: inner.guards.unzeroed.load(Ordering::Relaxed),
            ..GuardCoverage::default()
        };
        for lane in inner.lanes() {
            let state = lane.lock();
            if !state.guards.is_on() {
                continue;
            }
            for (_, block) in state.blocks.iter() {
                let c = &mut coverage;
                let (count, bytes) = match block.sight {
                    _ if block.is_dedicated() => (&mut c.dedicated_blocks, &mut c.dedicated_bytes),
                    Sight::None => (&mut c.unseen_blocks, &mut c.unseen_bytes),
                    Sight::Host(_) => (&mut c.guarded_blocks, &mut c.guarded_bytes),
                    Sight::Gpu(_) => {
                        c.scrubbed_blocks += 1;
                        c.scrubbed_bytes += block.size;
                        (&mut c.guarded_blocks, &mut c.guarded_bytes)
                    }
                };
                *count += 1;
                *bytes += block.size;
            }
        }
        coverage
    }
}
