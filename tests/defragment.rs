//! Defragmentation over the fake driver: what is planned, what is moved, and what is left behind.

#[path = "support/moving.rs"]
mod moving;
mod support;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, mpsc},
};

use fencepost::{
    Allocation, AllocationDesc, AllocationFlags, Arena, ArenaDesc, Buffer, BufferDesc, CreateError,
    DefragmentDesc, Defragmentation, GuardPolicy, MoveError, RawAllocation, ResourceKind,
    TenantKind,
    fake::{Call, FakeDriver, Profile},
    vk,
};
use moving::*;
use support::{random::Random, *};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[test]
fn what_is_spread_over_many_blocks_comes_together_and_keeps_its_bytes() {
    let stage = Stage::new();
    let (fake, allocator) = (&stage.fake, &stage.allocator);
    let mut meshes = scattered(allocator, 100 * KIB, 400);
    for (nth, mesh) in meshes.iter().enumerate() {
        write(fake, mesh, nth as u64);
    }
    let before = stage.reserved();
    let calls = fake.calls(Call::AllocateMemory);
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    let planned = (run.moves().len() as u64, run.bytes());
    assert!(planned.1 > before / 2 && run.remaining() == planned.0, "{planned:?} of {before}");
    allocator.check().unwrap();

    assert_eq!(stage.move_all(&run, &mut meshes), (planned.0, 0), "what is planned fits");
    assert_eq!(run.remaining(), 0);
    allocator.check().unwrap();
    assert_eq!(stage.reserved(), before - planned.1, "the emptied blocks went at once");
    assert_eq!(fake.calls(Call::AllocateMemory), calls, "and nothing was asked for");
    for (nth, mesh) in meshes.iter().enumerate() {
        assert_eq!(read(fake, mesh), nth as u64);
    }
    drop(run);
    allocator.check().unwrap();
    // What took others in may go in its turn, and soon nothing is left to win.
    let mut more = 0;
    loop {
        let again = allocator.defragment(&DefragmentDesc::new(), everything);
        if again.bytes() == 0 {
            assert_eq!(again.moves().len(), 0);
            break;
        }
        stage.move_all(&again, &mut meshes);
        more += 1;
        assert!(more < 4, "it does not go round in circles");
    }
}

#[test]
fn the_old_place_lives_until_the_gpu_has_copied() {
    let stage = Stage::new();
    let (fake, allocator) = (&stage.fake, &stage.allocator);
    let mut meshes = scattered(allocator, 300 * KIB, 12);
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    let (mesh, rest) = meshes.split_first_mut().unwrap();
    assert!(run.contains(mesh.allocation()) || rest.iter().any(|m| run.contains(m.allocation())));
    let mesh = match run.contains(mesh.allocation()) {
        true => mesh,
        false => rest.iter_mut().find(|mesh| run.contains(mesh.allocation())).unwrap(),
    };
    write(fake, mesh, 77);
    let (old, place) = (mesh.allocation().key(), mesh.handle());
    let frame = stage.begin();
    // SAFETY: as in `move_all`.
    let mut copies = unsafe { run.copies(&frame, stage.commands) }.unwrap();
    copies.move_buffer(mesh, &movable(300 * KIB), &memory()).unwrap();
    assert!(mesh.allocation().key() != old && mesh.handle() != place);
    drop(copies);
    assert_eq!((fake.calls(Call::CmdCopyBuffer), fake.calls(Call::CmdPipelineBarrier)), (1, 2));
    let pending = allocator.statistics().total.pending;
    assert_eq!(pending, 300 * KIB);
    stage.submit(frame);
    allocator.collect();
    assert_eq!(allocator.statistics().total.pending, pending, "the GPU has not copied yet");
    let destroyed = fake.calls(Call::DestroyBuffer);
    fake.run();
    assert_eq!(read(fake, mesh), 77);
    allocator.collect();
    assert_eq!(allocator.statistics().total.pending, 0);
    assert_eq!(fake.calls(Call::DestroyBuffer), destroyed + 1);
}

