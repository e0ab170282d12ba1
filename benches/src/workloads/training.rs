//! Training a transformer. Weights, gradients and moments stay. Each step keeps activations in the
//! forward pass and frees them in reverse order in the backward pass, for sequences of varying
//! length.

use crate::random::Random;
use crate::stream::{Builder, Slot, Stream};

/// The alignment of tensors in CUDA and most drivers.
const ALIGNMENT: u64 = 512;

/// Lasting tensors per layer: 12 weights and biases, each with two moments.
const LASTING: usize = 36;
/// The number of activations that a layer keeps for the backward pass.
const KEPT: usize = 11;

pub(super) fn stream(live: usize, steps: usize, seed: u64) -> Stream {
    let mut random = Random::new(seed);
    let mut builder = Builder::new("");
    let layers = (live / (LASTING + KEPT + 6)).max(1);
    let hidden = random.pick(&[512, 768, 1024]);
    for _ in 0..layers {
        for _ in 0..3 {
            weights(&mut builder, hidden);
        }
    }
    builder.begin_steady();
    while builder.measured() < steps {
        train(&mut builder, &mut random, layers, hidden);
        builder.end_frame();
    }
    builder.finish()
}

fn tensor(builder: &mut Builder, elements: u64) -> Slot {
    builder.allocate((2 * elements).next_multiple_of(16), ALIGNMENT)
}

/// Four projections, two of the feed-forward part, their biases, two norms.
fn weights(builder: &mut Builder, hidden: u64) -> Vec<Slot> {
    let square = [hidden * hidden; 4];
    let wide = [4 * hidden * hidden; 2];
    let small = [hidden, 4 * hidden, hidden, hidden, hidden, hidden];
    let sizes = square.into_iter().chain(wide).chain(small);
    sizes.map(|elements| tensor(builder, elements)).collect()
}

fn train(builder: &mut Builder, random: &mut Random, layers: usize, hidden: u64) {
    let batch = random.pick(&[4, 8]);
    let tokens = batch * (64 + random.below(448) as u64);
    let mut kept: Vec<Vec<Slot>> = Vec::new();
    for _ in 0..layers {
        let mut layer = Vec::with_capacity(KEPT);
        // norm, q, k, v, scores, context, projection, norm: with temporaries that are freed
        // immediately.
        for wide in [1, 1, 1, 1] {
            layer.push(tensor(builder, wide * tokens * hidden));
        }
        let heads = hidden / 64;
        let scores = tensor(builder, heads * tokens * tokens / batch);
        layer.push(tensor(builder, heads * tokens * tokens / batch));
        builder.free(scores);
        for wide in [1, 1, 1, 4] {
            let work = tensor(builder, wide * tokens * hidden);
            layer.push(tensor(builder, wide * tokens * hidden));
            builder.free(work);
        }
        layer.push(tensor(builder, tokens));
        layer.push(tensor(builder, tokens * hidden));
        kept.push(layer);
    }
    let mut gradients = Vec::new();
    while let Some(layer) = kept.pop() {
        let mut work = tensor(builder, tokens * hidden);
        for slot in layer.into_iter().rev() {
            let next = tensor(builder, tokens * hidden);
            builder.free(work);
            builder.free(slot);
            work = next;
        }
        gradients.extend(weights(builder, hidden));
        builder.free(work);
        // Gradients are applied and dropped four layers at a time.
        if gradients.len() >= 48 {
            gradients.drain(..).for_each(|slot| builder.free(slot));
        }
    }
    gradients.drain(..).for_each(|slot| builder.free(slot));
}
