//! The `replay` example as its user runs it: whole traces over the fake driver and on two real
//! ones, a fault that must be reported, and one sentence for each invalid input.
//!
//! Each replay is a separate process: this test program, started again as [`the_replay_process`].
//! `-- --ignored` adds every shipped trace in full, and `FENCEPOST_DRIVERS=lavapipe` omits
//! SwiftShader.

#[allow(dead_code, reason = "the tests enter the example below its command line")]
#[path = "../examples/replay/main.rs"]
mod replay;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, exit};

use serde_json::Value;

const SMALL: [&str; 3] = ["warzone2100-vulkan", "glmark2-zink", "supertuxkart-vulkan"];
const LARGE: [&str; 3] = ["minetest-zink", "pygfx-wgpu", "vello-wgpu"];
const BLENDER: &str = "blender-eevee-vulkan";

/// The drivers that `FENCEPOST_DRIVERS` names, or both.
fn drivers() -> impl Iterator<Item = &'static str> {
    let named = std::env::var("FENCEPOST_DRIVERS").ok();
    let wanted = move |name: &&str| named.as_ref().is_none_or(|named| named.contains(*name));
    ["lavapipe", "swiftshader"].into_iter().filter(wanted)
}

/// The options for the fake driver and for each real one.
fn places() -> impl Iterator<Item = Vec<&'static str>> {
    std::iter::once(vec!["--no-driver"]).chain(drivers().map(|driver| vec!["--driver", driver]))
}

/// Carries a command line to [`the_replay_process`].
const ARGUMENTS: &str = "REPLAY_TEST_ARGUMENTS";

/// No test by itself: the process that the others start, which is the example.
#[test]
fn the_replay_process() {
    if let Ok(arguments) = std::env::var(ARGUMENTS) {
        let program = std::iter::once("replay");
        let code = replay::enter(program.chain(arguments.lines()));
        exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
    }
}

fn start(arguments: &[&str]) -> Output {
    // One thread: the example sets the environment up before it starts any.
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_replay_process", "--nocapture", "--test-threads=1"])
        .env(ARGUMENTS, arguments.join("\n"))
        .output()
        .unwrap()
}

/// A report in JSON, and what the process said on standard error; none if it failed.
fn report(trace: &str, arguments: &[&str]) -> Result<Value, String> {
    let path = shipped(trace);
    let output = start(&[&[path.to_str().unwrap(), "--json"], arguments].concat());
    let sentence = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(sentence);
    }
    let text = String::from_utf8(output.stdout).unwrap();
    // The test harness has begun the line already.
    let json = text.lines().find_map(|line| Some(&line[line.find('{')?..]));
    Ok(serde_json::from_str(json.expect("a line of JSON")).unwrap())
}

fn shipped(trace: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/traces");
    folder.join(format!("{trace}.trace.zst"))
}

/// Replays a trace and holds that all is well: the report.
fn clean(trace: &str, arguments: &[&str]) -> Value {
    let report = report(trace, arguments).unwrap_or_else(|sentence| {
        panic!("{trace} {}: {sentence}", arguments.join(" "));
    });
    let number = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((number("mismatches"), number("leaks")), (0, 0), "{report}");
    assert!(number("verified") >= number("allocations"), "each allocation is verified: {report}");
    assert!(number("peak_reserved") >= number("peak_held"), "{report}");
    assert!(number("peak_held") >= number("peak_live"), "{report}");
    assert!(number("driver_allocations") > 0, "{report}");
    report
}

/// Runs it and holds that it fails with one sentence: the sentence.
fn refusal(arguments: &[&str]) -> String {
    let output = start(arguments);
    assert!(!output.status.success(), "{arguments:?} went through");
    let text = String::from_utf8(output.stderr).unwrap();
    let sentence = text.strip_prefix("replay: ").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(sentence.trim_end().lines().count(), 1, "one sentence: {sentence}");
    sentence.trim_end().to_owned()
}

