//! What two threads on two lanes share: nothing that either writes.

use std::{sync::mpsc, thread, time::Duration};

use ash::vk;

use super::*;
use crate::allocator::{heaps::Reports, register::Polled, request::Limit};
use crate::{
    Allocation, AllocationDesc, Allocator, ResourceKind,
    fake::{FakeDriver, Profile},
};

/// Everything that lanes have in common and that anything writes.
fn shared(inner: &Arc<Inner>) -> impl PartialEq + core::fmt::Debug + use<> {
    let totals = inner.heaps.totals();
    (
        (inner.heaps.held(), totals.peak_reserved, totals.allocations, totals.frees),
        (0..3).map(|heap| inner.heaps.reserved(heap)).collect::<Vec<_>>(),
        (inner.current_bag().get(), inner.reached_bag().get()),
        (inner.collects.load(Ordering::Relaxed), inner.untimed_reported.load(Ordering::Relaxed)),
        (Arc::strong_count(inner), Arc::weak_count(inner)),
    )
}

/// Over a fake driver that lives as long as it.
fn allocator() -> Allocator {
    let fake = FakeDriver::new(&Profile::default());
    let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
        .keep_alive(Arc::new(fake.clone()));
    // SAFETY: the fake lives as long as the allocator.
    unsafe { Allocator::new(&desc) }.unwrap()
}

fn take(allocator: &Allocator, memory: &AllocationDesc) -> Allocation {
    let requirements = vk::MemoryRequirements { size: 1000, alignment: 256, memory_type_bits: !0 };
    allocator.allocate(&requirements, ResourceKind::Linear, memory).unwrap()
}

#[test]
fn two_lanes_write_no_cache_line_in_common() {
    let allocator = allocator();
    let inner = allocator.inner();
    let lines = |lane: &Lane| {
        let start = core::ptr::from_ref(lane) as usize;
        (start / 128, (start + size_of::<Lane>()).div_ceil(128))
    };
    let all: Vec<_> = inner.lanes().map(lines).collect();
    assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].0), "lanes apart: {all:?}");
    let counters: Vec<_> =
        inner.lanes().map(|lane| Arc::as_ptr(&lane.counters) as usize / 128).collect();
    let mut apart = counters.clone();
    apart.sort_unstable();
    apart.dedup();
    assert_eq!(apart.len(), counters.len(), "counters apart");
    let common = core::ptr::from_ref(&**inner) as usize / 128;
    let end = (common * 128 + size_of::<Inner>()).div_ceil(128) + 1;
    assert!(all.iter().all(|&(start, stop)| stop <= common || start >= end), "and apart from it");

    let take = |memory: &AllocationDesc| take(&allocator, memory);
    let intents = [AllocationDesc::device_local(), AllocationDesc::upload()];
    let cold = shared(inner);
    let held = intents.each_ref().map(take);
    assert_ne!(cold, shared(inner), "the control: a new block is counted for all");
    let warm = shared(inner);
    for intent in &intents {
        let memory = take(intent);
        assert_eq!(warm, shared(inner), "an allocation writes its lane alone");
        // SAFETY: no GPU work at all.
        unsafe { memory.free_now() };
        assert_eq!(warm, shared(inner), "and so does its end");
    }
    drop(held);
}

#[test]
fn statistics_wait_for_no_lock() {
    let allocator = allocator();
    let held = take(&allocator, &AllocationDesc::device_local());
    let inner = Arc::clone(allocator.inner());
    let before = allocator.statistics();
    let lanes: Vec<_> = inner.lanes().map(Lane::lock).collect();
    let register = lock(&inner.register);
    assert_eq!(allocator.statistics(), before);
    assert_eq!((before.total.live_count, before.total.live), (1, held.size()));
    // The control: a picture does wait.
    let (done, seen) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| done.send(allocator.snapshot().blocks().count()));
        assert!(seen.recv_timeout(Duration::from_millis(50)).is_err());
        drop((lanes, register));
        assert_eq!(seen.recv(), Ok(1));
    });
    drop(held);
}

/// What the driver gives while it tells of a heap may not be counted there yet, so it is not taken for ours; and
/// what it gets back meanwhile may be.
#[test]
fn a_report_is_of_the_moment_before_what_came_while_it_was_made() {
    const MIB: u64 = 1 << 20;
    let allocator = allocator();
    let heaps = &allocator.inner().heaps;
    let size = heaps.budget(0).unwrap().size;
    let report = |usage| {
        let mut reports = Reports::default();
        reports[0] = crate::policy::budget::Report { budget: size, usage };
        reports
    };
    let left = || size - heaps.left(0, Limit::Budget);
    let give = || heaps.reserve(0, MIB, Limit::Driver).unwrap().keep();
    assert!(heaps.renew(1, || report(0)));
    assert_eq!(left(), 0);
    // Another process has a MiB, and then we get one: both are gone.
    heaps.renew(2, || {
        let reports = report(MIB);
        give();
        reports
    });
    assert_eq!(left(), 2 * MIB);
    // Once it is counted, it is known for ours.
    heaps.renew(3, || report(2 * MIB));
    assert_eq!(left(), 2 * MIB);
    // What goes back while the driver counts may be counted, or not: no more than what is left for sure.
    heaps.renew(4, || {
        heaps.give_back(0, MIB, || ());
        report(2 * MIB)
    });
    assert_eq!(left(), 2 * MIB);
    heaps.renew(5, || report(MIB));
    assert_eq!(left(), MIB);
    assert_eq!((heaps.held(), heaps.peak_reserved()), (0, MIB));
}

#[test]
fn memories_are_scarce_above_three_quarters_and_spent_at_the_last() {
    let allocator = allocator();
    let heaps = &allocator.inner().heaps;
    let limit = heaps.memory_limit;
    let take = |count| (0..count).map(|_| heaps.reserve(0, 0, Limit::Driver).ok().unwrap());
    let most: Vec<_> = take(limit - limit / 4).collect();
    assert!(!heaps.memories_are_scarce());
    let one_more: Vec<_> = take(1).collect();
    assert!(heaps.memories_are_scarce() && !heaps.memories_are_spent());
    let rest: Vec<_> = take(limit / 4 - 1).collect();
    assert!(heaps.memories_are_spent());
    drop((most, one_more, rest));
    assert!(!heaps.memories_are_scarce());
}

/// A semaphore whose timeline is given up stays as long as any thread is just reading counters.
#[test]
fn no_semaphore_goes_while_counters_are_read() {
    let fake = FakeDriver::new(&Profile::default());
    let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
        .api_version(vk::API_VERSION_1_2)
        .features(crate::DeviceFeatures::TIMELINE_SEMAPHORE)
        .keep_alive(Arc::new(fake.clone()));
    // SAFETY: the fake lives as long as the allocator.
    let allocator = unsafe { Allocator::new(&desc) }.unwrap();
    let inner = allocator.inner();
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    inner.register().begin_poll(&mut Polled::new());
    drop(frames);
    allocator.collect();
    assert_eq!(fake.calls(crate::fake::Call::DestroySemaphore), 0);
    let mut finished = Vec::new();
    inner.register().end_poll(&mut finished);
    assert_eq!(finished.len(), 1, "the last to read takes it out");
    // SAFETY: nobody else has it, and nothing was submitted.
    unsafe { finished[0].destroy(&inner.vulkan) };
    drop(allocator);
    fake.finish().unwrap();
}
