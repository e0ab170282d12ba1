//! Runs a stream once, with the measured part in a function of its own, which callgrind counts.

use crate::replay::Arena;
use crate::stream::{Step, Stream};
use crate::subject::Subject;

/// A part of the name of that function.
pub const FUNCTION: &str = "measured_part";

/// Runs the stream in an arena of `bytes`; `None` if it has no room there.
pub fn run<S: Subject>(stream: &Stream, bytes: u64) -> Option<()> {
    let mut arena = Arena::<S>::new(stream, bytes)?;
    // This creates the records in advance.
    arena.run(&stream.steps).ok()?;
    arena.clear();
    let (before, measured) = stream.steps.split_at(stream.steady);
    arena.run(before).ok()?;
    measured_part(&mut arena, measured)
}

#[inline(never)]
fn measured_part<S: Subject>(arena: &mut Arena<S>, steps: &[Step]) -> Option<()> {
    arena.run(steps).ok()
}
