//! This crate: by handles that are dropped, or by raw keys that are freed immediately.

use std::sync::Mutex;

use ash::vk;
use fencepost::fake::FakeDriver;
use fencepost::{
    Allocation, AllocationDesc, Allocator, AllocatorDesc, DeviceFeatures, RawAllocation, Recording,
    ResourceKind, Timeline,
};

use super::{FullPath, Purpose, Request};

/// Handles that are dropped. A range waits for the frames in flight; if there are none, it is free
/// immediately.
pub struct ByHandle {
    // Declared before the allocator, whose timeline it keeps busy.
    recording: Mutex<Option<Recording>>,
    timeline: Timeline,
    allocator: Allocator,
    frames_in_flight: usize,
}

/// Raw keys that are freed immediately.
pub struct ByKey(Allocator);

pub(super) fn allocator(driver: &FakeDriver) -> Allocator {
    let desc = AllocatorDesc::new(driver.instance(), driver.physical_device(), driver.device())
        .api_version(vk::API_VERSION_1_2)
        .features(DeviceFeatures::TIMELINE_SEMAPHORE);
    // SAFETY: the driver outlives the allocator, has that version and feature, and its one queue that is
    // used has a timeline or uses no memory.
    unsafe { Allocator::new(&desc) }.expect("the fake has memory types")
}

#[inline]
pub(super) fn allocate(allocator: &Allocator, request: &Request) -> Option<Allocation> {
    let desc = match request.purpose {
        Purpose::DeviceLocal => AllocationDesc::device_local(),
        Purpose::Upload => AllocationDesc::upload(),
        Purpose::Readback => AllocationDesc::readback(),
    };
    let kind = if request.is_image { ResourceKind::Optimal } else { ResourceKind::Linear };
    allocator.allocate(&request.requirements(), kind, &desc).ok()
}

impl FullPath for ByHandle {
    const NAME: &'static str = "fencepost, handles";
    const DEFERS: bool = true;
    type Handle = Allocation;

    fn new(driver: &FakeDriver, frames_in_flight: usize) -> Self {
        let allocator = allocator(driver);
        let timeline = allocator.timeline(driver.queue(0)).expect("the fake has timelines");
        let recording =
            (frames_in_flight > 0).then(|| timeline.begin().expect("a timeline that lives"));
        Self { recording: Mutex::new(recording), timeline, allocator, frames_in_flight }
    }

    #[inline]
    fn allocate(&self, request: &Request) -> Option<Allocation> {
        allocate(&self.allocator, request)
    }

    #[inline]
    fn free(&self, handle: Allocation) {
        drop(handle);
    }

    fn end_frame(&self, driver: &FakeDriver) {
        let queue = driver.queue(0);
        let mut recording = self.recording.lock().expect("no thread panics");
        if let Some(ended) = recording.take() {
            // SAFETY: no batches, and one thread submits.
            let submitted = ended.submit(|signal| unsafe { signal.queue_submit(&[]) });
            submitted.expect("the fake takes it");
            while driver.pending(queue) >= self.frames_in_flight && driver.step(queue) {}
            *recording = Some(self.timeline.begin().expect("a timeline that lives"));
        }
        self.allocator.collect();
    }
}

impl Drop for ByHandle {
    fn drop(&mut self) {
        if let Ok(Some(recording)) = self.recording.get_mut().map(Option::take) {
            // SAFETY: it names nothing and is never submitted.
            unsafe { recording.abandon() }
        }
    }
}

impl FullPath for ByKey {
    const NAME: &'static str = "fencepost, keys";
    type Handle = RawAllocation;

    fn new(driver: &FakeDriver, _frames_in_flight: usize) -> Self {
        Self(allocator(driver))
    }

    #[inline]
    fn allocate(&self, request: &Request) -> Option<RawAllocation> {
        allocate(&self.0, request).map(Allocation::into_raw)
    }

    #[inline]
    fn free(&self, key: RawAllocation) {
        // SAFETY: the key is moved in, so it is turned back once; no GPU work exists.
        unsafe { self.0.free_raw(key) }.expect("a live key");
    }

    fn end_frame(&self, _driver: &FakeDriver) {
        self.0.collect();
    }
}
