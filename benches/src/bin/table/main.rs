//! Prints every figure of the suite as Markdown.
//!
//! `cargo run --release --bin table -- --quick` takes minutes; without `--quick` an hour.

mod full;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use fencepost_benches::clock::Clock;
use fencepost_benches::contender::{Contender, contender, contenders};
use fencepost_benches::footprint::arena_bytes;
use fencepost_benches::full::reserved::captured_streams;
use fencepost_benches::latency::{Quantiles, Records};
use fencepost_benches::race::race;
use fencepost_benches::refusals::Refusals;
use fencepost_benches::replay::segments;
use fencepost_benches::stream::Stream;
use fencepost_benches::subjects::{Counted, Ours};
use fencepost_benches::workloads::{Workload, traces};

/// Measures fencepost's core and its peers side by side and prints the tables.
#[derive(Parser)]
struct Arguments {
    /// Shorter streams, fewer replays, one seed.
    #[arg(long)]
    quick: bool,
    /// These tables alone.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Table>,
    /// These live counts.
    #[arg(long, value_delimiter = ',')]
    live: Vec<usize>,
    /// Only workloads and traces whose name contains this.
    #[arg(long, default_value = "")]
    workload: String,
    /// Only subjects whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    subject: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// Nanoseconds per allocation and free.
    Time,
    /// Quantiles over single calls.
    Latency,
    /// The smallest arena, and what is refused in a tight one.
    Footprint,
    /// The smallest arena when frees come frames late.
    Deferral,
    /// What is refused in an arena that is nearly full.
    Refusals,
    /// Bytes of records per allocation.
    Metadata,
    /// What searches visit.
    Probes,
    /// Nanoseconds per allocation and free of device memory.
    Full,
    /// Device memory held on the captured streams.
    Reserved,
    /// What a deferred end costs.
    Retire,
    /// Pairs per second by threads.
    Threads,
}

struct Suite {
    arguments: Arguments,
    clock: Clock,
    contenders: Vec<Box<dyn Contender>>,
    traces: Vec<Stream>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    let traces = match traces() {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.live.is_empty() {
        arguments.live = vec![1_000, 10_000, 100_000, 1_000_000];
    }
    let mut contenders = contenders();
    contenders.retain(|contender| {
        let wanted = &arguments.subject;
        wanted.is_empty() || wanted.iter().any(|name| contender.name().contains(name.as_str()))
    });
    let traces = traces.into_iter().filter(|trace| trace.name.contains(&arguments.workload));
    let traces = traces.collect();
    let suite = Suite { arguments, clock: Clock::calibrate(), contenders, traces };
    for &table in Table::value_variants() {
        if suite.arguments.only.is_empty() || suite.arguments.only.contains(&table) {
            suite.print(table);
        }
    }
    ExitCode::SUCCESS
}

impl Suite {
    fn print(&self, table: Table) {
        match table {
            Table::Time => self.time(),
            Table::Latency => self.latency(),
            Table::Footprint => self.footprint(),
            Table::Deferral => self.deferral(),
            Table::Refusals => self.refusals(),
            Table::Metadata => self.metadata(),
            Table::Probes => self.probes(),
            Table::Full => self.full(),
            Table::Reserved => self.reserved(),
            Table::Retire => full::retire(self.arguments.quick, self.clock.tick),
            Table::Threads => full::threads(self.clock.tick),
        }
    }

    /// The made workloads that were asked for.
    fn workloads(&self) -> impl Iterator<Item = Workload> + '_ {
        let wanted = |workload: &Workload| workload.name().contains(&self.arguments.workload);
        Workload::ALL.into_iter().filter(wanted)
    }

    /// A made stream, short or long.
    fn stream(&self, workload: Workload, live: usize, seed: u64) -> Stream {
        let (least, most) =
            if self.arguments.quick { (100_000, 1_000_000) } else { (400_000, 4_000_000) };
        workload.stream(live, (4 * live).clamp(least, most), seed)
    }

