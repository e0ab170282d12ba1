//! The search is O(1): it visits a bounded number of bins and regions, however full the block.

#[path = "support/random.rs"]
mod random;

use fencepost::tlsf::{Config, Key, Probes, Tlsf};
use random::{Random, fresh_seed};

/// The most that one search visited, and what all of them did.
#[derive(Default)]
struct Seen {
    most: Probes,
    all: Probes,
    searches: u64,
}

impl Seen {
    /// An allocation, counted.
    fn allocate(&mut self, tlsf: &mut Tlsf, size: u64, alignment: u64) -> Option<Key> {
        let mut probes = Probes::default();
        let placed = tlsf.allocate_counted(size, alignment, &mut probes);
        self.searches += 1;
        self.most.bins = self.most.bins.max(probes.bins);
        self.most.nodes = self.most.nodes.max(probes.nodes);
        self.all.bins += probes.bins;
        self.all.nodes += probes.nodes;
        assert!(probes.bins <= Probes::MAX_BINS, "{probes:?}");
        assert!(probes.nodes <= Probes::MAX_NODES, "{probes:?}");
        placed.ok().map(|placed| placed.key)
    }
}

/// What requests look like.
#[derive(Clone, Copy, Debug)]
struct Mix {
    granule: u64,
    /// Sizes are multiples of it.
    multiple: u64,
    alignments: &'static [u64],
}

const MIXES: [Mix; 4] = [
    Mix { granule: 256, multiple: 256, alignments: &[256] },
    // What lavapipe asks for, and SwiftShader: sizes are not rounded.
    Mix { granule: 64, multiple: 1, alignments: &[64] },
    Mix { granule: 16, multiple: 1, alignments: &[16, 256] },
    Mix { granule: 64, multiple: 1, alignments: &[64, 256, 4096, 64 << 10] },
];

/// Random allocations and frees in 256 MiB, kept at `fill` per cent.
fn churn(seed: u64, fill: u64, mix: Mix, steps: u64) -> Seen {
    let Mix { granule, multiple, alignments } = mix;
    let size = 256 << 20;
    let mut tlsf = Tlsf::new(&Config::new(size, granule)).unwrap();
    let mut random = Random::new(seed);
    let mut seen = Seen::default();
    let mut keys: Vec<Key> = Vec::new();
    for _ in 0..steps {
        if tlsf.used_bytes() < size / 100 * fill {
            let bytes = random.log_uniform(256 << 10).next_multiple_of(multiple);
            let alignment = alignments[random.below(alignments.len() as u64) as usize];
            if let Some(key) = seen.allocate(&mut tlsf, bytes, alignment) {
                keys.push(key);
                continue;
            }
        }
        let key = keys.swap_remove(random.below(keys.len() as u64) as usize);
        tlsf.free(key).unwrap();
    }
    tlsf.check().unwrap();
    seen
}

fn churn_all(seed: u64, steps: u64) {
    for fill in [60, 90, 97] {
        for mix in MIXES {
            let Seen { most, all, searches } = churn(seed, fill, mix, steps);
            println!(
                "{fill} % {mix:?}: regions {:.2} / {}, bins {:.2} / {}",
                f64::from(all.nodes) / searches as f64,
                most.nodes,
                f64::from(all.bins) / searches as f64,
                most.bins,
            );
        }
    }
}

#[test]
fn a_search_visits_a_bounded_number_of_bins_and_regions() {
    churn_all(fresh_seed(), 20_000);
}

#[test]
#[ignore = "deep: a minute; ten million operations at 60, 90 and 97 % full"]
fn a_search_stays_bounded_for_long() {
    churn_all(fresh_seed(), 1_000_000);
}

#[test]
fn a_failing_search_stays_bounded_among_many_misaligned_holes() {
    // 100,000 holes of 64 KiB; only those at a multiple of 64 KiB, one in 1025, can be granted.
    let mut tlsf = Tlsf::new(&Config::new(1 << 34, 64)).unwrap();
    let keys: Vec<Key> = (0..100_000)
        .flat_map(|_| [64, 64 << 10].map(|size| tlsf.allocate(size, 1).unwrap().key))
        .collect();
    let rest = tlsf.largest_free();
    tlsf.allocate(rest, 1).unwrap();
    for pair in keys.chunks(2) {
        tlsf.free(pair[1]).unwrap();
    }
    let mut seen = Seen::default();
    for _ in 0..200 {
        seen.allocate(&mut tlsf, 64 << 10, 64 << 10);
    }
    println!("{:?}", seen.most);
    assert!(seen.most.nodes > 1);
}

#[test]
fn no_allocation_visits_more_than_sixteen() {
    const { assert!(Probes::MAX_BINS + Probes::MAX_NODES <= 16) };
}

#[test]
fn the_counter_counts() {
    // The control: a bin of five regions, all too small, is left after two.
    let mut tlsf = Tlsf::new(&Config::new(1 << 16, 1)).unwrap();
    let keys: Vec<Key> =
        (0..5).flat_map(|_| [1024, 1].map(|size| tlsf.allocate(size, 1).unwrap().key)).collect();
    for pair in keys.chunks(2) {
        tlsf.free(pair[0]).unwrap();
    }
    let mut probes = Probes::default();
    tlsf.allocate_counted(1030, 1, &mut probes).unwrap();
    // Two of its own bin, then the tail.
    assert_eq!(probes, Probes { bins: 2, nodes: 3 });
    let mut probes = Probes::default();
    tlsf.allocate_counted(1024, 1, &mut probes).unwrap();
    assert_eq!(probes, Probes { bins: 1, nodes: 1 });
}
