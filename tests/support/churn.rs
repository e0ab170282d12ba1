//! A block kept nearly full by random allocations and frees.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use fencepost::tlsf::{Config, Key, Tlsf};

use super::random::Random;

/// The size of the block.
pub const BLOCK: u64 = 256 << 20;

/// The largest request in bytes.
const LARGEST: u64 = 256 << 10;

/// The distribution of requests.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub name: &'static str,
    pub granule: u64,
    /// Sizes are multiples of this.
    pub multiple: u64,
    /// log2 of the alignments, which are equally likely.
    pub alignments: &'static [u32],
}

pub const MIXES: [Mix; 5] = [
    Mix { name: "rounded", granule: 256, multiple: 256, alignments: &[8] },
    // What lavapipe and SwiftShader require: sizes are not rounded.
    Mix { name: "lavapipe", granule: 64, multiple: 1, alignments: &[6] },
    Mix { name: "swiftshader", granule: 16, multiple: 1, alignments: &[4, 8] },
    Mix { name: "images", granule: 64, multiple: 1, alignments: &[6, 8, 12, 16] },
    Mix {
        name: "all alignments",
        granule: 16,
        multiple: 1,
        alignments: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21],
    },
];

/// Random operations on a block of [`BLOCK`] bytes that is kept at `fill` per cent: a request while
/// less is used, and a random free while more is. A refused request is repeated without alignment,
/// and at most as large as the largest class, so that the block fills up whatever the alignments
/// are. Returns the mean percentage that was used in the second half.
pub fn churn(
    seed: u64,
    fill: u64,
    mix: Mix,
    steps: u64,
    mut allocate: impl FnMut(&mut Tlsf, u64, u64) -> Option<Key>,
) -> f64 {
    let Mix { granule, multiple, alignments, .. } = mix;
    let mut tlsf = Tlsf::new(&Config::new(BLOCK, granule)).unwrap();
    let mut random = Random::new(seed);
    let mut keys: Vec<Key> = Vec::new();
    let mut used = 0.0;
    for step in 0..steps {
        let is_full = tlsf.used_bytes() >= BLOCK / 100 * fill;
        let placed = if is_full {
            None
        } else {
            let size = random.log_uniform(LARGEST).next_multiple_of(multiple);
            let power = alignments[random.below(alignments.len() as u64) as usize];
            let placed = allocate(&mut tlsf, size, 1 << power);
            placed.or_else(|| {
                let less = size.min(tlsf.largest_class());
                allocate(&mut tlsf, less, 1)
            })
        };
        keys.extend(placed);
        if placed.is_none() {
            let key = keys.swap_remove(random.below(keys.len() as u64) as usize);
            tlsf.free(key).unwrap();
        }
        if step >= steps / 2 {
            used += tlsf.used_bytes() as f64;
        }
    }
    tlsf.check().unwrap();
    let mean = 100.0 * used / (steps - steps / 2) as f64 / BLOCK as f64;
    assert!(mean > fill as f64 - 2.0, "the control: {mean} % full of {fill}");
    mean
}
