//! The part of the world that is on the GPU: what enters it, and what leaves.
//!
//! Chunks leave by being dropped, at any moment, whether or not frames in flight still draw them.
//! There is no list of things to delete later: that is what fencepost is for.
use super::Result;
use super::camera::Camera;
use super::chunk::{CHUNK, Detail, Land, ground_indices};
use super::pipelines::Pipelines;
use super::texels;
use super::tree_mesh;
use super::trees::Species;
use super::upload::{Batch, Uploads};
use super::view::picture_set;
use fencepost::{Allocator, Buffer, DescriptorSet, Image, ImageView, ImageViewDesc, Point, vk};
use glam::{IVec2, Vec2, Vec3, Vec3Swizzles};
use std::collections::BTreeMap;

/// Chunks whose middle is nearer than this to the middle of interest are wanted, in metres.
const NEEDED: f32 = 760.0;
/// And kept until they are this far away, so that none comes and goes at the rim.
const KEPT: f32 = 840.0;
/// How far before the eye the middle of interest lies, in metres.
const AHEAD: f32 = 420.0;
/// From which distance on a chunk is made in the next lower detail, in metres.
const RINGS: [f32; 3] = [150.0, 300.0, 560.0];
/// How many chunks are made in one frame at most.
const PER_FRAME: usize = 4;

/// One chunk on the GPU. The order of the fields is the order of their end: a set before the view
/// it names, a view before its image.
pub(crate) struct Chunk {
    pub(crate) ground: DescriptorSet,
    _view: ImageView,
    _texture: Image,
    pub(crate) vertices: Buffer,
    pub(crate) trees: Option<Buffer>,
    pub(crate) pines: u32,
    pub(crate) trees_count: u32,
    pub(crate) detail: Detail,
    pub(crate) low: Vec3,
    pub(crate) high: Vec3,
}

struct TreeMesh {
    species: Species,
    near: bool,
    buffer: Buffer,
    corners: u32,
}

/// The resident chunks, and what all of them share.
pub(crate) struct World {
    allocator: Allocator,
    land: Land,
    /// Ordered by place, so that every run goes through them alike.
    chunks: BTreeMap<(i32, i32), Chunk>,
    indices: Vec<Buffer>,
    trees: Vec<TreeMesh>,
    pub(crate) grain_view: ImageView,
    _grain: Image,
    /// Chunks made so far.
    pub(crate) made: u32,
    /// Chunks dropped so far, for a better one or for good.
    pub(crate) dropped: u32,
}

impl World {
    /// A world without chunks.
    pub(crate) fn new(allocator: &Allocator, uploads: &mut Uploads, seed: u64) -> Result<Self> {
        let mut batch = uploads.begin()?;
        let grain = batch.texture("grain", &texels::grain(seed))?;
        let grain_view = allocator
            .create_image_view(&grain, &ImageViewDesc::new(vk::ImageAspectFlags::COLOR))?;
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
        batch.submit()?;
        Ok(Self {
            allocator: allocator.clone(),
            land: Land::new(seed),
            chunks: BTreeMap::new(),
            indices,
            trees,
            grain_view,
            _grain: grain,
            made: 0,
            dropped: 0,
        })
    }

    /// The land the chunks are made from.
    pub(crate) fn land(&self) -> &Land {
        &self.land
    }

    /// Makes the nearest few chunks that are missing or too coarse or too fine, and uploads them.
    /// A frame that draws them waits for the point.
    pub(crate) fn approach(
        &mut self,
        camera: &Camera,
        pipelines: &Pipelines,
        uploads: &mut Uploads,
    ) -> Result<Option<Point>> {
        let mut wanted = self.wanted(camera);
        if wanted.is_empty() {
            return Ok(None);
        }
        wanted.truncate(PER_FRAME);
        let mut batch = uploads.begin()?;
        for (place, detail) in wanted {
            let chunk = self.make(place, detail, pipelines, &mut batch)?;
            // A chunk of another detail that was here goes, though frames in flight draw it.
            let before = self.chunks.insert((place.y, place.x), chunk);
            self.made += 1;
            self.dropped += u32::from(before.is_some());
        }
        Ok(Some(batch.submit()?))
    }

