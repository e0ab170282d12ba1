//! The register and a lane, wrapped as in the allocator: the register is behind a lock, and its two
//! numbers are published under it; the lane is behind another lock; no thread holds both. The rule
//! itself is the real one, `retire::Cuts` and `retire::Bags`.

use fencepost::retire::{BagNumber, Bags, Cuts, RecordingId, TimelineId};
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};

/// The rule, and what goes wrong without it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Kept,
    /// A control: the number of a recording's bag is published after the recording was handed out.
    PublishesLate,
    /// A control: the recordings that a recording has joined end before it does.
    EndsJoinedFirst,
}

pub struct World {
    rule: Rule,
    register: Mutex<Cuts>,
    timeline: TimelineId,
    current: AtomicU64,
    reached: AtomicU64,
    lane: Mutex<Bags<usize>>,
    /// For each resource, whether a recording or the GPU may use it.
    busy: [AtomicBool; 2],
}

impl World {
    pub fn new(rule: Rule) -> Arc<Self> {
        let mut cuts = Cuts::new(1);
        Arc::new(Self {
            rule,
            timeline: cuts.add_timeline(0),
            current: AtomicU64::new(cuts.current().get()),
            reached: AtomicU64::new(cuts.reached_bag().get()),
            register: Mutex::new(cuts),
            lane: Mutex::default(),
            busy: Default::default(),
        })
    }

    fn with_register<T>(&self, change: impl FnOnce(&mut Cuts) -> T) -> T {
        let mut cuts = self.register.lock().unwrap();
        let result = change(&mut cuts);
        self.current.store(cuts.current().get(), Ordering::Release);
        self.reached.store(cuts.reached_bag().get(), Ordering::Release);
        result
    }

    /// Begins a recording that names a resource.
    pub fn begin(&self, resource: usize) -> RecordingId {
        let begin = |cuts: &mut Cuts| cuts.begin(self.timeline).unwrap();
        let id = match self.rule {
            Rule::PublishesLate => begin(&mut self.register.lock().unwrap()),
            _ => self.with_register(begin),
        };
        self.busy[resource].store(true, Ordering::Relaxed);
        id
    }

    /// Submits a recording and those that it has joined. Returns the value.
    pub fn submit(&self, id: RecordingId, joined: &[RecordingId]) -> u64 {
        self.with_register(|cuts| {
            let value = cuts.assign(self.timeline).unwrap();
            let first = if self.rule == Rule::EndsJoinedFirst { joined.len() } else { 0 };
            let (before, after) = joined.split_at(first);
            before.iter().for_each(|&id| cuts.abandon(id).unwrap());
            cuts.submitted(id, value).unwrap();
            after.iter().for_each(|&id| cuts.abandon(id).unwrap());
            value
        })
    }

    /// The GPU is done with what used these resources, and then the counter shows it.
    pub fn signal(&self, value: u64, resources: &[usize]) {
        resources.iter().for_each(|&done| self.busy[done].store(false, Ordering::Relaxed));
        self.with_register(|cuts| cuts.signalled(self.timeline, value)).unwrap();
    }

    fn free(&self, resource: usize) {
        assert!(!self.busy[resource].load(Ordering::Relaxed), "freed too early: {resource}");
    }

    pub fn retire(&self, resource: usize) {
        let mut bags = self.lane.lock().unwrap();
        let bag = BagNumber::from_number(self.current.load(Ordering::Acquire));
        let reached = BagNumber::from_number(self.reached.load(Ordering::Acquire));
        if bag.is_reached(reached) {
            self.free(resource);
        } else {
            bags.file(bag, resource);
        }
    }

    pub fn collect(&self) {
        let reached = self.with_register(|cuts| cuts.reached());
        let mut out = Vec::new();
        let mut bags = self.lane.lock().unwrap();
        bags.take_reached(&reached, &mut out);
        bags.check().unwrap();
        out.into_iter().for_each(|resource| self.free(resource));
    }

    pub fn end(&self) {
        self.collect();
        assert!(self.lane.lock().unwrap().is_empty(), "nothing waits for ever");
    }
}
