//! fencepost's core and its peers, which are checked and then measured side by side in one run.
//!
//! `cargo run --release --bin table` prints every figure as Markdown. `cargo bench` runs the
//! standard cells under criterion. Each peer is one file in `subjects`, and each workload one file
//! in `workloads`.

pub mod check;
pub mod clock;
pub mod contender;
pub mod counting;
pub mod footprint;
pub mod full;
pub mod latency;
pub mod measured;
pub mod race;
pub mod random;
pub mod refusals;
pub mod replay;
pub mod stream;
pub mod subject;
pub mod subjects;
pub mod workloads;
