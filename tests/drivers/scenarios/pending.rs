//! While the GPU may access a range, nobody else gets it.
//!
//! A random program allocates, records, submits, drops and collects. Its submissions wait at a gate
//! that the host opens step by step, so the program determines when work is done. The checker knows
//! which ranges are in use independently of the allocator. The submissions really write, so a range
//! that was handed out too early shows in the contents of its new owner.

use std::sync::Arc;

use ash::vk;
use fencepost::{Allocation, Allocator, Point, Recording};

use crate::harness::{Room, Scenario};
use crate::rig::{
    Commands, Gate, Intervals, Kind, Line, Random, Range, Thing, Yard, allocator_with, anchor,
    assert_clean,
};
use crate::support::{Gpu, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("pending_ranges_are_held_on_an_owned_timeline", |room| {
            hold(room, Kind::Owned);
        })
        .with_deep(),
        Scenario::new("pending_ranges_are_held_on_an_external_timeline", |room| {
            hold(room, Kind::External);
        })
        .with_deep(),
        Scenario::new("pending_ranges_are_held_on_a_ring_of_fences", |room| {
            hold(room, Kind::Fences(6));
        })
        .with_deep(),
        Scenario::new("pending_ranges_are_held_with_vulkan_1_0", |room| {
            hold(room, Kind::Fences(6));
        })
        .api_version(vk::API_VERSION_1_0)
        .with_deep(),
        Scenario::new("pending_ranges_are_held_without_a_word_of_the_validation_layer", |room| {
            let messages = {
                let gpu = room.open();
                let messages = gpu.messages();
                let steps = room.times(120, 600);
                let counts = [Kind::Owned, Kind::External, Kind::Fences(6)]
                    .map(|kind| hold_once(&gpu, kind, 0x5EED_0003, steps));
                assert_meant_something(&counts);
                messages
            };
            assert_clean(&messages.take());
        })
        .validation(Validation::Core)
        .with_deep(),
        Scenario::new("control_the_checker_reports_free_now_of_pending_ranges", |room| {
            for seed in room.seeds() {
                let mut program = Program::new(&room.open(), Kind::Owned, seed, GiveUp::FreeNow);
                // A short run of some seeds may not free anything that is handed out while it is
                // pending.
                let sees = |program: &mut Program| {
                    program.step();
                    !program.intervals.overlaps.is_empty()
                };
                let seen = (0..2000).any(|_| sees(&mut program));
                program.finish();
                assert!(seen, "seed {seed:#x}: pending ranges were freed, and none seen");
            }
        }),
    ]
}

fn hold(room: &Room<'_>, kind: Kind) {
    let gpu = room.open();
    let steps = room.times(220, 40_000);
    let seeds = room.seeds();
    let counts: Vec<_> = seeds.into_iter().map(|seed| hold_once(&gpu, kind, seed, steps)).collect();
    assert_meant_something(&counts);
}

/// Runs one program. Returns what it counted.
fn hold_once(gpu: &Arc<Gpu>, kind: Kind, seed: u64, steps: usize) -> Counts {
    println!("{kind:?}, seed {seed:#x}");
    let mut program = Program::new(gpu, kind, seed, GiveUp::Drop);
    for _ in 0..steps {
        program.step();
        program.intervals.assert_no_overlap();
    }
    program.finish();
    program.intervals.assert_no_overlap();
    program.assert_contents();
    program.counts.reused = program.intervals.reused;
    println!("{:?}", program.counts);
    program.end()
}

/// How a range is freed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GiveUp {
    Drop,
    /// The control: immediately, although the GPU may use it.
    FreeNow,
}

struct Live {
    thing: Thing,
    number: u32,
    size: u64,
    /// The contents of each word when everything that was submitted is done.
    word: u32,
}

/// A recording that names ranges.
struct Open {
    recording: Recording,
    commands: vk::CommandBuffer,
    numbers: Vec<u32>,
    word: u32,
    ticket: u64,
}

#[derive(Debug, Default)]
struct Counts {
    allocations: usize,
    /// Allocations made while ranges were pending.
    while_pending: usize,
    submits: usize,
    most_pending: usize,
    /// Ranges handed out again after their use had ended.
    reused: usize,
}

/// A program in which nothing was pending, or nothing was handed out again, proves nothing.
fn assert_meant_something(counts: &[Counts]) {
    let most_pending = counts.iter().map(|counts| counts.most_pending).max();
    assert!(most_pending > Some(5), "too little was pending: {counts:?}");
    let sum = |of: fn(&Counts) -> usize| counts.iter().map(of).sum::<usize>();
    let submits = sum(|counts| counts.submits);
    assert!(sum(|counts| counts.while_pending) > submits, "too little was allocated meanwhile");
    assert!(sum(|counts| counts.reused) > submits / 4, "ranges are hardly given again");
}

/// The fields are dropped in this order: the gate opens first.
struct Program {
    gate: Gate,
    live: Vec<Live>,
    open: Vec<Open>,
    intervals: Intervals,
    counts: Counts,
    random: Random,
    words: u32,
    give_up: GiveUp,
    last: Option<Point>,
    commands: Commands,
    line: Line,
    _anchor: Allocation,
    allocator: Allocator,
    yard: Arc<Yard>,
}

const LARGEST: u64 = 64 << 10;
const MOST_LIVE: usize = 60;
/// A ring of six fences has room for these and for some submitted ones.
const MOST_OPEN: usize = 2;

