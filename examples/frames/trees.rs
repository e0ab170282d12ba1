//! Where trees grow, and of which kind.
use super::height_grid::HeightGrid;
use super::noise::{Noise, lerp, smoothstep};
use super::sunlight::Shade;
use bytemuck::{Pod, Zeroable};
use glam::{Vec2, Vec3, Vec3Swizzles};

/// At most one tree grows in a square of this many metres.
const SPACING: f32 = 5.2;

/// The tallest tree there is, in metres.
pub(crate) const TALLEST: f32 = 15.0;

/// The kinds of trees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Species {
    /// Dark and pointed, up to the tree line.
    Pine,
    /// Round, near the water, turning yellow and red.
    Broadleaf,
}

impl Species {
    /// Half the width of the crown at a part of the height, as a part of the height.
    pub(crate) fn half_width_at(self, part: f32) -> f32 {
        let part = part.clamp(0.0, 1.0);
        match self {
            Species::Pine if part < 0.14 => 0.03,
            Species::Pine => 0.25 * (1.0 - part) + 0.01,
            Species::Broadleaf if part < 0.2 => 0.04,
            Species::Broadleaf => 0.36 * (1.0 - ((part - 0.6) / 0.42).powi(2)).max(0.0).sqrt(),
        }
    }
}

/// One tree.
#[derive(Clone, Copy)]
pub(crate) struct Tree {
    /// Foot of the trunk.
    pub(crate) place: Vec3,
    /// From foot to top, in metres.
    pub(crate) height: f32,
    /// Which mesh draws it.
    pub(crate) species: Species,
    turn: f32,
    tint: Vec3,
}

/// What the vertex shader is told about one tree.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct TreeInstance {
    place: [f32; 3],
    height: f32,
    /// Colour of the leaves; alpha is how much sun the tree gets.
    tint: [u8; 4],
    /// Cosine and sine of its turn, as parts of 32767.
    turn: [i16; 2],
}

/// Where trees like to grow.
#[derive(Clone, Copy)]
pub(crate) struct Forest {
    groves: Noise,
    chance: Noise,
}

impl Forest {
    /// The forest of one seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { groves: Noise::new(seed, 10), chance: Noise::new(seed, 11) }
    }

    /// How thick the forest is at a place, 0 to 1.
    pub(crate) fn density(&self, place: Vec2, height: f32, steepness: f32) -> f32 {
        let grove = smoothstep(-0.22, 0.42, self.groves.octaves(place / 130.0, 3));
        let dry = smoothstep(1.4, 3.0, height);
        let tree_line = 1.0 - smoothstep(95.0, 150.0, height);
        grove * dry * tree_line * (1.0 - smoothstep(0.3, 0.5, steepness))
    }

    /// The trees in a square, in the same order every time.
    pub(crate) fn trees(&self, land: &HeightGrid, low: Vec2, high: Vec2) -> Vec<Tree> {
        let first = (low / SPACING).floor().as_ivec2();
        let last = (high / SPACING).floor().as_ivec2();
        (first.y..=last.y)
            .flat_map(|z| (first.x..=last.x).map(move |x| (x, z)))
            .filter_map(|(x, z)| self.tree_in_cell(land, x, z))
            .filter(|tree| {
                let inside = |at: f32, low: f32, high: f32| low <= at && at < high;
                inside(tree.place.x, low.x, high.x) && inside(tree.place.z, low.y, high.y)
            })
            .collect()
    }

    fn tree_in_cell(&self, land: &HeightGrid, x: i32, z: i32) -> Option<Tree> {
        let chance = |which: i32| self.chance.cell(x.wrapping_mul(8).wrapping_add(which), z);
        let cell = Vec2::new(x as f32, z as f32);
        let place = (cell + Vec2::new(chance(0), chance(1)) * 0.8 + 0.1) * SPACING;
        let ground = land.height(place);
        let density = self.density(place, ground, 1.0 - land.normal(place).y);
        if chance(2) >= 0.8 * density {
            return None;
        }
        let broad = 0.75 - ground / 40.0 + 0.5 * self.groves.at(place / 60.0 + 31.0);
        let species = if chance(3) < broad { Species::Broadleaf } else { Species::Pine };
        let grown = lerp(0.55, 1.0, chance(4)) * lerp(0.7, 1.0, density);
        let (height, tint) = match species {
            Species::Pine => {
                let blue = chance(5);
                (TALLEST * grown, Vec3::new(0.028, 0.085, 0.038).lerp(BLUE_PINE, blue))
            }
            Species::Broadleaf => {
                let autumn = smoothstep(0.25, 1.0, chance(5) + 0.4 * self.groves.at(place / 40.0));
                (0.62 * TALLEST * grown, Vec3::new(0.12, 0.2, 0.03).lerp(AUTUMN, autumn))
            }
        };
        let turn = chance(6) * std::f32::consts::TAU;
        Some(Tree { place: place.extend(ground).xzy(), height, species, turn, tint })
    }
}

const BLUE_PINE: Vec3 = Vec3::new(0.06, 0.13, 0.055);
const AUTUMN: Vec3 = Vec3::new(0.5, 0.17, 0.025);

impl Tree {
    /// The tree as the vertex shader reads it.
    pub(crate) fn instance(&self, shade: &Shade) -> TreeInstance {
        let light = shade.light(self.place + Vec3::Y * 0.5 * self.height);
        let byte = |part: f32| (part.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        let (tint, turn) = (self.tint, Vec2::from_angle(self.turn) * 32767.0);
        TreeInstance {
            place: self.place.to_array(),
            height: self.height,
            tint: [byte(tint.x.sqrt()), byte(tint.y.sqrt()), byte(tint.z.sqrt()), byte(light)],
            turn: [turn.x as i16, turn.y as i16],
        }
    }
}

/// Half of the trees, each a little larger: from afar it is the same forest.
pub(crate) fn thinned(trees: &[Tree]) -> Vec<Tree> {
    trees.iter().step_by(2).map(|tree| Tree { height: 1.2 * tree.height, ..*tree }).collect()
}
