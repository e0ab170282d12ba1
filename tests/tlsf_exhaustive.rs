//! Small blocks, exhaustively: all sequences of operations, and all states.

#[path = "support/naive.rs"]
mod naive;
#[path = "support/random.rs"]
mod random;
#[path = "support/twin.rs"]
mod twin;

use std::collections::{HashMap, HashSet, VecDeque};

use fencepost::tlsf::{Config, State, Tlsf};
use naive::{Fault, Naive};
use twin::{Agreement, Subject, Twins};

/// Everything that determines the future of a block of at most 16 granules: one letter for each
/// granule, in upper case where a region starts, and the order in which the free regions are
/// searched. Names (node numbers and serials) are omitted.
type Shape = ([u8; 16], Vec<u8>);

fn shape(tlsf: &Tlsf) -> Shape {
    let mut letters = [b'.'; 16];
    for region in tlsf.regions() {
        let letter = match region.state {
            State::Free => b'f',
            State::Used => b'u',
            State::Pending => b'p',
        };
        letters[region.offset as usize..][..region.size as usize].fill(letter);
        letters[region.offset as usize] = letter.to_ascii_uppercase();
    }
    (letters, tlsf.search_order().map(|offset| offset as u8).collect())
}

fn twins<S: Subject>(units: u64, subject: S) -> Twins<S> {
    Twins::new(subject, Naive::new(units, 1, 0, None))
}

fn core(units: u64) -> Tlsf {
    Tlsf::new(&Config::new(units, 1)).unwrap()
}

/// Every sequence of up to `length` operations: allocations of these sizes, and frees of live
/// allocations. Returns the number of operations.
fn all_sequences<S: Subject>(
    twins: &Twins<S>,
    sizes: &[u64],
    length: u32,
    steps: &mut u64,
) -> Agreement {
    if length == 0 {
        return Ok(());
    }
    for &size in sizes {
        let mut next = twins.clone();
        next.allocate(size, 1)?;
        *steps += 1;
        all_sequences(&next, sizes, length - 1, steps)?;
    }
    for &key in &twins.used {
        let mut next = twins.clone();
        next.free(key)?;
        *steps += 1;
        all_sequences(&next, sizes, length - 1, steps)?;
    }
    Ok(())
}

#[test]
fn every_sequence_of_six_operations_on_eight_granules() {
    let mut steps = 0;
    all_sequences(&twins(8, core(8)), &[1, 2, 3, 4, 5, 6, 7, 8], 6, &mut steps).unwrap();
    println!("{steps} operations");
    assert!(steps > 500_000);
}

#[test]
fn the_sequences_find_a_core_that_does_not_merge() {
    for fault in [Fault::MergesLeftOnly, Fault::MergesRightOnly] {
        let subject = twins(8, Naive::new(8, 1, 0, Some(fault)));
        let found = all_sequences(&subject, &[1, 2, 3], 6, &mut 0);
        println!("{fault:?}: {}", found.unwrap_err());
    }
}

/// As [`all_sequences`], but if two sequences lead to the same [`Shape`], only one of them
/// continues, because what follows does not depend on names.
fn all_shapes(
    twins: &Twins<Tlsf>,
    sizes: &[u64],
    length: u32,
    seen: &mut HashMap<Shape, u32>,
    steps: &mut u64,
) {
    let left = seen.entry(shape(&twins.subject)).or_default();
    if *left >= length {
        return;
    }
    *left = length;
    let mut go_on = |operation: &dyn Fn(&mut Twins<Tlsf>) -> Agreement| {
        let mut next = twins.clone();
        operation(&mut next).unwrap();
        *steps += 1;
        all_shapes(&next, sizes, length - 1, seen, steps);
    };
    for &size in sizes {
        go_on(&|next| next.allocate(size, 1));
    }
    for &key in &twins.used {
        go_on(&|next| next.free(key));
    }
}

