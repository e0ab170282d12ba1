//! While the GPU may access a range, nobody else gets it: several threads at once.
//!
//! Each thread allocates, records, submits, drops and collects independently; another one opens the
//! gate ticket by ticket. Events that end a use (a drop, the submission of a recording, the opening
//! of a ticket) are reported to the checker before they happen, and events that begin a use are
//! reported afterwards. So the checker is never too strict, however the threads interleave. A
//! ticket opens only when its work has been submitted, so the checker is never too lax either.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use fencepost::{Allocator, BeginError, Point, Recording};

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Intervals, Kind, Line, Random, Range, Thing, allocator_with};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("pending_ranges_are_held_among_threads", |room| {
            run(room, Kind::Owned);
        })
        .with_deep(),
        Scenario::new("pending_ranges_are_held_among_threads_on_a_ring_of_fences", |room| {
            run(room, Kind::Fences(8));
        })
        .with_deep(),
    ]
}

const THREADS: usize = 3;
const MOST_LIVE: usize = 30;
const MOST_WAITING: u64 = 6;

/// What the threads share. The gate is dropped first.
struct World {
    gate: Gate,
    checker: Mutex<Intervals>,
    /// The tickets whose work was submitted.
    submitted: Mutex<BTreeSet<u64>>,
    line: Line,
    allocator: Allocator,
}

impl World {
    fn checker(&self) -> MutexGuard<'_, Intervals> {
        self.checker.lock().expect("no holder panics")
    }

    /// Begins a recording when few enough submissions wait at the gate.
    fn begin(&self) -> Recording {
        loop {
            if self.gate.issued() > self.gate.opened() + MOST_WAITING {
                thread::sleep(Duration::from_micros(200));
                continue;
            }
            match self.line.timeline.begin() {
                Ok(recording) => return recording,
                Err(BeginError::RingFull) => thread::sleep(Duration::from_micros(200)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Opens all tickets up to this one.
    fn open(&self, ticket: u64) {
        self.checker().open(ticket);
        self.gate.open(ticket);
    }

    /// Opens ticket after ticket until the threads are done, and then all of them.
    fn open_bit_by_bit(&self, done: &AtomicBool) {
        while !done.load(Ordering::Acquire) {
            thread::sleep(Duration::from_micros(300));
            let next = self.gate.opened() + 1;
            if self.submitted.lock().expect("no holder panics").contains(&next) {
                self.open(next);
            }
        }
        self.open(self.gate.issued());
    }
}

/// Announces that the threads are done, also during a panic.
struct SayDone<'a>(&'a AtomicBool);

impl Drop for SayDone<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn run(room: &Room<'_>, kind: Kind) {
    let gpu = room.open();
    let mut reused = 0;
    let steps = room.times(60, 5000);
    for seed in room.seeds() {
        println!("{kind:?}, seed {seed:#x}");
        let pools = [(); THREADS].map(|()| Commands::new(&gpu));
        let (allocator, yard) =
            allocator_with(&gpu, |desc| desc.first_block(512 << 10).largest_block(512 << 10));
        let world = World {
            gate: Gate::new(&gpu),
            checker: Mutex::default(),
            submitted: Mutex::default(),
            line: Line::new(&yard, &allocator, kind),
            allocator,
        };
        let done = AtomicBool::new(false);
        let workers = thread::scope(|scope| {
            scope.spawn(|| world.open_bit_by_bit(&done));
            let _say_done = SayDone(&done);
            let mut seeds = Random::new(seed);
            let workers = pools.each_ref().map(|commands| {
                let (world, seed) = (&world, seeds.next());
                scope.spawn(move || {
                    let mut worker = Worker::new(world, commands, seed);
                    (0..steps).for_each(|_| worker.step());
                    worker
                })
            });
            workers.map(|worker| worker.join().expect("a worker does not panic"))
        });
        for point in workers.iter().filter_map(|worker| worker.last) {
            world.line.wait(point);
        }
        world.allocator.collect();
        world.allocator.check().expect("the bookkeeping is whole");
        assert_eq!(world.allocator.statistics().total.pending_count, 0, "all work is done");
        world.checker().assert_no_overlap();
        println!("{} ranges given again", world.checker().reused);
        reused += world.checker().reused;
        for live in workers.iter().flat_map(|worker| &worker.live) {
            live.thing.assert_words(live.size, live.word, &format!("#{}", live.number));
        }
    }
    assert!(reused > steps / 4, "ranges are hardly given again");
}

struct Live {
    thing: Thing,
    number: u32,
    size: u64,
    word: u32,
}

struct Worker<'a> {
    world: &'a World,
    commands: &'a Commands,
    random: Random,
    live: Vec<Live>,
    last: Option<Point>,
}

impl<'a> Worker<'a> {
    fn new(world: &'a World, commands: &'a Commands, seed: u64) -> Self {
        Self { world, commands, random: Random::new(seed), live: Vec::new(), last: None }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..45 => self.allocate(),
            45..65 => self.submit(),
            65..85 => self.give_one_up(),
            85..97 => drop(self.world.allocator.collect()),
            97..99 => drop(self.world.allocator.trim()),
            _ => drop((self.world.allocator.statistics(), self.world.allocator.snapshot())),
        }
    }

    fn allocate(&mut self) {
        if self.live.len() >= MOST_LIVE {
            self.give_one_up();
        }
        let size = self.random.size(256, 16 << 10);
        let word = self.random.next() as u32;
        let mut thing = Thing::buffer(&self.world.allocator, size);
        let number = self.world.checker().give(Range::of(thing.allocation()));
        thing.write_words(size, word);
        self.live.push(Live { thing, number, size, word });
    }

    /// Submits fills of a few live buffers; some of them are dropped before, some after.
    fn submit(&mut self) {
        let recording = self.world.begin();
        let count = self.random.below(4).min(self.live.len());
        let word = self.random.next() as u32;
        let numbers: Vec<u32> = self.live[..count].iter().map(|live| live.number).collect();
        for &number in &numbers {
            self.world.checker().record(number);
        }
        let ticket = self.world.gate.ticket();
        let fill = self.commands.record(|recorder| {
            recorder.barrier();
            for live in &mut self.live[..count] {
                recorder.fill(live.thing.handle(), word);
                live.word = word;
            }
            recorder.barrier();
        });
        if self.random.chance(50) {
            self.give_one_up();
        }
        for number in numbers {
            self.world.checker().submit(number, ticket);
        }
        let (line, gate) = (&self.world.line, &self.world.gate);
        self.last = Some(line.submit_behind(recording, &[fill], gate, ticket));
        self.world.submitted.lock().expect("no holder panics").insert(ticket);
        if self.random.chance(50) {
            self.give_one_up();
        }
    }

    /// The first ones are those that submissions name.
    fn give_one_up(&mut self) {
        if !self.live.is_empty() {
            let live = self.live.swap_remove(self.random.below(self.live.len().min(6)));
            self.world.checker().give_up(live.number);
            drop(live.thing);
        }
    }
}
