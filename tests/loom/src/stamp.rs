//! A drop reads the number of its bag from an atomic while other threads begin, submit and collect.
//!
//! The rule itself is the real one, `retire::Cuts` and `retire::Bags`; what is modelled is how the
//! allocator wraps them: the register behind a lock, its two numbers published under it, the lane
//! behind another lock, never both.

use fencepost::retire::{BagNumber, Bags, Cuts, RecordingId, TimelineId};
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// When a begin publishes the number of its bag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Publish {
    UnderTheLock,
    /// The control: after the recording was handed out.
    TooLate,
}

struct World {
    register: Mutex<Cuts>,
    timeline: TimelineId,
    current: AtomicU64,
    reached: AtomicU64,
    lane: Mutex<Bags<usize>>,
    /// By resource: whether a recording or the GPU may use it.
    busy: [AtomicBool; 2],
    publish: Publish,
}

impl World {
    fn new(publish: Publish) -> Arc<Self> {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        Arc::new(Self {
            current: AtomicU64::new(cuts.current().get()),
            reached: AtomicU64::new(cuts.reached_bag().get()),
            register: Mutex::new(cuts),
            timeline,
            lane: Mutex::default(),
            busy: [AtomicBool::new(false), AtomicBool::new(false)],
            publish,
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
    fn begin(&self, resource: usize) -> RecordingId {
        match self.publish {
            Publish::UnderTheLock => {
                let id = self.with_register(|cuts| cuts.begin(self.timeline)).unwrap();
                self.busy[resource].store(true, Ordering::Relaxed);
                id
            }
            Publish::TooLate => {
                let id = self.register.lock().unwrap().begin(self.timeline).unwrap();
                self.busy[resource].store(true, Ordering::Relaxed);
                thread::yield_now();
                id
            }
        }
    }

    fn submit(&self, id: RecordingId) -> u64 {
        self.with_register(|cuts| {
            let value = cuts.assign(self.timeline).unwrap();
            cuts.submitted(id, value).unwrap().value()
        })
    }

    /// The GPU is done with a submission, and then the counter shows it.
    fn signal(&self, value: u64, resource: usize) {
        self.busy[resource].store(false, Ordering::Relaxed);
        self.with_register(|cuts| cuts.signalled(self.timeline, value)).unwrap();
    }

    fn free(&self, resource: usize) {
        assert!(!self.busy[resource].load(Ordering::Relaxed), "freed too early: {resource}");
    }

    fn retire(&self, resource: usize) {
        let mut bags = self.lane.lock().unwrap();
        let bag = BagNumber::from_number(self.current.load(Ordering::Acquire));
        let reached = BagNumber::from_number(self.reached.load(Ordering::Acquire));
        if bag.is_reached(reached) {
            self.free(resource);
        } else {
            bags.file(bag, resource);
        }
    }

    fn collect(&self) {
        let reached = self.with_register(|cuts| cuts.reached());
        let mut out = Vec::new();
        let mut bags = self.lane.lock().unwrap();
        bags.take_reached(&reached, &mut out);
        bags.check().unwrap();
        out.into_iter().for_each(|resource| self.free(resource));
    }
}

/// One thread records, submits and is the GPU; the other drops what the first names, and collects.
fn drop_beside_submit(publish: Publish) {
    loom::model(move || {
        let world = World::new(publish);
        let id = world.begin(0);
        let beside = Arc::clone(&world);
        let other = thread::spawn(move || {
            beside.retire(0);
            beside.collect();
        });
        let value = world.submit(id);
        world.signal(value, 0);
        other.join().unwrap();
        world.collect();
        assert!(world.lane.lock().unwrap().is_empty(), "nothing waits for ever");
    });
}

#[test]
fn a_drop_beside_a_submit_waits_for_it() {
    drop_beside_submit(Publish::UnderTheLock);
}

#[test]
#[should_panic = "freed too early"]
fn control_a_number_published_late_frees_early() {
    drop_beside_submit(Publish::TooLate);
}

/// Both threads record and submit; each drops its own resource between its begin and its submit.
#[test]
fn two_recordings_each_hold_back_what_either_drops() {
    loom::model(|| {
        let world = World::new(Publish::UnderTheLock);
        let beside = Arc::clone(&world);
        let work = |world: &World, resource: usize| {
            let id = world.begin(resource);
            world.retire(resource);
            let value = world.submit(id);
            (value, resource)
        };
        let other = thread::spawn(move || work(&beside, 1));
        let mine = work(&world, 0);
        let theirs = other.join().unwrap();
        let mut done = [mine, theirs];
        done.sort_unstable();
        for (value, resource) in done {
            world.collect();
            world.signal(value, resource);
        }
        world.collect();
        assert!(world.lane.lock().unwrap().is_empty(), "nothing waits for ever");
    });
}
