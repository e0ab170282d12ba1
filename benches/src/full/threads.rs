//! Threads that allocate and free at the same time, each on a memory type of its own or all on one.

use std::sync::{Barrier, Mutex};

use fencepost::fake::{FakeDriver, Profile};

use super::{FullPath, Purpose, Request};
use crate::clock::ticks;
use crate::random::Random;

/// Allocations that each thread keeps.
const LIVE: usize = 1_000;

/// Pairs that each thread makes in a round.
const PAIRS: usize = 20_000;

/// Pairs per second of so many threads together, the best of some rounds: what the machine does besides
/// only ever slows them.
pub fn pairs_per_second<F: FullPath>(
    profile: &Profile,
    threads: usize,
    one_type: bool,
    rounds: u64,
    tick: f64,
) -> f64 {
    let purposes = [Purpose::DeviceLocal, Purpose::Upload, Purpose::Readback];
    let driver = FakeDriver::new(profile);
    let allocator = F::new(&driver, 0);
    let mut best = 0.0_f64;
    for round in 0..rounds {
        let barrier = Barrier::new(threads);
        let span = Mutex::new((u64::MAX, 0));
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (allocator, barrier, span) = (&allocator, &barrier, &span);
                let purpose = if one_type { purposes[0] } else { purposes[thread % 3] };
                scope.spawn(move || {
                    let mut random = Random::new(round * 64 + thread as u64);
                    let allocate = |size: u64| {
                        let request = Request { size, alignment: 16, is_image: false, purpose };
                        allocator.allocate(&request).expect("room for small things")
                    };
                    let mut live: Vec<F::Handle> =
                        (0..LIVE).map(|_| allocate(random.log_uniform(8, 17))).collect();
                    // Chosen before: what is timed is what a stream's replay times.
                    let pairs: Vec<(usize, u64)> = (0..PAIRS)
                        .map(|_| (random.below(LIVE), random.log_uniform(8, 17)))
                        .collect();
                    barrier.wait();
                    let start = ticks();
                    for (at, size) in pairs {
                        allocator.free(live.swap_remove(at));
                        live.push(allocate(size));
                    }
                    let end = ticks();
                    {
                        let mut span = span.lock().expect("no thread panics");
                        *span = (span.0.min(start), span.1.max(end));
                    }
                    live.into_iter().for_each(|handle| allocator.free(handle));
                });
            }
        });
        let (start, end) = span.into_inner().expect("no thread panics");
        best = best.max((threads * PAIRS) as f64 / ((end - start) as f64 * tick) * 1e9);
    }
    drop(allocator);
    best
}
