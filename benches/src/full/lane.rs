//! Replays a stream on an allocator of device memory, which is timed together with the others.

use std::ops::Range;

use fencepost::fake::{FakeDriver, Profile};

use super::{FullPath, Purpose, Request};
use crate::clock::ticks;
use crate::race::{Lane, Spent};
use crate::stream::{Call, Step, Stream};

/// Alignments from here on denote images: no buffer of the streams requests so much.
const IMAGE_ALIGNMENT: u64 = 64 << 10;

struct Track<'a, F: FullPath> {
    stream: &'a Stream,
    // Declared before their allocator.
    slots: Vec<Option<F::Handle>>,
    allocator: F,
    // Fields are dropped in order, so it outlives the allocator.
    _driver: FakeDriver,
}

/// The lane of an allocator on such a device; `None` if it refuses a request of the stream or is
/// too slow for it.
pub fn lane<'a, F: FullPath + 'a>(
    stream: &'a Stream,
    profile: &Profile,
) -> Option<Box<dyn Lane + 'a>> {
    if stream.peak_live > F::LARGEST_LIVE {
        return None;
    }
    let driver = FakeDriver::new(profile);
    let allocator = F::new(&driver, 0);
    let slots = std::iter::repeat_with(|| None).take(stream.slots).collect();
    let mut track = Track { stream, slots, allocator, _driver: driver };
    // This creates the blocks, and touches the pages of all records.
    track.run(&stream.steps).then(|| Box::new(track) as _)
}

impl<F: FullPath> Track<'_, F> {
    /// Whether nothing was refused.
    #[inline]
    fn run(&mut self, steps: &[Step]) -> bool {
        for step in steps {
            match step.call() {
                Call::Allocate { slot, size, alignment } => {
                    let is_image = alignment >= IMAGE_ALIGNMENT;
                    let purpose = Purpose::DeviceLocal;
                    let request = Request { size, alignment, is_image, purpose };
                    let Some(handle) = self.allocator.allocate(&request) else { return false };
                    self.slots[slot] = Some(handle);
                }
                Call::Free { slot } => {
                    self.slots[slot].take().into_iter().for_each(|h| self.allocator.free(h));
                }
            }
        }
        true
    }

    fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.take().into_iter().for_each(|handle| self.allocator.free(handle));
        }
    }
}

impl<F: FullPath> Lane for Track<'_, F> {
    fn begin(&mut self) {
        self.clear();
        assert!(self.run(&self.stream.steps[..self.stream.steady]), "room, as before");
    }

    fn segment(&mut self, segment: Range<usize>) -> Spent {
        let start = ticks();
        assert!(self.run(&self.stream.steps[segment]), "room, as before");
        Spent { all: ticks() - start, ..Spent::default() }
    }
}

impl<F: FullPath> Drop for Track<'_, F> {
    fn drop(&mut self) {
        self.clear();
    }
}
