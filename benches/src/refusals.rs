//! Whether an allocator finds the existing room in an arena that is nearly full.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::subject::{Subject, granule};

/// The refusals in an arena that was kept full to a given degree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refusals {
    /// Those although some free range had room.
    pub with_room: usize,
    /// All of them.
    pub all: usize,
}

/// The distribution of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mix {
    /// Its name in the tables.
    pub name: &'static str,
    /// Sizes start at 2 to this power.
    low: u32,
    /// Sizes are below 2 to this power.
    high: u32,
    /// log2 of the alignments, which are equally likely.
    alignments: &'static [u32],
}

impl Mix {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self {
            name: "buffers: 256 B to 128 KiB, 30 in 100 aligned to 256 B to 4 KiB",
            low: 8,
            high: 17,
            alignments: &[4, 4, 4, 4, 4, 4, 4, 8, 10, 12],
        },
        Self {
            name: "images: 256 B to 1 MiB, aligned to 64 B, 256 B, 4 KiB, 64 KiB",
            low: 8,
            high: 20,
            alignments: &[6, 8, 12, 16],
        },
        Self {
            name: "256 B to 256 KiB, any alignment from 16 B to 2 MiB",
            low: 8,
            high: 18,
            alignments: &[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21],
        },
    ];
}

/// Bytes of the arena.
const ARENA: u64 = 256 << 20;

/// Keeps `percent` of an arena in use for `allocations` requests of a mix, and examines each
/// refusal. `None` if the allocator does not support the arena.
pub fn refusals<S: Subject>(
    mix: Mix,
    percent: u64,
    allocations: usize,
    seed: u64,
) -> Option<Refusals> {
    let limit = ARENA / 100 * percent;
    let mut subject = S::new(ARENA, ARENA as usize / 4_096)?;
    let mut random = Random::new(seed);
    let mut refused = Refusals::default();
    // The live ranges: end by offset, and what can be freed.
    let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
    let mut live: Vec<(S::Handle, u64)> = Vec::new();
    let mut used = 0;
    for _ in 0..allocations {
        let size = random.log_uniform(mix.low, mix.high).next_multiple_of(granule(ARENA));
        let alignment = 1 << random.pick(mix.alignments);
        while used + size > limit {
            let (handle, offset) = live.swap_remove(random.below(live.len()));
            let end = ends.remove(&offset).expect("it lives");
            used -= end - offset;
            subject.free(handle);
        }
        match subject.allocate(size, alignment) {
            Some(placed) => {
                ends.insert(placed.offset, placed.offset + size);
                live.push((placed.handle, placed.offset));
                used += size;
            }
            None => {
                refused.all += 1;
                refused.with_room += usize::from(has_room(&ends, size, alignment));
            }
        }
    }
    Some(refused)
}

/// Whether a hole can hold the request, aligned.
fn has_room(ends: &BTreeMap<u64, u64>, size: u64, alignment: u64) -> bool {
    let mut at = 0_u64;
    ends.iter().chain([(&ARENA, &ARENA)]).any(|(&offset, &end)| {
        let fits = at.next_multiple_of(alignment) + size <= offset;
        at = end;
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Placed;
    use crate::subjects::BestFit;

    /// Best fit that refuses whatever is aligned to more than 16.
    struct Timid(BestFit);

    impl Subject for Timid {
        const NAME: &'static str = "timid";
        type Handle = (u64, u64);

        fn new(bytes: u64, live: usize) -> Option<Self> {
            BestFit::new(bytes, live).map(Self)
        }

        fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<(u64, u64)>> {
            (alignment == 16).then(|| self.0.allocate(size, alignment))?
        }

        fn free(&mut self, handle: (u64, u64)) {
            self.0.free(handle);
        }
    }

    #[test]
    fn exact_best_fit_uses_all_room_and_a_refusal_for_nothing_is_seen() {
        for mix in Mix::ALL {
            let exact = refusals::<BestFit>(mix, 90, 10_000, 1).expect("an arena");
            assert_eq!(exact.with_room, 0, "{mix:?}");
            let timid = refusals::<Timid>(mix, 90, 10_000, 1).expect("an arena");
            assert!(timid.with_room > 1_000, "{mix:?}: {timid:?}");
        }
    }
}
