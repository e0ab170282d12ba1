//! Writing the record: events are put on tapes under locks that are held anyway, and `collect`
//! writes them without holding a lock.

use std::{
    io::{self, Write},
    sync::atomic::Ordering,
};

use super::{
    inner::{Inner, LaneState},
    recorder::{Desk, Shared},
    request::Request,
};
use crate::{
    ground::sync::lock,
    memory::Entry,
    policy::{
        intent::{Shape, wish},
        select::bits,
    },
    record::{Asked, Intent, Sample, Tape, What},
};

impl Inner {
    /// Writes what happened since the last call, as one frame. If another thread is writing, the
    /// next call does this.
    #[inline]
    pub(super) fn write_record(&self) {
        if self.recorder.is_on() {
            self.write_frame();
        }
    }

    #[inline(never)]
    fn write_frame(&self) {
        let Some((shared, mut desk)) = self.recorder.turn() else { return };
        let sealed = shared.order.load(Ordering::Relaxed);
        self.fill(shared, &mut desk, sealed);
        desk.encoder.frame();
        match desk.write() {
            Ok(()) => *lock(&shared.desk) = Some(desk),
            Err(error) => self.break_off(&error),
        }
    }

    /// Writes the rest and the end of the record.
    pub(super) fn end_record(&self) {
        let Some((shared, mut desk)) = self.recorder.turn() else { return };
        self.fill(shared, &mut desk, u64::MAX);
        desk.encoder.end();
        self.take_tapes();
        if let Err(error) = desk.write().and_then(|()| desk.writer.flush()) {
            self.break_off(&error);
        }
    }

    /// Gathers the tapes, one lock at a time, and formats the events below `sealed`: no event with
    /// a lower number can be added to any tape later.
    fn fill(&self, shared: &Shared, desk: &mut Desk, sealed: u64) {
        desk.samples.fill(Sample::default());
        for lane in self.lanes() {
            let (taken, statistics) = {
                let mut state = lane.lock();
                (desk.change(&mut state.tape), lane.statistics())
            };
            desk.keep(taken);
            if let Some(sample) = desk.samples.get_mut(lane.memory_type as usize) {
                sample.blocks += statistics.blocks;
                sample.reserved += statistics.reserved;
                sample.live += statistics.live;
                sample.pending += statistics.pending;
                sample.largest_free = sample.largest_free.max(statistics.largest_free);
            }
        }
        let (taken, reached) = self
            .with_register(|register| (desk.change(&mut register.tape), register.cuts().reached()));
        desk.keep(taken);
        let Desk { encoder, samples, .. } = desk;
        encoder.write_below(sealed);
        encoder.reached(&reached);
        for (memory_type, &sample) in (0..).zip(samples.iter()) {
            encoder.sample(memory_type, sample);
        }
        encoder.time(shared.started.elapsed().as_micros());
    }

    fn break_off(&self, error: &io::Error) {
        self.take_tapes();
        tracing::error!(
            target: crate::events::RECORD, %error,
            "the writer of the record failed: the record ends here"
        );
    }

    /// Ends recording.
    fn take_tapes(&self) {
        if let Some(shared) = self.recorder.shared() {
            shared.ended.store(true, Ordering::Relaxed);
        }
        for lane in self.lanes() {
            // The memory is freed after the lock is released.
            let tape = lane.lock().tape.take();
            drop(tape);
        }
        drop(self.with_register(|register| register.tape.take()));
    }
}

impl LaneState {
    /// A range was granted.
    #[inline]
    pub(super) fn record_grant(&mut self, entry: Entry, request: &Request) {
        if let Some(tape) = &mut self.tape {
            write_grant(tape, entry, request);
        }
    }

    /// An allocation ended.
    #[inline]
    pub(super) fn record_end(&mut self, entry: Entry) {
        if let Some(tape) = &mut self.tape {
            write_end(tape, entry);
        }
    }
}

#[cold]
#[inline(never)]
fn write_end(tape: &mut Tape, entry: Entry) {
    let place = tape.place(entry.slot, entry.key);
    tape.write(What::Retired { place });
}

#[cold]
#[inline(never)]
fn write_grant(tape: &mut Tape, entry: Entry, request: &Request) {
    // The requirements of the host do not depend on the device.
    let wish = wish(&request.question.taste, request.question.gpu, Shape::Unified);
    let intent = match (wish.required & bits::HOST_VISIBLE, wish.preferred & bits::HOST_CACHED) {
        (0, _) => Intent::DeviceLocal,
        (_, 0) => Intent::Upload,
        _ => Intent::Readback,
    };
    let asked = Asked {
        size: request.size,
        // It was validated to be a power of two.
        alignment_log2: request.alignment.trailing_zeros() as u8,
        kind: request.kind,
        intent,
        name: request.name,
    };
    let place = tape.place(entry.slot, entry.key);
    tape.write(What::Granted { place, asked });
}
