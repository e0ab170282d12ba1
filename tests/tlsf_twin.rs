//! The core agrees with its naive twin: every return value and every count, after every operation.

#[path = "support/naive.rs"]
mod naive;
#[path = "support/random.rs"]
mod random;
#[path = "support/twin.rs"]
mod twin;

use fencepost::tlsf::{Config, Tlsf};
use naive::{Fault, Naive};
use random::{Random, fresh_seed};
use twin::{Agreement, Mix, Subject, Twins, class_ceiling, class_floor};

/// Block sizes, granules and requests: from tiny ones to 2^62 bytes.
const BLOCKS: [(Config, Mix); 9] = [
    (Config::new(64, 1), Mix { size: 16, alignment: 16, fill: 0.7 }),
    (Config::new(1000, 1), Mix { size: 300, alignment: 64, fill: 0.8 }),
    (Config::new(4096 + 15, 16), Mix { size: 512, alignment: 4096, fill: 0.9 }),
    (Config::new(1 << 20, 64), Mix { size: 64 << 10, alignment: 256, fill: 0.95 }),
    (Config::new(256 << 20, 256), Mix { size: 32 << 20, alignment: 2 << 20, fill: 0.9 }),
    (Config::new(256 << 20, 16), Mix { size: 16 << 20, alignment: 64 << 10, fill: 0.6 }),
    (Config::new((1 << 31) - 1, 1), Mix { size: 1 << 30, alignment: 1 << 30, fill: 0.8 }),
    (Config::new(1 << 41, 4096), Mix { size: 1 << 40, alignment: 2 << 20, fill: 0.8 }),
    (Config::new(1 << 62, 1 << 32), Mix { size: 1 << 61, alignment: 1 << 62, fill: 0.8 }),
];

/// Random operations until there is a difference.
fn run<S: Subject>(twins: &mut Twins<S>, seed: u64, mix: &Mix, steps: u64) -> Agreement {
    let mut random = Random::new(seed);
    for step in 0..steps {
        twins
            .step(&mut random, mix)
            .map_err(|error| format!("seed {seed} step {step}: {error}"))?;
        // The list of keys that are gone would only grow.
        if twins.gone.len() > 64 {
            twins.compare_keys()?;
            twins.gone.drain(..32);
        }
    }
    for key in twins.pending.clone() {
        twins.reach(key)?;
    }
    for key in twins.used.clone() {
        twins.free(key)?;
    }
    let regions = twins.subject.regions().count();
    if regions == 1 { Ok(()) } else { Err(format!("{regions} regions in an empty block")) }
}

fn run_blocks(seed: u64, steps: u64) {
    for (config, mix) in BLOCKS {
        // The serials wrap around during the run.
        let config = Config { first_serial: u32::MAX - 1000, ..config };
        let twin = Naive::new(config.size, config.granule, config.first_serial, None);
        let mut twins = Twins::new(Tlsf::new(&config).unwrap(), twin);
        run(&mut twins, seed, &mix, steps).unwrap_or_else(|error| panic!("{config:?}: {error}"));
        let Twins { granted, refused, missed, .. } = twins;
        println!("{config:?}: granted {granted}, refused {refused}, of these first fit {missed}");
        assert!(granted > steps / 10 && refused > 0, "the mix tries both");
    }
}

#[test]
fn the_core_agrees_with_its_twin() {
    for seed in 1..=4 {
        run_blocks(seed, 6_000);
    }
}

#[test]
fn the_core_agrees_with_its_twin_on_a_fresh_seed() {
    run_blocks(fresh_seed(), 6_000);
}

#[test]
#[ignore = "deep: minutes; more seeds and steps of the test above"]
fn the_core_agrees_with_its_twin_for_long() {
    let seed = fresh_seed();
    for seed in [seed, seed.wrapping_add(1)] {
        run_blocks(seed, 100_000);
    }
}

#[test]
fn the_harness_finds_every_fault() {
    let subject = |config: &Config, fault| Naive::new(config.size, config.granule, 0, fault);
    let found = |fault| {
        BLOCKS.iter().take(4).find_map(|(config, mix)| {
            let mut twins = Twins::new(subject(config, fault), subject(config, None));
            run(&mut twins, 7, mix, 5_000).err()
        })
    };
    assert_eq!(found(None), None, "a right allocator is found right");
    for fault in Fault::ALL {
        let error = found(Some(fault)).unwrap_or_else(|| panic!("{fault:?} was not found"));
        println!("{fault:?}: {error}");
    }
}

#[test]
fn the_classes_are_those_of_the_documentation() {
    for (units, floor, ceiling) in [
        (1, 1, 1),
        (63, 63, 63),
        (64, 64, 64),
        (65, 64, 66),
        (127, 126, 128),
        (180, 180, 180),
        (183, 180, 184),
        (1023, 1008, 1024),
    ] {
        assert_eq!((class_floor(units), class_ceiling(units)), (floor, ceiling), "{units}");
    }
}
