//! The inner loops: they run a stream, or a part of it, on one allocator.

use std::hint::black_box;
use std::ops::Range;

use crate::stream::{Call, Step, Stream};
use crate::subject::Subject;

/// An arena in use: an allocator, and the handles of live allocations.
pub struct Arena<S: Subject> {
    /// The allocator.
    pub subject: S,
    slots: Vec<Option<S::Handle>>,
    /// The handles that are freed together, while they are collected.
    batch: Vec<S::Handle>,
}

/// There is no room in the arena for the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl<S: Subject> Arena<S> {
    /// Creates an empty arena for a stream; `None` if the allocator does not support it.
    pub fn new(stream: &Stream, bytes: u64) -> Option<Self> {
        S::new(bytes, stream.slots).map(|subject| Self::with(subject, stream))
    }

    /// Creates an arena for an existing allocator.
    pub fn with(subject: S, stream: &Stream) -> Self {
        let slots = std::iter::repeat_with(|| None).take(stream.slots).collect();
        Self { subject, slots, batch: Vec::with_capacity(stream.slots) }
    }

    /// Runs steps in the order of the stream, up to the first for which there is no room.
    #[inline]
    pub fn run(&mut self, steps: &[Step]) -> Result<(), Full> {
        if S::BATCHED {
            for run in steps.chunk_by(|a, b| a.frees() == b.frees()) {
                self.run_of_one_kind(run)?;
            }
        } else {
            for step in steps {
                match step.call() {
                    Call::Allocate { slot, size, alignment } => {
                        self.allocate(slot, size, alignment)?;
                    }
                    Call::Free { slot } => self.free(slot),
                }
            }
        }
        Ok(())
    }

    /// Runs steps that all allocate or all free.
    #[inline]
    pub fn run_of_one_kind(&mut self, steps: &[Step]) -> Result<(), Full> {
        if S::BATCHED && steps.len() > 1 && steps[0].frees() {
            for step in steps {
                let Call::Free { slot } = step.call() else { unreachable!("a run of frees") };
                self.batch.extend(self.slots[slot].take());
            }
            self.subject.free_batch(&mut self.batch);
            return Ok(());
        }
        for step in steps {
            match step.call() {
                Call::Allocate { slot, size, alignment } => self.allocate(slot, size, alignment)?,
                Call::Free { slot } => self.free(slot),
            }
        }
        Ok(())
    }

    /// Runs steps, and counts the allocations for which there is no room.
    pub fn run_leniently(&mut self, steps: &[Step]) -> usize {
        let mut refused = 0;
        for step in steps {
            match step.call() {
                Call::Allocate { slot, size, alignment } => {
                    refused += usize::from(self.allocate(slot, size, alignment).is_err());
                }
                Call::Free { slot } => self.free(slot),
            }
        }
        refused
    }

    /// Runs one allocation.
    #[inline(always)]
    pub fn allocate(&mut self, slot: usize, size: u64, alignment: u64) -> Result<(), Full> {
        match self.subject.allocate(size, alignment) {
            Some(placed) => {
                black_box(placed.offset);
                self.slots[slot] = Some(placed.handle);
                Ok(())
            }
            None => Err(Full),
        }
    }

    /// Runs one free.
    #[inline(always)]
    pub fn free(&mut self, slot: usize) {
        if let Some(handle) = self.slots[slot].take() {
            self.subject.free(handle);
        }
    }

    /// Stores a handle that was created elsewhere.
    pub fn keep(&mut self, slot: usize, handle: S::Handle) {
        self.slots[slot] = Some(handle);
    }

    /// Frees all live allocations.
    pub fn clear(&mut self) {
        for slot in 0..self.slots.len() {
            self.free(slot);
        }
    }
}

/// Divides the measured part into segments of about `length` steps. If there are runs of one kind,
/// they are not divided.
pub fn segments(stream: &Stream, length: usize) -> Vec<Range<usize>> {
    let steps = &stream.steps;
    let mut segments = Vec::new();
    let mut start = stream.steady;
    while start < steps.len() {
        let mut end = (start + length).min(steps.len());
        let latest = (end + length).min(steps.len());
        while end < latest && steps[end].frees() == steps[end - 1].frees() {
            end += 1;
        }
        segments.push(start..end);
        start = end;
    }
    segments
}
