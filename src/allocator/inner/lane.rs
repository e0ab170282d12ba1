//! A lane: the lock of one memory type or arena, its constants, and the data that the lock guards.

use std::{
    collections::TryReserveError,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering},
    },
};

use ash::vk;

use super::super::{
    desc::AllocatorDesc,
    error::NewError,
    guards::{Resting, WaitList},
    share::Lately,
    soonest::Soonest,
};
use super::{Inner, Life};
use crate::{
    ground::{
        lock::{Lock, Locked},
        published::Published,
    },
    guard::GuardPolicy,
    memory::{Areas, ArenaPolicy, BlockList, Broken, Counters, Entry, Heirs, Sight, Stay, Whose},
    policy::{
        growth::Growth,
        select::{MemoryType, bits},
    },
    record::Tape,
    retire::Bags,
    vulkan::{Resource, Vulkan},
};

/// The granule of host-visible memory, where small allocations are frequent.
const HOST_GRANULE: u64 = 64;

/// The granule of memory that only the GPU can access. No buffer's alignment is larger, because
/// none of the limits (`minUniformBufferOffsetAlignment` and similar) may be, so none needs
/// padding.
const DEVICE_GRANULE: u64 = 256;

/// One memory type, or one arena: its lock and its constants, on its own cache lines.
#[repr(align(128))]
pub(in super::super) struct Lane {
    /// Its index among the lanes: the memory type, or a number above all of them.
    pub(in super::super) index: u32,
    pub(in super::super) memory_type: u32,
    pub(in super::super) flags: vk::MemoryPropertyFlags,
    pub(in super::super) heap: u32,
    pub(in super::super) heap_size: u64,
    pub(in super::super) growth: Growth,
    /// The smallest granule of a block, in bytes.
    pub(in super::super) granule: u64,
    /// Whether allocations here may end in the common way: nothing observes or records them, and
    /// the blocks are not guarded. Only changed while the lane has no blocks.
    plain: AtomicBool,
    /// What its bags wait for; a hint that saves `collect` the lock.
    pub(in super::super) soonest: Soonest,
    /// The collect at which an empty block has been empty for too long; also a hint.
    expiry: AtomicU64,
    /// The collect that ends a rest; also a hint.
    rest: AtomicU64,
    /// Held while a block is mapped for one access.
    pub(in super::super) mapping_turn: Mutex<()>,
    /// The counts of its blocks.
    pub(in super::super) counters: Arc<Counters>,
    /// Drops that wait in the bag for drops before any timeline.
    pub(in super::super) untimed: Published,
    #[cfg(test)]
    locks: AtomicU64,
    state: Lock<LaneState>,
}

/// The data that a lane's lock guards.
pub(in super::super) struct LaneState {
    pub(in super::super) blocks: BlockList,
    /// The guard policy of its blocks.
    pub(in super::super) guards: GuardPolicy,
    /// An [entry](Entry::gone) of no block stands for a range that another owner took over.
    pub(in super::super) bags: Bags<Entry>,
    pub(in super::super) heirs: Heirs,
    /// Entries that wait for a scrub.
    pub(in super::super) waiting: WaitList,
    /// Entries in quarantine where the host watches.
    pub(in super::super) resting: Resting,
    pub(in super::super) retired: Lately,
    /// The lists of a collect, kept here to reuse their memory.
    pub(in super::super) scratch: Scratch,
    /// The reference that each non-empty block holds, by slot.
    keepers: Vec<Option<Arc<Inner>>>,
    /// Whether an arena's handle holds this lane.
    pub(in super::super) claimed: bool,
    /// The name of the arena that holds it, or held it last.
    pub(in super::super) name: Option<&'static str>,
    /// The number of blocks that an arena's threads are currently requesting.
    pub(in super::super) asked: u32,
    /// Where changes are recorded, if there is a record.
    pub(in super::super) tape: Option<Box<Tape>>,
}

/// The number of entries of a lane that a collect can always process, however little memory the
/// host has.
const LEAST_ENTRIES: usize = 32;

/// The lists that a collect works with.
#[derive(Default)]
pub(in super::super) struct Scratch {
    pub(in super::super) entries: Vec<Entry>,
    pub(in super::super) resources: Vec<Resource>,
}

