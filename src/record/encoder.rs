//! Converts events to lines. The encoder numbers allocations and counts what is live.

use core::fmt::Write;
use std::collections::{BTreeMap, HashMap, hash_map};

use super::{
    HEADER, Intent,
    tape::{Asked, Event, Place, What},
};
use crate::{
    policy::{
        granularity::ResourceKind,
        select::{MemoryHeap, MemoryType},
    },
    retire::Reached,
};

/// What a record says about the device.
pub(crate) struct Device<'a> {
    pub(crate) name: &'a str,
    pub(crate) heaps: &'a [MemoryHeap],
    pub(crate) types: &'a [MemoryType],
}

/// The state of a memory type at one moment, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Sample {
    pub(crate) blocks: u32,
    pub(crate) reserved: u64,
    pub(crate) live: u64,
    pub(crate) pending: u64,
    pub(crate) largest_free: u64,
}

/// Builds the text of a record piece by piece.
pub(crate) struct Encoder {
    text: String,
    /// Events that may still be preceded by others.
    waiting: Vec<Event>,
    /// The live allocations by lane, slot and the index of the key.
    live: HashMap<(u16, u32, u32), Live>,
    live_bytes: u64,
    /// Bytes of all allocations so far.
    total: u64,
    next: u32,
    /// The events lost since the last line that reported a loss.
    lost: u64,
    /// The submitted and the reached value of each timeline.
    timelines: BTreeMap<u32, (u64, u64)>,
    samples: BTreeMap<u32, Sample>,
}

struct Live {
    id: u32,
    serial: u32,
    size: u64,
}

impl Encoder {
    /// Creates a record that has its header.
    pub(crate) fn new(device: &Device<'_>) -> Self {
        let mut encoder = Self {
            text: String::new(),
            waiting: Vec::new(),
            live: HashMap::new(),
            live_bytes: 0,
            total: 0,
            next: 0,
            lost: 0,
            timelines: BTreeMap::new(),
            samples: BTreeMap::new(),
        };
        encoder.line(format_args!("{HEADER}"));
        encoder.line(format_args!("# {}", Printable(device.name)));
        for (number, heap) in device.heaps.iter().enumerate() {
            let place = if heap.device_local { 'd' } else { 'h' };
            encoder.line(format_args!("h {number} {} {place}", heap.size));
        }
        for (number, memory_type) in device.types.iter().enumerate() {
            encoder.line(format_args!("y {number} {}", memory_type.heap));
        }
        encoder
    }

    fn line(&mut self, line: core::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    /// Takes the events of a tape, and empties the list. `lost` is the number of events that were
    /// lost after them.
    pub(crate) fn keep(&mut self, events: &mut Vec<Event>, lost: u64) {
        self.waiting.append(events);
        self.lost += lost;
    }

    /// Writes the kept events whose number is below `sealed`. No tape has any more of those.
    pub(crate) fn write_below(&mut self, sealed: u64) {
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.sort_unstable_by_key(|event| event.sequence);
        let ready = waiting.partition_point(|event| event.sequence < sealed);
        for event in waiting.drain(..ready) {
            self.write(event.what);
        }
        self.waiting = waiting;
        if self.lost > 0 {
            let lost = core::mem::take(&mut self.lost);
            self.line(format_args!("l {lost}"));
        }
    }

    fn write(&mut self, what: What) {
        match what {
            What::Granted { place, asked } => self.granted(place, asked),
            What::Retired { place } => self.retired(place),
            What::Submitted { timeline, value } => {
                self.timelines.entry(timeline).or_default().0 = value;
                self.line(format_args!("s {timeline} {value}"));
            }
        }
    }

    fn granted(&mut self, place: Place, asked: Asked) {
        let Asked { size, alignment_log2, kind, intent, name } = asked;
        let alignment = 1_u64 << alignment_log2;
        let id = self.next;
        let Some(next) = id.checked_add(1) else {
            // Nobody reads a record of four billion allocations, but it must still be correct.
            self.lost += 1;
            return;
        };
        self.next = next;
        let live = Live { id, serial: place.serial, size };
        // If another allocation is live here according to the encoder, its end was lost.
        if let Some(ended) = self.live.insert((place.lane, place.slot, place.index), live) {
            self.live_bytes -= ended.size;
            self.line(format_args!("f {}", ended.id));
        }
        self.live_bytes += size;
        self.total = self.total.wrapping_add(size);
        let kind = if kind == ResourceKind::Linear { 'b' } else { 'i' };
        let intent = match intent {
            Intent::DeviceLocal => 'd',
            Intent::Upload => 'u',
            Intent::Readback => 'r',
        };
        let memory_type = place.memory_type;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "a {id} {size} {alignment} {kind} {intent} {memory_type}");
        let _ = match name {
            Some(name) => writeln!(self.text, " {}", Printable(name)),
            None => writeln!(self.text),
        };
    }

    fn retired(&mut self, place: Place) {
        let known = self.live.entry((place.lane, place.slot, place.index));
        match known {
            hash_map::Entry::Occupied(live) if live.get().serial == place.serial => {
                let Live { id, size, .. } = live.remove();
                self.live_bytes -= size;
                self.line(format_args!("f {id}"));
            }
            // Its beginning was lost, which was counted.
            _ => {}
        }
    }

    /// Writes the GPU's progress if it has changed.
    pub(crate) fn reached(&mut self, reached: &Reached) {
        let mut news = Vec::new();
        for (&timeline, (submitted, known)) in &mut self.timelines {
            // A timeline that has ended has reached all its points.
            let value = reached.value(timeline).unwrap_or(*submitted).min(*submitted);
            if value > *known {
                *known = value;
                news.push((timeline, value));
            }
        }
        for (timeline, value) in news {
            self.line(format_args!("g {timeline} {value}"));
        }
    }

    /// Writes the state of a memory type if it has changed.
    pub(crate) fn sample(&mut self, memory_type: u32, sample: Sample) {
        let known = self.samples.entry(memory_type).or_default();
        if *known != sample {
            *known = sample;
            let Sample { blocks, reserved, live, pending, largest_free } = sample;
            self.line(format_args!(
                "m {memory_type} {blocks} {reserved} {live} {pending} {largest_free}"
            ));
        }
    }

    /// Writes the time, and what is live.
    pub(crate) fn time(&mut self, microseconds: u128) {
        let (count, bytes, total) = (self.live.len(), self.live_bytes, self.total);
        self.line(format_args!("t {microseconds} {count} {bytes} {total}"));
    }

    /// Writes the end of a frame.
    pub(crate) fn frame(&mut self) {
        self.line(format_args!("p"));
    }

    /// Writes the end of the record.
    pub(crate) fn end(&mut self) {
        self.line(format_args!("e"));
    }

    /// The lines since the last [`clear`](Self::clear).
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Removes the lines after they have been written.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }
}

/// A name without line breaks.
struct Printable<'a>(&'a str);

impl core::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}
