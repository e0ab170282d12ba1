//! The sun, and which places its light reaches.
//!
//! Sun and land never move, so shadows are worked out once for a chunk and kept in its texture.
use super::height_grid::HeightGrid;
use super::noise::smoothstep;
use super::terrain::Terrain;
use super::trees::Tree;
use glam::{Vec2, Vec3, Vec3Swizzles};

/// Height of the sun over the horizon, in radians.
const ELEVATION: f32 = 0.36;
/// Where the sun stands on the horizon, in radians to the right of straight ahead.
const AZIMUTH: f32 = 0.62;
/// How far a shadow of the land is followed, in metres.
const REACH: f32 = 260.0;
/// Distance between the heights that a shadow is looked up in, in metres.
const STEP: f32 = 8.0;

/// Direction to the sun, of length 1.
pub(crate) fn direction() -> Vec3 {
    (toward() * ELEVATION.cos()).extend(ELEVATION.sin()).xzy()
}

/// The same on the map.
fn toward() -> Vec2 {
    Vec2::from_angle(std::f32::consts::FRAC_PI_2 - AZIMUTH)
}

/// The land around one square, as far as it can cast a shadow into it.
pub(crate) struct Shade {
    land: HeightGrid,
}

impl Shade {
    /// Looks at the land between the square and the sun.
    pub(crate) fn over(terrain: &Terrain, corner: Vec2, size: f32) -> Self {
        let low = corner + (toward() * REACH).min(Vec2::ZERO);
        let side = ((size + REACH) / STEP) as usize + 2;
        Self { land: HeightGrid::sample(terrain, low, STEP, side) }
    }

    /// How much of the sun can be seen from a point: 0 none, 1 all of it.
    pub(crate) fn light(&self, point: Vec3) -> f32 {
        let rise = ELEVATION.tan();
        let mut light: f32 = 1.0;
        let mut distance = 10.0;
        while distance < REACH {
            let over = self.land.height(point.xz() + toward() * distance);
            let clear = point.y + 0.6 + distance * rise - over;
            let blur = 1.0 + 0.05 * distance;
            light = light.min(smoothstep(-blur, blur, clear));
            distance += STEP;
        }
        light
    }
}

/// How dark the shadow of one tree is at a place on the ground, 0 to 1.
pub(crate) fn tree_shadow(tree: &Tree, place: Vec2) -> f32 {
    let length = tree.height / ELEVATION.tan();
    let from_trunk = place - tree.place.xz();
    let along = -from_trunk.dot(toward()) / length;
    if !(-0.1..1.1).contains(&along) {
        return 0.0;
    }
    let across = from_trunk.perp_dot(toward()).abs();
    let half_width = tree.height * tree.species.half_width_at(along);
    let edge = 0.3 + 1.2 * along.max(0.0);
    1.0 - smoothstep(half_width - edge, half_width + edge, across)
}

/// How far from its trunk the shadow of a tree of this height can fall, in metres.
pub(crate) fn tree_shadow_reach(height: f32) -> f32 {
    1.1 * height / ELEVATION.tan()
}
