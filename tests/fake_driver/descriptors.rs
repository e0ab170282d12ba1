//! Descriptor pools and sets: counts, what a set keeps in use, when it may change.

use ash::vk;
use fencepost::fake::{Call, Use, Violation};

use crate::support::{Gpu, object, submission};

const STORAGE: vk::DescriptorType = vk::DescriptorType::STORAGE_BUFFER;

fn layout(gpu: &Gpu, count: u32, flags: vk::DescriptorBindingFlags) -> vk::DescriptorSetLayout {
    let bindings = [vk::DescriptorSetLayoutBinding::default()
        .binding(0)
        .descriptor_type(STORAGE)
        .descriptor_count(count)];
    let flags = [flags];
    let mut flags = vk::DescriptorSetLayoutBindingFlagsCreateInfo::default().binding_flags(&flags);
    let info =
        vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings).push_next(&mut flags);
    unsafe { gpu.device.create_descriptor_set_layout(&info, None) }.unwrap()
}

fn pool(gpu: &Gpu, sets: u32, descriptors: u32, freeing: bool) -> vk::DescriptorPool {
    let sizes = [vk::DescriptorPoolSize { ty: STORAGE, descriptor_count: descriptors }];
    let flags = if freeing {
        vk::DescriptorPoolCreateFlags::FREE_DESCRIPTOR_SET
    } else {
        vk::DescriptorPoolCreateFlags::empty()
    };
    let info =
        vk::DescriptorPoolCreateInfo::default().max_sets(sets).pool_sizes(&sizes).flags(flags);
    unsafe { gpu.device.create_descriptor_pool(&info, None) }.unwrap()
}

fn sets(
    gpu: &Gpu,
    pool: vk::DescriptorPool,
    layouts: &[vk::DescriptorSetLayout],
) -> Result<Vec<vk::DescriptorSet>, vk::Result> {
    let info = vk::DescriptorSetAllocateInfo::default().descriptor_pool(pool).set_layouts(layouts);
    unsafe { gpu.device.allocate_descriptor_sets(&info) }
}

fn write(gpu: &Gpu, set: vk::DescriptorSet, buffer: vk::Buffer) {
    let info = [vk::DescriptorBufferInfo::default().buffer(buffer).range(vk::WHOLE_SIZE)];
    let write =
        vk::WriteDescriptorSet::default().dst_set(set).descriptor_type(STORAGE).buffer_info(&info);
    unsafe { gpu.device.update_descriptor_sets(&[write], &[]) };
}

#[test]
fn a_pool_gives_what_it_has_and_all_or_nothing() {
    let gpu = Gpu::new();
    let (layout, pool) = (layout(&gpu, 2, Default::default()), pool(&gpu, 3, 5, true));
    assert_eq!(sets(&gpu, pool, &[layout; 3]), Err(vk::Result::ERROR_OUT_OF_POOL_MEMORY));
    assert_eq!(gpu.fake.live().descriptor_sets, 0);
    let two = sets(&gpu, pool, &[layout; 2]).unwrap();
    assert_eq!(sets(&gpu, pool, &[layout]), Err(vk::Result::ERROR_OUT_OF_POOL_MEMORY));
    unsafe { gpu.device.free_descriptor_sets(pool, &two[..1]) }.unwrap();
    sets(&gpu, pool, &[layout]).unwrap();
    unsafe { gpu.device.reset_descriptor_pool(pool, Default::default()) }.unwrap();
    assert_eq!(gpu.fake.live().descriptor_sets, 0);
    sets(&gpu, pool, &[layout; 2]).unwrap();
    unsafe {
        gpu.device.destroy_descriptor_pool(pool, None);
        gpu.device.destroy_descriptor_set_layout(layout, None);
    }
    gpu.fake.finish().unwrap();
}

#[test]
fn sets_are_freed_in_any_order() {
    let gpu = Gpu::new();
    let (layout, pool) = (layout(&gpu, 1, Default::default()), pool(&gpu, 4, 4, true));
    let four = sets(&gpu, pool, &[layout; 4]).unwrap();
    let free = |set| unsafe { gpu.device.free_descriptor_sets(pool, &[set]) }.unwrap();
    free(four[1]);
    sets(&gpu, pool, &[layout]).unwrap();
    free(four[3]);
    free(four[0]);
    assert_eq!(gpu.fake.live().descriptor_sets, 2);
    unsafe { gpu.device.destroy_descriptor_pool(pool, None) };
    assert_eq!(gpu.fake.live().descriptor_sets, 0);
    gpu.kept();
}

#[test]
fn sets_are_freed_once_to_their_own_pool_if_it_allows() {
    let gpu = Gpu::new();
    let layout = layout(&gpu, 1, Default::default());
    let (fixed, other) = (pool(&gpu, 1, 1, false), pool(&gpu, 1, 1, true));
    let set = sets(&gpu, fixed, &[layout]).unwrap()[0];
    let own = sets(&gpu, other, &[layout]).unwrap()[0];
    let free = |pool, set| unsafe { gpu.device.free_descriptor_sets(pool, &[set]) }.unwrap();
    free(other, own);
    free(other, vk::DescriptorSet::null());
    gpu.kept();
    free(fixed, set);
    free(other, set);
    free(other, own);
    let foreign = |pool| Violation::FreeFromPool { pool: object(pool), object: object(set) };
    let call = Call::FreeDescriptorSets;
    gpu.broke(&[foreign(fixed), foreign(other), Violation::Unknown { call, object: object(own) }]);
}

