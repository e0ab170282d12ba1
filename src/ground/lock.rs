//! A lock for what every allocation and every end accesses. Without contention, it is taken with
//! one atomic exchange and released with a plain write.
//!
//! A lock that wakes sleeping threads must be released with an atomic exchange too, to learn
//! whether somebody sleeps. On Intel's processors such an instruction waits until all earlier
//! writes are done, which costs a tenth of a pair of calls. Nobody sleeps until this lock is
//! released, so a plain write is enough: a thread that finds the lock taken looks again, then lets
//! others run, then naps. This suits a lock that is held for some ten nanoseconds, and never during
//! a call of the driver or of the user. If its holder loses the processor, the others wait a nap
//! longer than they had to.
//!
//! A thread that releases the lock does not access it afterwards, because the next holder may
//! destroy it.
//!
//! The lock of the standard library also checks twice each time whether the thread panics, to
//! poison itself. No invariant of this crate is broken while a lock is held and user code or an
//! assertion can run, so poisoning is not needed.

use core::{
    cell::UnsafeCell,
    hint,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::thread;

/// How often a thread that finds the lock taken looks again at once.
const LOOKS: u32 = 100;

/// How many of its looks come before the first nap. Between the later ones of them, it lets other
/// threads run.
const PATIENCE: u32 = LOOKS + 16;

/// How long it naps before each further look. A thread of a higher priority must not keep the
/// holder from the processor for ever.
const NAP: Duration = Duration::from_micros(50);

/// A value that one thread at a time can access.
pub(crate) struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `held` gives access to the value to one thread at a time, so a shared lock only sends
// the value from one thread to another.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
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
        !self.held.swap(true, Ordering::Acquire)
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        let mut looks = 0;
        // Reading before each exchange leaves the cache line to the holder.
        while self.held.load(Ordering::Relaxed) || !self.take() {
            match looks {
                ..LOOKS => hint::spin_loop(),
                LOOKS..PATIENCE => thread::yield_now(),
                _ => thread::sleep(NAP),
            }
            looks = looks.saturating_add(1);
        }
    }
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
        self.0.held.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Barrier,
    };

    use super::*;

    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 20_000 };

    /// Two locks, and more threads than most machines have cores, so that some of them nap.
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

    /// The holder keeps it for so long that the others nap.
    #[test]
    fn who_naps_gets_it_in_the_end() {
        let (lock, waiting) = (Lock::new(0), Barrier::new(4));
        thread::scope(|scope| {
            let held = lock.lock();
            for _ in 0..3 {
                scope.spawn(|| {
                    waiting.wait();
                    *lock.lock() += 1;
                });
            }
            waiting.wait();
            thread::sleep(Duration::from_millis(if cfg!(miri) { 1 } else { 20 }));
            assert_eq!(*held, 0, "nobody else has the value meanwhile");
        });
        assert_eq!(*lock.lock(), 3);
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