#[test]
fn one_that_may_not_move_keeps_its_block_and_only_its_own() {
    let stage = Stage::new();
    let allocator = &stage.allocator;
    let meshes = scattered(allocator, 100 * KIB, 200);
    let free = allocator.defragment(&DefragmentDesc::new(), everything);
    let pinned = free.moves()[0].allocation;
    let all = free.bytes();
    drop(free);
    let mut asked = Vec::new();
    let run = allocator.defragment(&DefragmentDesc::new(), |found| {
        asked.push(*found);
        found.allocation != pinned
    });
    assert!(run.bytes() < all && run.bytes() > 0);
    assert!(run.moves().iter().all(|one| one.allocation != pinned));
    let own = meshes.iter().find(|mesh| mesh.allocation().key() == pinned).unwrap();
    assert!(!run.contains(own.allocation()));
    let told = asked.iter().find(|one| one.allocation == pinned).unwrap();
    assert_eq!((told.size, told.name, told.tenant), (100 * KIB, Some("moves"), TenantKind::Buffer));
    let usage = vk::BufferUsageFlags::from_raw(told.usage);
    assert!(usage.contains(vk::BufferUsageFlags::TRANSFER_SRC), "{usage:?}");
    assert_eq!(told.kind, Some(ResourceKind::Linear));
    drop(run);
    let nobody = allocator.defragment(&DefragmentDesc::new(), |_| false);
    assert_eq!((nobody.bytes(), nobody.remaining()), (0, 0));
}

#[test]
fn nobody_new_moves_into_a_leaving_block_unless_nothing_else_is_left() {
    // A heap of 8 MiB in blocks of 1 MiB.
    let small = Profile::default()
        .heaps(&[(8 * MIB, vk::MemoryHeapFlags::DEVICE_LOCAL)])
        .types(&[(0, vk::MemoryPropertyFlags::DEVICE_LOCAL)]);
    let stage = Stage::over(FakeDriver::new(&small));
    let allocator = &stage.allocator;
    let _meshes = scattered(allocator, 200 * KIB, 36);
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    let leaving = run.remaining();
    assert!(leaving > 0);
    let mut others = Vec::new();
    let reserved = stage.reserved();
    loop {
        let flags = AllocationFlags::NEVER_ALLOCATE;
        let made = allocator.create_buffer(&movable(200 * KIB), &memory().flags(flags));
        let Ok(made) = made else { break };
        let closed = run.contains(made.allocation());
        others.push((made, closed));
    }
    assert_eq!(stage.reserved(), reserved);
    let first = others.iter().position(|(_, closed)| *closed).expect("rather there than nowhere");
    assert!(first > 0 && others[first..].iter().all(|(_, closed)| *closed));
    assert_eq!(run.remaining(), leaving + (others.len() - first) as u64);
    allocator.check().unwrap();
    drop(run);
    allocator.check().unwrap();
}

#[test]
fn a_run_that_ends_lets_others_in_again() {
    let stage = Stage::new();
    let allocator = &stage.allocator;
    let _meshes = scattered(allocator, 100 * KIB, 40);
    let reserved = stage.reserved();
    let free = || allocator.statistics().memory_types[0].largest_free;
    let open = free();
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    assert!(run.bytes() > 0);
    assert!(free() <= open);
    // Two at once share nothing.
    let other = allocator.defragment(&DefragmentDesc::new(), everything);
    assert_eq!(other.bytes(), 0);
    drop((run, other));
    assert_eq!(free(), open);
    let more = buffers(allocator, vec![100 * KIB; 25]);
    assert_eq!(stage.reserved(), reserved, "as if nothing had been");
    drop(more);
    allocator.check().unwrap();
}

#[test]
fn limits_bound_what_is_planned() {
    let stage = Stage::new();
    let allocator = &stage.allocator;
    let meshes = scattered(allocator, 100 * KIB, 400);
    let plan = |desc: DefragmentDesc| {
        let run = allocator.defragment(&desc, everything);
        (run.moves().len() as u64, run.moves().iter().map(|one| one.size).sum::<u64>())
    };
    let (moves, bytes) = plan(DefragmentDesc::new());
    let (few, _) = plan(DefragmentDesc::new().most_moves(moves / 2));
    assert!(few > 0 && few <= moves / 2);
    let (_, little) = plan(DefragmentDesc::new().most_bytes(bytes / 2));
    assert!(little > 0 && little <= bytes / 2);
    let own = meshes[0].allocation().memory_type();
    assert_eq!(plan(DefragmentDesc::new().memory_types(1 << own)), (moves, bytes));
    assert_eq!(plan(DefragmentDesc::new().memory_types(!(1 << own))), (0, 0));
}

