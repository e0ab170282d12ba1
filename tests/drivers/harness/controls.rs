//! Children that must fail: if the harness lets one of them pass, it is worthless.

use std::process;
use std::time::Duration;
use std::{hint, thread};

/// A child that fails in a particular way, and what the harness must report.
pub(super) struct Control {
    /// The fact that the control demonstrates.
    pub(super) name: &'static str,
    pub(super) deadline: Duration,
    /// A part of the failure message.
    pub(super) expected: &'static str,
    /// What the child must have written.
    pub(super) last_words: &'static str,
    pub(super) run: fn(),
}

const LONG: Duration = Duration::from_secs(30);

pub(super) const CONTROLS: [Control; 5] = [
    Control {
        name: "a_panic_is_a_failure",
        deadline: LONG,
        expected: "exit status: 101",
        last_words: "a planted panic",
        run: || panic!("a planted panic"),
    },
    Control {
        name: "a_death_by_signal_is_a_failure",
        deadline: LONG,
        expected: "signal",
        last_words: "",
        run: || process::abort(),
    },
    Control {
        name: "a_hang_is_a_failure",
        deadline: Duration::from_millis(400),
        expected: "deadline",
        last_words: "about to hang",
        run: || {
            println!("about to hang");
            loop {
                thread::sleep(LONG);
            }
        },
    },
    Control {
        name: "an_early_exit_is_a_failure",
        deadline: LONG,
        expected: "before its scenario did",
        last_words: "",
        run: || process::exit(0),
    },
    Control {
        name: "memory_without_end_is_a_failure",
        deadline: LONG,
        expected: "signal",
        last_words: "memory allocation",
        run: || drop(hint::black_box(Vec::<u8>::with_capacity(1 << 36))),
    },
];
