//! A fake driver behind its lock, which the entry points and the test's interface share.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ash::vk;

use super::call::Call;
use super::entry::{Arena, Root};
use super::fault::{Calls, Verdict};
use super::profile::Profile;
use super::queue::Queue;
use super::state::State;
use super::violation::Violation;

pub(super) struct Driver {
    pub(super) profile: Arc<Profile>,
    pub(super) calls: Calls,
    pub(super) root: Root,
    state: Mutex<State>,
    /// Notified when something completes or is signalled.
    moved: Condvar,
}

thread_local! {
    /// How many calls of this thread are working on a driver's state.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// A guard for a call that is working on the state.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Whether this thread is working on the state of a driver.
pub(super) fn is_inside() -> bool {
    DEPTH.get() > 0
}

/// The state, locked.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    _inside: Inside,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Driver {
    /// Creates a driver that will be located at `here`, to which its handles point.
    pub(super) fn new(profile: &Profile, here: *const Driver) -> Driver {
        let profile = Arc::new(profile.clone());
        let families = profile.queue_families.iter().zip(0u32..);
        let slots: Vec<(u32, u32)> = families
            .flat_map(|((_, count), family)| (0..*count).map(move |s| (family, s)))
            .collect();
        let root = Root::new(here, slots.len());
        let queues = slots.iter().zip(root.queues()).map(|(&(family, slot), handle)| Queue {
            handle,
            family,
            slot,
            pending: Default::default(),
            stalled: false,
            after: Vec::new(),
        });
        let state = State::new(Arc::clone(&profile), queues.collect(), Arena::new(here));
        Driver {
            profile,
            calls: Calls::new(),
            root,
            state: Mutex::new(state),
            moved: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        let inside = Inside::enter();
        Locked { state: self.lock_state(), _inside: inside }
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call. Returns the error that it must return, if any.
    pub(super) fn enter(&self, call: Call) -> Result<(), vk::Result> {
        match self.calls.enter(call) {
            Verdict::Go => Ok(()),
            Verdict::Fail(result) => Err(result),
            Verdict::Late => {
                self.lock().report(Violation::AfterDestroy { call });
                Ok(())
            }
        }
    }

    /// Counts a call of a command that cannot fail.
    pub(super) fn note(&self, call: Call) {
        _ = self.enter(call);
    }

    /// Wakes the waiting threads.
    pub(super) fn notify(&self) {
        self.moved.notify_all();
    }

    /// Reports a null pointer.
    #[cold]
    pub(super) fn null(&self, call: Call) -> vk::Result {
        self.note_null(call);
        vk::Result::ERROR_VALIDATION_FAILED_EXT
    }

    /// Reports a null pointer to a command that cannot fail.
    #[cold]
    pub(super) fn note_null(&self, call: Call) {
        self.lock().report(Violation::Null { call });
    }

    /// Waits until `done`, for at most `timeout` nanoseconds of the fake's time. The GPU's clock
    /// moves while the host waits: batches complete one after another until `done`. When nothing
    /// more can complete, the rest of the timeout passes at once, except for the patience in real
    /// time that other threads are given.
    pub(super) fn wait(
        &self,
        call: Call,
        timeout: u64,
        mut done: impl FnMut(&mut State) -> bool,
    ) -> vk::Result {
        let _inside = Inside::enter();
        let mut state = self.lock_state();
        let mut deadline = None;
        loop {
            if done(&mut state) {
                return vk::Result::SUCCESS;
            }
            if self.calls.is_lost() {
                return vk::Result::ERROR_DEVICE_LOST;
            }
            if timeout == 0 {
                return vk::Result::TIMEOUT;
            }
            if state.advance() {
                self.notify();
                continue;
            }
            let patience = state.patience.min(Duration::from_nanos(timeout));
            let now = Instant::now();
            let end = *deadline.get_or_insert_with(|| now.checked_add(patience).unwrap_or(now));
            if now >= end {
                if timeout == u64::MAX {
                    state.report(Violation::NeverCompletes { call });
                }
                return vk::Result::TIMEOUT;
            }
            let wait = self.moved.wait_timeout(state, end.saturating_duration_since(now));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The device is destroyed: every live object is a violation.
    pub(super) fn destroy_device(&self) {
        if self.calls.set_destroyed() {
            let mut state = self.lock();
            let mut violations = std::mem::take(&mut state.violations);
            state.leaks(&mut violations);
            state.violations = violations;
        }
    }
}
