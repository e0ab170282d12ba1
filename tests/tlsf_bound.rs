//! The search is O(1): it visits a bounded number of bins and regions, however full the block is.

#[path = "support/churn.rs"]
mod churn;
#[path = "support/random.rs"]
mod random;

use churn::{MIXES, churn};
use fencepost::tlsf::{Config, Key, Probes, Tlsf};
use random::fresh_seed;

// The documented bound: at most 16 visits.
const _: () = assert!(Probes::MAX <= 16);

/// The most that one search visited, and the visits of all of them.
#[derive(Default)]
struct Seen {
    most: Probes,
    most_visits: u32,
    visits: u64,
    searches: u64,
}

impl Seen {
    /// An allocation, counted.
    fn allocate(&mut self, tlsf: &mut Tlsf, size: u64, alignment: u64) -> Option<Key> {
        let mut probes = Probes::default();
        let placed = tlsf.allocate_counted(size, alignment, &mut probes);
        let Probes { bins, nodes } = probes;
        assert!(bins <= Probes::MAX_BINS && nodes <= Probes::MAX_NODES, "{probes:?}");
        assert!(bins + nodes <= Probes::MAX, "{probes:?}");
        self.most = Probes { bins: self.most.bins.max(bins), nodes: self.most.nodes.max(nodes) };
        self.most_visits = self.most_visits.max(bins + nodes);
        self.visits += u64::from(bins + nodes);
        self.searches += 1;
        placed.ok().map(|placed| placed.key)
    }
}

fn churn_all(seed: u64, steps: u64) {
    let (mut operations, mut most_visits) = (0, 0);
    for fill in [60, 90, 97] {
        for mix in MIXES {
            let mut seen = Seen::default();
            let allocate = |tlsf: &mut Tlsf, size, alignment| seen.allocate(tlsf, size, alignment);
            let full = churn(seed, fill, mix, steps, allocate);
            operations += steps;
            most_visits = most_visits.max(seen.most_visits);
            println!(
                "{full:.1} % full, {}: most {} ({} bins, {} regions), mean {:.2}",
                mix.name,
                seen.most_visits,
                seen.most.bins,
                seen.most.nodes,
                seen.visits as f64 / seen.searches as f64,
            );
        }
    }
    let bound = Probes::MAX;
    println!("{operations} operations: a search visited at most {most_visits}, of {bound} it may");
    assert!(most_visits > 2, "the control: some search goes on after its first bin and region");
}

#[test]
fn a_search_visits_a_bounded_number_of_bins_and_regions() {
    churn_all(fresh_seed(), 20_000);
}

#[test]
#[ignore = "deep: a minute; fifteen million operations at 60, 90 and 97 % full"]
fn a_search_stays_bounded_for_long() {
    churn_all(fresh_seed(), 1_000_000);
}

#[test]
fn a_failing_search_stays_bounded_among_many_misaligned_holes() {
    // 100,000 holes of 64 KiB. Only those at a multiple of 64 KiB, one in 1025, can be used.
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
    println!("most {:?} of {} holes", seen.most, tlsf.free_count());
    assert!(seen.most.nodes > 1, "more than one hole is tried");
}

#[test]
fn the_counter_counts() {
    // The control: the search leaves a bin full of regions that are too small after a few of them,
    // and the region that holds the request is counted too. An exact fit is found immediately.
    let mut tlsf = Tlsf::new(&Config::new(1 << 16, 1)).unwrap();
    let keys: Vec<Key> = (0..Probes::MAX_NODES)
        .flat_map(|_| [1024, 1].map(|size| tlsf.allocate(size, 1).unwrap().key))
        .collect();
    for pair in keys.chunks(2) {
        tlsf.free(pair[0]).unwrap();
    }
    let visits = |tlsf: &mut Tlsf, size| {
        let mut probes = Probes::default();
        tlsf.allocate_counted(size, 1, &mut probes).unwrap();
        probes
    };
    let missed = visits(&mut tlsf, 1030);
    assert!(missed.bins >= 2 && missed.nodes >= 2 && missed.nodes < Probes::MAX_NODES);
    assert_eq!(visits(&mut tlsf, 1024), Probes { bins: 1, nodes: 1 });
}
