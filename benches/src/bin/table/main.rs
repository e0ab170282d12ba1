//! Prints every figure of the suite as Markdown.
//!
//! `cargo run --release --bin table -- --quick` takes minutes; without `--quick` hours.

mod full;
mod instructions;
mod packing;
mod plots;
mod report;
mod timing;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use fencepost_benches::clock::Clock;
use fencepost_benches::contender::{Contender, contenders};
use fencepost_benches::footprint::arena_bytes;
use fencepost_benches::full::reserved::captured_streams;
use fencepost_benches::stream::Stream;
use fencepost_benches::workloads::{Workload, traces};

use plots::Point;
use report::count;

/// Measures fencepost's core and its peers side by side and prints the tables.
#[derive(Parser)]
struct Arguments {
    /// Shorter streams, fewer replays, and at most 10,000 live unless `--live` is given.
    #[arg(long)]
    quick: bool,
    /// Only these tables.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Table>,
    /// These live counts; by default 1k to 1M, and with `--quick` to 10k.
    #[arg(long, value_delimiter = ',')]
    live: Vec<usize>,
    /// Only workloads and traces whose name contains this.
    #[arg(long, default_value = "")]
    workload: String,
    /// Only subjects whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    subject: Vec<String>,
    /// Draws time and footprint against the live count, as SVG files in this folder.
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Prints nothing, and runs the subject once on the workload, for callgrind to count.
    #[arg(long, requires = "live")]
    loop_alone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Table {
    /// Nanoseconds per allocation and free.
    Time,
    /// Quantiles over single calls.
    Latency,
    /// Instructions per allocation and free.
    Instructions,
    /// The smallest arena, and the refusals in a tight one.
    Footprint,
    /// The smallest arena if frees come frames late.
    Deferral,
    /// The refusals in an arena that is nearly full.
    Refusals,
    /// Bytes of records per allocation.
    Metadata,
    /// What searches visit.
    Probes,
    /// Nanoseconds per allocation and free of device memory.
    Full,
    /// Device memory held on the captured streams.
    Reserved,
    /// The cost of a deferred free.
    Retire,
    /// Pairs per second by threads.
    Threads,
}

struct Suite {
    arguments: Arguments,
    clock: Clock,
    contenders: Vec<Box<dyn Contender>>,
    traces: Vec<Stream>,
    /// The points for the plots.
    points: RefCell<Vec<Point>>,
}

/// The seeds of every figure that is a median of three.
const SEEDS: [u64; 3] = [1, 2, 3];

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    let mut contenders = contenders();
    contenders.retain(|contender| {
        let wanted = &arguments.subject;
        wanted.is_empty() || wanted.iter().any(|name| contender.name().contains(name.as_str()))
    });
    if arguments.loop_alone {
        return instructions::run_alone(&arguments, &contenders);
    }
    let traces = match traces() {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.live.is_empty() {
        // The large live counts take most of the time.
        let live = [1_000, 10_000, 100_000, 1_000_000];
        arguments.live = live[..if arguments.quick { 2 } else { 4 }].to_vec();
    }
    let traces = traces.into_iter().filter(|trace| trace.name.contains(&arguments.workload));
    let traces = traces.collect();
    let points = RefCell::default();
    let suite = Suite { arguments, clock: Clock::calibrate(), contenders, traces, points };
    for &table in Table::value_variants() {
        if suite.arguments.only.is_empty() || suite.arguments.only.contains(&table) {
            let start = Instant::now();
            suite.print(table);
            eprintln!("{table:?}: {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    match suite.draw() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the plots: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Suite {
    fn print(&self, table: Table) {
        match table {
            Table::Time => self.time(),
            Table::Latency => self.latency(),
            Table::Instructions => self.instructions(),
            Table::Footprint => self.footprint(),
            Table::Deferral => self.deferral(),
            Table::Refusals => self.refusals(),
            Table::Metadata => self.metadata(),
            Table::Probes => self.probes(),
            Table::Full => self.full(),
            Table::Reserved => self.reserved(),
            Table::Retire => full::retire(self.arguments.quick, self.clock.tick),
            Table::Threads => full::threads(self.arguments.quick, self.clock.tick),
        }
    }

    /// The selected generated workloads.
    fn workloads(&self) -> impl Iterator<Item = Workload> + '_ {
        let wanted = |workload: &Workload| workload.name().contains(&self.arguments.workload);
        Workload::ALL.into_iter().filter(wanted)
    }

    /// A generated stream, short or long.
    fn stream(&self, workload: Workload, live: usize, seed: u64) -> Stream {
        let (least, most) =
            if self.arguments.quick { (100_000, 500_000) } else { (400_000, 4_000_000) };
        workload.stream(live, (4 * live).clamp(least, most), seed)
    }

    /// The footprint needs no long streams, but several seeds. Each row has its live count, which
    /// is 0 for traces.
    fn packing_streams(&self) -> Vec<(usize, String, Vec<Stream>)> {
        let live: &[usize] =
            if self.arguments.quick { &[1_000, 4_000] } else { &[1_000, 10_000, 100_000] };
        let mut rows = Vec::new();
        for workload in self.workloads() {
            for &live in live {
                let streams = SEEDS.map(|seed| workload.stream(live, 20 * live, seed));
                rows.push((live, format!("{} {}", workload.name(), count(live)), streams.into()));
            }
        }
        rows.extend(self.traces.iter().map(|trace| (0, trace.name.clone(), vec![trace.clone()])));
        rows
    }

    /// The contenders that are fast enough for a stream.
    fn able(&self, stream: &Stream) -> Vec<&dyn Contender> {
        let able = |contender: &&dyn Contender| stream.peak_live <= contender.largest_live();
        self.contenders.iter().map(AsRef::as_ref).filter(able).collect()
    }

    /// An arena in which all of them succeed on the stream, and the contenders that support it and
    /// were checked in it.
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
}
