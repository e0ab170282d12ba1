//! Compute: the shaders of the guards are executed, and all others touch what their descriptor set
//! names.

use ash::vk;
use fencepost::fake::{Call, Profile, Use, Violation};

use crate::support::{Gpu, object, submission};

const SPIRV: &[u8] = include_bytes!("../../shaders/guard.spv");

/// A pipeline over three storage buffers in host-visible memory: a window, a table and a report.
struct Compute {
    gpu: Gpu,
    memory: vk::DeviceMemory,
    buffers: [vk::Buffer; 3],
    module: vk::ShaderModule,
    set_layout: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    pipeline: vk::Pipeline,
    descriptors: vk::DescriptorPool,
    set: vk::DescriptorSet,
    pool: vk::CommandPool,
}

const SIZE: u64 = 4096;

fn compute(code: &[u32], entry: &std::ffi::CStr) -> Compute {
    let gpu = Gpu::new();
    let memory = gpu.try_memory(1, 3 * SIZE).unwrap();
    let buffers = [0, 1, 2].map(|index| gpu.buffer_at(SIZE, memory, index * SIZE));
    let device = &gpu.device;
    unsafe {
        let module = vk::ShaderModuleCreateInfo::default().code(code);
        let module = device.create_shader_module(&module, None).unwrap();
        let binding = vk::DescriptorSetLayoutBinding::default()
            .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
            .descriptor_count(1);
        let bindings = [binding.binding(0), binding.binding(1), binding.binding(2)];
        let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let set_layout = device.create_descriptor_set_layout(&info, None).unwrap();
        let layouts = [set_layout];
        let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&layouts);
        let layout = device.create_pipeline_layout(&info, None).unwrap();
        let stage = vk::PipelineShaderStageCreateInfo::default().module(module).name(entry);
        let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout);
        let cache = vk::PipelineCache::null();
        let pipeline = device.create_compute_pipelines(cache, &[info], None).unwrap()[0];
        let sizes = [vk::DescriptorPoolSize {
            ty: vk::DescriptorType::STORAGE_BUFFER,
            descriptor_count: 3,
        }];
        let info = vk::DescriptorPoolCreateInfo::default().max_sets(1).pool_sizes(&sizes);
        let descriptors = device.create_descriptor_pool(&info, None).unwrap();
        let info = vk::DescriptorSetAllocateInfo::default()
            .descriptor_pool(descriptors)
            .set_layouts(&layouts);
        let set = device.allocate_descriptor_sets(&info).unwrap()[0];
        let infos =
            buffers.map(|buffer| [vk::DescriptorBufferInfo { buffer, offset: 0, range: SIZE }]);
        let write = |binding: usize| {
            vk::WriteDescriptorSet::default()
                .dst_set(set)
                .dst_binding(binding as u32)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .buffer_info(&infos[binding])
        };
        device.update_descriptor_sets(&[write(0), write(1), write(2)], &[]);
        let pool = device.create_command_pool(&Default::default(), None).unwrap();
        Compute {
            gpu,
            memory,
            buffers,
            module,
            set_layout,
            layout,
            pipeline,
            descriptors,
            set,
            pool,
        }
    }
}

fn guard(entry: &std::ffi::CStr) -> Compute {
    let words = SPIRV.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    compute(&words.collect::<Vec<u32>>(), entry)
}

impl Compute {
    fn write(&self, buffer: u64, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert!(self.gpu.fake.gpu_write(self.memory, buffer * SIZE, &bytes));
    }

    fn read(&self, buffer: u64, count: usize) -> Vec<u32> {
        let mut bytes = vec![0; count * 4];
        assert!(self.gpu.fake.gpu_read(self.memory, buffer * SIZE, &mut bytes));
        bytes.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
    }

    /// Dispatches so many workgroups, without waiting.
    fn dispatch(&self, groups: u32) {
        let device = &self.gpu.device;
        let point = vk::PipelineBindPoint::COMPUTE;
        let info = vk::CommandBufferAllocateInfo::default().command_pool(self.pool);
        unsafe {
            let commands =
                device.allocate_command_buffers(&info.command_buffer_count(1)).unwrap()[0];
            device.begin_command_buffer(commands, &Default::default()).unwrap();
            device.cmd_bind_pipeline(commands, point, self.pipeline);
            device.cmd_bind_descriptor_sets(commands, point, self.layout, 0, &[self.set], &[]);
            device.cmd_dispatch(commands, groups, 1, 1);
            device.end_command_buffer(commands).unwrap();
            let commands = [commands];
            let info = vk::SubmitInfo::default().command_buffers(&commands);
            device.queue_submit(self.gpu.fake.queue(0), &[info], vk::Fence::null()).unwrap();
        }
    }

