//! The tables of space: footprints (also with frames in flight), refusals, records and visits.

use fencepost_benches::contender::{Contender, contender};
use fencepost_benches::footprint::arena_bytes;
use fencepost_benches::refusals::{Mix, Refusals};
use fencepost_benches::stream::Stream;
use fencepost_benches::subjects::{Anywhere, Counted, Ours};
use fencepost_benches::workloads::Workload;

use super::plots::Figure;
use super::report::count;
use super::{SEEDS, Suite};

impl Suite {
    pub(super) fn footprint(&self) {
        self.header(
            "Footprint",
            "The smallest arena in which the stream runs, over its peak of live bytes; in brackets the \
             allocations refused at 1.05 times the peak. Median of three seeds. The last column: ours over the \
             best of all.",
            &["ours / best"],
        );
        for (live, name, streams) in self.packing_streams() {
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
            if live > 0 {
                self.point(Figure::Footprint, &streams[0].name, live, &smallest);
            }
        }
    }

    pub(super) fn deferral(&self) {
        self.header(
            "Footprint with frames in flight",
            "The smallest arena over the peak of live bytes, when what is freed comes back so many \
             frames later, for all by the same queue. Live does not count what is held back. Median of \
             three seeds.",
            &["ours / best"],
        );
        let (live, steps) = if self.arguments.quick { (1_000, 10_000) } else { (10_000, 200_000) };
        let made = self.workloads().map(|workload| {
            (
                workload.name().to_owned(),
                SEEDS.map(|seed| workload.stream(live, steps, seed)).to_vec(),
            )
        });
        let mut rows: Vec<(String, Vec<Stream>)> = made.collect();
        let traces = self.traces.iter().map(|trace| (trace.name.clone(), vec![trace.clone()]));
        let short = |(_, streams): &(String, Vec<Stream>)| streams[0].steps.len() < 50_000;
        rows.extend(traces.filter(|row| !self.arguments.quick || short(row)));
        for (name, streams) in rows {
            for frames in [0, 1, 2, 3, 8] {
                let deferred: Vec<Stream> =
                    streams.iter().map(|stream| stream.deferred(frames)).collect();
                let smallest =
                    self.median_of(&deferred, |contender, stream| contender.smallest(stream));
                let cells: Vec<(&str, String)> =
                    smallest.iter().map(|&(name, factor)| (name, format!("{factor:.3}"))).collect();
                let ratios = self.against_rivals(&smallest, true);
                let name = format!("{name}, {frames} in flight");
                self.row(&name, &cells, &ratios[..ratios.len().min(1)]);
            }
        }
    }

    pub(super) fn refusals(&self) {
        self.header(
            "Refusals in a full arena",
            "Allocations in an arena kept so full: refused although a hole has room / refused at all. Median of \
             three seeds. The last column: by `allocate`, then by `allocate_anywhere`.",
            &[contender::<Ours<Anywhere>>().name()],
        );
        let allocations = if self.arguments.quick { 10_000 } else { 500_000 };
        let able = |contender: &&dyn Contender| {
            !contender.is_batched() && contender.largest_live() > 10_000
        };
        let able: Vec<&dyn Contender> =
            self.contenders.iter().map(AsRef::as_ref).filter(able).collect();
        for (mix, percent) in Mix::ALL.into_iter().flat_map(|mix| [(mix, 90), (mix, 97)]) {
            let refused = |contender: &&dyn Contender| {
                let seeds = SEEDS.map(|seed| contender.refusals(mix, percent, allocations, seed));
                let mut seeds: Vec<Refusals> = seeds.into_iter().collect::<Option<_>>()?;
                seeds.sort_by_key(|refused| refused.with_room);
                let middle = seeds[seeds.len() / 2];
                Some((contender.name(), format!("{} / {}", middle.with_room, middle.all)))
            };
            let cells: Vec<_> = able.iter().filter_map(refused).collect();
            let anywhere = contender::<Ours<Anywhere>>();
            let more = refused(&&*anywhere).map(|(_, cell)| cell);
            let name = format!("{percent} % full, {} of {}", count(allocations), mix.name);
            self.row(&name, &cells, more.as_slice());
        }
    }

    pub(super) fn metadata(&self) {
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

    pub(super) fn probes(&self) {
        println!("\n### Visits\nBins and free regions that one allocation of ours visits.\n");
        println!("| | mean | most |\n|---|---|---|");
        let counted = contender::<Ours<Counted>>();
        for (_, name, streams) in self.packing_streams() {
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
