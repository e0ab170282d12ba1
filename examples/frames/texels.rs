//! Pictures made on the CPU: a texture with all its smaller copies (mip levels).
use super::noise::Noise;
use glam::{IVec2, Vec2, Vec4};

/// A square texture and its mip levels, four bytes a texel, the largest level first.
pub(crate) struct MipChain {
    /// Width and height of the largest level, a power of two.
    pub(crate) side: u32,
    /// All levels, one after the other.
    pub(crate) bytes: Vec<u8>,
}

impl MipChain {
    /// Makes the smaller levels, each texel the average of four, and encodes all of them.
    /// Colours are linear light (averages are right only there); alpha is a plain number.
    pub(crate) fn new(side: u32, texels: Vec<Vec4>) -> Self {
        assert!(side.is_power_of_two() && texels.len() == (side * side) as usize);
        let mut bytes = Vec::with_capacity(texels.len() * 16 / 3 + 16);
        let mut level = texels;
        let mut width = side as usize;
        loop {
            bytes.extend(level.iter().copied().flat_map(encode));
            if width == 1 {
                return Self { side, bytes };
            }
            let half = width / 2;
            let texel = |x: usize, y: usize| level[y * width + x];
            level = (0..half * half)
                .map(|index| (2 * (index % half), 2 * (index / half)))
                .map(|(x, y)| {
                    0.25 * (texel(x, y) + texel(x + 1, y) + texel(x, y + 1) + texel(x + 1, y + 1))
                })
                .collect();
            width = half;
        }
    }

    /// How many levels there are, down to a single texel.
    pub(crate) fn levels(&self) -> u32 {
        self.side.ilog2() + 1
    }

    /// For each level: where its bytes begin, and its side.
    pub(crate) fn layout(&self) -> impl Iterator<Item = (u64, u32)> {
        let mut offset = 0;
        (0..self.levels()).map(move |level| {
            let side = self.side >> level;
            let start = offset;
            offset += u64::from(side * side) * 4;
            (start, side)
        })
    }
}

/// Four bytes as `R8G8B8A8_SRGB` keeps them.
fn encode(texel: Vec4) -> [u8; 4] {
    let curve = |light: f32| {
        let light = light.clamp(0.0, 1.0);
        if light < 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
    };
    let byte = |part: f32| (part * 255.0 + 0.5) as u8;
    let alpha = texel.w.clamp(0.0, 1.0);
    [byte(curve(texel.x)), byte(curve(texel.y)), byte(curve(texel.z)), byte(alpha)]
}

/// Fine grain that repeats without a seam, for ground too near for its own texture.
pub(crate) fn grain(seed: u64) -> MipChain {
    const SIDE: i32 = 256;
    let noise = Noise::new(seed, 20);
    // Four copies of the noise, faded into each other, meet themselves at the edges.
    let seamless = |at: Vec2, wide: f32| {
        let part = at / SIDE as f32;
        let copy = |dx: f32, dy: f32| {
            noise.octaves((at + Vec2::new(dx, dy) * SIDE as f32) / wide + wide * 31.0, 4)
        };
        let top = copy(0.0, 0.0) * (1.0 - part.x) + copy(-1.0, 0.0) * part.x;
        let bottom = copy(0.0, -1.0) * (1.0 - part.x) + copy(-1.0, -1.0) * part.x;
        top * (1.0 - part.y) + bottom * part.y
    };
    let texel = |index: i32| {
        let at = IVec2::new(index % SIDE, index / SIDE).as_vec2();
        let blades = 0.5 + 0.8 * seamless(at, 9.0);
        let clumps = 0.5 + 0.8 * seamless(at, 48.0);
        let hue = 0.5 + 0.7 * seamless(at, 30.0);
        Vec4::new(blades, clumps, hue, 1.0)
    };
    MipChain::new(SIDE as u32, (0..SIDE * SIDE).map(texel).collect())
}
