//! Buffers and images are moved while frames that use them are in flight. Their contents arrive,
//! the old ranges live until the GPU has passed these frames, and the emptied blocks return to the
//! driver.

use ash::vk;
use fencepost::{
    AllocationDesc, Buffer, BufferDesc, DefragmentDesc, Defragmentation, Image, ImageDesc, Point,
};

use crate::harness::{Room, Scenario};
use crate::rig::{
    Commands, Gate, Kind, Line, Recorder, Thing, allocator_with, assert_clean, assert_seen,
};
use crate::support::{Message, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("what_moves_arrives_while_frames_use_it", |room| {
            for kind in [Kind::Owned, Kind::Fences(4)] {
                let (messages, moved) = frames(room, kind);
                assert_clean(&messages);
                room.note(format_args!("{moved} buffers and images moved"));
            }
        })
        .validation(Validation::Synchronization),
        Scenario::new("control_the_hazard_oracle_misses_the_barrier_of_a_move", |room| {
            assert_seen(&unordered(room), "SYNC-HAZARD-READ-AFTER-WRITE");
        })
        .validation(Validation::Synchronization),
    ]
}

const BLOCK: u64 = 1 << 20;
const SIZE: u64 = 128 << 10;
const EDGE: u32 = 128;
const GENERAL: vk::ImageLayout = vk::ImageLayout::GENERAL;

/// So much moves in a frame.
const PORTION: usize = 5;

fn desc() -> BufferDesc {
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    BufferDesc::new(SIZE, usage)
}

fn image_desc() -> ImageDesc {
    let usage = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
    ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, EDGE, EDGE, usage)
}

fn memory() -> AllocationDesc {
    AllocationDesc::device_local().name("moves")
}

/// What a thing holds: every word, of a buffer or of an image.
fn word(number: usize) -> u32 {
    u32::from_le_bytes([number as u8; 4])
}

struct World {
    buffers: Vec<(Buffer, u32)>,
    images: Vec<(Image, u32)>,
}

impl World {
    fn fill(&self, recorder: &Recorder<'_>) {
        for (buffer, word) in &self.buffers {
            recorder.fill(buffer.handle(), *word);
        }
        for (image, word) in &self.images {
            recorder.layout(image.handle(), vk::ImageLayout::UNDEFINED, GENERAL);
            recorder.clear(image.handle(), GENERAL, word.to_le_bytes());
        }
    }

    /// Copies everything out.
    fn read(&self, recorder: &Recorder<'_>, out: &[Thing]) {
        let buffers = self.buffers.iter().map(|(buffer, _)| buffer.handle());
        for (buffer, out) in buffers.zip(out) {
            recorder.copy(buffer, out.handle(), SIZE);
        }
        let extent = vk::Extent3D { width: EDGE, height: EDGE, depth: 1 };
        let images = self.images.iter().map(|(image, _)| image.handle());
        for (image, out) in images.zip(&out[self.buffers.len()..]) {
            recorder.copy_from_image(image, GENERAL, out.handle(), extent);
        }
    }

    fn words(&self) -> impl Iterator<Item = u32> {
        let buffers = self.buffers.iter().map(|&(_, word)| word);
        buffers.chain(self.images.iter().map(|&(_, word)| word))
    }

    /// Moves a portion of what is to move. How much did.
    fn move_some(
        &mut self,
        run: &Defragmentation,
        recording: &fencepost::Recording,
        recorder: &Recorder<'_>,
    ) -> usize {
        // SAFETY: the commands are recorded under the recording, and submitted with it.
        let mut copies = unsafe { run.copies(recording, recorder.commands) }.expect("ours");
        let going = |buffer: &Buffer| run.contains(buffer.allocation());
        let some = self.buffers.iter_mut().filter(|(buffer, _)| going(buffer)).take(PORTION);
        for (buffer, _) in some {
            copies.move_buffer(buffer, &desc(), &memory()).expect("what is planned fits");
        }
        let moved = copies.moved() as usize;
        drop(copies);
        let some = self.images.iter_mut().filter(|(image, _)| run.contains(image.allocation()));
        let mut images = 0;
        for (image, _) in some.take(PORTION) {
            let new = run.create_image(image, &image_desc(), &memory()).expect("room");
            recorder.layout(new.handle(), vk::ImageLayout::UNDEFINED, GENERAL);
            recorder.barrier();
            recorder.copy_image(image.handle(), new.handle(), GENERAL, [EDGE, EDGE]);
            recorder.barrier();
            *image = new;
            images += 1;
        }
        moved + images
    }
}

