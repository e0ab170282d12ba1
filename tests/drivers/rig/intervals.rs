//! The checker: an interval map that knows which bytes are in use, independently of the allocator.

use std::collections::BTreeMap;
use std::fmt;

use ash::vk;
use ash::vk::Handle;
use fencepost::Allocation;

/// Bytes of a device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) memory: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Range {
    pub(crate) fn of(allocation: &Allocation) -> Self {
        Self::new(allocation.memory(), allocation.offset(), allocation.size())
    }

    pub(crate) fn new(memory: vk::DeviceMemory, offset: u64, size: u64) -> Self {
        Self { memory: memory.as_raw(), offset, size }
    }

    pub(crate) const fn overlaps(&self, other: &Self) -> bool {
        self.memory == other.memory
            && self.offset < other.offset + other.size
            && other.offset < self.offset + self.size
    }
}

/// Why a range must not be handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Whether a handle to it is alive.
    pub(crate) alive: bool,
    /// The number of open recordings that name it.
    pub(crate) recordings: u32,
    /// The newest ticket for which a submission that names it waits; 0 if there is none.
    pub(crate) ticket: u64,
}

/// Two allocations of the same bytes, which is a fault of the allocator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overlap {
    pub(crate) held: (u32, Range, Use),
    pub(crate) given: (u32, Range),
}

impl fmt::Display for Overlap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, given) = (self.held, self.given);
        write!(out, "{:?} of #{} was given out while {held:?} holds it", given.1, given.0)
    }
}

/// All ranges that are in use, by their owner's number.
///
/// A range is in use while a handle to it is alive, while an open recording names it, and while a
/// submission that names it waits at a closed gate. When the gate has opened, the device may be
/// done with the range at any time, so handing it out is allowed then: the checker is never too
/// strict.
#[derive(Default)]
pub(crate) struct Intervals {
    next: u32,
    opened: u64,
    /// By memory and offset. Ranges in the map may overlap after a fault.
    ranges: BTreeMap<(u64, u64, u32), (Range, Use)>,
    places: BTreeMap<u32, (u64, u64, u32)>,
    longest: u64,
    pub(crate) overlaps: Vec<Overlap>,
    /// The number of ranges whose use had ended and that were handed out again, in part or as a
    /// whole.
    pub(crate) reused: usize,
    /// Ranges whose use has ended and that were not handed out since: the size by memory and
    /// offset.
    dead: BTreeMap<(u64, u64), u64>,
}

impl Intervals {
    /// The allocator has handed out this range. Overlaps with ranges in use are kept for the
    /// verdict.
    pub(crate) fn give(&mut self, range: Range) -> u32 {
        self.next += 1;
        let number = self.next;
        let from = (range.memory, range.offset.saturating_sub(self.longest), 0);
        let to = (range.memory, range.offset + range.size, 0);
        for (key, (held, usage)) in self.ranges.range(from..to) {
            if held.overlaps(&range) {
                self.overlaps
                    .push(Overlap { held: (key.2, *held, *usage), given: (number, range) });
            }
        }
        let from = (range.memory, range.offset.saturating_sub(self.longest));
        let to = (range.memory, range.offset + range.size);
        let dead: Vec<_> = self
            .dead
            .range(from..to)
            .filter(|((_, offset), size)| offset + *size > range.offset)
            .map(|(place, _)| *place)
            .collect();
        for place in dead {
            self.dead.remove(&place);
            self.reused += 1;
        }
        self.longest = self.longest.max(range.size);
        let key = (range.memory, range.offset, number);
        self.ranges.insert(key, (range, Use { alive: true, ..Use::default() }));
        self.places.insert(number, key);
        number
    }

    /// A recording began to name it.
    pub(crate) fn record(&mut self, number: u32) {
        self.change(number, |usage| usage.recordings += 1);
    }

    /// A recording that names it was submitted behind this ticket.
    pub(crate) fn submit(&mut self, number: u32, ticket: u64) {
        self.change(number, |usage| {
            usage.recordings -= 1;
            usage.ticket = usage.ticket.max(ticket);
        });
    }

    /// A recording that names it was abandoned.
    pub(crate) fn abandon(&mut self, number: u32) {
        self.change(number, |usage| usage.recordings -= 1);
    }

    /// Its handle was dropped.
    pub(crate) fn give_up(&mut self, number: u32) {
        self.change(number, |usage| usage.alive = false);
    }

    /// The gate was opened up to this ticket.
    pub(crate) fn open(&mut self, ticket: u64) {
        self.opened = self.opened.max(ticket);
        let numbers: Vec<u32> = self.places.keys().copied().collect();
        for number in numbers {
            self.change(number, |_| ());
        }
    }

    /// The number of ranges that were dropped and are still in use by the GPU.
    pub(crate) fn pending(&self) -> usize {
        self.ranges.values().filter(|(_, usage)| !usage.alive).count()
    }

    /// Panics if a range was handed out while it was in use.
    pub(crate) fn assert_no_overlap(&self) {
        if let Some(first) = self.overlaps.first() {
            panic!("{} overlaps; the first: {first}", self.overlaps.len());
        }
    }

    /// Changes the use, and removes the range when nothing uses it any more.
    fn change(&mut self, number: u32, change: impl FnOnce(&mut Use)) {
        let Some(key) = self.places.get(&number) else { return };
        let (range, usage) = self.ranges.get_mut(key).expect("both maps hold it");
        change(usage);
        if !usage.alive && usage.recordings == 0 && usage.ticket <= self.opened {
            self.dead.insert((range.memory, range.offset), range.size);
            self.ranges.remove(key);
            self.places.remove(&number);
        }
    }
}
