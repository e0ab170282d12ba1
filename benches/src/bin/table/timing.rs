//! The tables of time: pairs, and single calls.

use fencepost_benches::latency::{Quantiles, Records};
use fencepost_benches::race::race;
use fencepost_benches::replay::segments;
use fencepost_benches::stream::Stream;
use fencepost_benches::workloads::Workload;

use super::Suite;
use super::plots::Figure;
use super::report::count;

impl Suite {
    pub(super) fn time(&self) {
        let ours = self.contenders.iter().filter(|c| c.name().starts_with("fencepost"));
        let ratios: Vec<String> = ours.map(|ours| format!("{} / fastest", ours.name())).collect();
        self.header(
            "Time",
            "ns per pair of allocate and free; in brackets ns per allocate and per free, where the \
             workload does enough of each in a row to tell them apart. All replay the stream in turn; medians over the \
             replays. The arena is 1.5 times the peak, or as much larger as \
             the least able needs.",
            &ratios.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        for workload in self.workloads() {
            for &live in &self.arguments.live {
                let stream = self.stream(workload, live, 1);
                let pairs = self.time_row(&format!("{} {}", workload.name(), count(live)), &stream);
                self.point(Figure::Time, workload.name(), live, &pairs);
            }
        }
        for trace in &self.traces {
            self.time_row(&trace.name, trace);
        }
    }

    pub(super) fn time_row(&self, name: &str, stream: &Stream) -> Vec<(&'static str, f64)> {
        let mut able = self.able(stream);
        able.retain(|contender| !(self.arguments.quick && contender.is_reference()));
        let (bytes, passed) = self.checked(stream, able);
        let mut names = Vec::new();
        let mut lanes = Vec::new();
        for contender in passed {
            if let Some(lane) = contender.lane(stream, bytes) {
                names.push(contender.name());
                lanes.push(lane);
            }
        }
        let replays = match (self.arguments.quick, stream.peak_live) {
            (true, 500_000..) => 3,
            (true, _) => 7,
            (false, 500_000..) => 7,
            (false, _) => 21,
        };
        let measured = stream.steps.len() - stream.steady;
        let segments = segments(stream, (measured / 64).max(1_024));
        let times = race(stream, &segments, &mut lanes, replays, self.clock.tick);
        let cells: Vec<(&str, String)> = names
            .iter()
            .zip(&times)
            .map(|(&name, times)| match (times.allocate, times.free) {
                (Some(allocate), Some(free)) => {
                    (name, format!("{:.0} ({allocate:.0} + {free:.0})", times.pair))
                }
                _ => (name, format!("{:.0}", times.pair)),
            })
            .collect();
        let pairs: Vec<(&'static str, f64)> =
            names.iter().zip(&times).map(|(&name, times)| (name, times.pair)).collect();
        self.row(name, &cells, &self.against_rivals(&pairs, false));
        pairs
    }

    pub(super) fn latency(&self) {
        self.header(
            "Single calls",
            "ns, p50 / p99 / p99.9 / max over the calls, each call the shortest of its replays, reading \
             the clock taken off.",
            &[],
        );
        let replays = if self.arguments.quick { 3 } else { 9 };
        for workload in [Workload::Uniform, Workload::Renderer] {
            if !workload.name().contains(&self.arguments.workload) {
                continue;
            }
            for &live in &self.arguments.live {
                let stream = self.stream(workload, live, 1);
                // In batches no call is timed alone.
                let mut able = self.able(&stream);
                able.retain(|contender| !contender.is_batched() && !contender.is_reference());
                let (bytes, passed) = self.checked(&stream, able);
                for (records, label) in
                    [(Records::Before, ""), (Records::OnDemand, ", records on demand")]
                {
                    let (mut allocate, mut free) = (Vec::new(), Vec::new());
                    for contender in &passed {
                        let latency =
                            contender.latency(&stream, bytes, replays, records, self.clock);
                        if let Some(latency) = latency {
                            allocate.push((contender.name(), quantiles(latency.allocate)));
                            free.push((contender.name(), quantiles(latency.free)));
                        }
                    }
                    let name = format!("{} {}{label}", workload.name(), count(live));
                    self.row(&format!("{name}, allocate"), &allocate, &[]);
                    self.row(&format!("{name}, free"), &free, &[]);
                }
            }
        }
    }
}

fn quantiles(times: Quantiles) -> String {
    let Quantiles { p50, p99, p999, most } = times;
    format!("{p50:.0} / {p99:.0} / {p999:.0} / {most:.0}")
}
