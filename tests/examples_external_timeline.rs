//! The `external_timeline` example as its user runs it, in a process of its own: this test program,
//! started again as [`the_adopting_process`].

#[allow(dead_code, reason = "the test uses what the example uses")]
#[path = "../examples/external_timeline.rs"]
mod external_timeline;

use std::process::{Command, exit};

const ENTER: &str = "EXTERNAL_TIMELINE_TEST";

/// No test by itself: the process that the other starts, which is the example.
#[test]
fn the_adopting_process() {
    if std::env::var_os(ENTER).is_some() {
        let ended = external_timeline::main();
        if let Err(error) = &ended {
            eprintln!("{error}");
        }
        exit(i32::from(ended.is_err()));
    }
}

#[test]
fn a_renderer_with_its_own_semaphore_drops_what_it_has_just_recorded() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_adopting_process", "--nocapture", "--test-threads=1"])
        .env(ENTER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("contents right"), "{said}{complained}");
}
