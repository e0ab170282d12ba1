//! One `vk::DeviceMemory`: shared by many allocations, or dedicated to one.

use ash::vk;

use super::{
    dedicated::Dedicated,
    grant::{Entry, Grant},
    graves::Graves,
    line::{ArenaPolicy, End, Line},
    rank::{Rank, Ranks},
    sight::{Fresh, Sight},
    tenants::Tenants,
};
use crate::{
    tlsf::{self, Config, Key, KeyError, Placed, State, TakenOver, Tlsf, room_of},
    vulkan::Mapping,
};

mod report;

/// A block, with what lives in it. The memory itself is allocated and freed by the allocator.
///
/// What every grant and end touches comes first, in the order written, on as few cache lines as it takes: a
/// list of blocks goes from one to another with each call.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Block {
    /// Null once `shutdown` has freed it under living handles.
    pub(crate) memory: vk::DeviceMemory,
    pub(crate) size: u64,
    /// Where the whole block is mapped, if its type is host-visible.
    pub(crate) mapping: Option<Mapping>,
    pub(crate) tenants: Tenants,
    /// The room of its largest free range, by which the index of blocks knows it; 0 for none.
    pub(super) room: u32,
    /// Made to measure for one large request: small ones stay out of it, so that it goes with it.
    pub(crate) tailored: bool,
    /// It takes no new tenants while others have room, so that it becomes empty.
    pub(crate) closed: bool,
    /// No other resource than the one it was made for may be bound to it.
    pub(crate) exclusive: bool,
    /// There is no block: the slot waits for the next.
    pub(super) vacant: bool,
    space: Space,
    pub(crate) graves: Graves,
    pub(crate) sight: Sight,
    pub(crate) fresh: Fresh,
    /// The handle types that it was made to be exported as, as bits.
    pub(crate) exported_as: u32,
    /// The collect at which it became empty, while it is.
    pub(crate) empty_since: u64,
    /// The ranks of those who live here, where they count.
    pub(super) ranks: Ranks,
    /// What the driver was told last.
    pub(super) told: Rank,
    /// It is listed to be looked at: the driver may have to be told another.
    pub(super) restless: bool,
    /// The driver is being told: the block stays.
    pub(super) held: bool,
}

/// With a tag of its own: one that hides in the vector of a block's nodes costs more to read.
#[derive(Debug)]
#[repr(u8)]
enum Space {
    Shared(Tlsf),
    Line(Line),
    Dedicated(Dedicated),
}

/// What a list of blocks writes down of a change in one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// The [room](Block::room) before and now.
    pub(super) before: u32,
    pub(super) now: u32,
    /// It was empty and is so no more, or the other way round.
    pub(super) turned: bool,
}

impl Block {
    /// A block to be split, by an arena's policy. `granule` as [`Config`] asks; `serial` continues the
    /// slot's numbers.
    pub(crate) fn shared(
        policy: ArenaPolicy,
        memory: vk::DeviceMemory,
        size: u64,
        granule: u64,
        serial: u32,
        mapping: Option<Mapping>,
    ) -> Result<Self, tlsf::ConfigError> {
        let line = |is_ring| Space::Line(Line::new(is_ring, size, granule, serial));
        let space = match policy {
            ArenaPolicy::Tlsf => {
                let granule = Config::granule_for(size, granule);
                let config = Config { first_serial: serial, ..Config::new(size, granule) };
                Space::Shared(Tlsf::new(&config)?)
            }
            ArenaPolicy::Ring => line(true),
            ArenaPolicy::DoubleStack => line(false),
        };
        Ok(Self::new(memory, size, mapping, space))
    }

    /// A shared block to be [`tailored`](Self::tailored), or not.
    pub(crate) fn with_tailored(self, tailored: bool) -> Self {
        Self { tailored, ..self }
    }

    /// A block of which the driver was told a rank, or nothing.
    pub(crate) fn with_rank(self, told: Option<Rank>) -> Self {
        Self { told: told.unwrap_or(Rank::USUAL), ..self }
    }

    /// A block whose guards are kept so.
    pub(crate) fn with_sight(self, sight: Sight) -> Self {
        let fresh = if let Sight::Gpu(_) = sight { Fresh::Yes } else { Fresh::No };
        Self { sight, fresh, ..self }
    }

    /// A block for one allocation, which is made at once.
    pub(crate) fn dedicated(
        memory: vk::DeviceMemory,
        size: u64,
        serial: u32,
        mapping: Option<Mapping>,
    ) -> Self {
        let space = Space::Dedicated(Dedicated::new(size, serial));
        Self::new(memory, size, mapping, space)
    }

    /// What stands in a slot without a block: nothing fits there, and no key is of it. The next block's serials
    /// continue at `serial`.
    pub(super) fn vacant(serial: u32) -> Self {
        let none = Self::dedicated(vk::DeviceMemory::null(), 0, serial.wrapping_sub(1), None);
        Self { vacant: true, ..none }
    }

