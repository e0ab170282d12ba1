//! Moving: a resource made anew in another block, and what lay in the old one copied.

use core::fmt;

use ash::vk;

use super::{
    allocate::Granted,
    allocation::Allocation,
    defragment::Defragmentation,
    desc::AllocationDesc,
    error::{AllocateError, CreateError},
    inner::{Inner, Lane},
    place::Place,
    recording::Recording,
    request::Request,
    resource::{Buffer, Image},
    resource_desc::{BufferDesc, ImageDesc},
};
use crate::{
    policy::granularity::ResourceKind,
    vulkan::{Dedicate, Side},
};

/// Why nothing moved. Everything is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// It does not lie in a block that is to become empty.
    #[error("the allocation lies in no block of this defragmentation")]
    NotPlanned,
    /// No other block of its memory type has room. The driver is not asked for more.
    #[error("no other block of the memory type has room")]
    NoRoom,
    /// The recording is of another allocator.
    #[error("the recording is of another allocator")]
    Foreign,
    /// The old buffer needs the usage `TRANSFER_SRC`, the new one `TRANSFER_DST`.
    #[error("a buffer that is copied needs TRANSFER_SRC, and TRANSFER_DST where it is copied to")]
    Usage,
    /// The new buffer is smaller than the old one.
    #[error("a buffer of {new} bytes does not hold the {old} of the old one")]
    Smaller {
        /// The old buffer's bytes.
        old: u64,
        /// The new one's.
        new: u64,
    },
    /// The resource could not be made anew.
    #[error(transparent)]
    Create(CreateError),
}

impl From<CreateError> for MoveError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Allocate(error) => error.into(),
            error => Self::Create(error),
        }
    }
}

impl From<AllocateError> for MoveError {
    fn from(error: AllocateError) -> Self {
        match error {
            AllocateError::OutOfDeviceMemory { .. } => Self::NoRoom,
            error => Self::Create(error.into()),
        }
    }
}

impl Inner {
    /// A range in the blocks that a lane has, but not in those that are to become empty.
    pub(super) fn allocate_in_others(
        &self,
        lane: u32,
        request: &Request,
    ) -> Result<Granted<'_>, AllocateError> {
        self.validate(request)?;
        let required = self.choice(&request.question, &mut None).required;
        let type_bits = request.question.type_bits;
        let fits =
            |lane: &&Lane| type_bits >> lane.memory_type & 1 == 1 && lane.flags.contains(required);
        let Some(lane) = self.lane(lane).filter(fits) else {
            return Err(AllocateError::NoMemoryType { type_bits, required });
        };
        if request.dedicate == Dedicate::Require {
            return Err(AllocateError::NeedsDedicated);
        }
        let search = self.search(request)?;
        let mut grant = self.allocate_in_blocks(lane, &search);
        if grant.is_none() && self.collect_for(lane) {
            grant = self.allocate_in_blocks(lane, &search);
        }
        grant.map(|grant| (lane, grant)).ok_or(AllocateError::out_of_memory())
    }
}

