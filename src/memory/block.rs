//! One `vk::DeviceMemory`: shared by many allocations, or dedicated to one.

use core::ops::Deref;
use std::collections::TryReserveError;

use ash::vk;

use super::{
    areas::{Areas, Plot},
    broken::Broken,
    dedicated::Dedicated,
    graves::Graves,
    line::{End, Line},
    plate::Plates,
    rank::{Rank, Ranks},
    sight::{Fresh, Sight},
    tenants::{Tenant, Tenants},
};
use crate::{
    tlsf::{Key, KeyError, Placed, Region, State},
    vulkan::{Mapping, Resource},
};

/// A block, and the state of what is in it. The allocator allocates and frees the memory itself.
///
/// The fields that every grant and end touches come first, in the order written, on one cache line,
/// because consecutive calls on a list go to different blocks.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Block {
    /// What handles know of the block, once it is in a list.
    pub(crate) plates: Plates,
    /// The number of its regions that are used or pending, if TLSF splits it.
    pub(super) taken: u32,
    /// The number of these that are pending.
    pub(super) pending: u32,
    /// Whether it was made to measure for one large request. Small requests stay out of it, so that
    /// it can be freed together with that one.
    pub(crate) tailored: bool,
    /// Whether it accepts no new tenants while other blocks have room, so that it becomes empty.
    pub(crate) closed: bool,
    /// Whether only the resource for which it was made may be bound to it.
    pub(crate) exclusive: bool,
    pub(super) space: Space,
    /// Null after `shutdown` has freed it under live handles.
    pub(crate) memory: vk::DeviceMemory,
    pub(crate) size: u64,
    /// The mapping of the whole block, if its type is host-visible.
    pub(crate) mapping: Option<Mapping>,
    /// The tenants of a line or of dedicated memory. Those of blocks that TLSF splits are in
    /// [`Areas`].
    pub(super) tenants: Tenants,
    pub(crate) graves: Graves,
    pub(crate) sight: Sight,
    pub(crate) fresh: Fresh,
    /// The handle types as which it can be exported, as bits.
    pub(crate) exported_as: u32,
    /// The collect at which it became empty, while it is empty.
    pub(crate) empty_since: u64,
    /// The ranks of its allocations, if ranks matter.
    pub(super) ranks: Ranks,
    /// The rank of which the driver was told last.
    pub(super) told: Rank,
    /// Whether it is listed to be looked at, because the driver may have to be told another rank.
    pub(super) restless: bool,
    /// Whether the driver is being told, so that the block must stay.
    pub(super) held: bool,
}

/// How a block is split.
#[derive(Debug)]
#[repr(u8)]
pub(super) enum Space {
    /// By a TLSF that is shared with other blocks.
    Plot(Plot),
    Line(Line),
    Dedicated(Dedicated),
    /// Not yet: it is in no list.
    None,
}

impl Block {
    /// Creates a block to be split. Its list determines how.
    pub(crate) fn shared(memory: vk::DeviceMemory, size: u64, mapping: Option<Mapping>) -> Self {
        Self {
            memory,
            size,
            mapping,
            plates: Plates::default(),
            taken: 0,
            pending: 0,
            tailored: false,
            closed: false,
            exclusive: false,
            space: Space::None,
            tenants: Tenants::default(),
            graves: Graves::default(),
            sight: Sight::None,
            fresh: Fresh::No,
            exported_as: 0,
            empty_since: 0,
            ranks: Ranks::default(),
            told: Rank::USUAL,
            restless: false,
            held: false,
        }
    }

    /// Creates a block for one allocation, which is made immediately.
    pub(crate) fn dedicated(memory: vk::DeviceMemory, size: u64, mapping: Option<Mapping>) -> Self {
        let space = Space::Dedicated(Dedicated::new(size, 0));
        Self { space, ..Self::shared(memory, size, mapping) }
    }

    /// Sets whether a shared block is [`tailored`](Self::tailored).
    pub(crate) fn with_tailored(self, tailored: bool) -> Self {
        Self { tailored, ..self }
    }

    /// Sets the rank that the driver was told, if any.
    pub(crate) fn with_rank(self, told: Option<Rank>) -> Self {
        Self { told: told.unwrap_or(Rank::USUAL), ..self }
    }