#[test]
fn every_sequence_of_eight_operations_on_sixteen_granules() {
    let (mut seen, mut steps) = (HashMap::new(), 0);
    all_shapes(&twins(16, core(16)), &[1, 2, 3, 5, 8], 8, &mut seen, &mut steps);
    println!("{} shapes, {steps} operations", seen.len());
    assert!(seen.len() > 1000);
}

#[test]
#[ignore = "deep: minutes; the sequences of the test above, none left out"]
fn every_sequence_of_eight_operations_on_sixteen_granules_unfolded() {
    let mut steps = 0;
    all_sequences(&twins(16, core(16)), &[1, 2, 3, 5, 8], 8, &mut steps).unwrap();
    println!("{steps} operations");
}

/// Every layout that a block of `units` granules may have according to the rules alone: adjacent
/// regions of any size and state, without two adjacent free ones. Each layout has the number of
/// orders in which its free regions may be searched: regions of one size (except the tail) in any
/// order, because the bin of a small size contains no other size, and the one that was freed last
/// comes first.
fn layouts(units: usize) -> HashMap<[u8; 16], u64> {
    fn extend(
        letters: &mut [u8; 16],
        from: usize,
        end: usize,
        holes: &mut Vec<usize>,
        all: &mut HashMap<[u8; 16], u64>,
    ) {
        if from == end {
            let orders = (1..end)
                .map(|size| holes.iter().filter(|&&hole| hole == size).count() as u64)
                .map(|count| (1..=count).product::<u64>());
            all.insert(*letters, orders.product());
            return;
        }
        for size in 1..=end - from {
            for letter in *b"fup" {
                if letter == b'f' && from > 0 && letters[from - 1].eq_ignore_ascii_case(&b'f') {
                    continue;
                }
                letters[from..from + size].fill(letter);
                letters[from] = letter.to_ascii_uppercase();
                let hole = letter == b'f' && from + size < end;
                holes.extend(hole.then_some(size));
                extend(letters, from + size, end, holes, all);
                holes.truncate(holes.len() - usize::from(hole));
            }
        }
        letters[from..end].fill(b'.');
    }
    let mut all = HashMap::new();
    extend(&mut [b'.'; 16], 0, units, &mut Vec::new(), &mut all);
    all
}

#[test]
fn every_state_of_eight_granules_is_reached_and_right() {
    let start = twins(8, core(8));
    let mut seen = HashSet::from([shape(&start.subject)]);
    let mut queue = VecDeque::from([start]);
    let mut steps = 0;
    while let Some(twins) = queue.pop_front() {
        let mut go_on = |operation: &dyn Fn(&mut Twins<Tlsf>) -> Agreement| {
            let mut next = twins.clone();
            operation(&mut next).unwrap();
            steps += 1;
            if seen.insert(shape(&next.subject)) {
                next.gone.clear();
                queue.push_back(next);
            }
        };
        for size in 1..=8 {
            for alignment in [1, 2, 4] {
                go_on(&|next| next.allocate(size, alignment));
            }
        }
        for &key in &twins.used {
            go_on(&|next| next.free(key));
            go_on(&|next| next.retire(key));
        }
        for &key in &twins.pending {
            go_on(&|next| next.reach(key));
        }
        go_on(&|next| next.reach_batch(&twins.pending));
    }
    let reached: HashSet<[u8; 16]> = seen.iter().map(|shape| shape.0).collect();
    let layouts = layouts(8);
    println!("{} shapes of {} layouts, {steps} operations", seen.len(), reached.len());
    // Every layout is reached: fill the block from the front, then free what is free in the layout,
    // and retire what is pending. So is every search order: free the holes in that order.
    assert!(reached.iter().all(|layout| layouts.contains_key(layout)), "one that may not be");
    assert_eq!(reached.len(), layouts.len());
    assert_eq!(seen.len() as u64, layouts.values().sum::<u64>());
    // The numbers themselves, so that nobody changes both sides inadvertently.
    assert_eq!((reached.len(), seen.len()), (29_681, 39_065));
}
