//! Random runs against a naive model: what is in use, and what overlaps what.
//!
//! The model keeps lists and compares everything with everything. It predicts the kind of each
//! violation and its object; the fake must report exactly those.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use ash::vk;
use fencepost::fake::{Object, Profile, Use, Violation, Violations};

use crate::support::{Gpu, object};

const MEMORY: u64 = 16 << 10;
const QUEUES: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Broken {
    InUse(u64),
    BindInUse(u64, u64),
    BindOverlap(u64, u64),
    SubmitOverlap(u64),
    SubmitDead(u64),
}

/// What the twin predicts of a violation; the objects as raw handles.
fn broken(violation: &Violation) -> Broken {
    let raw = |object: &Object| object.raw;
    match violation {
        Violation::InUse { object, .. } => Broken::InUse(raw(object)),
        Violation::BindInUse { resource, other, .. } => {
            Broken::BindInUse(raw(resource), raw(other))
        }
        Violation::BindOverlap { resource, other, .. } => {
            Broken::BindOverlap(raw(resource), raw(other))
        }
        Violation::SubmitOverlap { range, .. } => Broken::SubmitOverlap(range.offset),
        Violation::SubmitDead { object, .. } => Broken::SubmitDead(raw(object)),
        other => panic!("not predicted: {other}"),
    }
}

#[derive(Clone, Copy)]
struct Piece {
    buffer: vk::Buffer,
    start: u64,
    end: u64,
    alive: bool,
}

struct Twin {
    pieces: Vec<Piece>,
    queues: Vec<VecDeque<Vec<usize>>>,
    predicted: Vec<Broken>,
}

impl Twin {
    fn busy(&self, piece: usize) -> bool {
        self.queues.iter().flatten().any(|uses| uses.contains(&piece))
    }

    /// The other live pieces that overlap this one.
    fn over(&self, piece: usize) -> Vec<usize> {
        let it = self.pieces[piece];
        (0..self.pieces.len())
            .filter(|other| *other != piece && self.pieces[*other].alive)
            .filter(|other| self.pieces[*other].start < it.end)
            .filter(|other| self.pieces[*other].end > it.start)
            .collect()
    }

    fn bind(&mut self, piece: Piece) {
        self.pieces.push(piece);
        let new = self.pieces.len() - 1;
        for other in self.over(new) {
            let (raw, other_raw) =
                (object(piece.buffer).raw, object(self.pieces[other].buffer).raw);
            self.predicted.push(match self.busy(other) {
                true => Broken::BindInUse(raw, other_raw),
                false => Broken::BindOverlap(raw, other_raw),
            });
        }
    }

    fn destroy(&mut self, piece: usize) {
        if self.busy(piece) {
            self.predicted.push(Broken::InUse(object(self.pieces[piece].buffer).raw));
        }
        self.pieces[piece].alive = false;
    }

    fn submit(&mut self, queue: usize, uses: Vec<usize>) {
        for &piece in &uses {
            let it = self.pieces[piece];
            if !it.alive {
                self.predicted.push(Broken::SubmitDead(object(it.buffer).raw));
            } else if self.over(piece).iter().any(|other| self.busy(*other)) {
                self.predicted.push(Broken::SubmitOverlap(it.start));
            }
        }
        let alive = uses.into_iter().filter(|piece| self.pieces[*piece].alive).collect();
        self.queues[queue].push_back(alive);
    }
}

fn run(mut seed: u64) {
    let started = seed;
    let mut random = |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as usize % bound
    };
    let gpu = Gpu::with(Profile::default().queues(QUEUES).buffer_alignment(64));
    let memory = gpu.memory(MEMORY);
    let queues = (0..QUEUES).map(|_| VecDeque::new()).collect();
    let mut twin = Twin { pieces: Vec::new(), queues, predicted: Vec::new() };
    let mut seen = 0;
    for step in 0..250 {
        match random(8) {
            0..3 => {
                let start = random(MEMORY as usize / 64 - 1) as u64 * 64;
                let size = (1 + random(1024) as u64).min(MEMORY - start);
                let buffer = gpu.buffer_at(size, memory, start);
                twin.bind(Piece { buffer, start, end: start + size, alive: true });
            }
            3 if !twin.pieces.is_empty() => {
                let piece = random(twin.pieces.len());
                if twin.pieces[piece].alive {
                    unsafe { gpu.device.destroy_buffer(twin.pieces[piece].buffer, None) };
                    twin.destroy(piece);
                }
            }
            4..6 if !twin.pieces.is_empty() => {
                let mut uses: Vec<usize> = Vec::new();
                for _ in 0..1 + random(3) {
                    let piece = random(twin.pieces.len());
                    // Now and then one that is gone.
                    if !uses.contains(&piece) && (twin.pieces[piece].alive || random(20) == 0) {
                        uses.push(piece);
                    }
                }
                let queue = random(QUEUES as usize);
                let used: Vec<Use> =
                    uses.iter().map(|piece| Use::buffer(twin.pieces[*piece].buffer)).collect();
                gpu.submit(queue as u32, &used);
                twin.submit(queue, uses);
            }
            _ => {
                let queue = random(QUEUES as usize);
                let stepped = gpu.fake.step(gpu.fake.queue(queue as u32));
                assert_eq!(stepped, twin.queues[queue].pop_front().is_some());
            }
        }
        let violations = gpu.fake.violations();
        let mut found: Vec<Broken> = violations[seen..].iter().map(broken).collect();
        let mut wanted = std::mem::take(&mut twin.predicted);
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "seed {started:#x}, step {step}");
        seen = violations.len();
        if seen > Violations::KEPT / 2 {
            break;
        }
    }
}

#[test]
fn the_fake_reports_what_a_naive_twin_predicts() {
    let fresh = RandomState::new().hash_one(0) | 1;
    println!("fresh seed: {fresh:#x}");
    for seed in [1, 2, 3, 0xfeed, 0x1234_5678_9abc, fresh] {
        run(seed);
    }
}
