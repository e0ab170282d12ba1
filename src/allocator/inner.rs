//! What all handles share: the device, a lane for each memory type and arena, and the register of
//! timelines.
//!
//! Locks: one for each lane, one for the register, one for objects. Never two at once, and none
//! across a driver call or user code.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
};

use ash::vk;

use super::{
    choices::Choices,
    desc::{AllocatorDesc, EndPolicy},
    error::NewError,
    guards::{Guards, Waiting},
    heaps::Heaps,
    lanes::Lanes,
    objects::ObjectLane,
    origins::Origins,
    recorder::Recorder,
    register::Register,
    share::Lately,
};
use crate::{
    events,
    ground::sync::lock,
    guard::GuardPolicy,
    memory::{Batch, BlockList, Broken, Entry, Heirs, Stay},
    policy::{
        growth::Growth,
        intent::Shape,
        select::{MemoryType, Rules, bits},
    },
    record::Tape,
    retire::{BagNumber, Bags},
    vulkan::{Resource, Vulkan},
};

/// The heart of an allocator. Facades, timelines, views and non-empty blocks each hold a count.
pub(crate) struct Inner {
    /// For a block that becomes non-empty, and for handles that outlive the last facade.
    pub(super) myself: Weak<Inner>,
    pub(super) vulkan: Vulkan,
    /// Tells this allocator's raw keys and points from another's.
    pub(super) id: u32,
    lanes: Lanes<Lane>,
    pub(super) shape: Shape,
    pub(super) rules: Rules,
    pub(super) choices: Choices,
    /// What no single request may exceed, in bytes.
    pub(super) largest_request: u64,
    pub(super) objects: ObjectLane,
    #[cfg(feature = "descriptors")]
    pub(super) descriptors: super::descriptor_pools::DescriptorLane,
    register: Mutex<Register>,
    pub(super) recorder: Recorder,
    /// The register's bag numbers, so that a drop need not take its lock.
    current: AtomicU64,
    reached: AtomicU64,
    life: AtomicU8,
    lost: AtomicBool,
    /// Neither shut down nor lost: one read for both.
    granting: AtomicBool,
    /// Collects so far: the clock by which empty blocks linger.
    pub(super) collects: AtomicU64,
    pub(super) untimed_reported: AtomicBool,
    pub(super) end_policy: EndPolicy,
    pub(super) audit: bool,
    /// Audited, or someone listened to single allocations when this was made.
    pub(super) observed: bool,
    /// Neither observed nor recorded, nor guarded where an arena says nothing else: one test for what is
    /// nearly always so.
    pub(super) plain: bool,
    pub(super) origins: Origins,
    pub(super) map_on_access: bool,
    pub(super) guards: Guards,
    pub(super) heaps: Heaps,
    /// The user's owner of the device. The last field, so that it goes last.
    _keep_alive: Option<Arc<dyn Any + Send + Sync>>,
}

/// One memory type, or one arena: its lock, and its constants. On cache lines of its own.
#[repr(align(128))]
pub(super) struct Lane {
    /// Its place among the lanes: the memory type, or a number above all of them.
    pub(super) index: u32,
    pub(super) memory_type: u32,
    pub(super) flags: vk::MemoryPropertyFlags,
    pub(super) heap: u32,
    pub(super) heap_size: u64,
    pub(super) growth: Growth,
    /// The smallest granule of a block, in bytes.
    pub(super) granule: u64,
    /// The oldest bag with anything in it; a hint that saves `collect` the lock.
    oldest: AtomicU64,
    dated: AtomicBool,
    /// The collect at which an empty block has lingered too long; a hint like `oldest`.
    expiry: AtomicU64,
    /// Held while a block is mapped for one access.
    pub(super) mapping_turn: Mutex<()>,
    state: Mutex<LaneState>,
}

