//! Random sizes and lifetimes: each power of two from 256 B to 64 KiB is equally likely.
//!
//! Plain sizes and alignments are multiples of 16 bytes, so that only the allocator is measured.
//! Aligned ones are as some drivers require them: sizes that are not multiples of anything, with
//! separate alignments.

use crate::random::Random;
use crate::stream::{Builder, Slot, Stream};

/// A free, then an allocation.
pub(super) fn pairs(live: usize, steps: usize, seed: u64) -> Stream {
    churn(live, steps, seed, 1, &[16])
}

/// The same with odd sizes and alignments of up to 4 KiB.
pub(super) fn aligned(live: usize, steps: usize, seed: u64) -> Stream {
    churn(live, steps, seed, 1, &[16, 64, 64, 256, 256, 4096])
}

/// A frame of frees, then as many allocations.
pub(super) fn frames(live: usize, steps: usize, seed: u64) -> Stream {
    churn(live, steps, seed, 64, &[16])
}

fn churn(live: usize, steps: usize, seed: u64, frame: usize, alignments: &[u64]) -> Stream {
    let mut random = Random::new(seed);
    let mut builder = Builder::new("");
    let allocate = |builder: &mut Builder, random: &mut Random| {
        builder.allocate(random.log_uniform(8, 17), random.pick(alignments))
    };
    let mut alive: Vec<Slot> = (0..live).map(|_| allocate(&mut builder, &mut random)).collect();
    // So many are freed and made again, so that the measured part starts among holes.
    for pair in 1..=live {
        let at = random.below(live);
        builder.free(alive[at]);
        alive[at] = allocate(&mut builder, &mut random);
        if pair % frame == 0 {
            builder.end_frame();
        }
    }
    builder.begin_steady();
    while builder.measured() < steps {
        for _ in 0..frame {
            let at = random.below(alive.len());
            builder.free(alive.swap_remove(at));
        }
        for _ in 0..frame {
            alive.push(allocate(&mut builder, &mut random));
        }
        builder.end_frame();
    }
    builder.finish()
}
