//! Random work on several queues, with faults, against a naive model that knows who may access
//! what.
//!
//! For every dropped range, the model keeps the recordings that were open at the drop and, from
//! their ends on, the submissions that were in flight. The range may be handed out again only when
//! all of these are done. The model does not contain bags or cuts.

mod support;

use std::collections::BTreeMap;

use fencepost::{
    Allocation, AllocationDesc, Allocator, JoinError, Recording, ResourceKind, Timeline,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::{
    random::{Random, fresh_seed},
    *,
};

type Place = (vk::DeviceMemory, u64);

/// A submission: its queue and its running number there.
type Submission = (usize, u64);

#[derive(Default)]
struct Twin {
    /// The live ranges, from start to end.
    live: BTreeMap<Place, u64>,
    /// The dropped ranges that may still be accessed.
    held: Vec<Held>,
    submitted: [u64; QUEUES],
    completed: [u64; QUEUES],
}

struct Held {
    place: Place,
    end: u64,
    /// Recordings that were open at the drop and have not ended.
    pins: Vec<u64>,
    /// What was in flight when the last of them ended.
    waits: Vec<Submission>,
}

const QUEUES: usize = 3;

impl Twin {
    fn outstanding(&self) -> Vec<Submission> {
        (0..QUEUES)
            .filter(|&queue| self.submitted[queue] > self.completed[queue])
            .map(|queue| (queue, self.submitted[queue]))
            .collect()
    }

    fn drop_range(&mut self, place: Place, open: &[u64]) {
        let end = self.live.remove(&place).expect("it lived");
        let waits = if open.is_empty() { self.outstanding() } else { Vec::new() };
        self.held.push(Held { place, end, pins: open.to_vec(), waits });
    }

    fn end_recording(&mut self, recording: u64) {
        let out = self.outstanding();
        for held in &mut self.held {
            let pinned = !held.pins.is_empty();
            held.pins.retain(|&pin| pin != recording);
            if pinned && held.pins.is_empty() {
                held.waits.clone_from(&out);
            }
        }
    }

    fn forget_done(&mut self) {
        let completed = self.completed;
        self.held.retain_mut(|held| {
            held.waits.retain(|&(queue, number)| number > completed[queue]);
            !held.pins.is_empty() || !held.waits.is_empty()
        });
    }

    /// A range is handed out: it must not overlap any range that is live or may still be accessed.
    fn grant(&mut self, place: Place, size: u64) {
        self.forget_done();
        let (memory, begin) = place;
        let end = begin + size;
        let before = self.live.range(..(memory, end)).next_back();
        if let Some((&(other, _), &other_end)) = before {
            assert!(other != memory || other_end <= begin, "{place:?} overlaps a live range");
        }
        for held in &self.held {
            let apart = held.place.0 != memory || held.end <= begin || end <= held.place.1;
            assert!(apart, "{place:?} is handed out while it may still be touched");
        }
        self.live.insert(place, end);
    }
}

struct World {
    fake: FakeDriver,
    allocator: Allocator,
    timelines: Vec<Timeline>,
    live: Vec<Allocation>,
    open: Vec<Open>,
    next_recording: u64,
    twin: Twin,
    slip: Slip,
}

/// A recording, with those that it has joined.
struct Open {
    numbers: Vec<u64>,
    queue: usize,
    recording: Recording,
    commands: Vec<vk::CommandBuffer>,
}

/// The mistake of a control.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slip {
    None,
    /// Frees immediately what should wait.
    FreesAtOnce,
    /// Abandons a recording that another one has joined.
    AbandonsJoined,
}

impl World {
    fn new(slip: Slip) -> Self {
        let fake = FakeDriver::new(&Profile::default());
        let allocator = allocator(&fake);
        let timelines = vec![
            allocator.timeline(fake.queue(0)).unwrap(),
            allocator.timeline(fake.queue(1)).unwrap(),
            allocator.fence_timeline(fake.queue(2), 4).unwrap(),
        ];
        Self {
            fake,
            allocator,
            timelines,
            live: Vec::new(),
            open: Vec::new(),
            next_recording: 0,
            twin: Twin::default(),
            slip,
        }
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(100) {
            0..35 => self.allocate(random),
            35..62 => self.drop_one(random),
            62..74 => self.begin(random),
            74..77 => self.join(random),
            77..84 => self.submit(random),
            84..86 => self.abandon(random),
            86..95 => self.progress(random),
            _ => {
                self.allocator.collect();
            }
        }
    }

    fn allocate(&mut self, random: &mut Random) {
        if self.live.len() > 600 {
            return;
        }
        let size = 1 << random.below(18);
        let size = size + random.below(size);
        let alignment = 1 << random.below(14);
        let requirements = vk::MemoryRequirements { size, alignment, memory_type_bits: !0 };
        let kind = if random.one_in(4) { ResourceKind::Optimal } else { ResourceKind::Linear };
        let desc = match random.below(3) {
            0 => AllocationDesc::upload(),
            1 => AllocationDesc::readback().dedicated(random.one_in(40)),
            _ => AllocationDesc::device_local(),
        };
        if random.one_in(20) {
            let error = vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;
            self.fake.fail(Call::AllocateMemory, random.below(3), error);
        }
        if let Ok(made) = self.allocator.allocate(&requirements, kind, &desc) {
            assert_eq!(made.offset() % alignment, 0);
            assert!(made.size() >= size);
            self.twin.grant((made.memory(), made.offset()), made.size());
            self.live.push(made);
        }
        self.fake.clear_faults();
    }