/// Writes a trace of these lines and hands its path out.
fn with_lines(name: &str, lines: &str, test: impl FnOnce(&str)) {
    let name = format!("{name}-{}.trace", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, lines).unwrap();
    test(path.to_str().unwrap());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn small_traces_replay_whole_over_the_fake_driver() {
    for trace in SMALL {
        let report = clean(trace, &["--no-driver"]);
        // Each resource is declared as used twice: when it is written and when it is checked.
        assert_eq!(
            report["verified"].as_u64().unwrap(),
            2 * report["allocations"].as_u64().unwrap()
        );
    }
}

const REUSE: [&str; 3] = ["--no-driver", "--frames-in-flight", "3"];

#[test]
fn reuse_in_the_order_of_the_queue_raises_no_peak_and_lowers_those_it_can() {
    for trace in SMALL.iter().chain(&LARGE).chain(&[BLENDER]) {
        let [without, with] = [&[][..], &["--reuse"]].map(|reuse| {
            let report = clean(trace, &[&REUSE[..], reuse].concat());
            ["peak_reserved", "pending_at_peak"].map(|key| report[key].as_u64().unwrap())
        });
        assert!(with[0] <= without[0], "{trace}: {with:?} instead of {without:?}");
        // The others hold nothing that what asks for a block could take over.
        if *trace == "pygfx-wgpu" {
            assert!(with[0] * 100 < without[0] * 99, "{with:?} instead of {without:?}");
            assert!(without[1] > 0, "it waits, and is there to be taken over: {without:?}");
        }
    }
}

#[test]
fn reuse_in_the_order_of_the_queue_keeps_every_word_on_both_drivers() {
    for driver in drivers() {
        for trace in SMALL {
            clean(trace, &["--driver", driver, "--frames-in-flight", "3", "--reuse"]);
        }
    }
}

/// The table in the traces' own page is of the form that the command beside it prints. Its figures change
/// with every choice of a range.
#[test]
fn the_page_of_the_traces_has_the_table_of_reuse() {
    let page = include_str!("../benches/traces/README.md");
    let names = SMALL.iter().chain(&LARGE).chain(&[BLENDER]);
    let files: Vec<String> = names.map(|trace| shipped(trace).display().to_string()).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let output = start(&[&files, &REUSE[..], &["--reuse=false,true", "--markdown"]].concat());
    let printed = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> = printed.lines().filter(|line| line.contains(" in flight, ")).collect();
    assert_eq!(rows.len(), 2 * files.len(), "{printed}");
    for row in rows {
        let (trace_and_settings, _) = row.split_once("reuse |").expect("each tells whether");
        assert!(page.contains(trace_and_settings), "it does not say {row}");
        assert_eq!(row.matches('|').count(), 11, "{row}");
    }
    let head = printed.lines().find_map(|line| Some(&line[line.find("| trace, at most")?..]));
    assert!(page.contains(head.expect("a head")), "{printed}");
}

#[test]
fn guards_watch_a_replay_and_accuse_nobody() {
    let few = ["--operations", "3000"];
    for (policy, watches) in [("off", false), ("margins", true), ("poison", true), ("full", true)] {
        let guards = [&few[..], &["--guards", policy]].concat();
        let report = clean("supertuxkart-vulkan", &[&["--no-driver"], &guards[..]].concat());
        assert_eq!(report["dispatches"].as_u64() > Some(0), watches, "{policy}: {report}");
    }
    for driver in drivers() {
        for more in [&[][..], &["--fences", "--frames-in-flight", "3"]] {
            let guards = [&["--driver", driver, "--guards", "full"], &few[..], more].concat();
            let report = clean("supertuxkart-vulkan", &guards);
            assert_eq!(report["dispatches"], 0, "the host sees all of it: {report}");
            let report = clean("supertuxkart-vulkan", &[&guards[..], &["--scrub"]].concat());
            assert!(report["dispatches"].as_u64() > Some(0), "{report}");
        }
    }
}

#[test]
fn small_traces_replay_whole_on_both_drivers() {
    for driver in drivers() {
        for trace in SMALL {
            clean(trace, &["--driver", driver]);
        }
    }
}

#[test]
fn large_traces_begin_well_on_both_drivers_and_the_fake_one() {
    for trace in LARGE {
        for driver in drivers() {
            clean(trace, &["--driver", driver, "--operations", "5000"]);
        }
        clean(trace, &["--no-driver", "--operations", "20000"]);
    }
    for driver in drivers() {
        // Its first 5,000 operations hold 1.6 GiB.
        clean(BLENDER, &["--driver", driver, "--operations", "5000", "--scale", "8"]);
    }
    clean(BLENDER, &["--no-driver", "--operations", "20000"]);
}

#[test]
fn rings_of_fences_serve_as_well_as_timeline_semaphores() {
    for driver in drivers() {
        clean("supertuxkart-vulkan", &["--driver", driver, "--fences", "--frames-in-flight", "3"]);
    }
    clean("supertuxkart-vulkan", &["--no-driver", "--fences"]);
}

#[test]
fn the_validation_layer_has_nothing_to_say() {
    for driver in drivers() {
        for more in [&["--operations", "6000"][..], &["--operations", "6000", "--fences"]] {
            let arguments = [&["--driver", driver, "--validation"], more].concat();
            clean("supertuxkart-vulkan", &arguments);
        }
    }
}

#[test]
fn an_early_free_is_reported_as_corruption_on_every_driver() {
    let trace = "supertuxkart-vulkan";
    for place in places() {
        let arguments = [&place[..], &["--operations", "6000"]].concat();
        clean(trace, &arguments);
        let broken = [&arguments[..], &["--break", "early-free"]].concat();
        let sentence = report(trace, &broken).expect_err("the fault went unseen");
        assert!(sentence.contains("corruption: "), "{sentence}");
    }
}

#[test]
fn frames_in_flight_bound_what_is_pending() {
    let pending = |frames| {
        let report = clean("vello-wgpu", &["--no-driver", "--frames-in-flight", frames]);
        report["peak_pending"].as_u64().unwrap()
    };
    let (short, long) = (pending("1"), pending("100"));
    assert!(short < long, "{short} bytes pending with one submit in flight, {long} with 100");
}

#[test]
fn recorded_topologies_take_a_trace_as_well() {
    for topology in ["Adreno (TM) 650", "geforce 920m", "Mali-G615", "RADV RENOIR"] {
        clean("warzone2100-vulkan", &["--no-driver", "--topology", topology]);
    }
}

#[test]
fn settings_are_compared_in_a_table() {
    let path = shipped("warzone2100-vulkan");
    let run = |more: &[&str]| {
        let output = start(&[&[path.to_str().unwrap(), "--no-driver"], more].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let few = ["--operations", "6000"];
    let table =
        run(&[&few[..], &["--block-size", "64M,1M-256M", "--frames-in-flight", "1,3"]].concat());
    for row in [
        "blocks of 64.0 MiB, 1 in flight",
        "blocks of 64.0 MiB, 3 in flight",
        "blocks of 1.0 MiB to 256.0 MiB, 1 in flight",
        "blocks of 1.0 MiB to 256.0 MiB, 3 in flight",
    ] {
        assert_eq!(table.matches(row).count(), 1, "{row} in {table}");
    }
    // One setting has a report, several have a line each.
    let lines = run(&[&few[..], &["--block-size", "16M,64M", "--json"]].concat());
    let reports: Vec<Value> = lines
        .lines()
        .filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok())
        .collect();
    let of = |at: usize, key: &str| reports[at][key].as_u64().unwrap();
    assert_eq!(reports.len(), 2);
    assert_eq!(of(0, "peak_live"), of(1, "peak_live"), "the program asks for the same");
    assert_eq!(of(1, "peak_reserved") % (64 << 20), 0, "blocks of 64 MiB alone");
    assert!(of(0, "driver_allocations") > of(1, "driver_allocations"));
    // Granularity and topologies change what is asked for; what does not fit is a row.
    let table = run(&[&few[..], &["--granularity", "1,64K"]].concat());
    assert!(table.contains("granularity 64.0 KiB") && table.contains("granularity 1 B"), "{table}");
    let topologies = ["--topology", "geforce 920m", "--topology", "RADV RENOIR", "--scale", "0.05"];
    let table = run(&[&few[..], &topologies].concat());
    assert!(table.contains("RADV RENOIR"), "{table}");
    assert!(table.contains("the trace has "), "it does not fit: {table}");
}

#[test]
fn a_replay_s_record_replays_to_the_same_figures() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let name = |ending: &str| folder.join(format!("replayed-{}.{ending}", std::process::id()));
    let (record, chrome) = (name("trace"), name("json"));
    let arguments = ["--no-driver", "--operations", "6000"];
    let files = ["--record", record.to_str().unwrap(), "--chrome", chrome.to_str().unwrap()];
    let first = clean("warzone2100-vulkan", &[&arguments[..], &files].concat());
    let text = std::fs::read_to_string(&record).unwrap();
    let output = start(&[record.to_str().unwrap(), "--no-driver", "--json"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let json = printed.lines().find_map(|line| Some(&line[line.find('{')?..])).unwrap();
    let second: Value = serde_json::from_str(json).unwrap();
    for figure in ["allocations", "peak_live", "peak_count"] {
        assert_eq!(first[figure], second[figure], "{figure}");
    }
    let trace: Value = serde_json::from_slice(&std::fs::read(&chrome).unwrap()).unwrap();
    assert!(trace["traceEvents"].as_array().unwrap().len() > 100);
    // Torn, it is refused by its line, and taken if that is said.
    let cut = &text[..text.len() / 2];
    std::fs::write(&record, cut).unwrap();
    let sentence = refusal(&[record.to_str().unwrap(), "--no-driver"]);
    assert!(sentence.contains(&format!("line {}", cut.lines().count())), "{sentence}");
    assert!(start(&[record.to_str().unwrap(), "--no-driver", "--torn"]).status.success());
    for path in [record, chrome] {
        std::fs::remove_file(path).unwrap();
    }
    let several = refusal(&["--no-driver", "--block-size", "1M,2M", "--record", "x"]);
    assert!(several.starts_with("--record and --chrome are for one trace"), "{several}");
}

#[test]
fn sizes_scale_and_operations_stop() {
    let whole = clean("warzone2100-vulkan", &["--no-driver"]);
    let half = clean("warzone2100-vulkan", &["--no-driver", "--scale", "2"]);
    let ratio = whole["peak_live"].as_f64().unwrap() / half["peak_live"].as_f64().unwrap();
    assert!((1.8..2.0).contains(&ratio), "alignment alone is not halved: {ratio}");
    let short = clean("warzone2100-vulkan", &["--no-driver", "--operations", "77"]);
    assert_eq!(short["operations"], 77);
}

#[test]
fn without_a_file_it_replays_a_shipped_one() {
    let output = start(&["--no-driver"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("warzone2100-vulkan on the fake driver"), "{text}");
    assert!(text.contains("footprint"), "{text}");
}

#[test]
fn bad_files_end_in_one_sentence() {
    assert!(refusal(&["no/such.trace", "--no-driver"]).starts_with("no/such.trace cannot be read"));
    let cases = [
        ("damaged", "a 0 16 16 b d\na 1 sixteen 16 b d\n", "line 2: an allocation reads"),
        ("unknown", "# text\na 0 16 16 b d\nf 7\n", "line 3: allocation 7 is freed but was never"),
        ("twice", "a 0 16 16 b d\nf 0\ns\nf 0\n", "line 4: allocation 0 is freed a second time"),
        ("nothing", "# text\n", "holds no operation"),
    ];
    for (name, lines, wanted) in cases {
        with_lines(name, lines, |path| {
            let sentence = refusal(&[path, "--no-driver"]);
            assert!(sentence.starts_with(path) && sentence.contains(wanted), "{sentence}");
        });
    }
}

#[test]
fn unknown_drivers_and_topologies_end_in_one_sentence() {
    let driver = refusal(&["--driver", "voodoo"]);
    assert!(driver.contains("no Vulkan device is called voodoo"), "{driver}");
    let topology = refusal(&["--no-driver", "--topology", "voodoo"]);
    assert_eq!(topology, "no recorded GPU is called voodoo");
}

#[test]
fn a_trace_larger_than_the_machine_is_refused_before_it_begins() {
    let path = shipped(BLENDER);
    for driver in drivers() {
        let sentence = refusal(&[path.to_str().unwrap(), "--driver", driver]);
        assert!(sentence.contains("5.2 GiB alive at a time"), "{sentence}");
        assert!(sentence.contains("--scale 3.5"), "{sentence}");
    }
    with_lines("petabyte", "a 0 1125899906842624 16 b d\n", |path| {
        let sentence = refusal(&[path, "--no-driver"]);
        assert!(sentence.contains("of 8.0 GiB there a replay takes at most 6.0 GiB"), "{sentence}");
    });
}

#[test]
fn bad_arguments_are_refused_by_name() {
    for arguments in [
        &["--scale", "0"][..],
        &["--scale", "nan"],
        &["--frames-in-flight", "0"],
        &["--operations", "many"],
        &["--topology", "Adreno"],
        &["--granularity", "64K"],
        &["--no-driver", "--granularity", "100"],
        &["--block-size", "64X"],
        &["--block-size", "64M-1M"],
        &["--block-size", "0"],
        &["--no-driver", "--driver", "lavapipe"],
        &["--break", "everything"],
    ] {
        let output = start(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("error: "), "{arguments:?}: {text}");
    }
}

#[test]
fn odd_sizes_and_shapes_replay_too() {
    let mut lines = String::new();
    for (id, size) in [1, 2, 3, 5, 63, 4097, 65_535, 65_537, 1_000_003].into_iter().enumerate() {
        for (turn, kind) in ["b d", "b u", "b r", "i d"].into_iter().enumerate() {
            lines += &format!("a {} {size} {} {kind}\n", id * 4 + turn, 1 << (turn * 4));
        }
    }
    lines += "s\nf 3\nf 1\nf 0\ns\n";
    with_lines("odd", &lines, |path| {
        for place in places() {
            let output = start(&[&[path], &place[..]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
}

#[test]
#[ignore = "deep: every shipped trace whole, two minutes"]
fn every_shipped_trace_replays_whole() {
    for trace in LARGE {
        clean(trace, &["--driver", "lavapipe"]);
        clean(trace, &["--driver", "lavapipe", "--fences", "--frames-in-flight", "3"]);
        clean(trace, &["--no-driver"]);
    }
    clean(BLENDER, &["--driver", "lavapipe", "--scale", "8"]);
    clean(BLENDER, &["--no-driver"]);
}

#[test]
#[ignore = "deep: 72 GB of allocations over the fake driver"]
fn memory_that_runs_out_is_taken_back_and_the_trace_goes_on() {
    // 72 GB are allocated, nothing is done before it is waited for, and 24 GiB are there.
    let report = clean("vello-wgpu", &["--no-driver", "--frames-in-flight", "1000000"]);
    assert!(report["peak_pending"].as_u64().unwrap() > 8 << 30, "{report}");
}