    /// A block of which nothing is known but its memory.
    fn new(memory: vk::DeviceMemory, size: u64, mapping: Option<Mapping>, space: Space) -> Self {
        let mut block = Self {
            memory,
            size,
            mapping,
            tenants: Tenants::default(),
            graves: Graves::default(),
            sight: Sight::None,
            fresh: Fresh::No,
            exclusive: false,
            exported_as: 0,
            empty_since: 0,
            tailored: false,
            closed: false,
            vacant: false,
            ranks: Ranks::default(),
            told: Rank::USUAL,
            restless: false,
            held: false,
            room: 0,
            space,
        };
        block.measure();
        block
    }

    /// Split by TLSF.
    pub(crate) fn is_split(&self) -> bool {
        matches!(self.space, Space::Shared(_))
    }

    pub(crate) fn is_dedicated(&self) -> bool {
        matches!(self.space, Space::Dedicated(_))
    }

    /// A range for a request, if one is free. O(1).
    #[inline(always)]
    pub(super) fn allocate(&mut self, size: u64, alignment: u64) -> Option<(Placed, Change)> {
        let Space::Shared(tlsf) = &mut self.space else {
            return self.allocate_at(End::Lower, size, alignment);
        };
        let before = self.room;
        let (placed, cut) = tlsf.allocate_telling(size, alignment)?;
        let turned = tlsf.taken_count() == 1;
        if cut < before {
            return Some((placed, Change { before, now: before, turned }));
        }
        self.room = tlsf.room();
        Some((placed, Change { before, now: self.room, turned }))
    }

    /// What is granted with a range that was placed here.
    #[inline(always)]
    pub(super) fn grant(&self, slot: u32, placed: Placed, first: bool) -> Grant {
        let Placed { key, offset, size } = placed;
        let &Self { memory, mapping, size: block_size, .. } = self;
        Grant { entry: Entry { slot, key }, memory, offset, size, mapping, block_size, first }
    }

    /// [`allocate`](Self::allocate) at the upper end, where there is one.
    #[inline(never)]
    pub(super) fn allocate_at(
        &mut self,
        end: End,
        size: u64,
        alignment: u64,
    ) -> Option<(Placed, Change)> {
        if self.is_split() {
            return self.allocate(size, alignment);
        }
        let (placed, change) = self.change(|block| match &mut block.space {
            Space::Line(line) => line.allocate(size, alignment, end),
            Space::Dedicated(dedicated) => dedicated.allocate(size),
            Space::Shared(_) => None,
        });
        Some((placed?, change))
    }

    /// A range for a request, if any free region holds it. O(free regions).
    pub(super) fn allocate_anywhere(
        &mut self,
        size: u64,
        alignment: u64,
    ) -> Option<(Placed, Change)> {
        let (placed, change) = self.change(|block| match &mut block.space {
            Space::Shared(tlsf) => tlsf.allocate_anywhere(size, alignment).ok(),
            Space::Line(_) | Space::Dedicated(_) => None,
        });
        Some((placed?, change))
    }

    /// Does something to the block, and tells what has changed.
    fn change<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> (T, Change) {
        let (before, was_empty) = (self.room, self.is_empty());
        let done = act(self);
        self.measure();
        (done, Change { before, now: self.room, turned: was_empty != self.is_empty() })
    }

    /// Whether [`allocate_at`](Self::allocate_at) would find a range. O(1).
    pub(crate) fn holds(&self, end: End, size: u64, alignment: u64) -> bool {
        match &self.space {
            Space::Shared(tlsf) => tlsf.holds(size, alignment),
            Space::Line(line) => line.holds(size, alignment, end),
            Space::Dedicated(_) => false,
        }
    }

    /// Whether [`allocate_anywhere`](Self::allocate_anywhere) would find a range. O(free regions).
    pub(crate) fn holds_anywhere(&self, size: u64, alignment: u64) -> bool {
        match &self.space {
            Space::Shared(tlsf) => tlsf.holds_anywhere(size, alignment),
            Space::Line(_) | Space::Dedicated(_) => false,
        }
    }

    /// Takes all that is free, so that nobody gets it meanwhile: Free → Pending. O(free regions).
    pub(super) fn hold(&mut self) -> (Vec<Key>, Change) {
        self.change(|block| match &mut block.space {
            Space::Shared(tlsf) => Self::hold_regions(tlsf),
            Space::Line(line) => line.hold(),
            Space::Dedicated(_) => Vec::new(),
        })
    }

