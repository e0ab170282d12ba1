//! One size, for which a stack or a pool would be the best choice.

use crate::random::Random;
use crate::stream::{Builder, Slot, Stream};

const SIZE: u64 = 64 << 10;
const ALIGNMENT: u64 = 256;

/// Last in, first out: the live set shrinks by up to a tenth, then grows again.
pub(super) fn lifo(live: usize, steps: usize, seed: u64) -> Stream {
    let mut random = Random::new(seed);
    let mut builder = Builder::new("");
    let mut stack: Vec<Slot> = (0..live).map(|_| builder.allocate(SIZE, ALIGNMENT)).collect();
    builder.begin_steady();
    while builder.measured() < steps {
        for _ in 0..1 + random.below((live / 10).max(1)) {
            builder.free(stack.pop().expect("more than a tenth"));
        }
        stack.resize_with(live, || builder.allocate(SIZE, ALIGNMENT));
        builder.end_frame();
    }
    builder.finish()
}

/// A random allocation is freed and made again.
pub(super) fn random(live: usize, steps: usize, seed: u64) -> Stream {
    let mut random = Random::new(seed);
    let mut builder = Builder::new("");
    let mut alive: Vec<Slot> = (0..live).map(|_| builder.allocate(SIZE, ALIGNMENT)).collect();
    builder.begin_steady();
    while builder.measured() < steps {
        for _ in 0..64 {
            let at = random.below(live);
            builder.free(alive[at]);
            alive[at] = builder.allocate(SIZE, ALIGNMENT);
        }
        builder.end_frame();
    }
    builder.finish()
}
