//! The standard cells under criterion: the time of each subject on each workload at
//! three live counts and on each captured stream.
//!
//! `cargo bench -- renderer/10k` runs one cell. Criterion times one subject after another; for
//! ratios under the same conditions use the table.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fencepost_benches::footprint::arena_bytes;
use fencepost_benches::for_each_subject;
use fencepost_benches::replay::Arena;
use fencepost_benches::stream::Stream;
use fencepost_benches::subject::Subject;
use fencepost_benches::workloads::{Workload, traces};

/// Every generated workload, by live count.
fn made(criterion: &mut Criterion) {
    for workload in Workload::ALL {
        for (live, label) in [(1_000, "1k"), (10_000, "10k"), (100_000, "100k")] {
            let name = format!("{}/{label}", workload.name());
            if is_wanted(&name) {
                cell(criterion, &name, &workload.stream(live, (2 * live).max(50_000), 1));
            }
        }
    }
}

/// Every captured stream.
fn captured(criterion: &mut Criterion) {
    for stream in traces().expect("the suite's own traces") {
        if is_wanted(&stream.name) {
            cell(criterion, &stream.name, &stream);
        }
    }
}

/// Whether the filter on the command line may select a part of a group, whose preparation is
/// expensive.
fn is_wanted(group: &str) -> bool {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    filter.is_none_or(|filter| filter.starts_with(group) || group.contains(&filter))
}

/// One workload with all subjects. An iteration is the measured part of the stream.
fn cell(criterion: &mut Criterion, name: &str, stream: &Stream) {
    let mut group = criterion.benchmark_group(name);
    let measured = stream.steps.len() - stream.steady;
    group.throughput(Throughput::Elements(measured as u64 / 2));
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(2));
    macro_rules! bench {
        ($subject:ty) => {
            if stream.peak_live <= <$subject>::LARGEST_LIVE && !<$subject>::REFERENCE {
                let mut arena = Arena::<$subject>::new(stream, arena_bytes(stream, 2.0));
                // Subjects that have no room, or do not support such an arena, are omitted.
                let able = arena.as_mut().is_some_and(|arena| arena.run(&stream.steps).is_ok());
                if let (true, Some(mut arena)) = (able, arena) {
                    group.bench_function(
                        BenchmarkId::from_parameter(<$subject>::NAME),
                        |bencher| {
                            bencher
                                .iter_custom(|iterations| replay(&mut arena, stream, iterations));
                        },
                    );
                }
            }
        };
    }
    for_each_subject!(bench);
    group.finish();
}

/// Times only the measured part.
fn replay<S: Subject>(arena: &mut Arena<S>, stream: &Stream, iterations: u64) -> Duration {
    let (before, measured) = stream.steps.split_at(stream.steady);
    let mut spent = Duration::ZERO;
    for _ in 0..iterations {
        arena.clear();
        arena.run(before).expect("room, as before");
        let start = Instant::now();
        arena.run(measured).expect("room, as before");
        spent += start.elapsed();
    }
    spent
}

criterion_group!(cells, made, captured);
criterion_main!(cells);
