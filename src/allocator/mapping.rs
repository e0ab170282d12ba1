//! Copies into and out of host-visible memory, checked against points, and flushes.
//!
//! No reference to mapped memory is ever created, because the GPU may write it at any time.

use core::{
    fmt,
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit},
    ptr::NonNull,
};

use ash::vk;
use bytemuck::Pod;
use smallvec::SmallVec;

use super::{
    Allocator,
    allocation::{Allocation, RawAllocation},
    error::CopyError,
    home::Home,
    inner::{Inner, Lane, Life},
};
use crate::{ground::sync::lock, retire::Point, vulkan::Mapping};

/// A range of an allocation that the host can access, for [`Allocator::flush`] and
/// [`Allocator::invalidate`]. Created by [`Allocation::host_range`], or from a key by
/// [`Allocator::host_range_raw`].
#[derive(Clone, Copy)]
pub struct HostRange<'a> {
    home: Home,
    /// In its block.
    offset: u64,
    length: u64,
    lives: PhantomData<&'a Allocation>,
}

impl fmt::Debug for HostRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRange")
            .field("memory", &self.home.plate().memory)
            .field("offset", &self.offset)
            .field("length", &self.length)
            .finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToDevice,
    ToHost,
}

impl Allocation {
    /// Copies values into the allocation at a byte offset, and flushes them if the memory is not
    /// coherent. Work submitted afterwards sees them. The offset needs no alignment.
    ///
    /// This does not wait for the GPU: writing a range that submitted work reads is a race. Use
    /// points to avoid it, or let [`write_after`](Self::write_after) check one.
    ///
    /// Cost: the copy, and one driver call if the memory is not coherent. No lock.
    ///
    /// # Errors
    /// The memory is not host-visible, or the range is outside the allocation. Nothing is copied.
    pub fn write<T: Pod>(&mut self, offset: u64, values: &[T]) -> Result<(), CopyError> {
        self.write_unflushed(offset, values)?;
        self.flush(offset, size_of_val(values) as u64)
    }

    /// Like [`write`](Self::write), if the GPU has passed the given point: the last use of the data
    /// that is overwritten.
    ///
    /// Cost: as for `write`. If the point is not known to be reached, also one counter read per
    /// busy timeline.
    ///
    /// # Errors
    /// As for `write`. In addition, the point is not reached, or belongs to another allocator.
    /// Nothing is copied.
    pub fn write_after<T: Pod>(
        &mut self,
        point: Point,
        offset: u64,
        values: &[T],
    ) -> Result<(), CopyError> {
        self.home.check_reached(point)?;
        self.write(offset, values)
    }

    /// Copies values into the allocation, but leaves the flush to you: [`Allocator::flush`] flushes
    /// many ranges in one call. Equivalent to [`write`](Self::write) if the memory is coherent, or
    /// mapped for each access.
    ///
    /// # Errors
    /// As for `write`.
    pub fn write_unflushed<T: Pod>(&mut self, offset: u64, values: &[T]) -> Result<(), CopyError> {
        // SAFETY: `&mut` keeps other host accesses away.
        unsafe { self.copy_in(offset, bytemuck::cast_slice(values)) }
    }

