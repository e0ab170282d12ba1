//! What is made from a record: a time line, and a trace for Perfetto. Compared with golden files,
//! and checked against a restatement of the format.

use std::{fs, path::Path};

use fencepost::record::{Mark, Record};
use serde_json::{Value, json};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn record() -> Record {
    Record::parse(&fs::read_to_string(folder().join("record.trace")).unwrap()).unwrap()
}

fn golden(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var_os("FENCEPOST_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} differs; FENCEPOST_BLESS=1 writes it anew");
}

#[test]
fn moments_are_the_sums_over_memory_types() {
    let moments = record().moments();
    let told: Vec<_> =
        moments.iter().map(|m| (m.microseconds, m.reserved, m.live, m.pending, m.blocks)).collect();
    let both = (4 << 20) + (64 << 10);
    assert_eq!(told[0], (1000, both, 1_052_672, 0, 2));
    assert_eq!(told[1], (17_000, both, 2_097_664, 1_052_672, 2));
    assert_eq!(told[3], (50_000, 0, 0, 0, 0));
    // 1 MiB of 2 MiB free in one type, and all free bytes in one range in the other.
    let scattered = moments[2].fragmentation();
    assert!((scattered - (1.0 - 1_110_016.0 / 2_161_664.0)).abs() < 1e-3, "{scattered}");
    assert_eq!(moments[3].fragmentation(), 0.0);
    assert!(Record::parse("a 0 16 16 b d\ns\n").unwrap().moments().is_empty());
}

#[test]
fn the_time_line_is_drawn_and_loses_no_peak() {
    let picture = record().to_svg();
    for kind in ["buffer", "pending", "curve", "scatter"] {
        assert!(picture.contains(&format!("class=\"{kind}\"")), "{kind}");
    }
    assert!(picture.contains("0.017 s: 2 MiB live, 1 MiB pending, 4 MiB reserved in 2 blocks"));
    golden("timeline.svg", &picture);
    // A peak of one moment among very many, and a size that does not grow with them.
    let mut text = String::new();
    for time in 0..100_000 {
        let live = if time == 61_803 { 7_u64 << 30 } else { 1 << 20 };
        text += &format!("m 0 1 {} {live} 0 0\nt {time} 0 0 0\n", 8_u64 << 30);
    }
    let long = Record::parse(&text).unwrap().to_svg();
    let flat =
        Record::parse(&text.replace(&(7_u64 << 30).to_string(), "1048576")).unwrap().to_svg();
    assert!(long.len() < 60_000, "{} bytes", long.len());
    assert_ne!(long, flat, "the peak is there");
    assert!(Record::default().to_svg().contains("Over time"), "of nothing, a frame");
}

/// Chrome's trace event format, as far as Perfetto needs it.
mod form {
    use std::collections::HashMap;

    use serde_json::Value;

    fn number(event: &Value, key: &str) -> Result<f64, String> {
        event[key].as_f64().filter(|n| *n >= 0.0).ok_or_else(|| format!("{key} of {event}"))
    }

    pub(crate) fn check(trace: &Value) -> Result<(), String> {
        let events = trace["traceEvents"].as_array().ok_or("no list of events")?;
        match trace["displayTimeUnit"].as_str() {
            Some("ms" | "ns") => {}
            other => return Err(format!("the unit of time is {other:?}")),
        }
        let mut ends: HashMap<u64, f64> = HashMap::new();
        let mut counters: HashMap<&str, f64> = HashMap::new();
        for event in events {
            let name = event["name"].as_str().ok_or_else(|| format!("no name: {event}"))?;
            let begin = number(event, "ts")?;
            number(event, "pid")?;
            let track = number(event, "tid")? as u64;
            let arguments = event["args"].as_object().ok_or_else(|| format!("no args: {event}"))?;
            match event["ph"].as_str() {
                Some("M") if ["process_name", "thread_name"].contains(&name) => {
                    arguments["name"].as_str().ok_or("a track without a name")?;
                }
                Some("C") => {
                    if arguments.is_empty() || !arguments.values().all(Value::is_u64) {
                        return Err(format!("a counter of other than numbers: {event}"));
                    }
                    if counters.insert(name, begin).is_some_and(|last| last > begin) {
                        return Err(format!("{name} goes back in time"));
                    }
                }
                // Slices of one track lie side by side or inside each other; ours side by side.
                Some("X") => {
                    let end = begin + number(event, "dur")?;
                    if ends.insert(track, end).is_some_and(|last| last > begin) {
                        return Err(format!("slices of track {track} overlap"));
                    }
                }
                Some("i") if ["g", "p", "t"].contains(&event["s"].as_str().unwrap_or_default()) => {
                }
                other => return Err(format!("an event of kind {other:?}: {event}")),
            }
        }
        Ok(())
    }
}

#[test]
fn the_trace_has_the_form_that_perfetto_reads() {
    let text = record().to_chrome_trace();
    let trace: Value = serde_json::from_str(&text).unwrap();
    form::check(&trace).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |ph: &'static str, name: &'static str| {
        events.iter().filter(move |event| event["ph"] == ph && event["name"] == name)
    };
    assert_eq!(of("M", "thread_name").count(), 2, "a track for each timeline");
    assert_eq!(of("C", "heap 0, bytes").count(), 4);
    let second = of("C", "heap 1, bytes").nth(1).unwrap();
    assert_eq!(second["args"], json!({"live": 512, "pending": 4096, "free": 65536 - 4608}));
    let counts: Vec<_> = of("C", "allocations").map(|e| e["args"]["allocations"].clone()).collect();
    assert_eq!(counts, [2, 2, 2, 0]);
    assert_eq!(of("X", "to 7").next().unwrap()["ts"].as_f64().unwrap() as u64 / 1000, 21);
    assert_eq!(of("i", "3 events lost").count(), 1);
    let lost = |(_, mark): &(usize, Mark)| matches!(mark, Mark::Lost { events: 3 });
    assert!(record().marks().iter().any(lost));
    golden("perfetto.json", &text);
}

/// The control: each damage is found.
#[test]
fn a_trace_of_another_form_is_refused() {
    let trace: Value = serde_json::from_str(&record().to_chrome_trace()).unwrap();
    let place = |ph: &str| {
        let events = trace["traceEvents"].as_array().unwrap();
        events.iter().position(|event| event["ph"] == ph).unwrap()
    };
    let (slice, counter) = (place("X"), place("C"));
    let damages: [(usize, &str, Value); 8] = [
        (slice, "ph", json!("B")),
        (slice, "dur", json!(1e9)),
        (slice, "dur", json!("long")),
        (slice, "name", Value::Null),
        (counter, "args", json!({"live": "many"})),
        (counter, "args", json!({})),
        (counter, "ts", json!(-1)),
        (counter, "ts", json!(1e12)),
    ];
    for (event, key, damage) in damages {
        let mut broken = trace.clone();
        broken["traceEvents"][event][key] = damage.clone();
        assert!(form::check(&broken).is_err(), "{key} = {damage}");
    }
    let mut unit = trace.clone();
    unit["displayTimeUnit"] = json!("hours");
    assert!(form::check(&unit).is_err());
}
