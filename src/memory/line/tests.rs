//! Rings and double stacks, compared with a list of all ranges that were taken.

use super::*;
use crate::ground::random::Random;

const GRANULE: u64 = 64;

/// The naive model: all taken ranges, oldest first, with their states.
struct Naive {
    is_ring: bool,
    capacity: u64,
    taken: Vec<(Placed, End, State)>,
}

impl Naive {
    /// The offset that a range must have, found by trying every granule.
    fn place(&self, size: u64, alignment: u64, end: End) -> Option<u64> {
        let size = size.next_multiple_of(GRANULE);
        let free = |offset: u64| {
            let apart = |(placed, ..): &(Placed, End, State)| {
                offset + size <= placed.offset || placed.offset + placed.size <= offset
            };
            offset + size <= self.capacity && self.taken.iter().all(apart)
        };
        let of = |end: End| self.taken.iter().filter(move |(_, its, _)| *its == end);
        let mut all = (0..=self.capacity).step_by(alignment.max(GRANULE) as usize);
        match (self.is_ring, end) {
            (true, _) => match of(End::Lower).next_back() {
                None => all.find(|&offset| free(offset)),
                Some((newest, ..)) => {
                    // After the newest range up to the next one, or else from the start up to the
                    // oldest one.
                    let from = newest.offset + newest.size;
                    let later = of(End::Lower).map(|(p, ..)| p.offset).filter(|&o| o >= from).min();
                    let behind = all.clone().find(|&at| at >= from && free(at));
                    let behind = behind.filter(|&at| later.is_none_or(|later| at < later));
                    let wraps = later.is_none() && free(0);
                    behind.or(wraps.then_some(0))
                }
            },
            (false, End::Lower) => {
                let top = of(End::Lower).map(|(p, ..)| p.offset + p.size).max().unwrap_or(0);
                all.find(|&at| at >= top && at + size <= self.top_of_upper())
            }
            (false, End::Upper) => {
                let low = of(End::Lower).map(|(p, ..)| p.offset + p.size).max().unwrap_or(0);
                all.filter(|&at| at >= low && at + size <= self.top_of_upper()).last()
            }
        }
    }

    fn top_of_upper(&self) -> u64 {
        let upper = self.taken.iter().filter(|(_, end, _)| *end == End::Upper);
        upper.map(|(placed, ..)| placed.offset).min().unwrap_or(self.capacity)
    }

    /// Removes the ranges that nothing holds.
    fn let_leave(&mut self) {
        if self.is_ring {
            while self.taken.first().is_some_and(|(.., state)| *state == State::Free) {
                self.taken.remove(0);
            }
            return;
        }
        for end in [End::Lower, End::Upper] {
            while let Some(top) = self.taken.iter().rposition(|(_, its, _)| *its == end) {
                if self.taken[top].2 != State::Free {
                    break;
                }
                self.taken.remove(top);
            }
        }
    }
}