    /// Copies bytes in. Flushes only memory that is mapped for this access alone.
    ///
    /// # Safety
    /// No other host access to these bytes takes place at the same time.
    pub(super) unsafe fn copy_in(&self, offset: u64, bytes: &[u8]) -> Result<(), CopyError> {
        self.with_bytes(offset, bytes.len(), Direction::ToDevice, |target| {
            // SAFETY:
            // * all bytes lie in this mapped range, which the caller alone accesses;
            // * `bytes` is host memory that cannot overlap a mapping made by the driver;
            // * bytes have no alignment and every bit pattern is one.
            unsafe { target.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        })
    }

    /// Copies values out of the allocation from a byte offset. If the memory is not coherent, it
    /// first invalidates the range, so that you see what the GPU wrote before a point that you
    /// waited for.
    ///
    /// Cost: as for [`write`](Self::write). A copy from memory that is not cached is slow.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn read<T: Pod>(&self, offset: u64, values: &mut [T]) -> Result<(), CopyError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        self.with_bytes(offset, bytes.len(), Direction::ToHost, |source| {
            // SAFETY: as in `copy_in`, the other way round. The mapping is never seen as a slice,
            // so the GPU may even write it meanwhile: then the bytes are whatever was there.
            unsafe { source.as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        })
    }

    /// Like [`read`](Self::read), if the GPU has passed the given point: that of the work that
    /// produced the data.
    ///
    /// Cost: as for [`write_after`](Self::write_after).
    ///
    /// # Errors
    /// As for `read`. In addition, the point is not reached, or belongs to another allocator.
    /// Nothing is copied.
    pub fn read_after<T: Pod>(
        &self,
        point: Point,
        offset: u64,
        values: &mut [T],
    ) -> Result<(), CopyError> {
        self.home.check_reached(point)?;
        self.read(offset, values)
    }

    /// The mapped bytes, for code that writes in place. `None` if the memory is not host-visible,
    /// or is [mapped for each access](crate::AllocatorDesc::map_on_access).
    ///
    /// Cost: none.
    ///
    /// # Safety
    /// Until the last use of the pointer, the allocation lives, `shutdown` is not called, and no
    /// access races with the GPU or with another host access. You must flush and invalidate
    /// non-coherent memory yourself.
    pub unsafe fn mapped(&self) -> Option<NonNull<[MaybeUninit<u8>]>> {
        let address = self.mapping()?.as_ptr().cast::<MaybeUninit<u8>>();
        Some(NonNull::slice_from_raw_parts(address, usize::try_from(self.size).ok()?))
    }

    /// A range of this allocation, to be flushed or invalidated together with others in one call.
    ///
    /// Cost: none.
    ///
    /// # Errors
    /// The memory is not host-visible, or the range is outside the allocation.
    pub fn host_range(&self, offset: u64, length: u64) -> Result<HostRange<'_>, CopyError> {
        // SAFETY: the range borrows this handle.
        unsafe { self.unbound_range(offset, length) }
    }

    /// # Safety
    /// The allocation lives as long as the range.
    unsafe fn unbound_range<'a>(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<HostRange<'a>, CopyError> {
        self.check_host_range(offset, length)?;
        let (home, offset) = (self.home, self.offset + offset);
        Ok(HostRange { home, offset, length, lives: PhantomData })
    }

    fn check_host_range(&self, offset: u64, length: u64) -> Result<(), CopyError> {
        let visible = self.lane().is_some_and(Lane::is_host_visible);
        if !visible || self.home.plate().size == 0 {
            return Err(CopyError::NotMapped);
        }
        if self.home.life() == Life::ShutDown {
            return Err(CopyError::ShutDown);
        }
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(CopyError::OutOfRange { offset, length, size: self.size }),
        }
    }

    /// Calls `access` with the host address of a range of this allocation, unless the range is
    /// empty. Invalidates the range before a read. Flushes it after a write only if the memory is
    /// mapped for this access alone.
    fn with_bytes(
        &self,
        offset: u64,
        length: usize,
        direction: Direction,
        access: impl FnOnce(NonNull<u8>),
    ) -> Result<(), CopyError> {
        let range = self.host_range(offset, length as u64)?;
        let Some(lane) = self.lane().filter(|_| length > 0) else { return Ok(()) };
        if let Some(mapping) = self.mapping() {
            if direction == Direction::ToHost {
                self.home.synchronise(&[range], direction)?;
            }
            // SAFETY: the offset lies inside this range, which lies inside the mapping.
            access(unsafe { mapping.add(offset) }.as_ptr());
            return Ok(());
        }
        let at = self.offset + offset;
        self.home.while_mapped(lane, self.memory(), |mapping| {
            if direction == Direction::ToHost {
                self.home.synchronise(&[range], direction)?;
            }
            // SAFETY: the offset lies inside the block, which is mapped as a whole.
            access(unsafe { mapping.add(at) }.as_ptr());
            match direction {
                Direction::ToDevice => self.home.synchronise(&[range], direction),
                Direction::ToHost => Ok(()),
            }
        })
    }

    /// Flushes a range of this allocation, if the memory is not coherent.
    pub(super) fn flush(&self, offset: u64, length: u64) -> Result<(), CopyError> {
        let range = self.host_range(offset, length)?;
        match self.mapping() {
            Some(_) => self.home.synchronise(&[range], Direction::ToDevice),
            // It was flushed while it was mapped.
            None => Ok(()),
        }
    }
}

impl HostRange<'_> {
    /// The range to pass to the driver; none for coherent memory and for empty ranges.
    ///
    /// Blocks of non-coherent memory types have a granule of at least one atom. Therefore the atoms
    /// that contain bytes of an allocation contain no bytes of its neighbours.
    fn atoms(&self, atom: u64) -> Option<vk::MappedMemoryRange<'static>> {
        let &Self { home, offset, length, .. } = self;
        let plate = home.plate();
        let lane = home.lane(plate.whose.lane)?;
        if lane.is_coherent() || length == 0 {
            return None;
        }
        let begin = offset / atom * atom;
        let end = (offset + length).next_multiple_of(atom);
        let rest = end >= plate.size;
        Some(vk::MappedMemoryRange::default().memory(plate.memory).offset(begin).size(if rest {
            vk::WHOLE_SIZE
        } else {
            end - begin
        }))
    }
}

