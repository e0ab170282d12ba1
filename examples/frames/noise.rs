//! Seeded noise: the only source of chance in the world, equal on every run with one seed.
use glam::Vec2;

/// A field of noise over the plane.
#[derive(Clone, Copy)]
pub(crate) struct Noise {
    seed: u32,
}

impl Noise {
    /// The `stream`-th field of the world `seed`: fields with other streams are unrelated.
    pub(crate) fn new(seed: u64, stream: u32) -> Self {
        let folded = (seed ^ (seed >> 32)) as u32;
        Self { seed: mix(folded ^ mix(stream)) }
    }

    /// A number in `0.0..1.0` for one cell of the unit lattice.
    pub(crate) fn cell(&self, x: i32, z: i32) -> f32 {
        (self.hash(x, z) >> 8) as f32 / (1 << 24) as f32
    }

    /// Smooth noise of about −1 to 1, with features one unit wide.
    pub(crate) fn at(&self, point: Vec2) -> f32 {
        let floor = point.floor();
        let (x, z) = (floor.x as i32, floor.y as i32);
        let inside = point - floor;
        let corner = |dx: i32, dz: i32| {
            let gradient = DIRECTIONS[(self.hash(x + dx, z + dz) >> 28) as usize];
            gradient.dot(inside - Vec2::new(dx as f32, dz as f32))
        };
        let blend = inside * inside * inside * (inside * (inside * 6.0 - 15.0) + 10.0);
        let near = lerp(corner(0, 0), corner(1, 0), blend.x);
        let far = lerp(corner(0, 1), corner(1, 1), blend.x);
        1.5 * lerp(near, far, blend.y)
    }

    /// Smooth noise along a line.
    pub(crate) fn along(&self, t: f32) -> f32 {
        self.at(Vec2::new(t, 0.37))
    }

    /// Octaves of noise, each half as wide and half as high: rolling land, clouds.
    pub(crate) fn octaves(&self, point: Vec2, count: u32) -> f32 {
        let (mut sum, mut height, mut point) = (0.0, 0.5, point);
        for _ in 0..count {
            sum += height * self.at(point);
            height *= 0.5;
            point = turned(point) * 2.0;
        }
        sum
    }

    /// Octaves folded at zero, in `0.0..=1.0`: crests with valleys between, mountains.
    pub(crate) fn ridges(&self, point: Vec2, count: u32) -> f32 {
        let (mut sum, mut height, mut point, mut before) = (0.0, 0.5, point, 1.0);
        for _ in 0..count {
            let crest = 1.0 - self.at(point).abs().min(1.0);
            let crest = crest * crest;
            sum += height * crest * before;
            before = crest;
            height *= 0.5;
            point = turned(point) * 2.1;
        }
        sum
    }

    fn hash(&self, x: i32, z: i32) -> u32 {
        mix(self.seed ^ mix(x as u32 ^ (z as u32).rotate_left(16)))
    }
}

/// Straight line between two values.
pub(crate) fn lerp(from: f32, to: f32, t: f32) -> f32 {
    from + (to - from) * t
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn smoothstep(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Turned by a little, so that the lattices of the octaves never line up.
fn turned(point: Vec2) -> Vec2 {
    Vec2::new(point.x * 0.8 - point.y * 0.6, point.x * 0.6 + point.y * 0.8)
}

/// Spreads every bit of the input over the whole output.
fn mix(mut bits: u32) -> u32 {
    bits = bits.wrapping_add(0x9E37_79B9);
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x21F0_AAAD);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x735A_2D97);
    bits ^ (bits >> 15)
}

/// Sixteen directions around the circle.
const DIRECTIONS: [Vec2; 16] = {
    const A: f32 = 0.923_879_5;
    const B: f32 = 0.382_683_43;
    const C: f32 = std::f32::consts::FRAC_1_SQRT_2;
    [
        Vec2::new(1.0, 0.0),
        Vec2::new(A, B),
        Vec2::new(C, C),
        Vec2::new(B, A),
        Vec2::new(0.0, 1.0),
        Vec2::new(-B, A),
        Vec2::new(-C, C),
        Vec2::new(-A, B),
        Vec2::new(-1.0, 0.0),
        Vec2::new(-A, -B),
        Vec2::new(-C, -C),
        Vec2::new(-B, -A),
        Vec2::new(0.0, -1.0),
        Vec2::new(B, -A),
        Vec2::new(C, -C),
        Vec2::new(A, -B),
    ]
};
