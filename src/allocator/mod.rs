//! The public interface: [`Allocator`] and the types a user holds. The modules form three storeys;
//! each builds only on those above it in this file.

// Words: descriptions, errors, and the terms used internally.
mod dependency;
mod desc;
mod error;
mod names;
mod place;
mod request;
mod resource_desc;
mod share;

// State: `Inner` and its parts, behind locks or lock-free.
mod auditor;
mod choices;
#[cfg(feature = "descriptors")]
mod descriptor_driver;
#[cfg(feature = "descriptors")]
mod descriptor_pools;
mod fence_ring;
mod heaps;
mod inner;
mod lanes;
mod objects;
mod origins;
mod recorder;
mod register;
mod soonest;
mod sync;
mod turn;

// Operations on that state, and the handles and public functions that lead to them.
mod aliasing;
mod allocate;
mod allocation;
mod arena;
mod arena_blocks;
mod ask;
mod budget;
mod collect;
mod create;
mod defragment;
#[cfg(feature = "descriptors")]
mod descriptor;
mod doors;
mod ends;
mod external;
#[cfg(unix)]
mod external_fd;
mod facade;
mod guards;
mod home;
mod init;
mod leaks;
mod mapping;
mod moves;
mod picture;
mod plain;
mod plan;
mod poll;
mod pressure;
mod recording;
mod resource;
mod retire;
mod reuse;
mod ring;
mod shared;
mod statistics;
mod telling;
mod timeline;
mod video;
mod view;
mod writing;

use core::fmt;
use std::sync::Arc;

use facade::Facade;
use inner::Inner;
use share::Extent;

use crate::memory::Broken;

pub use aliasing::{AliasingBuffer, AliasingImage, aliasing_requirements};
pub use allocation::{Allocation, RawAllocation};
pub use arena::{Arena, ArenaDesc};
pub use collect::Collected;
pub use defragment::{DefragmentDesc, Defragmentation, Move};
pub use dependency::Dependency;
pub use desc::{AllocationDesc, AllocationFlags, AllocatorDesc, EndPolicy};
#[cfg(feature = "descriptors")]
pub use descriptor::DescriptorSet;
#[cfg(feature = "descriptors")]
pub use descriptor_driver::DescriptorError;
#[cfg(feature = "descriptors")]
pub use descriptor_pools::DescriptorCounts;
pub use ends::CloseReport;
pub use error::{
    AliasError, AllocateError, ArenaError, BeginError, CopyError, CreateError, DescError,
    ExternalError, ForeignPoint, InitError, KeyError, NewError, Refused, ReportError, RingError,
    SubmitRefusal, TimelineError, Tried, WaitError,
};
#[cfg(unix)]
pub use external_fd::{FdKind, SharedFd};
pub use guards::{Corruption, Damage, GuardCoverage, Owner, Scrub, ScrubError, Scrubbed};
pub use heaps::HeapBudget;
pub use init::BufferInit;
pub use leaks::Leak;
pub use mapping::HostRange;
pub use moves::{Copies, MoveError};
pub use names::intern;
pub(crate) use names::named;
pub(crate) use picture::LanePicture;
pub use picture::{BlockPicture, RegionPicture, RegionState, TenantKind, Wait};
pub use plan::{BlockSizes, Placement, Plan};
pub use recording::{JoinError, Recording, Signal, SubmitError, Submitted, SubmittedError};
pub use resource::{Buffer, Image};
pub use resource_desc::{BufferDesc, ImageDesc, ImageViewDesc};
pub use reuse::Ordered;
pub use ring::{FrameRing, RingPiece};
pub use statistics::{Difference, MemoryStatistics, Statistics};
pub use timeline::Timeline;
pub use view::ImageView;

/// Allocates the memory of one device. `Clone` creates another handle to the same allocator; all
/// methods take `&self` and can be called from any thread.
///
/// Each memory type has its own lock, and no lock is held across a driver call. See the crate
/// documentation for an overview.
///
/// # Closing
/// Dropping the last clone closes the allocator. Allocations that are still alive are reported by
/// name, and pending work is handled as the [`EndPolicy`] says. Handles that outlive the allocator
/// stay valid. With [`AllocatorDesc::keep_alive`], the device is destroyed after everything else.
/// Without it, call [`shutdown`](Self::shutdown) before `vkDestroyDevice`.
#[derive(Clone)]
pub struct Allocator {
    facade: Arc<Facade>,
}

