//! A fake device with short names for the calls that every test makes.

use ash::vk;
use fencepost::fake::{FakeDriver, Object, Profile, Range, Submission, Use, Violation};

/// A fake and the few things that tests make with it.
pub(crate) struct Gpu {
    pub(crate) fake: FakeDriver,
    pub(crate) device: ash::Device,
}

impl Gpu {
    pub(crate) fn new() -> Gpu {
        Gpu::with(Profile::default())
    }

    pub(crate) fn with(profile: Profile) -> Gpu {
        let fake = FakeDriver::new(&profile);
        let device = fake.device().clone();
        Gpu { fake, device }
    }

    /// Memory of type 0, which is device-local.
    pub(crate) fn memory(&self, size: u64) -> vk::DeviceMemory {
        self.try_memory(0, size).unwrap()
    }

    pub(crate) fn try_memory(&self, kind: u32, size: u64) -> Result<vk::DeviceMemory, vk::Result> {
        let info = vk::MemoryAllocateInfo::default().allocation_size(size).memory_type_index(kind);
        unsafe { self.device.allocate_memory(&info, None) }
    }

    pub(crate) fn buffer(&self, size: u64) -> vk::Buffer {
        let info = vk::BufferCreateInfo::default().size(size);
        unsafe { self.device.create_buffer(&info, None) }.unwrap()
    }

    /// A buffer at `offset` of `memory`.
    pub(crate) fn buffer_at(&self, size: u64, memory: vk::DeviceMemory, offset: u64) -> vk::Buffer {
        let buffer = self.buffer(size);
        unsafe { self.device.bind_buffer_memory(buffer, memory, offset) }.unwrap();
        buffer
    }

    /// A square RGBA image.
    pub(crate) fn image(&self, side: u32, tiling: vk::ImageTiling) -> vk::Image {
        let info = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(vk::Format::R8G8B8A8_UNORM)
            .extent(vk::Extent3D { width: side, height: side, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(tiling)
            .usage(vk::ImageUsageFlags::SAMPLED);
        unsafe { self.device.create_image(&info, None) }.unwrap()
    }

    pub(crate) fn fence(&self) -> vk::Fence {
        unsafe { self.device.create_fence(&vk::FenceCreateInfo::default(), None) }.unwrap()
    }

    pub(crate) fn binary(&self) -> vk::Semaphore {
        unsafe { self.device.create_semaphore(&vk::SemaphoreCreateInfo::default(), None) }.unwrap()
    }

    pub(crate) fn timeline(&self, initial: u64) -> vk::Semaphore {
        let mut kind = vk::SemaphoreTypeCreateInfo::default()
            .semaphore_type(vk::SemaphoreType::TIMELINE)
            .initial_value(initial);
        let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        unsafe { self.device.create_semaphore(&info, None) }.unwrap()
    }

    pub(crate) fn counter(&self, semaphore: vk::Semaphore) -> u64 {
        unsafe { self.device.get_semaphore_counter_value(semaphore) }.unwrap()
    }

    /// Submits work that touches `uses`, without semaphores.
    pub(crate) fn submit(&self, queue: u32, uses: &[Use]) {
        self.submit_with(queue, uses, &[], &[], vk::Fence::null());
    }

    /// Submits work that waits for and signals semaphores with values.
    pub(crate) fn submit_with(
        &self,
        queue: u32,
        uses: &[Use],
        waits: &[(vk::Semaphore, u64)],
        signals: &[(vk::Semaphore, u64)],
        fence: vk::Fence,
    ) {
        let (wait_semaphores, wait_values): (Vec<_>, Vec<_>) = waits.iter().copied().unzip();
        let (signal_semaphores, signal_values): (Vec<_>, Vec<_>) = signals.iter().copied().unzip();
        let stages = vec![vk::PipelineStageFlags::ALL_COMMANDS; waits.len()];
        let mut values = vk::TimelineSemaphoreSubmitInfo::default()
            .wait_semaphore_values(&wait_values)
            .signal_semaphore_values(&signal_values);
        let commands = [self.fake.record(uses)];
        let info = vk::SubmitInfo::default()
            .command_buffers(&commands)
            .wait_semaphores(&wait_semaphores)
            .wait_dst_stage_mask(&stages)
            .signal_semaphores(&signal_semaphores)
            .push_next(&mut values);
        unsafe { self.device.queue_submit(self.fake.queue(queue), &[info], fence) }.unwrap();
    }

    /// The violations so far are exactly these.
    #[track_caller]
    pub(crate) fn broke(&self, violations: &[Violation]) {
        assert_eq!(self.fake.violations(), violations);
    }

    /// No rule was broken so far.
    #[track_caller]
    pub(crate) fn kept(&self) {
        self.broke(&[]);
    }
}

pub(crate) fn object<H: vk::Handle>(handle: H) -> Object {
    Object::of(handle)
}

pub(crate) fn range(memory: vk::DeviceMemory, offset: u64, size: u64) -> Range {
    Range { memory, offset, size }
}

pub(crate) fn submission(queue: u32, number: u64) -> Submission {
    Submission { queue, number }
}