#[test]
fn a_move_that_cannot_be_is_a_typed_error_and_changes_nothing() {
    let stage = Stage::new();
    let (fake, allocator) = (&stage.fake, &stage.allocator);
    let meshes = scattered(allocator, 100 * KIB, 100);
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    let (mut going, mut staying): (Vec<_>, Vec<_>) =
        meshes.into_iter().partition(|mesh| run.contains(mesh.allocation()));
    let (going, staying) = (&mut going[0], &mut staying[0]);
    let fine = movable(100 * KIB);

    let other = Stage::new();
    let foreign = other.begin();
    // SAFETY: nothing is recorded, because it is refused.
    let refused = unsafe { run.copies(&foreign, other.commands) };
    assert_eq!(refused.map(drop), Err(MoveError::Foreign));
    let theirs = buffers(&other.allocator, [100 * KIB]).remove(0);
    assert!(!run.contains(theirs.allocation()));
    assert_eq!(run.create_buffer(&theirs, &fine, &memory()).map(drop), Err(MoveError::NotPlanned));
    // SAFETY: its commands are never submitted.
    unsafe { foreign.abandon() };

    let frame = stage.begin();
    // SAFETY: as in `move_all`.
    let mut copies = unsafe { run.copies(&frame, stage.commands) }.unwrap();
    let state = || (allocator.statistics(), fake.live());
    let before = state();
    let key = going.allocation().key();
    let refuse = |copies: &mut fencepost::Copies<'_>, buffer: &mut Buffer, desc: &BufferDesc| {
        copies.move_buffer(buffer, desc, &memory()).unwrap_err()
    };
    assert_eq!(refuse(&mut copies, staying, &fine), MoveError::NotPlanned);
    let smaller = MoveError::Smaller { old: 100 * KIB, new: KIB };
    assert_eq!(refuse(&mut copies, going, &movable(KIB)), smaller);
    let no_target = BufferDesc::new(100 * KIB, vk::BufferUsageFlags::STORAGE_BUFFER);
    assert_eq!(refuse(&mut copies, going, &no_target), MoveError::Usage);
    assert_eq!(refuse(&mut copies, going, &movable(100 * MIB)), MoveError::NoRoom);
    let host = copies.move_buffer(going, &fine, &AllocationDesc::readback());
    assert!(matches!(host, Err(MoveError::Create(CreateError::Allocate(_)))), "{host:?}");
    for (call, expected) in [
        (Call::CreateBuffer, MoveError::Create(CreateError::Create(DEVICE_MEMORY))),
        (Call::BindBufferMemory, MoveError::Create(CreateError::Bind(DEVICE_MEMORY))),
    ] {
        fake.fail_all(call, DEVICE_MEMORY);
        assert_eq!(refuse(&mut copies, going, &fine), expected);
        fake.clear_faults();
    }
    assert_eq!(before.1, state().1);
    assert_eq!(before.0.total.live, state().0.total.live);
    assert_eq!((going.allocation().key(), copies.moved()), (key, 0));
    allocator.check().unwrap();
    drop(copies);
    assert_eq!(fake.calls(Call::CmdPipelineBarrier), 0, "nothing moved, so nothing is recorded");
    stage.submit(frame);
    fake.run();
    drop((theirs, other));
}

const DEVICE_MEMORY: vk::Result = vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;

#[test]
fn images_and_plain_allocations_move_by_hand() {
    let stage = Stage::new();
    let allocator = &stage.allocator;
    let wanted = |kind| {
        let requirements =
            vk::MemoryRequirements { size: 128 * KIB, alignment: 4096, memory_type_bits: !0 };
        allocator.allocate(&requirements, kind, &AllocationDesc::device_local()).unwrap()
    };
    let mut all: Vec<Allocation> = (0..100).map(|_| wanted(ResourceKind::Linear)).collect();
    let mut nth = 0;
    all.retain(|_| {
        nth += 1;
        nth % 5 == 0
    });
    allocator.collect();
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    let bytes = run.bytes();
    assert!(bytes > 0 && run.moves().iter().all(|one| one.kind.is_none()));
    let before = stage.reserved();
    for one in &mut all {
        if run.contains(one) {
            let requirements =
                vk::MemoryRequirements { size: 128 * KIB, alignment: 4096, memory_type_bits: !0 };
            let desc = AllocationDesc::device_local();
            *one = run.allocate(one, &requirements, ResourceKind::Linear, &desc).unwrap();
        }
    }
    allocator.collect();
    assert_eq!(stage.reserved(), before - bytes);
}

