//! The cost of a deferred free compared with an immediate one: `retire` and `collect` against
//! `free_now`.

use std::sync::{Barrier, Mutex};

use fencepost::fake::{FakeDriver, Profile};
use fencepost::{Allocation, Allocator, Recording, Timeline};

use super::fencepost::{allocate, allocator};
use super::{Purpose, Request};
use crate::clock::ticks;
use crate::random::Random;

/// The allocations that stay live.
const LIVE: usize = 10_000;

/// Nanoseconds for each allocation that is freed, as medians over the frames.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Costs {
    /// `retire` alone.
    pub retire: f64,
    /// The frame's `collect`, per allocation.
    pub collect: f64,
    /// `free_now` of the same allocations, one by one.
    pub free_now: f64,
}

struct Frames<'a> {
    driver: &'a FakeDriver,
    timeline: Timeline,
    allocator: Allocator,
}

impl<'a> Frames<'a> {
    fn new(driver: &'a FakeDriver) -> Self {
        let allocator = allocator(driver);
        let timeline = allocator.timeline(driver.queue(0)).expect("the fake has timelines");
        Self { driver, timeline, allocator }
    }

    fn begin(&self) -> Recording {
        self.timeline.begin().expect("a timeline that lives")
    }

    /// Submits, and lets the GPU pass the submission.
    fn pass(&self, recording: Recording) {
        // SAFETY: no batches, and one thread submits.
        let submitted = recording.submit(|signal| unsafe { signal.queue_submit(&[]) });
        submitted.expect("the fake takes it");
        self.driver.run();
    }

    fn allocate(&self, random: &mut Random) -> Allocation {
        let request = Request {
            size: random.log_uniform(8, 17),
            alignment: 16,
            is_image: false,
            purpose: Purpose::DeviceLocal,
        };
        allocate(&self.allocator, &request).expect("room for small things")
    }
}

/// Frames that free this many allocations each; every second frame uses `free_now`.
pub fn costs(frame: usize, frames: usize, tick: f64) -> Costs {
    let driver = FakeDriver::new(&Profile::default());
    let all = Frames::new(&driver);
    let mut random = Random::new(1);
    let mut live: Vec<Allocation> = (0..LIVE).map(|_| all.allocate(&mut random)).collect();
    let (mut retire, mut collect, mut free_now) = (Vec::new(), Vec::new(), Vec::new());
    let mut ended = Vec::with_capacity(frame);
    for index in 0..frames {
        for _ in 0..frame {
            let at = random.below(live.len());
            ended.push(live.swap_remove(at));
        }
        let recording = all.begin();
        let start = ticks();
        if index % 2 == 0 {
            ended.drain(..).for_each(drop);
            retire.push(ticks() - start);
            all.pass(recording);
            let start = ticks();
            let collected = all.allocator.collect();
            collect.push(ticks() - start);
            std::hint::black_box(collected);
        } else {
            for allocation in ended.drain(..) {
                // SAFETY: the GPU never saw it.
                unsafe { allocation.free_now() }
            }
            free_now.push(ticks() - start);
            all.pass(recording);
            all.allocator.collect();
        }
        live.extend((0..frame).map(|_| all.allocate(&mut random)));
    }
    let median = |mut values: Vec<u64>| {
        values.sort_unstable();
        values[values.len() / 2] as f64 * tick / frame as f64
    };
    Costs { retire: median(retire), collect: median(collect), free_now: median(free_now) }
}

/// Retires per second by this many threads together, on one memory type: the best of some frames.
pub fn throughput(threads: usize, tick: f64) -> f64 {
    const EACH: usize = 4_096;
    let driver = FakeDriver::new(&Profile::default());
    let all = Frames::new(&driver);
    let mut random = Random::new(1);
    let mut best = 0.0_f64;
    for _ in 0..9 {
        let recording = all.begin();
        let shares: Vec<Vec<Allocation>> =
            (0..threads).map(|_| (0..EACH).map(|_| all.allocate(&mut random)).collect()).collect();
        let barrier = Barrier::new(threads);
        let span = Mutex::new((u64::MAX, 0));
        std::thread::scope(|scope| {
            for share in shares {
                let (barrier, span) = (&barrier, &span);
                scope.spawn(move || {
                    barrier.wait();
                    let start = ticks();
                    share.into_iter().for_each(drop);
                    let end = ticks();
                    let mut span = span.lock().expect("no thread panics");
                    *span = (span.0.min(start), span.1.max(end));
                });
            }
        });
        let (start, end) = span.into_inner().expect("no thread panics");
        best = best.max((threads * EACH) as f64 / ((end - start) as f64 * tick) * 1e9);
        all.pass(recording);
        all.allocator.collect();
    }
    best
}
