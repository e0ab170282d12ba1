//! What every allocator must satisfy before it is measured: its ranges are aligned, lie in the
//! arena, and no two live ranges overlap.

use std::collections::BTreeMap;

use crate::replay::Arena;
use crate::stream::{Call, Stream};
use crate::subject::Subject;

/// An error of an allocator, with the step of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// A range does not start at a multiple of its alignment.
    #[error("step {step}: {offset:#x} is not aligned")]
    Alignment {
        /// The step of the stream.
        step: usize,
        /// The offset of the range.
        offset: u64,
    },
    /// A range does not lie in the arena.
    #[error("step {step}: {offset:#x} is not in the arena")]
    Bounds {
        /// The step of the stream.
        step: usize,
        /// The offset of the range.
        offset: u64,
    },
    /// A range overlaps another live one.
    #[error("step {step}: {offset:#x} overlaps what is there")]
    Overlap {
        /// The step of the stream.
        step: usize,
        /// The offset of the range.
        offset: u64,
    },
}

/// The result of a stream.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Outcome {
    /// The number of allocations for which there was no room.
    pub refused: usize,
    /// At the end: 1 − largest free range / free bytes; 0 if nothing is free.
    pub fragmentation: f64,
}

/// Runs a whole stream in an arena of `bytes` and checks every range. `None` if the allocator does
/// not support such an arena.
///
/// # Errors
/// The first error.
pub fn check<S: Subject>(stream: &Stream, bytes: u64) -> Option<Result<Outcome, Fault>> {
    let mut arena = Arena::<S>::new(stream, bytes)?;
    let mut outcome = Outcome::default();
    // The live ranges: end by offset, and offset by slot.
    let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
    let mut offsets: Vec<Option<u64>> = vec![None; stream.slots];
    // Runs of frees are executed in the way in which they are measured.
    let mut step = 0;
    for run in stream.steps.chunk_by(|a, b| a.frees() == b.frees()) {
        if run[0].frees() {
            for step in run {
                let Call::Free { slot } = step.call() else { unreachable!("a run of frees") };
                if let Some(offset) = offsets[slot].take() {
                    ends.remove(&offset);
                }
            }
            let Ok(()) = arena.run_of_one_kind(run) else { unreachable!("frees need no room") };
            step += run.len();
            continue;
        }
        for allocate in run {
            let Call::Allocate { slot, size, alignment } = allocate.call() else {
                unreachable!("a run of allocations")
            };
            match arena.subject.allocate(size, alignment) {
                None => outcome.refused += 1,
                Some(placed) => {
                    let offset = placed.offset;
                    arena.keep(slot, placed.handle);
                    if offset % alignment != 0 {
                        return Some(Err(Fault::Alignment { step, offset }));
                    }
                    let end = offset.saturating_add(size);
                    if end > bytes {
                        return Some(Err(Fault::Bounds { step, offset }));
                    }
                    let before = ends.range(..end).next_back();
                    if before.is_some_and(|(_, &before_end)| before_end > offset) {
                        return Some(Err(Fault::Overlap { step, offset }));
                    }
                    ends.insert(offset, end);
                    offsets[slot] = Some(offset);
                }
            }
            step += 1;
        }
    }
    outcome.fragmentation = fragmentation(&ends, bytes);
    Some(Ok(outcome))
}

/// The share of the free bytes that is not in the largest hole.
fn fragmentation(ends: &BTreeMap<u64, u64>, bytes: u64) -> f64 {
    let (mut at, mut free, mut largest) = (0, 0, 0);
    for (&offset, &end) in ends.iter().chain([(&bytes, &bytes)]) {
        let hole = offset - at;
        free += hole;
        largest = largest.max(hole);
        at = end;
    }
    if free == 0 { 0.0 } else { 1.0 - largest as f64 / free as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Builder;
    use crate::subject::Placed;
    use crate::subjects::BestFit;

    /// Best fit with one thing wrong.
    struct Wrong<const FAULT: u8>(BestFit);

    impl<const FAULT: u8> Subject for Wrong<FAULT> {
        const NAME: &'static str = "wrong";
        type Handle = (u64, u64);

        fn new(bytes: u64, live: usize) -> Option<Self> {
            BestFit::new(bytes, live).map(Self)
        }

        fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<(u64, u64)>> {
            let placed = self.0.allocate(size, alignment)?;
            let offset = match FAULT {
                0 => placed.offset,
                1 => placed.offset + 8,
                2 => placed.offset + (1 << 40),
                _ => 0,
            };
            Some(Placed { offset, ..placed })
        }

        fn free(&mut self, handle: (u64, u64)) {
            self.0.free(handle);
        }
    }

    fn stream() -> Stream {
        let mut builder = Builder::new("test");
        let first = builder.allocate(100, 16);
        builder.allocate(100, 64);
        builder.free(first);
        builder.allocate(50, 16);
        builder.finish()
    }

    #[test]
    fn a_sound_allocator_passes() {
        let outcome = check::<Wrong<0>>(&stream(), 1024).expect("an arena").expect("no fault");
        assert_eq!(outcome.refused, 0);
        // 50 of 1024 bytes at 0, 100 at 128: a hole of 78, and one of 796.
        assert!((outcome.fragmentation - (1.0 - 796.0 / 874.0)).abs() < 1e-9);
    }

    #[test]
    fn each_fault_is_found() {
        let stream = stream();
        let fault = |result: Option<Result<Outcome, Fault>>| result.expect("an arena").err();
        assert_eq!(
            fault(check::<Wrong<1>>(&stream, 1024)),
            Some(Fault::Alignment { step: 0, offset: 8 })
        );
        let offset = 1 << 40;
        assert_eq!(
            fault(check::<Wrong<2>>(&stream, 1024)),
            Some(Fault::Bounds { step: 0, offset })
        );
        assert_eq!(
            fault(check::<Wrong<3>>(&stream, 1024)),
            Some(Fault::Overlap { step: 1, offset: 0 })
        );
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let outcome = check::<Wrong<0>>(&stream(), 128).expect("an arena").expect("no fault");
        assert_eq!(outcome.refused, 1);
    }
}
