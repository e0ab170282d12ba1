//! The shader of the guards with indices beyond 16 GiB, which no block of a software driver has: it
//! writes and reports what the host expects. The same words test `src/guard/layout.rs`.

use std::sync::Arc;

use ash::vk;
use fencepost::{AllocationDesc, Allocator, Buffer, BufferDesc};

use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Kind, Line, allocator, assert_clean};
use crate::support::{Gpu, Validation};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("the_shader_knows_every_index_as_the_host_does", every_index)
            .api_version(vk::API_VERSION_1_0)
            .validation(Validation::Core),
    ]
}

/// Indices of words, and the pattern's words there.
fn golden() -> impl Iterator<Item = (u64, u32)> {
    let lines = include_str!("../../../src/guard/pattern.txt").lines();
    let number = |word: &str| u64::from_str_radix(&word[2..], 16).expect("a number");
    lines.filter(|line| !line.starts_with('#')).map(move |line| {
        let (index, word) = line.split_once(' ').expect("two numbers");
        (number(index), number(word) as u32)
    })
}

/// Words of the window before the piece.
const FIRST: u64 = 7;

/// Words of the piece before the one that is looked at, where its low bits allow it: more than a workgroup has lanes.
const BEFORE: u64 = 77;

fn every_index(room: &Room<'_>) {
    let gpu = room.open();
    let messages = gpu.messages();
    let (allocator, yard) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, Kind::Fences(2));
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let shader = Shader::new(&gpu);
    let mut buffers = [4096, 4096, 4096].map(|bytes| storage(&allocator, bytes));
    let sets = shader.bind(&buffers);
    let mut count = 0;
    for (index, word) in golden() {
        let before = BEFORE.min(index & 0xFFFF_FFFF);
        let (start, at) = (index - before, FIRST + before);
        let (low, high) = (start as u32, (start >> 32) as u32);
        let [window, table, report] = &mut buffers;
        let base = low.wrapping_sub(FIRST as u32);
        table.write(0, &[base, 1, 0, 0, low, high, before as u32 + 1, 0]).expect("a table");
        window.write(0, &[0_u32; 128]).expect("a window");
        report.write(0, &[0_u32; 8]).expect("a report");
        let run = |entry| {
            let work = commands.record(|recorder| shader.dispatch(recorder.commands, entry, sets));
            line.run(line.begin(&gate), work);
        };
        run(FILL);
        let mut seen = [0_u32; 128];
        buffers[0].read(0, &mut seen).expect("a window");
        assert_eq!(seen[at as usize], word, "{index:#x}");
        let outside = seen[..FIRST as usize].iter().chain(&seen[at as usize + 1..]);
        assert!(outside.copied().all(|word| word == 0), "{index:#x}: only the piece");
        assert_eq!(seen.iter().filter(|&&word| word != 0).count() as u64, before + 1);
        // It is found, told, and repaired.
        for (changed, told) in [(word, [u32::MAX, 0, 0]), (!word, [before as u32, !word, 1])] {
            buffers[0].write(at * 4, &[changed]).expect("a window");
            run(CHECK);
            let mut seen = [0_u32; 4];
            buffers[2].read(16, &mut seen).expect("a report");
            assert_eq!(seen[..3], told, "{index:#x}");
            buffers[0].read(at * 4, &mut seen[..1]).expect("a window");
            assert_eq!(seen[0], word, "{index:#x}");
        }
        count += 1;
    }
    assert!(count > 8);
    drop((shader, buffers));
    assert_clean(&messages.take());
}

fn storage(allocator: &Allocator, bytes: u64) -> Buffer {
    let desc = BufferDesc::new(bytes, vk::BufferUsageFlags::STORAGE_BUFFER);
    allocator.create_buffer(&desc, &AllocationDesc::readback()).expect("a buffer")
}

const FILL: usize = 0;
const CHECK: usize = 1;

/// The committed shader, for the test's own dispatches.
struct Shader {
    gpu: Arc<Gpu>,
    module: vk::ShaderModule,
    set_layout: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    pipelines: Vec<vk::Pipeline>,
    pool: vk::DescriptorPool,
}

