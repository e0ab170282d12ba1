//! Random work under guards, with scrubs that are late, abandoned, refused and on two queues,
//! against a naive model. Code that accesses only what it owns is not accused and loses no byte;
//! nobody sees the bytes of another owner if memory must read zero; and all planted damage is found
//! once and attributed correctly.

mod plant;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod truth;
mod work;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use support::random::{Random, fresh_seed};
use world::{Slip, World};

/// How many allocations were moved.
fn run(seed: u64, rounds: u64, slip: Slip) -> u64 {
    let mut random = Random::new(seed);
    let mut world = World::new(&mut random, slip);
    let about = world.about.clone();
    let done = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..rounds {
            (0..40).for_each(|_| world.step(&mut random));
            world.settle(&mut random);
            world.plant(&mut random);
        }
        world.end();
    }));
    if let Err(panic) = done {
        eprintln!("FENCEPOST_SEED={seed}: {about}");
        std::panic::resume_unwind(panic);
    }
    world.moved
}

#[test]
fn what_is_planted_is_found_and_nothing_else() {
    let moved: u64 = (1..=60).map(|seed| run(seed, 4, Slip::None)).sum();
    assert!(moved > 15, "{moved} moved");
    run(fresh_seed(), 8, Slip::None);
}

#[test]
#[ignore = "deep: 3000 worlds, some minutes"]
fn what_is_planted_is_found_and_nothing_else_deep() {
    let first = fresh_seed() >> 1;
    (first..first + 3000).for_each(|seed| _ = run(seed, 8, Slip::None));
}

#[test]
fn threads_and_scrubs_do_not_meet() {
    (1..=24).for_each(|seed| threads::run(seed, 300));
    assert_eq!(threads::kinds(1..25), 8, "every policy by either keeper");
}

#[test]
#[ignore = "deep: 400 worlds, a minute"]
fn threads_and_scrubs_do_not_meet_deep() {
    let first = fresh_seed() >> 8;
    (first..first + 400).for_each(|seed| threads::run(seed, 2000));
}

/// The controls: a write astray that the model does not know of, and an owner that it forgets, are noticed.
#[test]
fn what_the_model_does_not_know_is_noticed() {
    for slip in [Slip::WritesAstray, Slip::ForgetsOwners, Slip::SeesNoDamage] {
        let noticed = (1..40).any(|seed| catch_unwind(|| run(seed, 4, slip)).is_err());
        assert!(noticed, "{slip:?}");
    }
}
