//! A ring of upload memory: its tail moves as the GPU makes progress, and never past a piece that
//! is in use.

mod support;

use fencepost::{
    AllocateError, AllocationDesc, BufferDesc, CopyError, RingError,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::{random::Random, *};

fn desc(size: u64) -> BufferDesc {
    BufferDesc::new(size, vk::BufferUsageFlags::UNIFORM_BUFFER)
}

/// Frames of random uploads, up to three in flight. The fake judges every range that two frames
/// use; what the GPU reads is compared when it is done.
fn play(profile: &Profile, memory: &AllocationDesc) {
    let fake = FakeDriver::new(profile);
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let ring = allocator.create_ring(&desc(10_000), memory).unwrap();
        let device_memory = ring.buffer().allocation().memory();
        let base = ring.buffer().allocation().offset();
        let mut random = Random::new(11);
        let (mut pushed, mut full) = (0, 0);
        let mut in_flight = std::collections::VecDeque::new();
        let calls = fake.calls(Call::AllocateMemory);
        for frame in 0..500u64 {
            let recording = frames.begin().unwrap();
            let mut uses = Vec::new();
            let mut wanted = Vec::new();
            for piece in 0..random.below(6) {
                let values = vec![(frame * 8 + piece) as u32; 1 + random.below(300) as usize];
                match ring.push(&recording, 1 + random.below(300), &values) {
                    Ok(piece) => {
                        pushed += 1;
                        let at = base + piece.offset;
                        uses.push(Use::memory(device_memory, at, piece.size).owner(pushed));
                        wanted.push((at, values));
                    }
                    Err(RingError::Full { taken, .. }) => {
                        assert!(taken > 0);
                        full += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            let commands = [fake.record(&uses)];
            in_flight.push_back((submit(recording, &commands).unwrap(), wanted));
            while in_flight.len() > random.below(4) as usize {
                let mut bytes = Vec::new();
                let (point, wanted) = in_flight.pop_front().unwrap();
                for (at, values) in wanted {
                    bytes.resize(values.len() * 4, 0);
                    assert!(fake.gpu_read(device_memory, at, &mut bytes));
                    assert_eq!(bytes, bytemuck::cast_slice::<u32, u8>(&values));
                }
                while !frames.is_reached(point).unwrap() {
                    assert!(fake.step(fake.queue(0)));
                }
            }
            if random.below(3) == 0 {
                allocator.collect();
            }
        }
        assert!(pushed > 800 && full > 10, "{pushed} pushed, {full} times full");
        assert_eq!(fake.calls(Call::AllocateMemory), calls);
        fake.run();
        allocator.collect();
        assert_eq!(ring.taken(), 0);
    }
    fake.finish().unwrap();
}

#[test]
fn no_piece_is_handed_out_while_the_gpu_reads_it() {
    play(&Profile::default(), &AllocationDesc::upload());
}

#[test]
fn pieces_of_memory_that_is_not_coherent_share_no_atom() {
    use vk::MemoryPropertyFlags as Type;
    let profile = Profile::default().atom(256).types(&[(1, Type::HOST_VISIBLE)]);
    play(&profile, &AllocationDesc::upload());
    let fake = FakeDriver::new(&profile);
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let ring = allocator.create_ring(&desc(1000), &AllocationDesc::upload()).unwrap();
    let recording = frames.begin().unwrap();
    let offsets = [(); 5].map(|()| ring.push(&recording, 1, &[1u8]).map(|piece| piece.offset));
    assert_eq!(offsets[..4], [Ok(0), Ok(256), Ok(512), Ok(768)]);
    assert!(matches!(offsets[4], Err(RingError::Full { taken: 1000, .. })));
    submit_nothing(recording).unwrap();
    // A vertex's stride is no multiple of an atom, so a piece begins and ends anywhere in one.
    let ring = allocator.create_ring(&desc(5000), &AllocationDesc::upload()).unwrap();
    let recording = frames.begin().unwrap();
    let mut taken = 0;
    for size in [256, 300, 1, 500, 255, 257] {
        let piece = ring.take(&recording, size, 12).unwrap();
        assert!(piece.offset / 256 * 256 >= taken, "{piece:?} in the atoms up to {taken}");
        taken = (piece.offset + piece.size).next_multiple_of(256);
    }
    assert_eq!(ring.taken(), taken);
    submit_nothing(recording).unwrap();
}

#[test]
fn the_control_two_frames_on_one_range_are_noticed() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let ring = allocator.create_ring(&desc(1000), &AllocationDesc::upload()).unwrap();
    let memory = ring.buffer().allocation();
    for owner in [1, 2] {
        let recording = frames.begin().unwrap();
        let range = Use::memory(memory.memory(), memory.offset() + 10, 100).owner(owner);
        submit(recording, &[fake.record(&[range])]).unwrap();
    }
    assert!(!fake.violations().is_empty());
}

#[test]
fn what_a_ring_refuses() {
    let [fake, other] = [(); 2].map(|()| fake());
    let [allocator, foreign] = [&fake, &other].map(allocator);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let foreign = foreign.timeline(other.queue(0)).unwrap();
    let ring = allocator.create_ring(&desc(1000), &AllocationDesc::device_local()).unwrap();
    let (recording, alien) = (frames.begin().unwrap(), foreign.begin().unwrap());
    assert_eq!(ring.take(&alien, 1, 1).unwrap_err(), RingError::Foreign);
    for (size, alignment) in [(0, 1), (1, 0), (1001, 1), (u64::MAX, 1)] {
        let refused = ring.take(&recording, size, alignment).unwrap_err();
        assert_eq!(refused, RingError::Impossible { size, alignment, capacity: 1000 });
    }
    let refused = ring.push(&recording, 1, &[0u8]).unwrap_err();
    assert_eq!(refused, RingError::Copy(CopyError::NotMapped));
    assert_eq!(ring.taken(), 0, "nothing was taken for it");
    assert_eq!(ring.take(&recording, 1000, 3).unwrap().offset, 0);
    let full = RingError::Full { size: 1, capacity: 1000, taken: 1000 };
    assert_eq!(ring.take(&recording, 1, 1).unwrap_err(), full);
    // SAFETY: nothing was recorded; nothing else uses the device.
    unsafe {
        alien.abandon();
        allocator.shutdown().unwrap();
    }
    let refused = ring.take(&recording, 1, 1).unwrap_err();
    assert_eq!(refused, RingError::Allocate(AllocateError::ShutDown));
    // SAFETY: as above.
    unsafe { recording.abandon() };
}

#[test]
fn a_dropped_ring_stays_until_the_gpu_is_done() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let ring = allocator.create_ring(&desc(1000), &AllocationDesc::upload()).unwrap();
        let recording = frames.begin().unwrap();
        let piece = ring.push(&recording, 4, &[1u32]).unwrap();
        let commands = [fake.record(&[Use::buffer(piece.buffer)])];
        drop(ring);
        submit(recording, &commands).unwrap();
        allocator.collect();
        assert_eq!(fake.live().buffers, 1);
        fake.run();
        allocator.collect();
        assert_eq!(fake.live().buffers, 0);
    }
    fake.finish().unwrap();
}
