//! The end of an allocator: the last facade is dropped, the device is destroyed, the last block is
//! freed.
//!
//! * Dropping the last [`Allocator`] clone closes it: allocations that are still alive are reported
//!   as leaks, pending work is finished according to the end policy, and empty blocks are freed.
//!   Handles stay valid. For them, non-empty blocks keep the device's function tables (and
//!   `keep_alive`), and each handle's drop finishes its own work.
//! * [`Allocator::shutdown`] must come before `vkDestroyDevice` if no `keep_alive` ensures the
//!   order. It destroys everything; handles that live on are inert.
//! * When the last reference to [`Inner`] is dropped, it frees the remaining blocks, which are all
//!   empty.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ash::vk;

use super::{
    Allocator,
    desc::EndPolicy,
    error::WaitError,
    inner::{Inner, Life},
    leaks::Leak,
    register::Register,
    share::Extent,
};
use crate::{
    memory::Entry,
    vulkan::{Resource, Vulkan},
};

/// How an allocator ended.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct CloseReport {
    /// The allocations that are still alive, largest first. Their handles stay valid, or are inert
    /// after [`shutdown`](Allocator::shutdown).
    pub leaks: Vec<Leak>,
    /// The bytes that the GPU had not passed when the end policy gave up waiting. They are never
    /// freed.
    pub still_pending: u64,
}

impl Allocator {
    /// Closes the allocator and returns how it ended, if this is the last clone. Otherwise drops
    /// this clone and returns `None`. Dropping the last clone does the same, and reports through
    /// `tracing`.
    ///
    /// May wait for the GPU: see [`EndPolicy`].
    ///
    /// Cost: O(regions), plus a wait for the GPU for as long as the policy allows.
    pub fn close(self) -> Option<CloseReport> {
        let facade = Arc::into_inner(self.facade)?;
        let report = facade.inner.close();
        Some(report)
    }

    /// Ends everything before `vkDestroyDevice`: waits until the device is idle, destroys every
    /// Vulkan object of this allocator, and frees every block. Allocations that are still alive are
    /// reported as leaks, in the result and through `tracing`. Their handles become inert: dropping
    /// them does nothing, and using them returns an error.
    ///
    /// Not needed if [`AllocatorDesc::keep_alive`](crate::AllocatorDesc::keep_alive) owns the
    /// device.
    ///
    /// Cost: a wait for the device, then O(regions) and one driver call per object.
    ///
    /// # Errors
    /// The driver could not wait because it is out of memory; nothing has changed. A lost device is
    /// not an error.
    ///
    /// # Safety
    /// No other thread uses the allocator, its handles or the device's queues at the same time, and
    /// no work recorded before is submitted afterwards.
    pub unsafe fn shutdown(&self) -> Result<CloseReport, vk::Result> {
        let inner = self.inner();
        if inner.life() == Life::ShutDown {
            return Ok(CloseReport::default());
        }
        // SAFETY: the device contract; the caller keeps other threads off the queues.
        match unsafe { inner.vulkan.wait_idle() } {
            Ok(()) => {}
            Err(vk::Result::ERROR_DEVICE_LOST) => inner.lose(),
            Err(error) => return Err(error),
        }
        let leaks = inner.report_leaks();
        inner.with_register(Register::assume_idle);
        let mut collected = inner.collect_everything();
        inner.let_waiting_go(&mut collected);
        inner.end_rests(true, &mut collected);
        inner.destroy_all();
        inner.set_life(Life::ShutDown);
        Ok(CloseReport { leaks, still_pending: 0 })
    }

    /// Declares that the GPU has finished with everything dropped so far, regardless of the
    /// timelines: for example after your own `vkDeviceWaitIdle`, or for drops made before any
    /// timeline existed. Frees all of it, and ends the [recordings](super::Recording) that were
    /// dropped without being ended.
    ///
    /// Cost: as for [`collect_all`](Self::collect_all).
    ///
    /// # Safety
    /// No submitted work uses anything dropped so far. No recording that uses any of it will be
    /// submitted, and neither will any command of a recording that was dropped without being ended.
    pub unsafe fn assume_idle(&self) {
        let inner = self.inner();
        inner.with_register(Register::assume_idle);
        inner.collect_everything();
    }
}

impl Inner {
    /// The last facade was dropped. Reports leaks once.
    pub(super) fn close(self: &Arc<Self>) -> CloseReport {
        if self.life() != Life::Open {
            return CloseReport::default();
        }
        self.set_life(Life::Closed);
        // This takes every lane's lock once, so whoever ends an allocation afterwards sees that the
        // allocator is closed.
        let leaks = self.report_leaks();
        let still_pending = self.finish_pending();
        CloseReport { leaks, still_pending }
    }