    /// Sets how the guards of the block are maintained.
    pub(crate) fn with_sight(self, sight: Sight) -> Self {
        let fresh = if let Sight::Gpu(_) = sight { Fresh::Yes } else { Fresh::No };
        Self { sight, fresh, ..self }
    }

    /// Whether TLSF splits it.
    pub(crate) fn is_split(&self) -> bool {
        matches!(self.space, Space::Plot(_))
    }

    pub(crate) fn is_dedicated(&self) -> bool {
        matches!(self.space, Space::Dedicated(_))
    }

    /// Allocates a range at an end, in a block that TLSF does not split.
    pub(super) fn allocate_unsplit(
        &mut self,
        size: u64,
        alignment: u64,
        end: End,
    ) -> Option<Placed> {
        match &mut self.space {
            Space::Line(line) => line.allocate(size, alignment, end),
            Space::Dedicated(dedicated) => dedicated.allocate(size),
            Space::Plot(_) | Space::None => None,
        }
    }

    /// Whether [`allocate_unsplit`](Self::allocate_unsplit) would find a range. O(1).
    pub(super) fn holds_unsplit(&self, size: u64, alignment: u64, end: End) -> bool {
        match &self.space {
            Space::Line(line) => line.holds(size, alignment, end),
            _ => false,
        }
    }

    /// Changes the state of a range in a block that TLSF does not split. Returns the bytes.
    pub(super) fn turn_unsplit(
        &mut self,
        key: Key,
        from: State,
        to: State,
    ) -> Result<u64, KeyError> {
        match &mut self.space {
            Space::Line(line) => line.turn(key, from, to),
            Space::Dedicated(dedicated) => dedicated.turn(key, from, to),
            Space::Plot(_) | Space::None => Err(KeyError::Unknown),
        }
    }

    /// Whether no range is used or pending. O(1).
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match &self.space {
            Space::Plot(_) | Space::None => self.taken == 0,
            Space::Line(line) => line.is_empty(),
            Space::Dedicated(dedicated) => dedicated.state == State::Free,
        }
    }

    /// The number of its used regions. O(1).
    pub(crate) fn live(&self) -> u32 {
        match &self.space {
            Space::Plot(_) | Space::None => self.taken - self.pending,
            Space::Line(line) => line.usage()[0].1,
            Space::Dedicated(dedicated) => u32::from(dedicated.state == State::Used),
        }
    }

    /// The largest free range of a line; 0 for other blocks. O(1).
    pub(super) fn largest_of_line(&self) -> u64 {
        match &self.space {
            Space::Line(line) => line.largest(),
            _ => 0,
        }
    }

    /// From now on the block is split in this way, with serials from `serial` on.
    pub(super) fn split(&mut self, space: Space, serial: u32) {
        match &mut self.space {
            Space::None => self.space = space,
            Space::Dedicated(dedicated) => dedicated.serial = serial,
            Space::Plot(_) | Space::Line(_) => unreachable!("a block comes to one list"),
        }
    }
}

/// A block together with what it shares with other blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(super) block: &'a Block,
    pub(super) areas: &'a Areas,
}

impl Deref for View<'_> {
    type Target = Block;

    fn deref(&self) -> &Block {
        self.block
    }
}

