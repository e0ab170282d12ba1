//! A ring of upload memory whose tail the GPU moves.

use core::{fmt, marker::PhantomData};
use std::sync::Mutex;

use ash::vk;
use bytemuck::Pod;

use super::{error::RingError, recording::Recording, resource::Buffer};
use crate::{ground::sync::lock, retire::Ring};

/// One buffer that frames take pieces of: uniforms, instance data, staging copies. Taking costs an
/// addition under a lock, and nothing is given back by hand: a piece is free again once every
/// recording that was open when it was taken has ended and the GPU is past it.
///
/// `&self` everywhere: recordings on many threads share a ring. Dropping the ring is as safe as
/// dropping a [`Buffer`].
///
/// # Example
/// ```
/// # use fencepost::{fake::FakeDriver, *};
/// # let fake = FakeDriver::new(&Default::default());
/// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
/// #     .api_version(vk::API_VERSION_1_3).features(DeviceFeatures::TIMELINE_SEMAPHORE);
/// # let allocator = unsafe { Allocator::new(&desc)? };
/// # let frames = allocator.timeline(fake.queue(0))?;
/// # fake.set_automatic(true);
/// let uniforms = BufferDesc::new(1 << 20, vk::BufferUsageFlags::UNIFORM_BUFFER);
/// let ring = allocator.create_ring(&uniforms, &AllocationDesc::upload())?;
/// for _ in 0..1000 {
///     let frame = frames.begin()?;
///     let camera = ring.push(&frame, 256, &[[0.0f32; 16]])?;
///     // … bind `camera.buffer` at `camera.offset` …
///     frame.submit(|signal| unsafe { signal.queue_submit(&[]) })?;
///     allocator.collect(); // the tail moves as far as the GPU is
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a ring retires its buffer at once"]
pub struct FrameRing {
    buffer: Buffer,
    /// Pieces share none of these, so that a flush of one touches no other.
    atom: u64,
    ring: Mutex<Ring>,
}

/// A piece of a [`FrameRing`], for the recording it was taken for: it cannot outlive that one, which
/// ends when it is submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RingPiece<'recording> {
    /// The ring's buffer.
    pub buffer: vk::Buffer,
    /// Where in the buffer the piece begins, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
    recording: PhantomData<&'recording Recording>,
}

impl fmt::Debug for FrameRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameRing").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}

impl FrameRing {
    /// A ring over all of a buffer.
    pub(super) fn over(buffer: Buffer) -> Self {
        let memory = buffer.allocation();
        let coherent = vk::MemoryPropertyFlags::HOST_COHERENT;
        let atom = match memory.memory_properties().contains(coherent) {
            true => 1,
            false => memory.inner().vulkan.properties().non_coherent_atom_size,
        };
        let ring = Mutex::new(Ring::new(buffer.size()));
        Self { buffer, atom, ring }
    }

    /// Takes `size` bytes at a multiple of `alignment` bytes: any number but 0, a vertex's stride too.
    /// 256 suits uniforms, storage and texels on every device, as Vulkan lets no device ask for more; the
    /// device's own `minUniformBufferOffsetAlignment` and its like may be less. The bytes are for recordings that are open now, and hold whatever was there.
    ///
    /// Cost: one lock and an addition. Where there is no room, one read of each busy timeline, and
    /// then an error; nothing waits.
    ///
    /// # Errors
    /// No room until the GPU is further on, a size or an alignment that can never be, a recording
    /// of another allocator.
    pub fn take<'r>(
        &self,
        recording: &'r Recording,
        size: u64,
        alignment: u64,
    ) -> Result<RingPiece<'r>, RingError> {
        let inner = self.buffer.allocation().inner();
        if recording.allocator() != inner.id {
            return Err(RingError::Foreign);
        }
        inner.check_open()?;
        let capacity = self.buffer.size();
        if size == 0 || alignment == 0 || size > capacity {
            return Err(RingError::Impossible { size, alignment, capacity });
        }
        let attempt = || {
            let mut ring = lock(&self.ring);
            // The recording is open, so the current bag is not reached before it ends.
            ring.advance(inner.reached_bag());
            let bag = inner.current_bag();
            ring.take_atoms(size, alignment, self.atom, bag).ok_or(ring.taken())
        };
        let taken = attempt().or_else(|_| {
            inner.poll();
            attempt()
        });
        match taken {
            Ok(offset) => {
                let recording = PhantomData;
                Ok(RingPiece { buffer: self.buffer.handle(), offset, size, recording })
            }
            Err(taken) => Err(RingError::Full { size, capacity, taken }),
        }
    }

    /// Takes room for values, copies them in, and flushes them where the memory is not coherent.
    ///
    /// Cost: as `take`, and the copy; a flush where the memory is not coherent.
    ///
    /// # Errors
    /// As [`take`](Self::take); memory that is not host-visible.
    pub fn push<'r, T: Pod>(
        &self,
        recording: &'r Recording,
        alignment: u64,
        values: &[T],
    ) -> Result<RingPiece<'r>, RingError> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let memory = self.buffer.allocation();
        memory.host_range(0, 0)?;
        let piece = self.take(recording, bytes.len() as u64, alignment)?;
        // SAFETY: the piece was just taken, and nobody else has it until its recording has ended,
        // which is borrowed.
        unsafe { memory.copy_in(piece.offset, bytes) }?;
        memory.flush(piece.offset, piece.size)?;
        Ok(piece)
    }

    /// The buffer that pieces lie in.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Bytes that are taken and that the GPU is not known to be done with, what alignment left out
    /// among them.
    ///
    /// Cost: one lock.
    pub fn taken(&self) -> u64 {
        let mut ring = lock(&self.ring);
        ring.advance(self.buffer.allocation().inner().reached_bag());
        ring.taken()
    }
}