    /// Drops the chunks that lie behind.
    pub(crate) fn leave_behind(&mut self, camera: &Camera) {
        let before = self.chunks.len();
        let middle = middle_of_interest(camera);
        self.chunks.retain(|&(z, x), _| distance(middle, IVec2::new(x, z)) < KEPT);
        self.dropped += (before - self.chunks.len()) as u32;
    }

    /// The chunks that may be seen, the nearest first: they hide the others.
    pub(crate) fn seen(&self, camera: &Camera) -> Vec<&Chunk> {
        let mut seen: Vec<_> =
            self.chunks.values().filter(|chunk| camera.sees(chunk.low, chunk.high)).collect();
        let near = |chunk: &Chunk| ((chunk.low + chunk.high) * 0.5).distance(camera.eye);
        seen.sort_by(|one, other| near(one).total_cmp(&near(other)));
        seen
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

    /// What is missing, the nearest first.
    fn wanted(&self, camera: &Camera) -> Vec<(IVec2, Detail)> {
        let middle = middle_of_interest(camera);
        let low = ((middle - NEEDED) / CHUNK).floor().as_ivec2();
        let high = ((middle + NEEDED) / CHUNK).floor().as_ivec2();
        let eye = camera.eye.xz();
        let mut wanted: Vec<_> = (low.y..=high.y)
            .flat_map(|z| (low.x..=high.x).map(move |x| IVec2::new(x, z)))
            .filter(|&place| distance(middle, place) < NEEDED)
            .map(|place| (place, self.detail(place, distance(eye, place))))
            .filter(|(place, detail)| {
                self.chunks.get(&(place.y, place.x)).is_none_or(|chunk| chunk.detail != *detail)
            })
            .collect();
        wanted.sort_by(|one, other| distance(eye, one.0).total_cmp(&distance(eye, other.0)));
        wanted
    }

    /// The detail for a chunk at a distance. One that is there keeps its own a little longer.
    fn detail(&self, place: IVec2, distance: f32) -> Detail {
        let now = self.chunks.get(&(place.y, place.x)).map(|chunk| chunk.detail);
        let ring = |slack: f32| RINGS.iter().filter(|&&ring| distance > ring + slack).count();
        let (coarser, finer) = (Detail(ring(-30.0) as u8), Detail(ring(30.0) as u8));
        match now {
            Some(now) if finer <= now && now <= coarser => now,
            _ => Detail(ring(0.0) as u8),
        }
    }

    fn make(
        &self,
        place: IVec2,
        detail: Detail,
        pipelines: &Pipelines,
        batch: &mut Batch<'_>,
    ) -> Result<Chunk> {
        let data = self.land.chunk(place, detail);
        let texture = batch.texture("ground texture", &data.texture)?;
        let view = self
            .allocator
            .create_image_view(&texture, &ImageViewDesc::new(vk::ImageAspectFlags::COLOR))?;
        let usage = vk::BufferUsageFlags::VERTEX_BUFFER;
        let vertices = batch.buffer("ground vertices", usage, &data.vertices)?;
        let trees = match data.trees.as_slice() {
            [] => None,
            trees => Some(batch.buffer("trees", usage, trees)?),
        };
        Ok(Chunk {
            ground: picture_set(&self.allocator, pipelines, &view)?,
            _view: view,
            _texture: texture,
            vertices,
            trees,
            pines: data.pines,
            trees_count: data.trees.len() as u32,
            detail,
            low: data.low,
            high: data.high,
        })
    }
}

/// More is seen ahead than behind.
fn middle_of_interest(camera: &Camera) -> Vec2 {
    camera.eye.xz() + camera.forward.xz().normalize_or_zero() * AHEAD
}

fn distance(from: Vec2, chunk: IVec2) -> f32 {
    ((chunk.as_vec2() + 0.5) * CHUNK).distance(from)
}
