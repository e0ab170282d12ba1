//! What a lock's holder writes down: events of one size, on a tape of bounded length. Nothing is
//! formatted here, and no heap is touched.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::Intent;
use crate::{policy::granularity::ResourceKind, tlsf::Key};

/// One change, with its place in the order of all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) what: What,
}

/// At most a cache line for each event.
const _: () = assert!(size_of::<Event>() <= 64);

/// What changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Granted { place: Place, asked: Asked },
    Retired { place: Place },
    Submitted { timeline: u32, value: u64 },
}

/// What was asked for: sizes in bytes, as the driver said them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) size: u64,
    /// As a power of two.
    pub(crate) alignment_log2: u8,
    pub(crate) kind: ResourceKind,
    pub(crate) intent: Intent,
    pub(crate) name: Option<&'static str>,
}

/// Where an allocation lives. With the serial it is never another's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) index: u32,
    pub(crate) serial: u32,
    /// A lane's index: the memory type, or an arena.
    pub(crate) lane: u16,
    pub(crate) memory_type: u8,
}

/// The events of one lock since they were last taken. Full, it counts what it loses.
#[derive(Debug)]
pub(crate) struct Tape {
    events: Vec<Event>,
    room: usize,
    lost: u64,
    order: Arc<AtomicU64>,
    /// Of the lane that it belongs to.
    lane: u16,
    memory_type: u8,
}

impl Tape {
    /// A lane's tape for `room` events, whose order `order` counts.
    pub(crate) fn new(room: usize, order: &Arc<AtomicU64>, lane: u16, memory_type: u8) -> Self {
        let events = Vec::with_capacity(room);
        Self { events, room, lost: 0, order: Arc::clone(order), lane, memory_type }
    }

    /// The place of a key of this lane.
    #[inline]
    pub(crate) fn place(&self, slot: u32, key: Key) -> Place {
        let (lane, memory_type) = (self.lane, self.memory_type);
        Place { slot, index: key.index(), serial: key.serial(), lane, memory_type }
    }

    /// Writes an event down. O(1); no heap.
    #[inline]
    pub(crate) fn write(&mut self, what: What) {
        if self.events.len() >= self.room {
            self.lost += 1;
            return;
        }
        // One count for all tapes: it is taken under the tape's lock, so a reader that holds that
        // lock sees every event whose number was given out on this tape.
        let sequence = self.order.fetch_add(1, Ordering::Relaxed);
        self.events.push(Event { sequence, what });
    }

    /// Takes the events, leaving the memory of `blank`, which is empty; and how many were lost since.
    /// O(1).
    pub(crate) fn take(&mut self, blank: Vec<Event>) -> (Vec<Event>, u64) {
        debug_assert!(blank.is_empty() && blank.capacity() >= self.room, "a blank has room");
        (core::mem::replace(&mut self.events, blank), core::mem::take(&mut self.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submitted(value: u64) -> What {
        What::Submitted { timeline: 0, value }
    }

    #[test]
    fn a_full_tape_counts_what_it_loses_and_goes_on_after() {
        let order = Arc::default();
        let (mut tape, mut other) = (Tape::new(2, &order, 0, 0), Tape::new(2, &order, 1, 1));
        tape.write(submitted(1));
        other.write(submitted(2));
        (3..6).for_each(|value| tape.write(submitted(value)));
        let (events, lost) = tape.take(Vec::with_capacity(2));
        assert_eq!((events.iter().map(|e| e.sequence).collect::<Vec<_>>(), lost), (vec![0, 2], 2));
        tape.write(submitted(6));
        assert_eq!((tape.take(Vec::with_capacity(2)).0[0].sequence, tape.lost), (3, 0));
    }
}
