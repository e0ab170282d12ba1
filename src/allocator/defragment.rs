//! Defragmentation: which blocks are to become empty, and what has to move for it.
//!
//! The plan is made on copies, under no lock, and moves nothing. Its blocks are closed: nobody new
//! moves in while others have room. Each end there brings them nearer to being empty, whoever ends it;
//! when the last has, the block goes back to the driver with the next `collect`.

use core::fmt;
use std::sync::Arc;

use ash::vk;

use super::{
    Allocator,
    allocation::{Allocation, RawAllocation},
    arena::Arena,
    inner::{Inner, Lane},
    picture::TenantKind,
    place::{ArenaBlocks, Place},
};
use crate::{
    memory::{Entry, View},
    policy::{
        defragment::{Limits, Shape, blocks_to_empty},
        granularity::ResourceKind,
    },
    tlsf::State,
};

/// How much [`Allocator::defragment`] may plan to move. Without limits, all that frees a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct DefragmentDesc {
    bytes: u64,
    moves: u64,
    memory_type_bits: u32,
}

impl Default for DefragmentDesc {
    fn default() -> Self {
        Self::new()
    }
}

impl DefragmentDesc {
    /// No limits, all memory types.
    pub const fn new() -> Self {
        Self { bytes: u64::MAX, moves: u64::MAX, memory_type_bits: !0 }
    }

    /// At most so many bytes move, of each memory type.
    pub const fn most_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// At most so many allocations move, of each memory type.
    pub const fn most_moves(mut self, moves: u64) -> Self {
        self.moves = moves;
        self
    }

    /// Only these memory types, a bit for each, as in `VkMemoryRequirements::memoryTypeBits`.
    pub const fn memory_types(mut self, bits: u32) -> Self {
        self.memory_type_bits = bits;
        self
    }
}

/// An allocation that may have to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Move {
    /// Which: [`Allocation::key`] tells it of a handle.
    pub allocation: RawAllocation,
    /// Its bytes.
    pub size: u64,
    /// The index of its memory type.
    pub memory_type: u32,
    /// Linear or optimal, where a resource of ours sits on it or it has a name.
    pub kind: Option<ResourceKind>,
    /// Its name.
    pub name: Option<&'static str>,
    /// What lives on it, where that is a resource of ours.
    pub tenant: TenantKind,
    /// The Vulkan usage flags of that resource.
    pub usage: u32,
}

/// Blocks on their way to being empty; made by [`Allocator::defragment`].
///
/// Whatever has not moved when this is dropped stays where it is, and its block takes others in again.
#[must_use = "dropping it ends the defragmentation"]
pub struct Defragmentation {
    pub(super) inner: Arc<Inner>,
    /// The arena whose blocks they are.
    pub(super) arena: Option<ArenaBlocks>,
    leaving: Vec<Leaving>,
    moves: Vec<Move>,
}

/// A block that was closed.
#[derive(Clone, Copy)]
struct Leaving {
    lane: u32,
    slot: u32,
    memory: vk::DeviceMemory,
    size: u64,
}

impl fmt::Debug for Defragmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Defragmentation")
            .field("blocks", &self.leaving.len())
            .field("moves", &self.moves.len())
            .finish_non_exhaustive()
    }
}

