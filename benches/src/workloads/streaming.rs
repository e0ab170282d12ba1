//! A streaming cache with a budget: what is used moves to the front, and new assets evict the least
//! recently used.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::stream::{Builder, Slot, Stream};

/// The number of assets that are loaded in one frame.
const LOADS: usize = 16;

pub(super) fn stream(live: usize, steps: usize, seed: u64) -> Stream {
    let mut random = Random::new(seed);
    let mut builder = Builder::new("");
    let mut stamp = 0_u64;
    // By the time of the last use.
    let mut cache: BTreeMap<u64, Slot> = BTreeMap::new();
    for _ in 0..live {
        stamp += 1;
        cache.insert(stamp, load(&mut builder, &mut random));
    }
    let budget = builder.bytes();
    builder.begin_steady();
    while builder.measured() < steps {
        for _ in 0..LOADS {
            // Uses of existing assets, recent ones more often than old ones.
            for _ in 0..2 {
                let age = random.below(stamp as usize).min(random.below(stamp as usize)) as u64;
                if let Some((&used, &slot)) = cache.range(..=stamp - age).next_back() {
                    cache.remove(&used);
                    stamp += 1;
                    cache.insert(stamp, slot);
                }
            }
            stamp += 1;
            cache.insert(stamp, load(&mut builder, &mut random));
        }
        while builder.bytes() > budget {
            let (_, oldest) = cache.pop_first().expect("a cache with something in it");
            builder.free(oldest);
        }
        builder.end_frame();
    }
    builder.finish()
}

/// A mesh or a texture of 4 KiB to 4 MiB.
fn load(builder: &mut Builder, random: &mut Random) -> Slot {
    let size = random.log_uniform(12, 22);
    if random.percent(50) {
        builder.allocate(size.next_multiple_of(16), 256)
    } else {
        builder.allocate(size.next_multiple_of(4 << 10), 4 << 10)
    }
}