impl Inner {
    /// Refuses a point that the GPU has not passed. Makes no driver call if the point is known to
    /// be reached.
    fn check_reached(&self, point: Point) -> Result<(), CopyError> {
        let mut reached = self.with_register(|register| register.cuts().reached());
        if !reached.has(point) {
            reached = self.poll();
        }
        match reached.knows(point) {
            false => Err(CopyError::Foreign { point }),
            true if reached.has(point) => Ok(()),
            true => Err(CopyError::NotReached { point }),
        }
    }

    /// Maps a block for one access. The lane has a separate lock for this, because Vulkan requires
    /// that only one thread maps a memory object at a time.
    fn while_mapped(
        &self,
        lane: &Lane,
        memory: vk::DeviceMemory,
        access: impl FnOnce(Mapping) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let turn = lock(&lane.mapping_turn);
        // SAFETY: the device contract; the memory is host-visible, and nobody else maps blocks of
        // this lane during the turn.
        let mapping = unsafe { self.vulkan.map_memory(memory) }.map_err(CopyError::Driver)?;
        let done = access(mapping);
        // SAFETY: as above; the address is not used any more.
        unsafe { self.vulkan.unmap_memory(memory) };
        drop(turn);
        done
    }

    fn synchronise(&self, ranges: &[HostRange<'_>], direction: Direction) -> Result<(), CopyError> {
        let atom = self.vulkan.properties().non_coherent_atom_size;
        let named: SmallVec<[_; 8]> = ranges.iter().filter_map(|range| range.atoms(atom)).collect();
        if named.is_empty() {
            return Ok(());
        }
        // SAFETY: the device contract; the blocks are mapped: as long as the allocations live, which
        // the ranges borrow, or by the caller for this access; begin and end are whole atoms or the end of the block.
        let done = unsafe {
            match direction {
                Direction::ToDevice => self.vulkan.flush(&named),
                Direction::ToHost => self.vulkan.invalidate(&named),
            }
        };
        done.map_err(CopyError::Driver)
    }
}

impl Allocator {
    /// Makes host writes to several ranges visible to work submitted afterwards, in one driver
    /// call, or none if all the memory is coherent.
    ///
    /// # Errors
    /// A range belongs to another allocator; a driver error.
    pub fn flush(&self, ranges: &[HostRange<'_>]) -> Result<(), CopyError> {
        self.synchronise_all(ranges, Direction::ToDevice)
    }

    /// Makes GPU writes to several ranges visible to the host, in one driver call, or none if all
    /// the memory is coherent. [`Allocation::read`] does this itself.
    ///
    /// # Errors
    /// A range belongs to another allocator; a driver error.
    pub fn invalidate(&self, ranges: &[HostRange<'_>]) -> Result<(), CopyError> {
        self.synchronise_all(ranges, Direction::ToHost)
    }

    /// Returns a part of the allocation of a raw key, for [`flush`](Self::flush) or
    /// [`invalidate`](Self::invalidate), as [`Allocation::host_range`] does for a handle. The key remains
    /// valid.
    ///
    /// Cost: as [`from_raw`](Self::from_raw).
    ///
    /// # Errors
    /// [`CopyError::Key`] for the errors of `from_raw`; otherwise as `host_range`.
    ///
    /// # Safety
    /// Nobody ends the allocation before the last use of the range.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
    /// # let allocator = unsafe { Allocator::new(&desc) }?;
    /// # let needs = vk::MemoryRequirements { size: 256, alignment: 1, memory_type_bits: !0 };
    /// let upload = AllocationDesc::upload();
    /// let key = allocator.allocate(&needs, ResourceKind::Linear, &upload)?.into_raw();
    /// // The host writes through its own pointer, and then:
    /// // SAFETY: nobody else knows the key.
    /// allocator.flush(&[unsafe { allocator.host_range_raw(key, 0, 256) }?])?;
    /// # unsafe { allocator.free_raw(key) }?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn host_range_raw(
        &self,
        raw: RawAllocation,
        offset: u64,
        length: u64,
    ) -> Result<HostRange<'_>, CopyError> {
        // SAFETY: this handle ends nothing, and goes before anybody has another.
        let allocation = ManuallyDrop::new(unsafe { self.from_raw(raw) }?);
        // SAFETY: the caller's promise.
        unsafe { allocation.unbound_range(offset, length) }
    }

    fn synchronise_all(
        &self,
        ranges: &[HostRange<'_>],
        direction: Direction,
    ) -> Result<(), CopyError> {
        let inner = self.inner();
        if inner.life() == Life::ShutDown {
            return Err(CopyError::ShutDown);
        }
        if ranges.iter().any(|range| range.home.id != inner.id) {
            return Err(CopyError::ForeignRange);
        }
        let mapped = ranges.iter().filter(|range| range.home.plate().mapping.is_some());
        inner.synchronise(&mapped.copied().collect::<SmallVec<[_; 8]>>(), direction)
    }
}
