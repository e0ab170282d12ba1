//! The `corruption` example as its user runs it, in a process of its own: this test program, started
//! again as [`the_hunting_process`].

#[allow(dead_code, reason = "the test uses what the example uses")]
#[path = "../examples/corruption.rs"]
mod corruption;

use std::process::{Command, exit};

const ENTER: &str = "CORRUPTION_TEST";

/// No test by itself: the process that the others start, which is the example.
#[test]
fn the_hunting_process() {
    if let Some(entered) = std::env::var_os(ENTER) {
        let ended = corruption::hunt(entered == "fixed");
        if let Err(error) = &ended {
            eprintln!("{error}");
        }
        exit(i32::from(ended.is_err()));
    }
}

fn hunt(program: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_hunting_process", "--nocapture", "--test-threads=1"])
        .env(ENTER, program)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    said
}

#[test]
fn the_wrong_fence_is_found_by_the_names_of_what_it_freed() {
    let said = hunt("wrong");
    for name in ["results 0", "results 1", "results 2"] {
        let told = format!("a write after free to `{name}` (4096 bytes, freed in collect ");
        assert_eq!(said.matches(&told).count(), 1, "{said}");
    }
    assert!(said.contains(": 3 findings") && said.contains("at its byte 0: 1024 words"), "{said}");
}

/// The control: with the right fence nobody is accused.
#[test]
fn with_the_right_fence_nothing_is_found() {
    let said = hunt("fixed");
    assert!(said.contains(": 0 findings"), "{said}");
}
