//! Buffers with their contents: written directly if the host can access all device memory, and
//! staged and copied otherwise. The bytes are what the GPU reads.

mod support;

use fencepost::{
    AllocateError, AllocationDesc, Allocator, BufferDesc, BufferInit, CopyError, CreateError,
    InitError, Recording,
    fake::{Call, FakeDriver, Profile},
    vk,
};
use support::*;

const VALUES: [u32; 4] = [1, 2, 3, 4];

fn memory() -> AllocationDesc {
    AllocationDesc::device_local().host_access_where_free().name("mesh")
}

fn desc() -> BufferDesc {
    BufferDesc::of(&VALUES, vk::BufferUsageFlags::VERTEX_BUFFER)
}

/// A card of which the host sees all, or nothing.
fn card(seen: bool) -> FakeDriver {
    use vk::{MemoryHeapFlags as Heap, MemoryPropertyFlags as Type};
    let host = Type::HOST_VISIBLE | Type::HOST_COHERENT;
    let mut types = vec![(0, Type::DEVICE_LOCAL), (1, host)];
    if seen {
        types.push((0, Type::DEVICE_LOCAL | host));
    }
    let heaps = [(8 << 30, Heap::DEVICE_LOCAL), (16 << 30, Heap::empty())];
    FakeDriver::new(&Profile::default().heaps(&heaps).types(&types))
}

/// What the GPU reads of a buffer.
fn seen_by_gpu(fake: &FakeDriver, made: &BufferInit) -> Vec<u8> {
    let memory = made.buffer.allocation();
    let mut bytes = vec![0; made.buffer.size() as usize];
    assert!(fake.gpu_read(memory.memory(), memory.offset(), &mut bytes));
    bytes
}

/// Records the copy, if there is one, and submits.
fn load(fake: &FakeDriver, recording: Recording, made: &BufferInit) {
    let device = fake.device();
    // SAFETY: the fake's own objects, used as Vulkan asks; it judges.
    unsafe {
        let info = vk::CommandPoolCreateInfo::default();
        let pool = device.create_command_pool(&info, None).unwrap();
        let info =
            vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
        let commands = device.allocate_command_buffers(&info).unwrap();
        device.begin_command_buffer(commands[0], &Default::default()).unwrap();
        if let Some(staging) = &made.staging {
            let (from, to) = (staging.handle(), made.buffer.handle());
            device.cmd_copy_buffer(commands[0], from, to, &[made.copy()]);
        }
        device.end_command_buffer(commands[0]).unwrap();
        submit(recording, &commands).unwrap();
        fake.run();
        device.destroy_command_pool(pool, None);
    }
}

fn made(allocator: &Allocator, memory: &AllocationDesc) -> BufferInit {
    allocator.create_buffer_init(&desc(), memory, &VALUES).unwrap()
}

#[test]
fn a_seen_buffer_is_written_and_an_unseen_one_is_copied() {
    for seen in [true, false] {
        let fake = card(seen);
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let recording = frames.begin().unwrap();
        let made = made(&allocator, &memory());
        let local = vk::MemoryPropertyFlags::DEVICE_LOCAL;
        assert!(made.buffer.allocation().memory_properties().contains(local));
        assert_eq!(made.staging.is_none(), seen);
        let expected: &[u8] = bytemuck::cast_slice(&VALUES);
        // The control: before the copy, what is staged is not there.
        assert_eq!(seen_by_gpu(&fake, &made) == expected, seen);
        load(&fake, recording, &made);
        assert_eq!(seen_by_gpu(&fake, &made), expected);
        drop(made);
        allocator.collect();
        assert_eq!(allocator.statistics().total.pending, 0);
        drop((frames, allocator));
        fake.finish().unwrap();
    }
}

/// The small window of the default profile is left to those who ask for it.
#[test]
fn a_small_window_is_not_free() {
    let fake = fake();
    let allocator = allocator(&fake);
    let made = made(&allocator, &memory());
    assert!(made.staging.is_some());
    assert_eq!(fake.heap_used(2), 0);
    let asked = AllocationDesc::upload();
    let uploaded = allocator.create_buffer_init(&desc(), &asked, &VALUES).unwrap();
    assert!(uploaded.staging.is_none(), "what is host-visible anyhow is written");
}

