//! Every legal order of {begin, record, drop, submit} on two recording threads and one that drops,
//! with an additional idle timeline, or with no timeline at all, through the whole allocator over
//! the fake driver. The fake checks it: destroying, freeing or handing out again what a submission
//! in flight uses is a violation.

mod support;

use fencepost::{
    Allocation, AllocationDesc, Allocator, Recording, ResourceKind, Timeline,
    fake::{FakeDriver, Profile, Use},
    vk,
};
use support::*;

/// What the two recorders, the dropper and the GPU do, each in its own order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Begin(usize),
    Record(usize),
    Submit(usize),
    Drop,
    /// The GPU completes everything that was submitted so far, and the allocator collects.
    Progress,
}

/// Every interleaving that keeps each thread's own order, with the resource recorded before it is
/// dropped (a dropped handle cannot be recorded).
fn interleavings() -> Vec<Vec<Event>> {
    let recorder = |r| vec![Event::Begin(r), Event::Record(r), Event::Submit(r)];
    let threads = [recorder(0), recorder(1), vec![Event::Drop], vec![Event::Progress]];
    let mut all = Vec::new();
    interleave(&threads, [0; 4], &mut Vec::new(), &mut all);
    all.retain(|order| {
        let at = |event| order.iter().position(|&e| e == event);
        at(Event::Record(0)) < at(Event::Drop) && at(Event::Record(1)) < at(Event::Drop)
    });
    all
}

fn interleave(
    threads: &[Vec<Event>; 4],
    next: [usize; 4],
    so_far: &mut Vec<Event>,
    all: &mut Vec<Vec<Event>>,
) {
    let mut ended = true;
    for thread in 0..4 {
        if let Some(&event) = threads[thread].get(next[thread]) {
            ended = false;
            let mut next = next;
            next[thread] += 1;
            so_far.push(event);
            interleave(threads, next, so_far, all);
            so_far.pop();
        }
    }
    if ended {
        all.push(so_far.clone());
    }
}

/// The timelines that exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Setting {
    /// Both recorders on one queue.
    OneQueue,
    /// One queue each, and a third timeline that is idle.
    TwoQueuesAndAnIdleOne,
    /// Rings of fences on two queues.
    Fences,
}

/// How the resource is retired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    Drop,
    /// The control: the tempting rule, implemented with explicit points: "at the points issued so
    /// far".
    AtPointsIssuedSoFar,
    /// The control: immediately.
    Now,
}

struct Run {
    fake: FakeDriver,
    allocator: Allocator,
    timelines: [Timeline; 2],
    _idle: Option<Timeline>,
    recordings: [Option<Recording>; 2],
    commands: [vk::CommandBuffer; 2],
    resource: Option<Allocation>,
    /// The memory and offset, to find out whether another allocation gets it.
    place: (vk::DeviceMemory, u64),
    points: Vec<fencepost::Point>,
    completed: [bool; 2],
    submitted: [bool; 2],
    /// The other allocations that were placed at `place`.
    tenants: Vec<Allocation>,
}

const SIZE: u64 = 1 << 16;

fn allocate(allocator: &Allocator) -> Allocation {
    let requirements = vk::MemoryRequirements { size: SIZE, alignment: 256, memory_type_bits: !0 };
    allocator
        .allocate(&requirements, ResourceKind::Linear, &AllocationDesc::device_local())
        .unwrap()
}

impl Run {
    fn new(setting: Setting) -> Self {
        let fake = FakeDriver::new(&Profile::default());
        let allocator = allocator(&fake);
        let (a, b) = (fake.queue(0), fake.queue(1));
        let timelines = match setting {
            Setting::OneQueue => {
                let timeline = allocator.timeline(a).unwrap();
                [timeline.clone(), timeline]
            }
            Setting::TwoQueuesAndAnIdleOne => {
                [allocator.timeline(a).unwrap(), allocator.timeline(b).unwrap()]
            }
            Setting::Fences => {
                [allocator.fence_timeline(a, 3).unwrap(), allocator.fence_timeline(b, 3).unwrap()]
            }
        };
        let idle = (setting == Setting::TwoQueuesAndAnIdleOne)
            .then(|| allocator.timeline(fake.queue(2)).unwrap());
        let resource = allocate(&allocator);
        Self {
            place: (resource.memory(), resource.offset()),
            resource: Some(resource),
            fake,
            allocator,
            timelines,
            _idle: idle,
            recordings: [None, None],
            commands: [vk::CommandBuffer::null(); 2],
            points: Vec::new(),
            completed: [false; 2],
            submitted: [false; 2],
            tenants: Vec::new(),
        }
    }

