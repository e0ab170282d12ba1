//! What is written can be read back: through buffers and images of odd sizes, in every byte.

use ash::vk;
use fencepost::{
    Allocation, AllocationDesc, Allocator, Buffer, BufferDesc, ImageDesc, ResourceKind,
};

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, Random, Range, allocator};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("a_device_opens", |room| drop(room.open())),
        Scenario::new("buffers_carry_their_bytes_up_across_and_back", buffers),
        Scenario::new("images_carry_their_texels_up_and_back", images),
        Scenario::new("every_byte_of_every_allocation_is_its_owners", every_byte).with_deep(),
    ]
}

/// Bytes that differ between seeds.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// A buffer for transfers.
fn buffer(allocator: &Allocator, size: u64, memory: &AllocationDesc) -> Buffer {
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    allocator.create_buffer(&BufferDesc::new(size, usage), memory).expect("a buffer")
}

fn buffers(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let sizes = [1, 2, 3, 4, 5, 63, 100, 255, 256, 257, 1000, 4095, 4097, 65_537, 1_000_003];
    // All at once, so that they are adjacent in memory.
    let mut all: Vec<_> = sizes
        .into_iter()
        .map(|size| {
            let up = buffer(&allocator, size, &AllocationDesc::upload());
            let on = buffer(&allocator, size, &AllocationDesc::device_local());
            let back = buffer(&allocator, size, &AllocationDesc::readback());
            (size, up, on, back)
        })
        .collect();
    let recording = line.begin(&gate);
    for (size, up, _, _) in &mut all {
        up.write(0, &bytes(*size, *size as usize)).expect("it is host-visible");
    }
    let copy = commands.record(|recorder| {
        for (size, up, on, _) in &all {
            recorder.copy(up.handle(), on.handle(), *size);
        }
        recorder.barrier();
        for (size, _, on, back) in &all {
            recorder.copy(on.handle(), back.handle(), *size);
        }
        recorder.barrier();
    });
    line.run(recording, copy);
    for (size, _, _, back) in &all {
        let mut seen = vec![0_u8; *size as usize];
        back.read(0, &mut seen).expect("it is host-visible");
        assert!(seen == bytes(*size, seen.len()), "{size} bytes came back changed");
        let tail = seen.len() / 2;
        back.read(tail as u64, &mut seen[tail..]).expect("it is host-visible");
        assert!(seen == bytes(*size, seen.len()), "the tail of {size} bytes came back changed");
    }
}

fn images(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let extents = [(1, 1), (3, 5), (17, 31), (100, 100), (257, 129), (1023, 3)];
    let all: Vec<_> = extents
        .into_iter()
        .map(|(width, height)| {
            let size = u64::from(width * height * 4);
            let usage = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
            let desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, width, height, usage);
            let mut up = buffer(&allocator, size, &AllocationDesc::upload());
            let memory = AllocationDesc::device_local();
            let image = allocator.create_image(&desc, &memory).expect("an image");
            up.write(0, &bytes(size, size as usize)).expect("it is host-visible");
            let back = buffer(&allocator, size, &AllocationDesc::readback());
            (size, up, image, back, vk::Extent3D { width, height, depth: 1 })
        })
        .collect();
    let (destination, source) =
        (vk::ImageLayout::TRANSFER_DST_OPTIMAL, vk::ImageLayout::TRANSFER_SRC_OPTIMAL);
    let recording = line.begin(&gate);
    let copy = commands.record(|recorder| {
        for (_, up, image, _, extent) in &all {
            recorder.layout(image.handle(), vk::ImageLayout::UNDEFINED, destination);
            recorder.copy_to_image(up.handle(), image.handle(), *extent);
            recorder.layout(image.handle(), destination, source);
        }
        for (_, _, image, back, extent) in &all {
            recorder.copy_from_image(image.handle(), source, back.handle(), *extent);
        }
        recorder.barrier();
    });
    line.run(recording, copy);
    for (size, _, _, back, extent) in &all {
        let mut seen = vec![0_u8; *size as usize];
        back.read(0, &mut seen).expect("it is host-visible");
        assert!(seen == bytes(*size, seen.len()), "an image of {extent:?} came back changed");
    }
}

/// Allocations of random sizes and alignments, each filled to its last byte, are not changed by
/// writes to others; a third of them is repeatedly freed and replaced.
fn every_byte(room: &Room<'_>) {
    let gpu = room.open();
    for seed in room.seeds() {
        let mut random = Random::new(seed);
        let (allocator, _yard) = allocator(&gpu);
        let mut live: Vec<(Allocation, u64)> = Vec::new();
        for round in 0..room.times(4, 60) {
            while live.len() < 150 {
                let alignment = 1 << random.below(13);
                let needs = vk::MemoryRequirements {
                    size: 1 + random.next() % (1 << (4 + random.below(13))),
                    alignment: 1 << random.below(9),
                    memory_type_bits: !0,
                };
                let kind = [ResourceKind::Linear, ResourceKind::Optimal][random.below(2)];
                let desc = AllocationDesc::readback().min_alignment(alignment);
                let mut allocation =
                    allocator.allocate(&needs, kind, &desc).expect("an allocation");
                let range = Range::of(&allocation);
                assert_eq!(range.offset % alignment.max(needs.alignment), 0, "{needs:?} {desc:?}");
                assert!(range.size >= needs.size, "{needs:?} {range:?}");
                let mark = random.next();
                allocation.write(0, &bytes(mark, range.size as usize)).expect("host-visible");
                live.push((allocation, mark));
            }
            for (allocation, mark) in &live {
                let mut seen = vec![0_u8; allocation.size() as usize];
                allocation.read(0, &mut seen).expect("it is host-visible");
                assert!(seen == bytes(*mark, seen.len()), "round {round}: {allocation:?} changed");
            }
            for _ in 0..50 {
                drop(live.swap_remove(random.below(live.len())));
            }
            // SAFETY: nothing was ever submitted.
            unsafe { allocator.assume_idle() };
        }
    }
}
