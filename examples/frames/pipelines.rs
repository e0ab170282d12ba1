//! The pipelines and the descriptor set layouts: they are made once and kept.
use super::Result;
use super::chunk::GroundVertex;
use super::images::{COLOUR, DEPTH};
use super::tree_mesh::TreeVertex;
use super::trees::TreeInstance;
use fencepost::{Allocator, Object, ash, vk};
use std::ffi::CStr;
use std::io::Cursor;

/// The shaders, compiled from `shaders/landscape.wgsl`.
const SHADERS: &[u8] = include_bytes!("../../shaders/landscape.spv");

/// Everything that is set up once.
pub(crate) struct Pipelines {
    allocator: Allocator,
    /// Their device.
    pub(crate) device: ash::Device,
    sampler: vk::Sampler,
    /// The layout of a view's set: its uniforms, the grain of the ground, the sampler.
    pub(crate) view_sets: vk::DescriptorSetLayout,
    /// The layout of a picture's set: one texture.
    pub(crate) picture_sets: vk::DescriptorSetLayout,
    /// The pipeline layout of both.
    pub(crate) layout: vk::PipelineLayout,
    pub(crate) sky: vk::Pipeline,
    pub(crate) ground: vk::Pipeline,
    pub(crate) trees: vk::Pipeline,
    pub(crate) water: vk::Pipeline,
}

impl Pipelines {
    /// Makes them all.
    pub(crate) fn new(allocator: &Allocator, device: &ash::Device) -> Result<Self> {
        // SAFETY: all create-infos are valid and everything they name lives through the calls; the
        // shaders are what `shaders/landscape.wgsl` compiles to, a valid module.
        unsafe {
            let sampler = device.create_sampler(
                &vk::SamplerCreateInfo::default()
                    .mag_filter(vk::Filter::LINEAR)
                    .min_filter(vk::Filter::LINEAR)
                    .mipmap_mode(vk::SamplerMipmapMode::LINEAR)
                    .max_lod(vk::LOD_CLAMP_NONE),
                None,
            )?;
            let samplers = [sampler];
            let view_sets = set_layout(
                device,
                &[
                    binding(0, vk::DescriptorType::UNIFORM_BUFFER).descriptor_count(1),
                    binding(1, vk::DescriptorType::SAMPLED_IMAGE).descriptor_count(1),
                    binding(2, vk::DescriptorType::SAMPLER).immutable_samplers(&samplers),
                ],
            )?;
            let picture = binding(0, vk::DescriptorType::SAMPLED_IMAGE).descriptor_count(1);
            let picture_sets = set_layout(device, &[picture])?;
            let sets = [view_sets, picture_sets];
            let layout = device.create_pipeline_layout(
                &vk::PipelineLayoutCreateInfo::default().set_layouts(&sets),
                None,
            )?;
            let words = ash::util::read_spv(&mut Cursor::new(SHADERS))?;
            let module = device
                .create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&words), None)?;
            let make = |recipe: &Recipe<'_>| pipeline(device, layout, module, recipe);
            let pipelines = (make(&SKY), make(&GROUND), make(&TREES), make(&WATER));
            device.destroy_shader_module(module, None);
            Ok(Self {
                allocator: allocator.clone(),
                device: device.clone(),
                sampler,
                view_sets,
                picture_sets,
                layout,
                sky: pipelines.0?,
                ground: pipelines.1?,
                trees: pipelines.2?,
                water: pipelines.3?,
            })
        }
    }
}

/// Layouts may be destroyed immediately, because no set is updated and no command recorded after
/// this. The others are destroyed when the GPU is done with them.
impl Drop for Pipelines {
    fn drop(&mut self) {
        // SAFETY: this owns all of them, and the work that uses them was submitted through
        // recordings.
        unsafe {
            for pipeline in [self.sky, self.ground, self.trees, self.water] {
                self.allocator.retire_object(Object::Pipeline(pipeline));
            }
            self.allocator.retire_object(Object::Sampler(self.sampler));
            self.device.destroy_pipeline_layout(self.layout, None);
            self.device.destroy_descriptor_set_layout(self.view_sets, None);
            self.device.destroy_descriptor_set_layout(self.picture_sets, None);
        }
    }
}

fn binding(number: u32, kind: vk::DescriptorType) -> vk::DescriptorSetLayoutBinding<'static> {
    vk::DescriptorSetLayoutBinding::default()
        .binding(number)
        .descriptor_type(kind)
        .stage_flags(vk::ShaderStageFlags::VERTEX | vk::ShaderStageFlags::FRAGMENT)
}

/// # Safety
/// As for `vkCreateDescriptorSetLayout`.
unsafe fn set_layout(
    device: &ash::Device,
    bindings: &[vk::DescriptorSetLayoutBinding<'_>],
) -> Result<vk::DescriptorSetLayout> {
    let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(bindings);
    // SAFETY: by this function's contract.
    Ok(unsafe { device.create_descriptor_set_layout(&info, None) }?)
}

/// In what one pipeline differs from another.
struct Recipe<'a> {
    vertex: &'a CStr,
    fragment: &'a CStr,
    buffers: &'a [vk::VertexInputBindingDescription],
    attributes: &'a [vk::VertexInputAttributeDescription],
    /// Back faces too.
    both_faces: bool,
    /// Over what is there already, which shows through.
    see_through: bool,
}

const SKY: Recipe<'_> = Recipe {
    vertex: c"sky_vertex",
    fragment: c"sky_fragment",
    buffers: &[],
    attributes: &[],
    both_faces: true,
    see_through: false,
};

