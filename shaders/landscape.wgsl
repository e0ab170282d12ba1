// The landscape of `examples/frames`: sky, ground, trees and water in one module.
//
// Colours are linear light; the picture's format encodes them. Depth is 1 near and 0 far away.

struct View {
    clip_from_world: mat4x4<f32>,
    world_from_clip: mat4x4<f32>,
    eye: vec3<f32>,
    seconds: f32,
    sun: vec3<f32>,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var grain: texture_2d<f32>;
@group(0) @binding(2) var blended: sampler;
// The ground of one chunk, or for the water what it mirrors.
@group(1) @binding(0) var picture: texture_2d<f32>;

const SUNLIGHT = vec3<f32>(3.3, 2.35, 1.45);
const SKYLIGHT = vec3<f32>(0.42, 0.55, 0.85);
const GROUNDLIGHT = vec3<f32>(0.26, 0.2, 0.12);
const HAZE_METRES = 850.0;

// ---- noise

fn cell(place: vec2<f32>) -> f32 {
    var bits = vec2<u32>(bitcast<u32>(i32(place.x)), bitcast<u32>(i32(place.y)));
    bits = bits * 1664525u + 1013904223u;
    bits.x += bits.y * 1664525u;
    bits.y += bits.x * 1664525u;
    bits ^= bits >> vec2<u32>(16u);
    bits.x += bits.y * 1664525u;
    return f32((bits.x ^ (bits.x >> 16u)) & 0xffffu) / 65535.0;
}

fn noise(place: vec2<f32>) -> f32 {
    let first = floor(place);
    let inside = place - first;
    let blend = inside * inside * (3.0 - 2.0 * inside);
    let low = mix(cell(first), cell(first + vec2(1.0, 0.0)), blend.x);
    let high = mix(cell(first + vec2(0.0, 1.0)), cell(first + vec2(1.0, 1.0)), blend.x);
    return mix(low, high, blend.y);
}

// How noise rises along x and y.
fn noise_slope(place: vec2<f32>) -> vec2<f32> {
    let first = floor(place);
    let inside = place - first;
    let blend = inside * inside * (3.0 - 2.0 * inside);
    let rise = 6.0 * inside * (1.0 - inside);
    let a = cell(first);
    let b = cell(first + vec2(1.0, 0.0));
    let c = cell(first + vec2(0.0, 1.0));
    let d = cell(first + vec2(1.0, 1.0));
    return rise * vec2(mix(b - a, d - c, blend.y), mix(c - a, d - b, blend.x));
}

fn octaves(place: vec2<f32>, count: i32) -> f32 {
    let turn = mat2x2<f32>(1.6, 1.2, -1.2, 1.6);
    var point = place;
    var sum = 0.0;
    var height = 0.5;
    for (var octave = 0; octave < count; octave++) {
        sum += height * noise(point);
        point = turn * point;
        height *= 0.5;
    }
    return sum;
}

// About e to the −x, for x from 0 on.
fn fading(x: f32) -> f32 {
    let quarter = 1.0 / (1.0 + 0.25 * x);
    return quarter * quarter * quarter * quarter;
}

// ---- light and air

// The colour of the clear sky in a direction.
fn air(direction: vec3<f32>) -> vec3<f32> {
    let up = max(direction.y, 0.0);
    let toward_sun = max(dot(direction, view.sun), 0.0);
    let zenith = vec3(0.09, 0.21, 0.52);
    let glow_4 = toward_sun * toward_sun * toward_sun * toward_sun;
    let glow_8 = glow_4 * glow_4;
    let glow_32 = glow_8 * glow_8 * glow_8 * glow_8;
    let horizon = mix(vec3(0.5, 0.56, 0.68), vec3(1.05, 0.68, 0.38), glow_4);
    let colour = mix(zenith, horizon, fading(3.4 * up));
    return colour
        + vec3(0.5, 0.28, 0.12) * glow_8
        + vec3(0.9, 0.68, 0.4) * glow_32 * glow_32;
}

// The same with the sun, clouds, and ridges too far away to be land of their own.
fn sky(direction: vec3<f32>) -> vec3<f32> {
    var colour = air(direction);
    let toward_sun = dot(direction, view.sun);
    colour += vec3(14.0, 10.0, 6.0) * smoothstep(0.99955, 0.9998, toward_sun);
    if (direction.y > 0.0) {
        let plane = direction.xz / (direction.y + 0.12);
        let drift = vec2(0.012, 0.004) * view.seconds;
        let thick = octaves(plane * vec2(0.9, 1.3) + drift, 5);
        let lit = octaves(plane * vec2(0.9, 1.3) + drift + view.sun.xz * 0.16, 3);
        let cloud = smoothstep(0.47, 0.75, thick) * smoothstep(0.01, 0.16, direction.y);
        let bright = clamp(0.5 + 2.2 * (thick - lit), 0.0, 1.0);
        let white = mix(vec3(0.5, 0.5, 0.62), vec3(1.35, 1.08, 0.88), bright);
        let halo = max(toward_sun, 0.0) * max(toward_sun, 0.0);
        let glow = vec3(1.3, 0.8, 0.4) * halo * halo * halo * (1.0 - 0.5 * cloud);
        colour = mix(colour, white + glow, 0.8 * cloud);
    }
    if (direction.y > 0.16) {
        return colour;
    }
    let around = atan2(direction.x, direction.z) * 6.0;
    for (var layer = 3; layer > 0; layer--) {
        let far = f32(layer);
        let peaks = octaves(vec2(around * (0.4 + 0.35 * far) + 19.0 * far, 3.0 * far), 4);
        let top = 0.012 + 0.028 * far * peaks * peaks + 0.02 * peaks;
        let haze = air(normalize(vec3(direction.x, 0.02, direction.z)));
        let ridge = mix(vec3(0.13, 0.17, 0.27), haze, 0.45 + 0.16 * far);
        colour = mix(colour, ridge, smoothstep(0.0, -0.0015, direction.y - top));
    }
    return colour;
}

// What remains of a colour seen through the air, and what the air adds.
fn through_air(colour: vec3<f32>, place: vec3<f32>) -> vec3<f32> {
    let way = place - view.eye;
    let metres = length(way);
    let direction = way / metres;
    let low = fading(max(place.y, 0.0) / 190.0);
    let far = metres / HAZE_METRES;
    let amount = 1.0 - fading(far * sqrt(far) * mix(0.55, 1.25, low));
    let haze = air(normalize(vec3(direction.x, max(direction.y, 0.02), direction.z)));
    return mix(colour, haze, amount);
}

fn developed(colour: vec3<f32>) -> vec4<f32> {
    let exposed = 1.0 - exp(-1.25 * colour);
    // A little more contrast, as film has.
    return vec4(mix(exposed, exposed * exposed * (3.0 - 2.0 * exposed), 0.28), 1.0);
}

// Sunlight and skylight on matter that scatters evenly.
fn lit(normal: vec3<f32>, sunlit: f32) -> vec3<f32> {
    let up = 0.5 + 0.5 * normal.y;
    let sun = SUNLIGHT * max(dot(normal, view.sun), 0.0) * sunlit;
    return sun + mix(GROUNDLIGHT, SKYLIGHT, up) * (0.45 + 0.25 * sunlit);
}

// The face that the pixel lies on, turned to the eye.
fn facet(place: vec3<f32>) -> vec3<f32> {
    let normal = normalize(cross(dpdx(place), dpdy(place)));
    return normal * sign(dot(normal, view.eye - place));
}

// ---- sky

struct SkyPoint {
    @builtin(position) clip: vec4<f32>,
    @location(0) near: vec3<f32>,
}

@vertex
fn sky_vertex(@builtin(vertex_index) index: u32) -> SkyPoint {
    let corner = vec2(f32(index & 1u), f32(index >> 1u)) * 4.0 - 1.0;
    let near = view.world_from_clip * vec4(corner, 1.0, 1.0);
    return SkyPoint(vec4(corner, 0.0, 1.0), near.xyz / near.w);
}

@fragment
fn sky_fragment(point: SkyPoint) -> @location(0) vec4<f32> {
    return developed(sky(normalize(point.near - view.eye)));
}

// ---- ground

struct GroundVertex {
    @location(0) place: vec3<f32>,
    @location(1) normal: vec4<f32>,
    @location(2) texel: vec2<f32>,
}

struct GroundPoint {
    @builtin(position) clip: vec4<f32>,
    @location(0) place: vec3<f32>,
    @location(1) normal: vec3<f32>,
    @location(2) texel: vec2<f32>,
}

@vertex
fn ground_vertex(vertex: GroundVertex) -> GroundPoint {
    // The outermost texels lie on the border of the chunk.
    let side = vec2<f32>(textureDimensions(picture));
    let texel = (vertex.texel * (side - 1.0) + 0.5) / side;
    let clip = view.clip_from_world * vec4(vertex.place, 1.0);
    return GroundPoint(clip, vertex.place, vertex.normal.xyz, texel);
}

@fragment
fn ground_fragment(point: GroundPoint) -> @location(0) vec4<f32> {
    let normal = normalize(normalize(point.normal) + 0.6 * facet(point.place));
    let ground = textureSample(picture, blended, point.texel);
    let fine = textureSample(grain, blended, point.place.xz / 9.0).xyz;
    let speckle = (0.55 + fine.x * 0.9) * (0.7 + fine.y * 0.6);
    let hue = mix(vec3(1.12, 1.0, 0.86), vec3(0.9, 1.02, 1.0), fine.z);
    let wet = mix(0.45, 1.0, smoothstep(-0.1, 0.5, point.place.y));
    let colour = ground.rgb * speckle * hue * wet * lit(normal, ground.a);
    return developed(through_air(colour, point.place));
}

// ---- trees

struct TreeVertex {
    @location(0) corner: vec3<f32>,
    @location(1) leaf: f32,
    @location(2) foot: vec3<f32>,
    @location(3) height: f32,
    @location(4) tint: vec4<f32>,
    @location(5) turn: vec2<f32>,
}

struct TreePoint {
    @builtin(position) clip: vec4<f32>,
    @location(0) place: vec3<f32>,
    @location(1) leaf: f32,
    @location(2) @interpolate(flat) tint: vec4<f32>,
}

@vertex
fn tree_vertex(vertex: TreeVertex) -> TreePoint {
    let along = vertex.turn;
    let across = vec2(-along.y, along.x);
    let flat_place = along * vertex.corner.x + across * vertex.corner.z;
    let offset = vec3(flat_place.x, vertex.corner.y, flat_place.y) * vertex.height;
    let place = vertex.foot + offset;
    return TreePoint(view.clip_from_world * vec4(place, 1.0), place, vertex.leaf, vertex.tint);
}

@fragment
fn tree_fragment(point: TreePoint) -> @location(0) vec4<f32> {
    let normal = facet(point.place);
    let bark = vec3(0.11, 0.075, 0.05);
    let leaves = point.tint.rgb * point.tint.rgb * mix(0.35, 1.25, 2.0 * point.leaf - 1.0);
    let matter = select(bark, leaves, point.leaf > 0.25);
    // Leaves let some light through: a tree before the sun glows at its rim.
    let way = normalize(point.place - view.eye);
    let toward_sun = max(dot(way, view.sun), 0.0);
    let glow = toward_sun * toward_sun * toward_sun * SUNLIGHT * 0.35 * point.tint.a;
    let colour = matter * (lit(normal, point.tint.a) + glow);
    return developed(through_air(colour, point.place));
}

// ---- water

struct WaterPoint {
    @builtin(position) clip: vec4<f32>,
    @location(0) place: vec3<f32>,
    @location(1) depth: f32,
}

// The mesh of the ground again, pressed flat: where the ground is low there is water over it.
@vertex
fn water_vertex(vertex: GroundVertex) -> WaterPoint {
    let place = vec3(vertex.place.x, 0.0, vertex.place.z);
    return WaterPoint(view.clip_from_world * vec4(place, 1.0), place, -vertex.place.y);
}

// How the waves rise along x and z.
fn swell(place: vec2<f32>) -> vec2<f32> {
    let drift = vec2(0.19, -0.12) * view.seconds;
    let broad = vec2(0.16, 0.34);
    let small = vec2(0.75, 1.5);
    return 0.6 * broad * noise_slope(place * broad + drift)
        + 0.16 * small * noise_slope(place * small - 3.0 * drift.yx);
}

@fragment
fn water_fragment(point: WaterPoint) -> @location(0) vec4<f32> {
    let way = point.place - view.eye;
    let metres = length(way);
    let toward_eye = -way / metres;
    let slope = swell(point.place.xz) * (0.22 / (1.0 + metres / 160.0));
    let normal = normalize(vec3(-slope.x, 1.0, -slope.y));

    // The mirrored view looks up through the same window, so only its rows are turned over.
    let size = vec2<f32>(textureDimensions(picture));
    let window = point.clip.xy / (size * 2.0);
    let mirrored = vec2(window.x, 1.0 - window.y) + normal.xz * vec2(0.16, 0.3);
    let reflection = textureSampleLevel(picture, blended, mirrored, 0.0).rgb;

    let grazing = 1.0 - max(dot(normal, toward_eye), 0.0);
    let fresnel = 0.03 + 0.9 * grazing * grazing * grazing * grazing;
    let depth = max(point.depth, 0.0);
    let clear = exp(-depth * vec3(0.75, 0.42, 0.5));
    let scattered = vec3(0.03, 0.105, 0.1) * lit(vec3(0.0, 1.0, 0.0), 0.8) * (1.0 - clear);
    let glint = pow(max(dot(reflect(-toward_eye, normal), view.sun), 0.0), 320.0);
    var foam = 0.0;
    if (depth < 0.7) {
        let lace = smoothstep(0.55, 0.75, noise(point.place.xz * 1.3 + view.seconds * 0.3));
        foam = 0.35 * lace * (1.0 - smoothstep(0.05, 0.7, depth));
    }

    let body = developed(through_air(scattered + 0.5 * foam, point.place)).rgb;
    let colour = mix(body, reflection, fresnel) + SUNLIGHT * 0.5 * glint;
    let opaque = mix(1.0 - clear.y * (1.0 - foam), 1.0, fresnel);
    return vec4(colour * opaque, opaque);
}
