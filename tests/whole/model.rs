//! Who owns which bytes, and who may still access them. The model does not contain blocks, bags or
//! cuts.

use std::collections::BTreeMap;

use fencepost::{Dependency, Point, ResourceKind, vk};

pub type Place = (vk::DeviceMemory, u64);

/// A submission: its queue and its running number there, from 1 on.
pub type Submission = (usize, u64);

/// A live range.
#[derive(Clone, Debug)]
pub struct Range {
    pub end: u64,
    pub kind: ResourceKind,
    /// What its owner before, whose range was taken over, waits for.
    pub inherited: Vec<Submission>,
}

/// A range that ended and may still be touched.
#[derive(Clone, Debug)]
struct Held {
    memory: vk::DeviceMemory,
    start: u64,
    end: u64,
    kind: ResourceKind,
    /// Recordings that were open at the end and have not ended.
    pins: Vec<u64>,
    waits: Vec<Submission>,
}

/// One queue's work.
#[derive(Default, Debug)]
pub struct Queue {
    /// The point of each submission.
    pub points: Vec<Point>,
    pub completed: u64,
    /// The semaphore, unless it has fences.
    pub semaphore: Option<vk::Semaphore>,
}

#[derive(Default, Debug)]
pub struct Model {
    live: BTreeMap<Place, Range>,
    held: Vec<Held>,
    /// Pieces of rings, as long as they may be touched.
    pieces: Vec<Held>,
    pub queues: Vec<Queue>,
    /// `bufferImageGranularity`.
    pub page: u64,
}

impl Model {
    pub fn new(queues: Vec<Queue>, page: u64) -> Self {
        Self { queues, page, ..Self::default() }
    }

    fn outstanding(&self) -> Vec<Submission> {
        let last = |(queue, work): (usize, &Queue)| (queue, work.points.len() as u64);
        let all = self.queues.iter().enumerate().map(last);
        all.filter(|&(queue, number)| number > self.queues[queue].completed).collect()
    }

    pub fn is_done(&self, (queue, number): Submission) -> bool {
        number <= self.queues[queue].completed
    }

    /// A range is handed out: it overlaps nothing that lives or may still be touched, and shares no page of the
    /// granularity with a resource of the other kind.
    pub fn grant(&mut self, memory: vk::DeviceMemory, start: u64, size: u64, kind: ResourceKind) {
        self.forget_done();
        self.expect_free(memory, start, start + size, kind, None);
        let range = Range { end: start + size, kind, inherited: Vec::new() };
        self.live.insert((memory, start), range);
    }

    /// A range is handed out that may still be touched: what its first use on `queue` waits for is enough.
    pub fn grant_ordered(
        &mut self,
        (memory, start, end): (vk::DeviceMemory, u64, u64),
        kind: ResourceKind,
        queue: usize,
        dependency: &Dependency,
    ) {
        self.forget_done();
        let (mut inherited, mut rests) = (Vec::new(), Vec::new());
        self.held.retain(|held| {
            if held.memory != memory || held.end <= start || end <= held.start {
                return true;
            }
            assert!(held.pins.is_empty(), "taken over while a recording may name it: {held:?}");
            inherited.extend_from_slice(&held.waits);
            if held.start < start {
                rests.push(Held { end: start, ..held.clone() });
            }
            if end < held.end {
                rests.push(Held { start: end, ..held.clone() });
            }
            false
        });
        let order = (queue, dependency);
        assert!(self.is_ordered(&inherited, order), "{order:?} does not wait for {inherited:?}");
        // What is left of an owner before it may lie on its page, if its work comes after that one's.
        self.expect_free(memory, start, end, kind, Some(order));
        self.held.extend(rests);
        self.live.insert((memory, start), Range { end, kind, inherited });
    }

    /// Whether the work that waits for a dependency, on a queue, comes after all of some submissions.
    fn is_ordered(&self, after: &[Submission], (queue, dependency): (usize, &Dependency)) -> bool {
        after.iter().all(|&(other, number)| {
            let Queue { points, semaphore: of, .. } = &self.queues[other];
            let covers = |&(semaphore, value): &(vk::Semaphore, u64)| {
                Some(semaphore) == *of && value >= points[number as usize - 1].value()
            };
            let waits = dependency.waits().iter().any(covers);
            if other == queue { dependency.needs_barrier() } else { waits }
        })
    }

