//! One square of the world as plain data: a mesh, a texture and trees, ready to be uploaded.
use super::ground::Ground;
use super::height_grid::HeightGrid;
use super::sunlight::{Shade, tree_shadow_reach};
use super::terrain::Terrain;
use super::texels::MipChain;
use super::trees::{self, Forest, Species, TALLEST, TreeInstance};
use bytemuck::{Pod, Zeroable};
use glam::{IVec2, Vec2, Vec3, Vec3Swizzles};

/// Side of a chunk, in metres.
pub(crate) const CHUNK: f32 = 96.0;

/// How finely a chunk is made: 0 is the finest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) struct Detail(pub(crate) u8);

impl Detail {
    /// All there are.
    pub(crate) const ALL: [Detail; 4] = [Detail(0), Detail(1), Detail(2), Detail(3)];

    /// The coarsest at which trees have all their branches.
    pub(crate) const NEAR_TREES: Detail = Detail(1);

    /// The coarsest at which the water mirrors trees.
    pub(crate) const MIRRORED_TREES: Detail = Detail(2);

    /// Squares along one side of the mesh.
    pub(crate) fn quads(self) -> usize {
        [32, 18, 10, 6][usize::from(self.0)]
    }

    /// Texels along one side of the texture.
    fn texels(self) -> u32 {
        256 >> self.0
    }
}

/// A corner of the ground.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct GroundVertex {
    place: [f32; 3],
    /// Three signed bytes.
    normal: [i8; 4],
    /// Where in the texture of the chunk, as parts of 65535.
    texel: [u16; 2],
}

/// Everything of a chunk that the GPU will hold.
pub(crate) struct ChunkData {
    /// The grid, row by row, then its skirt.
    pub(crate) vertices: Vec<GroundVertex>,
    /// Colour of the ground, and in alpha how much sun reaches it.
    pub(crate) texture: MipChain,
    /// Pines first.
    pub(crate) trees: Vec<TreeInstance>,
    /// How many of the trees are pines.
    pub(crate) pines: u32,
    /// The box around all of it.
    pub(crate) low: Vec3,
    /// Its other corner.
    pub(crate) high: Vec3,
}

/// All that the land is made from; cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Land {
    /// Its shape.
    pub(crate) terrain: Terrain,
    forest: Forest,
    ground: Ground,
}

impl Land {
    /// The land of one seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { terrain: Terrain::new(seed), forest: Forest::new(seed), ground: Ground::new(seed) }
    }

    /// Makes one chunk.
    pub(crate) fn chunk(&self, chunk: IVec2, detail: Detail) -> ChunkData {
        let corner = chunk.as_vec2() * CHUNK;
        let margin = tree_shadow_reach(TALLEST);
        let step = CHUNK / detail.quads() as f32;
        // Trees and shadows are looked up in the same heights at every level of detail, so that
        // nothing moves when the level changes.
        let around = corner - margin;
        let side = ((CHUNK + 2.0 * margin) / 4.0) as usize + 2;
        let land = HeightGrid::sample(&self.terrain, around, 4.0, side);
        let shade = Shade::over(&self.terrain, corner, CHUNK);
        let mut trees = self.forest.trees(&land, around, corner + CHUNK + margin);
        trees.sort_by_key(|tree| tree.species);
        let texture =
            self.ground.paint(&self.forest, &land, &shade, &trees, corner, detail.texels());
        let inside = |place: Vec2| place.cmpge(corner).all() && place.cmplt(corner + CHUNK).all();
        trees.retain(|tree| inside(tree.place.xz()));
        if detail > Detail::MIRRORED_TREES {
            trees = trees::thinned(&trees);
        }
        let pines = trees.iter().filter(|tree| tree.species == Species::Pine).count() as u32;

        let vertices = self.grid(corner, step, detail.quads());
        let heights = || vertices.iter().map(|vertex| vertex.place[1]);
        let lowest = heights().fold(f32::INFINITY, f32::min);
        let highest = heights().fold(f32::NEG_INFINITY, f32::max) + TALLEST;
        ChunkData {
            texture,
            trees: trees.iter().map(|tree| tree.instance(&shade)).collect(),
            pines,
            low: corner.extend(lowest).xzy(),
            high: (corner + CHUNK).extend(highest).xzy(),
            vertices,
        }
    }

    /// The corners of the ground: a grid, and around it a skirt that hangs down and hides the
    /// gaps beside a neighbour of another detail.
    fn grid(&self, corner: Vec2, step: f32, quads: usize) -> Vec<GroundVertex> {
        let heights = HeightGrid::sample(&self.terrain, corner - step, step, quads + 3);
        let vertex = |x: usize, z: usize, drop: f32| {
            let offset = Vec2::new(x as f32, z as f32) * step;
            let normal = heights.normal(corner + offset) * 127.0;
            let height = heights.height(corner + offset) - drop;
            let part = |offset: f32| (offset / CHUNK * 65535.0) as u16;
            GroundVertex {
                place: (corner + offset).extend(height).xzy().to_array(),
                normal: [normal.x as i8, normal.y as i8, normal.z as i8, 0],
                texel: [part(offset.x), part(offset.y)],
            }
        };
        let inner = (0..=quads).flat_map(|z| (0..=quads).map(move |x| (x, z, 0.0)));
        let rim = rim(quads).map(|(x, z)| (x, z, 2.0 * step));
        inner.chain(rim).map(|(x, z, drop)| vertex(x, z, drop)).collect()
    }
}

/// The triangles of the ground at one level of detail, the same for every chunk.
pub(crate) fn ground_indices(detail: Detail) -> Vec<u16> {
    let quads = detail.quads();
    let at = |x: usize, z: usize| (z * (quads + 1) + x) as u16;
    let mut indices = Vec::new();
    let mut quad = |a: u16, b: u16, c: u16, d: u16| indices.extend([a, c, b, b, c, d]);
    for z in 0..quads {
        for x in 0..quads {
            quad(at(x, z), at(x + 1, z), at(x, z + 1), at(x + 1, z + 1));
        }
    }
    let first = at(0, quads + 1);
    let rim: Vec<_> = rim(quads).collect();
    for (index, &(x, z)) in rim.iter().enumerate() {
        let next = (index + 1) % rim.len();
        let (next_x, next_z) = rim[next];
        quad(first + index as u16, first + next as u16, at(x, z), at(next_x, next_z));
    }
    indices
}

/// The points around the grid, one way round.
fn rim(quads: usize) -> impl Iterator<Item = (usize, usize)> {
    let front = (0..quads).map(|x| (x, 0));
    let right = (0..quads).map(move |z| (quads, z));
    let back = (0..quads).map(move |x| (quads - x, quads));
    let left = (0..quads).map(move |z| (0, quads - z));
    front.chain(right).chain(back).chain(left)
}
