//! Resources that all chunks share: the triangles of the ground, the shapes of the trees, a grain
//! texture.
use super::Result;
use super::chunk::{Detail, ground_indices};
use super::texels;
use super::tree_mesh;
use super::trees::Species;
use super::upload::Uploads;
use fencepost::{Allocator, Buffer, Image, ImageView, ImageViewDesc, vk};

/// The shared buffers and the shared texture; the view is declared before its image.
pub(crate) struct Shared {
    indices: Vec<Buffer>,
    trees: Vec<TreeMesh>,
    /// Fine grain for ground that is near.
    pub(crate) grain_view: ImageView,
    _grain: Image,
}

struct TreeMesh {
    species: Species,
    near: bool,
    buffer: Buffer,
    corners: u32,
}

impl Shared {
    /// Makes and uploads all of it.
    pub(crate) fn new(allocator: &Allocator, uploads: &mut Uploads, seed: u64) -> Result<Self> {
        let mut batch = uploads.begin()?;
        let mut indices = Vec::new();
        for detail in Detail::ALL {
            let usage = vk::BufferUsageFlags::INDEX_BUFFER;
            indices.push(batch.buffer("ground indices", usage, &ground_indices(detail))?);
        }
        let mut trees = Vec::new();
        for species in [Species::Pine, Species::Broadleaf] {
            for near in [true, false] {
                let usage = vk::BufferUsageFlags::VERTEX_BUFFER;
                let corners = tree_mesh::mesh(species, near);
                let buffer = batch.buffer("tree mesh", usage, &corners)?;
                trees.push(TreeMesh { species, near, buffer, corners: corners.len() as u32 });
            }
        }
        let grain = batch.texture("grain", &texels::grain(seed))?;
        let colour = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
        let grain_view = allocator.create_image_view(&grain, &colour)?;
        batch.submit()?;
        Ok(Self { indices, trees, grain_view, _grain: grain })
    }

    /// The triangles of the ground at a detail.
    pub(crate) fn indices(&self, detail: Detail) -> &Buffer {
        &self.indices[usize::from(detail.0)]
    }

    /// The mesh of a species of trees, and how many corners it has.
    pub(crate) fn tree_mesh(&self, species: Species, near: bool) -> (&Buffer, u32) {
        let fits = |mesh: &&TreeMesh| mesh.species == species && mesh.near == near;
        let mesh = self.trees.iter().find(fits).expect("every species has two meshes");
        (&mesh.buffer, mesh.corners)
    }
}
