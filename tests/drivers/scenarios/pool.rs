//! Pools whose pointers are used by the CPU and the GPU: over mapped memory, and over imported
//! pages.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use ash::{ext, vk};
use fencepost::pool::AllocateError;
use fencepost::{AllocationDesc, BufferDesc, MemoryPool, PoolDesc, SharedPool};

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, allocator};
use crate::support::Gpu;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("a_pool_over_mapped_memory_serves_both_sides", mapped),
        Scenario::new("a_pool_over_imported_pages_serves_both_sides", imported),
    ]
}

const BYTES: u64 = 1 << 20;

fn pattern(count: usize, seed: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 + seed * 7 + (at >> 8)) as u8).collect()
}

/// Writes through one pointer, lets `copy` move the bytes on the GPU, reads through another: the bytes
/// arrive, and no neighbour's change.
fn round_trip(pool: &mut MemoryPool, mut copy: impl FnMut(u64, u64, u64)) {
    for (seed, size) in [1_usize, 100, 4096, 100_003].into_iter().enumerate() {
        let [before, from, to, after] =
            [16, size, size, 16].map(|size| pool.allocate(size).unwrap());
        for (edge, byte) in [(before, 0xEE), (after, 0xDD)] {
            // SAFETY: handed out, 16 bytes.
            unsafe { edge.write_bytes(byte, 16) };
        }
        let bytes = pattern(size, seed);
        // SAFETY: both were handed out with this size.
        unsafe {
            from.copy_from_nonoverlapping(bytes.as_ptr(), size);
            to.write_bytes(!bytes[0], size);
        }
        let offset = |pointer| pool.offset_of(pointer).unwrap();
        copy(offset(from), offset(to), size as u64);
        // SAFETY: as above; the GPU is done.
        let arrived = unsafe { std::slice::from_raw_parts(to, size) };
        assert!(arrived == bytes, "{size} bytes came back changed");
        for (edge, byte) in [(before, 0xEE), (after, 0xDD)] {
            // SAFETY: as above.
            let edge = unsafe { std::slice::from_raw_parts(edge, 16) };
            assert!(edge.iter().all(|&found| found == byte), "a neighbour was written to");
        }
        for pointer in [before, from, to, after] {
            pool.deallocate(pointer).unwrap();
        }
    }
    pool.check().unwrap();
    assert_eq!(pool.fragmentation().free_ranges, 1);
}

fn record_copy(
    device: &ash::Device,
    commands: vk::CommandBuffer,
    buffer: vk::Buffer,
    from: u64,
    to: u64,
    size: u64,
) {
    let region = vk::BufferCopy::default().src_offset(from).dst_offset(to).size(size);
    let barrier = vk::MemoryBarrier::default()
        .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
        .dst_access_mask(vk::AccessFlags::HOST_READ);
    // SAFETY: the command buffer is being recorded; the ranges lie in the buffer and do not overlap.
    unsafe {
        device.cmd_copy_buffer(commands, buffer, buffer, &[region]);
        device.cmd_pipeline_barrier(
            commands,
            vk::PipelineStageFlags::TRANSFER,
            vk::PipelineStageFlags::HOST,
            vk::DependencyFlags::empty(),
            &[barrier],
            &[],
            &[],
        );
    }
}

const TRANSFER: vk::BufferUsageFlags = vk::BufferUsageFlags::from_raw(
    vk::BufferUsageFlags::TRANSFER_SRC.as_raw() | vk::BufferUsageFlags::TRANSFER_DST.as_raw(),
);

fn mapped(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let mut usage = TRANSFER;
    if gpu.buffer_device_address {
        usage |= vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS;
    }
    let desc = BufferDesc::new(BYTES, usage);
    let memory = AllocationDesc::upload().name("pool");
    // SAFETY: nobody shuts down; each copy is waited for.
    let made = unsafe { allocator.mapped_pool(&desc, &memory, &PoolDesc::new()) };
    let mut mapped = made.expect("a pool");
    let buffer = mapped.buffer();
    let pool = mapped.pool_mut();
    assert_eq!(pool.capacity(), BYTES);
    round_trip(pool, |from, to, size| {
        let recording = line.begin(&gate);
        let copy = commands.record(|recorder| {
            record_copy(&gpu.device, recorder.commands, buffer, from, to, size);
        });
        line.run(recording, copy);
    });
    // On both drivers a device address is the host's.
    if gpu.buffer_device_address {
        let pointer = pool.allocate(64).unwrap();
        assert!(pool.dma_address(pointer).is_some_and(|address| address != 0));
        pool.deallocate(pointer).unwrap();
    }

    // Held by a point that the gate holds back; free when the GPU has passed it.
    let whole = pool.allocate(BYTES as usize).unwrap();
    let recording = line.begin(&gate);
    let copy = commands.record(|recorder| {
        record_copy(&gpu.device, recorder.commands, buffer, 0, BYTES / 2, BYTES / 2);
    });
    let ticket = gate.ticket();
    let point = line.submit_behind(recording, &[copy], &gate, ticket);
    pool.deallocate_at(whole, &[point]).unwrap();
    assert_eq!(pool.collect(&allocator.reached()), 0, "the work has not begun");
    let held = Err(AllocateError::Full { largest_class: 0, pending: BYTES });
    assert_eq!(pool.allocate(16), held);
    gate.open(ticket);
    line.wait(point);
    assert_eq!(pool.collect(&allocator.reached()), 1);
    assert_eq!(pool.allocate(BYTES as usize), Ok(whole));
    pool.deallocate(whole).unwrap();

    // The pool keeps the buffer, a handle the pool.
    let shared = SharedPool::from(mapped.into_pool());
    let boxed = shared.insert_slice(100, |index| index).unwrap();
    drop(shared);
    assert!(boxed.iter().enumerate().all(|(index, &value)| index == value));
    assert_eq!(allocator.statistics().total.live_count, 1);
    drop(boxed);
    assert_eq!(allocator.statistics().total.live_count, 0);
}

