//! Reuse in the order of a queue: a new owner gets a range that the GPU may still be using for its
//! previous owner, together with the dependency that the new owner's first submission must wait
//! for. The CPU never waits.
//!
//! For requests that ask for it, this is a step of the ladder between *collect* and *a new block*.
//! It is therefore taken only if the alternative is more memory. Only ranges in stamped bags are
//! considered: all their uses are submitted, so the points of the bag's cut cover them.

use ash::vk;
use smallvec::SmallVec;

use super::{
    Allocator,
    allocate::Granted,
    allocation::Allocation,
    choices::Choice,
    dependency::{Dependency, Passable},
    desc::AllocationDesc,
    error::{AllocateError, CreateError},
    inner::{Inner, Lane, LaneState},
    place::{Order, Place},
    request::{Request, Search},
    resource::{Buffer, Image},
    resource_desc::{BufferDesc, ImageDesc},
    timeline::Timeline,
};
use crate::{
    memory::{Entry, Heritage},
    policy::granularity::ResourceKind,
    retire::{BagNumber, TimelineId},
    tlsf::Region,
    vulkan::{Dedicate, Object, Resource},
};

/// The number of pending ranges that are considered, oldest first, to find the tightest.
const MOST_LOOKS: usize = 64;

/// The number of neighbours that can be taken over together.
const MOST_JOINED: usize = 8;

/// The number of cuts that are considered, oldest first.
const MOST_CUTS: usize = 16;

/// A resource or allocation, with the dependency that its first use has to wait for.
#[must_use = "dropping it retires it at once"]
#[derive(Debug)]
pub struct Ordered<T> {
    /// The new owner of the memory.
    pub owner: T,
    /// What the submission of the first use must wait for; often nothing.
    pub dependency: Dependency,
}

impl Allocator {
    /// Like [`allocate`](Self::allocate), but before it asks the driver for more memory, it takes
    /// over a range that the GPU may still be using. The first use on `queue` waits for the
    /// [`dependency`](Ordered::dependency); the CPU does not wait.
    ///
    /// A range can be taken over if it was dropped (not retired at explicit points), all its uses
    /// are submitted, it has at most twice the requested bytes, and its pending work is on `queue`
    /// or on timelines with semaphores; a ring of fences can order only its own queue. Up to eight
    /// neighbouring ranges can be taken over together. Requests that must be host-visible,
    /// dedicated allocations, and allocators with guards get the result of
    /// [`allocate`](Self::allocate). The host cannot access a range that was taken over.
    ///
    /// The new owner ends like any other. Whatever ends it also waits for the points of the
    /// previous owner.
    ///
    /// Cost: as for [`allocate`](Self::allocate). If that would ask the driver, this first examines
    /// the 64 oldest pending ranges of the memory type.
    ///
    /// # Errors
    /// As for [`allocate`](Self::allocate). In addition, the timeline belongs to another allocator.
    ///
    /// # Safety
    /// * Every use of the range comes after the dependency: its barrier is recorded before the
    ///   first use, in a submission to the timeline's queue that performs the waits; uses on other
    ///   queues wait for that submission in turn.
    /// * The timelines of other queues live until that submission has finished.
    /// * The timelines of other queues live until that submission is done.
    #[track_caller]
    pub unsafe fn allocate_ordered(
        &self,
        requirements: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
        queue: &Timeline,
    ) -> Result<Ordered<Allocation>, AllocateError> {
        self.ordered(queue, |place| self.inner().allocate_plain(requirements, kind, memory, place))
    }

