//! While the GPU may access a range, nobody else gets it: a long run with random resources.
//!
//! Buffers, images and views of random sizes are created and dropped before, between and after the
//! steps of random recordings, and the gate holds a few submissions back at any time. Three
//! independent checks detect a range that is handed out too early: the checker of intervals knows
//! what the gate holds back; every buffer contains the words that were last written to it; and free
//! memory is poisoned, so work of a former owner changes it.

use std::collections::VecDeque;

use ash::vk;
use fencepost::{
    Allocation, AllocationDesc, Allocator, BeginError, GuardPolicy, Image, ImageDesc, ImageView,
    ImageViewDesc, Point,
};

use crate::harness::{Room, Scenario};
use crate::rig::{
    Commands, Gate, Intervals, Kind, Line, Random, Range, Recorder, Thing, Yard, allocator_with,
    anchor,
};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("a_long_run_hands_nothing_out_early", long_run).with_deep(),
        Scenario::new("control_a_long_run_sees_a_wrong_stamp", |room| {
            control(room, GiveUp::WrongStamp);
        }),
        Scenario::new("control_a_long_run_sees_free_now", |room| control(room, GiveUp::FreeNow)),
    ]
}

const KINDS: [Kind; 3] = [Kind::Owned, Kind::External, Kind::Fences(24)];

/// The number of submissions between two settlements, at which all work is done and everything is
/// checked.
const LAP: usize = 400;
const MOST_LIVE: usize = 48;
/// The number of submissions that the gate may hold back.
const MOST_HELD: usize = 8;
/// The number of submissions whose command buffers are kept.
const MOST_IN_FLIGHT: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GiveUp {
    Drop,
    /// A control: at a point that was passed long ago.
    WrongStamp,
    /// A control: immediately.
    FreeNow,
}

/// The results of the checks.
#[derive(Debug, Default)]
struct Verdict {
    submits: usize,
    reused: usize,
    overlaps: usize,
    wrong_words: usize,
    damage: usize,
}

fn long_run(room: &Room<'_>) {
    let submits = room.times(60, 12_000);
    let mut all = 0;
    for seed in room.seeds() {
        for kind in KINDS {
            let verdict = run(room, kind, GiveUp::Drop, seed, submits);
            println!("{kind:?}, seed {seed:#x}: {verdict:?}");
            let Verdict { overlaps, wrong_words, damage, .. } = verdict;
            assert_eq!((overlaps, wrong_words, damage), (0, 0, 0), "{verdict:?}");
            assert!(verdict.reused > submits / 4, "ranges are hardly given again: {verdict:?}");
            all += verdict.submits;
        }
    }
    room.note(format_args!("{all} submits"));
}

/// Each check must detect it independently.
fn control(room: &Room<'_>, give_up: GiveUp) {
    for kind in KINDS {
        let verdict = run(room, kind, give_up, 0x5EED_0004, 400);
        let Verdict { overlaps, wrong_words, damage, .. } = verdict;
        assert!(overlaps > 0 && wrong_words > 0 && damage > 0, "{kind:?}: {verdict:?}");
    }
}

/// Executes this many submissions, in laps.
fn run(room: &Room<'_>, kind: Kind, give_up: GiveUp, seed: u64, submits: usize) -> Verdict {
    let gpu = room.open();
    let (allocator, yard) = allocator_with(&gpu, |desc| {
        desc.first_block(1 << 20).largest_block(1 << 20).guards(GuardPolicy::Full)
    });
    let mut verdict = Verdict::default();
    {
        let line = Line::new(&yard, &allocator, kind);
        let anchor = anchor(&allocator);
        let mut live = Vec::new();
        let mut random = Random::new(seed);
        while verdict.submits < submits {
            let commands = Commands::new(&gpu);
            let mut lap = Lap {
                gate: Gate::new(&gpu),
                commands: &commands,
                line: &line,
                allocator: &allocator,
                yard: &yard,
                give_up,
                random: &mut random,
                live: &mut live,
                checker: Intervals::default(),
                flight: VecDeque::new(),
                passed: None,
                verdict: &mut verdict,
            };
            lap.run(LAP.min(submits - lap.verdict.submits));
        }
        // Nothing is in flight: the handles end immediately, in the regular way.
        drop((live, anchor));
    }
    allocator.collect();
    allocator.check().expect("the bookkeeping is whole");
    verdict
}

/// A resource, and its expected contents.
struct Live {
    made: Made,
    /// Its number in the checker.
    number: u32,
    /// The ticket of the last submission that names it.
    ticket: u64,
    contents: Contents,
}

enum Made {
    Thing(Thing),
    Image(Image, Option<ImageView>),
}

