//! The validation layer reports nothing about anything that the allocator does; and it does report
//! what is wrong on purpose.

use ash::vk;
use fencepost::{
    AllocationDesc, Allocator, Buffer, BufferDesc, DescriptorCounts, ImageDesc, ImageViewDesc,
    ResourceKind,
};

use crate::harness::{Room, Scenario};
use crate::rig::{
    Commands, Gate, Kind, Line, allocator, allocator_with, assert_clean, assert_seen,
};
use crate::support::{Gpu, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("everything_is_valid_with_vulkan_1_3", |room| {
            use_everything(room, &[Kind::Owned, Kind::External, Kind::Fences(3)]);
        })
        .validation(Validation::Core),
        Scenario::new("everything_is_valid_with_vulkan_1_1", |room| {
            use_everything(room, &[Kind::Fences(3)]);
        })
        .api_version(vk::API_VERSION_1_1)
        .validation(Validation::Core),
        Scenario::new("everything_is_valid_with_vulkan_1_0", |room| {
            use_everything(room, &[Kind::Fences(3)]);
        })
        .api_version(vk::API_VERSION_1_0)
        .validation(Validation::Core),
        Scenario::new("control_the_layer_reports_an_object_left_over", object_left_over)
            .validation(Validation::Core),
        Scenario::new("control_the_layer_reports_free_now_of_a_pending_buffer", free_now_pending)
            .validation(Validation::Core),
    ]
}

/// Calls everything over each kind of timeline. The layer reports nothing.
fn use_everything(room: &Room<'_>, kinds: &[Kind]) {
    let gpu = room.open();
    let messages = gpu.messages();
    for &kind in kinds {
        let (allocator, yard) = allocator_with(&gpu, |desc| desc.first_block(256 << 10));
        let line = Line::new(&yard, &allocator, kind);
        let commands = Commands::new(&gpu);
        let gate = Gate::new(&gpu);
        for round in 0..3 {
            use_memory(&gpu, &allocator);
            use_images_and_sets(&gpu, &allocator, &line, &commands, &gate);
            use_ends(&allocator, &line, &commands, &gate);
            if round == 1 {
                allocator.trim();
            }
            allocator.collect();
            allocator.check().expect("the bookkeeping is whole");
            assert_clean(&messages.take());
        }
        drop((gate, commands, line));
        let report = allocator.close().expect("the last clone");
        assert_eq!((report.leaks.len(), report.still_pending), (0, 0), "{report:?}");
    }
    drop(gpu);
    assert_clean(&messages.take());
}

const TRANSFER: vk::BufferUsageFlags = vk::BufferUsageFlags::from_raw(
    vk::BufferUsageFlags::TRANSFER_SRC.as_raw() | vk::BufferUsageFlags::TRANSFER_DST.as_raw(),
);

/// Buffers of all sizes and intents, dedicated ones, raw memory, copies, flushes.
fn use_memory(gpu: &Gpu, allocator: &Allocator) {
    let intents = [
        AllocationDesc::device_local().name("device"),
        AllocationDesc::upload().name("up"),
        AllocationDesc::readback().name("back"),
        AllocationDesc::upload().dedicated(true).name("own"),
        AllocationDesc::upload().min_alignment(4096).name("page"),
    ];
    let mut buffers: Vec<Buffer> = Vec::new();
    for (desc, size) in
        intents.into_iter().zip([1, 1000, 65_537, 300_000, 2_000_000].iter().cycle())
    {
        let buffer = BufferDesc::new(*size, TRANSFER | vk::BufferUsageFlags::STORAGE_BUFFER);
        buffers.push(allocator.create_buffer(&buffer, &desc).expect("a buffer"));
    }
    buffers[1].write(3, &[1_u8, 2, 3]).expect("it is host-visible");
    let mut seen = [0_u8; 3];
    buffers[1].read(3, &mut seen).expect("it is host-visible");
    assert_eq!(seen, [1, 2, 3]);
    if gpu.buffer_device_address {
        let usage = vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS | TRANSFER;
        let addressed = allocator
            .create_buffer(&BufferDesc::new(100, usage), &AllocationDesc::device_local())
            .expect("a buffer");
        assert!(addressed.device_address().is_some_and(|address| address != 0));
        assert_eq!(buffers[0].device_address(), None, "its usage does not name it");
    }
    let needs = vk::MemoryRequirements { size: 777, alignment: 64, memory_type_bits: !0 };
    let raw = allocator
        .allocate(&needs, ResourceKind::Optimal, &AllocationDesc::device_local())
        .expect("memory");
    // The key's handle comes back, is not a copy, and is dropped once.
    let key = raw.into_raw();
    // SAFETY: the key is of this allocator, and no handle of it is alive.
    drop(unsafe { allocator.from_raw(key) }.expect("it is alive"));
    // SAFETY: as above; it is dead now, and that is an error.
    assert!(unsafe { allocator.from_raw(key) }.is_err(), "it was retired");
    assert!(allocator.snapshot().blocks().next().is_some());
}

