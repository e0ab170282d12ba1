//! A square of ground sampled once, so that its many readers need not ask the noise again.
use super::noise::lerp;
use super::terrain::Terrain;
use glam::{Vec2, Vec3};

/// Heights at the crossings of a square grid.
pub(crate) struct HeightGrid {
    corner: Vec2,
    step: f32,
    side: usize,
    heights: Vec<f32>,
}

impl HeightGrid {
    /// Samples `side` × `side` points, `step` metres apart, from `corner` on.
    pub(crate) fn sample(terrain: &Terrain, corner: Vec2, step: f32, side: usize) -> Self {
        let place =
            |index: usize| corner + Vec2::new((index % side) as f32, (index / side) as f32) * step;
        let heights = (0..side * side).map(|index| terrain.height(place(index))).collect();
        Self { corner, step, side, heights }
    }

    /// Height at a place, straight between the samples; beyond the edge, that of the edge.
    pub(crate) fn height(&self, place: Vec2) -> f32 {
        let last = (self.side - 1) as f32;
        let position = ((place - self.corner) / self.step).clamp(Vec2::ZERO, Vec2::splat(last));
        let cell = position.floor().min(Vec2::splat(last - 1.0));
        let inside = position - cell;
        let first = cell.y as usize * self.side + cell.x as usize;
        let row = |start: usize| lerp(self.heights[start], self.heights[start + 1], inside.x);
        lerp(row(first), row(first + self.side), inside.y)
    }

    /// Direction straight up from the ground.
    pub(crate) fn normal(&self, place: Vec2) -> Vec3 {
        let slope = |offset| self.height(place + offset) - self.height(place - offset);
        let (x, z) = (Vec2::new(self.step, 0.0), Vec2::new(0.0, self.step));
        Vec3::new(-slope(x), 2.0 * self.step, -slope(z)).normalize()
    }
}