/// What a lane's lock guards.
pub(super) struct LaneState {
    pub(super) blocks: BlockList,
    /// How its blocks are watched.
    pub(super) guards: GuardPolicy,
    /// An [entry](Entry::gone) of no block stands for a range that another owner took over.
    pub(super) bags: Bags<Entry>,
    pub(super) heirs: Heirs,
    /// What waits for a scrub.
    pub(super) waiting: Vec<Waiting>,
    pub(super) retired: Lately,
    /// What a collect has in hand; here only to keep its memory.
    pub(super) scratch: Scratch,
    /// The count each non-empty block holds, by slot.
    keepers: Vec<Option<Arc<Inner>>>,
    pub(super) live: u64,
    pub(super) peak_live: u64,
    /// Allocations ever made.
    pub(super) granted: u64,
    /// Of those, by arenas that had the lane before.
    pub(super) granted_before: u64,
    /// The peak of those.
    pub(super) peak_before: u64,
    /// An arena's handle holds this lane.
    pub(super) claimed: bool,
    /// What the arena that holds it, or was the last to, is called.
    pub(super) name: Option<&'static str>,
    /// Blocks that an arena's threads are just asking for.
    pub(super) asked: u32,
    /// Where changes are written down, if there is a record.
    pub(super) tape: Option<Box<Tape>>,
}

/// The lists that a collect works with.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) entries: Vec<Entry>,
    pub(super) resources: Vec<Resource>,
    pub(super) batch: Batch,
}

/// Where an allocator is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Open = 0,
    /// The last facade is gone; handles live on.
    Closed = 1,
    /// The device may be gone; handles are inert.
    ShutDown = 2,
}

/// Blocks share pages of this size in any case: it keeps small alignments out of the search.
const SMALLEST_GRANULE: u64 = 64;

