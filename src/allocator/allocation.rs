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

/// A range of device memory. Dropping it is always safe.
///
/// **Drop** retires the allocation: the range is reused only after every recording that is open now
/// has ended and the GPU has passed everything submitted by then. Dropping does not block; a later
/// `collect` frees the range. After the drop, you may no longer *submit* work that uses the range.
///
/// Cost: 32 bytes. A drop takes the lock of its memory type, makes no driver call and allocates
/// nothing.
#[must_use = "dropping an allocation retires it at once"]
pub struct Allocation {
    pub(super) home: Home,
    key: Key,
    pub(super) offset: u64,
    pub(super) size: u64,
}

// Half a cache line with pointers of 8 bytes.
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

/// A 16-byte key that identifies an allocation. It is `Copy`, so you can keep it in your own
/// tables.
///
/// A key does not own the allocation. Turn it back into a handle with [`Allocator::from_raw`].
/// Using a key twice, after its allocation has ended, or with another allocator returns a typed
/// error, in release builds too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RawAllocation {
    allocator: u32,
    /// The lane in the upper 10 bits, the slot in the lower ones.
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

    /// The block that contains the range, for binding or for copy commands. Do not free or map it.
    pub fn memory(&self) -> vk::DeviceMemory {
        self.home.plate().memory
    }

    /// The offset of the range in its block, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The size of the range in bytes, which is at least the requested size. In a shared block it
    /// is a multiple of 256 bytes if only the GPU can access the memory (no buffer has a larger
    /// alignment), and of 64 bytes if the host can access it. The multiple is larger if four times
    /// the heap size divided by 2³² is larger, that is for heaps from 256 GiB and 64 GiB on,
    /// respectively.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The index of the memory type.
    pub fn memory_type(&self) -> u32 {
        self.lane().map_or(0, |lane| lane.memory_type)
    }

    /// The properties of the memory type.
    pub fn memory_properties(&self) -> vk::MemoryPropertyFlags {
        self.lane().map_or_else(Default::default, |lane| lane.flags)
    }

    /// Retires the allocation at explicit points instead of "everything submitted by now". It is
    /// freed once the GPU has passed all of them; without points, immediately. O(points + log
    /// pending).
    ///
    /// # Errors
    /// A point belongs to another allocator. The error returns the handle.
    ///
    /// # Safety
    /// On every queue, all submissions that may access the range are covered by these points, and
    /// no recording that uses the range will be submitted.
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

    /// Frees the allocation immediately: the next call may reuse its range.
    ///
    /// Cost: one lock, O(1). If a resource is bound to the range, also the driver call that
    /// destroys it.
    ///
    /// # Safety
    /// The GPU never used the range, or has finished using it, and no recorded work that uses it
    /// will be submitted.
    pub unsafe fn free_now(self) {
        let (home, lane, entry) = (self.home, self.lane_index(), self.entry());
        core::mem::forget(self);
        if !home.free_plain(lane, entry) {
            end_region(home, lane, entry, Inner::free_now);
        }
    }

    /// Tells the [auditor](crate::AllocatorDesc::audit) that the GPU uses the range until the given
    /// point. If the allocation then ends at older points ([`retire_at`](Self::retire_at),
    /// [`free_now`](Self::free_now)), the auditor reports this with the allocation's name. Without
    /// the auditor, this does nothing.
    ///
    /// Cost: with the auditor, one lock and a lookup.
    ///
    /// # Errors
    /// The point belongs to another allocator.
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
    /// // SAFETY: violated on purpose: the auditor reports "points older than a recorded use" for "mesh".
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

    /// Changes the priority of the allocation when the system is short of memory; see
    /// [`AllocationDesc::priority`](crate::AllocationDesc::priority). Use it, for example, for a
    /// texture that becomes more or less important. NaN removes a priority that was set.
    ///
    /// Has an effect only if
    /// [`PAGEABLE_DEVICE_LOCAL_MEMORY`](crate::DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY) is
    /// enabled, from the next [`collect`](Allocator::collect) on.
    ///
    /// Cost: one lock, O(1).
    pub fn set_priority(&self, priority: f32) {
        if let Some(lane) = self.lane() {
            lane.lock().blocks.set_rank(self.entry(), Rank::of(priority));
        }
    }

    /// Returns the key of this allocation, for looking it up in your own tables. The handle remains
    /// the owner.
    ///
    /// Cost: none.
    pub fn key(&self) -> RawAllocation {
        self.raw()
    }

    /// Converts the handle into a key, which does not own the allocation. The allocation lives
    /// until the key is converted back and the handle is dropped.
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

    /// The lane of the allocation.
    pub(super) fn lane(&self) -> Option<&Lane> {
        self.home.lane(self.lane_index())
    }

    /// The address of its first byte, if the block is mapped and the host may access it.
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

    /// Whether Vulkan was told that this memory belongs to one resource only.
    pub(super) fn is_exclusive(&self) -> bool {
        self.of_block(|block| block.exclusive).unwrap_or(false)
    }

    /// The handle types that this memory can be exported as, as bits.
    pub(super) fn exported_as(&self) -> u32 {
        self.of_block(|block| block.exported_as).unwrap_or(0)
    }

    /// Whether its block is being emptied.
    pub(super) fn is_leaving(&self) -> bool {
        self.of_block(|block| block.closed).unwrap_or(false)
    }

    fn of_block<T>(&self, what: impl FnOnce(&Block) -> T) -> Option<T> {
        self.lane()?.lock().blocks.block(self.entry().slot).map(|block| what(&block))
    }

    /// Whether all bytes of this memory were zero when it was allocated. Under
    /// [`GuardPolicy::Zero`](crate::GuardPolicy::Zero), memory is filled with zeros after its last
    /// owner, or after it came from the driver. `false` means unknown: no scrub has processed the
    /// memory yet, or it is a dedicated allocation that the host cannot access. One lock.
    pub fn is_zeroed(&self) -> bool {
        self.lane().is_some_and(|lane| self.home.is_zeroed(lane, self.entry()))
    }

    /// Detaches the resource from the range, so that ending one does not end the other.
    pub(super) fn disown(&self) {
        if let Some(lane) = self.lane() {
            lane.lock().blocks.take_resource(self.entry());
        }
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.home
    }

    /// Ends the region of this handle with one of the functions above.
    fn end(self, door: impl FnOnce(&Inner, u32, Entry) -> Result<Keeper, KeyError>) {
        let (home, lane, entry) = (self.home, self.lane_index(), self.entry());
        core::mem::forget(self);
        end_region(home, lane, entry, door);
    }
}