    /// Like [`create_buffer`](Self::create_buffer), with memory from
    /// [`allocate_ordered`](Self::allocate_ordered).
    ///
    /// # Errors
    /// As for [`create_buffer`](Self::create_buffer). In addition, the timeline belongs to another
    /// allocator.
    ///
    /// # Safety
    /// As for [`allocate_ordered`](Self::allocate_ordered).
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    /// #     .api_version(vk::API_VERSION_1_2).features(DeviceFeatures::TIMELINE_SEMAPHORE);
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// # let frames = allocator.timeline(fake.queue(0))?;
    /// let scratch = BufferDesc::new(1 << 20, vk::BufferUsageFlags::STORAGE_BUFFER);
    /// // SAFETY: the barrier is recorded before the first use, on the queue of `frames`.
    /// let scratch = unsafe {
    ///     allocator.create_buffer_ordered(&scratch, &AllocationDesc::device_local(), &frames)?
    /// };
    /// if let Some(barrier) = scratch.dependency.memory_barrier2() {
    ///     // vkCmdPipelineBarrier2 with it …
    /// #   let _ = barrier;
    /// }
    /// assert!(scratch.dependency.waits().is_empty(), "no other queue is at work");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub unsafe fn create_buffer_ordered(
        &self,
        desc: &BufferDesc,
        memory: &AllocationDesc,
        queue: &Timeline,
    ) -> Result<Ordered<Buffer>, CreateError> {
        let inner = self.inner();
        self.ordered(queue, |place| inner.create_described_buffer(desc, memory, place))
    }

    /// Like [`create_image`](Self::create_image), with memory from
    /// [`allocate_ordered`](Self::allocate_ordered). Its first use must be a transition from
    /// `UNDEFINED` whose source stage is `ALL_COMMANDS`.
    ///
    /// # Errors
    /// As for [`create_image`](Self::create_image). In addition, the timeline belongs to another
    /// allocator.
    ///
    /// # Safety
    /// As for [`allocate_ordered`](Self::allocate_ordered).
    #[track_caller]
    pub unsafe fn create_image_ordered(
        &self,
        desc: &ImageDesc,
        memory: &AllocationDesc,
        queue: &Timeline,
    ) -> Result<Ordered<Image>, CreateError> {
        let inner = self.inner();
        inner.check_image(desc)?;
        // SAFETY: the description was checked, and the driver has such images.
        self.ordered(queue, |place| unsafe { inner.create_image(&desc.info(), memory, place) })
    }

    #[track_caller]
    fn ordered<T, E: From<AllocateError>>(
        &self,
        queue: &Timeline,
        make: impl FnOnce(Place<'_>) -> Result<T, E>,
    ) -> Result<Ordered<T>, E> {
        let queue = queue.id();
        if queue.owner != self.inner().id {
            return Err(AllocateError::ForeignTimeline.into());
        }
        let order = Order::by(queue);
        let owner = make(Place::Ordered(&order))?;
        Ok(Ordered { owner, dependency: order.dependency.into_inner() })
    }
}

impl Inner {
    /// Finds memory for a request whose first use is ordered.
    pub(super) fn allocate_ordered(
        &self,
        order: &Order,
        request: &Request,
    ) -> Result<Granted<'_>, AllocateError> {
        self.validate(request)?;
        let mut spare = None;
        let Choice { ranking, required } = self.choice(&request.question, &mut spare);
        let host_visible = required.contains(vk::MemoryPropertyFlags::HOST_VISIBLE);
        let dedicated = request.dedicate == Dedicate::Require;
        if !host_visible && !dedicated && !self.guards.policy.is_on() {
            let search = self.search(request)?;
            let best = self.lane_of_type(ranking.best());
            if let Some(lane) = best.filter(|lane| !self.prefers_dedicated(lane, &search)) {
                let found = self.allocate_in_blocks(lane, &search);
                let found = found.or_else(|| {
                    self.collect_for(lane).then(|| self.allocate_in_blocks(lane, &search))?
                });
                if let Some(grant) = found {
                    return Ok((lane, grant));
                }
                if let Some((heritage, dependency)) = self.take_pending(lane, &search, order.queue)
                {
                    *order.dependency.borrow_mut() = dependency;
                    heritage.resources.into_iter().for_each(|old| self.retire_resource(old));
                    return Ok((lane, heritage.grant));
                }
            }
        }
        self.allocate(request)
    }

    /// Takes over the tightest of the oldest pending ranges, or neighbouring ones, if they fit.
    fn take_pending(
        &self,
        lane: &Lane,
        search: &Search<'_>,
        queue: TimelineId,
    ) -> Option<(Heritage, Dependency)> {
        let (cuts, reached) = self.with_register(|register| {
            (register.passable(queue, MOST_CUTS), register.cuts().reached())
        });
        let newest = cuts.last()?.bag;
        if !self.objects.reserve(MOST_JOINED) {
            return None;
        }
        let mut state = lane.lock();
        state.heirs.reserve().ok()?;
        let (places, bag) = state.tightest_pending(search.size, search.alignment, newest)?;
        let Passable { points, dependency, .. } = cuts.into_iter().find(|cut| cut.bag >= bag)?;
        let entry_at = |&place: &usize| state.bags.filed().nth(place).map(|(_, &entry)| entry);
        let entries: Run<Entry> = places.iter().filter_map(entry_at).collect();
        // They fit. If the host has no memory to store the remainder, nothing has changed.
        let (asked, tenant) = ((search.size, search.alignment), search.tenant());
        let mut heritage = state.blocks.take_over(&entries, asked, tenant.is_some())?;
        let mut rest = heritage.rest;
        for (&place, &entry) in places.iter().zip(&entries).rev() {
            if let Some((_, filed)) = state.bags.filed_mut().nth(place) {
                *filed = rest.take().unwrap_or(entry.gone());
            }
        }
        state.heirs.insert(heritage.grant.entry, points, &reached);
        let settled = self.settle(&mut state, search.request, tenant, heritage.grant);
        debug_assert!(settled.is_some(), "its predecessor was known in the same place");
        heritage.grant = settled?;
        Some((heritage, dependency))
    }

    /// Retires the resource whose range another owner has taken over. It is destroyed once the GPU
    /// has passed it.
    fn retire_resource(&self, resource: Resource) {
        let object = match resource {
            Resource::None => return,
            Resource::Buffer(buffer) => Object::Buffer(buffer),
            Resource::Image(image) => Object::Image(image),
        };
        // The caller holds a reference to the allocator, so the upgrade succeeds.
        if let Some(myself) = self.myself.upgrade() {
            myself.retire_new_object(object);
        }
    }
}

