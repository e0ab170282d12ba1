//! Injected faults: the n-th call of a command fails, or every call does, or the device is lost.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ash::vk;

use super::call::Call;

const FAULTS: u32 = 1;
const LOST: u32 = 2;
const DESTROYED: u32 = 4;

#[derive(Clone, Copy)]
struct Fault {
    call: Call,
    /// The running number of the call; `None` means every call.
    number: Option<u64>,
    result: vk::Result,
}

/// Counts calls and decides which of them fail. If there are no faults, a call costs two atomic
/// operations.
pub(super) struct Calls {
    counts: [AtomicU64; Call::COUNT],
    switches: AtomicU32,
    faults: Mutex<Vec<Fault>>,
}

/// What to do with a call.
pub(super) enum Verdict {
    /// Execute it.
    Go,
    /// Return this result.
    Fail(vk::Result),
    /// Report that it came after the device was destroyed, then execute it.
    Late,
}

impl Calls {
    pub(super) fn new() -> Calls {
        Calls {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            switches: AtomicU32::new(0),
            faults: Mutex::new(Vec::new()),
        }
    }

    /// Counts a call.
    pub(super) fn enter(&self, call: Call) -> Verdict {
        let number = self.counter(call).map_or(0, |count| count.fetch_add(1, Ordering::Relaxed));
        match self.switches.load(Ordering::Acquire) {
            0 => Verdict::Go,
            switches => self.judge(call, number, switches),
        }
    }

    #[cold]
    fn judge(&self, call: Call, number: u64, switches: u32) -> Verdict {
        if switches & FAULTS != 0 && call.can_fail() {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            let hit = faults
                .iter()
                .position(|f| f.call == call && f.number.is_none_or(|wanted| wanted == number));
            if let Some(fault) = hit.and_then(|index| faults.get(index).copied()) {
                faults.retain(|f| f.call != call || f.number != Some(number));
                return Verdict::Fail(fault.result);
            }
        }
        if switches & LOST != 0 && call.reports_loss() {
            return Verdict::Fail(vk::Result::ERROR_DEVICE_LOST);
        }
        if switches & DESTROYED != 0 && call != Call::DestroyInstance {
            return Verdict::Late;
        }
        Verdict::Go
    }

    pub(super) fn count(&self, call: Call) -> u64 {
        self.counter(call).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn counter(&self, call: Call) -> Option<&AtomicU64> {
        self.counts.get(call as usize)
    }

    /// The call after `nth` more of its kind fails, once. Without `nth`, every call fails.
    pub(super) fn fail(&self, call: Call, nth: Option<u64>, result: vk::Result) {
        let number = nth.map(|nth| self.count(call).saturating_add(nth));
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push(Fault { call, number, result });
        self.switches.fetch_or(FAULTS, Ordering::Release);
    }

    pub(super) fn clear_faults(&self) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.switches.fetch_and(!FAULTS, Ordering::Release);
    }

    pub(super) fn set_lost(&self) {
        self.switches.fetch_or(LOST, Ordering::Release);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.switches.load(Ordering::Acquire) & LOST != 0
    }

    /// Marks the device as destroyed. Returns false if it was destroyed already.
    pub(super) fn set_destroyed(&self) -> bool {
        self.switches.fetch_or(DESTROYED, Ordering::AcqRel) & DESTROYED == 0
    }

    pub(super) fn is_destroyed(&self) -> bool {
        self.switches.load(Ordering::Acquire) & DESTROYED != 0
    }
}
