//! Random calls of every kind on an allocator over random GPUs, with faults, against a naive model:
//! no range has two owners at a time, counts agree, failures change nothing, and nothing is left at
//! the end.

mod asks;
mod ends;
mod gpus;
mod grants;
mod model;
mod others;
mod plans;
mod stops;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod work;
mod world;

use support::random::{Random, fresh_seed};
use world::{Done, Slip, World};

/// Steps in one world.
const STEPS: u64 = 3000;

fn run(seed: u64, steps: u64) -> Done {
    let mut random = Random::new(seed);
    let mut world = World::new(&mut random, Slip::None);
    for step in 0..steps {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.step(&mut random);
            world.expect_sums();
            if step % 61 == 0 {
                world.expect_all();
            }
        }));
        if let Err(panic) = done {
            eprintln!("FENCEPOST_SEED={seed}, step {step}: {}", world.describe());
            std::mem::forget(world);
            std::panic::resume_unwind(panic);
        }
    }
    world.end(&mut random)
}

fn worlds(first: u64, count: u64, steps: u64) -> Done {
    let mut all = Done::new();
    for seed in first..first + count {
        for (what, count) in run(seed, steps) {
            *all.entry(what).or_default() += count;
        }
    }
    all
}

#[test]
fn whatever_is_called_the_allocator_is_as_the_model_says() {
    let done = worlds(1, 24, STEPS / 2);
    // Each kind is there, so that each is looked at.
    for (what, least) in [
        ("made to be exported", 50),
        ("imported", 20),
        ("the host's pages", 20),
        ("a video session", 30),
        ("a disjoint image", 20),
        ("in order", 2),
        ("in the order of another queue", 5),
        ("an image in order", 10),
        ("aliasing", 20),
        ("a ring", 100),
        ("a piece of a ring", 30),
        ("an arena", 50),
        ("a batch", 50),
        ("moved", 20),
        ("lost", 2),
        ("shut down", 2),
        ("closed", 2),
        ("ended in order", 2),
        ("planned in a block", 200),
        ("planned in a new block", 20),
        ("planned in a memory of its own", 5),
        ("refused as planned", 20),
    ] {
        assert!(done.get(what).is_some_and(|&count| count >= least), "{what}: {done:?}");
    }
    run(fresh_seed(), STEPS / 2);
}

#[test]
#[ignore = "deep: 10,000,000 steps in thousands of worlds, ten minutes in release"]
fn whatever_is_called_the_allocator_is_as_the_model_says_deep() {
    let first = fresh_seed() >> 1;
    worlds(first, 3000, STEPS);
}

#[test]
fn threads_have_each_their_own() {
    threads::run(1, 4, 500);
    threads::run(fresh_seed() >> 1, 1, 500);
}

#[test]
#[ignore = "deep: 1,200,000 steps on four threads, five minutes in release"]
fn threads_have_each_their_own_deep() {
    threads::run(fresh_seed() >> 1, 100, 3000);
}

/// The controls: what ends too early, and what is forgotten, is caught by the same model.
#[test]
fn what_is_done_wrong_is_caught_by_the_model() {
    for (slip, word) in
        [(Slip::FreesAtOnce, "while Held"), (Slip::Forgets, "live"), (Slip::Abandons, "FrameRing")]
    {
        let caught = (0..40).any(|seed| {
            let mut random = Random::new(seed);
            let mut world = World::new(&mut random, slip);
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for _ in 0..1000 {
                    world.step(&mut random);
                    world.expect_sums();
                }
            }));
            std::mem::forget(world);
            let message = done.err().and_then(|panic| panic.downcast::<String>().ok());
            message.is_some_and(|message| message.contains(word))
        });
        assert!(caught, "{slip:?}");
    }
}