impl View<'_> {
    /// The region of a key, if it is used or pending.
    fn find(&self, key: Key) -> Result<Region, KeyError> {
        match &self.block.space {
            Space::Plot(plot) => self.areas.region(key, plot),
            Space::Line(line) => line.get(key),
            Space::Dedicated(dedicated) => dedicated.get(key),
            Space::None => Err(KeyError::Unknown),
        }
    }

    /// The region of a key, if it is used. O(1).
    pub(crate) fn used(&self, key: Key) -> Result<Region, KeyError> {
        let region = self.find(key)?;
        match region.state {
            State::Used => Ok(region),
            State::Pending => Err(KeyError::AlreadyRetired),
            State::Free => Err(KeyError::Stale),
        }
    }

    /// The region of a key, if it is used or pending. O(1).
    pub(crate) fn region(&self, key: Key) -> Option<Region> {
        self.find(key).ok()
    }

    /// The bytes of the region of a key, used or pending; 0 for a stale key. O(1).
    pub(crate) fn size_of(&self, key: Key) -> u64 {
        self.region(key).map_or(0, |region| region.size)
    }

    /// The serial after that of the newest allocation in this block, or in one that is split with
    /// it. The next block of the slot begins at this serial.
    pub(crate) fn next_serial(&self) -> u32 {
        match &self.block.space {
            Space::Plot(_) => self.areas.next_serial(),
            Space::Line(line) => line.next_serial(),
            Space::Dedicated(dedicated) => dedicated.serial.wrapping_add(1),
            Space::None => 1,
        }
    }

    /// The tenant of a key; an empty one if it has none, or is gone. O(1).
    pub(crate) fn tenant(&self, key: Key) -> Tenant {
        match self.block.space {
            Space::Plot(_) => self.areas.tenants.get(key),
            _ => self.block.tenants.get(key),
        }
    }

    /// All regions in address order.
    pub(crate) fn regions(&self) -> Vec<Region> {
        match &self.block.space {
            Space::Plot(plot) => self.areas.regions(plot).collect(),
            Space::Line(line) => line.regions(),
            Space::Dedicated(dedicated) => vec![dedicated.region()],
            Space::None => Vec::new(),
        }
    }

    /// Visits all regions in address order. Fails if the host has no memory for a list of the
    /// regions of a line.
    pub(crate) fn visit(
        &self,
        mut visit: impl FnMut(Region) -> Result<(), TryReserveError>,
    ) -> Result<(), TryReserveError> {
        match &self.block.space {
            Space::Plot(plot) => self.areas.regions(plot).try_for_each(visit),
            Space::Line(line) => line.try_regions()?.into_iter().try_for_each(visit),
            Space::Dedicated(dedicated) => visit(dedicated.region()),
            Space::None => Ok(()),
        }
    }

    /// The maximum number of ranges that a [hold](super::BlockList::hold) takes. O(regions).
    pub(crate) fn most_free(&self) -> usize {
        match &self.block.space {
            Space::Plot(plot) => {
                let free = |region: &Region| region.state == State::Free;
                self.areas.regions(plot).filter(free).count()
            }
            Space::Line(line) => line.most_free(),
            Space::Dedicated(_) | Space::None => 0,
        }
    }

    /// Bytes and counts of used and of pending regions. O(regions) if TLSF splits the block.
    pub(crate) fn usage(&self) -> [(u64, u32); 2] {
        let mut usage = [(0, 0); 2];
        let mut count = |region: Region| {
            let place = match region.state {
                State::Free => return,
                State::Used => &mut usage[0],
                State::Pending => &mut usage[1],
            };
            *place = (place.0 + region.size, place.1 + 1);
        };
        match &self.block.space {
            Space::Plot(plot) => self.areas.regions(plot).for_each(count),
            Space::Line(line) => return line.usage(),
            Space::Dedicated(dedicated) => count(dedicated.region()),
            Space::None => {}
        }
        usage
    }

    /// The largest free range. O(regions) if TLSF splits the block.
    pub(crate) fn largest_free(&self) -> u64 {
        match &self.block.space {
            Space::Plot(plot) => {
                let free = self.areas.regions(plot).filter(|region| region.state == State::Free);
                free.map(|region| region.size).max().unwrap_or(0)
            }
            _ => self.block.largest_of_line(),
        }
    }

    /// Whether any free region can hold a request. O(regions).
    pub(super) fn holds_in_any_region(&self, size: u64, alignment: u64) -> bool {
        let Space::Plot(plot) = &self.block.space else { return false };
        self.areas.regions(plot).any(|region| {
            let padding = region.offset.wrapping_neg() & (alignment - 1);
            let end = size.checked_add(padding);
            region.state == State::Free && end.is_some_and(|end| end <= region.size)
        })
    }

    /// Verifies the block. O(regions).
    pub(super) fn check(&self) -> Result<(), Broken> {
        if let Space::Line(line) = &self.block.space {
            line.check()?;
        }
        let regions = self.regions();
        let total: u64 = regions.iter().map(|region| region.size).sum();
        let [(used, live), (pending, waiting)] = self.usage();
        if total > self.size || used + pending > total {
            return Err(Broken::Count);
        }
        if self.is_split() && (live + waiting, waiting) != (self.taken, self.pending) {
            return Err(Broken::Count);
        }
        Ok(())
    }

    /// The number of resources in its regions. O(regions).
    pub(super) fn housed(&self) -> usize {
        let keys = self.regions().into_iter().filter_map(|region| region.key);
        keys.filter(|&key| self.tenant(key).resource != Resource::None).count()
    }
}
