//! The witness on a real driver: it copies words to each resource and back to the host.

use std::collections::VecDeque;
use std::sync::Arc;

use ash::vk;
use fencepost::{Allocator, Dependency};

use super::batch::{Batch, Expected, WORDS};
use super::resource::Resource;
use super::setup::allocator_on;
use super::stop::Stop;
use super::support::Gpu;
use super::touch::{pattern, writer_of};
use super::witness::{Verdict, Witness};
use fencepost::record::Intent;

/// Writes and reads words by copies on the queue. The host writes the words of `upload` buffers
/// directly, without waiting for the GPU, which reveals a reuse across submissions too.
pub(crate) struct Copies {
    /// The submitted batches, oldest first, and then the open one.
    batches: VecDeque<Batch>,
    idle: Vec<Batch>,
    verdict: Verdict,
    /// The number of allocations in the trace, to find out which one wrote a wrong word.
    allocations: u32,
    /// A separate allocator for the words of batches, so that the statistics of the trace are not
    /// affected.
    allocator: Allocator,
    gpu: Arc<Gpu>,
}

impl Copies {
    pub(crate) fn new(gpu: &Arc<Gpu>, allocations: u32) -> Result<Self, Stop> {
        // SAFETY: its buffers are freed only by `free_now`, once the device is idle.
        let allocator = unsafe { allocator_on(gpu, |desc| desc) }?;
        let mut copies = Self {
            batches: VecDeque::new(),
            idle: Vec::new(),
            verdict: Verdict::default(),
            allocations,
            allocator,
            gpu: Arc::clone(gpu),
        };
        copies.open()?;
        Ok(copies)
    }

    /// Opens a batch: one that the GPU has completed, or a new one.
    fn open(&mut self) -> Result<(), Stop> {
        let batch = match self.idle.pop() {
            Some(batch) => batch,
            None => Batch::new(&self.gpu, &self.allocator)?,
        };
        self.batches.push_back(batch);
        Ok(())
    }

    fn opened(&mut self) -> &mut Batch {
        self.batches.back_mut().expect("a batch is always open")
    }

    /// Counts the words of a batch, and describes the first that is wrong.
    fn compare(&mut self, found: &[u32], expected: &[Expected]) {
        self.verdict.verified += expected.len() as u64;
        for (&word, &Expected { id, index }) in found.iter().zip(expected) {
            if word == pattern(id, index) {
                continue;
            }
            self.verdict.mismatches += 1;
            let allocations = self.allocations;
            self.verdict.first.get_or_insert_with(|| {
                let writer = match writer_of(word, allocations) {
                    Some(writer) => format!("of allocation {writer}"),
                    None => format!("{word:#010x}"),
                };
                format!("word {index} of allocation {id} was overwritten by that {writer}")
            });
        }
    }
}

impl Witness for Copies {
    fn has_room(&self, resource: &Resource) -> bool {
        let count = resource.offsets().count();
        self.batches.back().is_some_and(|open| open.fullest() + count <= WORDS)
    }

    fn order(&mut self, dependency: &Dependency) -> Result<(), Stop> {
        match dependency.memory_barrier() {
            Some(barrier) => self.opened().order(barrier),
            None => Ok(()),
        }
    }

    fn write(&mut self, id: u32, resource: &mut Resource) -> Result<(), Stop> {
        let offsets = resource.offsets();
        let words = (0..).zip(offsets.clone()).map(|(index, _)| pattern(id, index));
        match resource {
            Resource::Buffer { buffer, intent: Intent::Upload } => {
                for (offset, word) in offsets.zip(words) {
                    buffer.write(offset, &[word])?;
                }
                Ok(())
            }
            Resource::Buffer { buffer, .. } => {
                let words: Vec<u32> = words.collect();
                self.opened().write_buffer(buffer.handle(), offsets, &words)
            }
            Resource::Image { image, shape } => {
                let words: Vec<u32> = words.collect();
                let texels = offsets.map(|offset| shape.texel(offset));
                self.opened().write_image(image.handle(), texels, &words)
            }
        }
    }

    fn check(&mut self, id: u32, resource: &Resource) -> Result<(), Stop> {
        let offsets = resource.offsets();
        match resource {
            Resource::Buffer { buffer, .. } => {
                self.opened().check_buffer(id, buffer.handle(), offsets)
            }
            Resource::Image { image, shape } => {
                let texels = offsets.map(|offset| shape.texel(offset));
                self.opened().check_image(id, image.handle(), texels)
            }
        }
    }

    fn end(&mut self) -> Result<[Option<vk::CommandBuffer>; 2], Stop> {
        let commands = self.opened().end()?;
        self.open()?;
        Ok(commands)
    }

    fn judge(&mut self) -> Result<(), Stop> {
        let mut batch = self.batches.pop_front().expect("a batch was ended");
        self.compare(&batch.found()?, batch.expected());
        batch.reset()?;
        self.idle.push(batch);
        Ok(())
    }

    fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        // SAFETY: the device is alive; it counts as idle if it is lost.
        let _ = unsafe { self.gpu.device.device_wait_idle() };
        for batch in self.batches.drain(..).chain(self.idle.drain(..)) {
            // SAFETY: the device is idle, and nothing of the batch is submitted any more.
            unsafe { batch.destroy() };
        }
    }
}
