//! Descriptor sets.

use ash::vk;

use super::handle::driver;
use super::list;
use crate::fake::call::Call;
use crate::fake::descriptor::Written;
use crate::fake::state::State;

pub(super) unsafe extern "system" fn allocate_sets(
    device: vk::Device,
    info: *const vk::DescriptorSetAllocateInfo<'_>,
    out: *mut vk::DescriptorSet,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    let call = Call::AllocateDescriptorSets;
    if let Err(result) = driver.enter(call) {
        return result;
    }
    // SAFETY: C2.
    let Some(info) = (unsafe { info.as_ref() }) else { return driver.null(call) };
    if out.is_null() {
        return driver.null(call);
    }
    // SAFETY: C2.
    let layouts = unsafe { list(info.p_set_layouts, info.descriptor_set_count) };
    let mut state = driver.lock();
    let mut sets = Vec::with_capacity(layouts.len());
    let mut result = vk::Result::SUCCESS;
    for layout in layouts {
        match state.allocate_set(info.descriptor_pool, *layout) {
            Ok(set) => sets.push(set),
            Err(error) => {
                result = error;
                break;
            }
        }
    }
    if result != vk::Result::SUCCESS {
        // All or none: the specification wants every element null after a failure.
        sets.drain(..).for_each(|set| state.destroy(set));
        sets.resize(layouts.len(), vk::DescriptorSet::null());
    }
    for (index, set) in sets.into_iter().enumerate() {
        // SAFETY: C3: `out` has as many elements as there are layouts.
        unsafe { out.add(index).write(set) };
    }
    result
}

pub(super) unsafe extern "system" fn free_sets(
    device: vk::Device,
    pool: vk::DescriptorPool,
    count: u32,
    sets: *const vk::DescriptorSet,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(Call::FreeDescriptorSets) {
        return result;
    }
    let mut state = driver.lock();
    // SAFETY: C2.
    unsafe { list(sets, count) }.iter().for_each(|set| state.free_set(pool, *set));
    vk::Result::SUCCESS
}

pub(super) unsafe extern "system" fn reset_pool(
    device: vk::Device,
    pool: vk::DescriptorPool,
    _flags: vk::DescriptorPoolResetFlags,
) -> vk::Result {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    if let Err(result) = driver.enter(Call::ResetDescriptorPool) {
        return result;
    }
    driver.lock().reset_descriptor_pool(pool);
    vk::Result::SUCCESS
}

pub(super) unsafe extern "system" fn update_sets(
    device: vk::Device,
    write_count: u32,
    writes: *const vk::WriteDescriptorSet<'_>,
    copy_count: u32,
    copies: *const vk::CopyDescriptorSet<'_>,
) {
    // SAFETY: C1.
    let driver = unsafe { driver(device) };
    driver.note(Call::UpdateDescriptorSets);
    let mut state = driver.lock();
    // SAFETY: C2.
    unsafe {
        list(writes, write_count).iter().for_each(|write| update(&mut state, write));
        for copy in list(copies, copy_count) {
            for element in 0..copy.descriptor_count {
                let from = copy.src_array_element.saturating_add(element);
                let to = copy.dst_array_element.saturating_add(element);
                if let Some(written) = state.written(copy.src_set, copy.src_binding, from) {
                    state.write_descriptor(copy.dst_set, copy.dst_binding, to, written);
                }
            }
        }
    }
}

/// # Safety
/// C2 for what `write` points to.
unsafe fn update(state: &mut State, write: &vk::WriteDescriptorSet<'_>) {
    use vk::DescriptorType as Type;
    let count = write.descriptor_count;
    let mut put = |index: u32, written: Written| {
        let element = write.dst_array_element.saturating_add(index);
        state.write_descriptor(write.dst_set, write.dst_binding, element, written);
    };
    // SAFETY: C2: the pointer that belongs to the descriptor type has `count` elements.
    unsafe {
        match write.descriptor_type {
            Type::UNIFORM_BUFFER
            | Type::STORAGE_BUFFER
            | Type::UNIFORM_BUFFER_DYNAMIC
            | Type::STORAGE_BUFFER_DYNAMIC => {
                let infos = (0..).zip(list(write.p_buffer_info, count));
                infos.for_each(|(index, info)| {
                    let &vk::DescriptorBufferInfo { buffer, offset, range } = info;
                    put(index, Written::Buffer { buffer, offset, range });
                });
            }
            Type::UNIFORM_TEXEL_BUFFER | Type::STORAGE_TEXEL_BUFFER => {
                let views = (0..).zip(list(write.p_texel_buffer_view, count));
                views.for_each(|(index, view)| put(index, Written::BufferView(*view)));
            }
            Type::SAMPLER
            | Type::COMBINED_IMAGE_SAMPLER
            | Type::SAMPLED_IMAGE
            | Type::STORAGE_IMAGE
            | Type::INPUT_ATTACHMENT => {
                for (index, info) in (0..).zip(list(write.p_image_info, count)) {
                    // The type says which of the two fields count; the other may be anything.
                    let view = match write.descriptor_type {
                        Type::SAMPLER => vk::ImageView::null(),
                        _ => info.image_view,
                    };
                    let sampler = match write.descriptor_type {
                        Type::SAMPLER | Type::COMBINED_IMAGE_SAMPLER => info.sampler,
                        _ => vk::Sampler::null(),
                    };
                    put(index, Written::Image { view, sampler });
                }
            }
            _ => {}
        }
    }
}