#[test]
fn an_arena_is_defragmented_by_itself_and_keeps_its_least() {
    let stage = Stage::new();
    let allocator = &stage.allocator;
    // VMA's TestPool_SameSize: 100 of 1 MiB in 4 blocks of 25; every other is freed, and 24 or 25 move.
    let desc = ArenaDesc::new(AllocationDesc::device_local()).block_size(25 * MIB).min_blocks(3);
    let arena: Arena = allocator.create_arena(&desc).unwrap();
    let make = |_| arena.create_buffer(&movable(MIB), &memory()).unwrap();
    let mut meshes: Vec<Buffer> = (0..100).map(make).collect();
    assert_eq!(arena.statistics().blocks, 4);
    let mut nth = 0;
    meshes.retain(|_| {
        nth += 1;
        nth % 2 == 0
    });
    allocator.collect();
    assert_eq!(allocator.defragment(&DefragmentDesc::new(), everything).bytes(), 0);
    let run = arena.defragment(&DefragmentDesc::new(), everything);
    assert_eq!((run.moves().len(), run.bytes()), (24, 50 * MIB));
    assert_eq!(stage.move_all(&run, &mut meshes), (24, 0));
    assert_eq!(arena.statistics().blocks, 3, "it keeps three");
    drop(run);
    allocator.check().unwrap();
    let more: Vec<Buffer> = (0..25).map(make).collect();
    assert_eq!(arena.statistics().blocks, 3, "and the third is open again");
    drop((more, meshes, arena));
}

/// What an arena's own run is to move is no other run's: the arena's alignment and guards go along.
#[test]
fn a_run_moves_what_is_its_own() {
    let stage = Stage::new();
    let allocator = &stage.allocator;
    let desc = ArenaDesc::new(memory()).block_size(4 * MIB).min_alignment(64 * KIB);
    let arena: Arena = allocator.create_arena(&desc).unwrap();
    let mut inside: Vec<Buffer> =
        (0..8).map(|_| arena.create_buffer(&movable(MIB), &memory()).unwrap()).collect();
    inside.drain(5..);
    inside.drain(2..4);
    let mut outside = scattered(allocator, 300 * KIB, 12);
    allocator.collect();
    let own = arena.defragment(&DefragmentDesc::new(), everything);
    let others = allocator.defragment(&DefragmentDesc::new(), everything);
    let leaves = |all: &[Buffer], run: &Defragmentation| {
        all.iter().filter(|buffer| run.contains(buffer.allocation())).count()
    };
    assert!(leaves(&inside, &own) > 0 && leaves(&outside, &others) > 0, "the control");
    assert_eq!((leaves(&inside, &others), leaves(&outside, &own)), (0, 0));
    for (all, own, other) in [(&mut inside, &own, &others), (&mut outside, &others, &own)] {
        for buffer in all {
            let desc = movable(buffer.size());
            let refused = other.create_buffer(buffer, &desc, &memory()).unwrap_err();
            assert_eq!(refused, MoveError::NotPlanned);
            if own.contains(buffer.allocation()) {
                *buffer = own.create_buffer(buffer, &desc, &memory()).unwrap();
            }
        }
    }
    assert!(inside.iter().all(|buffer| buffer.allocation().offset() % (64 * KIB) == 0));
}

#[test]
fn a_lost_device_ends_it_quietly() {
    let stage = Stage::new();
    let (fake, allocator) = (&stage.fake, &stage.allocator);
    let mut meshes = scattered(allocator, 100 * KIB, 100);
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    let going = meshes.iter_mut().find(|mesh| run.contains(mesh.allocation())).unwrap();
    fake.lose_device();
    assert!(submit_nothing(stage.frames.begin().unwrap()).is_err());
    let refused = run.create_buffer(going, &movable(100 * KIB), &memory());
    assert!(matches!(refused, Err(MoveError::Create(_))), "{refused:?}");
    drop((refused, run, meshes));
}

/// A run outlives the last of its allocator's handles, and everything it closed.
#[test]
fn a_run_may_outlive_everything() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let meshes = scattered(&allocator, 100 * KIB, 100);
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    assert!(run.remaining() > 0);
    drop((meshes, frames));
    allocator.collect();
    assert_eq!(run.remaining(), 0);
    drop(allocator);
    drop(run);
    fake.finish().unwrap();
}

