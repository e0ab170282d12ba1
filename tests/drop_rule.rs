//! The rule that makes a drop safe, in every interleaving of a small model: two timelines, three
//! recordings, two resources. The real [`Cuts`] run beside a naive record of who uses what.
//!
//! A state violates the rule if a resource is released while a recording that uses it is open, or
//! is submitted and not complete.

use std::collections::{HashSet, VecDeque};

use fencepost::retire::{BagNumber, Cuts, RecordingId, TimelineId};

const TIMELINES: usize = 2;
const RECORDINGS: usize = 3;
const RESOURCES: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Recording {
    NotBegun,
    Open { id: RecordingId, uses: u8 },
    Submitted { value: u64, uses: u8 },
    Abandoned,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Resource {
    Live,
    /// The bag of the drop, and what had been submitted on each timeline at the drop.
    Dropped {
        bag: BagNumber,
        issued: [u64; TIMELINES],
    },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    cuts: Cuts,
    timelines: [TimelineId; TIMELINES],
    recordings: [Recording; RECORDINGS],
    resources: [Resource; RESOURCES],
    submitted: [u64; TIMELINES],
    completed: [u64; TIMELINES],
    seen: [u64; TIMELINES],
    /// Whether the counters are read whenever the GPU makes progress, or at any later time.
    polls_at_once: bool,
}

/// When a dropped resource counts as released.
type Rule = fn(&World, bag: BagNumber, issued: [u64; TIMELINES]) -> bool;

fn by_cuts(world: &World, bag: BagNumber, _: [u64; TIMELINES]) -> bool {
    bag.is_reached(world.cuts.reached_bag())
}

/// The tempting rule: what was submitted at the time of the drop is done.
fn by_points_issued_so_far(world: &World, _: BagNumber, issued: [u64; TIMELINES]) -> bool {
    (0..TIMELINES).all(|t| world.seen[t] >= issued[t])
}

impl World {
    fn new(polls_at_once: bool) -> Self {
        let mut cuts = Cuts::new(1);
        let timelines = [cuts.add_timeline(0), cuts.add_timeline(0)];
        Self {
            cuts,
            timelines,
            recordings: [Recording::NotBegun; RECORDINGS],
            resources: [Resource::Live; RESOURCES],
            submitted: [0; TIMELINES],
            completed: [0; TIMELINES],
            seen: [0; TIMELINES],
            polls_at_once,
        }
    }

    fn poll(&mut self, t: usize) {
        self.seen[t] = self.completed[t];
        self.cuts.signalled(self.timelines[t], self.completed[t]).unwrap();
    }

    fn is_released(&self, resource: usize, rule: Rule) -> bool {
        match self.resources[resource] {
            Resource::Live => false,
            Resource::Dropped { bag, issued } => rule(self, bag, issued),
        }
    }

    fn violates(&self, rule: Rule) -> bool {
        (0..RESOURCES).any(|resource| {
            let in_use =
                self.recordings.iter().enumerate().any(|(r, recording)| match *recording {
                    Recording::Open { uses, .. } => uses >> resource & 1 == 1,
                    Recording::Submitted { value, uses } => {
                        uses >> resource & 1 == 1 && value > self.completed[r % TIMELINES]
                    }
                    _ => false,
                });
            in_use && self.is_released(resource, rule)
        })
    }

    /// Every state that is one step further.
    fn successors(&self) -> Vec<World> {
        let mut next = Vec::new();
        let mut step = |change: &dyn Fn(&mut World)| {
            let mut world = self.clone();
            change(&mut world);
            world.cuts.check().unwrap();
            next.push(world);
        };
        for r in 0..RECORDINGS {
            let t = r % TIMELINES;
            match self.recordings[r] {
                Recording::NotBegun => step(&|world| {
                    let id = world.cuts.begin(world.timelines[t]).unwrap();
                    world.recordings[r] = Recording::Open { id, uses: 0 };
                }),
                Recording::Open { id, uses } => {
                    for resource in 0..RESOURCES {
                        let fresh = uses >> resource & 1 == 0;
                        if fresh && self.resources[resource] == Resource::Live {
                            step(&|world| {
                                let uses = uses | 1 << resource;
                                world.recordings[r] = Recording::Open { id, uses };
                            });
                        }
                    }
                    step(&|world| {
                        let value = world.cuts.assign(world.timelines[t]).unwrap();
                        world.cuts.submitted(id, value).unwrap();
                        world.submitted[t] = value;
                        world.recordings[r] = Recording::Submitted { value, uses };
                    });
                    step(&|world| {
                        world.cuts.abandon(id).unwrap();
                        world.recordings[r] = Recording::Abandoned;
                    });
                }
                _ => {}
            }
        }
        for t in 0..TIMELINES {
            if self.completed[t] < self.submitted[t] {
                step(&|world| {
                    world.completed[t] += 1;
                    if self.polls_at_once {
                        world.poll(t);
                    }
                });
            }
            if self.seen[t] < self.completed[t] {
                step(&|world| world.poll(t));
            }
        }
        for resource in 0..RESOURCES {
            if self.resources[resource] == Resource::Live {
                step(&|world| {
                    let (bag, issued) = (world.cuts.current(), world.submitted);
                    world.resources[resource] = Resource::Dropped { bag, issued };
                });
            }
        }
        next
    }

    /// Every recording has ended and the GPU is known to be idle.
    fn is_at_rest(&self) -> bool {
        let open = |r: &Recording| matches!(r, Recording::Open { .. });
        !self.recordings.iter().any(open) && self.seen == self.submitted
    }
}

/// Explores all states. Returns their number, or after how many states the rule was violated.
fn explore(rule: Rule, polls_at_once: bool) -> Result<usize, usize> {
    let start = World::new(polls_at_once);
    let mut seen = HashSet::from([start.clone()]);
    let mut queue = VecDeque::from([start]);
    let mut count = 0;
    while let Some(world) = queue.pop_front() {
        count += 1;
        if world.violates(rule) {
            return Err(count);
        }
        if world.is_at_rest() {
            for resource in 0..RESOURCES {
                let dropped = world.resources[resource] != Resource::Live;
                assert_eq!(world.is_released(resource, rule), dropped, "held back: {world:?}");
            }
        }
        for next in world.successors() {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    Ok(count)
}

#[test]
fn no_interleaving_releases_what_may_still_be_used_and_nothing_is_held_for_ever() {
    let states = explore(by_cuts, true).expect("no violation");
    println!("{states} states, no violation");
    assert!(states > 100_000, "{states}");
}

#[test]
#[ignore = "deep: some million states, half a minute"]
fn no_interleaving_with_late_polls_releases_what_may_still_be_used() {
    let states = explore(by_cuts, false).expect("no violation");
    println!("{states} states, no violation");
}

/// The control: the same exploration finds the fault of the tempting rule.
#[test]
fn stamping_a_drop_with_the_points_issued_so_far_is_caught() {
    let after = explore(by_points_issued_so_far, true).expect_err("this rule is wrong");
    println!("violated after {after} states");
}
