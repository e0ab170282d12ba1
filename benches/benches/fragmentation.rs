//! Fragmentation under criterion, with 0, 1, 2, 3 and 8 frames in flight: `cargo bench --bench fragmentation`.
//!
//! - `footprint`: the smallest arena in which a workload succeeds, over its peak of live bytes.
//!   What is held back is not live.
//! - `holes`: 1 − largest free range / free bytes, at the end of the workload, in an arena of 1.5
//!   times the most that it and the frames in flight hold at once.
//!
//! The figure is 9 for a subject that cannot run the workload at all. A sample is the mean of some
//! seeds, so the spread is that of the seeds and not of the machine.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{BenchmarkGroup, criterion_main};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group};
use fencepost_benches::check::check;
use fencepost_benches::footprint::{arena_bytes, smallest};
use fencepost_benches::for_each_subject;
use fencepost_benches::stream::Stream;
use fencepost_benches::subject::Subject;
use fencepost_benches::workloads::Workload;

/// A number without a unit.
struct Plain;

impl Measurement for Plain {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}

    fn end(&self, (): ()) -> f64 {
        unreachable!("every cell tells its own value")
    }

    fn add(&self, first: &f64, second: &f64) -> f64 {
        first + second
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Plain {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        ""
    }

    fn scale_throughputs(
        &self,
        _typical: f64,
        _throughput: &Throughput,
        _values: &mut [f64],
    ) -> &'static str {
        ""
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        ""
    }
}

/// The number of live allocations.
const LIVE: usize = 500;

/// Streams by seed.
const SEEDS: u64 = 7;

/// The figure of a subject that cannot run the stream in any arena that is tried.
const NOT_AT_ALL: f64 = 9.0;

/// The frames in flight.
#[derive(Clone, Copy)]
struct InFlight(usize);

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in flight", self.0)
    }
}

fn cells(criterion: &mut Criterion<Plain>) {
    for workload in Workload::ALL {
        for frames in [0, 1, 2, 3, 8].map(InFlight) {
            let streams: Vec<Stream> = (1..=SEEDS)
                .map(|seed| workload.stream(LIVE, 10 * LIVE, seed).deferred(frames.0))
                .collect();
            let mut footprint =
                criterion.benchmark_group(format!("footprint/{}/{frames}", workload.name()));
            settings(&mut footprint);
            macro_rules! footprint {
                ($subject:ty) => {
                    cell::<$subject>(&mut footprint, &streams, smallest::<$subject>);
                };
            }
            for_each_subject!(footprint);
            footprint.finish();
            let mut holes =
                criterion.benchmark_group(format!("holes/{}/{frames}", workload.name()));
            settings(&mut holes);
            macro_rules! holes {
                ($subject:ty) => {
                    cell::<$subject>(&mut holes, &streams, holes_of::<$subject>);
                };
            }
            for_each_subject!(holes);
            holes.finish();
        }
    }
}

fn settings(group: &mut BenchmarkGroup<'_, Plain>) {
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(10));
}

/// One subject. An iteration is one seed.
fn cell<S: Subject>(
    group: &mut BenchmarkGroup<'_, Plain>,
    streams: &[Stream],
    figure: impl Fn(&Stream) -> Option<f64>,
) {
    // Computed once for each seed, and only if criterion asks, because a filter may exclude the
    // cell.
    let found: Vec<Cell<Option<f64>>> = streams.iter().map(|_| Cell::new(None)).collect();
    let next = Cell::new(0);
    group.bench_function(BenchmarkId::from_parameter(S::NAME), |bencher| {
        bencher.iter_custom(|iterations| {
            let one = |_| {
                let at = next.replace((next.get() + 1) % streams.len());
                let figure = found[at].get().or_else(|| figure(&streams[at]));
                found[at].set(figure);
                figure.unwrap_or(NOT_AT_ALL)
            };
            (0..iterations).map(one).sum()
        });
    });
}

fn holes_of<S: Subject>(stream: &Stream) -> Option<f64> {
    let held = stream.peak_held() as f64 / stream.peak_bytes as f64;
    let outcome = check::<S>(stream, arena_bytes(stream, 1.5 * held))?;
    outcome.ok().map(|outcome| outcome.fragmentation)
}

criterion_group! {
    name = fragmentation;
    config = Criterion::default().with_measurement(Plain);
    targets = cells
}
criterion_main!(fragmentation);
