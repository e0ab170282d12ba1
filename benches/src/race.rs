//! Times allocators side by side: they replay the stream in turn, again and again, so that whatever else
//! the machine does falls on all of them alike.
//!
//! Each replay begins with the part of the stream that makes the live set, so the caches hold what is
//! the allocator's own. The measured part is timed in segments; a segment counts with its median over
//! the replays, so that a few that were interrupted do not count at all.

use std::ops::Range;

use crate::clock::ticks;
use crate::replay::Arena;
use crate::stream::Stream;
use crate::subject::Subject;

/// Runs of one kind at least this long on average are timed apart.
const LONG_RUN: f64 = 16.0;

/// Ticks spent, and calls made in them.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Spent {
    /// In all calls.
    pub all: u64,
    /// In allocations, where runs are long enough to tell; else 0.
    pub allocate: u64,
    /// In frees, where runs are long enough to tell; else 0.
    pub free: u64,
}

/// One allocator's way through the stream.
pub trait Lane {
    /// Empties the arena, then runs what comes before the measured part.
    fn begin(&mut self);
    /// Runs and times a segment.
    fn segment(&mut self, segment: Range<usize>) -> Spent;
}

struct Track<'a, S: Subject> {
    stream: &'a Stream,
    arena: Arena<S>,
    runs_are_long: bool,
}

/// The lane of an allocator; `None` if the stream does not run through in an arena of `bytes`.
pub fn lane<'a, S: Subject + 'a>(stream: &'a Stream, bytes: u64) -> Option<Box<dyn Lane + 'a>> {
    let mut arena = Arena::<S>::new(stream, bytes)?;
    // The records of all that will live are made, their pages touched.
    arena.run(&stream.steps).ok()?;
    let runs_are_long = stream.mean_run() >= LONG_RUN;
    Some(Box::new(Track { stream, arena, runs_are_long }))
}

impl<S: Subject> Lane for Track<'_, S> {
    fn begin(&mut self) {
        self.arena.clear();
        self.arena.run(&self.stream.steps[..self.stream.steady]).expect("room, as before");
    }

    fn segment(&mut self, segment: Range<usize>) -> Spent {
        let steps = &self.stream.steps[segment];
        let start = ticks();
        if !self.runs_are_long {
            self.arena.run(steps).expect("room, as before");
            return Spent { all: ticks() - start, ..Spent::default() };
        }
        let mut spent = Spent::default();
        let mut last = start;
        for run in steps.chunk_by(|a, b| a.frees() == b.frees()) {
            self.arena.run_of_one_kind(run).expect("room, as before");
            let now = ticks();
            let kind = if run[0].frees() { &mut spent.free } else { &mut spent.allocate };
            *kind += now - last;
            last = now;
        }
        spent.all = last - start;
        spent
    }
}

/// Nanoseconds per call.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Times {
    /// Of an allocation and a free together.
    pub pair: f64,
    /// Of an allocation, where it can be told.
    pub allocate: Option<f64>,
    /// Of a free, where it can be told.
    pub free: Option<f64>,
}

/// Lets the lanes replay the stream in turn, so often each.
pub fn race(
    stream: &Stream,
    segments: &[Range<usize>],
    lanes: &mut [Box<dyn Lane + '_>],
    replays: usize,
    tick: f64,
) -> Vec<Times> {
    // By lane, by segment, by replay.
    let mut spent = vec![vec![Vec::with_capacity(replays); segments.len()]; lanes.len()];
    for _ in 0..replays {
        for (lane, spent) in lanes.iter_mut().zip(&mut spent) {
            lane.begin();
            for (segment, spent) in segments.iter().zip(spent) {
                spent.push(lane.segment(segment.clone()));
            }
        }
    }
    let frees = stream.steps[stream.steady..].iter().filter(|step| step.frees()).count();
    let allocations = stream.steps.len() - stream.steady - frees;
    let pairs = (frees + allocations) as f64 / 2.0;
    let summary = |segments: &Vec<Vec<Spent>>| {
        let sum = |part: fn(&Spent) -> u64| {
            let medians = segments.iter().map(|replays| median(replays.iter().map(part).collect()));
            medians.sum::<u64>() as f64 * tick
        };
        let each = |ticks: f64, calls: usize| (ticks > 0.0).then(|| ticks / calls as f64);
        Times {
            pair: sum(|spent| spent.all) / pairs,
            allocate: each(sum(|spent| spent.allocate), allocations),
            free: each(sum(|spent| spent.free), frees),
        }
    };
    spent.iter().map(summary).collect()
}

/// The middle one of an odd number of values, the lower middle one of an even.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[(values.len() - 1) / 2]
}
