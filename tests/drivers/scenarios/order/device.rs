//! The orders on a device: each step runs on its thread, one at a time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use ash::vk;
use fencepost::{Allocation, Allocator, Point, Recording};

use super::SIZE;
use super::play::{Keeper, Step};
use crate::rig::{Commands, Gate, Line, Range, Thing, anchor};

/// The real allocator.
pub(super) struct OnDevice<'a> {
    actors: [Actor<'a>; 3],
    buffer: Option<Thing>,
    /// Neighbours of the buffer, so that its range remains a hole of its size when it is free.
    around: Option<[Allocation; 2]>,
    points: Vec<Point>,
    allocator: &'a Allocator,
    line: &'a Line,
    gate: &'a Gate,
}

impl<'a> OnDevice<'a> {
    /// Two threads that record and one that drops, each with a pool of its own.
    pub(super) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        pools: &'a [Commands; 3],
        allocator: &'a Allocator,
        line: &'a Line,
        gate: &'a Gate,
    ) -> Self
    where
        'a: 'scope,
    {
        let actors = pools.each_ref().map(|commands| Actor::start(scope, commands));
        Self { actors, buffer: None, around: None, points: Vec::new(), allocator, line, gate }
    }
}

impl Keeper for OnDevice<'_> {
    fn buffer(&mut self) -> Range {
        self.around = None;
        self.allocator.collect();
        let before = anchor(self.allocator);
        let buffer = Thing::buffer(self.allocator, SIZE);
        let range = Range::of(buffer.allocation());
        self.buffer = Some(buffer);
        self.around = Some([before, anchor(self.allocator)]);
        range
    }

    fn step(&mut self, step: Step, names: bool, ticket: u64) {
        let (line, gate) = (self.line, self.gate);
        match step {
            Step::Begin(who) => self.actors[who].act(move |state| {
                state.recording = Some(line.begin(gate));
            }),
            Step::Record(who) => {
                let handle = self.buffer.as_ref().filter(|_| names).map(Thing::handle);
                self.actors[who].act(move |state| {
                    state.recorded = Some(state.commands.record(|recorder| {
                        recorder.barrier();
                        if let Some(handle) = handle {
                            recorder.fill(handle, 0xF111_F111);
                        }
                    }));
                });
            }
            Step::Submit(who) => {
                assert_eq!(gate.ticket(), ticket);
                let (sender, receiver) = channel();
                self.actors[who].act(move |state| {
                    let recording = state.recording.take().expect("it has begun");
                    let commands = state.recorded.take().expect("it is recorded");
                    let point = line.submit_behind(recording, &[commands], gate, ticket);
                    sender.send(point).expect("the other end waits");
                });
                self.points.push(receiver.recv().expect("the actor sent it"));
            }
            Step::Abandon(who) => self.actors[who].act(|state| {
                state.recorded = None;
                let recording = state.recording.take().expect("it has begun");
                // SAFETY: its command buffer was just forgotten.
                unsafe { recording.abandon() };
            }),
            Step::Drop => {
                let buffer = self.buffer.take();
                self.actors[2].act(move |_| drop(buffer));
            }
        }
    }

    fn open(&mut self, ticket: u64) {
        self.gate.open(ticket);
        self.line.wait(self.points.remove(0));
    }

    fn probe(&mut self) -> Range {
        self.allocator.collect();
        let probe = Thing::buffer(self.allocator, SIZE);
        let range = Range::of(probe.allocation());
        // SAFETY: the GPU never saw it.
        unsafe { probe.free_now() };
        range
    }
}

/// A thread that executes orders, one at a time.
struct Actor<'a> {
    orders: Sender<Order<'a>>,
    done: Receiver<()>,
}

type Order<'a> = Box<dyn FnOnce(&mut ActorState<'a>) + Send + 'a>;

/// The state of a thread between its steps.
struct ActorState<'a> {
    recording: Option<Recording>,
    recorded: Option<vk::CommandBuffer>,
    /// Its own pool: no other thread uses it.
    commands: &'a Commands,
}

impl<'a> Actor<'a> {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, commands: &'a Commands) -> Self
    where
        'a: 'scope,
    {
        let (orders, received) = channel::<Order<'a>>();
        let (done, waiting) = channel();
        scope.spawn(move || {
            let mut state = ActorState { recording: None, recorded: None, commands };
            for order in received {
                order(&mut state);
                if done.send(()).is_err() {
                    break;
                }
            }
        });
        Self { orders, done: waiting }
    }

    /// Lets the thread execute something, and waits for it.
    fn act(&self, order: impl FnOnce(&mut ActorState<'a>) + Send + 'a) {
        self.orders.send(Box::new(order)).expect("the actor listens");
        self.done.recv().expect("the actor did not panic");
    }
}