#[test]
fn a_set_in_use_keeps_pool_and_resources_in_use() {
    let gpu = Gpu::new();
    let memory = gpu.memory(64);
    let buffer = gpu.buffer_at(64, memory, 0);
    let (layout, pool) = (layout(&gpu, 1, Default::default()), pool(&gpu, 2, 2, true));
    let both = sets(&gpu, pool, &[layout; 2]).unwrap();
    write(&gpu, both[0], buffer);
    // The second set is a copy of the first.
    let copy =
        vk::CopyDescriptorSet::default().src_set(both[0]).dst_set(both[1]).descriptor_count(1);
    unsafe { gpu.device.update_descriptor_sets(&[], &[copy]) };
    gpu.submit(0, &[Use::descriptor_set(both[1])]);
    unsafe { gpu.device.free_descriptor_sets(pool, &both[..1]) }.unwrap();
    gpu.kept();
    write(&gpu, both[1], buffer);
    unsafe {
        gpu.device.destroy_buffer(buffer, None);
        gpu.device.free_memory(memory, None);
        gpu.device.free_descriptor_sets(pool, &both[1..]).unwrap();
        gpu.device.reset_descriptor_pool(pool, Default::default()).unwrap();
        gpu.device.destroy_descriptor_pool(pool, None);
    }
    let submission = submission(0, 1);
    let in_use = |call, object| Violation::InUse { call, object, submission };
    gpu.broke(&[
        in_use(Call::UpdateDescriptorSets, object(both[1])),
        in_use(Call::DestroyBuffer, object(buffer)),
        in_use(Call::FreeMemory, object(memory)),
        in_use(Call::FreeDescriptorSets, object(both[1])),
        in_use(Call::ResetDescriptorPool, object(pool)),
        in_use(Call::DestroyDescriptorPool, object(pool)),
    ]);
}

#[test]
fn update_after_bind_may_write_a_set_in_use() {
    let gpu = Gpu::new();
    let memory = gpu.memory(64);
    let buffer = gpu.buffer_at(64, memory, 0);
    let layout = layout(&gpu, 1, vk::DescriptorBindingFlags::UPDATE_AFTER_BIND);
    let set = sets(&gpu, pool(&gpu, 1, 1, true), &[layout]).unwrap()[0];
    gpu.submit(0, &[Use::descriptor_set(set)]);
    write(&gpu, set, buffer);
    gpu.kept();
}

#[test]
fn a_set_that_refers_to_what_is_gone_cannot_be_used() {
    let gpu = Gpu::new();
    let memory = gpu.memory(64);
    let buffer = gpu.buffer_at(64, memory, 0);
    let layout = layout(&gpu, 1, Default::default());
    let set = sets(&gpu, pool(&gpu, 1, 1, true), &[layout]).unwrap()[0];
    write(&gpu, set, buffer);
    unsafe { gpu.device.destroy_buffer(buffer, None) };
    gpu.kept();
    gpu.submit(0, &[Use::descriptor_set(set)]);
    let dead = Violation::SubmitDead {
        submission: submission(0, 1),
        object: object(buffer),
        via: object(set),
    };
    gpu.broke(&[dead]);
}

#[test]
fn images_samplers_and_views_of_a_set_are_followed() {
    let gpu = Gpu::new();
    let kind = vk::DescriptorType::COMBINED_IMAGE_SAMPLER;
    let bindings =
        [vk::DescriptorSetLayoutBinding::default().descriptor_type(kind).descriptor_count(1)];
    let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
    let sizes = [vk::DescriptorPoolSize { ty: kind, descriptor_count: 1 }];
    let pool_info = vk::DescriptorPoolCreateInfo::default().max_sets(1).pool_sizes(&sizes);
    let (image, memory) = (gpu.image(16, vk::ImageTiling::OPTIMAL), gpu.memory(1 << 16));
    unsafe {
        gpu.device.bind_image_memory(image, memory, 0).unwrap();
        let view_info = vk::ImageViewCreateInfo::default().image(image);
        let view = gpu.device.create_image_view(&view_info, None).unwrap();
        let sampler = gpu.device.create_sampler(&Default::default(), None).unwrap();
        let layout = gpu.device.create_descriptor_set_layout(&info, None).unwrap();
        let pool = gpu.device.create_descriptor_pool(&pool_info, None).unwrap();
        let set = sets(&gpu, pool, &[layout]).unwrap()[0];
        let infos = [vk::DescriptorImageInfo::default().image_view(view).sampler(sampler)];
        let write =
            vk::WriteDescriptorSet::default().dst_set(set).descriptor_type(kind).image_info(&infos);
        gpu.device.update_descriptor_sets(&[write], &[]);
        gpu.submit(0, &[Use::descriptor_set(set), Use::sampler(sampler)]);
        gpu.device.destroy_sampler(sampler, None);
        gpu.device.destroy_image_view(view, None);
        let submission_1 = submission(0, 1);
        let in_use = |call, object| Violation::InUse { call, object, submission: submission_1 };
        gpu.broke(&[
            in_use(Call::DestroySampler, object(sampler)),
            in_use(Call::DestroyImageView, object(view)),
        ]);
        gpu.submit(1, &[Use::descriptor_set(set)]);
        let dead = |gone| Violation::SubmitDead {
            submission: submission(1, 2),
            object: gone,
            via: object(set),
        };
        assert_eq!(gpu.fake.violations()[2..], [dead(object(view)), dead(object(sampler))]);
    }
}

#[test]
fn a_pool_has_room_for_a_set() {
    let gpu = Gpu::new();
    assert!(unsafe { gpu.device.create_descriptor_pool(&Default::default(), None) }.is_err());
    gpu.broke(&[Violation::ZeroSize { call: Call::CreateDescriptorPool }]);
}
