//! What the holder of a lock writes down: events of one size, on a tape of bounded length. Nothing
//! is formatted here, and no heap memory is allocated.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::Intent;
use crate::{policy::granularity::ResourceKind, tlsf::Key};

/// One change, and its position in the order of all changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) what: What,
}

/// At most one cache line per event.
const _: () = assert!(size_of::<Event>() <= 64);

/// What changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Granted { place: Place, asked: Asked },
    Retired { place: Place },
    Submitted { timeline: u32, value: u64 },
}

/// The requested sizes in bytes, as reported by the driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) size: u64,
    /// The binary logarithm.
    pub(crate) alignment_log2: u8,
    pub(crate) kind: ResourceKind,
    pub(crate) intent: Intent,
    pub(crate) name: Option<&'static str>,
}

/// The place of an allocation. Including the serial, it is unique.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) index: u32,
    pub(crate) serial: u32,
    /// The index of a lane: a memory type, or an arena.
    pub(crate) lane: u16,
    pub(crate) memory_type: u8,
}

/// The events of one lock since they were last taken. If it is full, it counts the events that it
/// loses.
#[derive(Debug)]
pub(crate) struct Tape {
    events: Vec<Event>,
    room: usize,
    lost: u64,
    order: Arc<AtomicU64>,
    /// The lane that it belongs to.
    lane: u16,
    memory_type: u8,
}

impl Tape {
    /// Creates the tape of a lane with room for `room` events, whose order is given by the counter
    /// `order`.
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

    /// Writes an event. O(1); allocates nothing.
    #[inline]
    pub(crate) fn write(&mut self, what: What) {
        if self.events.len() >= self.room {
            self.lost += 1;
            return;
        }
        // All tapes share one counter. It is incremented under the tape's lock, so a reader that
        // holds that lock sees every event that has a number on this tape.
        let sequence = self.order.fetch_add(1, Ordering::Relaxed);
        self.events.push(Event { sequence, what });
    }

    /// Takes the events, and leaves the memory of `blank`, which is empty. Also returns how many
    /// events were lost. O(1).
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
