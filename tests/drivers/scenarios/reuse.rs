//! Memory changes owners while the GPU still uses it: the first work of the new owner comes after a
//! barrier, and the CPU does not wait. Both drivers have one queue; waits between queues are tested
//! over the fake driver (`tests/reuse.rs`).
//!
//! The layer learns only from fences that a submission is done, so the frames here use a ring of
//! fences.

use std::collections::VecDeque;
use std::time::Duration;

use ash::vk;
use fencepost::{
    AllocationDesc, Allocator, BeginError, Buffer, BufferDesc, Dependency, Image, ImageDesc,
    Ordered, Point,
};

use crate::harness::{Room, Scenario};
use crate::rig::{
    Commands, Gate, Kind, Line, Random, Thing, allocator_with, anchor, assert_clean, assert_seen,
};
use crate::support::{Message, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("pending_memory_changes_owners_behind_a_barrier", |room| {
            let (mut all, mut together) = (0, 0);
            for seed in room.seeds() {
                for contents in [true, false] {
                    let plan = Plan { barrier: true, contents };
                    let seen = frames(room, plan, seed, room.times(60, 2000));
                    assert_clean(&seen.messages);
                    all += seen.taken;
                    together += seen.together;
                }
            }
            assert!(all > 60 && together > 20, "only {all}, {together} of them neighbours");
            room.note(format_args!("{all} times taken over, {together} times neighbours"));
        })
        .validation(Validation::Synchronization)
        .with_deep(),
        Scenario::new("control_the_hazard_oracle_misses_the_barrier", |room| {
            let plan = Plan { barrier: false, contents: false };
            let seen = frames(room, plan, 0x5EED_0005, 60);
            assert!(seen.taken > 0);
            assert_seen(&seen.messages, "SYNC-HAZARD-WRITE-AFTER-WRITE");
        })
        .validation(Validation::Synchronization),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// The barrier is recorded that the memory asks for.
    barrier: bool,
    /// Images too, and all is read back. The barriers which that takes order the frames as well, so the
    /// layer is left to judge frames without them.
    contents: bool,
}

/// The GPU is held this many frames behind the host.
const BEHIND: u64 = 2;

/// Small enough that frames that are not done fill it.
const BLOCK: u64 = 1 << 20;

const EDGE: u32 = 128;

/// What a frame makes, in pending memory where there is some.
enum Scratch {
    Buffer(Buffer),
    Image(Image),
}

impl Scratch {
    fn new(allocator: &Allocator, line: &Line, size: u64, image: bool) -> (Self, Dependency) {
        let desc = AllocationDesc::device_local();
        // SAFETY: `frames` records the barrier before the first use, but for the control.
        unsafe {
            if image {
                let usage = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
                let info = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, EDGE, EDGE, usage);
                let made = allocator.create_image_ordered(&info, &desc, &line.timeline);
                let Ordered { owner, dependency } = made.expect("an image");
                (Self::Image(owner), dependency)
            } else {
                let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
                let info = BufferDesc::new(size, usage);
                let made = allocator.create_buffer_ordered(&info, &desc, &line.timeline);
                let Ordered { owner, dependency } = made.expect("a buffer");
                (Self::Buffer(owner), dependency)
            }
        }
    }
}

/// A frame that is out: its point, and what it is to leave in each readback buffer.
struct Frame {
    point: Point,
    expected: Vec<(Thing, u64, u32)>,
}

/// What was seen of some frames.
struct Seen {
    /// What the layer says.
    messages: Vec<Message>,
    /// How often pending memory was taken over.
    taken: usize,
    /// How often that made two pending ranges fewer, and more.
    together: usize,
}

