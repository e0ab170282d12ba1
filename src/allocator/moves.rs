//! Moves: a resource is created anew in another block, and the contents of the old one are copied.

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

/// The reason why nothing moved. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The allocation is not in a block that is being emptied.
    #[error("the allocation is in no block of this defragmentation")]
    NotPlanned,
    /// No other block of its memory type has room. The driver is not asked for more memory.
    #[error("no other block of the memory type has room")]
    NoRoom,
    /// The recording belongs to another allocator.
    #[error("the recording belongs to another allocator")]
    Foreign,
    /// The old buffer needs the usage `TRANSFER_SRC`, the new one `TRANSFER_DST`.
    #[error("the old buffer needs the usage TRANSFER_SRC, and the new one TRANSFER_DST")]
    Usage,
    /// The new buffer is smaller than the old one.
    #[error("the new buffer of {new} bytes is smaller than the old one of {old} bytes")]
    Smaller {
        /// The size of the old buffer, in bytes.
        old: u64,
        /// The size of the new buffer, in bytes.
        new: u64,
    },
    /// The new resource could not be created.
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
    /// A range in the existing blocks of a lane, except those that are being emptied.
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

/// Functions that place a resource of a block that is being emptied elsewhere: in another shared
/// block of the same memory type or arena. They do not ask the driver for memory.
impl Defragmentation {
    fn place(&self, old: &Allocation) -> Result<Place<'_>, MoveError> {
        match self.contains(old) {
            true => Ok(Place::Others(old.lane_index(), self.arena.as_ref())),
            false => Err(MoveError::NotPlanned),
        }
    }

    /// Creates the buffer that an old one moves into. You have to copy the contents and drop the
    /// old one; [`copies`](Self::copies) does all three steps.
    ///
    /// Cost: as for [`Allocator::create_buffer`](super::Allocator::create_buffer), plus one lock.
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

    /// Creates the image that an old one moves into. You have to copy its levels and layers, in
    /// their current layouts, and drop the old image and its views.
    ///
    /// Cost: as for [`Allocator::create_image`](super::Allocator::create_image), plus one lock.
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

    /// Allocates the memory that your own resource moves into. You have to create, bind and destroy
    /// the resource yourself.
    ///
    /// Cost: as for [`Allocator::allocate`](super::Allocator::allocate), plus one lock.
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

    /// Moves buffers with commands that you submit with a recording: see [`Copies::move_buffer`].
    /// Records a barrier over all commands before the first copy, and another after the last copy,
    /// when the returned value is dropped.
    ///
    /// # Errors
    /// The recording belongs to another allocator.
    ///
    /// # Safety
    /// * The command buffer is being recorded under this recording, outside a render pass, and only
    ///   by this thread until the copies are dropped. It is submitted at most once, with the
    ///   recording.
    /// * That submission waits for other queues that write the buffers, and other queues that use
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

/// Copies that are being recorded into a command buffer. Created by [`Defragmentation::copies`].
#[must_use = "dropping it ends the copies with a barrier"]
pub struct Copies<'a> {
    run: &'a Defragmentation,
    commands: vk::CommandBuffer,
    moved: u64,
    /// It is open, so that everything dropped now lives until its commands have finished.
    _recording: &'a Recording,
}

impl fmt::Debug for Copies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("moved", &self.moved).finish_non_exhaustive()
    }
}

impl Copies<'_> {
    /// Creates a buffer anew in another block, records the copy of its bytes, replaces the old
    /// buffer with the new one, and drops the old one. The old one ends when the GPU has executed
    /// the copy and everything recorded before. Commands recorded from here on must use the new
    /// handle; its device address differs.
    ///
    /// The GPU copies bytes written by the host too. Write them before the submission, or into the
    /// new buffer after its point.
    ///
    /// Cost: as for [`Defragmentation::create_buffer`], plus a command and a drop.
    ///
    /// # Errors
    /// [`MoveError`]; the buffer is unchanged, and nothing is recorded.
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

    /// The number of buffers that have moved so far.
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
