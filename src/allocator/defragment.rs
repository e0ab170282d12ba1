//! Defragmentation: which blocks can become empty, and what has to move for that.
//!
//! The plan works on copies, without holding a lock, and moves nothing. The planned blocks are
//! closed: as long as other blocks have room, they receive no new allocations. Every allocation
//! that ends there, for whatever reason, brings its block nearer to being empty. Once the last one
//! has ended, the next `collect` returns the block to the driver.

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

/// Limits how much [`Allocator::defragment`] may plan to move. Without limits, it plans everything
/// that frees a block.
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

    /// Limits the bytes to move, for each memory type.
    pub const fn most_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Limits the number of allocations to move, for each memory type.
    pub const fn most_moves(mut self, moves: u64) -> Self {
        self.moves = moves;
        self
    }

    /// Restricts the plan to these memory types, one bit for each, as in
    /// `VkMemoryRequirements::memoryTypeBits`.
    pub const fn memory_types(mut self, bits: u32) -> Self {
        self.memory_type_bits = bits;
        self
    }
}

/// An allocation that may have to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Move {
    /// The key of the allocation; [`Allocation::key`] returns it for a handle.
    pub allocation: RawAllocation,
    /// The size in bytes.
    pub size: u64,
    /// The index of the memory type.
    pub memory_type: u32,
    /// Linear or optimal, if a resource of the allocator is bound to the allocation or the
    /// allocation has a name.
    pub kind: Option<ResourceKind>,
    /// The name.
    pub name: Option<&'static str>,
    /// The kind of resource bound to it, if the resource belongs to the allocator.
    pub tenant: TenantKind,
    /// The Vulkan usage flags of that resource.
    pub usage: u32,
}

/// A set of blocks that are being emptied, created by [`Allocator::defragment`].
///
/// When it is dropped, whatever has not moved stays where it is, and the blocks accept new
/// allocations again.
#[must_use = "dropping it ends the defragmentation"]
pub struct Defragmentation {
    pub(super) inner: Arc<Inner>,
    /// The arena that the blocks belong to.
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
    /// Finds blocks that can be emptied by moving their contents into free ranges of other blocks,
    /// and closes them to new allocations. **Nothing moves by itself.** [`Defragmentation::moves`]
    /// lists what to move. Move as much per frame as you like: use [`Defragmentation::copies`], or
    /// create the resources anew with [`Defragmentation::create_image`] and drop the old ones.
    /// Because a drop is always safe, whatever the GPU still reads stays in place until the GPU has
    /// passed it. Then the empty block is returned to the driver.
    ///
    /// `movable` is called, without a lock held, for every allocation in a block that could be
    /// emptied. Return `true` only for allocations that you will move: a single one that stays
    /// keeps its whole block, and makes the other moves useless. It is also called for the memory
    /// of rings, of aliasing resources and of the tables of scrubs; your own tables do not contain
    /// their keys.
    ///
    /// Dedicated allocations are left alone, and arenas have [their own
    /// function](Arena::defragment). The plan fits as far as sizes are concerned, unless others
    /// take the room in the meantime; a move that finds no room returns an error.
    ///
    /// Cost: copies the regions of each memory type under its lock, O(regions). The selection takes
    /// no lock and is O(moves · blocks) at worst. Use it on a loading screen or when memory is
    /// short, not in every frame.
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
    /// Finds blocks of the arena that can be emptied: see [`Allocator::defragment`]. Rings and
    /// double stacks have none. The arena's [minimum number of
    /// blocks](super::ArenaDesc::min_blocks) stays, empty.
    ///
    /// Cost: as for `Allocator::defragment`, for this arena alone.
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

    /// The blocks of a lane that allocations can move out of or into.
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
                // Pending regions end by themselves.
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

    /// The allocations that were planned to move, block by block, the emptiest block first.
    /// Allocations that have moved or ended since are still listed.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The total size in bytes of the blocks that were planned to be emptied.
    pub fn bytes(&self) -> u64 {
        self.leaving.iter().map(|leaving| leaving.size).sum()
    }

    /// Returns whether an allocation should move: it is in a block that is being emptied, of a
    /// memory type or arena that this run covers. One lock, O(1).
    pub fn contains(&self, allocation: &Allocation) -> bool {
        if allocation.home.id != self.inner.id {
            return false;
        }
        let lane = allocation.lane();
        lane.is_some_and(|lane| self.is_of(lane)) && allocation.is_leaving()
    }

    /// Whether this run covers the blocks of a lane.
    fn is_of(&self, lane: &Lane) -> bool {
        match self.arena {
            Some(arena) => lane.index == arena.lane,
            None => lane.index == lane.memory_type,
        }
    }

    /// The number of live allocations in the blocks that were planned to be emptied; 0 if there is
    /// nothing left to move. O(blocks), one lock each.
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
