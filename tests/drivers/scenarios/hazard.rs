//! The validation layer as a second check: it reports a range that is written by two submissions
//! without a known dependency between them.
//!
//! The layer learns only from fences that a submission is done (in the version that was measured, a
//! host wait on a timeline semaphore does not inform it), so the frames here use a ring of fences.

use std::time::Duration;

use ash::vk;
use fencepost::{AllocationDesc, Allocator, BeginError, Image, ImageDesc, Point};

use crate::harness::{Room, Scenario};
use crate::rig::{
    Commands, Gate, Intervals, Kind, Line, Random, Range, Thing, allocator, anchor, assert_clean,
    assert_seen,
};
use crate::support::{Message, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("the_hazard_oracle_is_silent_over_dropped_resources", |room| {
            let count = room.times(40, 5000);
            for seed in room.seeds() {
                let (messages, reused) = frames(room, GiveUp::Drop, seed, count);
                assert_clean(&messages);
                assert!(reused > count / 2, "only {reused} ranges were given again");
            }
        })
        .validation(Validation::Synchronization)
        .with_deep(),
        Scenario::new("control_the_hazard_oracle_reports_free_now", |room| {
            let (messages, _) = frames(room, GiveUp::FreeNow, 0x5EED_0004, 3);
            assert_seen(&messages, "SYNC-HAZARD-WRITE-AFTER-WRITE");
        })
        .validation(Validation::Synchronization),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum GiveUp {
    Drop,
    FreeNow,
}

/// The GPU is kept this many frames behind the host.
const BEHIND: u64 = 2;

fn image(allocator: &Allocator, random: &mut Random) -> Image {
    let side = 8 << random.below(4);
    let usage = vk::ImageUsageFlags::TRANSFER_DST;
    let desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, side, side, usage);
    allocator.create_image(&desc, &AllocationDesc::device_local()).expect("an image")
}

/// Frames that each write their own buffers and images and drop them immediately. Returns the
/// messages of the layer, and how many ranges were handed out again.
fn frames(room: &Room<'_>, give_up: GiveUp, seed: u64, frames: usize) -> (Vec<Message>, usize) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) = allocator(&gpu);
    let _anchor = anchor(&allocator);
    let line = Line::new(&yard, &allocator, Kind::Fences(3));
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let mut random = Random::new(seed);
    let mut checker = Intervals::default();
    let mut points: Vec<Point> = Vec::new();
    for _ in 0..frames {
        let recording = loop {
            match line.timeline.begin() {
                Ok(recording) => break recording,
                Err(BeginError::RingFull) => line.wait(points.remove(0)),
                Err(error) => panic!("{error}"),
            }
        };
        allocator.collect();
        let things: Vec<Thing> = (0..1 + random.below(4))
            .map(|_| match give_up {
                GiveUp::Drop => Thing::buffer(&allocator, random.size(256, 16 << 10)),
                GiveUp::FreeNow => Thing::bound(&allocator, &yard, 4096),
            })
            .collect();
        let images: Vec<Image> = match give_up {
            GiveUp::Drop => (0..random.below(3)).map(|_| image(&allocator, &mut random)).collect(),
            GiveUp::FreeNow => Vec::new(),
        };
        let of_images = images.iter().map(Image::allocation);
        let numbers: Vec<u32> = (things.iter().map(Thing::allocation).chain(of_images))
            .map(|allocation| checker.give(Range::of(allocation)))
            .collect();
        // There is no barrier at the start: a frame must not depend on what an earlier one did.
        let fill = commands.record(|recorder| {
            for thing in &things {
                recorder.fill(thing.handle(), 7);
            }
            for image in &images {
                recorder.first_layout(image.handle(), vk::ImageLayout::GENERAL);
                recorder.clear(image.handle(), vk::ImageLayout::GENERAL, [7; 4]);
            }
        });
        let ticket = gate.ticket();
        points.push(line.submit_behind(recording, &[fill], &gate, ticket));
        gate.open(ticket.saturating_sub(BEHIND));
        numbers.into_iter().for_each(|number| checker.give_up(number));
        drop(images);
        for thing in things {
            match give_up {
                GiveUp::Drop => drop(thing),
                // SAFETY: this is the control. Its buffer is the yard's and its block is anchored.
                GiveUp::FreeNow => unsafe { thing.free_now() },
            }
        }
    }
    gate.open(gate.issued());
    let last = points.pop().expect("there were frames");
    line.timeline.wait(last, Duration::from_secs(20)).expect("it ends");
    allocator.collect();
    (messages.take(), checker.reused)
}