impl Allocator {
    /// Plans which blocks can be emptied by moving what lives there into the room of others, and closes
    /// them to new allocations. **Nothing moves by itself**: [`Defragmentation::moves`] is what you move,
    /// as much a frame as you like, by [`Defragmentation::copies`] or by making resources anew with
    /// [`Defragmentation::create_image`] and dropping the old ones. A drop is safe at any time, so what
    /// the GPU still reads stays until it has; then the empty block goes back to the driver.
    ///
    /// `movable` is asked, without a lock, about everything in a block that could go. Say `true` only of what you
    /// will move: one allocation that stays keeps its whole block, and all the other moves were in vain.
    /// Memory of a ring, of aliasing resources and of scrubs' tables is asked about too: a table of yours
    /// does not know its keys.
    ///
    /// Memories of one resource's own are left alone, and arenas have a [door of their own](Arena::defragment). What is planned fits, as far
    /// as sizes go and nobody takes the room meanwhile; a move that finds none says so.
    ///
    /// Cost: a copy of the regions of each memory type under its lock, O(regions); the choice, under no lock,
    /// O(moves · blocks) at worst. For a loading screen, or when memory runs short; not for every frame.
    ///
    /// # Example
    /// ```
    /// # use std::collections::HashMap;
    /// # use fencepost::{fake::FakeDriver, *};
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    /// #     .api_version(vk::API_VERSION_1_3).features(DeviceFeatures::TIMELINE_SEMAPHORE);
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// # let frames = allocator.timeline(fake.queue(0))?;
    /// # let pool = unsafe { fake.device().create_command_pool(&Default::default(), None)? };
    /// # let info = vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
    /// # let commands = unsafe { fake.device().allocate_command_buffers(&info)?[0] };
    /// # unsafe { fake.device().begin_command_buffer(commands, &Default::default())? };
    /// let usage = vk::BufferUsageFlags::VERTEX_BUFFER
    ///     | vk::BufferUsageFlags::TRANSFER_SRC
    ///     | vk::BufferUsageFlags::TRANSFER_DST;
    /// let (desc, memory) = (BufferDesc::new(100 << 10, usage), AllocationDesc::device_local());
    /// let mut meshes = Vec::new();
    /// for _ in 0..100 {
    ///     meshes.push(allocator.create_buffer(&desc, &memory)?);
    /// }
    /// let mut nth = 0;
    /// meshes.retain(|_| { nth += 1; nth % 4 == 0 });          // a level ends; its blocks are full of holes
    /// let reserved = allocator.statistics().total.reserved;
    ///
    /// let mine: HashMap<_, _> =
    ///     meshes.iter_mut().map(|mesh| (mesh.allocation().key(), mesh)).collect();
    /// let run = allocator.defragment(&DefragmentDesc::new(), |found| mine.contains_key(&found.allocation));
    ///
    /// let frame = frames.begin()?;
    /// let mut copies = unsafe { run.copies(&frame, commands)? };
    /// for mesh in mine.into_values() {
    ///     if run.contains(mesh.allocation()) {
    ///         copies.move_buffer(mesh, &desc, &memory)?;      // from here on, record with the new handle
    ///     }
    /// }
    /// drop(copies);
    /// # unsafe { fake.device().end_command_buffer(commands)? };
    /// let batch = [vk::SubmitInfo::default().command_buffers(std::slice::from_ref(&commands))];
    /// frame.submit(|signal| unsafe { signal.queue_submit(&batch) })?;
    /// # fake.run();
    /// allocator.collect();                                    // the GPU has copied: the old ranges end
    /// assert!(allocator.statistics().total.reserved <= reserved / 2);
    /// # drop((run, meshes, frames));
    /// # unsafe { fake.device().destroy_command_pool(pool, None) };
    /// # unsafe { allocator.shutdown()? };
    /// # fake.finish()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn defragment(
        &self,
        desc: &DefragmentDesc,
        mut movable: impl FnMut(&Move) -> bool,
    ) -> Defragmentation {
        self.inner().defragment(self.place(), desc, &mut movable)
    }
}

impl Arena {
    /// Plans which blocks of the arena can be emptied: see [`Allocator::defragment`]. Rings and double stacks
    /// have none; what an arena keeps [at least](super::ArenaDesc::min_blocks) stays, empty.
    ///
    /// Cost: as there, for this arena alone.
    pub fn defragment(
        &self,
        desc: &DefragmentDesc,
        mut movable: impl FnMut(&Move) -> bool,
    ) -> Defragmentation {
        self.inner().defragment(self.place(), desc, &mut movable)
    }
}

/// A block that might be emptied, copied under its lock.
struct Candidate {
    leaving: Leaving,
    shape: Shape,
    moves: Vec<Move>,
}

impl Inner {
    fn defragment(
        self: &Arc<Self>,
        place: Place<'_>,
        desc: &DefragmentDesc,
        movable: &mut dyn FnMut(&Move) -> bool,
    ) -> Defragmentation {
        let arena = if let Place::Arena(arena) = place { Some(*arena) } else { None };
        let (leaving, moves) = (Vec::new(), Vec::new());
        let mut run = Defragmentation { inner: Arc::clone(self), arena, leaving, moves };
        for lane in self.lanes().filter(|lane| desc.memory_type_bits >> lane.memory_type & 1 == 1) {
            if !run.is_of(lane) {
                continue;
            }
            run.plan(lane, self.candidates(lane), desc, movable);
        }
        run
    }

