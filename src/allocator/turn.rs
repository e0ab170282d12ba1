//! The order of submissions on a timeline: a lock that is held while user code runs.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    thread::{self, ThreadId},
};

use crate::ground::sync::lock;

/// Like a mutex, but a second acquisition on the same thread is refused instead of causing a
/// deadlock.
#[derive(Default)]
pub(super) struct Turn {
    holder: Mutex<Option<ThreadId>>,
    free: Condvar,
}

/// Holds the turn until it is dropped.
pub(super) struct TurnGuard<'a>(&'a Turn);

impl Turn {
    /// Waits for the turn; `None` if this thread already has it.
    pub(super) fn take(&self) -> Option<TurnGuard<'_>> {
        let me = thread::current().id();
        let mut holder = lock(&self.holder);
        loop {
            match *holder {
                None => {
                    *holder = Some(me);
                    return Some(TurnGuard(self));
                }
                Some(thread) if thread == me => return None,
                Some(_) => {
                    holder = self.free.wait(holder).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        *lock(&self.0.holder) = None;
        self.0.free.notify_one();
    }
}