#[test]
fn margins_move_too() {
    let fake = fake();
    let allocator = made(&desc(&fake).guards(GuardPolicy::Full).first_block(MIB));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let upload = AllocationDesc::upload().name("mesh");
    let make = |_| allocator.create_buffer(&movable(100 * KIB), &upload).unwrap();
    let mut meshes: Vec<Buffer> = (0..64).map(make).collect();
    thin_out(&mut meshes);
    allocator.collect();
    let before = allocator.statistics().total.reserved;
    let run = allocator.defragment(&DefragmentDesc::new(), everything);
    let bytes = run.bytes();
    assert!(bytes > 0 && run.moves().iter().all(|one| one.size == 100 * KIB), "without margins");
    let mut moved = Vec::new();
    for mesh in &mut meshes {
        if run.contains(mesh.allocation()) {
            *mesh = run.create_buffer(mesh, &movable(100 * KIB), &upload).unwrap();
            moved.push((mesh.allocation().memory(), mesh.allocation().offset()));
        }
    }
    allocator.collect();
    assert_eq!(allocator.statistics().total.reserved, before - bytes);
    assert!(allocator.check_guards().is_empty());
    let (memory, offset) = moved[0];
    assert!(fake.gpu_write(memory, offset + 100 * KIB, &[0; 4]));
    let found = allocator.check_guards();
    assert_eq!(
        (found.len(), found[0].owner.and_then(|owner| owner.name)),
        (1, Some("mesh")),
        "{found:?}"
    );
    drop((run, meshes, frames));
    drop(allocator);
    fake.finish().unwrap();
}

/// Others allocate and drop meanwhile: a plan is of one moment, and whatever became of it is no error.
#[test]
fn others_allocate_while_it_moves() {
    let stage = Stage::new();
    let allocator = &stage.allocator;
    let mut meshes = scattered(allocator, 100 * KIB, 200);
    std::thread::scope(|scope| {
        // Hung up when this thread is done, or panics.
        let (_at_work, ended) = mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        for seed in 0..2 {
            let ended = Arc::clone(&ended);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                let mut held = Vec::new();
                while ended.lock().unwrap().try_recv() == Err(mpsc::TryRecvError::Empty) {
                    match held.len() < 20 && random.below(2) == 0 {
                        true => held.extend(buffers(allocator, [random.log_uniform(MIB).max(8)])),
                        false => drop(held.pop()),
                    }
                }
            });
        }
        let mut moved = 0;
        for _ in 0..50 {
            let mine: HashSet<_> = meshes.iter().map(|mesh| mesh.allocation().key()).collect();
            let run = allocator
                .defragment(&DefragmentDesc::new(), |found| mine.contains(&found.allocation));
            moved += stage.move_all(&run, &mut meshes).0;
        }
        assert!(moved > 0);
    });
    allocator.check().unwrap();
}

/// Random lives, a run now and then of which some moves are made: contents stay, books agree, and what
/// is emptied goes.
#[test]
fn random_lives_with_runs_in_between() {
    for seed in 0..4 {
        let stage = Stage::new();
        let (fake, allocator) = (&stage.fake, &stage.allocator);
        let mut random = Random::new(seed);
        let mut held: HashMap<RawAllocation, (Buffer, u64)> = HashMap::new();
        let (mut next, mut emptied) = (0, 0);
        for round in 0..40 {
            for _ in 0..60 {
                if random.below(100) < if round % 4 < 2 { 75 } else { 25 } {
                    let size = random.log_uniform(2 * MIB).max(8);
                    let made = buffers(allocator, [size]).remove(0);
                    next += 1;
                    write(fake, &made, next);
                    held.insert(made.allocation().key(), (made, next));
                } else {
                    let mut keys: Vec<_> = held.keys().copied().collect();
                    keys.sort_by_key(|key| held[key].1);
                    if let Some(key) = keys.get(random.below(keys.len().max(1) as u64) as usize) {
                        held.remove(key);
                    }
                }
            }
            allocator.collect();
            let all_of_them = random.below(2) == 0;
            let run = allocator.defragment(&DefragmentDesc::new().most_moves(64), |found| {
                held.contains_key(&found.allocation)
            });
            let (bytes, before) = (run.bytes(), stage.reserved());
            let mut some = Vec::new();
            for one in run.moves() {
                if all_of_them || random.below(3) > 0 {
                    some.push(held.remove(&one.allocation).unwrap());
                }
            }
            let (mut moving, values): (Vec<Buffer>, Vec<u64>) = some.into_iter().unzip();
            let (_, refused) = stage.move_all(&run, &mut moving);
            allocator.check().unwrap();
            for (buffer, value) in moving.into_iter().zip(values) {
                assert_eq!(read(fake, &buffer), value, "seed {seed}, round {round}");
                held.insert(buffer.allocation().key(), (buffer, value));
            }
            if all_of_them && refused == 0 {
                assert!(stage.reserved() <= before - bytes, "seed {seed}, round {round}");
                emptied += bytes;
            }
            drop(run);
            allocator.check().unwrap();
        }
        assert!(emptied > 0, "seed {seed} never gave anything back");
        for (buffer, value) in held.values() {
            assert_eq!(read(fake, buffer), *value);
        }
    }
}