    /// The blocks of a lane that move others in or out.
    fn candidates(&self, lane: &Lane) -> Vec<Candidate> {
        let state = lane.lock();
        let split = state.blocks.iter().filter(|(_, block)| block.is_split() && !block.closed);
        split.map(|(slot, block)| self.candidate(lane, slot, block)).collect()
    }

    fn candidate(&self, lane: &Lane, slot: u32, block: View<'_>) -> Candidate {
        let (mut free, mut used, mut moves) = (Vec::new(), Vec::new(), Vec::new());
        for region in block.regions() {
            match (region.state, region.key) {
                (State::Free, _) => free.push(region.size),
                (State::Used, Some(key)) => {
                    let tenant = block.tenant(key);
                    used.push(region.size);
                    moves.push(Move {
                        allocation: RawAllocation::new(self.id, lane.index, Entry { slot, key }),
                        size: tenant.fence.inside(region.offset, region.size).1,
                        memory_type: lane.memory_type,
                        kind: tenant.kind,
                        name: tenant.name,
                        tenant: TenantKind::of(tenant.resource),
                        usage: tenant.usage,
                    });
                }
                // What is pending goes by itself.
                _ => {}
            }
        }
        let (size, tailored) = (block.size, block.tailored);
        let leaving = Leaving { lane: lane.index, slot, memory: block.memory, size };
        let shape = Shape { size, movable: true, tailored, used, free };
        Candidate { leaving, shape, moves }
    }
}

impl Defragmentation {
    fn plan(
        &mut self,
        lane: &Lane,
        blocks: Vec<Candidate>,
        desc: &DefragmentDesc,
        movable: &mut dyn FnMut(&Move) -> bool,
    ) {
        let limits = Limits { large: lane.growth.large(), bytes: desc.bytes, moves: desc.moves };
        let mut moves = Vec::with_capacity(blocks.len());
        let mut shapes = Vec::with_capacity(blocks.len());
        let mut places = Vec::with_capacity(blocks.len());
        for Candidate { leaving, mut shape, moves: own } in blocks {
            shape.movable = own.iter().all(&mut *movable);
            moves.push(own);
            shapes.push(shape);
            places.push(leaving);
        }
        for index in blocks_to_empty(&shapes, limits) {
            let leaving = places[index];
            if lane.lock().blocks.close(leaving.slot, leaving.memory) {
                self.leaving.push(leaving);
                self.moves.append(&mut moves[index]);
            }
        }
    }

    /// What was planned to move, block by block, the emptiest first. What has moved or ended since is
    /// still listed.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// How many bytes of device memory the blocks have that were planned to go.
    pub fn bytes(&self) -> u64 {
        self.leaving.iter().map(|leaving| leaving.size).sum()
    }

    /// Whether an allocation is to move: it lies in a block on its way to being empty, of a memory type or of the
    /// arena whose run this is. One lock, O(1).
    pub fn contains(&self, allocation: &Allocation) -> bool {
        if allocation.home.id != self.inner.id {
            return false;
        }
        let lane = allocation.lane();
        lane.is_some_and(|lane| self.is_of(lane)) && allocation.is_leaving()
    }

    /// Whether a lane's blocks are this run's to plan.
    fn is_of(&self, lane: &Lane) -> bool {
        match self.arena {
            Some(arena) => lane.index == arena.lane,
            None => lane.index == lane.memory_type,
        }
    }

    /// How many allocations still live in the blocks that were planned to go: 0 when there is nothing
    /// left to move. O(blocks), a lock each.
    pub fn remaining(&self) -> u64 {
        let live = |leaving: &Leaving| {
            let lane = self.inner.lane(leaving.lane)?;
            let state = lane.lock();
            let block = state.blocks.block(leaving.slot)?;
            let same = block.memory == leaving.memory && block.closed;
            same.then(|| u64::from(block.live()))
        };
        self.leaving.iter().filter_map(live).sum()
    }
}

impl Drop for Defragmentation {
    fn drop(&mut self) {
        for &Leaving { lane, slot, memory, .. } in &self.leaving {
            if let Some(lane) = self.inner.lane(lane) {
                lane.lock().blocks.open(slot, memory);
            }
        }
    }
}
