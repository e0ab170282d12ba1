//! A lock for what every allocation and every end accesses. Without contention, it is taken and
//! released with one instruction each.
//!
//! The lock of the standard library checks twice each time whether the thread panics, to poison
//! itself. No invariant of this crate is broken while a lock is held and user code or an assertion
//! can run, so poisoning is not needed.
//!
//! A thread that releases the lock does not access it afterwards, because the next holder may
//! destroy it. Therefore waiting threads sleep in a static place, not in the lock.

use core::{
    cell::UnsafeCell,
    hint,
    ops::{Deref, DerefMut},
};
use std::sync::{
    Condvar, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use super::sync::lock;

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and some thread may be sleeping until it is free.
const WANTED: u32 = 2;

/// How often a thread that finds the lock taken looks again before it sleeps.
const LOOKS: u32 = 100;

/// Where threads sleep, whichever lock they wait for. This is rare.
struct Bed {
    /// Held between the last look at a lock and the sleep.
    door: Mutex<()>,
    bell: Condvar,
}

static BEDS: [Bed; 32] = [const { Bed { door: Mutex::new(()), bell: Condvar::new() } }; 32];

/// A value that one thread at a time can access.
pub(crate) struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: `state` gives access to the value to one thread at a time, so a shared lock only sends
// the value from one thread to another.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    /// Waits until no thread holds the value. The calling thread must not hold it.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        if !self.take() {
            self.wait();
        }
        Locked(self)
    }

    #[inline(always)]
    fn take(&self) -> bool {
        self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        for _ in 0..LOOKS {
            if self.state.load(Ordering::Relaxed) == FREE && self.take() {
                return;
            }
            hint::spin_loop();
        }
        let bed = bed_of(&raw const self.state);
        let mut door = lock(&bed.door);
        // A thread that takes the lock here leaves it `WANTED`, because others may be sleeping.
        while self.state.swap(WANTED, Ordering::Acquire) != FREE {
            door = bed.bell.wait(door).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The place where the threads sleep that wait for a lock. It depends only on the address of the
/// lock's state.
fn bed_of(state: *const AtomicU32) -> &'static Bed {
    &BEDS[state.addr() / 128 % BEDS.len()]
}

/// Wakes all threads that sleep there. The lock may no longer exist.
#[cold]
#[inline(never)]
fn wake(state: *const AtomicU32) {
    let bed = bed_of(state);
    // A thread that has looked at the lock but does not sleep yet holds the door.
    drop(lock(&bed.door));
    bed.bell.notify_all();
}

/// Access to the value; the lock is released on drop.
#[must_use = "dropped at once, it protects nothing"]
pub(crate) struct Locked<'a, T>(&'a Lock<T>);

// SAFETY: if shared, it gives out shared references to the value only.
unsafe impl<T: Sync> Sync for Locked<'_, T> {}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a lock never has two of these, and `&self` excludes `deref_mut`.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a lock never has two of these, and this one is borrowed exclusively.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        let state = &raw const self.0.state;
        if self.0.state.swap(FREE, Ordering::Release) == WANTED {
            wake(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Barrier,
        thread,
        time::Duration,
    };

    use super::*;

    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 20_000 };

    /// Two locks, and more threads than cores, so that some of them sleep.
    #[test]
    fn every_turn_counts() {
        let locks = [Lock::new(0_u32), Lock::new(0)];
        thread::scope(|scope| {
            for thread in 0..6 {
                let lock = &locks[thread % 2];
                scope.spawn(move || (0..ROUNDS).for_each(|_| *lock.lock() += 1));
            }
        });
        assert_eq!(locks.map(|lock| *lock.lock()), [3 * ROUNDS; 2]);
    }

    #[test]
    fn who_sleeps_is_woken() {
        let (lock, slept) = (Lock::new(false), Barrier::new(4));
        thread::scope(|scope| {
            let held = lock.lock();
            for _ in 0..3 {
                scope.spawn(|| {
                    slept.wait();
                    *lock.lock() = true;
                });
            }
            slept.wait();
            while lock.state.load(Ordering::Relaxed) != WANTED {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(!*held, "nobody else has the value meanwhile");
        });
        assert!(*lock.lock());
        assert_eq!(lock.state.load(Ordering::Relaxed), FREE);
    }

    #[test]
    fn a_panic_gives_it_back() {
        let lock = Lock::new(1);
        let panics = || {
            let _held = lock.lock();
            panic!("on purpose");
        };
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(*lock.lock(), 1);
    }
}