impl fmt::Debug for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocator").field("id", &self.facade.inner.id).finish_non_exhaustive()
    }
}

impl Allocator {
    /// Creates an allocator for a device. Reads the properties of the device, but does not allocate
    /// device memory yet.
    ///
    /// Cost: a few queries of the physical device.
    ///
    /// # Errors
    /// The physical device has no memory types.
    ///
    /// # Safety
    /// * The instance, the physical device and the device belong together. They are valid until
    ///   `shutdown`, or until everything that belongs to this allocator is dropped
    ///   ([`AllocatorDesc::keep_alive`] ensures this). The same holds for the library their
    ///   functions were loaded from: the last clone of an `ash::Entry` unloads Vulkan when it is
    ///   dropped.
    /// * The features and the version in the description are enabled on the device.
    /// * Every queue whose work may access memory of this allocator has a [`Timeline`], and all
    ///   such work is submitted through the recordings of that timeline. (Without any timeline,
    ///   dropped memory is not reused until [`assume_idle`](Self::assume_idle).)
    pub unsafe fn new(desc: &AllocatorDesc<'_>) -> Result<Self, NewError> {
        // SAFETY: the caller's promise.
        let inner = unsafe { Inner::new(desc) }?;
        Ok(Self { facade: Arc::new(Facade { inner }) })
    }

    /// Frees what the GPU has passed: destroys retired resources, frees their ranges, and returns
    /// blocks that have been empty for long to the driver. Call it once per frame.
    ///
    /// Cost: reads one counter per busy timeline (for a timeline of fences, the status of each
    /// submitted fence). If the GPU has passed nothing new, it takes no memory type's lock, except
    /// where a [priority](AllocationDesc::priority) has changed or is below the default.
    ///
    /// The work per call is bounded: for each memory type, 4096 allocations plus as many as were
    /// retired there since the last call, and likewise for objects and for descriptor sets. If
    /// objects are left over, resources that were dropped after them wait too. [`Collected::more`]
    /// says whether something is left for the next call.
    ///
    /// Several threads may collect at the same time. While one thread is destroying objects, the
    /// others do not free anything that was dropped after those objects.
    pub fn collect(&self) -> Collected {
        let collected = self.inner().collect(Extent::Bounded);
        self.inner().tell_counters();
        self.inner().write_record();
        collected
    }

    /// Like [`collect`](Self::collect), but unbounded: frees everything that the GPU has passed,
    /// for example on a loading screen or before counting.
    ///
    /// Cost: as `collect`, plus O(allocations that the GPU has passed), with one driver call per
    /// resource.
    pub fn collect_all(&self) -> Collected {
        let collected = self.inner().collect(Extent::All);
        self.inner().tell_counters();
        self.inner().write_record();
        collected
    }

    /// Returns how far the GPU has progressed on every timeline, for your own bookkeeping and for
    /// [`MemoryPool::collect`](crate::MemoryPool::collect). It frees nothing.
    ///
    /// Cost: reads one counter per busy timeline.
    pub fn reached(&self) -> crate::retire::Reached {
        self.inner().poll()
    }

    /// Returns every empty block to the driver, and returns how many there were. Without this call,
    /// an empty block is [kept for a while](AllocatorDesc::linger), because allocating from the
    /// driver is slow.
    ///
    /// Cost: takes the lock of each memory type, and calls `vkFreeMemory` for each empty block.
    pub fn trim(&self) -> u64 {
        self.inner().trim()
    }

    /// Verifies every invariant of the bookkeeping, for tests and debugging. Call it while no other
    /// thread uses the allocator. O(regions).
    ///
    /// # Errors
    /// The description of a broken invariant, which is a bug in this crate.
    pub fn check(&self) -> Result<(), Broken> {
        self.inner().check()
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.facade.inner
    }

    fn place(&self) -> place::Place<'_> {
        place::Place::Types
    }
}
