//! The handle to a range of device memory, and its raw key.

use core::fmt;
use std::sync::Arc;

use ash::vk;

use super::{
    Allocator,
    error::{ForeignPoint, KeyError, Refused},
    home::Home,
    inner::{Inner, Lane, Life},
    lanes::LANE_BITS,
    retire::Keeper,
};
use crate::{
    memory::{Block, Entry, Grant, Host, Rank},
    retire::Point,
    tlsf::Key,
    vulkan::Mapping,
};

/// A range of device memory. Dropping it is safe at any time.
///
/// **Drop** retires: the range is given to others only after every recording that is open now has
/// ended, and the GPU has passed everything submitted by then. Nothing waits; `collect` takes the
/// range back later. What dropping does end is your right to *submit* work that names the range.
///
/// Costs: 32 bytes; a drop takes one lock, its memory type's, makes no driver call and allocates nothing.
#[must_use = "dropping an allocation retires it at once"]
pub struct Allocation {
    pub(super) home: Home,
    key: Key,
    pub(super) offset: u64,
    pub(super) size: u64,
}

// Half a cache line, where pointers have 8 bytes.
const _: () = assert!(size_of::<Allocation>() <= 32);

impl fmt::Debug for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocation")
            .field("memory", &self.memory())
            .field("offset", &self.offset)
            .field("size", &self.size)
            .field("memory_type", &self.memory_type())
            .finish_non_exhaustive()
    }
}

/// An allocation as a 16-byte key: `Copy`, for those who keep their own tables.
///
/// It owns nothing. Turn it back with [`Allocator::from_raw`]; a key used twice, or after its
/// allocation has ended, or with another allocator is a typed error, in release builds too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RawAllocation {
    allocator: u32,
    /// Lane in the upper 10 bits, slot below.
    block: u32,
    key: Key,
}

const SLOT_BITS: u32 = u32::BITS - LANE_BITS;

impl RawAllocation {
    pub(super) fn new(allocator: u32, lane: u32, Entry { slot, key }: Entry) -> Self {
        Self { allocator, block: lane << SLOT_BITS | slot, key }
    }

    fn lane(self) -> u32 {
        self.block >> SLOT_BITS
    }

    fn entry(self) -> Entry {
        Entry { slot: self.block & ((1 << SLOT_BITS) - 1), key: self.key }
    }
}

impl Allocation {
    #[inline]
    pub(super) fn new(grant: &Grant) -> Self {
        let &Grant { entry: Entry { key, .. }, offset, size, .. } = grant;
        Self { home: Home::new(grant), key, offset, size }
    }

    /// The block this range lies in, to bind to or to name in a copy. Do not free or map it.
    pub fn memory(&self) -> vk::DeviceMemory {
        self.home.plate().memory
    }

    /// Where the range begins in its block, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes it has: at least what was asked for. In a block that allocations share it is rounded up to 256
    /// bytes where the GPU alone sees the memory, which no buffer's alignment is above, and to 64 where the host sees
    /// it; to more where four times the heap over 2³² is more: from 256 and 64 GiB on.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The index of its memory type.
    pub fn memory_type(&self) -> u32 {
        self.lane().map_or(0, |lane| lane.memory_type)
    }

    /// The properties of its memory type.
    pub fn memory_properties(&self) -> vk::MemoryPropertyFlags {
        self.lane().map_or_else(Default::default, |lane| lane.flags)
    }

    /// Gives the allocation up at explicit points instead of "all that is submitted by now". It is
    /// free once all of them are reached; with no points, at once. O(points + log pending).
    ///
    /// # Errors
    /// A point of another allocator; the handle comes back.
    ///
    /// # Safety
    /// No submission that can touch the range lies after these points, on any queue, and no
    /// recording that names it will be submitted.
    pub unsafe fn retire_at(self, points: &[Point]) -> Result<(), Refused<Self>> {
        let reached = self.home.poll();
        if let Some(&point) = points.iter().find(|&&point| !reached.knows(point)) {
            return Err(Refused { handle: self, point });
        }
        let unreached: smallvec::SmallVec<[Point; 4]> =
            points.iter().copied().filter(|&point| !reached.has(point)).collect();
        self.end(|inner, lane, entry| inner.retire_at(lane, entry, &unreached));
        Ok(())
    }

    /// Ends the allocation at once: its range may be handed out by the next call.
    ///
    /// Cost: one lock, O(1); where a resource lies on the range, the driver call that destroys it.
    ///
    /// # Safety
    /// The GPU never saw the range, or is done with it, and nothing recorded that names it will be
    /// submitted.
    pub unsafe fn free_now(self) {
        let (home, lane, entry) = (self.home, self.lane_index(), self.entry());
        core::mem::forget(self);
        if !home.free_plain(lane, entry) {
            end_region(home, lane, entry, Inner::free_now);
        }
    }