/// Neighbours, in address order.
type Run<T> = SmallVec<[T; MOST_JOINED]>;

/// A pending range that may be taken over.
struct Piece {
    slot: u32,
    offset: u64,
    size: u64,
    /// Its position among everything filed.
    place: usize,
    bag: BagNumber,
}

impl LaneState {
    /// Among the oldest pending ranges, in bags up to the given one: the neighbours that hold a
    /// request in the fewest bytes, as positions in the queue, and the newest of their bags. O(1),
    /// because only a bounded number is considered.
    ///
    /// A range of more than twice the bytes is left to larger requests, which would otherwise need
    /// more memory. As a result, no shipped trace takes more memory than it does without reuse.
    fn tightest_pending(
        &self,
        size: u64,
        alignment: u64,
        newest: BagNumber,
    ) -> Option<(Run<usize>, BagNumber)> {
        let timed = self.bags.filed().take(MOST_LOOKS).enumerate();
        let timed = timed.filter(|(_, (bag, _))| *bag != BagNumber::UNTIMED && *bag <= newest);
        let piece = |(place, (bag, entry)): (usize, (BagNumber, &Entry))| {
            let block = self.blocks.block(entry.slot);
            let block = block.filter(|block| !block.is_dedicated() && !block.closed)?;
            let Region { offset, size, .. } = block.region(entry.key)?;
            Some(Piece { slot: entry.slot, offset, size, place, bag })
        };
        let mut pieces: SmallVec<[Piece; MOST_LOOKS]> = timed.filter_map(piece).collect();
        pieces.sort_unstable_by_key(|piece| (piece.slot, piece.offset));
        let mut best: Option<(u64, &[Piece])> = None;
        for (first, start) in pieces.iter().enumerate().filter(|(_, p)| p.offset % alignment == 0) {
            let mut held = 0;
            for (count, piece) in (1..=MOST_JOINED).zip(&pieces[first..]) {
                if (piece.slot, piece.offset) != (start.slot, start.offset + held) {
                    break;
                }
                held += piece.size;
                if held >= size {
                    if held / 2 <= size && best.is_none_or(|(least, _)| held < least) {
                        best = Some((held, &pieces[first..first + count]));
                    }
                    break;
                }
            }
        }
        let (_, run) = best?;
        let bag = run.iter().map(|piece| piece.bag).max()?;
        Some((run.iter().map(|piece| piece.place).collect(), bag))
    }
}