/// Images of several shapes with views, and descriptor sets, used by a submit and then dropped.
fn use_images_and_sets(
    gpu: &Gpu,
    allocator: &Allocator,
    line: &Line,
    commands: &Commands,
    gate: &Gate,
) {
    let usage = vk::ImageUsageFlags::TRANSFER_DST
        | vk::ImageUsageFlags::TRANSFER_SRC
        | vk::ImageUsageFlags::SAMPLED;
    let (format, color) = (vk::Format::R8G8B8A8_UNORM, vk::ImageAspectFlags::COLOR);
    let extent = vk::Extent3D { width: 9, height: 10, depth: 11 };
    let descs = [
        ImageDesc::new_2d(format, 100, 100, usage),
        ImageDesc::new_2d(format, 129, 65, usage).mip_levels(8),
        ImageDesc::new_2d(format, 30, 40, usage).array_layers(3),
        ImageDesc::new_2d(format, 64, 64, usage).array_layers(6).cube_compatible(),
        ImageDesc::new_3d(format, extent, usage),
    ];
    let images: Vec<_> = descs
        .iter()
        .map(|desc| {
            let memory = AllocationDesc::device_local().name("image");
            let image = allocator.create_image(desc, &memory).expect("an image");
            let view = ImageViewDesc::new(color);
            let view = allocator.create_image_view(&image, &view).expect("a view");
            (view, image)
        })
        .collect();
    let layout = SetLayout::new(gpu);
    let counts = DescriptorCounts { storage_buffer: 1, sampled_image: 1, ..Default::default() };
    let usage = vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST;
    let storage = allocator
        .create_buffer(&BufferDesc::new(1000, usage), &AllocationDesc::device_local())
        .expect("a buffer");
    let sets: Vec<_> = images
        .iter()
        .map(|(view, _)| {
            // SAFETY: the layout is of this device, and these are its descriptors.
            let set = unsafe { allocator.create_descriptor_set(layout.layout, &counts) };
            let set = set.expect("a descriptor set");
            let buffer = [vk::DescriptorBufferInfo::default()
                .buffer(storage.handle())
                .range(vk::WHOLE_SIZE)];
            let image = [vk::DescriptorImageInfo::default()
                .image_view(view.handle())
                .image_layout(vk::ImageLayout::GENERAL)];
            let writes = [
                vk::WriteDescriptorSet::default()
                    .dst_set(set.handle())
                    .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                    .buffer_info(&buffer),
                vk::WriteDescriptorSet::default()
                    .dst_set(set.handle())
                    .dst_binding(1)
                    .descriptor_type(vk::DescriptorType::SAMPLED_IMAGE)
                    .image_info(&image),
            ];
            // SAFETY: set, buffer and view are alive, and no submitted work uses the set.
            unsafe { gpu.device.update_descriptor_sets(&writes, &[]) };
            set
        })
        .collect();
    let recording = line.begin(gate);
    let ticket = gate.ticket();
    let work = commands.record(|recorder| {
        gate.record_wait(recorder.commands, ticket);
        for ((_, image), set) in images.iter().zip(&sets) {
            let general = vk::ImageLayout::GENERAL;
            recorder.layout(image.handle(), vk::ImageLayout::UNDEFINED, general);
            recorder.clear(image.handle(), general, [1, 2, 3, 4]);
            recorder.bind(layout.pipeline_layout, set.handle());
        }
        recorder.fill(storage.handle(), 3);
    });
    let point = line.submit_behind(recording, &[work], gate, ticket);
    // In every order: image before view, view before image, sets last.
    for (index, (view, image)) in images.into_iter().enumerate() {
        if index % 2 == 0 {
            drop((view, image));
        } else {
            drop(view);
            drop(image);
        }
    }
    drop(storage);
    drop(sets);
    allocator.collect();
    let held = allocator.statistics();
    assert!(held.total.pending_count >= 6 && held.pending_objects >= 10, "all is held: {held:?}");
    gate.open(ticket);
    line.wait(point);
    let collected = allocator.collect();
    assert!(collected.allocations >= 6 && collected.objects >= 10, "{collected:?}");
    let done = allocator.statistics();
    assert_eq!((done.total.pending_count, done.pending_objects), (0, 0), "all is done");
}