/// Pages of the host's, and what the GPU calls them.
struct Imported {
    device: ash::Device,
    memory: vk::DeviceMemory,
    buffer: vk::Buffer,
}

fn imported(room: &Room<'_>) {
    let gpu = room.open();
    let device = device_that_imports(&gpu);
    let layout = Layout::from_size_align(BYTES as usize, 64 << 10).unwrap();
    // SAFETY: the layout is not empty.
    let pages = NonNull::new(unsafe { alloc_zeroed(layout) }).expect("pages");
    let region = NonNull::slice_from_raw_parts(pages, layout.size());
    // SAFETY: the pages live to the end, and only the pool's pointers and the GPU's copies are used.
    let mut pool =
        unsafe { MemoryPool::from_region(region, &PoolDesc::new(), ()) }.expect("a pool");
    let imported = import(&gpu, &device, pages);
    // SAFETY: the device has a queue of this family.
    let queue = unsafe { device.get_device_queue(gpu.main.family, 0) };
    let info = vk::CommandPoolCreateInfo::default().queue_family_index(gpu.main.family);
    // SAFETY: the device is alive.
    let commands = unsafe { device.create_command_pool(&info, None) }.expect("a command pool");
    round_trip(&mut pool, |from, to, size| {
        let info =
            vk::CommandBufferAllocateInfo::default().command_pool(commands).command_buffer_count(1);
        // SAFETY: recorded, submitted and waited for, in this order.
        unsafe {
            let buffers = device.allocate_command_buffers(&info).expect("a command buffer");
            device
                .begin_command_buffer(buffers[0], &vk::CommandBufferBeginInfo::default())
                .expect("it begins");
            record_copy(&device, buffers[0], imported.buffer, from, to, size);
            device.end_command_buffer(buffers[0]).expect("it ends");
            let batch = vk::SubmitInfo::default().command_buffers(&buffers);
            device.queue_submit(queue, &[batch], vk::Fence::null()).expect("a submission");
            device.queue_wait_idle(queue).expect("the queue ends");
        }
    });
    drop(pool);
    // SAFETY: the queue is idle; each thing is destroyed once, and the pages go last.
    unsafe {
        device.destroy_command_pool(commands, None);
        imported.device.destroy_buffer(imported.buffer, None);
        imported.device.free_memory(imported.memory, None);
        device.destroy_device(None);
        dealloc(pages.as_ptr(), layout);
    }
}

/// A device of its own, for the extension is on in no other scenario.
fn device_that_imports(gpu: &Gpu) -> ash::Device {
    let queue = vk::DeviceQueueCreateInfo::default()
        .queue_family_index(gpu.main.family)
        .queue_priorities(&[1.0]);
    let (queues, extensions) = ([queue], [ext::external_memory_host::NAME.as_ptr()]);
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&extensions);
    // SAFETY: the physical device is alive; both drivers have the extension.
    unsafe { gpu.instance.create_device(gpu.physical_device, &info, None) }
        .expect("a device that imports")
}

/// The pages as the memory of a buffer.
fn import(gpu: &Gpu, device: &ash::Device, pages: NonNull<u8>) -> Imported {
    const KIND: vk::ExternalMemoryHandleTypeFlags =
        vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT;
    let host = ext::external_memory_host::Device::new(&gpu.instance, device);
    let mut properties = vk::MemoryHostPointerPropertiesEXT::default();
    let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(KIND);
    let info = vk::BufferCreateInfo::default().size(BYTES).usage(TRANSFER).push_next(&mut external);
    // SAFETY: the pages are aligned and live; every struct lives to the end of its call.
    unsafe {
        (host.fp().get_memory_host_pointer_properties_ext)(
            device.handle(),
            KIND,
            pages.as_ptr().cast(),
            &mut properties,
        )
        .result()
        .expect("the pages can be imported");
        let buffer = device.create_buffer(&info, None).expect("a buffer");
        let needs = device.get_buffer_memory_requirements(buffer);
        assert!(needs.size <= BYTES, "{needs:?}");
        let types = needs.memory_type_bits & properties.memory_type_bits;
        let mut import = vk::ImportMemoryHostPointerInfoEXT::default()
            .handle_type(KIND)
            .host_pointer(pages.as_ptr().cast());
        let info = vk::MemoryAllocateInfo::default()
            .allocation_size(BYTES)
            .memory_type_index(types.trailing_zeros())
            .push_next(&mut import);
        let memory = device.allocate_memory(&info, None).expect("imported memory");
        device.bind_buffer_memory(buffer, memory, 0).expect("bound");
        Imported { device: device.clone(), memory, buffer }
    }
}
