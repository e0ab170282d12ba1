//! Converts a record to Chrome's trace events, which Perfetto and `chrome://tracing` display.

use std::collections::BTreeMap;

use serde::Serialize;

use super::history::Moment;
use crate::record::{Mark, Record};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    trace_events: Vec<Event>,
    display_time_unit: &'static str,
}

/// One event. `ph` is its kind: counter, slice, instant, or name of a track.
#[derive(Serialize)]
struct Event {
    name: String,
    ph: &'static str,
    /// Microseconds.
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: u32,
    tid: u32,
    /// An instant event applies to the whole process.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    args: Arguments,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Arguments {
    Name { name: String },
    Memory { live: u64, pending: u64, free: u64 },
    Count { allocations: u64 },
    Values { first: u64, last: u64 },
    Lost { events: u64 },
}

/// The work of a timeline that is in flight.
#[derive(Default)]
struct Track {
    /// The values that are submitted and not yet passed, each with its time.
    out: Vec<(u64, f64)>,
    /// The time at which the GPU was last observed to pass a value.
    free_at: f64,
}

const PROCESS: u32 = 1;

impl Record {
    /// Returns the record as JSON in the format of Chrome's trace events: a counter for each heap
    /// (live, pending, free), a counter of live allocations, and a track for each timeline that
    /// shows the GPU's work. Open it in Perfetto.
    ///
    /// Times are known only at collects. Events between two of them are distributed evenly, and the
    /// GPU passes a point when a collect has observed it.
    pub fn to_chrome_trace(&self) -> String {
        let trace = Trace { trace_events: self.events(), display_time_unit: "ms" };
        // Every key is a string, and every number finite.
        serde_json::to_string(&trace).unwrap_or_default()
    }

    fn events(&self) -> Vec<Event> {
        let mut events = vec![named("process_name", 0, "fencepost".to_owned())];
        let mut types = BTreeMap::new();
        let mut tracks: BTreeMap<u32, Track> = BTreeMap::new();
        let mut alive = Alive { record: self, operations: 0, count: 0 };
        let mut since = 0.0;
        // The marks up to each time.
        for of_frame in self.marks().split_inclusive(|(_, mark)| matches!(mark, Mark::Time { .. }))
        {
            let Some(&(_, Mark::Time { microseconds })) = of_frame.last() else { break };
            let until = microseconds as f64;
            let pieces = of_frame.len() as f64;
            for (number, &(_, mark)) in of_frame.iter().enumerate() {
                let at = since + (until - since) * (number as f64 + 1.0) / pieces;
                match mark {
                    Mark::Submitted { timeline, value } => {
                        let track = tracks.entry(timeline).or_insert_with(|| {
                            events.push(named(
                                "thread_name",
                                timeline + 1,
                                format!("timeline {timeline}"),
                            ));
                            Track::default()
                        });
                        track.out.push((value, at));
                    }
                    Mark::Reached { timeline, value } => {
                        let track = tracks.entry(timeline).or_default();
                        events.extend(track.pass(timeline, value, until));
                    }
                    Mark::Memory { memory_type, sample } => {
                        types.insert(memory_type, sample);
                    }
                    Mark::Lost { events: lost } => events.push(Event {
                        ph: "i",
                        scope: Some("p"),
                        ..event(format!("{lost} events lost"), at, Arguments::Lost { events: lost })
                    }),
                    Mark::Time { .. } => {}
                }
            }
            let mut heaps: BTreeMap<u32, Moment> = BTreeMap::new();
            for (&memory_type, sample) in &types {
                let heap = self.heap_of(memory_type).unwrap_or(0);
                heaps.entry(heap).or_default().add(sample);
            }
            for (heap, moment) in heaps {
                let Moment { live, pending, free, .. } = moment;
                let memory = Arguments::Memory { live, pending, free };
                events.push(event(format!("heap {heap}, bytes"), until, memory));
            }
            let allocations = alive.after(of_frame.last().map_or(0, |&(before, _)| before));
            let count = Arguments::Count { allocations };
            events.push(event("allocations".to_owned(), until, count));
            since = until;
        }
        events
    }
}

impl Track {
    /// The GPU was observed to have passed a value: adds a slice from the earliest time at which it
    /// could have begun.
    fn pass(&mut self, timeline: u32, value: u64, at: f64) -> Option<Event> {
        let passed = self.out.iter().take_while(|&&(submitted, _)| submitted <= value).count();
        let first = *self.out.first().filter(|_| passed > 0)?;
        self.out.drain(..passed);
        let begin = first.1.max(self.free_at);
        self.free_at = at;
        let values = Arguments::Values { first: first.0, last: value };
        Some(Event {
            ph: "X",
            dur: Some(at - begin),
            tid: timeline + 1,
            ..event(format!("to {value}"), begin, values)
        })
    }
}

/// Counts live allocations, operation by operation.
struct Alive<'a> {
    record: &'a Record,
    operations: usize,
    count: u64,
}

impl Alive<'_> {
    /// The number of live allocations after this many operations, which must not decrease from call
    /// to call.
    fn after(&mut self, operations: usize) -> u64 {
        use crate::record::Operation::{Allocate, Free};
        for operation in self.record.operations().iter().take(operations).skip(self.operations) {
            match operation {
                Allocate(_) => self.count += 1,
                Free(_) => self.count -= 1,
                _ => {}
            }
        }
        self.operations = operations;
        self.count
    }
}

fn event(name: String, ts: f64, args: Arguments) -> Event {
    Event { name, ph: "C", ts, dur: None, pid: PROCESS, tid: 0, scope: None, args }
}

fn named(what: &str, tid: u32, name: String) -> Event {
    Event { ph: "M", tid, ..event(what.to_owned(), 0.0, Arguments::Name { name }) }
}