impl Lane {
    /// The lane of a memory type of the device.
    pub(super) fn for_type(
        memory_type: u32,
        vulkan: &Vulkan,
        desc: &AllocatorDesc<'_>,
        plain: bool,
        tape: Option<Box<Tape>>,
    ) -> Result<Self, NewError> {
        let properties = vulkan.properties();
        let heapless = NewError::HeaplessType { memory_type };
        let &MemoryType { flags, heap } =
            properties.types.get(memory_type as usize).ok_or(heapless)?;
        let heap_size = properties.heaps.get(heap as usize).ok_or(heapless)?.size;
        let smallest = match (flags & bits::HOST_VISIBLE, flags & bits::HOST_COHERENT) {
            (0, _) => DEVICE_GRANULE,
            (_, 0) => HOST_GRANULE.max(properties.non_coherent_atom_size),
            _ => HOST_GRANULE,
        };
        let own = desc.heap_blocks.get(heap as usize).copied().flatten();
        let (first, largest) = own.unwrap_or((desc.first_block, desc.largest_block));
        let growth = Growth::for_heap(first, largest, heap_size, properties.max_allocation_size);
        let stay = Stay::lingering(desc.linger, growth.large());
        let granule = Areas::granule_for(heap_size, smallest);
        let mut blocks = BlockList::new(granule, growth.large(), stay);
        blocks.ranked = vulkan.moves_priorities();
        Ok(Self {
            index: memory_type,
            memory_type,
            flags: vk::MemoryPropertyFlags::from_raw(flags),
            heap,
            heap_size,
            growth,
            granule,
            plain: AtomicBool::new(plain),
            ..Self::around(LaneState::new(blocks, desc.guards, tape))
        })
    }

    /// A lane for arenas of the same memory type as `twin`.
    pub(super) fn for_arenas(twin: &Self, index: u32, stay: Stay, tape: Option<Box<Tape>>) -> Self {
        let blocks = BlockList::new(twin.granule, twin.growth.large(), stay);
        let state = LaneState::new(blocks, GuardPolicy::Off, tape);
        Self {
            index,
            memory_type: twin.memory_type,
            flags: twin.flags,
            heap: twin.heap,
            heap_size: twin.heap_size,
            growth: twin.growth,
            granule: twin.granule,
            ..Self::around(state)
        }
    }

    /// The lane of an allocator that may still be under construction.
    pub(super) fn owned_by(self, allocator: &Weak<Inner>) -> Self {
        let allocator = AtomicPtr::new(allocator.as_ptr().cast_mut().cast());
        self.lock().blocks.whose = Whose { allocator, lane: self.index };
        self
    }

    /// A lane with this state that does not belong to anything yet.
    fn around(state: LaneState) -> Self {
        Self {
            index: 0,
            memory_type: 0,
            flags: vk::MemoryPropertyFlags::empty(),
            heap: 0,
            heap_size: 0,
            growth: Growth { first: 0, largest: 0 },
            granule: 0,
            plain: AtomicBool::new(false),
            soonest: Soonest::default(),
            expiry: AtomicU64::new(u64::MAX),
            rest: AtomicU64::new(u64::MAX),
            mapping_turn: Mutex::default(),
            counters: Arc::clone(state.blocks.counters()),
            untimed: Published::default(),
            #[cfg(test)]
            locks: AtomicU64::new(0),
            state: Lock::new(state),
        }
    }

    /// Gives the lane to an arena, if no other arena holds it and nothing of a previous one is
    /// left. Returns whether it did. `plain` says whether the allocator neither observes nor
    /// records.
    pub(super) fn claim(&self, stay: Stay, guards: GuardPolicy, plain: bool) -> bool {
        let mut state = self.lock();
        let free = !state.claimed && state.blocks.count() == 0;
        if free {
            (state.claimed, state.blocks.stay, state.guards) = (true, stay, guards);
            state.blocks.counters().hand_on();
            self.plain.store(plain && !guards.is_on(), Ordering::Relaxed);
        }
        free
    }

    /// Whether allocations here may end in the common way; takes no lock.
    #[inline(always)]
    pub(in super::super) fn is_plain(&self) -> bool {
        self.plain.load(Ordering::Relaxed)
    }

    #[inline]
    pub(in super::super) fn lock(&self) -> Locked<'_, LaneState> {
        #[cfg(test)]
        self.locks.fetch_add(1, Ordering::Relaxed);
        self.state.lock()
    }

    pub(in super::super) fn is_host_visible(&self) -> bool {
        self.flags.contains(vk::MemoryPropertyFlags::HOST_VISIBLE)
    }

    pub(in super::super) fn is_coherent(&self) -> bool {
        self.flags.contains(vk::MemoryPropertyFlags::HOST_COHERENT)
    }

    /// Whether the host writes to the device in whole atoms, which include neighbouring bytes.
    pub(in super::super) fn writes_atoms(&self) -> bool {
        self.is_host_visible() && !self.is_coherent()
    }

    /// Whether an empty block may have been kept for long enough; takes no lock.
    pub(in super::super) fn may_have_expired(&self, now: u64) -> bool {
        self.expiry.load(Ordering::Relaxed) <= now
    }

    /// Updates [`may_have_expired`](Self::may_have_expired) from the present blocks.
    pub(in super::super) fn publish_expiry(&self, state: &LaneState) {
        self.expiry.store(state.blocks.next_expiry(), Ordering::Relaxed);
    }

    /// A block became empty, and is due at this collect or later; the details are examined then.
    /// Called under the lock.
    pub(in super::super) fn expect_expiry(&self, at: u64) {
        self.expiry.store(self.expiry.load(Ordering::Relaxed).min(at), Ordering::Relaxed);
    }

    /// Whether a rest may be over; takes no lock.
    pub(in super::super) fn may_have_rested(&self, now: u64) -> bool {
        self.rest.load(Ordering::Relaxed) <= now
    }

    /// Sets for [`may_have_rested`](Self::may_have_rested) which collect ends the next rest. Called
    /// under the lock.
    pub(in super::super) fn publish_rest(&self, next: u64) {
        self.rest.store(next, Ordering::Relaxed);
    }

    /// Updates [`soonest`](Self::soonest) from the present bags.
    pub(in super::super) fn publish(&self, state: &LaneState) {
        self.soonest.publish(&state.bags);
        self.untimed.set(state.bags.untimed_len() as u64);
    }

    /// How often its lock was taken.
    #[cfg(test)]
    pub(in super::super) fn locks(&self) -> u64 {
        self.locks.load(Ordering::Relaxed)
    }
}

