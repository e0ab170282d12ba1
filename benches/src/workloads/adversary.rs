//! Based on Robson's proof of the worst-case fragmentation: sizes double, and before each doubling
//! every second allocation is freed, so that no hole is as large as the next size. The adversary of
//! the proof sees the addresses; this one does not, and chooses by age.

use crate::random::Random;
use crate::stream::{Builder, Slot, Stream};

/// How often sizes double.
const PHASES: u32 = 10;

pub(super) fn stream(live: usize, steps: usize, seed: u64) -> Stream {
    let mut random = Random::new(seed);
    let mut builder = Builder::new("");
    let budget = live as u64 * 256;
    builder.begin_steady();
    while builder.measured() < steps {
        let mut alive: Vec<Slot> = Vec::new();
        for phase in 0..PHASES {
            let size = 256_u64 << phase;
            while builder.bytes() + size <= budget {
                alive.push(builder.allocate(size, 16));
            }
            // Either the even ones or the odd ones stay.
            let parity = random.below(2);
            let mut index = 0;
            alive.retain(|&slot| {
                index += 1;
                let stays = index % 2 == parity;
                if !stays {
                    builder.free(slot);
                }
                stays
            });
            builder.end_frame();
        }
        alive.into_iter().for_each(|slot| builder.free(slot));
    }
    builder.finish()
}