    /// Tells the [auditor](crate::AllocatorDesc::audit) that the GPU uses the range until a point. Ending the
    /// allocation at older points ([`retire_at`](Self::retire_at), [`free_now`](Self::free_now)) is then
    /// reported, by its name. Without the auditor nothing is noted.
    ///
    /// Cost: with the auditor, one lock and a look-up.
    ///
    /// # Errors
    /// A point of another allocator.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    /// #     .api_version(vk::API_VERSION_1_2).features(DeviceFeatures::TIMELINE_SEMAPHORE);
    /// let allocator = unsafe { Allocator::new(&desc.audit(true))? };
    /// # let frames = allocator.timeline(fake.queue(0))?;
    /// # let mesh = BufferDesc::new(1 << 10, vk::BufferUsageFlags::VERTEX_BUFFER);
    /// # let mesh = allocator.create_buffer(&mesh, &AllocationDesc::device_local().name("mesh"))?;
    /// # let frame = frames.begin()?;
    /// let point = frame.submit(|signal| unsafe { signal.queue_submit(&[]) })?;
    /// mesh.allocation().record_use(point)?;
    /// // SAFETY: not so: the auditor says "points older than a recorded use", and "mesh".
    /// unsafe { mesh.retire_at(&[])? };
    /// # fake.run();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record_use(&self, point: Point) -> Result<(), ForeignPoint> {
        if point.timeline().owner != self.home.id {
            return Err(ForeignPoint { point });
        }
        if self.home.audit {
            let used = (self.lane_index(), self.entry());
            self.home.with_register(|register| register.record_use(used, point));
        }
        Ok(())
    }

    /// Changes how important it is when the system is short of memory: see
    /// [`AllocationDesc::priority`](crate::AllocationDesc::priority). A texture that is streamed out,
    /// or comes near. What is no number takes back what was told.
    ///
    /// Of effect where
    /// [`PAGEABLE_DEVICE_LOCAL_MEMORY`](crate::DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY) is on,
    /// from the next [`collect`](Allocator::collect) on.
    ///
    /// Cost: one lock, O(1).
    pub fn set_priority(&self, priority: f32) {
        if let Some(lane) = self.lane() {
            lane.lock().blocks.set_rank(self.entry(), Rank::of(priority));
        }
    }

    /// The key of this allocation, while the handle stays its owner: to find it in a table of yours.
    ///
    /// Cost: none.
    pub fn key(&self) -> RawAllocation {
        self.raw()
    }

    /// Turns the handle into a key that owns nothing. The allocation lives until the key is turned
    /// back and dropped.
    ///
    /// Cost: none.
    pub fn into_raw(self) -> RawAllocation {
        let raw = self.raw();
        core::mem::forget(self);
        raw
    }

    #[inline(always)]
    pub(super) fn lane_index(&self) -> u32 {
        self.home.plate().whose.lane
    }

    /// The lane it lives in.
    pub(super) fn lane(&self) -> Option<&Lane> {
        self.home.lane(self.lane_index())
    }

    /// The address of its first byte, where the block is mapped and the host may reach it.
    pub(super) fn mapping(&self) -> Option<Mapping> {
        // SAFETY: the range lies inside the mapped block.
        self.home.plate().mapping.map(|mapping| unsafe { mapping.add(self.offset) })
    }

    #[inline(always)]
    fn entry(&self) -> Entry {
        Entry { slot: self.home.plate().slot, key: self.key }
    }

    fn raw(&self) -> RawAllocation {
        RawAllocation::new(self.home.id, self.lane_index(), self.entry())
    }

    /// Whether Vulkan was told that this memory is for one resource alone.
    pub(super) fn is_exclusive(&self) -> bool {
        self.of_block(|block| block.exclusive).unwrap_or(false)
    }

    /// The handle types that this memory was made to be exported as, as bits.
    pub(super) fn exported_as(&self) -> u32 {
        self.of_block(|block| block.exported_as).unwrap_or(0)
    }

    /// Whether its block is to become empty.
    pub(super) fn is_leaving(&self) -> bool {
        self.of_block(|block| block.closed).unwrap_or(false)
    }

    fn of_block<T>(&self, what: impl FnOnce(&Block) -> T) -> Option<T> {
        self.lane()?.lock().blocks.block(self.entry().slot).map(|block| what(&block))
    }

    /// Whether all of this memory read zero when it was handed out: under
    /// [`GuardPolicy::Zero`](crate::GuardPolicy::Zero) it was filled with zeros after its last owner, or since the driver
    /// gave it. `false` is no knowledge: memory that no scrub has gone over yet, or one of its own that the
    /// host does not see. One lock.
    pub fn is_zeroed(&self) -> bool {
        self.lane().is_some_and(|lane| self.home.is_zeroed(lane, self.entry()))
    }

    /// Takes the resource off the range, so that ending one does not end the other.
    pub(super) fn disown(&self) {
        if let Some(lane) = self.lane() {
            lane.lock().blocks.take_resource(self.entry());
        }
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.home
    }

    /// Ends this handle's region by one of the doors.
    fn end(self, door: impl FnOnce(&Inner, u32, Entry) -> Result<Keeper, KeyError>) {
        let (home, lane, entry) = (self.home, self.lane_index(), self.entry());
        core::mem::forget(self);
        end_region(home, lane, entry, door);
    }
}