/// The doors to another place for what lies in a block that is to become empty: one in the same memory type, or arena,
/// in a block that others share. The driver is not asked for memory.
impl Defragmentation {
    fn place(&self, old: &Allocation) -> Result<Place<'_>, MoveError> {
        match self.contains(old) {
            true => Ok(Place::Others(old.lane_index(), self.arena.as_ref())),
            false => Err(MoveError::NotPlanned),
        }
    }

    /// Creates the buffer that an old one moves into. To copy the contents and drop the old one is
    /// yours; [`copies`](Self::copies) does all three.
    ///
    /// Cost: as [`Allocator::create_buffer`](super::Allocator::create_buffer), and one lock more.
    ///
    /// # Errors
    /// [`MoveError`]; nothing is left behind.
    #[track_caller]
    pub fn create_buffer(
        &self,
        old: &Buffer,
        desc: &BufferDesc,
        memory: &AllocationDesc,
    ) -> Result<Buffer, MoveError> {
        let place = self.place(old.allocation())?;
        Ok(self.inner.create_described_buffer(desc, memory, place)?)
    }

    /// Creates the image that an old one moves into. The copy of its levels and layers, in the layouts
    /// that they have, and the drop of the old one and its views are yours.
    ///
    /// Cost: as [`Allocator::create_image`](super::Allocator::create_image), and one lock more.
    ///
    /// # Errors
    /// [`MoveError`]; nothing is left behind.
    #[track_caller]
    pub fn create_image(
        &self,
        old: &Image,
        desc: &ImageDesc,
        memory: &AllocationDesc,
    ) -> Result<Image, MoveError> {
        let place = self.place(old.allocation())?;
        self.inner.check_image(desc)?;
        // SAFETY: the description was checked, and the driver has such images.
        Ok(unsafe { self.inner.create_image(&desc.info(), memory, place) }?)
    }

    /// Allocates the memory that an old one's resource moves into, one that you create, bind and destroy
    /// yourself.
    ///
    /// Cost: as [`Allocator::allocate`](super::Allocator::allocate), and one lock more.
    ///
    /// # Errors
    /// [`MoveError`]; nothing has changed.
    #[track_caller]
    pub fn allocate(
        &self,
        old: &Allocation,
        requirements: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
    ) -> Result<Allocation, MoveError> {
        let place = self.place(old)?;
        Ok(self.inner.allocate_plain(requirements, kind, memory, place)?)
    }

    /// Moves buffers by commands that you submit with a recording: see [`Copies::move_buffer`]. A barrier
    /// of all commands stands before the first copy, another behind the last, where this is dropped.
    ///
    /// # Errors
    /// A recording of another allocator.
    ///
    /// # Safety
    /// * The command buffer is being recorded under this recording, outside a render pass, by this
    ///   thread alone until the copies are dropped, and is submitted at most once, with the recording.
    /// * Other queues that write the buffers are waited for by that submission, and those that use
    ///   them afterwards wait for it.
    pub unsafe fn copies<'a>(
        &'a self,
        recording: &'a Recording,
        commands: vk::CommandBuffer,
    ) -> Result<Copies<'a>, MoveError> {
        match recording.allocator() == self.inner.id {
            true => Ok(Copies { run: self, commands, moved: 0, _recording: recording }),
            false => Err(MoveError::Foreign),
        }
    }
}

/// Copies on their way into a command buffer; made by [`Defragmentation::copies`].
#[must_use = "dropping it ends the copies with a barrier"]
pub struct Copies<'a> {
    run: &'a Defragmentation,
    commands: vk::CommandBuffer,
    moved: u64,
    /// Open, so that what is dropped now lives until its commands are done.
    _recording: &'a Recording,
}

impl fmt::Debug for Copies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("moved", &self.moved).finish_non_exhaustive()
    }
}

impl Copies<'_> {
    /// Makes a buffer anew in another block, records the copy of its bytes, puts the new one in the
    /// old one's place and drops that: it ends when the GPU has copied and all that was recorded before
    /// is done. Commands that are recorded from here on name the new handle; its address is another.
    ///
    /// The host's bytes are copied by the GPU too: write them before the submission, or to the new
    /// buffer after its point.
    ///
    /// Cost: as [`Defragmentation::create_buffer`], a command, and a drop.
    ///
    /// # Errors
    /// [`MoveError`]; the buffer is as it was, and nothing is recorded.
    #[track_caller]
    pub fn move_buffer(
        &mut self,
        buffer: &mut Buffer,
        desc: &BufferDesc,
        memory: &AllocationDesc,
    ) -> Result<(), MoveError> {
        use vk::BufferUsageFlags as Usage;
        let copied = buffer.usage().contains(Usage::TRANSFER_SRC);
        if !copied || !desc.usage.contains(Usage::TRANSFER_DST) {
            return Err(MoveError::Usage);
        }
        if desc.size < buffer.size() {
            return Err(MoveError::Smaller { old: buffer.size(), new: desc.size });
        }
        let new = self.run.create_buffer(buffer, desc, memory)?;
        let vulkan = &self.run.inner.vulkan;
        // SAFETY: the promise made to `copies`; the buffers live, since the recording is open, and have
        // usages and sizes.
        unsafe {
            if self.moved == 0 {
                vulkan.record_copy_barrier(self.commands, Side::Before);
            }
            vulkan.record_copy(self.commands, buffer.handle(), new.handle(), buffer.size());
        }
        self.moved += 1;
        *buffer = new;
        Ok(())
    }

    /// How many buffers moved so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }
}

impl Drop for Copies<'_> {
    fn drop(&mut self) {
        if self.moved > 0 {
            // SAFETY: the promise made to `copies`.
            unsafe { self.run.inner.vulkan.record_copy_barrier(self.commands, Side::After) };
        }
    }
}