    /// The footprint needs no long runs, but several seeds.
    fn packing_streams(&self) -> Vec<(String, Vec<Stream>)> {
        let (live, seeds): (&[usize], _) =
            if self.arguments.quick { (&[4_000], 1) } else { (&[1_000, 10_000], 3) };
        let mut rows = Vec::new();
        for workload in self.workloads() {
            for &live in live {
                let streams = (1..=seeds).map(|seed| workload.stream(live, 20 * live, seed));
                rows.push((format!("{} {}", workload.name(), count(live)), streams.collect()));
            }
        }
        rows.extend(self.traces.iter().map(|trace| (trace.name.clone(), vec![trace.clone()])));
        rows
    }

    /// The contenders that are fast enough for a stream.
    fn able(&self, stream: &Stream) -> Vec<&dyn Contender> {
        let able = |contender: &&dyn Contender| stream.peak_live <= contender.largest_live();
        self.contenders.iter().map(AsRef::as_ref).filter(able).collect()
    }

    /// An arena in which all of them run the stream, and those who can have it and were checked in it.
    fn checked<'a>(
        &self,
        stream: &Stream,
        able: Vec<&'a dyn Contender>,
    ) -> (u64, Vec<&'a dyn Contender>) {
        let mut largest = (0, Vec::new());
        for factor in [1.5, 2.0, 3.0, 4.0, 8.0] {
            let bytes = arena_bytes(stream, factor);
            let mut passed = Vec::new();
            let mut refused = false;
            for &contender in &able {
                match contender.check(stream, bytes) {
                    None => {}
                    Some(Ok(outcome)) if outcome.refused == 0 => passed.push(contender),
                    Some(Ok(_)) => refused = true,
                    Some(Err(fault)) => {
                        panic!("{} is wrong on {}: {fault}", contender.name(), stream.name)
                    }
                }
            }
            largest = (bytes, passed);
            if !refused {
                break;
            }
        }
        largest
    }

    fn header(&self, title: &str, note: &str, more: &[&str]) {
        println!("\n### {title}\n{note}\n");
        let names = self.contenders.iter().map(|contender| contender.name());
        let columns: Vec<&str> = names.chain(more.iter().copied()).collect();
        println!("| | {} |", columns.join(" | "));
        println!("|---|{}", "---|".repeat(columns.len()));
    }

    /// A row with a cell for each contender; those that are missing get a dash.
    fn row(&self, name: &str, cells: &[(&str, String)], more: &[String]) {
        let cell = |contender: &dyn Contender| {
            let found = cells.iter().find(|(name, _)| *name == contender.name());
            found.map_or("–", |(_, text)| text.as_str()).to_owned()
        };
        let all = self.contenders.iter().map(AsRef::as_ref);
        let cells: Vec<String> = all.map(cell).chain(more.iter().cloned()).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }

    /// Our figure over the best rival's, singly and batched. Lower is better.
    fn against_rivals(&self, figures: &[(&str, f64)], references_too: bool) -> Vec<String> {
        let figure = |contender: &dyn Contender| {
            figures.iter().find(|(name, _)| *name == contender.name()).map(|&(_, figure)| figure)
        };
        let is_ours = |contender: &&dyn Contender| contender.name().starts_with("fencepost");
        let all = || self.contenders.iter().map(AsRef::as_ref);
        let rivals = all()
            .filter(|contender| !is_ours(contender))
            .filter(|contender| references_too || !contender.is_reference());
        let best = rivals.filter_map(figure).min_by(f64::total_cmp);
        let ratio =
            |ours: f64| best.map_or("–".to_owned(), |best| format!("**{:.2}**", ours / best));
        all().filter(is_ours).map(|ours| figure(ours).map_or("–".to_owned(), ratio)).collect()
    }

    fn full(&self) {
        let mut rows = Vec::new();
        for workload in [Workload::Uniform, Workload::Renderer] {
            if workload.name().contains(&self.arguments.workload) {
                let live = self.arguments.live.iter().filter(|&&live| live <= 100_000);
                rows.extend(live.map(|&live| {
                    let name = format!("{} {}", workload.name(), count(live));
                    (name, self.stream(workload, live, 1))
                }));
            }
        }
        full::time(&rows, if self.arguments.quick { 5 } else { 15 }, self.clock.tick);
    }

    fn reserved(&self) {
        let mut streams = captured_streams().expect("read before");
        streams.retain(|stream| stream.name().contains(&self.arguments.workload));
        full::reserved_memory(&streams);
    }

    fn time(&self) {
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
                self.time_row(&format!("{} {}", workload.name(), count(live)), &stream);
            }
        }
        for trace in &self.traces {
            self.time_row(&trace.name, trace);
        }
    }

    fn time_row(&self, name: &str, stream: &Stream) {
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
            (true, _) => 9,
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
        let pairs: Vec<(&str, f64)> =
            names.iter().zip(&times).map(|(&name, times)| (name, times.pair)).collect();
        self.row(name, &cells, &self.against_rivals(&pairs, false));
    }

    fn latency(&self) {
        self.header(
            "Single calls",
            "ns, p50 / p99 / p99.9 / max over the calls, each call the shortest of its replays, reading \
             the clock taken off.",
            &[],
        );
        let replays = if self.arguments.quick { 5 } else { 9 };
        for workload in [Workload::Uniform, Workload::Renderer] {
            if !workload.name().contains(&self.arguments.workload) {
                continue;
            }
            for &live in &self.arguments.live {
                let stream = self.stream(workload, live, 1);
                // In batches no call is alone.
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

    /// The median over the streams of what a contender says of each.
    fn median_of(
        &self,
        streams: &[Stream],
        figure: impl Fn(&dyn Contender, &Stream) -> Option<f64>,
    ) -> Vec<(&'static str, f64)> {
        let of = |contender: &&dyn Contender| {
            let mut figures: Vec<f64> =
                streams.iter().filter_map(|stream| figure(*contender, stream)).collect();
            figures.sort_by(f64::total_cmp);
            let middle = figures.get(figures.len().checked_sub(1)? / 2)?;
            (figures.len() == streams.len()).then_some((contender.name(), *middle))
        };
        self.able(&streams[0]).iter().filter_map(of).collect()
    }

    fn footprint(&self) {
        self.header(
            "Footprint",
            "The smallest arena in which the stream runs, over its peak of live bytes; in brackets the \
             allocations refused at 1.05 times the peak. The last column: the better of ours over the \
             best of all.",
            &["ours / best"],
        );
        for (name, streams) in self.packing_streams() {
            let smallest = self.median_of(&streams, |contender, stream| contender.smallest(stream));
            let refused = self
                .median_of(&streams, |contender, stream| Some(contender.refused(stream)? as f64));
            let cells: Vec<(&str, String)> = smallest
                .iter()
                .map(|&(name, smallest)| {
                    let refused = refused.iter().find(|(other, _)| *other == name);
                    let refused = refused.map_or(0.0, |&(_, refused)| refused);
                    (name, format!("{smallest:.3} ({refused:.0})"))
                })
                .collect();
            let ratios = self.against_rivals(&smallest, true);
            self.row(&name, &cells, &ratios[..ratios.len().min(1)]);
        }
    }

    fn deferral(&self) {
        self.header(
            "Footprint with frames in flight",
            "The smallest arena over the peak of live bytes, when what is freed comes back so many \
             frames later. Live does not count what is held back.",
            &["ours / best"],
        );
        let live = if self.arguments.quick { 2_000 } else { 10_000 };
        let made = self.workloads().filter(|workload| {
            matches!(workload, Workload::UniformFrames | Workload::Renderer | Workload::Streaming)
        });
        let made = made.map(|workload| workload.stream(live, 20 * live, 1));
        let traces = self.traces.iter().filter(|trace| {
            trace.name.starts_with("minetest") || trace.name.starts_with("warzone")
        });
        for stream in made.chain(traces.cloned()) {
            for frames in [0, 1, 2, 3, 8] {
                let deferred = [stream.deferred(frames)];
                let smallest =
                    self.median_of(&deferred, |contender, stream| contender.smallest(stream));
                let cells: Vec<(&str, String)> =
                    smallest.iter().map(|&(name, factor)| (name, format!("{factor:.3}"))).collect();
                let ratios = self.against_rivals(&smallest, true);
                let name = format!("{}, {frames} in flight", stream.name);
                self.row(&name, &cells, &ratios[..ratios.len().min(1)]);
            }
        }
    }

    fn refusals(&self) {
        self.header(
            "Refusals in a full arena",
            "Allocations of 256 B to 128 KiB, 30 in 100 aligned to 256 B to 4 KiB, in an arena kept so full: \
             refused although a hole has room / refused at all. Median of three seeds.",
            &[],
        );
        let allocations = if self.arguments.quick { 50_000 } else { 500_000 };
        for percent in [90, 97] {
            let refused = |contender: &dyn Contender| {
                let mut seeds: Vec<Refusals> = (1..=3)
                    .filter_map(|seed| contender.refusals(percent, allocations, seed))
                    .collect();
                seeds.sort_by_key(|refused| refused.with_room);
                let middle = seeds.get(1)?;
                Some((contender.name(), format!("{} / {}", middle.with_room, middle.all)))
            };
            let able = self.contenders.iter().filter(|contender| !contender.is_batched());
            let able = able.filter(|contender| contender.largest_live() > 10_000);
            let cells: Vec<_> = able.filter_map(|contender| refused(contender.as_ref())).collect();
            self.row(&format!("{percent} % full, of {}", count(allocations)), &cells, &[]);
        }
    }

    fn metadata(&self) {
        self.header(
            "Records",
            "Bytes on the host's heap for each live allocation, after churn; what malloc adds to each \
             piece is not counted, and neither is VMA. In-band records are in the footprint instead.",
            &[],
        );
        for &live in self.arguments.live.iter().filter(|&&live| live <= 100_000) {
            for workload in [Workload::Uniform, Workload::Renderer] {
                let streams = [self.stream(workload, live, 1)];
                let figure = |contender: &dyn Contender, stream: &Stream| {
                    contender.metadata(stream, arena_bytes(stream, 1.5))
                };
                let cells: Vec<(&str, String)> = self
                    .median_of(&streams, figure)
                    .iter()
                    .map(|&(name, bytes)| (name, format!("{bytes:.0}")))
                    .collect();
                self.row(&format!("{} {}", workload.name(), count(live)), &cells, &[]);
            }
        }
    }

    fn probes(&self) {
        println!("\n### Visits\nBins and free regions that one allocation of ours visits.\n");
        println!("| | mean | most |\n|---|---|---|");
        let counted = contender::<Ours<Counted>>();
        for (name, streams) in self.packing_streams() {
            let stream = &streams[0];
            for factor in [1.5, 1.05] {
                let bytes = arena_bytes(stream, factor);
                if let Some(probes) = counted.probes(stream, bytes) {
                    let mean = probes.sum as f64 / probes.allocations as f64;
                    println!("| {name}, arena {factor} × peak | {mean:.2} | {} |", probes.most);
                }
            }
        }
    }
}

fn quantiles(times: Quantiles) -> String {
    let Quantiles { p50, p99, p999, most } = times;
    format!("{p50:.0} / {p99:.0} / {p999:.0} / {most:.0}")
}

/// 10k, 1M.
fn count(live: usize) -> String {
    match live {
        1_000_000.. => format!("{}M", live / 1_000_000),
        1_000.. => format!("{}k", live / 1_000),
        _ => live.to_string(),
    }
}