/// The ways in which a life ends: explicit points, immediately, into parts, abandoned recordings.
fn use_ends(allocator: &Allocator, line: &Line, commands: &Commands, gate: &Gate) {
    let desc = BufferDesc::new(500, TRANSFER);
    let make = || allocator.create_buffer(&desc, &AllocationDesc::upload()).expect("a buffer");
    let (used, unused) = (make(), make());
    let recording = line.begin(gate);
    let fill = commands.record(|recorder| recorder.fill(used.handle(), 1));
    let point = line.submit(recording, &[fill]);
    // SAFETY: the point covers the one use; the other buffer was never used.
    unsafe {
        used.retire_at(&[point]).expect("the point is of this allocator");
        unused.free_now();
    }
    line.wait(point);
    assert!(line.timeline.is_reached(point).expect("the point is of this allocator"));
    let recording = line.begin(gate);
    drop(make());
    // SAFETY: nothing was recorded.
    unsafe { recording.abandon() };
    allocator.collect();
    assert_eq!(allocator.statistics().total.pending_count, 0, "all is done");
}

/// A descriptor set layout, and a pipeline layout over it.
struct SetLayout<'a> {
    gpu: &'a Gpu,
    layout: vk::DescriptorSetLayout,
    pipeline_layout: vk::PipelineLayout,
}

impl<'a> SetLayout<'a> {
    fn new(gpu: &'a Gpu) -> Self {
        let types = [vk::DescriptorType::STORAGE_BUFFER, vk::DescriptorType::SAMPLED_IMAGE];
        let bindings: Vec<_> = (0..)
            .zip(types)
            .map(|(binding, descriptor_type)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(descriptor_type)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the device is alive.
        unsafe {
            let layout = gpu.device.create_descriptor_set_layout(&info, None).expect("a layout");
            let layouts = [layout];
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&layouts);
            let made = gpu.device.create_pipeline_layout(&info, None);
            Self { gpu, layout, pipeline_layout: made.expect("a pipeline layout") }
        }
    }
}

impl Drop for SetLayout<'_> {
    fn drop(&mut self) {
        // SAFETY: the scenario has waited for the work that uses them.
        unsafe {
            self.gpu.device.destroy_pipeline_layout(self.pipeline_layout, None);
            self.gpu.device.destroy_descriptor_set_layout(self.layout, None);
        }
    }
}

/// One buffer is released from the allocator and leaked.
fn object_left_over(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) = allocator(&gpu);
    let desc = BufferDesc::new(100, TRANSFER);
    let buffer = allocator.create_buffer(&desc, &AllocationDesc::upload()).expect("a buffer");
    let (_forgotten, allocation) = buffer.into_parts();
    // SAFETY: the GPU never saw it.
    unsafe { allocation.free_now() };
    drop((allocator, yard));
    assert_clean(&messages.take());
    drop(gpu);
    assert_seen(&messages.take(), "VUID-vkDestroyDevice-device-00378");
}

/// A buffer that a submission still uses is freed by the unsafe function.
fn free_now_pending(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let desc = BufferDesc::new(4096, TRANSFER);
    let buffer = allocator.create_buffer(&desc, &AllocationDesc::upload()).expect("a buffer");
    let recording = line.begin(&gate);
    // For the layer, a barrier uses the buffer, but the drivers do not access it: a real use after
    // free would end this process.
    let barrier = commands.record(|recorder| recorder.buffer_barrier(buffer.handle()));
    let ticket = gate.ticket();
    let point = line.submit_behind(recording, &[barrier], &gate, ticket);
    assert_clean(&messages.take());
    // SAFETY: this is the control.
    unsafe { buffer.free_now() };
    assert_seen(&messages.take(), "VUID-vkDestroyBuffer-buffer-00922");
    gate.open(ticket);
    line.wait(point);
}
