//! An allocator's data for its record: the order of events, and a desk with what is needed for
//! writing.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use super::desc::AllocatorDesc;
use crate::{
    ground::sync::lock,
    record::{Device, Encoder, Event, Sample, Tape},
    vulkan::Properties,
};

/// The data for the record; empty if there is none.
pub(super) struct Recorder(Option<Shared>);

pub(super) struct Shared {
    /// The order of all events.
    pub(super) order: Arc<AtomicU64>,
    /// The number of events that a tape can hold.
    room: usize,
    pub(super) started: Instant,
    /// The record has ended.
    pub(super) ended: AtomicBool,
    /// The thread that writes takes the desk away, so that no lock is held meanwhile. A writer that
    /// panics never returns it, which ends the record.
    pub(super) desk: Mutex<Option<Desk>>,
}

/// What is needed for writing.
pub(super) struct Desk {
    pub(super) writer: Box<dyn Write + Send>,
    pub(super) encoder: Encoder,
    /// An empty list, to be exchanged for that of a tape.
    blank: Vec<Event>,
    /// Samples of the memory types, kept here to reuse their memory.
    pub(super) samples: Vec<Sample>,
}

impl Recorder {
    pub(super) fn new(desc: &AllocatorDesc<'_>, properties: &Properties) -> Self {
        let Some(destination) = &desc.record else { return Self(None) };
        let Some(writer) = lock(destination).take() else {
            tracing::warn!(
                target: crate::events::RECORD,
                "no record: another allocator from the same description has taken the writer"
            );
            return Self(None);
        };
        let device = Device {
            name: &properties.device_name,
            heaps: &properties.heaps,
            types: &properties.types,
        };
        let (encoder, room) = (Encoder::new(&device), desc.record_room);
        let samples = vec![Sample::default(); properties.types.len()];
        let desk = Desk { writer, encoder, blank: Vec::with_capacity(room), samples };
        Self(Some(Shared {
            order: Arc::default(),
            room,
            started: Instant::now(),
            ended: AtomicBool::new(false),
            desk: Mutex::new(Some(desk)),
        }))
    }

    /// Whether there is a record.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The record, if there is one.
    pub(super) fn shared(&self) -> Option<&Shared> {
        self.0.as_ref()
    }

    /// A new tape for a lane, if there is a record.
    pub(super) fn tape(&self, lane: u32, memory_type: u32) -> Option<Box<Tape>> {
        let shared = self.0.as_ref().filter(|shared| !shared.ended.load(Ordering::Relaxed))?;
        // Both fit: Vulkan has at most 32 types, and the number of lanes is bounded.
        Some(Box::new(Tape::new(shared.room, &shared.order, lane as u16, memory_type as u8)))
    }

    /// The desk; `None` if there is no record, or another thread is writing.
    pub(super) fn turn(&self) -> Option<(&Shared, Desk)> {
        let shared = self.0.as_ref()?;
        Some((shared, lock(&shared.desk).take()?))
    }
}

impl Desk {
    /// Takes a tape's events and leaves the blank list in their place.
    pub(super) fn change(&mut self, tape: &mut Option<Box<Tape>>) -> Option<(Vec<Event>, u64)> {
        Some(tape.as_mut()?.take(core::mem::take(&mut self.blank)))
    }

    /// Keeps the taken list, whose memory becomes the next blank list.
    pub(super) fn keep(&mut self, taken: Option<(Vec<Event>, u64)>) {
        if let Some((mut events, lost)) = taken {
            self.encoder.keep(&mut events, lost);
            self.blank = events;
        }
    }

    pub(super) fn write(&mut self) -> io::Result<()> {
        self.writer.write_all(self.encoder.text().as_bytes())?;
        self.encoder.clear();
        Ok(())
    }
}
