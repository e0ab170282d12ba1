//! The flight: where the camera is at each frame, and what it can see from there.
use super::terrain::Terrain;
use glam::camera::lh::{proj::vulkan::perspective_infinite_reverse, view::look_to_mat4};
use glam::{Mat4, Vec2, Vec3, Vec4};

/// Metres flown from one frame to the next.
const SPEED: f32 = 2.5;
/// Height of the flight over the land.
const ALTITUDE: f32 = 24.0;
/// Angle from the bottom to the top of the picture, in radians.
const FIELD_OF_VIEW: f32 = 0.82;
/// Nothing nearer than this is drawn, in metres.
const NEAR: f32 = 0.5;

/// How far under the water a mirrored view still sees, so that no gap opens at the shore.
const SHORE_MARGIN: f32 = 0.15;

/// A place to look from and a direction to look in.
#[derive(Clone, Copy)]
pub(crate) struct Camera {
    /// The eye, in metres.
    pub(crate) eye: Vec3,
    /// Where it looks, of length 1.
    pub(crate) forward: Vec3,
    /// Width of the picture over its height.
    pub(crate) aspect: f32,
    /// Whether the eye is a mirror image under the water, and sees only what is over it.
    mirrored: bool,
}

impl Camera {
    /// The camera at one frame of the flight down the river.
    pub(crate) fn in_flight(terrain: &Terrain, frame: u32, aspect: f32) -> Self {
        let z = frame as f32 * SPEED;
        let eye = on_the_way(terrain, z);
        let ahead = on_the_way(terrain, z + 120.0) - Vec3::new(0.0, 7.0, 0.0);
        Self { eye, forward: (ahead - eye).normalize(), aspect, mirrored: false }
    }

    /// The same view mirrored by the water: what a reflection shows.
    pub(crate) fn mirrored(&self) -> Self {
        let flip = Vec3::new(1.0, -1.0, 1.0);
        Self { eye: self.eye * flip, forward: self.forward * flip, mirrored: true, ..*self }
    }

    /// From the world to the picture. Depth is 1 at the near plane and falls to 0 at infinity,
    /// where floating point keeps the most precision for the distance.
    pub(crate) fn clip_from_world(&self) -> Mat4 {
        let mut clip_from_world = self.plain_clip_from_world();
        if self.mirrored {
            // The plane of the water becomes the near plane: depth is 1 on it, more under it, and
            // less the farther a thing is seen over it.
            let over_water = Vec4::new(0.0, 1.0, 0.0, SHORE_MARGIN);
            let depth = clip_from_world.row(3) - 0.5 * over_water;
            clip_from_world = with_row_2(clip_from_world, depth);
        }
        clip_from_world
    }

    /// From the near plane of the picture to the world: where the ray of each pixel passes.
    pub(crate) fn world_from_clip(&self) -> Mat4 {
        self.plain_clip_from_world().inverse()
    }

    fn plain_clip_from_world(&self) -> Mat4 {
        perspective_infinite_reverse(FIELD_OF_VIEW, self.aspect, NEAR)
            * look_to_mat4(self.eye, self.forward, Vec3::Y)
    }

    /// Whether any part of a box may be in the picture.
    pub(crate) fn sees(&self, low: Vec3, high: Vec3) -> bool {
        let rows = self.clip_from_world();
        let planes = [
            rows.row(3) + rows.row(0),
            rows.row(3) - rows.row(0),
            rows.row(3) + rows.row(1),
            rows.row(3) - rows.row(1),
            rows.row(3),
        ];
        planes.iter().all(|plane: &Vec4| {
            let inward = plane.truncate();
            let corner = Vec3::select(inward.cmpge(Vec3::ZERO), high, low);
            inward.dot(corner) + plane.w >= 0.0
        })
    }
}

fn with_row_2(matrix: Mat4, row: Vec4) -> Mat4 {
    let mut rows = matrix.transpose();
    rows.z_axis = row;
    rows.transpose()
}

/// A point of the flight: over the river, cutting its bends, and clear of the ground.
fn on_the_way(terrain: &Terrain, z: f32) -> Vec3 {
    let samples = [-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0];
    let x = samples.iter().map(|near| terrain.river(z + near)).sum::<f32>() / samples.len() as f32;
    let ground = |near: &f32| terrain.height(Vec2::new(x, z + near)).max(0.0);
    let y = samples.iter().map(ground).sum::<f32>() / samples.len() as f32;
    Vec3::new(x, y + ALTITUDE, z)
}