    fn end(self) {
        let device = &self.gpu.device;
        unsafe {
            device.destroy_command_pool(self.pool, None);
            device.destroy_descriptor_pool(self.descriptors, None);
            device.destroy_pipeline(self.pipeline, None);
            device.destroy_pipeline_layout(self.layout, None);
            device.destroy_descriptor_set_layout(self.set_layout, None);
            device.destroy_shader_module(self.module, None);
            self.buffers.iter().for_each(|buffer| device.destroy_buffer(*buffer, None));
            device.free_memory(self.memory, None);
        }
        self.gpu.fake.finish().unwrap();
    }
}

/// A table of one piece of 8 words from the third on, told in the second place; `zero` as the shader.
const fn table(zero: u32) -> [u32; 8] {
    [100, 1, 0, 0, 102, 0, 8, zero]
}

#[test]
fn a_fill_arrives_when_its_submission_completes() {
    let it = guard(c"fill");
    it.write(0, &[7; 16]);
    it.write(1, &table(1));
    it.dispatch(1);
    assert_eq!(it.read(0, 16), [7; 16], "it is pending");
    it.gpu.fake.run();
    assert_eq!(it.read(0, 16), [7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7]);
    it.end();
}

#[test]
fn a_check_tells_what_changed_and_repairs_it() {
    let it = guard(c"check");
    it.write(0, &[0; 16]);
    it.write(0, &[0, 0, 0, 0, 9, 8]);
    it.write(1, &table(1));
    it.dispatch(1);
    it.gpu.fake.run();
    assert_eq!(it.read(2, 8)[4..], [2, 9, 2, 0], "first, found, how many");
    assert_eq!(it.read(0, 16), [0; 16]);
    it.dispatch(1);
    it.gpu.fake.run();
    assert_eq!(it.read(2, 8)[4..], [u32::MAX, 0, 0, 0], "whole");
    it.gpu.kept();
    it.end();
}

#[test]
fn a_piece_outside_its_window_and_a_table_outside_its_buffer_are_violations() {
    let it = guard(c"fill");
    it.write(1, &[0, 1, 0, 0, 1020, 0, 8, 0]);
    it.dispatch(1);
    let outside = Violation::DispatchOutOfRange { set: object(it.set), size: SIZE };
    it.gpu.broke(&[outside]);
    it.gpu.fake.run();
    it.write(1, &[0; 8]);
    it.dispatch(300);
    it.gpu.fake.run();
    assert!(it.gpu.fake.violations().len() > 1, "300 pieces are more than the table has");
}

#[test]
fn an_unknown_shader_changes_nothing_and_touches_what_its_set_names() {
    let it = compute(&[0x0723_0203, 0, 0], c"main");
    it.write(0, &[7; 16]);
    it.write(1, &table(1));
    it.dispatch(1);
    unsafe { it.gpu.device.destroy_pipeline(it.pipeline, None) };
    let early = |object| Violation::InUse {
        call: Call::DestroyPipeline,
        object,
        submission: submission(0, 1),
    };
    it.gpu.broke(&[early(object(it.pipeline))]);
    unsafe { it.gpu.device.destroy_buffer(it.buffers[0], None) };
    assert_eq!(it.gpu.fake.violations().len(), 2, "the buffer is in use too");
    it.gpu.fake.run();
    assert_eq!(it.read(0, 16), [7; 16]);
}

/// A known shader touches the words of its table: beside them another queue may work.
#[test]
fn a_known_shader_touches_its_pieces_alone() {
    for (at, overlaps) in [(8, true), (64, false)] {
        let it = guard(c"fill");
        it.write(1, &table(1));
        it.gpu.submit(1, &[Use::memory(it.memory, at, 8)]);
        it.dispatch(1);
        let found = it.gpu.fake.violations();
        let overlap = |it: &Violation| matches!(it, Violation::SubmitOverlap { .. });
        assert_eq!(found.iter().any(overlap), overlaps, "at byte {at}: {found:?}");
    }
}

/// The guards' shader is read by every Vulkan version, and a newer one is told.
#[test]
fn a_module_that_the_version_does_not_read_is_a_violation() {
    let words = SPIRV.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let words: Vec<u32> = words.collect();
    let cases = [
        (vk::API_VERSION_1_0, 0x0001_0000),
        (vk::API_VERSION_1_1, 0x0001_0300),
        (vk::API_VERSION_1_2, 0x0001_0500),
        (vk::API_VERSION_1_3, 0x0001_0600),
    ];
    for (api_version, newest) in cases {
        let gpu = Gpu::with(Profile::default().api_version(api_version));
        let create = |spirv: u32| unsafe {
            let code = [&[words[0], spirv], &words[2..]].concat();
            let info = vk::ShaderModuleCreateInfo::default().code(&code);
            let module = gpu.device.create_shader_module(&info, None).unwrap();
            gpu.device.destroy_shader_module(module, None);
        };
        create(words[1]);
        create(newest);
        gpu.fake.finish().unwrap();
        create(newest + 0x100);
        gpu.broke(&[Violation::ModuleTooNew { spirv: newest + 0x100, newest }]);
    }
}