    /// Waits according to the end policy, collects, and frees empty blocks. Returns the bytes that
    /// stay pending.
    pub(super) fn finish_pending(self: &Arc<Self>) -> u64 {
        if self.life() == Life::ShutDown {
            return 0;
        }
        if let EndPolicy::Wait(patience) = self.end_policy {
            self.wait_for_submitted(patience);
        }
        self.collect(Extent::All);
        self.trim();
        let pending: u64 = self.lanes().map(|lane| lane.counters.pending.get()).sum();
        if pending > 0 {
            tracing::warn!(
                target: crate::events::WAITING, bytes = pending,
                "the allocator is closed before the GPU has passed everything: the rest is never freed"
            );
        }
        pending
    }

    /// Waits until everything submitted so far has finished, at most this long.
    fn wait_for_submitted(&self, patience: Duration) {
        let deadline = Instant::now().checked_add(patience);
        let outstanding = self.with_register(|register| register.outstanding());
        for (point, sync) in outstanding {
            let left =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            match self.wait(point.timeline(), &sync, point.value(), left) {
                // The caller reports what stays pending.
                Ok(()) | Err(WaitError::Timeout) => {}
                Err(error) => {
                    tracing::warn!(target: crate::events::WAITING, %error, "could not wait for a timeline");
                }
            }
        }
    }

    /// Destroys every Vulkan object, used or not. The bookkeeping of non-empty blocks stays, for
    /// the handles that live on.
    fn destroy_all(&self) {
        #[cfg(feature = "descriptors")]
        self.descriptors.destroy_all(&self.vulkan);
        self.objects.destroy_all(&self.vulkan);
        for lane in self.lanes() {
            let mut resources: Vec<Resource> = Vec::new();
            let mut memories = Vec::new();
            let mut state = lane.lock();
            for slot in 0..state.blocks.slots() {
                let regions = state.blocks.block(slot).map(|block| block.regions());
                for key in regions.into_iter().flatten().filter_map(|region| region.key) {
                    resources.push(state.blocks.take_resource(Entry { slot, key }));
                }
                let Some(block) = state.blocks.block_mut(slot) else { continue };
                let sight = core::mem::take(&mut block.sight);
                memories.push((core::mem::take(&mut block.memory), block.size, sight));
                block.mapping = None;
            }
            drop(state);
            for resource in resources {
                // SAFETY: the device contract; the device is idle or lost.
                unsafe { self.vulkan.destroy_resource(resource) };
            }
            for (memory, size, sight) in memories {
                // SAFETY: the device contract; the device is idle or lost.
                unsafe {
                    self.close_sight(sight);
                    self.free_memory(lane.heap, memory, size);
                }
            }
        }
        self.destroy_scrubs();
        for sync in self.with_register(Register::take_all) {
            // SAFETY: the device contract; the device is idle or lost.
            unsafe { sync.destroy(&self.vulkan) };
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.life() == Life::ShutDown {
            return;
        }
        // No block has used or pending regions, or it would hold a reference. Objects and timelines
        // may be pending.
        if let EndPolicy::Wait(patience) = self.end_policy {
            self.wait_for_submitted(patience);
        }
        let reached = self.poll();
        let idle =
            self.is_lost() || self.with_register(|r| r.cuts().outstanding().next().is_none());
        if !idle {
            tracing::warn!(
                target: crate::events::WAITING,
                "the allocator ends while the GPU is working: its semaphores and views are never destroyed"
            );
            self.objects.collect(&self.vulkan, reached.bag(), Extent::All, 0);
            return;
        }
        free_at_end(&self.vulkan, self);
    }
}

/// Destroys what is left when the last reference is dropped and the GPU is idle.
fn free_at_end(vulkan: &Vulkan, inner: &Inner) {
    #[cfg(feature = "descriptors")]
    inner.descriptors.destroy_all(vulkan);
    inner.objects.destroy_all(vulkan);
    for sync in inner.with_register(Register::take_all) {
        // SAFETY: the device contract; the timeline's work is done.
        unsafe { sync.destroy(vulkan) };
    }
    for lane in inner.lanes() {
        let blocks = lane.lock().blocks.remove_empty();
        inner.free_blocks(lane, blocks);
    }
    inner.destroy_scrubs();
}