/// A world that is thinned out and brought together, a portion in each frame, while each frame reads it all.
fn frames(room: &Room<'_>, kind: Kind) -> (Vec<Message>, usize) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) =
        allocator_with(&gpu, |desc| desc.first_block(BLOCK).largest_block(BLOCK));
    let (readbacks, _readback_yard) = allocator_with(&gpu, |desc| desc);
    let line = Line::new(&yard, &allocator, kind);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let buffer = |number| (allocator.create_buffer(&desc(), &memory()).unwrap(), word(number));
    let image = |number| (allocator.create_image(&image_desc(), &memory()).unwrap(), word(number));
    let mut world =
        World { buffers: (0..64).map(buffer).collect(), images: (64..128).map(image).collect() };
    let recording = line.begin(&gate);
    let work = commands.record(|recorder| world.fill(recorder));
    line.run(recording, work);
    let mut nth = 0;
    let mut every_fourth = || {
        nth += 1;
        nth % 4 == 0
    };
    world.buffers.retain(|_| every_fourth());
    world.images.retain(|_| every_fourth());
    allocator.collect();
    let before = allocator.statistics();
    let run = allocator.defragment(&DefragmentDesc::new(), |_| true);
    assert!(
        run.bytes() > before.total.reserved / 4,
        "{} of {}",
        run.bytes(),
        before.total.reserved
    );

    let mut moved = 0;
    let mut out: Vec<(Point, Vec<Thing>)> = Vec::new();
    for frame in 0..20 {
        let outs: Vec<_> = world.words().map(|_| Thing::buffer(&readbacks, SIZE)).collect();
        let recording = line.begin(&gate);
        let work = commands.record(|recorder| {
            recorder.barrier();
            // The old places are read, and then what is moved is read in its new one.
            if frame % 2 == 0 {
                moved += world.move_some(&run, &recording, recorder);
            }
            world.read(recorder, &outs);
            recorder.barrier();
        });
        let ticket = gate.ticket();
        let point = line.submit_behind(recording, &[work], &gate, ticket);
        out.push((point, outs));
        // Two frames stay out.
        gate.open(ticket.saturating_sub(2));
        allocator.collect();
        allocator.check().expect("books that agree");
        if run.remaining() == 0 && frame > 8 {
            break;
        }
    }
    gate.open(gate.issued());
    let words: Vec<u32> = world.words().collect();
    for (point, outs) in out {
        line.wait(point);
        for (out, &word) in outs.iter().zip(&words) {
            out.assert_words(SIZE.min(u64::from(EDGE * EDGE * 4)), word, "what moved");
        }
        for out in outs {
            // SAFETY: the GPU is done with it.
            unsafe { out.free_now() };
        }
    }
    assert_eq!((run.remaining(), moved), (0, run.moves().len()), "all of it moved");
    allocator.collect();
    let gone = before.total.reserved - allocator.statistics().total.reserved;
    assert_eq!(gone, run.bytes(), "the emptied blocks went");
    drop((run, world));
    (messages.take(), moved)
}

/// A move by hand, without a barrier between what was written and the copy.
fn unordered(room: &Room<'_>) -> Vec<Message> {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) =
        allocator_with(&gpu, |desc| desc.first_block(BLOCK).largest_block(BLOCK));
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let mut buffers: Vec<Buffer> =
        (0..32).map(|_| allocator.create_buffer(&desc(), &memory()).unwrap()).collect();
    let mut nth = 0;
    buffers.retain(|_| {
        nth += 1;
        nth % 4 == 0
    });
    allocator.collect();
    let run = allocator.defragment(&DefragmentDesc::new(), |_| true);
    let old = buffers.iter().find(|buffer| run.contains(buffer.allocation())).expect("one moves");
    let new = run.create_buffer(old, &desc(), &memory()).expect("room");
    let recording = line.begin(&gate);
    let work = commands.record(|recorder| {
        recorder.fill(old.handle(), 7);
        recorder.copy(old.handle(), new.handle(), SIZE);
    });
    line.run(recording, work);
    messages.take()
}