    fn drop_one(&mut self, random: &mut Random) {
        if self.live.is_empty() {
            return;
        }
        let victim = self.live.swap_remove(random.below(self.live.len() as u64) as usize);
        let open: Vec<u64> = self.open.iter().flat_map(|open| open.numbers.clone()).collect();
        self.twin.drop_range((victim.memory(), victim.offset()), &open);
        if self.slip == Slip::FreesAtOnce {
            // SAFETY: not kept: this is the control.
            unsafe { victim.free_now() };
        } else {
            drop(victim);
        }
    }

    fn begin(&mut self, random: &mut Random) {
        let queue = random.below(QUEUES as u64) as usize;
        let Ok(recording) = self.timelines[queue].begin() else { return };
        let uses: Vec<Use> = (0..random.below(4).min(self.live.len() as u64))
            .map(|_| &self.live[random.below(self.live.len() as u64) as usize])
            .map(|used| Use::memory(used.memory(), used.offset(), used.size()))
            .collect();
        let commands = vec![self.fake.record(&uses)];
        self.open.push(Open { numbers: vec![self.next_recording], queue, recording, commands });
        self.next_recording += 1;
    }

    fn take_open(&mut self, random: &mut Random) -> Option<Open> {
        let count = self.open.len() as u64;
        (count > 0).then(|| self.open.swap_remove(random.below(count) as usize))
    }

    /// One recording joins another one, older or newer. If it is of another queue, it is returned.
    fn join(&mut self, random: &mut Random) {
        let Some(mut all) = self.take_open(random) else { return };
        if let Some(one) = self.take_open(random) {
            let Open { numbers, queue, recording, commands } = one;
            let joined = match self.slip {
                Slip::AbandonsJoined if queue == all.queue => {
                    // SAFETY: not so: this is the control.
                    unsafe { recording.abandon() };
                    Ok(())
                }
                _ => all.recording.join(recording),
            };
            assert_eq!(joined.is_ok(), queue == all.queue);
            match joined {
                Ok(()) => {
                    all.numbers.extend(numbers);
                    all.commands.extend(commands);
                }
                Err(JoinError { recording, .. }) => {
                    self.open.push(Open { numbers, queue, recording, commands });
                }
            }
        }
        self.open.push(all);
    }

    fn submit(&mut self, random: &mut Random) {
        let Some(Open { numbers, queue, recording, commands }) = self.take_open(random) else {
            return;
        };
        let batch = vk::SubmitInfo::default().command_buffers(&commands);
        if random.one_in(10) {
            let error = vk::Result::ERROR_OUT_OF_HOST_MEMORY;
            self.fake.fail(Call::QueueSubmit, 0, error);
        }
        // SAFETY: the fake's command buffers are recorded.
        match recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) }) {
            Ok(_) => {
                self.twin.submitted[queue] += 1;
                numbers.into_iter().for_each(|number| self.twin.end_recording(number));
            }
            Err(fencepost::SubmitError::Failed { recording, .. }) => {
                self.open.push(Open { numbers, queue, recording, commands });
            }
            Err(other) => panic!("{other:?}"),
        }
        self.fake.clear_faults();
    }

    fn abandon(&mut self, random: &mut Random) {
        let Some(Open { numbers, recording, .. }) = self.take_open(random) else { return };
        // SAFETY: its commands are never submitted.
        unsafe { recording.abandon() };
        numbers.into_iter().for_each(|number| self.twin.end_recording(number));
    }

    /// The GPU completes a submission of one queue: all its batches.
    fn progress(&mut self, random: &mut Random) {
        let queue = random.below(QUEUES as u64) as usize;
        if self.twin.completed[queue] == self.twin.submitted[queue] {
            return;
        }
        // A submission with a semaphore has an additional batch for the signal.
        let batches = if queue < 2 { 2 } else { 1 };
        for _ in 0..batches {
            assert!(self.fake.step(self.fake.queue(queue as u32)));
        }
        self.twin.completed[queue] += 1;
    }

    fn end(mut self) {
        for Open { recording, .. } in self.open.drain(..) {
            // SAFETY: nothing more is submitted.
            unsafe { recording.abandon() };
        }
        self.fake.run();
        self.live.clear();
        self.allocator.collect();
        self.allocator.check().unwrap();
        let statistics = self.allocator.statistics();
        assert_eq!((statistics.total.live_count, statistics.total.pending_count), (0, 0));
        drop((self.timelines, self.allocator));
        self.fake.finish().unwrap();
    }
}

fn run(seed: u64, steps: u64) {
    let mut random = Random::new(seed);
    let mut world = World::new(Slip::None);
    for step in 0..steps {
        world.step(&mut random);
        if step % 251 == 0 {
            world.allocator.check().unwrap();
            let violations = world.fake.violations();
            assert!(violations.is_empty(), "seed {seed}, step {step}: {violations:?}");
        }
    }
    world.end();
}

#[test]
fn random_work_never_gets_a_range_that_may_be_touched() {
    for seed in [1, 2, 3, fresh_seed()] {
        run(seed, 25_000);
    }
}

#[test]
#[ignore = "deep: 10,000,000 steps, some minutes"]
fn random_work_never_gets_a_range_that_may_be_touched_deep() {
    for seed in [11, 12, 13, fresh_seed()] {
        run(seed, 2_500_000);
    }
}

/// The controls: the same twin detects drops that do not wait, and joined recordings that are
/// forgotten.
#[test]
fn what_ends_too_early_is_caught_by_the_twin() {
    for slip in [Slip::FreesAtOnce, Slip::AbandonsJoined] {
        let caught = std::panic::catch_unwind(|| {
            let mut random = Random::new(1);
            let mut world = World::new(slip);
            for _ in 0..5_000 {
                world.step(&mut random);
            }
        });
        let message = *caught.expect_err("the twin must complain").downcast::<String>().unwrap();
        assert!(message.contains("while it may still be touched"), "{message}");
    }
}
