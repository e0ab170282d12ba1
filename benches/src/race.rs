//! Times allocators side by side: they replay the stream in turn, repeatedly, so that other load on
//! the machine affects all of them equally.
//!
//! Each replay starts with the part of the stream that creates the live set, so the caches contain
//! the allocator's own data. The measured part is timed in segments. A segment counts with its
//! median over the replays, so a few interrupted replays have no effect.

use std::ops::Range;

use crate::clock::ticks;
use crate::replay::Arena;
use crate::stream::Stream;
use crate::subject::Subject;

/// If runs of one kind have at least this length on average, allocations and frees are timed
/// separately.
const LONG_RUN: f64 = 16.0;

/// The ticks spent, and the calls made in them.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Spent {
    /// In all calls.
    pub all: u64,
    /// In allocations, if runs are long enough to separate them; else 0.
    pub allocate: u64,
    /// In frees, if runs are long enough to separate them; else 0.
    pub free: u64,
}

/// The replay of a stream by one allocator.
pub trait Lane {
    /// Empties the arena, then runs the part of the stream before the measured one.
    fn begin(&mut self);
    /// Runs and times a segment.
    fn segment(&mut self, segment: Range<usize>) -> Spent;
}

struct Track<'a, S: Subject> {
    stream: &'a Stream,
    arena: Arena<S>,
    runs_are_long: bool,
}

/// The lane of an allocator; `None` if the stream does not succeed in an arena of `bytes`.
pub fn lane<'a, S: Subject + 'a>(stream: &'a Stream, bytes: u64) -> Option<Box<dyn Lane + 'a>> {
    let mut arena = Arena::<S>::new(stream, bytes)?;
    // This creates the records of everything that will be live, and touches their pages.
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
    /// Of an allocation, if it can be separated.
    pub allocate: Option<f64>,
    /// Of a free, if it can be separated.
    pub free: Option<f64>,
}

/// Lets the lanes replay the stream in turn, `replays` times each.
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

/// The middle value; for an even number of values, the lower of the two in the middle.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[(values.len() - 1) / 2]
}
