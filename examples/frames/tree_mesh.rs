//! The shapes of the trees: a handful of triangles each, one unit high.
use super::trees::Species;
use bytemuck::{Pod, Zeroable};
use glam::Vec3;
use std::f32::consts::TAU;

/// A corner of a tree.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct TreeVertex {
    place: [f32; 3],
    /// 0 at bark, from 0.5 deep in the crown to 1 at its tips.
    leaf: f32,
}

/// Three vertices a triangle, facing outwards.
pub(crate) fn mesh(species: Species, near: bool) -> Vec<TreeVertex> {
    match (species, near) {
        (Species::Pine, true) => pine(6),
        (Species::Pine, false) => cone(4, 0.1, 1.0, 0.24, 0.75),
        (Species::Broadleaf, true) => broadleaf(6, 3),
        (Species::Broadleaf, false) => crown(4, 1),
    }
}

/// A trunk and four skirts of branches, each smaller than the one below.
fn pine(sides: u32) -> Vec<TreeVertex> {
    let mut mesh = cone(4, -0.05, 0.5, 0.035, 0.0);
    for tier in 0..4 {
        let part = tier as f32 / 4.0;
        let low = 0.13 + 0.62 * part;
        let radius = 0.25 * (1.0 - 0.82 * part);
        mesh.extend(cone(sides, low, low + 0.36 - 0.12 * part, radius, 0.62 + 0.38 * part));
    }
    mesh
}

/// A trunk and a round crown.
fn broadleaf(sides: u32, rings: u32) -> Vec<TreeVertex> {
    let mut mesh = cone(4, -0.05, 0.6, 0.05, 0.0);
    mesh.extend(crown(sides, rings));
    mesh
}

/// A cone without a floor.
fn cone(sides: u32, low: f32, high: f32, radius: f32, leaf: f32) -> Vec<TreeVertex> {
    let rim = |side: u32| Vec3::from(around(side, sides, 0.0)) * radius + Vec3::Y * low;
    let dark = if leaf > 0.0 { 0.5 } else { 0.0 };
    (0..sides)
        .flat_map(|side| {
            let tip = TreeVertex { place: [0.0, high, 0.0], leaf };
            let right = TreeVertex { place: rim(side).to_array(), leaf: dark };
            let left = TreeVertex { place: rim(side + 1).to_array(), leaf: dark };
            [tip, left, right]
        })
        .collect()
}

/// A lumpy ball: rings of corners between two poles.
fn crown(sides: u32, rings: u32) -> Vec<TreeVertex> {
    let corner = |ring: u32, side: u32| {
        let angle = std::f32::consts::PI * ring as f32 / (rings + 1) as f32;
        let twist = 0.5 * (ring % 2) as f32;
        let lump = 1.0 + 0.12 * ((ring * 5 + (side % sides) * 3) as f32 * 2.4).sin();
        let flat = Vec3::from(around(side, sides, twist)) * angle.sin() * 0.36 * lump;
        let place = flat + Vec3::Y * (0.6 - 0.4 * angle.cos() * lump);
        TreeVertex { place: place.to_array(), leaf: 0.5 + 0.5 * place.y.clamp(0.0, 1.0) }
    };
    (0..=rings)
        .flat_map(|ring| (0..sides).map(move |side| (ring, side)))
        .flat_map(|(ring, side)| {
            let (a, b) = (corner(ring, side), corner(ring, side + 1));
            let (c, d) = (corner(ring + 1, side), corner(ring + 1, side + 1));
            // At the poles two corners are one, and so one of the triangles is none.
            let upper = (ring > 0).then_some([a, c, b]);
            let lower = (ring < rings).then_some([b, c, d]);
            upper.into_iter().chain(lower).flatten()
        })
        .collect()
}

/// A direction around the trunk.
fn around(side: u32, sides: u32, twist: f32) -> [f32; 3] {
    let angle = TAU * ((side % sides) as f32 + twist) / sides as f32;
    [angle.cos(), 0.0, angle.sin()]
}