const GROUND: Recipe<'_> = Recipe {
    vertex: c"ground_vertex",
    fragment: c"ground_fragment",
    buffers: &[per_vertex(size_of::<GroundVertex>())],
    attributes: &[
        attribute(0, 0, vk::Format::R32G32B32_SFLOAT, 0),
        attribute(0, 1, vk::Format::R8G8B8A8_SNORM, 12),
        attribute(0, 2, vk::Format::R16G16_UNORM, 16),
    ],
    both_faces: false,
    see_through: false,
};

const TREES: Recipe<'_> = Recipe {
    vertex: c"tree_vertex",
    fragment: c"tree_fragment",
    buffers: &[
        per_vertex(size_of::<TreeVertex>()),
        vk::VertexInputBindingDescription {
            binding: 1,
            stride: size_of::<TreeInstance>() as u32,
            input_rate: vk::VertexInputRate::INSTANCE,
        },
    ],
    attributes: &[
        attribute(0, 0, vk::Format::R32G32B32_SFLOAT, 0),
        attribute(0, 1, vk::Format::R32_SFLOAT, 12),
        attribute(1, 2, vk::Format::R32G32B32_SFLOAT, 0),
        attribute(1, 3, vk::Format::R32_SFLOAT, 12),
        attribute(1, 4, vk::Format::R8G8B8A8_UNORM, 16),
        attribute(1, 5, vk::Format::R16G16_SNORM, 20),
    ],
    both_faces: false,
    see_through: false,
};

const WATER: Recipe<'_> =
    Recipe { vertex: c"water_vertex", fragment: c"water_fragment", see_through: true, ..GROUND };

const fn per_vertex(stride: usize) -> vk::VertexInputBindingDescription {
    vk::VertexInputBindingDescription {
        binding: 0,
        stride: stride as u32,
        input_rate: vk::VertexInputRate::VERTEX,
    }
}

const fn attribute(
    binding: u32,
    location: u32,
    format: vk::Format,
    offset: u32,
) -> vk::VertexInputAttributeDescription {
    vk::VertexInputAttributeDescription { location, binding, format, offset }
}

/// # Safety
/// The handles are alive and the module has the entry points of the recipe.
unsafe fn pipeline(
    device: &ash::Device,
    layout: vk::PipelineLayout,
    module: vk::ShaderModule,
    recipe: &Recipe<'_>,
) -> Result<vk::Pipeline> {
    let stage = |stage, name| {
        vk::PipelineShaderStageCreateInfo::default().stage(stage).module(module).name(name)
    };
    let stages = [
        stage(vk::ShaderStageFlags::VERTEX, recipe.vertex),
        stage(vk::ShaderStageFlags::FRAGMENT, recipe.fragment),
    ];
    let input = vk::PipelineVertexInputStateCreateInfo::default()
        .vertex_binding_descriptions(recipe.buffers)
        .vertex_attribute_descriptions(recipe.attributes);
    let assembly = vk::PipelineInputAssemblyStateCreateInfo::default()
        .topology(vk::PrimitiveTopology::TRIANGLE_LIST);
    let viewport =
        vk::PipelineViewportStateCreateInfo::default().viewport_count(1).scissor_count(1);
    let faces = vk::PipelineRasterizationStateCreateInfo::default()
        .polygon_mode(vk::PolygonMode::FILL)
        .front_face(vk::FrontFace::CLOCKWISE)
        .cull_mode(if recipe.both_faces {
            vk::CullModeFlags::NONE
        } else {
            vk::CullModeFlags::BACK
        })
        .line_width(1.0);
    let samples = vk::PipelineMultisampleStateCreateInfo::default()
        .rasterization_samples(vk::SampleCountFlags::TYPE_1);
    let depth = vk::PipelineDepthStencilStateCreateInfo::default()
        .depth_test_enable(true)
        .depth_write_enable(!recipe.see_through)
        .depth_compare_op(vk::CompareOp::GREATER_OR_EQUAL);
    let over = [vk::PipelineColorBlendAttachmentState::default()
        .blend_enable(recipe.see_through)
        .src_color_blend_factor(vk::BlendFactor::ONE)
        .dst_color_blend_factor(vk::BlendFactor::ONE_MINUS_SRC_ALPHA)
        .src_alpha_blend_factor(vk::BlendFactor::ONE)
        .dst_alpha_blend_factor(vk::BlendFactor::ONE_MINUS_SRC_ALPHA)
        .color_write_mask(vk::ColorComponentFlags::RGBA)];
    let blend = vk::PipelineColorBlendStateCreateInfo::default().attachments(&over);
    let set_later = [vk::DynamicState::VIEWPORT, vk::DynamicState::SCISSOR];
    let dynamic = vk::PipelineDynamicStateCreateInfo::default().dynamic_states(&set_later);
    let formats = [COLOUR];
    let mut rendering = vk::PipelineRenderingCreateInfo::default()
        .color_attachment_formats(&formats)
        .depth_attachment_format(DEPTH);
    let info = vk::GraphicsPipelineCreateInfo::default()
        .stages(&stages)
        .vertex_input_state(&input)
        .input_assembly_state(&assembly)
        .viewport_state(&viewport)
        .rasterization_state(&faces)
        .multisample_state(&samples)
        .depth_stencil_state(&depth)
        .color_blend_state(&blend)
        .dynamic_state(&dynamic)
        .layout(layout)
        .push_next(&mut rendering);
    // SAFETY: by this function's contract; all that `info` points to lives through the call.
    let made =
        unsafe { device.create_graphics_pipelines(vk::PipelineCache::null(), &[info], None) };
    made.map(|pipelines| pipelines[0]).map_err(|(_, error)| error.into())
}
