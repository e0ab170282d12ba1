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

/// A block, with what lives in it. The memory itself is allocated and freed by the allocator.
///
/// What every grant and end touches comes first, in the order written, on one cache line: a list of blocks goes
/// from one to another with each call.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Block {
    /// What its handles know of it, once it is in a list.
    pub(crate) plates: Plates,
    /// How many of its regions are used or pending, where TLSF splits it.
    pub(super) taken: u32,
    /// Of those, the pending ones.
    pub(super) pending: u32,
    /// Made to measure for one large request: small ones stay out of it, so that it goes with it.
    pub(crate) tailored: bool,
    /// It takes no new tenants while others have room, so that it becomes empty.
    pub(crate) closed: bool,
    /// No other resource than the one it was made for may be bound to it.
    pub(crate) exclusive: bool,
    pub(super) space: Space,
    /// Null once `shutdown` has freed it under living handles.
    pub(crate) memory: vk::DeviceMemory,
    pub(crate) size: u64,
    /// Where the whole block is mapped, if its type is host-visible.
    pub(crate) mapping: Option<Mapping>,
    /// Of a line, or of a dedicated memory; of those that TLSF splits they are [together](Areas).
    pub(super) tenants: Tenants,
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

/// Who splits a block.
#[derive(Debug)]
#[repr(u8)]
pub(super) enum Space {
    /// TLSF, with others.
    Plot(Plot),
    Line(Line),
    Dedicated(Dedicated),
    /// Nobody yet: it is in no list.
    None,
}

impl Block {
    /// A block to be split. Which list it comes to says how.
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

    /// A block for one allocation, which is made at once.
    pub(crate) fn dedicated(memory: vk::DeviceMemory, size: u64, mapping: Option<Mapping>) -> Self {
        let space = Space::Dedicated(Dedicated::new(size, 0));
        Self { space, ..Self::shared(memory, size, mapping) }
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

    /// Split by TLSF.
    pub(crate) fn is_split(&self) -> bool {
        matches!(self.space, Space::Plot(_))
    }

    pub(crate) fn is_dedicated(&self) -> bool {
        matches!(self.space, Space::Dedicated(_))
    }

    /// A range at an end, where no TLSF splits the block.
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

    /// From one state to another, where no TLSF splits the block. The bytes.
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

    /// Neither used nor pending ranges. O(1).
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match &self.space {
            Space::Plot(_) | Space::None => self.taken == 0,
            Space::Line(line) => line.is_empty(),
            Space::Dedicated(dedicated) => dedicated.state == State::Free,
        }
    }

    /// How many of its regions are used. O(1).
    pub(crate) fn live(&self) -> u32 {
        match &self.space {
            Space::Plot(_) | Space::None => self.taken - self.pending,
            Space::Line(line) => line.usage()[0].1,
            Space::Dedicated(dedicated) => u32::from(dedicated.state == State::Used),
        }
    }

    /// The largest free range of a line; 0 for all others. O(1).
    pub(super) fn largest_of_line(&self) -> u64 {
        match &self.space {
            Space::Line(line) => line.largest(),
            _ => 0,
        }
    }

    /// It is split from now on as its list does: who lives in it has serials from this one on.
    pub(super) fn split(&mut self, space: Space, serial: u32) {
        match &mut self.space {
            Space::None => self.space = space,
            Space::Dedicated(dedicated) => dedicated.serial = serial,
            Space::Plot(_) | Space::Line(_) => unreachable!("a block comes to one list"),
        }
    }
}

/// A block, seen with those that it is split with.
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
    /// The region of a key that is used or pending.
    fn find(&self, key: Key) -> Result<Region, KeyError> {
        match &self.block.space {
            Space::Plot(plot) => self.areas.region(key, plot),
            Space::Line(line) => line.get(key),
            Space::Dedicated(dedicated) => dedicated.get(key),
            Space::None => Err(KeyError::Unknown),
        }
    }

    /// The region of a key that is used. O(1).
    pub(crate) fn used(&self, key: Key) -> Result<Region, KeyError> {
        let region = self.find(key)?;
        match region.state {
            State::Used => Ok(region),
            State::Pending => Err(KeyError::AlreadyRetired),
            State::Free => Err(KeyError::Stale),
        }
    }

    /// The region of a key that is used or pending. O(1).
    pub(crate) fn region(&self, key: Key) -> Option<Region> {
        self.find(key).ok()
    }

    /// The bytes of a key's region, retired or used; 0 for a stale key. O(1).
    pub(crate) fn size_of(&self, key: Key) -> u64 {
        self.region(key).map_or(0, |region| region.size)
    }

    /// The serial after that of the youngest who came to this block, or to one that is split with it: those of the
    /// slot's next block begin there.
    pub(crate) fn next_serial(&self) -> u32 {
        match &self.block.space {
            Space::Plot(_) => self.areas.next_serial(),
            Space::Line(line) => line.next_serial(),
            Space::Dedicated(dedicated) => dedicated.serial.wrapping_add(1),
            Space::None => 1,
        }
    }

    /// Who lives there; nobody for a key that has none, or is gone. O(1).
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

    /// Visits all regions in address order. Fails where the host has no memory for a list of those of a line.
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

    /// So many ranges or fewer are taken by a [hold](super::BlockList::hold). O(regions).
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

    /// Bytes and counts: (used, pending) each. O(regions) where TLSF splits the block.
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

    /// The largest free range. O(regions) where TLSF splits the block.
    pub(crate) fn largest_free(&self) -> u64 {
        match &self.block.space {
            Space::Plot(plot) => {
                let free = self.areas.regions(plot).filter(|region| region.state == State::Free);
                free.map(|region| region.size).max().unwrap_or(0)
            }
            _ => self.block.largest_of_line(),
        }
    }

    /// Whether any free region holds a request. O(regions).
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

    /// How many resources live in its regions. O(regions).
    pub(super) fn housed(&self) -> usize {
        let keys = self.regions().into_iter().filter_map(|region| region.key);
        keys.filter(|&key| self.tenant(key).resource != Resource::None).count()
    }
}
