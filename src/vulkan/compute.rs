//! The compute work of guards: pipelines from one module, buffers over whole blocks, descriptor
//! sets, and the commands that dispatch them. Everything is Vulkan 1.0.

use core::{ffi::CStr, ops::Range};

use ash::vk;

use super::{Resource, Vulkan};

/// Two pipelines from one module, over three storage buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compute {
    module: vk::ShaderModule,
    set_layout: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    pipelines: [vk::Pipeline; 2],
}

impl Compute {
    /// Whether these are the same objects.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.layout == other.layout
    }
}

/// The number of storage buffers in a set.
const BINDINGS: usize = 3;

/// A range of a buffer for a binding, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    pub(crate) buffer: vk::Buffer,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// One dispatch of one of the two pipelines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dispatch {
    pub(crate) pipeline: usize,
    pub(crate) set: vk::DescriptorSet,
    pub(crate) groups: u32,
}

impl Vulkan {
    /// Creates the pipelines. On failure nothing is left behind.
    ///
    /// # Safety
    /// The device contract; the module is valid, has these entry points, and its bindings are three
    /// storage buffers of group 0.
    pub(crate) unsafe fn create_compute(
        &self,
        module: &[u32],
        entries: [&CStr; 2],
    ) -> Result<Compute, vk::Result> {
        let mut made = Compute {
            module: vk::ShaderModule::null(),
            set_layout: vk::DescriptorSetLayout::null(),
            layout: vk::PipelineLayout::null(),
            pipelines: [vk::Pipeline::null(); 2],
        };
        // SAFETY: the caller's promise.
        match unsafe { self.make_compute(&mut made, module, entries) } {
            Ok(()) => Ok(made),
            Err(error) => {
                // SAFETY: the device contract; nothing of it was used, and null is nothing.
                unsafe { self.destroy_compute(&made) };
                Err(error)
            }
        }
    }