    fn hold_regions(tlsf: &mut Tlsf) -> Vec<Key> {
        let mut keys = Vec::new();
        loop {
            // A range of the largest class is always found; the largest range itself, mostly.
            let sizes = [tlsf.largest_free(), tlsf.largest_class()];
            let size = sizes.into_iter().filter(|&size| size > 0);
            let Some(placed) = size.into_iter().find_map(|size| tlsf.allocate(size, 1).ok()) else {
                return keys;
            };
            match tlsf.retire(placed.key) {
                Ok(_) => keys.push(placed.key),
                Err(error) => unreachable!("{placed:?} was just granted: {error}"),
            }
        }
    }

    /// Used → Pending. O(1).
    #[inline(always)]
    pub(crate) fn retire(&mut self, key: Key) -> Result<u64, KeyError> {
        match &mut self.space {
            Space::Shared(tlsf) => tlsf.retire(key).map(|freed| freed.size),
            _ => self.turn_unsplit(key, State::Used, State::Pending).map(|(bytes, _)| bytes),
        }
    }

    /// Pending → Free. O(1).
    #[inline(always)]
    pub(super) fn reach(&mut self, key: Key) -> Result<(u64, Change), KeyError> {
        let Space::Shared(tlsf) = &mut self.space else {
            return self.turn_unsplit(key, State::Pending, State::Free);
        };
        let (bytes, room) = tlsf.reach_telling(key)?;
        let turned = tlsf.is_empty();
        Ok((bytes, self.gain(room, turned)))
    }

    /// A region has become free that has so much room.
    #[inline(always)]
    fn gain(&mut self, room: u32, turned: bool) -> Change {
        let before = self.room;
        self.room = before.max(room);
        Change { before, now: self.room, turned }
    }

    /// Reads what [`reach`](Self::reach) is about to: a number that means nothing. O(1).
    #[inline(always)]
    pub(crate) fn glance(&self, key: Key) -> u32 {
        match &self.space {
            Space::Shared(tlsf) => tlsf.glance(key),
            Space::Line(_) | Space::Dedicated(_) => 0,
        }
    }

    /// Pending → Free for many: neighbours merge before they meet the bins. O(keys).
    pub(super) fn reach_batch(&mut self, keys: &[Key]) -> Result<(u64, Change), KeyError> {
        let (reached, change) = self.change(|block| match &mut block.space {
            Space::Shared(tlsf) => {
                let before = tlsf.pending_bytes();
                tlsf.reach_batch(keys).map(|()| before - tlsf.pending_bytes())
            }
            Space::Line(line) => {
                keys.iter().map(|&key| line.turn(key, State::Pending, State::Free)).sum()
            }
            Space::Dedicated(dedicated) => {
                keys.iter().map(|&key| dedicated.turn(key, State::Pending, State::Free)).sum()
            }
        });
        Ok((reached?, change))
    }

    /// Pending → Used by another, whose range begins where the pending one did. `None` for what does
    /// not fit, and for a memory of one owner. O(1).
    pub(crate) fn take_over(&mut self, key: Key, size: u64, alignment: u64) -> Option<TakenOver> {
        match &mut self.space {
            Space::Shared(tlsf) => tlsf.take_over(key, size, alignment).ok(),
            Space::Line(_) | Space::Dedicated(_) => None,
        }
    }

    /// Two pending neighbours become one, under the key of the first. `None`, and nothing has changed, if they are
    /// none. O(1).
    pub(crate) fn join(&mut self, first: Key, second: Key) -> Option<()> {
        match &mut self.space {
            Space::Shared(tlsf) => tlsf.join(first, second).ok(),
            Space::Line(_) | Space::Dedicated(_) => None,
        }
    }

    /// Used → Free. O(1).
    #[inline(always)]
    pub(super) fn free(&mut self, key: Key) -> Result<(u64, Change), KeyError> {
        let Space::Shared(tlsf) = &mut self.space else {
            return self.turn_unsplit(key, State::Used, State::Free);
        };
        let (bytes, room) = tlsf.free_telling(key)?;
        let turned = tlsf.is_empty();
        Ok((bytes, self.gain(room, turned)))
    }

    /// From one state to another, where no TLSF splits the block.
    #[inline(never)]
    fn turn_unsplit(
        &mut self,
        key: Key,
        from: State,
        to: State,
    ) -> Result<(u64, Change), KeyError> {
        let (bytes, change) = self.change(|block| match &mut block.space {
            Space::Shared(_) => unreachable!("a TLSF splits the block"),
            Space::Line(line) => line.turn(key, from, to),
            Space::Dedicated(dedicated) => dedicated.turn(key, from, to),
        });
        Ok((bytes?, change))
    }

    /// The room of what [`largest_class`](Self::largest_class) tells. O(1).
    fn measured(&self) -> u32 {
        match &self.space {
            Space::Shared(tlsf) => tlsf.room(),
            Space::Line(line) => room_of(line.largest()),
            Space::Dedicated(_) => 0,
        }
    }

    /// Looks how much room there is now.
    fn measure(&mut self) {
        self.room = self.measured();
    }
}
