//! `vkCreate…` and `vkDestroy…`, which all look alike.

use ash::vk;

use super::handle::driver;
use super::{chained, list};
use crate::fake::call::Call;
use crate::fake::descriptor::Counts;
use crate::fake::external::Sharing;
use crate::fake::memory::AllocateArguments;
use crate::fake::requirements::ImageShape;
use crate::fake::resource::ResourceId;
use crate::fake::state::State;
use crate::fake::track::Kind;

/// A command that makes an object from a structure.
pub(super) trait Maker {
    type Info<'a>;
    type Handle: vk::Handle;
    const CALL: Call;

    /// # Safety
    /// C2 for what `info` points to.
    unsafe fn make(state: &mut State, info: &Self::Info<'_>) -> Result<Self::Handle, vk::Result>;
}

/// Any `vkCreate…`, and `vkAllocateMemory`.
pub(super) unsafe extern "system" fn create<M: Maker>(
    device: vk::Device,
    info: *const M::Info<'_>,
    _allocator: *const vk::AllocationCallbacks<'_>,
    out: *mut M::Handle,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(M::CALL) {
        return result;
    }
    // SAFETY: C2.
    let Some(info) = (unsafe { info.as_ref() }) else { return driver.null(M::CALL) };
    if out.is_null() {
        return driver.null(M::CALL);
    }
    // SAFETY: C2.
    match unsafe { M::make(&mut driver.lock(), info) } {
        Ok(handle) => {
            // SAFETY: C3, and not null.
            unsafe { out.write(handle) };
            vk::Result::SUCCESS
        }
        Err(result) => result,
    }
}

/// Any `vkDestroy…`, and `vkFreeMemory`.
pub(super) unsafe extern "system" fn destroy<K: Kind>(
    device: vk::Device,
    handle: K,
    _allocator: *const vk::AllocationCallbacks<'_>,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if driver.enter(K::DESTROY).is_ok() {
        driver.lock().destroy(handle);
    }
}

macro_rules! makers {
    ($($maker:ident($state:ident, $info:ident: $type:ident) -> $handle:ident $body:block)+) => {
        $(pub(super) struct $maker;

        impl Maker for $maker {
            type Info<'a> = vk::$type<'a>;
            type Handle = vk::$handle;
            const CALL: Call = Call::$maker;

            unsafe fn make(
                $state: &mut State,
                $info: &vk::$type<'_>,
            ) -> Result<vk::$handle, vk::Result> {
                $body
            }
        })+
    };
}