/// A lane's index fits this many bits.
pub(super) const LANE_BITS: u32 = Lanes::<Lane>::BITS;

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
        let mut lanes = Vec::with_capacity(properties.types.len());
        for (index, &MemoryType { flags, heap }) in properties.types.iter().enumerate() {
            let memory_type = index as u32;
            let heap_size = properties
                .heaps
                .get(heap as usize)
                .map(|heap| heap.size)
                .ok_or(NewError::HeaplessType { memory_type })?;
            let coherent = flags & bits::HOST_VISIBLE == 0 || flags & bits::HOST_COHERENT != 0;
            let atom = if coherent { 1 } else { properties.non_coherent_atom_size };
            let own = desc.heap_blocks.get(heap as usize).copied().flatten();
            let (first, largest) = own.unwrap_or((desc.first_block, desc.largest_block));
            let growth =
                Growth::for_heap(first, largest, heap_size, properties.max_allocation_size);
            let stay = Stay::lingering(desc.linger, growth.large());
            let mut blocks = BlockList::new(growth.large(), stay);
            blocks.ranked = vulkan.moves_priorities();
            lanes.push(Lane {
                index: memory_type,
                memory_type,
                flags: vk::MemoryPropertyFlags::from_raw(flags),
                heap,
                heap_size,
                growth,
                granule: SMALLEST_GRANULE.max(atom),
                oldest: AtomicU64::new(BagNumber::NEVER.get()),
                dated: AtomicBool::new(false),
                expiry: AtomicU64::new(u64::MAX),
                mapping_turn: Mutex::default(),
                state: Mutex::new(LaneState::new(
                    blocks,
                    desc.guards,
                    recorder.tape(memory_type, memory_type),
                )),
            });
        }
        let shape = Shape::of(&properties.types, &properties.heaps);
        let rules = Rules {
            forbidden: vulkan.forbidden_types().as_raw(),
            guarded_heap: shape.guarded_heap(),
        };
        let largest_heap = properties.heaps.iter().map(|heap| heap.size).max().unwrap_or(0);
        let largest_request = properties.max_allocation_size.min(largest_heap);
        let heaps = Heaps::new(properties, &desc.heap_caps);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let observed =
            desc.audit || tracing::enabled!(target: events::ALLOCATION, tracing::Level::TRACE);
        let plain = !observed && !recorder.is_on() && !desc.guards.is_on();
        Ok(Arc::new_cyclic(|myself| Self {
            myself: Weak::clone(myself),
            vulkan,
            id,
            lanes: Lanes::new(lanes),
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
            origins: Origins::default(),
            map_on_access: desc.map_on_access,
            guards: Guards::new(desc),
            heaps,
            _keep_alive: desc.keep_alive.clone(),
        }))
    }

    /// The lanes of memory types in order, and then those of arenas.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    /// The lane of a memory type, or of an arena.
    #[inline]
    pub(super) fn lane(&self, index: u32) -> Option<&Lane> {
        self.lanes.get(index)
    }

    /// A lane for an arena of a memory type: one that another arena left, or a new one. `None` if
    /// as many arenas live as can, or there is no such type. O(arenas).
    pub(super) fn claim_lane(
        &self,
        memory_type: u32,
        stay: Stay,
        guards: GuardPolicy,
    ) -> Option<&Lane> {
        let twin = self.lane(memory_type).filter(|lane| lane.index == lane.memory_type)?;
        let mut left = self.lanes.arenas().filter(|lane| lane.memory_type == memory_type);
        left.find(|lane| lane.lock().claim(stay, guards)).or_else(|| {
            let tape = |index| self.recorder.tape(index, memory_type);
            self.lanes.add(|index| Lane::for_arena(twin, index, (stay, guards), tape(index)))
        })
    }

    /// Does something to the register, and publishes what drops need to know.
    pub(super) fn with_register<T>(&self, change: impl FnOnce(&mut Register) -> T) -> T {
        let mut register = lock(&self.register);
        let result = change(&mut register);
        let cuts = register.cuts();
        // Release: a drop that sees a number also sees what led to it. Both are stored under the
        // register's lock, so they rise in order.
        self.current.store(cuts.current().get(), Ordering::Release);
        self.reached.store(cuts.reached_bag().get(), Ordering::Release);
        result
    }

    /// The bag of a drop made now. A recording begun before the drop, in program order or by
    /// synchronisation, is counted: its number was stored before.
    pub(super) fn current_bag(&self) -> BagNumber {
        BagNumber::from_number(self.current.load(Ordering::Acquire))
    }

    /// The newest bag known to be reached; may lag, never leads.
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

    /// Whether memory is handed out: not once the allocator is shut down, or the device lost.
    #[inline]
    pub(super) fn is_granting(&self) -> bool {
        self.granting.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The device was seen lost: nothing is handed out any more and everything counts as reached.
    pub(super) fn lose(&self) {
        if !self.lost.swap(true, Ordering::AcqRel) {
            self.granting.store(false, Ordering::Release);
            tracing::error!(target: events::DEVICE, "the device is lost");
            self.with_register(Register::lose);
        }
    }

    /// Verifies everything at rest, one lock at a time. O(regions).
    pub(super) fn check(&self) -> Result<(), Broken> {
        let heaps = self.vulkan.properties().heaps.len() as u32;
        let mut held: Vec<u64> = (0..heaps).map(|heap| self.sheet_bytes(heap)).collect();
        for lane in self.lanes() {
            let state = lane.lock();
            state.check()?;
            held[lane.heap as usize] += state.blocks.reserved();
        }
        let differs = |(heap, &held): (usize, &u64)| self.heaps.reserved(heap as u32) != held;
        if self.life() != Life::ShutDown && held.iter().enumerate().any(differs) {
            return Err(Broken::Count);
        }
        lock(&self.register).cuts().check().map_err(|_| Broken::Pending)
    }
}

