//! Timeline semaphores, fences, and the submissions that signal them.

use ash::vk;
use smallvec::SmallVec;

use super::{DeviceFeatures, Vulkan};

impl Vulkan {
    pub(crate) fn has_timeline_semaphores(&self) -> bool {
        self.features.contains(DeviceFeatures::TIMELINE_SEMAPHORE)
    }

    pub(crate) fn has_synchronization2(&self) -> bool {
        self.features.contains(DeviceFeatures::SYNCHRONIZATION2)
    }

    /// Creates a timeline semaphore with the value 0.
    ///
    /// # Safety
    /// The device contract; the feature is on.
    pub(crate) unsafe fn create_timeline_semaphore(&self) -> Result<vk::Semaphore, vk::Result> {
        let mut kind =
            vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
        let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        // SAFETY: the device contract.
        unsafe { self.device.create_semaphore(&info, None) }
    }

    /// # Safety
    /// The device contract; no submitted work uses the semaphore.
    pub(crate) unsafe fn destroy_semaphore(&self, semaphore: vk::Semaphore) {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.destroy_semaphore(semaphore, None) }
    }

    /// # Safety
    /// The device contract; the semaphore is a timeline.
    pub(crate) unsafe fn counter_value(&self, semaphore: vk::Semaphore) -> Result<u64, vk::Result> {
        // SAFETY: the device contract and the caller's promise; the feature is on, or there were
        // no timeline semaphore.
        unsafe {
            match &self.timeline {
                Some(khr) => khr.get_semaphore_counter_value(semaphore),
                None => self.device.get_semaphore_counter_value(semaphore),
            }
        }
    }

    /// Waits for a value. Returns the results of Vulkan, including `TIMEOUT`.
    ///
    /// # Safety
    /// As [`counter_value`](Self::counter_value).
    pub(crate) unsafe fn wait_semaphore(
        &self,
        semaphore: vk::Semaphore,
        value: u64,
        nanoseconds: u64,
    ) -> Result<(), vk::Result> {
        let (semaphores, values) = ([semaphore], [value]);
        let info = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        // SAFETY: as in `counter_value`.
        unsafe {
            match &self.timeline {
                Some(khr) => khr.wait_semaphores(&info, nanoseconds),
                None => self.device.wait_semaphores(&info, nanoseconds),
            }
        }
    }

    /// Creates an unsignalled fence.
    ///
    /// # Safety
    /// The device contract.
    pub(crate) unsafe fn create_fence(&self) -> Result<vk::Fence, vk::Result> {
        // SAFETY: the device contract.
        unsafe { self.device.create_fence(&vk::FenceCreateInfo::default(), None) }
    }

    /// # Safety
    /// The device contract; no submitted work signals the fence.
    pub(crate) unsafe fn destroy_fence(&self, fence: vk::Fence) {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.destroy_fence(fence, None) }
    }

    /// # Safety
    /// The device contract; no submitted work signals the fence and no thread waits for it.
    pub(crate) unsafe fn reset_fence(&self, fence: vk::Fence) -> Result<(), vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.reset_fences(&[fence]) }
    }

    /// # Safety
    /// The device contract; no thread resets the fence.
    pub(crate) unsafe fn fence_is_signalled(&self, fence: vk::Fence) -> Result<bool, vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.get_fence_status(fence) }
    }

    /// # Safety
    /// The device contract; no thread resets the fence.
    pub(crate) unsafe fn wait_fence(
        &self,
        fence: vk::Fence,
        nanoseconds: u64,
    ) -> Result<(), vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.wait_for_fences(&[fence], true, nanoseconds) }
    }

    /// Calls `vkQueueSubmit` with the user's batches and an additional empty batch that signals
    /// `value`. A signal covers all earlier work of its queue, so the user's batches need no
    /// changes.
    ///
    /// # Safety
    /// The device contract, and all that `vkQueueSubmit` asks of the batches.
    pub(crate) unsafe fn submit_signal(
        &self,
        queue: vk::Queue,
        batches: &[vk::SubmitInfo<'_>],
        semaphore: vk::Semaphore,
        value: u64,
    ) -> Result<(), vk::Result> {
        let (semaphores, values) = ([semaphore], [value]);
        let mut timeline =
            vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
        let signal =
            vk::SubmitInfo::default().signal_semaphores(&semaphores).push_next(&mut timeline);
        let mut all: SmallVec<[vk::SubmitInfo<'_>; 8]> = SmallVec::from_slice(batches);
        all.push(signal);
        // SAFETY: the device contract and the caller's promise; value and semaphore outlive the
        // call.
        unsafe { self.device.queue_submit(queue, &all, vk::Fence::null()) }
    }

    /// Calls `vkQueueSubmit2` with the user's batches and an additional one that signals `value` at
    /// ALL_COMMANDS.
    ///
    /// # Safety
    /// The device contract, all that `vkQueueSubmit2` asks of the batches, and the feature is on.
    pub(crate) unsafe fn submit2_signal(
        &self,
        queue: vk::Queue,
        batches: &[vk::SubmitInfo2<'_>],
        semaphore: vk::Semaphore,
        value: u64,
    ) -> Result<(), vk::Result> {
        let signals = [vk::SemaphoreSubmitInfo::default()
            .semaphore(semaphore)
            .value(value)
            .stage_mask(vk::PipelineStageFlags2::ALL_COMMANDS)];
        let mut all: SmallVec<[vk::SubmitInfo2<'_>; 8]> = SmallVec::from_slice(batches);
        all.push(vk::SubmitInfo2::default().signal_semaphore_infos(&signals));
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.queue_submit2(queue, &all, vk::Fence::null()) }
    }

    /// # Safety
    /// The device contract, and all that `vkQueueSubmit` asks.
    pub(crate) unsafe fn queue_submit(
        &self,
        queue: vk::Queue,
        batches: &[vk::SubmitInfo<'_>],
        fence: vk::Fence,
    ) -> Result<(), vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.queue_submit(queue, batches, fence) }
    }

    /// # Safety
    /// The device contract, all that `vkQueueSubmit2` asks, and the feature is on.
    pub(crate) unsafe fn queue_submit2(
        &self,
        queue: vk::Queue,
        batches: &[vk::SubmitInfo2<'_>],
        fence: vk::Fence,
    ) -> Result<(), vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe {
            match &self.synchronization2 {
                Some(khr) => khr.queue_submit2(queue, batches, fence),
                None => self.device.queue_submit2(queue, batches, fence),
            }
        }
    }
}
