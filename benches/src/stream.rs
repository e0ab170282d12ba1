//! A workload as a stream of steps, which is fixed before any allocator runs it.

use std::collections::VecDeque;

/// One call of an allocator, 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The number of bytes to allocate; 0 frees.
    size: u64,
    /// The slot in which the allocation's handle is stored while it is live.
    slot: u32,
    /// The alignment; 0 if the step frees.
    alignment: u32,
}

/// The call of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Allocate, and store the handle in the slot.
    Allocate {
        /// The slot of the handle; below [`Stream::slots`].
        slot: usize,
        /// The size in bytes, not 0.
        size: u64,
        /// A power of two.
        alignment: u64,
    },
    /// Free the allocation in the slot.
    Free {
        /// The slot of the handle.
        slot: usize,
    },
}

impl Step {
    /// The call.
    #[inline]
    pub fn call(self) -> Call {
        let slot = self.slot as usize;
        if self.size == 0 {
            Call::Free { slot }
        } else {
            Call::Allocate { slot, size: self.size, alignment: u64::from(self.alignment) }
        }
    }

    /// Whether it frees.
    #[inline]
    pub fn frees(self) -> bool {
        self.size == 0
    }
}

/// A workload. Its first part creates the live set, and the rest is measured.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Its name in the tables.
    pub name: String,
    /// All steps. Allocations that they do not free are live at the end.
    pub steps: Vec<Step>,
    /// The index at which the measured part begins.
    pub steady: usize,
    /// The frames: each ends before the step with this index. Not decreasing; equal for empty
    /// frames.
    pub frames: Vec<usize>,
    /// Slots are below this. It is the largest number of live handles.
    pub slots: usize,
    /// The most requested bytes that are live at one time.
    pub peak_bytes: u64,
    /// The most allocations that are live at one time.
    pub peak_live: usize,
}

impl Stream {
    /// The same stream in a program that keeps `frames` frames in flight: what a frame frees is
    /// freed when the frame begins that waits for it, which is that many frames later; with none in
    /// flight it is freed immediately. The peaks stay the same, because they do not count what is
    /// held back.
    #[must_use]
    pub fn deferred(&self, frames: usize) -> Self {
        if frames == 0 {
            return self.clone();
        }
        let mut builder = Builder::new(&self.name);
        let mut moved = vec![Slot(0); self.slots];
        let mut bags: VecDeque<Vec<Slot>> = VecDeque::from([Vec::new()]);
        let mut ends = self.frames.iter().copied().peekable();
        for (index, step) in self.steps.iter().enumerate() {
            if index == self.steady {
                builder.begin_steady();
            }
            while ends.next_if_eq(&index).is_some() {
                builder.end_frame();
                bags.push_back(Vec::new());
                while bags.len() > frames {
                    bags.pop_front().into_iter().flatten().for_each(|slot| builder.free(slot));
                }
            }
            match step.call() {
                Call::Allocate { slot, size, alignment } => {
                    moved[slot] = builder.allocate(size, alignment);
                }
                Call::Free { slot } => bags.back_mut().expect("a bag").push(moved[slot]),
            }
        }
        Self { peak_bytes: self.peak_bytes, peak_live: self.peak_live, ..builder.finish() }
    }

    /// The most bytes that are in use at one time: those that are live, and those that are held
    /// back.
    pub fn peak_held(&self) -> u64 {
        let mut sizes = vec![0; self.slots];
        let (mut held, mut peak) = (0, 0);
        for step in &self.steps {
            match step.call() {
                Call::Allocate { slot, size, .. } => {
                    sizes[slot] = size;
                    held += size;
                }
                Call::Free { slot } => held -= sizes[slot],
            }
            peak = peak.max(held);
        }
        peak
    }

    /// The mean number of steps of one kind in a row, in the measured part.
    pub fn mean_run(&self) -> f64 {
        let steps = &self.steps[self.steady..];
        let turns = steps.windows(2).filter(|pair| pair[0].frees() != pair[1].frees()).count();
        steps.len() as f64 / (turns + 1) as f64
    }
}

/// An allocation in a stream that is being built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot(u32);

/// Builds a stream.
#[derive(Debug)]
pub struct Builder {
    stream: Stream,
    /// The bytes in each slot.
    sizes: Vec<u64>,
    vacant: Vec<u32>,
    bytes: u64,
    live: usize,
}

