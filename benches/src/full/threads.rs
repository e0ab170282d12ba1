//! Threads that allocate and free at the same time, each on its own memory type or all on one.

use std::hint::black_box;
use std::sync::{Barrier, Mutex};

use fencepost::fake::{FakeDriver, Profile};

use super::{FullPath, Purpose, Request};
use crate::clock::{cpu_time, ticks};
use crate::random::Random;

/// The number of allocations that each thread keeps.
const LIVE: usize = 1_000;

/// The number of pairs that each thread makes in a round. This takes a few milliseconds, during
/// which the machine may be idle. But the system may run both threads on one processor during all
/// of it, so many rounds are needed to see what they can reach.
const PAIRS: usize = 20_000;

/// The number of pairs for an allocator that is too slow for that many.
const FEW_PAIRS: usize = 1_000;

/// The speed of some threads, as the best of some rounds, because other load on the machine can
/// only slow them down.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// The pairs per second of all threads together.
    pub rate: f64,
    /// The nanoseconds of processor time per pair. They include what threads lose by writing to the
    /// same cache lines, but not waiting for a processor or a lock. `None` if the system does not
    /// report it.
    pub cpu: Option<f64>,
}

impl Pace {
    /// What threads that do not affect each other would reach together, each as fast as it is
    /// alone.
    pub fn together(alone: &[Self]) -> Self {
        let seconds: f64 = alone.iter().map(|one| 1.0 / one.rate).sum();
        let cpu = alone.iter().map(|one| one.cpu).sum::<Option<f64>>();
        let count = alone.len() as f64;
        Self { rate: count / seconds, cpu: cpu.map(|cpu| cpu / count) }
    }
}

/// Pairs of free and allocate by one thread for each of these purposes, in the memory type of that
/// purpose.
pub fn pace<F: FullPath>(profile: &Profile, purposes: &[Purpose], rounds: u64, tick: f64) -> Pace {
    let threads = purposes.len();
    let driver = FakeDriver::new(profile);
    let allocator = F::new(&driver, 0);
    let count = if F::LARGEST_LIVE == usize::MAX { PAIRS } else { FEW_PAIRS };
    let pace = measure((threads, count), rounds, tick, |round, thread| {
        let purpose = purposes[thread];
        let mut random = Random::new(round * 64 + thread as u64);
        let allocator = &allocator;
        let allocate = move |size: u64| {
            let request = Request { size, alignment: 16, is_image: false, purpose };
            allocator.allocate(&request).expect("room for small things")
        };
        let mut live: Vec<F::Handle> =
            (0..LIVE).map(|_| allocate(random.log_uniform(8, 17))).collect();
        // Chosen in advance, so that the same is timed as in a stream's replay.
        let pairs: Vec<(usize, u64)> =
            (0..count).map(|_| (random.below(LIVE), random.log_uniform(8, 17))).collect();
        let run = move || {
            for (at, size) in pairs {
                allocator.free(live.swap_remove(at));
                live.push(allocate(size));
            }
            live
        };
        (run, |live: Vec<F::Handle>| live.into_iter().for_each(|handle| allocator.free(handle)))
    });
    drop(allocator);
    pace
}

/// The control: threads that compute and share nothing. It shows how much the machine can gain from
/// threads.
pub fn arithmetic(threads: usize, rounds: u64, tick: f64) -> Pace {
    measure((threads, PAIRS), rounds, tick, |_, thread| {
        let run = move || {
            (0..PAIRS as u64 * 64).fold(thread as u64, |sum, step| {
                black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step))
            })
        };
        (run, |_| ())
    })
}

/// Times the pairs of each thread of a round, after all threads have prepared them. What this
/// leaves behind is cleared without being timed.
fn measure<T, R: FnOnce() -> T, C: FnOnce(T)>(
    (threads, count): (usize, usize),
    rounds: u64,
    tick: f64,
    prepare: impl Fn(u64, usize) -> (R, C) + Sync,
) -> Pace {
    let mut best = Pace { rate: 0.0, cpu: None };
    for round in 0..rounds {
        let barrier = Barrier::new(threads);
        let spans = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (prepare, barrier, spans) = (&prepare, &barrier, &spans);
                scope.spawn(move || {
                    let (run, clear) = prepare(round, thread);
                    barrier.wait();
                    let (start, ran) = (ticks(), cpu_time());
                    let left = run();
                    let ran = cpu_time().zip(ran).map(|(after, before)| after - before);
                    spans.lock().expect("no thread panics").push((start, ticks(), ran));
                    clear(left);
                });
            }
        });
        let spans = spans.into_inner().expect("no thread panics");
        let start = spans.iter().map(|&(start, ..)| start).min().unwrap_or(0);
        let end = spans.iter().map(|&(_, end, _)| end).max().unwrap_or(0);
        let rate = (threads * count) as f64 / ((end - start) as f64 * tick) * 1e9;
        let ran = spans.iter().map(|&(.., ran)| Some(ran?.as_nanos())).sum::<Option<u128>>();
        let cpu = ran.map(|ran| ran as f64 / (threads * count) as f64);
        best.rate = best.rate.max(rate);
        best.cpu = best.cpu.into_iter().chain(cpu).reduce(f64::min);
    }
    best
}
