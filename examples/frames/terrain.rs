//! The shape of the land: a river in a valley, hills beside it, mountains behind them.
//!
//! Everything is a pure function of the seed and a place, so any piece can be made at any time,
//! thrown away, and made again the same. Metres; x to the right, z forward, y up, the water at 0.
use super::noise::{Noise, lerp, smoothstep};
use glam::Vec2;

/// The whole endless land.
#[derive(Clone, Copy)]
pub(crate) struct Terrain {
    bends: Noise,
    hills: Noise,
    mountains: Noise,
}

impl Terrain {
    /// The land of one seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            bends: Noise::new(seed, 1),
            hills: Noise::new(seed, 2),
            mountains: Noise::new(seed, 3),
        }
    }

    /// Height of the ground over the water, negative below it.
    pub(crate) fn height(&self, place: Vec2) -> f32 {
        let shore = self.metres_to_shore(place);
        let bed = -9.0 * smoothstep(0.0, -26.0, shore);
        let bank = 1.6 * smoothstep(0.0, 14.0, shore) + 5.0 * smoothstep(8.0, 70.0, shore);
        let hill = self.hills.octaves(place / 210.0, 5) * 0.5 + 0.5;
        let hills = 62.0 * hill * hill * smoothstep(10.0, 230.0, shore);
        let bumps = 2.4 * self.hills.octaves(place / 34.0, 3) * smoothstep(4.0, 40.0, shore);
        let crest = self.mountains.ridges(place / 620.0 + 7.0, 6);
        let rise = smoothstep(120.0, 620.0, shore);
        let mountains = (30.0 + 330.0 * crest) * rise * lerp(0.55, 1.0, hill);
        bed + bank + hills + bumps + mountains
    }

    /// Where the middle of the river is, at `z`.
    pub(crate) fn river(&self, z: f32) -> f32 {
        150.0 * self.bends.along(z / 640.0) + 38.0 * self.bends.along(z / 210.0 + 50.0)
    }

    /// Distance to the water's edge, negative in the river.
    fn metres_to_shore(&self, place: Vec2) -> f32 {
        let wide = self.bends.along(place.y / 330.0 + 90.0).max(0.0);
        let width = 17.0 + 74.0 * wide * wide;
        let wobble = 7.0 * self.bends.octaves(place / 45.0, 2);
        (place.x - self.river(place.y)).abs() - width + wobble
    }
}
