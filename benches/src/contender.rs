//! A subject as a value, so that tables can iterate over all of them. This is the only dynamic
//! dispatch, and it is never inside of what is timed.

use std::marker::PhantomData;

use crate::check::{Fault, Outcome, check};
use crate::clock::Clock;
use crate::counting;
use crate::footprint;
use crate::for_each_subject;
use crate::latency::{self, Latency, Records};
use crate::measured;
use crate::race::{self, Lane};
use crate::refusals::{self, Mix, Refusals};
use crate::replay::Arena;
use crate::stream::Stream;
use crate::subject::{Probes, Subject};

/// The operations on any subject.
pub trait Contender {
    /// Its name in the tables.
    fn name(&self) -> &'static str;
    /// Whether it is only a reference, and not a rival in time.
    fn is_reference(&self) -> bool;
    /// Whether it frees in batches.
    fn is_batched(&self) -> bool;
    /// The maximum live count with which it is measured.
    fn largest_live(&self) -> usize;
    /// [`check`](crate::check::check).
    fn check(&self, stream: &Stream, bytes: u64) -> Option<Result<Outcome, Fault>>;
    /// [`race::lane`].
    fn lane<'a>(&self, stream: &'a Stream, bytes: u64) -> Option<Box<dyn Lane + 'a>>;
    /// [`measured::run`].
    fn run(&self, stream: &Stream, bytes: u64) -> Option<()>;
    /// [`latency::latency`].
    fn latency(
        &self,
        stream: &Stream,
        bytes: u64,
        replays: usize,
        records: Records,
        clock: Clock,
    ) -> Option<Latency>;
    /// [`footprint::smallest`].
    fn smallest(&self, stream: &Stream) -> Option<f64>;
    /// [`footprint::refused`].
    fn refused(&self, stream: &Stream) -> Option<usize>;
    /// [`refusals::refusals`].
    fn refusals(&self, mix: Mix, percent: u64, allocations: usize, seed: u64) -> Option<Refusals>;
    /// The bytes of the host's heap after the stream, for each allocation that is live then.
    fn metadata(&self, stream: &Stream, bytes: u64) -> Option<f64>;
    /// What the searches of the stream visited.
    fn probes(&self, stream: &Stream, bytes: u64) -> Option<Probes>;
}

struct Of<S>(PhantomData<S>);

impl<S: Subject + 'static> Contender for Of<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn is_reference(&self) -> bool {
        S::REFERENCE
    }

    fn is_batched(&self) -> bool {
        S::BATCHED
    }

    fn largest_live(&self) -> usize {
        S::LARGEST_LIVE
    }

    fn check(&self, stream: &Stream, bytes: u64) -> Option<Result<Outcome, Fault>> {
        check::<S>(stream, bytes)
    }

    fn lane<'a>(&self, stream: &'a Stream, bytes: u64) -> Option<Box<dyn Lane + 'a>> {
        race::lane::<S>(stream, bytes)
    }

    fn run(&self, stream: &Stream, bytes: u64) -> Option<()> {
        measured::run::<S>(stream, bytes)
    }

    fn latency(
        &self,
        stream: &Stream,
        bytes: u64,
        replays: usize,
        records: Records,
        clock: Clock,
    ) -> Option<Latency> {
        latency::latency::<S>(stream, bytes, replays, records, clock)
    }

    fn smallest(&self, stream: &Stream) -> Option<f64> {
        footprint::smallest::<S>(stream)
    }

    fn refused(&self, stream: &Stream) -> Option<usize> {
        footprint::refused::<S>(stream)
    }

    fn refusals(&self, mix: Mix, percent: u64, allocations: usize, seed: u64) -> Option<Refusals> {
        refusals::refusals::<S>(mix, percent, allocations, seed)
    }

    fn metadata(&self, stream: &Stream, bytes: u64) -> Option<f64> {
        if !S::COUNTABLE {
            return None;
        }
        let frees = stream.steps.iter().filter(|step| step.frees()).count();
        let alive = stream.steps.len() - 2 * frees;
        let (subject, empty) = counting::bytes_kept(|| S::new(bytes, stream.slots));
        let mut arena = Arena::with(subject?, stream);
        let (ran, grown) = counting::bytes_kept(|| arena.run(&stream.steps));
        ran.ok()?;
        let kept = size_of::<S>() as isize + empty + grown;
        (alive != 0).then(|| kept as f64 / alive as f64)
    }

    fn probes(&self, stream: &Stream, bytes: u64) -> Option<Probes> {
        let mut arena = Arena::<S>::new(stream, bytes)?;
        arena.run_leniently(&stream.steps);
        arena.subject.probes()
    }
}

/// A subject as a value.
pub fn contender<S: Subject + 'static>() -> Box<dyn Contender> {
    Box::new(Of::<S>(PhantomData))
}

/// All subjects, with those of this crate first.
pub fn contenders() -> Vec<Box<dyn Contender>> {
    let mut all = Vec::new();
    macro_rules! push {
        ($subject:ty) => {
            all.push(contender::<$subject>());
        };
    }
    for_each_subject!(push);
    all
}
