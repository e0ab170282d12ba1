//! Properties of every block after every history.

use fencepost::tlsf::{Config, Key, Placed, Region, State, Tlsf};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// One step of a history. Its numbers choose among existing things.
#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate { size: u64, alignment: u64 },
    Free(usize),
    Retire(usize),
    Reach(usize),
    ReachSome(usize),
}

/// A block after a history.
#[derive(Clone, Debug)]
struct Played {
    tlsf: Tlsf,
    used: Vec<Placed>,
    pending: Vec<Placed>,
}

impl Played {
    fn new(config: &Config, steps: &[Step]) -> Self {
        let tlsf = Tlsf::new(config).unwrap();
        let mut played = Self { tlsf, used: Vec::new(), pending: Vec::new() };
        for &step in steps {
            played.step(step);
        }
        played
    }

    fn step(&mut self, step: Step) {
        let Self { tlsf, used, pending } = self;
        match step {
            Step::Allocate { size, alignment } => {
                if let Ok(placed) = tlsf.allocate(size, alignment) {
                    assert_eq!(placed.offset % alignment, 0);
                    let plain = size.next_multiple_of(tlsf.granule());
                    let wide = plain.next_multiple_of(alignment);
                    assert!(placed.size == plain || (plain >= alignment && placed.size == wide));
                    used.push(placed);
                }
            }
            Step::Free(at) if !used.is_empty() => {
                let placed = used.swap_remove(at % used.len());
                let freed = tlsf.free(placed.key).unwrap();
                assert_eq!((freed.offset, freed.size), (placed.offset, placed.size));
            }
            Step::Retire(at) if !used.is_empty() => {
                let placed = used.swap_remove(at % used.len());
                tlsf.retire(placed.key).unwrap();
                pending.push(placed);
            }
            Step::Reach(at) if !pending.is_empty() => {
                tlsf.reach(pending.swap_remove(at % pending.len()).key).unwrap();
            }
            Step::ReachSome(some) => {
                let rest = pending.split_off(some.min(pending.len()));
                tlsf.reach_batch(&keys(pending)).unwrap();
                *pending = rest;
            }
            _ => {}
        }
    }
}

fn keys(placed: &[Placed]) -> Vec<Key> {
    placed.iter().map(|placed| placed.key).collect()
}

/// The state and position of every region, without names.
fn layout(tlsf: &Tlsf) -> Vec<(State, u64, u64)> {
    tlsf.check().unwrap();
    tlsf.regions().map(|Region { state, offset, size, .. }| (state, offset, size)).collect()
}

/// Histories for a block of this size, with requests from a granule to a quarter of it.
fn steps(config: Config) -> impl Strategy<Value = Vec<Step>> {
    let bits = (config.size / 4).ilog2();
    let size = (0..=bits, any::<u64>()).prop_map(|(bits, low)| (1 << bits) + low % (1 << bits));
    let alignment = (0..=bits.min(21)).prop_map(|bits| 1 << bits);
    let step = prop_oneof![
        6 => (size, alignment).prop_map(|(size, alignment)| Step::Allocate { size, alignment }),
        2 => any::<usize>().prop_map(Step::Free),
        2 => any::<usize>().prop_map(Step::Retire),
        1 => any::<usize>().prop_map(Step::Reach),
        1 => (0..8usize).prop_map(Step::ReachSome),
    ];
    prop::collection::vec(step, 0..120)
}

