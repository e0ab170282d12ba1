//! A drop reads the number of its bag from an atomic while other threads begin, submit and collect.

use loom::sync::Arc;
use loom::thread;

use super::world::{Rule, World};

/// One thread records, submits and is the GPU. The other one drops what the first one names, and
/// collects.
fn drop_beside_submit(rule: Rule, joins: bool) {
    loom::model(move || {
        let world = World::new(rule);
        let older = world.begin(0);
        let beside = Arc::clone(&world);
        let other = thread::spawn(move || {
            beside.retire(0);
            beside.collect();
        });
        let value = match joins {
            true => world.submit(world.begin(1), &[older]),
            false => world.submit(older, &[]),
        };
        world.signal(value, &[0, 1]);
        other.join().unwrap();
        world.end();
    });
}

#[test]
fn a_drop_beside_a_submit_waits_for_it() {
    [false, true].into_iter().for_each(|joins| drop_beside_submit(Rule::Kept, joins));
}

#[test]
#[should_panic = "freed too early"]
fn control_a_number_published_late_frees_early() {
    drop_beside_submit(Rule::PublishesLate, false);
}

#[test]
#[should_panic = "freed too early"]
fn control_a_joined_recording_that_ends_first_frees_early() {
    drop_beside_submit(Rule::EndsJoinedFirst, true);
}

/// Both threads record and submit; each drops its own resource between its begin and its submit.
#[test]
fn two_recordings_each_hold_back_what_either_drops() {
    loom::model(|| {
        let world = World::new(Rule::Kept);
        let beside = Arc::clone(&world);
        let work = |world: &World, resource: usize| {
            let id = world.begin(resource);
            world.retire(resource);
            (world.submit(id, &[]), resource)
        };
        let other = thread::spawn(move || work(&beside, 1));
        let mut done = [work(&world, 0), other.join().unwrap()];
        done.sort_unstable();
        for (value, resource) in done {
            world.collect();
            world.signal(value, &[resource]);
        }
        world.end();
    });
}