#[test]
fn too_many_values_and_none_at_all() {
    let fake = fake();
    let allocator = allocator(&fake);
    let small = BufferDesc::new(8, vk::BufferUsageFlags::VERTEX_BUFFER);
    let refused = allocator.create_buffer_init(&small, &memory(), &VALUES).unwrap_err();
    let expected = CopyError::OutOfRange { offset: 0, length: 16, size: 8 };
    assert_eq!(refused, InitError::Copy(expected));
    let empty: [u32; 0] = [];
    let refused =
        allocator.create_buffer_init(&BufferDesc::of(&empty, desc_usage()), &memory(), &empty);
    assert!(matches!(refused, Err(InitError::Create(CreateError::Desc(_)))));
    let untouched = allocator.create_buffer_init(&small, &memory(), &empty).unwrap();
    assert!(untouched.staging.is_none());
    assert_eq!(allocator.statistics().total.live_count, 1);
}

fn desc_usage() -> vk::BufferUsageFlags {
    vk::BufferUsageFlags::VERTEX_BUFFER
}

/// Whatever is refused, an open recording holds nothing back: the buffers were never seen.
#[test]
fn a_refused_staging_buffer_takes_the_buffer_with_it() {
    let fake = card(false);
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let recording = frames.begin().unwrap();
    fake.fail(Call::CreateBuffer, 1, vk::Result::ERROR_OUT_OF_HOST_MEMORY);
    let refused = allocator.create_buffer_init(&desc(), &memory(), &VALUES).unwrap_err();
    let error = CreateError::Create(vk::Result::ERROR_OUT_OF_HOST_MEMORY);
    assert_eq!(refused, InitError::Create(error));
    let statistics = allocator.statistics();
    assert_eq!((statistics.total.live, statistics.total.pending), (0, 0));
    // The control: a buffer that is merely dropped is held back.
    drop(made(&allocator, &memory()));
    assert!(allocator.statistics().total.pending > 0);
    let never = memory().flags(fencepost::AllocationFlags::NEVER_ALLOCATE);
    let large = BufferDesc::new(1 << 30, desc_usage());
    let refused = allocator.create_buffer_init(&large, &never, &VALUES).unwrap_err();
    assert!(matches!(
        refused,
        InitError::Create(CreateError::Allocate(AllocateError::OutOfDeviceMemory { .. }))
    ));
    submit_nothing(recording).unwrap();
}

/// The buffer lies in the arena, and what its contents are copied from does not.
#[test]
fn a_buffer_of_an_arena_gets_its_contents_too() {
    use fencepost::ArenaDesc;
    let fake = fake();
    let allocator = allocator(&fake);
    let usage = vk::BufferUsageFlags::VERTEX_BUFFER;
    for (memory, staged) in
        [(AllocationDesc::device_local(), true), (AllocationDesc::upload(), false)]
    {
        let arena = allocator.create_arena(&ArenaDesc::new(memory).block_size(1 << 16)).unwrap();
        let values = [7_u32; 100];
        let desc = BufferDesc::of(&values, usage);
        let made = arena.create_buffer_init(&desc, &memory, &values).unwrap();
        assert_eq!((arena.statistics().live_count, made.staging.is_some()), (1, staged));
        let filled = made.staging.as_ref().unwrap_or(&made.buffer);
        let mut back = [0; 100];
        filled.read(0, &mut back).unwrap();
        assert_eq!(back, values);
        // One that fits no block leaves nothing behind.
        let large = BufferDesc::new(1 << 17, usage);
        arena.create_buffer_init(&large, &memory, &values).unwrap_err();
        assert_eq!(arena.statistics().live_count, 1);
    }
    let arena = ArenaDesc::new(AllocationDesc::upload()).block_size(1 << 16);
    let arena = allocator.create_arena(&arena).unwrap();
    let ring = arena.create_ring(&buffer_desc(1 << 12), &AllocationDesc::upload()).unwrap();
    assert_eq!((arena.statistics().live, ring.buffer().size()), (1 << 12, 1 << 12));
}