/// Ends a region whose owner is `home`'s holder. After the last facade is gone nobody collects any
/// more, so then this does, by the end policy.
fn end_region(
    home: Home,
    lane: u32,
    entry: Entry,
    door: impl FnOnce(&Inner, u32, Entry) -> Result<Keeper, KeyError>,
) {
    match door(&home, lane, entry) {
        // Dropping the keeper may end the allocator: `home` is not touched after this.
        Ok(Some(keeper)) if keeper.life() == Life::Closed => _ = keeper.finish_pending(),
        Ok(keeper) => drop(keeper),
        Err(KeyError::OutOfHostMemory) => tracing::error!(
            target: crate::events::LEAK, count = 1,
            "the host has no memory to note an end by: the allocation stays until the allocator is shut down"
        ),
        Err(error) => unreachable!("{entry:?} was used and its handle is the only one: {error}"),
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let (home, lane, entry) = (self.home, self.lane_index(), self.entry());
        if !home.retire_plain(lane, entry) {
            end_region(home, lane, entry, Inner::retire);
        }
    }
}

impl Allocator {
    /// Gives the allocation of a raw key up, as dropping its handle would: one lock, where
    /// [`from_raw`](Self::from_raw) takes one more.
    ///
    /// # Errors
    /// As `from_raw`. Nothing has changed then.
    ///
    /// # Safety
    /// As `from_raw`: this is the key's turning back.
    pub unsafe fn retire_raw(&self, raw: RawAllocation) -> Result<(), KeyError> {
        let (inner, lane, entry) = (self.own(raw)?, raw.lane(), raw.entry());
        if inner.retire_plain(lane, entry) { Ok(()) } else { inner.retire(lane, entry).map(drop) }
    }

    /// Ends the allocation of a raw key at once, as [`Allocation::free_now`] would: one lock.
    ///
    /// # Errors
    /// As [`from_raw`](Self::from_raw). Nothing has changed then.
    ///
    /// # Safety
    /// As `from_raw`: this is the key's turning back. And as [`Allocation::free_now`].
    pub unsafe fn free_raw(&self, raw: RawAllocation) -> Result<(), KeyError> {
        let (inner, lane, entry) = (self.own(raw)?, raw.lane(), raw.entry());
        if inner.free_plain(lane, entry) { Ok(()) } else { inner.free_now(lane, entry).map(drop) }
    }

    /// The allocator of a key, if that is this one.
    #[inline]
    fn own(&self, raw: RawAllocation) -> Result<&Arc<Inner>, KeyError> {
        let inner = self.inner();
        if raw.allocator == inner.id { Ok(inner) } else { Err(KeyError::Foreign) }
    }

    /// Turns a raw key back into the handle that owns it. O(1), one lock.
    ///
    /// # Errors
    /// A key of another allocator, of an allocation that was retired before (a double free), or of
    /// one that has ended. Nothing has changed then.
    ///
    /// # Safety
    /// No other handle of the same allocation exists: each [`Allocation::into_raw`] is turned back
    /// at most once.
    pub unsafe fn from_raw(&self, raw: RawAllocation) -> Result<Allocation, KeyError> {
        let inner = self.own(raw)?;
        let lane = inner.lane(raw.lane()).ok_or(KeyError::Stale)?;
        let entry = raw.entry();
        let grant = {
            let state = lane.lock();
            let (region, block) = state.blocks.used(entry)?;
            let fence = state.blocks.tenant(entry).fence;
            let (offset, size) = fence.inside(region.offset, region.size);
            let taken_over = state.heirs.contains(entry);
            Grant {
                entry,
                memory: block.memory,
                offset,
                size,
                plate: block.plates.get(if taken_over { Host::StaysOut } else { Host::Enters }),
                first: false,
            }
        };
        Ok(Allocation::new(&grant))
    }
}