impl Shader {
    fn new(gpu: &Arc<Gpu>) -> Self {
        let bytes = include_bytes!("../../../shaders/guard.spv");
        let code = ash::util::read_spv(&mut std::io::Cursor::new(bytes)).expect("SPIR-V");
        let storage = vk::DescriptorType::STORAGE_BUFFER;
        let bindings = [0, 1, 2].map(|binding| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding)
                .descriptor_type(storage)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        });
        let device = &gpu.device;
        // SAFETY: the device is alive; what the create-infos point to lives through each call.
        unsafe {
            let info = vk::ShaderModuleCreateInfo::default().code(&code);
            let module = device.create_shader_module(&info, None).expect("a module");
            let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let set_layout = device.create_descriptor_set_layout(&info, None).expect("a layout");
            let layouts = [set_layout];
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&layouts);
            let layout = device.create_pipeline_layout(&info, None).expect("a layout");
            let infos = [c"fill", c"check"].map(|entry| {
                let stage = vk::PipelineShaderStageCreateInfo::default()
                    .stage(vk::ShaderStageFlags::COMPUTE)
                    .module(module)
                    .name(entry);
                vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout)
            });
            let cache = vk::PipelineCache::null();
            let made = device.create_compute_pipelines(cache, &infos, None);
            let sizes = [vk::DescriptorPoolSize::default().ty(storage).descriptor_count(3)];
            let info = vk::DescriptorPoolCreateInfo::default().max_sets(1).pool_sizes(&sizes);
            let pool = device.create_descriptor_pool(&info, None).expect("a pool");
            let pipelines = made.expect("pipelines");
            Self { gpu: Arc::clone(gpu), module, set_layout, layout, pipelines, pool }
        }
    }

    /// The set of a window, a table and a report.
    fn bind(&self, buffers: &[Buffer; 3]) -> vk::DescriptorSet {
        let layouts = [self.set_layout];
        let info = vk::DescriptorSetAllocateInfo::default()
            .descriptor_pool(self.pool)
            .set_layouts(&layouts);
        let infos = buffers.each_ref().map(|buffer| {
            [vk::DescriptorBufferInfo::default().buffer(buffer.handle()).range(vk::WHOLE_SIZE)]
        });
        // SAFETY: the pool has room for one set; the buffers are alive, and nothing uses the set yet.
        unsafe {
            let set = self.gpu.device.allocate_descriptor_sets(&info).expect("a set")[0];
            let writes: Vec<_> = (0..)
                .zip(&infos)
                .map(|(binding, info)| {
                    vk::WriteDescriptorSet::default()
                        .dst_set(set)
                        .dst_binding(binding)
                        .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                        .buffer_info(info)
                })
                .collect();
            self.gpu.device.update_descriptor_sets(&writes, &[]);
            set
        }
    }

    /// One workgroup, whose writes the host sees.
    fn dispatch(&self, commands: vk::CommandBuffer, entry: usize, set: vk::DescriptorSet) {
        let (device, point) = (&self.gpu.device, vk::PipelineBindPoint::COMPUTE);
        let seen = vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::SHADER_WRITE)
            .dst_access_mask(vk::AccessFlags::HOST_READ);
        let (from, to) = (vk::PipelineStageFlags::COMPUTE_SHADER, vk::PipelineStageFlags::HOST);
        let flags = vk::DependencyFlags::empty();
        // SAFETY: the command buffer is being recorded; set, pipeline and layout belong together.
        unsafe {
            device.cmd_bind_pipeline(commands, point, self.pipelines[entry]);
            device.cmd_bind_descriptor_sets(commands, point, self.layout, 0, &[set], &[]);
            device.cmd_dispatch(commands, 1, 1, 1);
            device.cmd_pipeline_barrier(commands, from, to, flags, &[seen], &[], &[]);
        }
    }
}

impl Drop for Shader {
    fn drop(&mut self) {
        let device = &self.gpu.device;
        // SAFETY: the scenario has waited for the work that uses them.
        unsafe {
            device.destroy_descriptor_pool(self.pool, None);
            self.pipelines.iter().for_each(|&pipeline| device.destroy_pipeline(pipeline, None));
            device.destroy_pipeline_layout(self.layout, None);
            device.destroy_descriptor_set_layout(self.set_layout, None);
            device.destroy_shader_module(self.module, None);
        }
    }
}