impl Program {
    fn new(gpu: &Arc<Gpu>, kind: Kind, seed: u64, give_up: GiveUp) -> Self {
        // Small blocks, so that they fill, multiply and are freed while work is pending. But the
        // only block of the control must stay.
        let block = if give_up == GiveUp::Drop { 512 << 10 } else { 16 << 20 };
        let (allocator, yard) =
            allocator_with(gpu, |desc| desc.first_block(block).largest_block(block));
        Self {
            gate: Gate::new(gpu),
            live: Vec::new(),
            open: Vec::new(),
            intervals: Intervals::default(),
            counts: Counts::default(),
            random: Random::new(seed),
            words: 0,
            give_up,
            last: None,
            commands: Commands::new(gpu),
            line: Line::new(&yard, &allocator, kind),
            _anchor: anchor(&allocator),
            allocator,
            yard,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..44 => self.allocate(),
            44..59 => self.begin(),
            59..74 => self.submit(),
            74..83 => self.give_one_up(),
            83..89 => self.open_gate(),
            89..95 => drop(self.allocator.collect()),
            95..98 => self.finish(),
            _ => drop(self.allocator.trim()),
        }
    }

    fn next_word(&mut self) -> u32 {
        self.words += 1;
        self.words.wrapping_mul(0x9E37_79B1)
    }

    fn allocate(&mut self) {
        if self.live.len() >= MOST_LIVE {
            self.give_one_up();
        }
        let size = self.random.size(256, LARGEST / 2);
        let word = self.next_word();
        let mut thing = if self.give_up == GiveUp::Drop && self.random.chance(50) {
            Thing::buffer(&self.allocator, size)
        } else {
            Thing::bound(&self.allocator, &self.yard, size)
        };
        let pending = self.intervals.pending();
        self.counts.allocations += 1;
        self.counts.while_pending += usize::from(pending > 0);
        self.counts.most_pending = self.counts.most_pending.max(pending);
        let number = self.intervals.give(Range::of(thing.allocation()));
        thing.write_words(size, word);
        self.live.push(Live { thing, number, size, word });
    }

    /// Opens a recording and records fills of a few live buffers; some may be dropped right then.
    fn begin(&mut self) {
        if self.live.is_empty() || self.open.len() >= MOST_OPEN {
            return self.submit();
        }
        let recording = self.line.begin(&self.gate);
        self.intervals.open(self.gate.opened());
        let word = self.next_word();
        let mut chosen: Vec<usize> =
            (0..1 + self.random.below(5)).map(|_| self.random.below(self.live.len())).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let ticket = self.gate.ticket();
        let commands = self.commands.record(|recorder| {
            self.gate.record_wait(recorder.commands, ticket);
            recorder.barrier();
            for &index in &chosen {
                recorder.fill(self.live[index].thing.handle(), word);
            }
            recorder.barrier();
        });
        let numbers: Vec<u32> = chosen.iter().map(|&index| self.live[index].number).collect();
        for &number in &numbers {
            self.intervals.record(number);
        }
        self.open.push(Open { recording, commands, numbers, word, ticket });
        for index in chosen.into_iter().rev() {
            if self.random.chance(60) {
                self.give_up_at(index);
            }
        }
    }

    /// Submits one of the open recordings behind the gate.
    fn submit(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let open = self.open.remove(self.random.below(self.open.len()));
        let point =
            self.line.submit_behind(open.recording, &[open.commands], &self.gate, open.ticket);
        self.last = Some(point);
        self.counts.submits += 1;
        for number in open.numbers {
            self.intervals.submit(number, open.ticket);
            if let Some(live) = self.live.iter_mut().find(|live| live.number == number) {
                live.word = open.word;
            }
        }
    }

    fn open_gate(&mut self) {
        let ticket = self.gate.opened() + 1 + self.random.below(3) as u64;
        self.gate.open(ticket.min(self.gate.issued()));
        self.intervals.open(self.gate.opened());
    }

    fn give_one_up(&mut self) {
        if !self.live.is_empty() {
            let index = self.random.below(self.live.len());
            self.give_up_at(index);
        }
    }

    fn give_up_at(&mut self, index: usize) {
        let live = self.live.swap_remove(index);
        self.intervals.give_up(live.number);
        match self.give_up {
            GiveUp::Drop => drop(live.thing),
            // SAFETY: this is the control. Its buffer is the yard's and its block is anchored, so
            // the only thing lost is what a range holds.
            GiveUp::FreeNow => unsafe { live.thing.free_now() },
        }
    }

    /// Submits the open recordings, opens the gate, waits and collects.
    fn finish(&mut self) {
        while !self.open.is_empty() {
            self.submit();
        }
        self.gate.open(self.gate.issued());
        self.intervals.open(self.gate.opened());
        if let Some(last) = self.last {
            self.line.wait(last);
        }
        self.allocator.collect();
    }

    /// Everything is done: live buffers contain what was written last, and nothing is pending.
    fn assert_contents(&self) {
        for live in &self.live {
            live.thing.assert_words(live.size, live.word, &format!("#{}", live.number));
        }
        let statistics = self.allocator.statistics();
        assert_eq!(
            (statistics.total.pending, statistics.total.pending_count),
            (0, 0),
            "all work is done"
        );
    }

    /// Drops everything. No leak is reported.
    fn end(self) -> Counts {
        let Self { gate, live, allocator, line, commands, _anchor, counts, .. } = self;
        drop((gate, live, _anchor));
        allocator.collect();
        drop((commands, line));
        let report = allocator.close().expect("the last clone");
        assert!(report.leaks.is_empty(), "{report:?}");
        counts
    }
}
