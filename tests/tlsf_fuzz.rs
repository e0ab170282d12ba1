//! The histories of the fuzzer in the ordinary tests: random ones run, and each fault is found by
//! them. The fuzzer itself is in `tests/fuzz`.

#[path = "support/history.rs"]
mod history;
#[path = "support/naive.rs"]
mod naive;
#[path = "support/random.rs"]
mod random;
#[path = "support/twin.rs"]
mod twin;

use arbitrary::Unstructured;
use fencepost::tlsf::Tlsf;
use history::History;
use naive::{Fault, Naive};
use random::{Random, fresh_seed};
use twin::Twins;

/// A history of random bytes.
fn history(random: &mut Random) -> History {
    let bytes: Vec<u8> = (0..1024).map(|_| random.next() as u8).collect();
    Unstructured::new(&bytes).arbitrary().unwrap()
}

#[test]
fn the_core_agrees_with_its_twin_on_random_histories() {
    let mut random = Random::new(fresh_seed());
    let (mut granted, mut refused) = (0, 0);
    for _ in 0..500 {
        let history = history(&mut random);
        let config = history.block.config();
        let twin = Naive::new(config.size, config.granule, config.first_serial, None);
        let mut twins = Twins::new(Tlsf::new(&config).unwrap(), twin);
        history.play(&mut twins).unwrap_or_else(|error| panic!("{history:?}: {error}"));
        granted += twins.granted;
        refused += twins.refused;
    }
    println!("granted {granted}, refused {refused}");
    assert!(granted > 1000 && refused > 1000, "the histories try both");
}

#[test]
fn random_histories_find_every_fault() {
    let found = |fault| {
        let mut random = Random::new(7);
        (0..1000).find_map(|_| {
            let history = history(&mut random);
            let config = history.block.config();
            let naive = |fault| Naive::new(config.size, config.granule, config.first_serial, fault);
            history.play(&mut Twins::new(naive(fault), naive(None))).err()
        })
    };
    assert_eq!(found(None), None, "a right allocator is found right");
    for fault in Fault::ALL {
        let error = found(Some(fault)).unwrap_or_else(|| panic!("{fault:?} was not found"));
        println!("{fault:?}: {error}");
    }
}
