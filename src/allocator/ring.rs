//! A ring of upload memory, freed as the GPU makes progress.

use core::{fmt, marker::PhantomData};
use std::sync::Mutex;

use ash::vk;
use bytemuck::Pod;

use super::{error::RingError, recording::Recording, resource::Buffer};
use crate::{ground::sync::lock, retire::Ring};

/// A buffer from which frames allocate pieces, for uniforms, instance data or staging copies.
/// Allocating costs an addition under a lock. You never free a piece: it becomes free once every
/// recording that was open when it was allocated has ended, and the GPU has passed it.
///
/// All methods take `&self`, so that recordings on several threads can share a ring. Dropping the
/// ring is as safe as dropping a [`Buffer`].
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
    /// Two pieces never share such a unit, so that a flush of one affects no other.
    atom: u64,
    ring: Mutex<Ring>,
}

/// A piece of a [`FrameRing`], for the recording it was allocated for. It cannot outlive that
/// recording, which ends when it is submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RingPiece<'recording> {
    /// The buffer of the ring.
    pub buffer: vk::Buffer,
    /// The offset in the buffer, in bytes.
    pub offset: u64,
    /// The size in bytes.
    pub size: u64,
    recording: PhantomData<&'recording Recording>,
}

impl fmt::Debug for FrameRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameRing").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}

impl FrameRing {
    /// A ring over the whole of a buffer.
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

    /// Allocates `size` bytes at a multiple of `alignment` bytes. The alignment can be any number
    /// except 0, for example the stride of a vertex. 256 is sufficient for uniform, storage and
    /// texel buffers on every device, because Vulkan allows no larger limit; the device's
    /// `minUniformBufferOffsetAlignment` and similar limits may be smaller. The bytes are valid for
    /// recordings that are open now, and their contents are undefined.
    ///
    /// Cost: one lock and an addition. If there is no room, one counter read per busy timeline, and
    /// then an error; it never blocks.
    ///
    /// # Errors
    /// There is no room until the GPU has made progress, the size or the alignment is impossible,
    /// or the recording belongs to another allocator.
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
            // The recording is open, so the current bag is not reached before the recording ends.
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

    /// Allocates a piece for the values, copies them in, and flushes them if the memory is not
    /// coherent.
    ///
    /// Cost: as for `take`, plus the copy, and a flush if the memory is not coherent.
    ///
    /// # Errors
    /// As for [`take`](Self::take). In addition, the memory is not host-visible.
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
        // SAFETY: the piece was just allocated, and has no other owner until its recording has ended,
        // which is borrowed.
        unsafe { memory.copy_in(piece.offset, bytes) }?;
        memory.flush(piece.offset, piece.size)?;
        Ok(piece)
    }

    /// The buffer that contains the pieces.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Returns the bytes that are allocated and that the GPU is not known to have passed, including
    /// padding for alignment.
    ///
    /// Cost: one lock.
    pub fn taken(&self) -> u64 {
        let mut ring = lock(&self.ring);
        ring.advance(self.buffer.allocation().inner().reached_bag());
        ring.taken()
    }
}
