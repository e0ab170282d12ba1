//! A model of the lock in `ground/lock.rs`, step by step: one thread at a time has the value and
//! sees what the one before wrote, and a thread that releases the lock does not access it
//! afterwards.

// Not loom's own type, which may not be dropped while a fault is reported.
use std::sync::Arc;

use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// The steps, and what goes wrong if one is out of place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Kept,
    /// A control: the lock is taken by a read and a write.
    TakesInTwoSteps,
    /// A control: whoever takes the lock does not see what was written under it.
    TakesRelaxed,
    /// A control: whoever releases the lock does not publish what was written under it.
    ReleasesRelaxed,
    /// A control: a look at the lock after it was released.
    LooksBack,
}

/// An object that is destroyed with its last holder.
struct Lock {
    held: AtomicBool,
    value: UnsafeCell<u32>,
    /// Written when it is destroyed.
    alive: Arc<UnsafeCell<bool>>,
}

fn take(lock: &Lock, rule: Rule) -> bool {
    match rule {
        Rule::TakesInTwoSteps => {
            let free = !lock.held.load(Ordering::Acquire);
            lock.held.store(true, Ordering::Relaxed);
            free
        }
        Rule::TakesRelaxed => !lock.held.swap(true, Ordering::Relaxed),
        _ => !lock.held.swap(true, Ordering::Acquire),
    }
}

/// How often a thread tries. Loom may let threads that wait run for ever before the holder does, so
/// the model must end somewhere.
const ATTEMPTS: u32 = 3;

/// Takes the lock, if it is free in one of the attempts. The real lock reads before it tries again,
/// which decides nothing.
fn lock(lock: &Lock, rule: Rule) -> bool {
    (0..ATTEMPTS).any(|_| {
        let taken = take(lock, rule);
        if !taken {
            thread::yield_now();
        }
        taken
    })
}

fn unlock(lock: &Lock, rule: Rule) {
    let alive = Arc::clone(&lock.alive);
    let relaxed = rule == Rule::ReleasesRelaxed;
    lock.held.store(false, if relaxed { Ordering::Relaxed } else { Ordering::Release });
    if rule == Rule::LooksBack {
        // SAFETY: loom reports an access that is not ordered before the end.
        assert!(alive.with(|alive| unsafe { *alive }), "touched after its end");
    }
}

/// Each of the threads takes a turn, or gives up. The one with the last turn destroys the object
/// that contains the lock.
fn turns(threads: u32, rule: Rule) {
    let alive = Arc::new(UnsafeCell::new(true));
    let value = UnsafeCell::new(0);
    let shared = Arc::new(Lock { held: AtomicBool::new(false), value, alive });
    let turn = move || {
        if !lock(&shared, rule) {
            return;
        }
        // SAFETY: loom reports other accesses at the same time.
        let taken = shared.value.with_mut(|value| unsafe {
            *value += 1;
            *value
        });
        unlock(&shared, rule);
        if taken == threads {
            // SAFETY: loom reports an access that is not ordered before this.
            shared.alive.with_mut(|alive| unsafe { *alive = false });
        }
    };
    let others: Vec<_> = (1..threads).map(|_| thread::spawn(turn.clone())).collect();
    turn();
    others.into_iter().for_each(|other| other.join().unwrap());
}

#[test]
fn one_at_a_time_and_each_sees_the_one_before() {
    loom::model(|| turns(2, Rule::Kept));
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| turns(3, Rule::Kept));
}

#[test]
#[should_panic]
fn control_two_steps_let_two_in() {
    loom::model(|| turns(2, Rule::TakesInTwoSteps));
}

#[test]
#[should_panic]
fn control_who_takes_must_see() {
    loom::model(|| turns(2, Rule::TakesRelaxed));
}

#[test]
#[should_panic]
fn control_who_releases_must_publish() {
    loom::model(|| turns(2, Rule::ReleasesRelaxed));
}

#[test]
#[should_panic]
fn control_a_look_back_meets_the_end() {
    loom::model(|| turns(2, Rule::LooksBack));
}