/// Bytes of one word and, from there to the end, of another. An image has one word after it is
/// cleared.
#[derive(Clone, Copy)]
struct Contents {
    size: u64,
    head: u64,
    words: [u32; 2],
    cleared: bool,
}

impl Contents {
    fn of(size: u64, word: u32) -> Self {
        Self { size, head: 0, words: [word; 2], cleared: false }
    }
}

impl Live {
    fn allocation(&self) -> &Allocation {
        match &self.made {
            Made::Thing(thing) => thing.allocation(),
            Made::Image(image, _) => image.allocation(),
        }
    }

    /// The number of words that are not as expected. Nothing in flight writes to them.
    fn wrong_words(&self) -> usize {
        let Made::Thing(thing) = &self.made else { return 0 };
        let Contents { size, head, words, .. } = self.contents;
        let seen = thing.read_words(size);
        let (first, rest) = seen.split_at((head / 4) as usize);
        let wrong = |part: &[u32], word| part.iter().filter(|&&seen| seen != word).count();
        wrong(first, words[0]) + wrong(rest, words[1])
    }
}

/// A submission whose command buffer is kept.
struct InFlight {
    ticket: u64,
    point: Point,
    buffer: vk::CommandBuffer,
}

struct Lap<'a> {
    /// Dropped first, so that nothing waits for ever.
    gate: Gate,
    commands: &'a Commands,
    line: &'a Line,
    allocator: &'a Allocator,
    yard: &'a Yard,
    give_up: GiveUp,
    random: &'a mut Random,
    live: &'a mut Vec<Live>,
    checker: Intervals,
    flight: VecDeque<InFlight>,
    /// The newest submission that is known to be done. A wrong stamp names its point.
    passed: Option<(u64, Point)>,
    verdict: &'a mut Verdict,
}

