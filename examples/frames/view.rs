//! What the shaders know of one look at the world. Made anew for each, dropped once it is recorded.
use super::Result;
use super::camera::Camera;
use super::pipelines::Pipelines;
use super::sunlight;
use bytemuck::{Pod, Zeroable};
use fencepost::{
    AllocationDesc, Allocator, Buffer, BufferDesc, DescriptorCounts, DescriptorSet, ImageView, vk,
};

/// As `View` in the shaders.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Uniforms {
    clip_from_world: [f32; 16],
    world_from_clip: [f32; 16],
    eye: [f32; 3],
    seconds: f32,
    sun: [f32; 3],
    _unused: f32,
}

/// A look at the world. The set is declared before the buffer that it names, so it goes first.
pub(crate) struct View {
    pub(crate) set: DescriptorSet,
    _uniforms: Buffer,
}

impl View {
    /// The view from a camera at a time.
    pub(crate) fn new(
        allocator: &Allocator,
        pipelines: &Pipelines,
        grain: &ImageView,
        camera: &Camera,
        seconds: f32,
    ) -> Result<Self> {
        let contents = Uniforms {
            clip_from_world: camera.clip_from_world().to_cols_array(),
            world_from_clip: camera.world_from_clip().to_cols_array(),
            eye: camera.eye.to_array(),
            seconds,
            sun: sunlight::direction().to_array(),
            _unused: 0.0,
        };
        let size = size_of::<Uniforms>() as u64;
        let mut uniforms = allocator.create_buffer(
            &BufferDesc::new(size, vk::BufferUsageFlags::UNIFORM_BUFFER),
            &AllocationDesc::upload().name("view"),
        )?;
        uniforms.write(0, &[contents])?;
        let counts = DescriptorCounts {
            uniform_buffer: 1,
            sampled_image: 1,
            sampler: 1,
            ..DescriptorCounts::EMPTY
        };
        // SAFETY: the layout is of this device and has these descriptors.
        let set = unsafe { allocator.create_descriptor_set(pipelines.view_sets, &counts) }?;
        let buffers =
            [vk::DescriptorBufferInfo::default().buffer(uniforms.handle()).range(vk::WHOLE_SIZE)];
        let images = [sampled(grain)];
        let write = vk::WriteDescriptorSet::default().dst_set(set.handle());
        let writes = [
            write
                .dst_binding(0)
                .descriptor_type(vk::DescriptorType::UNIFORM_BUFFER)
                .buffer_info(&buffers),
            write
                .dst_binding(1)
                .descriptor_type(vk::DescriptorType::SAMPLED_IMAGE)
                .image_info(&images),
        ];
        // SAFETY: the set is new, so nothing uses it, and what it names is alive.
        unsafe { pipelines.device.update_descriptor_sets(&writes, &[]) };
        Ok(Self { set, _uniforms: uniforms })
    }
}

/// A set with one texture: the ground of a chunk, or the mirror.
pub(crate) fn picture_set(
    allocator: &Allocator,
    pipelines: &Pipelines,
    view: &ImageView,
) -> Result<DescriptorSet> {
    let counts = DescriptorCounts { sampled_image: 1, ..DescriptorCounts::EMPTY };
    // SAFETY: the layout is of this device and has these descriptors.
    let set = unsafe { allocator.create_descriptor_set(pipelines.picture_sets, &counts) }?;
    let images = [sampled(view)];
    let write = vk::WriteDescriptorSet::default()
        .dst_set(set.handle())
        .descriptor_type(vk::DescriptorType::SAMPLED_IMAGE)
        .image_info(&images);
    // SAFETY: the set is new, so nothing uses it, and the view is alive.
    unsafe { pipelines.device.update_descriptor_sets(&[write], &[]) };
    Ok(set)
}

fn sampled(view: &ImageView) -> vk::DescriptorImageInfo {
    vk::DescriptorImageInfo::default()
        .image_view(view.handle())
        .image_layout(vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL)
}
