//! The smallest arena in which a stream succeeds.

use crate::replay::Arena;
use crate::stream::Stream;
use crate::subject::{Subject, granule};

/// The size of an arena of `factor` times the stream's peak, in whole granules.
pub fn arena_bytes(stream: &Stream, factor: f64) -> u64 {
    let bytes = (stream.peak_bytes as f64 * factor) as u64;
    bytes.next_multiple_of(granule(bytes))
}

/// The smallest arena in which the whole stream succeeds, as a multiple of its peak live bytes,
/// with an accuracy of one in a thousand. `None` if eight times the peak is not enough.
///
/// This is a bisection. An allocator that fails in an arena may succeed in a smaller one, which is
/// not searched for.
pub fn smallest<S: Subject>(stream: &Stream) -> Option<f64> {
    let runs = |factor: f64| {
        let arena = Arena::<S>::new(stream, arena_bytes(stream, factor));
        arena.is_some_and(|mut arena| arena.run(&stream.steps).is_ok())
    };
    let (mut fails, mut holds) = (1.0, 1.0);
    while !runs(holds) {
        fails = holds;
        holds *= if holds < 1.5 { 1.125 } else { 1.5 };
        if holds > 8.0 {
            return None;
        }
    }
    while holds - fails > 0.001 {
        let middle = (fails + holds) / 2.0;
        if runs(middle) {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    Some(holds)
}

/// The number of allocations for which there is no room in an arena of 1.05 times the stream's
/// peak.
pub fn refused<S: Subject>(stream: &Stream) -> Option<usize> {
    let mut arena = Arena::<S>::new(stream, arena_bytes(stream, 1.05))?;
    Some(arena.run_leniently(&stream.steps))
}
