//! Recording of a frame's drawing: what the water mirrors, then the picture.
use super::chunk::Detail;
use super::images::{Target, Targets, Use, turn};
use super::pipelines::Pipelines;
use super::trees::Species;
use super::view::View;
use super::world::{Chunk, World};
use fencepost::{DescriptorSet, vk};
use std::ops::Range;

/// A command buffer that is being recorded, and what it draws with.
pub(crate) struct Pen<'a> {
    pub(crate) commands: vk::CommandBuffer,
    pub(crate) pipelines: &'a Pipelines,
    pub(crate) world: &'a World,
}

impl Pen<'_> {
    /// Draws the mirrored world without water, then the world with it.
    pub(crate) fn frame(
        &self,
        targets: &Targets,
        mirrored: (&View, &[&Chunk]),
        straight: (&View, &[&Chunk]),
        mirror: &DescriptorSet,
    ) {
        self.barriers(&[
            turn(&targets.mirror.image, Use::Nothing, Use::ColourTarget),
            turn(&targets.mirror_depth.image, Use::Nothing, Use::DepthTarget),
            turn(&targets.colour.image, Use::Nothing, Use::ColourTarget),
            turn(&targets.depth.image, Use::Nothing, Use::DepthTarget),
        ]);
        self.pass(&targets.mirror, &targets.mirror_depth, targets.mirror_size(), || {
            self.land(mirrored.0, mirrored.1, true);
        });
        self.barriers(&[turn(&targets.mirror.image, Use::ColourTarget, Use::Sampled)]);
        self.pass(&targets.colour, &targets.depth, targets.size, || {
            self.land(straight.0, straight.1, false);
            self.water(straight.1, mirror);
        });
    }

    /// Waits of images for each other's uses.
    pub(crate) fn barriers(&self, barriers: &[vk::ImageMemoryBarrier2<'_>]) {
        let dependency = vk::DependencyInfo::default().image_memory_barriers(barriers);
        // SAFETY: the command buffer is being recorded, and outside of a pass.
        unsafe { self.pipelines.device.cmd_pipeline_barrier2(self.commands, &dependency) };
    }

    /// One picture from empty to done.
    fn pass(&self, colour: &Target, depth: &Target, size: vk::Extent2D, draw: impl FnOnce()) {
        let attachment = |target: &Target, layout, store| {
            vk::RenderingAttachmentInfo::default()
                .image_view(target.view.handle())
                .image_layout(layout)
                .load_op(vk::AttachmentLoadOp::CLEAR)
                .store_op(store)
        };
        // The sky covers all that nothing else does; depth begins at infinity, which is 0.
        let (drawn, nearest) =
            (vk::ImageLayout::COLOR_ATTACHMENT_OPTIMAL, vk::ImageLayout::DEPTH_ATTACHMENT_OPTIMAL);
        let colours = [attachment(colour, drawn, vk::AttachmentStoreOp::STORE)];
        let depth = attachment(depth, nearest, vk::AttachmentStoreOp::DONT_CARE);
        let area = vk::Rect2D { offset: vk::Offset2D::default(), extent: size };
        let info = vk::RenderingInfo::default()
            .render_area(area)
            .layer_count(1)
            .color_attachments(&colours)
            .depth_attachment(&depth);
        let viewport = vk::Viewport::default()
            .width(size.width as f32)
            .height(size.height as f32)
            .max_depth(1.0);
        let device = &self.pipelines.device;
        // SAFETY: the command buffer is being recorded; the attachments are in these layouts.
        unsafe {
            device.cmd_begin_rendering(self.commands, &info);
            device.cmd_set_viewport(self.commands, 0, &[viewport]);
            device.cmd_set_scissor(self.commands, 0, &[area]);
            draw();
            device.cmd_end_rendering(self.commands);
        }
    }

    /// Ground, trees, and the sky behind them. What is mirrored needs no branches, and far away
    /// no trees at all.
    fn land(&self, view: &View, chunks: &[&Chunk], mirrored: bool) {
        self.bind_set(0, &view.set);
        self.bind_pipeline(self.pipelines.ground);
        for chunk in chunks {
            self.bind_set(1, &chunk.ground);
            self.mesh(chunk);
        }
        self.bind_pipeline(self.pipelines.trees);
        for chunk in chunks {
            if mirrored && chunk.detail > Detail::MIRRORED_TREES {
                continue;
            }
            let near = !mirrored && chunk.detail <= Detail::NEAR_TREES;
            self.trees(chunk, Species::Pine, near, 0..chunk.pines);
            self.trees(chunk, Species::Broadleaf, near, chunk.pines..chunk.trees_count);
        }
        self.bind_pipeline(self.pipelines.sky);
        // SAFETY: the pipeline reads no vertex; the view's set is bound.
        unsafe { self.pipelines.device.cmd_draw(self.commands, 3, 1, 0, 0) };
    }

    /// Water over the ground that is low.
    fn water(&self, chunks: &[&Chunk], mirror: &DescriptorSet) {
        self.bind_pipeline(self.pipelines.water);
        self.bind_set(1, mirror);
        for chunk in chunks.iter().filter(|chunk| chunk.low.y < 0.0) {
            self.mesh(chunk);
        }
    }

    fn mesh(&self, chunk: &Chunk) {
        let indices = self.world.indices(chunk.detail);
        let count = (indices.size() / size_of::<u16>() as u64) as u32;
        let (commands, device) = (self.commands, &self.pipelines.device);
        // SAFETY: a ground or water pipeline and its sets are bound, and the indices of this detail
        // name only vertices that a chunk of it has.
        unsafe {
            device.cmd_bind_index_buffer(commands, indices.handle(), 0, vk::IndexType::UINT16);
            device.cmd_bind_vertex_buffers(commands, 0, &[chunk.vertices.handle()], &[0]);
            device.cmd_draw_indexed(commands, count, 1, 0, 0, 0);
        }
    }

    fn trees(&self, chunk: &Chunk, species: Species, near: bool, which: Range<u32>) {
        let Some(instances) = chunk.trees.as_ref().filter(|_| !which.is_empty()) else { return };
        let (mesh, corners) = self.world.tree_mesh(species, near);
        let buffers = [mesh.handle(), instances.handle()];
        let (commands, device) = (self.commands, &self.pipelines.device);
        // SAFETY: the tree pipeline and the view's set are bound; the range lies within the trees.
        unsafe {
            device.cmd_bind_vertex_buffers(commands, 0, &buffers, &[0, 0]);
            device.cmd_draw(commands, corners, which.len() as u32, 0, which.start);
        }
    }

    fn bind_pipeline(&self, pipeline: vk::Pipeline) {
        let graphics = vk::PipelineBindPoint::GRAPHICS;
        // SAFETY: the command buffer is being recorded and the pipeline is alive.
        unsafe { self.pipelines.device.cmd_bind_pipeline(self.commands, graphics, pipeline) };
    }

    fn bind_set(&self, number: u32, set: &DescriptorSet) {
        let (graphics, layout) = (vk::PipelineBindPoint::GRAPHICS, self.pipelines.layout);
        let sets = [set.handle()];
        // SAFETY: the set was made with the layout that the pipelines have at this number.
        unsafe {
            self.pipelines.device.cmd_bind_descriptor_sets(
                self.commands,
                graphics,
                layout,
                number,
                &sets,
                &[],
            );
        }
    }
}