impl Scratch {
    /// For how many of this many entries there is memory. O(1) amortised.
    pub(in super::super) fn room(&mut self, entries: usize, houses: bool) -> usize {
        let mut room = entries;
        if self.entries.try_reserve(room).is_err() {
            room = self.entries.capacity() - self.entries.len();
        }
        if houses && self.resources.try_reserve(room).is_err() {
            room = self.resources.capacity() - self.resources.len();
        }
        room
    }
}

impl LaneState {
    fn new(blocks: BlockList, guards: GuardPolicy, tape: Option<Box<Tape>>) -> Self {
        Self {
            blocks,
            guards,
            bags: Bags::default(),
            heirs: Heirs::default(),
            waiting: WaitList::default(),
            resting: Resting::default(),
            retired: Lately::default(),
            scratch: Scratch::default(),
            keepers: Vec::new(),
            claimed: false,
            name: None,
            asked: 0,
            tape,
        }
    }

    /// Ensures that one more block under a policy needs no more memory in these lists. O(1)
    /// amortised.
    pub(in super::super) fn reserve_block(
        &mut self,
        policy: ArenaPolicy,
    ) -> Result<(), TryReserveError> {
        self.blocks.reserve(policy)?;
        // This ensures that a collect always makes progress.
        self.scratch.entries.try_reserve(LEAST_ENTRIES)?;
        self.scratch.resources.try_reserve(LEAST_ENTRIES)?;
        let slots = self.blocks.slots() as usize + 1;
        self.keepers.try_reserve(slots.saturating_sub(self.keepers.len()))
    }

    /// A region of `slot` is in use: the block keeps the allocator alive.
    pub(in super::super) fn keep(&mut self, slot: u32, inner: Arc<Inner>) {
        let slot = slot as usize;
        if slot >= self.keepers.len() {
            self.keepers.resize(slot + 1, None);
        }
        self.keepers[slot] = Some(inner);
    }

    /// The block of `slot` is empty: returns its reference, which has to be dropped after the lock
    /// is released.
    pub(in super::super) fn unkeep(&mut self, slot: u32) -> Option<Arc<Inner>> {
        self.keepers.get_mut(slot as usize)?.take()
    }

    /// A share of the reference of an entry's block, if the last facade was dropped when the lock
    /// was held. Closing takes this lock after it has set the stage, so either it sees the entry,
    /// or this call sees the stage.
    pub(in super::super) fn shared_keeper(&self, life: Life, entry: Entry) -> Option<Arc<Inner>> {
        match life {
            Life::Closed => self.keepers.get(entry.slot as usize)?.clone(),
            _ => None,
        }
    }

    /// Verifies the lane. O(regions).
    pub(super) fn check(&self) -> Result<(), Broken> {
        self.blocks.check()?;
        self.bags.check().map_err(|_| Broken::Pending)?;
        let (mut pending, mut scrubbed) = (0, 0);
        for (slot, block) in self.blocks.iter() {
            let [(_, used), (_, waiting)] = block.usage();
            pending += waiting as usize;
            if let Sight::Gpu(_) = block.sight {
                scrubbed += u64::from(used + waiting);
            }
            let kept = self.keepers.get(slot as usize).is_some_and(Option::is_some);
            if kept == block.is_empty() {
                return Err(Broken::Count);
            }
        }
        if !self.waiting.has_places(scrubbed) {
            return Err(Broken::Pending);
        }
        let gone = self.bags.filed().filter(|(_, entry)| entry.is_gone()).count();
        // Entries that a collect is processing right now are pending, but in no bag.
        if pending + gone < self.bags.len() { Err(Broken::Pending) } else { Ok(()) }
    }
}