fn run(is_ring: bool, seed: u64) -> [u32; 3] {
    let mut random = Random::new(seed);
    let mut below = |most: u64| random.below(most);
    let capacity = GRANULE * 40;
    let mut line = Line::new(is_ring, capacity + 17, GRANULE, u32::MAX - 50);
    let mut naive = Naive { is_ring, capacity, taken: Vec::new() };
    let mut gone: Vec<Key> = Vec::new();
    let mut withheld: Vec<Key> = Vec::new();
    let [mut granted, mut refused, mut held] = [0; 3];
    for _ in 0..6000 {
        // If free ranges are withheld while others end, and then released, the result is as if this
        // had not happened.
        if below(20) == 0 {
            let most = line.most_free();
            withheld = line.hold().unwrap();
            assert!(withheld.len() <= most, "{} of {most}", withheld.len());
            let [(used, _), (pending, _)] = line.usage();
            assert_eq!(used + pending, capacity, "nothing is nobody's");
            assert_eq!(line.hold().unwrap(), [], "all of it is taken");
            assert_eq!((line.largest(), line.holds(1, 1, End::Lower)), (0, false));
            line.check().unwrap();
        }
        let live = naive.taken.iter().filter(|(.., state)| *state != State::Free).count() as u64;
        match below(5) {
            0 | 1 if withheld.is_empty() => {
                let (size, alignment) = (1 + below(6 * GRANULE), 1 << below(9));
                let end = if !is_ring && below(3) == 0 { End::Upper } else { End::Lower };
                let wanted = naive.place(size, alignment, end);
                let holds = line.holds(size, alignment, end);
                let placed = line.allocate(size, alignment, end);
                assert_eq!(placed.map(|placed| placed.offset), wanted);
                assert_eq!(holds, placed.is_some());
                let Some(placed) = placed else {
                    refused += 1;
                    continue;
                };
                assert_eq!(placed.size, size.next_multiple_of(GRANULE));
                granted += 1;
                naive.taken.push((placed, end, State::Used));
            }
            _ if live > 0 => {
                // Usually the next one to leave.
                let all = 0..naive.taken.len();
                let mut order: Vec<usize> =
                    if is_ring { all.collect() } else { all.rev().collect() };
                order.retain(|&at| naive.taken[at].2 != State::Free);
                let out_of_turn = below(4) == 0;
                let at = order[below(if out_of_turn { live } else { 1 }) as usize];
                let (Placed { key, size, .. }, _, state) = naive.taken[at];
                let to = if state == State::Used && below(2) == 0 {
                    State::Pending
                } else {
                    State::Free
                };
                let other = if state == State::Used { State::Pending } else { State::Used };
                assert!(line.turn(key, other, State::Free).is_err(), "not from another state");
                assert_eq!(line.turn(key, state, to), Ok(size));
                naive.taken[at].2 = to;
                if to == State::Free {
                    gone.push(key);
                }
                naive.let_leave();
            }
            _ => {}
        }
        if below(2) == 0 {
            withheld.reverse();
        }
        for key in withheld.drain(..) {
            assert!(line.turn(key, State::Pending, State::Free).is_ok());
        }
        line.check().unwrap();
        held += naive.taken.iter().filter(|(.., state)| *state == State::Free).count() as u32;
        let sum = |state: State| {
            let of = naive.taken.iter().filter(|(.., its)| *its == state);
            of.fold((0, 0), |(bytes, count), (placed, ..)| (bytes + placed.size, count + 1))
        };
        assert_eq!(line.usage(), [sum(State::Used), sum(State::Pending)]);
        assert_eq!(line.is_empty(), line.usage() == [(0, 0); 2]);
        let largest = (1..=40).rev().find(|&n| naive.place(n * GRANULE, 1, End::Lower).is_some());
        assert_eq!(line.largest(), largest.unwrap_or(0) * GRANULE);
        if let Some(&key) = gone.last() {
            assert_eq!(line.get(key), Err(KeyError::Stale));
        }
        let regions = line.regions();
        assert_eq!(regions.iter().map(|region| region.size).sum::<u64>(), capacity);
        let keys = regions.iter().filter_map(|region| region.key);
        assert!(keys.clone().all(|key| line.get(key).is_ok()));
        assert_eq!(keys.count() as u32, line.usage()[0].1 + line.usage()[1].1);
    }
    assert!(line.nodes.len() < 60, "nodes are used again");
    [granted, refused, held]
}

#[test]
fn both_are_as_a_list_says() {
    for is_ring in [false, true] {
        for seed in 1..5 {
            let [granted, refused, held] = run(is_ring, seed);
            let seen = granted > 1000 && refused > 50 && held > 1000;
            assert!(seen, "{is_ring} {seed}: {granted} {refused} {held}");
        }
    }
}

/// A range that is taken after a withheld one keeps it in the chain, as any later range does.
#[test]
fn what_comes_behind_a_withheld_range_keeps_it() {
    let mut line = Line::new(true, 1 << 12, GRANULE, 1);
    let [first, second] = [(); 2].map(|()| line.allocate(1 << 10, 1, End::Lower).unwrap());
    let withheld = line.hold().unwrap();
    assert_eq!(line.allocate(64, 1, End::Lower), None);
    line.turn(first.key, State::Used, State::Free).unwrap();
    let behind = line.allocate(64, 1, End::Lower).unwrap();
    assert_eq!(behind.offset, 0, "where the first was");
    line.turn(withheld[0], State::Pending, State::Free).unwrap();
    line.check().unwrap();
    assert_eq!(line.largest(), (1 << 10) - 64, "the withheld range has not left");
    line.turn(second.key, State::Used, State::Free).unwrap();
    assert_eq!(line.largest(), (1 << 12) - 64);
    line.check().unwrap();
}

/// The control: a range that is removed before its turn is detected.
#[test]
fn a_broken_order_is_found() {
    for is_ring in [false, true] {
        let mut line = Line::new(is_ring, 1 << 12, GRANULE, 1);
        let all: Vec<Placed> = (0..3).map(|_| line.allocate(100, 1, End::Lower).unwrap()).collect();
        let next = all[if is_ring { 0 } else { 2 }];
        line.check().unwrap();
        line.nodes[next.key.index() as usize].state = State::Free;
        assert_eq!(line.check(), Err(Broken::Count), "it should have left");
        line.nodes[next.key.index() as usize].state = State::Used;
        line.nodes[next.key.index() as usize].offset += GRANULE;
        let overlaps = line.check().is_err();
        assert_eq!(overlaps, is_ring, "the first lies over the second, the last over nothing");
    }
}
