//! Compares the core with a naive model, on histories that the fuzzer finds by the branches they
//! take.
#![no_main]

#[path = "../../support/history.rs"]
mod history;
#[path = "../../support/naive.rs"]
mod naive;
#[path = "../../support/random.rs"]
mod random;
#[path = "../../support/twin.rs"]
mod twin;

use std::sync::atomic::{AtomicU64, Ordering};

use fencepost::tlsf::Tlsf;
use history::History;
use libfuzzer_sys::fuzz_target;
use naive::Naive;
use twin::Twins;

/// The number of operations so far, printed every million.
static PLAYED: AtomicU64 = AtomicU64::new(0);
const TELL: u64 = 1_000_000;

fuzz_target!(|history: History| {
    let config = history.block.config();
    let twin = Naive::new(config.size, config.granule, config.first_serial, None);
    let mut twins = Twins::new(Tlsf::new(&config).unwrap(), twin);
    history.play(&mut twins).unwrap();

    let more = history.operations.len() as u64;
    let played = PLAYED.fetch_add(more, Ordering::Relaxed) + more;
    if played / TELL > (played - more) / TELL {
        eprintln!("{played} operations");
    }
});
