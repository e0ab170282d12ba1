//! Shared memory transfers its contents: between two devices by descriptor, and between the GPU and
//! host memory.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use ash::{ext, khr, vk};
use fencepost::{
    AllocationDesc, Allocator, AllocatorDesc, Buffer, BufferDesc, DeviceFeatures, ExternalError,
    FdKind, Timeline,
};

use crate::harness::{Room, Scenario};
use crate::rig::assert_clean;
use crate::support::{Gpu, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("an_exported_memory_is_seen_by_another_device", across_devices)
            .validation(Validation::Core),
        Scenario::new("the_gpu_works_in_memory_of_the_hosts_own", in_host_memory)
            .validation(Validation::Core),
    ]
}

const SIZE: u64 = 70_000;
const ROUNDS: u32 = 20;

/// A device of its own, with the extensions that share memory, and one buffer's worth of commands.
struct Sharer {
    device: ash::Device,
    pool: vk::CommandPool,
    queue: vk::Queue,
    gpu: Arc<Gpu>,
}

impl Sharer {
    fn new(gpu: &Arc<Gpu>) -> Arc<Self> {
        let family = gpu.main.family;
        let queues = [vk::DeviceQueueCreateInfo::default()
            .queue_family_index(family)
            .queue_priorities(&[1.0])];
        let names =
            [khr::external_memory_fd::NAME.as_ptr(), ext::external_memory_host::NAME.as_ptr()];
        let mut features = vk::PhysicalDeviceVulkan12Features::default().timeline_semaphore(true);
        let info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&names)
            .push_next(&mut features);
        let pool = vk::CommandPoolCreateInfo::default().queue_family_index(family);
        // SAFETY: the instance is alive as long as `gpu`; both drivers have the extensions and the
        // feature.
        unsafe {
            let device = gpu.instance.create_device(gpu.physical_device, &info, None);
            let device = device.expect("a device that shares");
            let pool = device.create_command_pool(&pool, None).expect("a command pool");
            let queue = device.get_device_queue(family, 0);
            Arc::new(Self { device, pool, queue, gpu: Arc::clone(gpu) })
        }
    }

    fn allocator(self: &Arc<Self>) -> (Allocator, Timeline) {
        let features = DeviceFeatures::TIMELINE_SEMAPHORE
            | DeviceFeatures::EXTERNAL_MEMORY_FD
            | DeviceFeatures::EXTERNAL_MEMORY_HOST;
        let desc = AllocatorDesc::new(&self.gpu.instance, self.gpu.physical_device, &self.device)
            .api_version(self.gpu.api_version)
            .features(features)
            .keep_alive(Arc::clone(self) as Arc<_>);
        // SAFETY: the device was created so, and it is kept alive; its one queue has a timeline.
        let allocator = unsafe { Allocator::new(&desc) }.expect("an allocator");
        let timeline = allocator.timeline(self.queue).expect("a timeline");
        (allocator, timeline)
    }

    /// The GPU fills a buffer with a word, and is waited for.
    fn fill(&self, timeline: &Timeline, buffer: &Buffer, word: u32) {
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(self.pool)
            .command_buffer_count(1);
        let recording = timeline.begin().expect("a recording");
        // SAFETY: the pool is this thread's; the buffer is for transfers and lives through the
        // wait.
        let commands = unsafe {
            let commands = self.device.allocate_command_buffers(&info).expect("commands");
            self.device
                .begin_command_buffer(commands[0], &vk::CommandBufferBeginInfo::default())
                .expect("a recording");
            self.device.cmd_fill_buffer(commands[0], buffer.handle(), 0, SIZE, word);
            let barrier = vk::MemoryBarrier::default()
                .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
                .dst_access_mask(vk::AccessFlags::HOST_READ);
            self.device.cmd_pipeline_barrier(
                commands[0],
                vk::PipelineStageFlags::TRANSFER,
                vk::PipelineStageFlags::HOST,
                vk::DependencyFlags::empty(),
                &[barrier],
                &[],
                &[],
            );
            self.device.end_command_buffer(commands[0]).expect("commands");
            commands
        };
        let batch = vk::SubmitInfo::default().command_buffers(&commands);
        // SAFETY: the commands are recorded, and the queue is this thread's.
        let submitted = recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) });
        let point = submitted.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(timeline.wait(point, Duration::from_secs(20)), Ok(()));
    }
}