    fn expect_free(
        &self,
        memory: vk::DeviceMemory,
        start: u64,
        end: u64,
        kind: ResourceKind,
        order: Option<(usize, &Dependency)>,
    ) {
        let down = |at: u64| at / self.page * self.page;
        let up = |at: u64| at.next_multiple_of(self.page);
        let (first, last) = (down(start), up(end));
        let apart = |of: ResourceKind, from: u64, to: u64| match of == kind {
            true => to <= start || end <= from,
            false => to <= first || last <= from,
        };
        let before = self.live.range((memory, 0)..(memory, last)).rev();
        for (&(_, other), range) in before.take(2) {
            assert!(apart(range.kind, other, range.end), "{start}..{end}: {range:?} from {other}");
        }
        // Of the other kind one may lie on the page behind.
        for held in self.held.iter().filter(|held| held.memory == memory) {
            let after = |order| held.pins.is_empty() && self.is_ordered(&held.waits, order);
            let on_page = apart(kind, held.start, held.end) && order.is_some_and(after);
            let free = apart(held.kind, held.start, held.end) || on_page;
            assert!(free, "{start}..{end} while {held:?}");
        }
    }

    /// The live range that begins at a place.
    fn take(&mut self, place: Place) -> Range {
        self.live.remove(&place).expect("it lived")
    }

    /// Dropped: while recordings are open that may name it, and what is submitted by their ends is not done.
    pub fn drop_range(&mut self, place: Place, open: &[u64]) {
        let Range { end, kind, mut inherited } = self.take(place);
        if open.is_empty() {
            inherited.extend(self.outstanding());
        }
        self.hold(place, end, kind, open.to_vec(), inherited);
    }

    /// Ended at points.
    pub fn end_range(&mut self, place: Place, waits: &[Submission]) {
        let Range { end, kind, mut inherited } = self.take(place);
        inherited.extend_from_slice(waits);
        self.hold(place, end, kind, Vec::new(), inherited);
    }

    fn hold(
        &mut self,
        (memory, start): Place,
        end: u64,
        kind: ResourceKind,
        pins: Vec<u64>,
        waits: Vec<Submission>,
    ) {
        self.held.push(Held { memory, start, end, kind, pins, waits });
        self.forget_done();
    }

    /// A piece of a ring, in whole atoms, for these recordings: nobody else has any of it.
    pub fn take_piece(&mut self, (memory, start): Place, end: u64, pins: Vec<u64>) {
        self.forget_done();
        let kind = ResourceKind::Linear;
        let piece = Held { memory, start, end, kind, pins, waits: Vec::new() };
        let overlaps = |it: &&Held| it.memory == memory && it.start < end && start < it.end;
        let other = self.pieces.iter().find(overlaps);
        assert!(other.is_none(), "{piece:?} while {other:?}");
        self.pieces.push(piece);
    }

    /// Bytes of pieces within a range that may still be touched.
    pub fn piece_bytes(&self, (memory, start): Place, end: u64) -> u64 {
        let inside = |it: &&Held| it.memory == memory && start <= it.start && it.end <= end;
        self.pieces.iter().filter(inside).map(|it| it.end - it.start).sum()
    }

    pub fn end_recording(&mut self, recording: u64) {
        let out = self.outstanding();
        for held in self.held.iter_mut().chain(&mut self.pieces) {
            let pinned = !held.pins.is_empty();
            held.pins.retain(|&pin| pin != recording);
            if pinned && held.pins.is_empty() {
                held.waits.extend_from_slice(&out);
            }
        }
        self.forget_done();
    }

    pub fn forget_done(&mut self) {
        let Self { held, pieces, queues, .. } = self;
        for all in [held, pieces] {
            all.retain_mut(|held| {
                held.waits.retain(|&(queue, number)| number > queues[queue].completed);
                !held.pins.is_empty() || !held.waits.is_empty()
            });
        }
    }

    /// The device is lost: the GPU touches nothing any more.
    pub fn lose(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.completed = queue.points.len() as u64);
        self.held.clear();
        self.pieces.clear();
    }

    /// How many live, and their bytes.
    pub fn live(&self) -> (u64, u64) {
        let bytes = self.live.iter().map(|(&(_, start), range)| range.end - start).sum();
        (self.live.len() as u64, bytes)
    }

    /// Bytes that may still be touched.
    pub fn held_bytes(&self) -> u64 {
        self.held.iter().map(|held| held.end - held.start).sum()
    }

    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.live.iter().map(|(&(_, start), range)| (start, range.end - start))
    }
}
