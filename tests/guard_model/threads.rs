//! Threads allocate and free while one scrubs: nobody is accused, loses a byte or sees another's.

use std::sync::atomic::{AtomicUsize, Ordering};

use fencepost::{Allocation, GuardPolicy, GuardedBy, ResourceKind, Scrub, vk};

use crate::{
    support::random::Random,
    world::{Slip, World, memory},
};

/// Threads that allocate.
const WORKERS: usize = 3;

pub fn run(seed: u64, steps: usize) {
    let mut random = Random::new(seed);
    let mut world = World::new(&mut random, Slip::None);
    // Work is done as it is submitted: the threads are what is unordered.
    world.fake.set_automatic(true);
    let working = AtomicUsize::new(WORKERS);
    std::thread::scope(|threads| {
        for worker in 0..WORKERS {
            let (world, working) = (&world, &working);
            threads.spawn(move || {
                let _done = Done(working);
                work(world, seed * 8 + worker as u64, worker as u8 + 1, steps);
            });
        }
        let mut rounds = 0;
        while working.load(Ordering::Acquire) > 0 || rounds < 4 {
            let extent = if rounds % 3 == 0 { Scrub::Everything } else { Scrub::Due };
            world.pass_scrub(0, extent);
            assert_eq!(world.allocator.check_guards(), [], "{seed}: {}", world.about);
            rounds += 1;
        }
    });
    assert_eq!(world.fake.violations(), []);
    world.end();
}

/// A thread is done, if by a panic.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Allocations of one thread, each full of its tag.
fn work(world: &World, seed: u64, tag: u8, steps: usize) {
    let mut random = Random::new(seed);
    let mut live: Vec<Allocation> = Vec::new();
    for _ in 0..steps {
        if live.len() > 7 || random.one_in(3) && !live.is_empty() {
            let one = live.swap_remove(random.below(live.len() as u64) as usize);
            let bytes = world.read(one.memory(), one.offset(), one.size());
            assert!(bytes.iter().all(|&byte| byte == tag), "a byte of {one:?} changed");
            match random.one_in(2) {
                // SAFETY: nothing was ever submitted that uses it.
                true => unsafe { one.free_now() },
                false => drop(one),
            }
            continue;
        }
        let (size, place) = (random.log_uniform(9000), random.below(5) as usize);
        let bits = if place < 3 { !0 } else { 1 };
        let needs = vk::MemoryRequirements { size, alignment: 64, memory_type_bits: bits };
        let made = match world.arenas.get(place) {
            Some(arena) => arena.allocate(&needs, ResourceKind::Linear, &memory("one")),
            None => world.allocator.allocate(&needs, ResourceKind::Linear, &memory("one")),
        };
        let one = match made {
            Ok(one) => one,
            Err(error) => {
                assert!(world.tight, "{seed} {place}: {error:?} {}", world.about);
                continue;
            }
        };
        world.expect_clean(&one);
        let bytes = vec![tag; one.size() as usize];
        assert!(world.fake.gpu_write(one.memory(), one.offset(), &bytes));
        live.push(one);
    }
}

/// Worlds of all kinds are among the seeds.
pub fn kinds(seeds: core::ops::Range<u64>) -> usize {
    let mut kinds: Vec<(GuardPolicy, GuardedBy)> = Vec::new();
    for seed in seeds {
        let world = World::new(&mut Random::new(seed), Slip::None);
        if !kinds.contains(&(world.policy, world.by)) {
            kinds.push((world.policy, world.by));
        }
    }
    kinds.len()
}