makers! {
    CreateBuffer(state, info: BufferCreateInfo) -> Buffer {
        // SAFETY: C2.
        let families = unsafe { list(info.p_queue_family_indices, info.queue_family_index_count) };
        state.judge_families(Self::CALL, info.sharing_mode, families);
        let buffer = state.create_buffer(info)?;
        // SAFETY: C2.
        let external = unsafe { chained::<vk::ExternalMemoryBufferCreateInfo<'_>>(info.p_next) };
        if let Some(external) = external {
            state.declare(ResourceId::Buffer(buffer), external.handle_types);
        }
        Ok(buffer)
    }
    CreateImage(state, info: ImageCreateInfo) -> Image {
        // SAFETY: C2.
        let families = unsafe { list(info.p_queue_family_indices, info.queue_family_index_count) };
        state.judge_families(Self::CALL, info.sharing_mode, families);
        let mut shape = ImageShape::from(info);
        // SAFETY: C2.
        if unsafe { modifier(info) } == Some(0) {
            shape.tiling = vk::ImageTiling::LINEAR;
        }
        let image = state.create_image(&shape)?;
        // SAFETY: C2.
        let external = unsafe { chained::<vk::ExternalMemoryImageCreateInfo<'_>>(info.p_next) };
        if let Some(external) = external {
            state.declare(ResourceId::Image(image), external.handle_types);
        }
        Ok(image)
    }
    CreateBufferView(state, info: BufferViewCreateInfo) -> BufferView {
        state.create_buffer_view(info.buffer)
    }
    CreateImageView(state, info: ImageViewCreateInfo) -> ImageView {
        state.create_image_view(info.image)
    }
    CreateVideoSession(state, _info: VideoSessionCreateInfoKHR) -> VideoSessionKHR {
        state.create_video_session()
    }
    CreateSampler(state, _info: SamplerCreateInfo) -> Sampler { state.create(Default::default()) }
    CreateFence(state, info: FenceCreateInfo) -> Fence {
        state.create_fence(info.flags.contains(vk::FenceCreateFlags::SIGNALED))
    }
    CreateSemaphore(state, info: SemaphoreCreateInfo) -> Semaphore {
        // SAFETY: C2.
        let kind = unsafe { chained::<vk::SemaphoreTypeCreateInfo<'_>>(info.p_next) };
        let timeline = kind.filter(|kind| kind.semaphore_type == vk::SemaphoreType::TIMELINE);
        state.create_semaphore(timeline.map(|kind| kind.initial_value))
    }
    CreateCommandPool(state, _info: CommandPoolCreateInfo) -> CommandPool {
        state.create_command_pool()
    }
    CreateDescriptorSetLayout(state, info: DescriptorSetLayoutCreateInfo) -> DescriptorSetLayout {
        // SAFETY: C2.
        let bindings = unsafe { list(info.p_bindings, info.binding_count) };
        let mut counts = Counts::new();
        bindings.iter().for_each(|b| add(&mut counts, b.descriptor_type, b.descriptor_count));
        // SAFETY: C2.
        let flags = unsafe {
            chained::<vk::DescriptorSetLayoutBindingFlagsCreateInfo<'_>>(info.p_next)
                .map_or(&[][..], |flags| list(flags.p_binding_flags, flags.binding_count))
        };
        let late = vk::DescriptorBindingFlags::UPDATE_AFTER_BIND
            | vk::DescriptorBindingFlags::UPDATE_UNUSED_WHILE_PENDING;
        state.create_set_layout(counts, flags.iter().any(|flags| flags.intersects(late)))
    }
    CreateDescriptorPool(state, info: DescriptorPoolCreateInfo) -> DescriptorPool {
        // SAFETY: C2.
        let sizes = unsafe { list(info.p_pool_sizes, info.pool_size_count) };
        let mut counts = Counts::new();
        sizes.iter().for_each(|size| add(&mut counts, size.ty, size.descriptor_count));
        let free = vk::DescriptorPoolCreateFlags::FREE_DESCRIPTOR_SET;
        state.create_descriptor_pool(info.max_sets, counts, info.flags.contains(free))
    }
    CreateShaderModule(state, info: ShaderModuleCreateInfo) -> ShaderModule {
        // SAFETY: C2: `code_size` bytes, which is whole words.
        state.create_module(unsafe { list(info.p_code, (info.code_size / 4) as u32) })
    }
    CreatePipelineLayout(state, _info: PipelineLayoutCreateInfo) -> PipelineLayout {
        state.create(Default::default())
    }
    AllocateMemory(state, info: MemoryAllocateInfo) -> DeviceMemory {
        // SAFETY: C2.
        let (flags, dedicated, priority, sharing) = unsafe {
            (
                chained::<vk::MemoryAllocateFlagsInfo<'_>>(info.p_next),
                chained::<vk::MemoryDedicatedAllocateInfo<'_>>(info.p_next),
                chained::<vk::MemoryPriorityAllocateInfoEXT<'_>>(info.p_next),
                sharing(info),
            )
        };
        let named = dedicated.map(|d| (d.buffer, d.image)).unwrap_or_default();
        let buffer = Some(named.0).filter(|buffer| *buffer != vk::Buffer::null());
        let image = Some(named.1).filter(|image| *image != vk::Image::null());
        state.allocate_memory(&AllocateArguments {
            size: info.allocation_size,
            memory_type: info.memory_type_index,
            device_address: flags
                .is_some_and(|f| f.flags.contains(vk::MemoryAllocateFlags::DEVICE_ADDRESS)),
            dedicated: [buffer.map(ResourceId::Buffer), image.map(ResourceId::Image)],
            priority: priority.map(|info| info.priority),
            sharing,
        })
    }
}

/// The Linux DRM format modifier that an image gets: the last of those it may have. 0 is the linear one.
///
/// # Safety
/// C2 for the chain.
unsafe fn modifier(info: &vk::ImageCreateInfo<'_>) -> Option<u64> {
    type Explicit<'a> = vk::ImageDrmFormatModifierExplicitCreateInfoEXT<'a>;
    type Choice<'a> = vk::ImageDrmFormatModifierListCreateInfoEXT<'a>;
    // SAFETY: C2.
    unsafe {
        let explicit = chained::<Explicit<'_>>(info.p_next).map(|it| it.drm_format_modifier);
        explicit.or_else(|| {
            let it = chained::<Choice<'_>>(info.p_next)?;
            list(it.p_drm_format_modifiers, it.drm_format_modifier_count).last().copied()
        })
    }
}

/// What an allocation has to do with others.
///
/// # Safety
/// C2 for the chain.
unsafe fn sharing(info: &vk::MemoryAllocateInfo<'_>) -> Sharing {
    // SAFETY: C2.
    let (export, fd, host) = unsafe {
        (
            chained::<vk::ExportMemoryAllocateInfo<'_>>(info.p_next),
            chained::<vk::ImportMemoryFdInfoKHR<'_>>(info.p_next),
            chained::<vk::ImportMemoryHostPointerInfoEXT<'_>>(info.p_next),
        )
    };
    match (export, fd, host) {
        (_, Some(it), _) => Sharing::Fd { kind: it.handle_type, fd: it.fd },
        (_, _, Some(it)) => Sharing::Host { address: it.p_host_pointer.cast() },
        (Some(it), ..) => Sharing::Export(it.handle_types),
        _ => Sharing::None,
    }
}

/// Adds to the count of a descriptor type.
fn add(counts: &mut Counts, kind: vk::DescriptorType, count: u32) {
    match counts.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, sum)) => *sum = sum.saturating_add(count),
        None => counts.push((kind, count)),
    }
}