/// Ends the region that belongs to the holder of `home`. Once the last facade is dropped nobody
/// collects any more, so this function then finishes the pending work, according to the end policy.
fn end_region(
    home: Home,
    lane: u32,
    entry: Entry,
    door: impl FnOnce(&Inner, u32, Entry) -> Result<Keeper, KeyError>,
) {
    match door(&home, lane, entry) {
        // Dropping the keeper may end the allocator, so `home` is not accessed after this.
        Ok(Some(keeper)) if keeper.life() == Life::Closed => _ = keeper.finish_pending(),
        Ok(keeper) => drop(keeper),
        Err(KeyError::OutOfHostMemory) => tracing::error!(
            target: crate::events::LEAK, count = 1,
            "the host has no memory to store the end of an allocation: it stays until the allocator is shut down"
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
    /// Retires the allocation of a raw key, like dropping its handle. It takes one lock;
    /// [`from_raw`](Self::from_raw) followed by a drop takes one more.
    ///
    /// # Errors
    /// As for `from_raw`. Nothing has changed.
    ///
    /// # Safety
    /// As for `from_raw`; this call counts as converting the key back.
    pub unsafe fn retire_raw(&self, raw: RawAllocation) -> Result<(), KeyError> {
        let (inner, lane, entry) = (self.own(raw)?, raw.lane(), raw.entry());
        if inner.retire_plain(lane, entry) { Ok(()) } else { inner.retire(lane, entry).map(drop) }
    }

    /// Frees the allocation of a raw key immediately, like [`Allocation::free_now`]: one lock.
    ///
    /// # Errors
    /// As for [`from_raw`](Self::from_raw). Nothing has changed.
    ///
    /// # Safety
    /// As for `from_raw`; this call counts as converting the key back. In addition, as for
    /// [`Allocation::free_now`].
    pub unsafe fn free_raw(&self, raw: RawAllocation) -> Result<(), KeyError> {
        let (inner, lane, entry) = (self.own(raw)?, raw.lane(), raw.entry());
        if inner.free_plain(lane, entry) { Ok(()) } else { inner.free_now(lane, entry).map(drop) }
    }

    /// The allocator of a key, if it is this one.
    #[inline]
    fn own(&self, raw: RawAllocation) -> Result<&Arc<Inner>, KeyError> {
        let inner = self.inner();
        if raw.allocator == inner.id { Ok(inner) } else { Err(KeyError::Foreign) }
    }

    /// Converts a raw key back into the handle that owns the allocation. O(1), one lock.
    ///
    /// # Errors
    /// The key belongs to another allocator, to an allocation that was already retired (a double
    /// free), or to one that has ended. Nothing has changed.
    ///
    /// # Safety
    /// No other handle of the same allocation exists: each result of [`Allocation::into_raw`] is
    /// converted back at most once.
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