    fn take(&mut self, event: Event, door: Door) {
        match event {
            Event::Begin(r) => self.recordings[r] = Some(self.timelines[r].begin().unwrap()),
            Event::Record(r) => {
                let (memory, offset) = self.place;
                self.commands[r] = self.fake.record(&[Use::memory(memory, offset, SIZE)]);
            }
            Event::Submit(r) => {
                let commands = [self.commands[r]];
                let batch = vk::SubmitInfo::default().command_buffers(&commands);
                let recording = self.recordings[r].take().unwrap();
                // SAFETY: the fake's command buffer is recorded.
                let point = recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) });
                self.points.push(point.unwrap());
                self.submitted[r] = true;
            }
            Event::Drop => {
                let resource = self.resource.take().unwrap();
                match door {
                    Door::Drop => drop(resource),
                    // SAFETY: not kept: these are the controls.
                    Door::AtPointsIssuedSoFar => unsafe {
                        resource.retire_at(&self.points).unwrap();
                    },
                    // SAFETY: as above.
                    Door::Now => unsafe { resource.free_now() },
                }
            }
            Event::Progress => {
                self.fake.run();
                self.completed = self.submitted;
                self.allocator.collect();
            }
        }
        self.allocator.check().unwrap();
    }

    /// Whether the place has another owner by now. Keeps allocating until it has, or until there is
    /// no room.
    fn is_handed_out(&mut self) -> bool {
        let mut others = Vec::new();
        for _ in 0..64 {
            let other = allocate(&self.allocator);
            let same = (other.memory(), other.offset()) == self.place;
            others.push(other);
            if same {
                self.tenants.append(&mut others);
                return true;
            }
        }
        for other in others {
            // SAFETY: never used.
            unsafe { other.free_now() };
        }
        false
    }

    /// A recorder may still access the place: it has begun and recorded, and is not done.
    fn is_in_use(&self, r: usize) -> bool {
        self.commands[r] != vk::CommandBuffer::null() && !self.completed[r]
    }
}

/// Runs one order. Returns whether the place was handed out while it could still be accessed.
fn violates(order: &[Event], setting: Setting, door: Door) -> bool {
    let mut run = Run::new(setting);
    let mut violated = false;
    for &event in order {
        run.take(event, door);
        let in_use = run.is_in_use(0) || run.is_in_use(1);
        if run.resource.is_none() && run.tenants.is_empty() && run.is_handed_out() {
            violated |= in_use;
        }
    }
    run.fake.run();
    run.allocator.collect();
    // It is freed in the end.
    assert!(!run.tenants.is_empty() || run.is_handed_out(), "{order:?}: held back for ever");
    run.tenants.clear();
    violated
}

#[test]
fn no_order_hands_a_range_out_while_it_may_be_touched() {
    let orders = interleavings();
    println!("{} orders", orders.len());
    assert!(orders.len() > 100);
    for setting in [Setting::OneQueue, Setting::TwoQueuesAndAnIdleOne, Setting::Fences] {
        for order in &orders {
            assert!(!violates(order, setting, Door::Drop), "{setting:?}: {order:?}");
        }
    }
}

/// The controls: the same runs detect that the wrong rules fail.
#[test]
fn wrong_rules_are_caught_by_the_same_runs() {
    let orders = interleavings();
    for setting in [Setting::OneQueue, Setting::TwoQueuesAndAnIdleOne, Setting::Fences] {
        for door in [Door::AtPointsIssuedSoFar, Door::Now] {
            let caught = orders.iter().filter(|order| violates(order, setting, door)).count();
            println!("{setting:?}, {door:?}: caught in {caught} of {} orders", orders.len());
            assert!(caught > 0);
        }
    }
}

#[test]
fn with_no_timeline_nothing_is_handed_out_until_it_is_assumed() {
    let fake = fake();
    let allocator = allocator(&fake);
    let resource = allocate(&allocator);
    let place = (resource.memory(), resource.offset());
    drop(resource);
    let others: Vec<_> = (0..64).map(|_| allocate(&allocator)).collect();
    assert!(others.iter().all(|other| (other.memory(), other.offset()) != place));
    // SAFETY: nothing was submitted.
    unsafe { allocator.assume_idle() };
    let next = allocate(&allocator);
    assert_eq!((next.memory(), next.offset()), place);
}