impl Lane {
    /// A claimed lane of the same memory type as `twin`.
    fn for_arena(
        twin: &Lane,
        index: u32,
        (stay, guards): (Stay, GuardPolicy),
        tape: Option<Box<Tape>>,
    ) -> Self {
        let mut state = LaneState::new(BlockList::new(twin.growth.large(), stay), guards, tape);
        state.claim(stay, guards);
        Self {
            index,
            memory_type: twin.memory_type,
            flags: twin.flags,
            heap: twin.heap,
            heap_size: twin.heap_size,
            growth: twin.growth,
            granule: twin.granule,
            oldest: AtomicU64::new(BagNumber::NEVER.get()),
            dated: AtomicBool::new(false),
            expiry: AtomicU64::new(u64::MAX),
            mapping_turn: Mutex::default(),
            state: Mutex::new(state),
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, LaneState> {
        lock(&self.state)
    }

    pub(super) fn is_host_visible(&self) -> bool {
        self.flags.contains(vk::MemoryPropertyFlags::HOST_VISIBLE)
    }

    pub(super) fn is_coherent(&self) -> bool {
        self.flags.contains(vk::MemoryPropertyFlags::HOST_COHERENT)
    }

    /// Whether anything here may be reached, without the lock: a drop on its way is seen next time.
    pub(super) fn may_have_reached(&self, reached: BagNumber) -> bool {
        self.oldest.load(Ordering::Relaxed) <= reached.get() || self.dated.load(Ordering::Relaxed)
    }

    /// Whether an empty block may have lingered too long, without the lock.
    pub(super) fn may_have_expired(&self, now: u64) -> bool {
        self.expiry.load(Ordering::Relaxed) <= now
    }

    /// Tells [`may_have_expired`](Self::may_have_expired) what the blocks are now.
    pub(super) fn publish_expiry(&self, state: &LaneState) {
        self.expiry.store(state.blocks.next_expiry(), Ordering::Relaxed);
    }

    /// Tells [`may_have_reached`](Self::may_have_reached) what the bags hold now.
    pub(super) fn publish(&self, state: &LaneState) {
        self.oldest.store(state.bags.oldest().get(), Ordering::Relaxed);
        self.dated.store(state.bags.has_dated(), Ordering::Relaxed);
    }
}

impl LaneState {
    fn new(blocks: BlockList, guards: GuardPolicy, tape: Option<Box<Tape>>) -> Self {
        Self {
            blocks,
            guards,
            bags: Bags::default(),
            heirs: Heirs::default(),
            waiting: Vec::new(),
            retired: Lately::default(),
            scratch: Scratch::default(),
            keepers: Vec::new(),
            live: 0,
            peak_live: 0,
            granted: 0,
            granted_before: 0,
            peak_before: 0,
            claimed: false,
            name: None,
            asked: 0,
            tape,
        }
    }

    /// A region of `slot` is in use: the block holds the allocator alive.
    pub(super) fn keep(&mut self, slot: u32, inner: Arc<Inner>) {
        let slot = slot as usize;
        if slot >= self.keepers.len() {
            self.keepers.resize(slot + 1, None);
        }
        self.keepers[slot] = Some(inner);
    }

    /// The block of `slot` is empty: its count comes out, to be dropped after the lock.
    pub(super) fn unkeep(&mut self, slot: u32) -> Option<Arc<Inner>> {
        self.keepers.get_mut(slot as usize)?.take()
    }

    /// A share of the count of an entry's block, if the last facade was gone when the lock was held:
    /// its close takes this lock after it has said so, so either it sees the entry, or this sees it.
    pub(super) fn shared_keeper(&self, life: Life, entry: Entry) -> Option<Arc<Inner>> {
        match life {
            Life::Closed => self.keepers.get(entry.slot as usize)?.clone(),
            _ => None,
        }
    }

    /// Gives the lane to an arena, if no other has it and nothing of one is left. Whether it did.
    fn claim(&mut self, stay: Stay, guards: GuardPolicy) -> bool {
        let free = !self.claimed && self.blocks.count() == 0;
        if free {
            (self.claimed, self.blocks.stay, self.guards) = (true, stay, guards);
            self.peak_before = self.peak_before.max(self.peak_live);
            (self.peak_live, self.granted_before) = (0, self.granted);
        }
        free
    }

    #[inline]
    pub(super) fn count_live(&mut self, size: u64) {
        self.granted += 1;
        self.live += size;
        self.peak_live = self.peak_live.max(self.live);
    }

    /// Verifies the lane. O(regions).
    fn check(&self) -> Result<(), Broken> {
        self.blocks.check()?;
        self.bags.check().map_err(|_| Broken::Pending)?;
        let mut live = 0;
        let mut pending = 0;
        for (slot, block) in self.blocks.iter() {
            let [(used, _), (_, waiting)] = block.usage();
            live += used;
            pending += waiting as usize;
            let kept = self.keepers.get(slot as usize).is_some_and(Option::is_some);
            if kept == block.is_empty() {
                return Err(Broken::Count);
            }
        }
        if live != self.live {
            return Err(Broken::Count);
        }
        let gone = self.bags.filed().filter(|(_, entry)| entry.is_gone()).count();
        // Entries that a collect has in hand right now are pending but in no bag.
        if pending + gone < self.bags.len() { Err(Broken::Pending) } else { Ok(()) }
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests;