impl Builder {
    /// An empty stream.
    pub fn new(name: &str) -> Self {
        let stream = Stream { name: name.to_owned(), ..Stream::default() };
        Self { stream, sizes: Vec::new(), vacant: Vec::new(), bytes: 0, live: 0 }
    }

    /// Adds an allocation; the alignment is a power of two.
    pub fn allocate(&mut self, size: u64, alignment: u64) -> Slot {
        assert!(size != 0 && alignment.is_power_of_two());
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.sizes.push(0);
            self.sizes.len() as u32 - 1
        });
        self.sizes[slot as usize] = size;
        self.bytes += size;
        self.live += 1;
        self.stream.peak_bytes = self.stream.peak_bytes.max(self.bytes);
        self.stream.peak_live = self.stream.peak_live.max(self.live);
        let alignment = u32::try_from(alignment).expect("alignments below 4 GiB");
        self.stream.steps.push(Step { size, slot, alignment });
        Slot(slot)
    }

    /// Adds the free of a live allocation.
    pub fn free(&mut self, slot: Slot) {
        let size = std::mem::take(&mut self.sizes[slot.0 as usize]);
        assert!(size != 0, "freed twice");
        self.bytes -= size;
        self.live -= 1;
        self.vacant.push(slot.0);
        self.stream.steps.push(Step { size: 0, slot: slot.0, alignment: 0 });
    }

    /// The live set is complete: from here on the stream is measured.
    pub fn begin_steady(&mut self) {
        self.stream.steady = self.stream.steps.len();
    }

    /// Ends a frame.
    pub fn end_frame(&mut self) {
        self.stream.frames.push(self.stream.steps.len());
    }

    /// The number of measured steps so far.
    pub fn measured(&self) -> usize {
        self.stream.steps.len() - self.stream.steady
    }

    /// The number of live bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The stream.
    pub fn finish(mut self) -> Stream {
        self.stream.slots = self.sizes.len();
        self.stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three frames, in each an allocation that the next frame frees.
    fn stream() -> Stream {
        let mut builder = Builder::new("test");
        let lasting = builder.allocate(1_000, 16);
        builder.begin_steady();
        let mut last = None;
        for size in [10, 20, 30] {
            let slot = builder.allocate(size, 16);
            last.replace(slot).into_iter().for_each(|slot| builder.free(slot));
            builder.end_frame();
        }
        builder.free(lasting);
        builder.finish()
    }

    /// `+10` allocates 10 bytes, `-10` frees such.
    fn calls(stream: &Stream) -> Vec<i64> {
        let mut sizes = vec![0; stream.slots];
        let call = |step: &Step| match step.call() {
            Call::Allocate { slot, size, .. } => {
                assert_eq!(sizes[slot], 0, "the slot is in use");
                sizes[slot] = size as i64;
                size as i64
            }
            Call::Free { slot } => -std::mem::take(&mut sizes[slot]),
        };
        stream.steps.iter().map(call).collect()
    }

    #[test]
    fn a_stream_knows_its_peaks_and_its_parts() {
        let stream = stream();
        assert_eq!(calls(&stream), [1_000, 10, 20, -10, 30, -20, -1_000]);
        assert_eq!((stream.peak_bytes, stream.peak_live), (1_050, 3));
        assert_eq!((stream.steady, stream.slots), (1, 3));
        assert_eq!(stream.frames, [2, 4, 6]);
    }

    #[test]
    fn deferred_frees_come_so_many_frames_later() {
        let stream = stream();
        assert_eq!(calls(&stream.deferred(0)), calls(&stream));
        assert_eq!(calls(&stream.deferred(1)), [1_000, 10, 20, -10, 30, -20]);
        assert_eq!(calls(&stream.deferred(2)), [1_000, 10, 20, 30, -10]);
        assert_eq!(calls(&stream.deferred(8)), [1_000, 10, 20, 30]);
        assert_eq!(stream.deferred(8).peak_bytes, stream.peak_bytes);
        let held = [0, 2, 8].map(|frames| stream.deferred(frames).peak_held());
        assert_eq!(held, [1_050, 1_060, 1_060]);
    }
}