/// The properties, instantiated for a block.
macro_rules! properties {
    ($($name:ident: $size:expr, $granule:expr;)*) => {$(
        mod $name {
            use super::*;

            const CONFIG: Config = Config::new($size, $granule);

            proptest! {
                #![proptest_config(ProptestConfig {
                    cases: 200,
                    failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
                    ..ProptestConfig::default()
                })]

                #[test]
                fn what_is_held_lies_apart(steps in steps(CONFIG)) {
                    let Played { tlsf, used, pending } = Played::new(&CONFIG, &steps);
                    let mut held: Vec<Placed> = [used, pending].concat();
                    held.sort_by_key(|placed| placed.offset);
                    for pair in held.windows(2) {
                        prop_assert!(pair[0].offset + pair[0].size <= pair[1].offset);
                    }
                    let end = held.last().map_or(0, |placed| placed.offset + placed.size);
                    prop_assert!(end <= tlsf.size());
                    prop_assert_eq!(
                        tlsf.free_bytes() + tlsf.used_bytes() + tlsf.pending_bytes(),
                        tlsf.size()
                    );
                }

                #[test]
                fn given_back_in_any_order_it_is_one_region(
                    steps in steps(CONFIG), seed in any::<u64>()
                ) {
                    let Played { mut tlsf, used, pending } = Played::new(&CONFIG, &steps);
                    let (mut used, mut pending) = (keys(&used), keys(&pending));
                    let shuffle = |key: &Key| u64::from(key.serial()).wrapping_mul(seed | 1);
                    used.sort_by_key(shuffle);
                    pending.sort_by_key(shuffle);
                    for key in used {
                        tlsf.free(key).unwrap();
                    }
                    tlsf.reach_batch(&pending).unwrap();
                    prop_assert_eq!(layout(&tlsf), vec![(State::Free, 0, tlsf.size())]);
                    prop_assert!(tlsf.is_empty());
                }

                #[test]
                fn a_batch_is_the_same_as_one_by_one(steps in steps(CONFIG)) {
                    let Played { tlsf, used, mut pending } = Played::new(&CONFIG, &steps);
                    let (mut batch, mut single) = (tlsf.clone(), tlsf);
                    for placed in used.into_iter().step_by(2) {
                        single.retire(placed.key).unwrap();
                        batch.retire(placed.key).unwrap();
                        pending.push(placed);
                    }
                    batch.reach_batch(&keys(&pending)).unwrap();
                    for placed in pending {
                        single.reach(placed.key).unwrap();
                    }
                    prop_assert_eq!(layout(&batch), layout(&single));
                }

                #[test]
                fn retire_and_reach_are_the_same_as_free(steps in steps(CONFIG)) {
                    let Played { tlsf, used, .. } = Played::new(&CONFIG, &steps);
                    let (mut retired, mut freed) = (tlsf.clone(), tlsf);
                    for placed in used.into_iter().step_by(2) {
                        retired.retire(placed.key).unwrap();
                        retired.reach(placed.key).unwrap();
                        freed.free(placed.key).unwrap();
                    }
                    prop_assert_eq!(layout(&retired), layout(&freed));
                    prop_assert!(retired.search_order().eq(freed.search_order()));
                }

                #[test]
                fn the_largest_class_is_granted(steps in steps(CONFIG)) {
                    let Played { mut tlsf, .. } = Played::new(&CONFIG, &steps);
                    let (largest, class) = (tlsf.largest_free(), tlsf.largest_class());
                    prop_assert!(class <= largest && largest - class <= largest / 32);
                    if class > 0 {
                        prop_assert!(tlsf.allocate(class, tlsf.granule()).is_ok());
                    }
                }

                #[test]
                fn what_was_just_freed_is_granted_again(steps in steps(CONFIG)) {
                    let Played { mut tlsf, used, .. } = Played::new(&CONFIG, &steps);
                    for Placed { key, size, .. } in used {
                        tlsf.free(key).unwrap();
                        prop_assert!(tlsf.allocate(size, 1).is_ok());
                    }
                }

                #[test]
                fn a_peak_that_was_had_before_takes_no_more_host_memory(steps in steps(CONFIG)) {
                    let mut played = Played::new(&CONFIG, &steps);
                    let bytes = played.tlsf.metadata_bytes();
                    for placed in played.used.drain(..) {
                        played.tlsf.retire(placed.key).unwrap();
                        played.pending.push(placed);
                    }
                    played.step(Step::ReachSome(usize::MAX));
                    for &step in &steps {
                        played.step(step);
                    }
                    prop_assert_eq!(played.tlsf.metadata_bytes(), bytes);
                }
            }
        }
    )*};
}

properties! {
    a_toy: 100, 1;
    a_kilobyte: 1024, 16;
    a_small_block: 4 << 20, 256;
    an_odd_block: (64 << 20) + 12_345, 64;
    a_block_of_a_quarter_gibibyte: 256 << 20, 256;
    a_block_of_a_tebibyte: 1 << 40, 1024;
}
