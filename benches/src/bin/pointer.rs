//! Allocation by pointer: `MemoryPool` compared with the core by key, `malloc` and `rlsf`, in one
//! run.
//!
//! `cargo run --release --bin pointer`. Nobody touches the allocated memory, except `rlsf` its
//! headers and `malloc` its own.

use std::process::ExitCode;

use clap::Parser;
use fencepost_benches::clock::Clock;
use fencepost_benches::contender::{Contender, contender};
use fencepost_benches::footprint::arena_bytes;
use fencepost_benches::race::race;
use fencepost_benches::replay::segments;
use fencepost_benches::stream::Stream;
use fencepost_benches::subjects::{Malloc, Ours, Pool, Rlsf, Single};
use fencepost_benches::workloads::{Workload, traces};

/// Times `MemoryPool` beside the core, `malloc` and `rlsf`.
#[derive(Parser)]
struct Arguments {
    /// These live counts.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    live: Vec<usize>,
    /// Only workloads and traces whose name contains this.
    #[arg(long, default_value = "")]
    workload: String,
}

/// Replays of each stream.
const REPLAYS: usize = 15;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = |name: &str| name.contains(&arguments.workload);
    let traces = match traces() {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let contenders = [
        contender::<Pool>(),
        contender::<Ours<Single>>(),
        contender::<Malloc>(),
        contender::<Rlsf>(),
    ];
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name()).collect();
    println!("ns per pair of allocate and free; in brackets the pool's over it.\n");
    println!("| | {} |\n|---{}|", names.join(" | "), "|---".repeat(names.len()));
    let clock = Clock::calibrate();
    for workload in [Workload::Uniform, Workload::Renderer, Workload::FixedLifo] {
        for &live in arguments.live.iter().filter(|_| wanted(workload.name())) {
            let stream = workload.stream(live, 400_000, 1);
            row(&format!("{} {live}", workload.name()), &stream, &contenders, clock);
        }
    }
    for trace in traces.iter().filter(|trace| wanted(&trace.name)) {
        row(&trace.name, trace, &contenders, clock);
    }
    ExitCode::SUCCESS
}

fn row(name: &str, stream: &Stream, contenders: &[Box<dyn Contender>], clock: Clock) {
    // Soundness is checked first, except for `malloc`, which has no arena.
    let bytes =
        [1.5, 2.0, 3.0].map(|factor| arena_bytes(stream, factor)).into_iter().find(|&bytes| {
            contenders.iter().filter(|contender| contender.name() != "malloc").all(|contender| {
                match contender.check(stream, bytes) {
                    None => true,
                    Some(outcome) => outcome.expect("a sound allocator").refused == 0,
                }
            })
        });
    let Some(bytes) = bytes else {
        println!("| {name} | no arena is large enough |");
        return;
    };
    let mut lanes = Vec::new();
    let mut places = Vec::new();
    for (place, contender) in contenders.iter().enumerate() {
        if let Some(lane) = contender.lane(stream, bytes) {
            lanes.push(lane);
            places.push(place);
        }
    }
    let measured = stream.steps.len() - stream.steady;
    let segments = segments(stream, (measured / 64).max(1_024));
    let times = race(stream, &segments, &mut lanes, REPLAYS, clock.tick);
    let pool = times[0].pair;
    let mut cells = vec!["–".to_owned(); contenders.len()];
    for (&place, times) in places.iter().zip(&times) {
        cells[place] = format!("{:.1} ({:.2})", times.pair, pool / times.pair);
    }
    println!("| {name} | {} |", cells.join(" | "));
}
