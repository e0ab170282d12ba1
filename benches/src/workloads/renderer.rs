//! A renderer: 70 % small buffers, 30 % mip chains of up to 85 MiB; transients that are freed three
//! frames after they were made; and occasionally a change of level.

use std::collections::VecDeque;

use crate::random::Random;
use crate::stream::{Builder, Slot, Stream};

/// The number of frames of a level.
const LEVEL: usize = 300;

pub(super) fn stream(live: usize, steps: usize, seed: u64) -> Stream {
    let mut random = Random::new(seed);
    let mut builder = Builder::new("");
    let transients = (live / 60).max(4);
    let lasting = live - 3 * transients;
    let mut alive: Vec<Slot> = (0..lasting).map(|_| resource(&mut builder, &mut random)).collect();
    builder.begin_steady();
    let mut dying: VecDeque<Vec<Slot>> = VecDeque::new();
    let mut frame = 0;
    while builder.measured() < steps {
        // What the GPU is done with is freed first.
        if dying.len() == 3 {
            dying.pop_front().into_iter().flatten().for_each(|slot| builder.free(slot));
        }
        frame += 1;
        if frame % LEVEL == 0 {
            // The old level is freed, except for what is shared; then the new one is loaded.
            for _ in 0..lasting / 2 {
                let at = random.below(alive.len());
                builder.free(alive.swap_remove(at));
            }
            alive.extend((0..lasting / 2).map(|_| resource(&mut builder, &mut random)));
        }
        // A few things stream in and out.
        for _ in 0..transients / 4 {
            let at = random.below(alive.len());
            builder.free(alive[at]);
            alive[at] = resource(&mut builder, &mut random);
        }
        dying.push_back((0..transients).map(|_| transient(&mut builder, &mut random)).collect());
        builder.end_frame();
    }
    builder.finish()
}

/// A lasting resource: a small buffer, or a texture with its mip chain.
fn resource(builder: &mut Builder, random: &mut Random) -> Slot {
    if random.percent(70) {
        return builder.allocate(random.log_uniform(8, 16).next_multiple_of(16), 256);
    }
    // Half a byte, one or four bytes for each texel; large textures are rarer.
    let half_bytes = random.pick(&[1, 2, 8]);
    let side = 64_u64 << random.below(7).min(random.below(7));
    builder.allocate(mip_chain(side, half_bytes).next_multiple_of(64 << 10), 64 << 10)
}

/// A resource of one frame: constants, staging, occasionally a render target.
fn transient(builder: &mut Builder, random: &mut Random) -> Slot {
    if random.percent(90) {
        return builder.allocate(random.log_uniform(8, 18).next_multiple_of(16), 256);
    }
    let pixels = random.pick(&[(1920, 1080), (960, 540), (2560, 1440), (1024, 1024)]);
    let bytes: u64 = pixels.0 * pixels.1 * random.pick(&[1, 4, 8]);
    builder.allocate(bytes.next_multiple_of(64 << 10), 64 << 10)
}

/// The bytes of a square texture and all its smaller levels.
fn mip_chain(side: u64, half_bytes: u64) -> u64 {
    let levels = std::iter::successors(Some(side), |side| (*side > 1).then_some(side / 2));
    levels.map(|side| (side * side * half_bytes).div_ceil(2).max(16)).sum()
}