/// Frames that each write buffers and images of their own, read them back and give them up.
fn frames(room: &Room<'_>, plan: Plan, seed: u64, frames: usize) -> Seen {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) =
        allocator_with(&gpu, |desc| desc.first_block(BLOCK).largest_block(BLOCK).linger(0));
    let _anchor = anchor(&allocator);
    // The readback buffers have an allocator of their own, or they would take what is free.
    let (readbacks, _readback_yard) = allocator_with(&gpu, |desc| desc);
    let line = Line::new(&yard, &allocator, Kind::Fences(4));
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let mut random = Random::new(seed);
    let (mut taken, mut together, mut word) = (0, 0, 0);
    let mut out: VecDeque<Frame> = VecDeque::new();
    let settle = |frame: Frame| {
        line.wait(frame.point);
        for (readback, size, word) in frame.expected {
            readback.assert_words(size, word, "what a frame wrote");
            // SAFETY: the GPU is done with it.
            unsafe { readback.free_now() };
        }
    };
    for _ in 0..frames {
        let recording = loop {
            match line.timeline.begin() {
                Ok(recording) => break recording,
                Err(BeginError::RingFull) => settle(out.pop_front().expect("a frame is out")),
                Err(error) => panic!("{error}"),
            }
        };
        let mut demand = Dependency::none();
        let made: Vec<Scratch> = (0..4 + random.below(6))
            .map(|_| {
                let (size, image) =
                    (65536 << random.below(3), random.below(3) == 0 && plan.contents);
                // What is reached goes first, so that what is fewer was taken over.
                allocator.collect();
                let pending = allocator.statistics().total.pending_count;
                let (scratch, dependency) = Scratch::new(&allocator, &line, size, image);
                if !dependency.is_none() {
                    taken += 1;
                    together +=
                        usize::from(allocator.statistics().total.pending_count + 2 <= pending);
                }
                demand.join(&dependency);
                scratch
            })
            .collect();
        assert!(demand.waits().is_empty(), "there is one queue");
        let mut expected = Vec::new();
        let work = commands.record(|recorder| {
            if demand.needs_barrier() && plan.barrier {
                recorder.barrier();
            }
            for scratch in &made {
                word = (word + 1) % 255;
                let texel = [word as u8; 4];
                let (size, marks) = match scratch {
                    Scratch::Buffer(buffer) => {
                        recorder.fill(buffer.handle(), word);
                        (buffer.size(), word)
                    }
                    Scratch::Image(image) => {
                        let general = vk::ImageLayout::GENERAL;
                        recorder.layout(image.handle(), vk::ImageLayout::UNDEFINED, general);
                        recorder.clear(image.handle(), general, texel);
                        (u64::from(EDGE * EDGE * 4), u32::from_le_bytes(texel))
                    }
                };
                if plan.contents {
                    expected.push((Thing::buffer(&readbacks, size), size, marks));
                }
            }
            if !plan.contents {
                return;
            }
            recorder.barrier();
            for (scratch, (readback, size, _)) in made.iter().zip(&expected) {
                match scratch {
                    Scratch::Buffer(buffer) => {
                        recorder.copy(buffer.handle(), readback.handle(), *size);
                    }
                    Scratch::Image(image) => {
                        let extent = vk::Extent3D { width: EDGE, height: EDGE, depth: 1 };
                        let general = vk::ImageLayout::GENERAL;
                        let (image, to) = (image.handle(), readback.handle());
                        recorder.copy_from_image(image, general, to, extent);
                    }
                }
            }
            recorder.barrier();
        });
        let ticket = gate.ticket();
        let point = line.submit_behind(recording, &[work], &gate, ticket);
        out.push_back(Frame { point, expected });
        gate.open(ticket.saturating_sub(BEHIND));
        drop(made);
    }
    gate.open(gate.issued());
    let last = out.back().expect("there were frames").point;
    line.timeline.wait(last, Duration::from_secs(20)).expect("it ends");
    out.into_iter().for_each(settle);
    allocator.collect();
    assert_eq!(allocator.statistics().total.pending_count, 0, "all work is done");
    Seen { messages: messages.take(), taken, together }
}
