//! A fixed loop for callgrind: so many pairs of free and allocate over 10,000 live allocations.
//!
//! The instructions of one pair are the slope between two lengths:
//! ```text
//! cargo build --release --bin pair
//! for pairs in 20000 120000; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/pair fencepost $pairs
//! done
//! ```
//! (the difference of the two `Collected` over 100,000). The loop itself is the same for all subjects. A name
//! of the full path, `"fencepost, handles"` or `VMA`, goes through device memory over the fake driver.

use std::process::ExitCode;

use clap::Parser;
use fencepost_benches::footprint::arena_bytes;
use fencepost::fake::Profile;
use fencepost_benches::full::FullPath;
use fencepost_benches::full::lane::lane;
use fencepost_benches::race::Lane;
use fencepost_benches::replay::Arena;
use fencepost_benches::stream::Stream;
use fencepost_benches::subject::Subject;
use fencepost_benches::workloads::Workload;
use fencepost_benches::{for_each_full_path, for_each_subject};

#[derive(Parser)]
struct Arguments {
    /// The subject's name, as in the tables.
    subject: String,
    /// How many pairs.
    pairs: usize,
    /// `uniform` or `uniform frames`.
    #[arg(long, default_value = "uniform")]
    workload: String,
    /// Allocations alive.
    #[arg(long, default_value_t = 10_000)]
    live: usize,
    /// `bufferImageGranularity`, on the full path.
    #[arg(long, default_value_t = 1)]
    granularity: u64,
}

/// Many pairs repeat these, so that making them costs the same for every length.
const PAIRS: usize = 20_000;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let workload = Workload::ALL.into_iter().find(|known| known.name() == arguments.workload);
    let Some(workload) = workload else {
        eprintln!("no workload is called {:?}", arguments.workload);
        return ExitCode::FAILURE;
    };
    let stream = workload.stream(arguments.live, 2 * PAIRS, 1);
    let mut found = false;
    macro_rules! run {
        ($subject:ty) => {
            if <$subject>::NAME == arguments.subject {
                found = true;
                run::<$subject>(&stream, arguments.pairs / PAIRS);
            }
        };
    }
    for_each_subject!(run);
    let profile = Profile::default().granularity(arguments.granularity);
    macro_rules! run_full {
        ($subject:ty) => {
            if <$subject>::NAME == arguments.subject {
                found = true;
                let lane = lane::<$subject>(&stream, &profile);
                run_full(&stream, lane.expect("room").as_mut(), arguments.pairs / PAIRS);
            }
        };
    }
    for_each_full_path!(run_full);
    if !found {
        eprintln!("no subject is called {:?}", arguments.subject);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run<S: Subject>(stream: &Stream, rounds: usize) {
    let mut arena = Arena::<S>::new(stream, arena_bytes(stream, 1.5)).expect("an arena");
    let (before, measured) = stream.steps.split_at(stream.steady);
    arena.run(before).expect("room");
    for _ in 0..rounds {
        arena.run(measured).expect("room");
    }
}

fn run_full(stream: &Stream, lane: &mut dyn Lane, rounds: usize) {
    lane.begin();
    for _ in 0..rounds {
        lane.segment(stream.steady..stream.steps.len());
    }
}
