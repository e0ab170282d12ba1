//! The range of an image is held while the GPU still writes or reads the image, which the contents
//! show.
//!
//! A submission that waits at a gate writes or reads an image. The image is dropped, and the host
//! fills memory with buffers of known contents. Then the gate opens. If a buffer had got the
//! image's bytes, the late write would change the buffer, or the late read would see the buffer's
//! contents.

use std::sync::Arc;

use ash::vk;
use fencepost::{Allocation, AllocationDesc, Allocator, Image, ImageDesc, ResourceKind};

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, Range, Thing, Yard, allocator, anchor};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("an_image_that_is_still_written_is_held", |room| {
            assert_eq!(late_write(room, GiveUp::Drop), Seen::default());
        }),
        Scenario::new("an_image_that_is_still_read_is_held", |room| {
            assert_eq!(late_read(room, GiveUp::Drop), Seen::default());
        }),
        Scenario::new("control_free_now_of_an_image_spoils_contents", |room| {
            for seen in [late_write(room, GiveUp::FreeNow), late_read(room, GiveUp::FreeNow)] {
                assert!(seen.spoilt_words > 0 && seen.overlaps > 0, "{seen:?}");
            }
        }),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum GiveUp {
    Drop,
    FreeNow,
}

/// What went wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    overlaps: usize,
    spoilt_words: usize,
}

const EXTENT: vk::Extent3D = vk::Extent3D { width: 200, height: 150, depth: 1 };
const BYTES: u64 = 4 * 200 * 150;
const RED: [u8; 4] = [255, 0, 0, 255];
const MARK: u32 = 0x600D_F00D;
/// Enough buffers of the image's size to fill the free part of the block.
const BUFFERS: usize = 16;
const GENERAL: vk::ImageLayout = vk::ImageLayout::GENERAL;

/// An image of either kind, as [`Thing`] is a buffer of either kind.
enum Picture {
    Image(Image),
    Bound(Allocation, vk::Image),
}

impl Picture {
    fn new(allocator: &Allocator, yard: &Yard, give_up: GiveUp) -> Self {
        let (width, height) = (EXTENT.width, EXTENT.height);
        let desc = AllocationDesc::device_local();
        if give_up == GiveUp::Drop {
            let usage = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
            let image = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, width, height, usage);
            return Self::Image(allocator.create_image(&image, &desc).expect("an image"));
        }
        let image = yard.image(width, height);
        let device = &yard.gpu.device;
        // SAFETY: the device is alive.
        let needs = unsafe { device.get_image_memory_requirements(image) };
        let allocation =
            allocator.allocate(&needs, ResourceKind::Optimal, &desc).expect("memory for it");
        // SAFETY: the range is the image's, of a fitting size, alignment and type.
        unsafe { device.bind_image_memory(image, allocation.memory(), allocation.offset()) }
            .expect("a bind");
        Self::Bound(allocation, image)
    }

    fn handle(&self) -> vk::Image {
        match self {
            Self::Image(image) => image.handle(),
            Self::Bound(_, image) => *image,
        }
    }

    fn range(&self) -> Range {
        match self {
            Self::Image(image) => Range::of(image.allocation()),
            Self::Bound(allocation, _) => Range::of(allocation),
        }
    }

    fn give_up(self, how: GiveUp) {
        match (how, self) {
            // SAFETY: this is the control. The image is the yard's and the block is anchored.
            (GiveUp::FreeNow, Self::Bound(allocation, _)) => unsafe { allocation.free_now() },
            (_, picture) => drop(picture),
        }
    }
}

/// The gate opens first when this is dropped.
struct World {
    gate: Gate,
    commands: Commands,
    line: Line,
    _anchor: Allocation,
    allocator: Allocator,
    yard: Arc<Yard>,
}

impl World {
    fn new(room: &Room<'_>) -> Self {
        let gpu = room.open();
        let (allocator, yard) = allocator(&gpu);
        Self {
            gate: Gate::new(&gpu),
            commands: Commands::new(&gpu),
            line: Line::new(&yard, &allocator, Kind::Owned),
            _anchor: anchor(&allocator),
            allocator,
            yard,
        }
    }

    /// Buffers full of marks, and how many of them overlap the range.
    fn marked_buffers(&self, range: Range) -> (Vec<Thing>, usize) {
        let mut buffers: Vec<Thing> =
            (0..BUFFERS).map(|_| Thing::buffer(&self.allocator, BYTES)).collect();
        for buffer in &mut buffers {
            buffer.write_words(BYTES, MARK);
        }
        let overlaps =
            buffers.iter().filter(|buffer| Range::of(buffer.allocation()).overlaps(&range)).count();
        (buffers, overlaps)
    }
}

fn differing(words: &[u32], expected: u32) -> usize {
    words.iter().filter(|&&word| word != expected).count()
}

/// The GPU clears an image after the image was dropped.
fn late_write(room: &Room<'_>, give_up: GiveUp) -> Seen {
    let world = World::new(room);
    let World { gate, line, commands, allocator, .. } = &world;
    let picture = Picture::new(allocator, &world.yard, give_up);
    let range = picture.range();
    let recording = line.begin(gate);
    let clear = commands.record(|recorder| {
        recorder.layout(picture.handle(), vk::ImageLayout::UNDEFINED, GENERAL);
        recorder.clear(picture.handle(), GENERAL, RED);
    });
    let ticket = gate.ticket();
    let point = line.submit_behind(recording, &[clear], gate, ticket);
    picture.give_up(give_up);
    allocator.collect();
    let (buffers, overlaps) = world.marked_buffers(range);
    gate.open(ticket);
    line.wait(point);
    let spoilt =
        buffers.iter().map(|buffer| differing(&buffer.read_words(BYTES), MARK)).sum::<usize>();
    allocator.collect();
    assert_eq!(allocator.statistics().total.pending_count, 0, "all work is done");
    Seen { overlaps, spoilt_words: spoilt }
}

/// The GPU copies from an image after the image was dropped.
fn late_read(room: &Room<'_>, give_up: GiveUp) -> Seen {
    let world = World::new(room);
    let World { gate, line, commands, allocator, .. } = &world;
    let readback = Thing::buffer(allocator, BYTES);
    let picture = Picture::new(allocator, &world.yard, give_up);
    let range = picture.range();
    let recording = line.begin(gate);
    let clear = commands.record(|recorder| {
        recorder.layout(picture.handle(), vk::ImageLayout::UNDEFINED, GENERAL);
        recorder.clear(picture.handle(), GENERAL, RED);
        recorder.barrier();
    });
    line.run(recording, clear);
    let recording = line.begin(gate);
    let copy = commands.record(|recorder| {
        recorder.copy_from_image(picture.handle(), GENERAL, readback.handle(), EXTENT);
        recorder.barrier();
    });
    let ticket = gate.ticket();
    let point = line.submit_behind(recording, &[copy], gate, ticket);
    picture.give_up(give_up);
    allocator.collect();
    let (_buffers, overlaps) = world.marked_buffers(range);
    gate.open(ticket);
    line.wait(point);
    let spoilt = differing(&readback.read_words(BYTES), u32::from_le_bytes(RED));
    Seen { overlaps, spoilt_words: spoilt }
}
