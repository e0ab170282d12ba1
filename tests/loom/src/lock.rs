//! A model of the lock in `ground/lock.rs`, step by step: every thread that wants it gets it, and a
//! thread that releases it does not access it afterwards.

// Not loom's own type, which may not be dropped while a deadlock is reported.
use std::sync::Arc;

use loom::{
    cell::UnsafeCell,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

const FREE: u32 = 0;
const HELD: u32 = 1;
const WANTED: u32 = 2;

/// The steps, and what goes wrong if one is out of place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Kept,
    /// A control: a thread that sleeps announces this before it goes through the door.
    WantsBeforeTheDoor,
    /// A control: the bell rings without a look at the door.
    RingsWithoutTheDoor,
    /// A control: a look at the lock after it was released.
    LooksBack,
}

/// A static place for sleeping threads.
#[derive(Default)]
struct Bed {
    door: Mutex<()>,
    bell: Condvar,
}

/// An object that is destroyed with its last holder.
struct Lock {
    state: AtomicU32,
    value: UnsafeCell<u32>,
    /// Written when it is destroyed.
    alive: Arc<UnsafeCell<bool>>,
}

fn lock(lock: &Lock, bed: &Bed, rule: Rule) {
    let taken = lock.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
    if taken.is_ok() {
        return;
    }
    let wants = || lock.state.swap(WANTED, Ordering::Acquire);
    let early = (rule == Rule::WantsBeforeTheDoor).then(wants);
    if early == Some(FREE) {
        return;
    }
    let mut door = bed.door.lock().unwrap();
    let mut seen = early.unwrap_or_else(wants);
    while seen != FREE {
        door = bed.bell.wait(door).unwrap();
        seen = wants();
    }
}

fn unlock(lock: &Lock, bed: &Bed, rule: Rule) {
    let alive = Arc::clone(&lock.alive);
    if lock.state.swap(FREE, Ordering::Release) == WANTED {
        if rule != Rule::RingsWithoutTheDoor {
            drop(bed.door.lock().unwrap());
        }
        bed.bell.notify_all();
        if rule == Rule::LooksBack {
            // SAFETY: loom reports an access that is not ordered before the end.
            assert!(alive.with(|alive| unsafe { *alive }), "touched after its end");
        }
    }
}

/// Each of the threads takes a turn. The one with the last turn destroys the object that contains
/// the lock.
fn turns(threads: u32, rule: Rule) {
    let bed = Arc::new(Bed::default());
    let alive = Arc::new(UnsafeCell::new(true));
    let value = UnsafeCell::new(0);
    let shared = Arc::new(Lock { state: AtomicU32::new(FREE), value, alive });
    let turn = move || {
        lock(&shared, &bed, rule);
        // SAFETY: loom reports other accesses at the same time.
        let taken = shared.value.with_mut(|value| unsafe {
            *value += 1;
            *value
        });
        unlock(&shared, &bed, rule);
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
fn whoever_wants_the_lock_gets_it() {
    loom::model(|| turns(2, Rule::Kept));
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| turns(3, Rule::Kept));
}

#[test]
#[should_panic(expected = "deadlock")]
fn control_a_bell_without_the_door_is_missed() {
    loom::model(|| turns(2, Rule::RingsWithoutTheDoor));
}

#[test]
#[should_panic(expected = "deadlock")]
fn control_who_wants_before_the_door_sleeps_for_ever() {
    loom::model(|| turns(2, Rule::WantsBeforeTheDoor));
}

#[test]
#[should_panic]
fn control_a_look_back_meets_the_end() {
    loom::model(|| turns(2, Rule::LooksBack));
}