impl Lap<'_> {
    fn run(&mut self, submits: usize) {
        for live in self.live.iter_mut() {
            live.number = self.checker.give(Range::of(live.allocation()));
            live.ticket = 0;
        }
        let last = self.verdict.submits + submits;
        while self.verdict.submits < last {
            match self.random.below(100) {
                0..40 => self.allocate(),
                40..70 => self.submit(),
                70..85 => self.give_one_up(),
                85..98 => drop(self.allocator.collect()),
                _ => drop(self.allocator.trim()),
            }
        }
        self.settle();
    }

    /// All work is done, and everything is checked.
    fn settle(&mut self) {
        while !self.flight.is_empty() {
            self.finish_oldest();
        }
        self.allocator.collect_all();
        self.allocator.check().expect("the bookkeeping is whole");
        let pending = self.allocator.statistics().total.pending_count;
        assert_eq!(pending, 0, "all is done, and something is still held");
        self.verdict.wrong_words += self.live.iter().map(Live::wrong_words).sum::<usize>();
        self.verdict.damage += self.allocator.check_guards().len();
        self.verdict.overlaps += self.checker.overlaps.len();
        self.verdict.reused += self.checker.reused;
    }

    fn allocate(&mut self) {
        if self.live.len() >= MOST_LIVE {
            self.give_one_up();
        }
        let live = match self.give_up {
            GiveUp::Drop if self.random.chance(25) => self.image(),
            _ => self.buffer(),
        };
        self.live.push(live);
    }

    fn buffer(&mut self) -> Live {
        let size = self.random.size(256, 8 << 10);
        let word = self.random.next() as u32;
        let mut thing = match self.give_up {
            GiveUp::Drop => Thing::buffer(self.allocator, size),
            // If a control ends this too early, it must not be the driver's own object.
            _ => Thing::bound(self.allocator, self.yard, size),
        };
        let number = self.checker.give(Range::of(thing.allocation()));
        thing.write_words(size, word);
        Live { made: Made::Thing(thing), number, ticket: 0, contents: Contents::of(size, word) }
    }

    fn image(&mut self) -> Live {
        let usage = vk::ImageUsageFlags::TRANSFER_SRC
            | vk::ImageUsageFlags::TRANSFER_DST
            | vk::ImageUsageFlags::SAMPLED;
        let side = 4 << self.random.below(4);
        let desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, side, side, usage);
        let memory = AllocationDesc::device_local();
        let image = self.allocator.create_image(&desc, &memory).expect("an image");
        let view = self.random.chance(50).then(|| {
            let desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
            self.allocator.create_image_view(&image, &desc).expect("a view")
        });
        let number = self.checker.give(Range::of(image.allocation()));
        let contents = Contents::of(u64::from(side * side * 4), 0);
        Live { made: Made::Image(image, view), number, ticket: 0, contents }
    }

    /// Submits work on a few live resources. Some of them are dropped before, some after.
    fn submit(&mut self) {
        while self.flight.len() >= MOST_IN_FLIGHT {
            self.finish_oldest();
        }
        if self.random.chance(30) {
            self.give_one_up();
        }
        let mut recording = self.begin();
        // Another recording whose commands are submitted together; what it holds back is held with
        // this one's.
        let other = self.random.chance(10).then(|| self.begin());
        for place in 0..self.random.below(5).min(self.live.len()) {
            let other = self.random.below(self.live.len());
            self.live.swap(place, other);
        }
        let count = self.random.below(5).min(self.live.len());
        let ticket = self.gate.ticket();
        for live in &mut self.live[..count] {
            self.checker.record(live.number);
            live.ticket = ticket;
        }
        let numbers: Vec<u32> = self.live[..count].iter().map(|live| live.number).collect();
        let (random, live) = (&mut *self.random, &mut self.live[..count]);
        let buffer = self.commands.record(|recorder| {
            recorder.barrier();
            work(recorder, random, live);
            recorder.barrier();
        });
        while self.random.chance(40) {
            self.give_one_up();
        }
        if let Some(other) = other {
            recording.join(other).expect("they are of one timeline");
        }
        for number in numbers {
            self.checker.submit(number, ticket);
        }
        let point = self.line.submit_behind(recording, &[buffer], &self.gate, ticket);
        self.flight.push_back(InFlight { ticket, point, buffer });
        self.verdict.submits += 1;
        while self.random.chance(40) {
            self.give_one_up();
        }
        let held = self.random.below(MOST_HELD) as u64;
        self.open(self.gate.issued().saturating_sub(held));
    }

    fn begin(&mut self) -> fencepost::Recording {
        loop {
            match self.line.timeline.begin() {
                Ok(recording) => return recording,
                Err(BeginError::RingFull) => self.finish_oldest(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Opens all tickets up to this one. The checker is told before.
    fn open(&mut self, ticket: u64) {
        if ticket > self.gate.opened() {
            self.checker.open(ticket);
            self.gate.open(ticket);
        }
    }

    /// Lets the oldest submission in flight through, and waits for its end.
    fn finish_oldest(&mut self) {
        let InFlight { ticket, point, buffer } = self.flight.pop_front().expect("one is in flight");
        self.open(ticket);
        self.line.wait(point);
        self.commands.give_back(buffer);
        self.passed = Some((ticket, point));
    }

    fn give_one_up(&mut self) {
        if self.live.is_empty() || (self.give_up == GiveUp::WrongStamp && self.passed.is_none()) {
            return;
        }
        // Usually one of those that submissions name.
        let live = self.live.swap_remove(self.random.below(self.live.len().min(8)));
        self.checker.give_up(live.number);
        if live.ticket <= self.passed.map_or(0, |(ticket, _)| ticket) {
            // All work that names it is done.
            self.verdict.wrong_words += live.wrong_words();
        }
        match (self.give_up, live.made) {
            (GiveUp::WrongStamp, Made::Thing(Thing::Bound(allocation, _))) => {
                let (_, passed) = self.passed.expect("asked above");
                // SAFETY: this is the control. Its buffer is the yard's and its block is anchored.
                unsafe { allocation.retire_at(&[passed]) }.expect("the point is the allocator's");
            }
            // SAFETY: as above.
            (GiveUp::FreeNow, Made::Thing(thing)) => unsafe { thing.free_now() },
            (_, Made::Image(image, view)) if self.random.chance(50) => drop((image, view)),
            (_, made) => drop(made),
        }
    }
}

/// Records work on resources: buffers are filled, images cleared, and images copied into buffers.
fn work(recorder: &Recorder<'_>, random: &mut Random, live: &mut [Live]) {
    let general = vk::ImageLayout::GENERAL;
    for Live { made, contents, .. } in &mut *live {
        let word = random.next() as u32;
        match made {
            Made::Thing(thing) => recorder.fill(thing.handle(), word),
            Made::Image(image, _) => {
                if !contents.cleared {
                    recorder.layout(image.handle(), vk::ImageLayout::UNDEFINED, general);
                }
                recorder.clear(image.handle(), general, word.to_le_bytes());
            }
        }
        *contents = Contents { cleared: true, ..Contents::of(contents.size, word) };
    }
    recorder.barrier();
    let (buffers, images): (Vec<_>, Vec<_>) =
        live.iter_mut().partition(|live| matches!(live.made, Made::Thing(_)));
    for (to, from) in buffers.into_iter().zip(images) {
        let (Made::Thing(buffer), Made::Image(image, _)) = (&to.made, &from.made) else { continue };
        if from.contents.size <= to.contents.size {
            let vk::Extent3D { width, height, .. } = image.extent();
            let extent = vk::Extent3D { width, height, depth: 1 };
            recorder.copy_from_image(image.handle(), general, buffer.handle(), extent);
            to.contents.head = from.contents.size;
            to.contents.words[0] = from.contents.words[0];
        }
    }
}