    /// # Safety
    /// As [`create_compute`](Self::create_compute).
    unsafe fn make_compute(
        &self,
        made: &mut Compute,
        module: &[u32],
        entries: [&CStr; 2],
    ) -> Result<(), vk::Result> {
        let device = &self.device;
        let bindings: [_; BINDINGS] = core::array::from_fn(|binding| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding as u32)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        });
        let set_layout = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the device contract and the caller's promise; what the create-infos point to lives
        // through each call.
        unsafe {
            let info = vk::ShaderModuleCreateInfo::default().code(module);
            made.module = device.create_shader_module(&info, None)?;
            made.set_layout = device.create_descriptor_set_layout(&set_layout, None)?;
            let set_layouts = [made.set_layout];
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&set_layouts);
            made.layout = device.create_pipeline_layout(&info, None)?;
            let infos = entries.map(|entry| {
                let stage = vk::PipelineShaderStageCreateInfo::default()
                    .stage(vk::ShaderStageFlags::COMPUTE)
                    .module(made.module)
                    .name(entry);
                vk::ComputePipelineCreateInfo::default().stage(stage).layout(made.layout)
            });
            // This does not use ash's function, which allocates a list. Pipelines that fail are
            // null.
            let create = device.fp_v1_0().create_compute_pipelines;
            let (cache, count) = (vk::PipelineCache::null(), infos.len() as u32);
            let (infos, made) = (infos.as_ptr(), made.pipelines.as_mut_ptr());
            create(device.handle(), cache, count, infos, core::ptr::null(), made).result()?;
        }
        Ok(())
    }

    /// # Safety
    /// The device contract; no submitted work uses it and nothing will.
    pub(crate) unsafe fn destroy_compute(&self, compute: &Compute) {
        let device = &self.device;
        // SAFETY: the device contract and the caller's promise.
        unsafe {
            for pipeline in compute.pipelines {
                device.destroy_pipeline(pipeline, None);
            }
            device.destroy_pipeline_layout(compute.layout, None);
            device.destroy_descriptor_set_layout(compute.set_layout, None);
            device.destroy_shader_module(compute.module, None);
        }
    }

    /// A buffer over a whole memory object, for shaders and fills. `None` if no such buffer can be
    /// bound to this memory, or if the memory is larger than the maximum buffer size.
    ///
    /// # Safety
    /// The device contract; the memory has this type and size, and is not dedicated to a resource.
    pub(crate) unsafe fn create_overlay(
        &self,
        memory: vk::DeviceMemory,
        memory_type: u32,
        size: u64,
    ) -> Result<Option<vk::Buffer>, vk::Result> {
        if size > self.properties.max_buffer_size {
            return Ok(None);
        }
        let usage = vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST;
        let info = vk::BufferCreateInfo::default().size(size).usage(usage);
        // SAFETY: the device contract; the create-info is valid.
        let buffer = unsafe { self.create_buffer(&info) }?;
        // SAFETY: the device contract. With Vulkan 1.0 alone the driver's wish is not known, and no.
        let needs = unsafe { self.requirements(Resource::Buffer(buffer)) };
        let fits = needs.memory.size <= size
            && needs.memory.memory_type_bits & 1 << memory_type != 0
            && needs.dedicate != super::resource::Dedicate::Require;
        let bound = match fits {
            // SAFETY: the requirements are met: size and type were asked for, and 0 is aligned.
            true => unsafe { self.bind(Resource::Buffer(buffer), memory, 0) },
            false => Ok(()),
        };
        if fits && bound.is_ok() {
            return Ok(Some(buffer));
        }
        // SAFETY: the device contract; the buffer was never used.
        unsafe { self.destroy_resource(Resource::Buffer(buffer)) };
        bound.map(|()| None)
    }

    /// A pool with room for this many sets, at least one.
    ///
    /// # Safety
    /// The device contract.
    pub(crate) unsafe fn create_set_pool(
        &self,
        sets: u32,
    ) -> Result<vk::DescriptorPool, vk::Result> {
        let sets = sets.max(1);
        let sizes = [vk::DescriptorPoolSize {
            ty: vk::DescriptorType::STORAGE_BUFFER,
            descriptor_count: sets * BINDINGS as u32,
        }];
        let info = vk::DescriptorPoolCreateInfo::default().max_sets(sets).pool_sizes(&sizes);
        // SAFETY: the device contract; what the create-info points to lives through the call.
        unsafe { self.device.create_descriptor_pool(&info, None) }
    }

    /// # Safety
    /// The device contract; no submitted work uses its sets.
    pub(crate) unsafe fn destroy_set_pool(&self, pool: vk::DescriptorPool) {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.destroy_descriptor_pool(pool, None) }
    }

    /// Resets a pool.
    ///
    /// # Safety
    /// The device contract; no submitted work uses the pool's sets, and no other thread the pool.
    pub(crate) unsafe fn empty_set_pool(&self, pool: vk::DescriptorPool) -> Result<(), vk::Result> {
        let flags = vk::DescriptorPoolResetFlags::empty();
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.reset_descriptor_pool(pool, flags) }
    }

    /// Allocates a set from a pool and writes these buffers to it.
    ///
    /// # Safety
    /// The device contract; no other thread uses the pool, and it has room. The ranges lie in their buffers and keep
    /// the device's limits.
    pub(crate) unsafe fn write_set(
        &self,
        compute: &Compute,
        pool: vk::DescriptorPool,
        bound: [Bound; BINDINGS],
    ) -> Result<vk::DescriptorSet, vk::Result> {
        let layouts = [compute.set_layout];
        let info =
            vk::DescriptorSetAllocateInfo::default().descriptor_pool(pool).set_layouts(&layouts);
        let mut set = vk::DescriptorSet::null();
        // SAFETY: the device contract and the caller's promise. Not by ash's own function, which makes a list: one
        // layout, so one set is written, to where it is kept.
        unsafe {
            let allocate = self.device.fp_v1_0().allocate_descriptor_sets;
            allocate(self.device.handle(), &info, &mut set).result()?;
        }
        let infos = bound.map(|it| vk::DescriptorBufferInfo {
            buffer: it.buffer,
            offset: it.offset,
            range: it.size,
        });
        let writes: [_; BINDINGS] = core::array::from_fn(|binding| {
            vk::WriteDescriptorSet::default()
                .dst_set(set)
                .dst_binding(binding as u32)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .buffer_info(core::slice::from_ref(&infos[binding]))
        });
        // SAFETY: the device contract; the set is new, so that nothing uses it.
        unsafe { self.device.update_descriptor_sets(&writes, &[]) };
        Ok(set)
    }

    /// Records dispatches, each ordered after all previous ones, and finally a word into a buffer.
    /// All of it is ordered after what was submitted before and before what comes after, and is
    /// visible to the host.
    ///
    /// # Safety
    /// The device contract; the command buffer is being recorded, outside a render pass, by this
    /// thread alone, for a queue that computes. The sets are complete and the word lies in its
    /// buffer.
    pub(crate) unsafe fn record_compute(
        &self,
        commands: vk::CommandBuffer,
        compute: &Compute,
        dispatches: &[Dispatch],
        (report, word, value): (vk::Buffer, Range<u64>, u32),
    ) {
        use vk::{AccessFlags as Access, PipelineStageFlags as Stage};
        let device = &self.device;
        let barrier = |from: (Stage, Access), to: (Stage, Access)| {
            let memory =
                [vk::MemoryBarrier::default().src_access_mask(from.1).dst_access_mask(to.1)];
            let flags = vk::DependencyFlags::empty();
            // SAFETY: the caller's promise; a memory barrier names no object.
            unsafe {
                device.cmd_pipeline_barrier(commands, from.0, to.0, flags, &memory, &[], &[]);
            };
        };
        let shader = (Stage::COMPUTE_SHADER, Access::SHADER_READ | Access::SHADER_WRITE);
        let transfer = (Stage::TRANSFER, Access::TRANSFER_WRITE);
        let all = Access::MEMORY_READ | Access::MEMORY_WRITE;
        barrier((Stage::ALL_COMMANDS, all), (shader.0 | transfer.0, shader.1 | transfer.1));
        for (index, dispatch) in dispatches.iter().enumerate() {
            if index > 0 {
                barrier(shader, shader);
            }
            let Some(&pipeline) = compute.pipelines.get(dispatch.pipeline) else { continue };
            let point = vk::PipelineBindPoint::COMPUTE;
            // SAFETY: the caller's promise; pipeline and layout belong together.
            unsafe {
                device.cmd_bind_pipeline(commands, point, pipeline);
                let sets = [dispatch.set];
                device.cmd_bind_descriptor_sets(commands, point, compute.layout, 0, &sets, &[]);
                device.cmd_dispatch(commands, dispatch.groups, 1, 1);
            }
        }
        barrier(shader, transfer);
        // SAFETY: the caller's promise; the range is of whole words.
        unsafe {
            device.cmd_fill_buffer(commands, report, word.start, word.end - word.start, value);
        };
        barrier(
            (shader.0 | transfer.0, Access::SHADER_WRITE | Access::TRANSFER_WRITE),
            (Stage::ALL_COMMANDS | Stage::HOST, all | Access::HOST_READ),
        );
    }

    /// A command pool of a family, with one command buffer.
    ///
    /// # Safety
    /// The device contract; the device has queues of the family.
    pub(crate) unsafe fn create_commands(
        &self,
        family: u32,
    ) -> Result<(vk::CommandPool, vk::CommandBuffer), vk::Result> {
        let info = vk::CommandPoolCreateInfo::default()
            .queue_family_index(family)
            .flags(vk::CommandPoolCreateFlags::TRANSIENT);
        // SAFETY: the device contract and the caller's promise.
        let pool = unsafe { self.device.create_command_pool(&info, None) }?;
        let info =
            vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
        let mut commands = vk::CommandBuffer::null();
        // SAFETY: the device contract; the pool is new. One is asked for, so one is written, to where it is kept.
        let made = unsafe {
            let allocate = self.device.fp_v1_0().allocate_command_buffers;
            allocate(self.device.handle(), &info, &mut commands).result()
        };
        made.map(|()| (pool, commands)).inspect_err(|_| {
            // SAFETY: the device contract; the pool is empty.
            unsafe { self.destroy_commands(pool) };
        })
    }

    /// # Safety
    /// The device contract; none of the pool's command buffers is pending.
    pub(crate) unsafe fn destroy_commands(&self, pool: vk::CommandPool) {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.destroy_command_pool(pool, None) }
    }

    /// Resets a pool and begins its command buffer, which is submitted once.
    ///
    /// # Safety
    /// As [`destroy_commands`](Self::destroy_commands); the command buffer is the pool's.
    pub(crate) unsafe fn begin_commands(
        &self,
        pool: vk::CommandPool,
        commands: vk::CommandBuffer,
    ) -> Result<(), vk::Result> {
        let info = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the device contract and the caller's promise.
        unsafe {
            self.device.reset_command_pool(pool, vk::CommandPoolResetFlags::empty())?;
            self.device.begin_command_buffer(commands, &info)
        }
    }

    /// # Safety
    /// The device contract; the command buffer is being recorded.
    pub(crate) unsafe fn end_commands(
        &self,
        commands: vk::CommandBuffer,
    ) -> Result<(), vk::Result> {
        // SAFETY: the device contract and the caller's promise.
        unsafe { self.device.end_command_buffer(commands) }
    }
}
