//! What to wait for when memory is short.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{
    Allocator,
    error::{AllocateError, Tried, WaitError},
    inner::{Inner, Lane, Life},
};
use crate::retire::BagNumber;

impl Allocator {
    /// Waits until the GPU has passed everything that was dropped up to a bag, and collects. Call
    /// it with the `cut` of an [`OutOfDeviceMemory`](crate::AllocateError::OutOfDeviceMemory)
    /// error, then retry.
    ///
    /// Cost: the time the GPU needs, plus a [`collect`](Self::collect).
    ///
    /// # Errors
    /// [`WaitError::Timeout`] if the GPU has not passed it within `timeout`;
    /// [`WaitError::OpenRecording`], immediately, if waiting cannot help because a recording that
    /// was open at the drops is still open; the allocator is shut down; a driver error.
    ///
    /// # Example
    /// ```
    /// # use fencepost::{fake::FakeDriver, *};
    /// # use std::time::Duration;
    /// # let fake = FakeDriver::new(&Default::default());
    /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
    /// # let allocator = unsafe { Allocator::new(&desc)? };
    /// let mesh = BufferDesc::new(1 << 20, vk::BufferUsageFlags::VERTEX_BUFFER);
    /// let made = match allocator.create_buffer(&mesh, &AllocationDesc::device_local()) {
    ///     Err(CreateError::Allocate(AllocateError::OutOfDeviceMemory { cut: Some(cut), .. }))
    ///         if allocator.wait_for(cut, Duration::from_millis(100)).is_ok() =>
    ///     {
    ///         allocator.create_buffer(&mesh, &AllocationDesc::device_local())
    ///     }
    ///     other => other,
    /// };
    /// # made?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for(&self, cut: BagNumber, timeout: Duration) -> Result<(), WaitError> {
        self.inner().wait_for_bag(cut, timeout)?;
        self.collect_all();
        Ok(())
    }
}

impl Inner {
    /// The earliest bag by which one block of the lane has as many retired bytes that the GPU may
    /// still use: the best estimate of when a request will fit. O(pending entries).
    pub(super) fn earliest_cut(lane: &Lane, bytes: u64) -> Option<BagNumber> {
        let state = lane.lock();
        let mut sums: SmallVec<[u64; 16]> = SmallVec::from_elem(0, state.blocks.slots() as usize);
        state.bags.oldest_with(|&entry| {
            sums.get_mut(entry.slot as usize).is_some_and(|sum| {
                *sum += state.blocks.pending_size(entry);
                *sum >= bytes
            })
        })
    }

    /// Retries a request that failed and has patience: waits for the drop that the error names and
    /// asks again, until it is granted, waiting cannot help, or the time is over.
    #[cold]
    pub(super) fn ask_again<T>(
        &self,
        patience: Duration,
        mut refusal: AllocateError,
        mut ask: impl FnMut() -> Result<T, AllocateError>,
    ) -> Result<T, AllocateError> {
        let start = Instant::now();
        let mut waited_for = None;
        while let AllocateError::OutOfDeviceMemory { cut, tried, .. } = &mut refusal {
            tried.set(Tried::WAIT, waited_for.is_some());
            let next = cut.filter(|&cut| Some(cut) > waited_for);
            let Some(bag) = next else { break };
            match self.wait_for_bag(bag, patience.saturating_sub(start.elapsed())) {
                Ok(()) => {}
                Err(WaitError::OpenRecording) => break,
                Err(_) => {
                    *tried |= Tried::WAIT;
                    break;
                }
            }
            waited_for = Some(bag);
            refusal = match ask() {
                Ok(granted) => return Ok(granted),
                Err(refusal) => refusal,
            };
        }
        Err(refusal)
    }

    fn wait_for_bag(&self, bag: BagNumber, timeout: Duration) -> Result<(), WaitError> {
        if self.life() == Life::ShutDown {
            return Err(WaitError::ShutDown);
        }
        let deadline = Instant::now().checked_add(timeout);
        let Some(waits) = self.with_register(|register| register.waits_of(bag)) else {
            return Err(WaitError::OpenRecording);
        };
        for (point, sync) in waits {
            let left =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            self.wait(point.timeline(), &sync, point.value(), left)?;
        }
        if bag.is_reached(self.reached_bag()) { Ok(()) } else { Err(WaitError::Timeout) }
    }
}
