//! The time of every single call, to compare slow calls with the usual ones.

use crate::clock::{Clock, ticks};
use crate::replay::Arena;
use crate::stream::{Call, Stream};
use crate::subject::Subject;

/// Nanoseconds that the given share of the calls did not exceed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quantiles {
    /// Half of them.
    pub p50: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// All.
    pub most: f64,
}

/// The quantiles of both kinds of calls.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Latency {
    /// Of allocations.
    pub allocate: Quantiles,
    /// Of frees.
    pub free: Quantiles,
}

/// When an allocator creates its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Records {
    /// In an earlier replay, so that no page is touched for the first time.
    Before,
    /// In the timed calls: each replay has its own arena, and all of the stream is timed.
    OnDemand,
}

/// Times each measured call separately, in several replays, and takes each call's shortest time,
/// which excludes disturbances by the machine.
pub fn latency<S: Subject>(
    stream: &Stream,
    bytes: u64,
    replays: usize,
    records: Records,
    clock: Clock,
) -> Option<Latency> {
    let mut arena = Arena::<S>::new(stream, bytes)?;
    let steady = match records {
        Records::Before => stream.steady,
        Records::OnDemand => 0,
    };
    if records == Records::Before {
        arena.run(&stream.steps).ok()?;
    }
    let (before, measured) = stream.steps.split_at(steady);
    let mut shortest = vec![u32::MAX; measured.len()];
    for _ in 0..replays {
        match records {
            Records::Before => arena.clear(),
            Records::OnDemand => arena = Arena::new(stream, bytes)?,
        }
        arena.run(before).ok()?;
        for (step, shortest) in measured.iter().zip(&mut shortest) {
            let start = ticks();
            match step.call() {
                Call::Allocate { slot, size, alignment } => {
                    arena.allocate(slot, size, alignment).ok()?;
                }
                Call::Free { slot } => arena.free(slot),
            }
            let spent = (ticks() - start).saturating_sub(clock.reading);
            *shortest = (*shortest).min(u32::try_from(spent).unwrap_or(u32::MAX));
        }
    }
    let times = |frees: bool| {
        let calls = measured.iter().zip(&shortest).filter(|(step, _)| step.frees() == frees);
        quantiles(calls.map(|(_, &time)| time).collect(), clock.tick)
    };
    Some(Latency { allocate: times(false)?, free: times(true)? })
}

/// `None` if there are no values.
fn quantiles(mut ticks: Vec<u32>, tick: f64) -> Option<Quantiles> {
    ticks.sort_unstable();
    let last = ticks.len().checked_sub(1)?;
    let at = |part: f64| f64::from(ticks[(last as f64 * part) as usize]) * tick;
    Some(Quantiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), most: at(1.0) })
}
