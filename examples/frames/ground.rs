//! What the ground looks like: grass, earth under trees, sand, rock and snow, in sun or shadow.
use super::chunk::CHUNK;
use super::height_grid::HeightGrid;
use super::noise::{Noise, smoothstep};
use super::sunlight::{Shade, tree_shadow, tree_shadow_reach};
use super::texels::MipChain;
use super::trees::{Forest, Tree};
use glam::{Vec2, Vec3, Vec3Swizzles};

const GRASS: Vec3 = Vec3::new(0.115, 0.19, 0.035);
const MEADOW: Vec3 = Vec3::new(0.27, 0.26, 0.06);
const EARTH: Vec3 = Vec3::new(0.085, 0.085, 0.03);
const SAND: Vec3 = Vec3::new(0.46, 0.37, 0.23);
const MUD: Vec3 = Vec3::new(0.11, 0.11, 0.06);
const ROCK: Vec3 = Vec3::new(0.23, 0.2, 0.185);
const DARK_ROCK: Vec3 = Vec3::new(0.115, 0.1, 0.1);
const SNOW: Vec3 = Vec3::new(0.86, 0.89, 0.95);

/// Paints ground.
#[derive(Clone, Copy)]
pub(crate) struct Ground {
    patches: Noise,
}

impl Ground {
    /// The colours of one seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { patches: Noise::new(seed, 4) }
    }

    /// The texture of one chunk: colour, and in alpha how much of the sun reaches the ground.
    pub(crate) fn paint(
        &self,
        forest: &Forest,
        land: &HeightGrid,
        shade: &Shade,
        trees: &[Tree],
        corner: Vec2,
        side: u32,
    ) -> MipChain {
        // Texels lie on the border of the chunk, so that neighbours meet in the same colours.
        let step = CHUNK / (side - 1) as f32;
        let place =
            |index: u32| corner + Vec2::new((index % side) as f32, (index / side) as f32) * step;
        let light = light_map(land, shade, corner);
        let mut texels: Vec<_> = (0..side * side)
            .map(|index| {
                let place = place(index);
                let light = light.at(place);
                self.colour(forest, land, place).extend(light)
            })
            .collect();
        for tree in trees {
            let reach = tree_shadow_reach(tree.height);
            let middle = (tree.place.xz() - corner) / step;
            let from = (middle - reach / step).max(Vec2::ZERO).as_uvec2();
            let to = (middle + reach / step).min(Vec2::splat((side - 1) as f32));
            let to = to.max(Vec2::ZERO).as_uvec2();
            for y in from.y..=to.y {
                for x in from.x..=to.x {
                    let index = y * side + x;
                    texels[index as usize].w *= 1.0 - 0.85 * tree_shadow(tree, place(index));
                }
            }
        }
        MipChain::new(side, texels)
    }

    fn colour(&self, forest: &Forest, land: &HeightGrid, place: Vec2) -> Vec3 {
        let height = land.height(place);
        let steep = 1.0 - land.normal(place).y;
        let broad = self.patches.octaves(place / 90.0, 3);
        let fine = self.patches.octaves(place / 7.0 + 40.0, 3);
        let mut colour = GRASS.lerp(MEADOW, smoothstep(-0.35, 0.45, broad + 0.4 * fine));
        colour = colour.lerp(EARTH, 0.8 * forest.density(place, height, steep));
        let stone = ROCK.lerp(DARK_ROCK, smoothstep(-0.3, 0.3, fine + 0.5 * broad));
        let bare = 0.22 * smoothstep(60.0, 140.0, height) + 0.2 * fine;
        colour = colour.lerp(stone, smoothstep(0.24, 0.4, steep + bare));
        let cold = height + 26.0 * broad + 14.0 * fine - 60.0 * smoothstep(0.25, 0.6, steep);
        colour = colour.lerp(SNOW, smoothstep(118.0, 138.0, cold));
        let beach = height + 0.9 * fine;
        colour = colour.lerp(SAND, 1.0 - smoothstep(0.7, 1.6, beach));
        colour = colour.lerp(MUD, 1.0 - smoothstep(-2.5, -0.1, height));
        colour * (1.0 + 0.3 * fine)
    }
}

/// Sunlight on a coarse grid: shadows of mountains are soft and large.
struct LightMap {
    corner: Vec2,
    values: Vec<f32>,
}

/// Points along one side of a light map.
const LIGHTS: usize = 25;

fn light_map(land: &HeightGrid, shade: &Shade, corner: Vec2) -> LightMap {
    let step = CHUNK / (LIGHTS - 1) as f32;
    let values = (0..LIGHTS * LIGHTS)
        .map(|index| {
            let place = corner + Vec2::new((index % LIGHTS) as f32, (index / LIGHTS) as f32) * step;
            shade.light(place.extend(land.height(place)).xzy())
        })
        .collect();
    LightMap { corner, values }
}

impl LightMap {
    fn at(&self, place: Vec2) -> f32 {
        let position = (place - self.corner) / CHUNK * (LIGHTS - 1) as f32;
        let cell = position.floor().clamp(Vec2::ZERO, Vec2::splat((LIGHTS - 2) as f32));
        let inside = position - cell;
        let first = cell.y as usize * LIGHTS + cell.x as usize;
        let row = |start: usize| {
            self.values[start] + (self.values[start + 1] - self.values[start]) * inside.x
        };
        row(first) + (row(first + LIGHTS) - row(first)) * inside.y
    }
}