impl Drop for Sharer {
    fn drop(&mut self) {
        // SAFETY: whoever used the device kept it alive, and is gone.
        unsafe {
            let _ = self.device.device_wait_idle();
            self.device.destroy_command_pool(self.pool, None);
            self.device.destroy_device(None);
        }
    }
}

fn desc() -> BufferDesc {
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    BufferDesc::new(SIZE, usage)
}

fn words(buffer: &Buffer) -> Vec<u32> {
    let mut words = vec![0; (SIZE / 4) as usize];
    buffer.read(0, &mut words).expect("the memory is host-visible");
    words
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn across_devices(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (here, there) = (Sharer::new(&gpu), Sharer::new(&gpu));
    {
        let ((ours, our_line), (theirs, their_line)) = (here.allocator(), there.allocator());
        let readback = AllocationDesc::readback();
        let refused = ours.create_exportable_buffer(&desc(), &readback, FdKind::DmaBuf);
        assert_eq!(refused.map(drop).unwrap_err(), ExternalError::NotEnabled);
        let mut before = None;
        for round in 1..=ROUNDS {
            let out = ours.create_exportable_buffer(&desc(), &readback, FdKind::Opaque);
            let out = out.unwrap_or_else(|error| panic!("{error}"));
            let shared = out.allocation().export(FdKind::Opaque).expect("a descriptor");
            // SAFETY: it was exported just now, of the same physical device and description.
            let come = unsafe { theirs.import_buffer(&desc(), &readback, shared) };
            let mut come = come.unwrap_or_else(|error| panic!("{error}"));
            here.fill(&our_line, &out, 0x1000_0000 + round);
            assert!(words(&come).iter().all(|&word| word == 0x1000_0000 + round), "{round}");
            there.fill(&their_line, &come, 0x2000_0000 + round);
            assert!(words(&out).iter().all(|&word| word == 0x2000_0000 + round), "{round}");
            come.write(4, &[7u32]).expect("the memory is host-visible");
            assert_eq!(words(&out)[..3], [0x2000_0000 + round, 7, 0x2000_0000 + round]);
            // The control: what is not shared stays as it is.
            let apart = ours.create_buffer(&desc(), &readback).expect("a buffer");
            here.fill(&our_line, &apart, 1);
            assert!(words(&come)[0] != 1);
            drop((out, come, apart));
            ours.collect();
            theirs.collect();
            // The first round may open descriptors that the driver keeps.
            let open = open_descriptors();
            assert!(round <= 2 || before == Some(open), "{round}: {before:?} and now {open}");
            before = Some(open);
        }
    }
    drop((here, there));
    assert_clean(&messages.take());
}

fn in_host_memory(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let sharer = Sharer::new(&gpu);
    let (allocator, line) = sharer.allocator();
    let alignment = allocator.host_pointer_alignment().expect("the feature is on");
    let length = SIZE.next_multiple_of(alignment);
    let layout = Layout::from_size_align(length as usize, alignment as usize).expect("a layout");
    // SAFETY: the layout has a size.
    let address = NonNull::new(unsafe { alloc_zeroed(layout) }).expect("host memory");
    // SAFETY: the memory is there until the allocator has let go of it.
    let made = unsafe {
        allocator.import_host_memory(address, length, &desc(), &AllocationDesc::readback())
    };
    if gpu.driver().contains("SwiftShader") {
        // It imports, but its query says that it does not; so the allocator must not.
        assert_eq!(made.map(drop).unwrap_err(), ExternalError::Unsupported);
        room.note("the driver does not say that it can import host memory");
        // SAFETY: allocated above with this layout, and not imported.
        unsafe { dealloc(address.as_ptr(), layout) };
        return;
    }
    let mut buffer = made.unwrap_or_else(|error| panic!("{error}"));
    for round in 1..=ROUNDS {
        sharer.fill(&line, &buffer, round);
        let last = (SIZE / 4 - 1) as usize;
        // SAFETY: within the memory, which nobody writes now.
        let seen =
            unsafe { [address.cast::<u32>().read(), address.cast::<u32>().add(last).read()] };
        assert_eq!(seen, [round; 2]);
        buffer.write(0, &[!round]).expect("the memory is host-visible");
        // SAFETY: as above.
        assert_eq!(unsafe { address.cast::<u32>().read() }, !round);
    }
    drop((buffer, line));
    let report = allocator.close().expect("the last clone");
    assert_eq!((report.leaks.len(), report.still_pending), (0, 0));
    // SAFETY: allocated above with this layout; the driver has let go of it.
    unsafe { dealloc(address.as_ptr(), layout) };
    drop(sharer);
    assert_clean(&messages.take());
}
