//! The last handle goes while the facade does. A handle counts nothing: it holds a bare pointer, valid
//! because its region keeps its block non-empty, and a non-empty block holds a count of the heart.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU8, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

const OPEN: u8 = 0;
const CLOSED: u8 = 1;

/// The rule, and what goes wrong without it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Kept,
    /// A control: the count of an emptied block is dropped under the lane's lock, which lives in the
    /// heart.
    DropsUnderTheLock,
    /// A control: a handle asks whether the facade is gone before it takes the lane's lock, so that the
    /// close may come in between and nobody finishes its work.
    AsksBeforeTheLock,
}

#[derive(Default)]
struct Lane {
    used: u32,
    pending: u32,
    keeper: Option<Arc<Heart>>,
}

/// What `Inner` is to an allocator.
struct Heart {
    life: AtomicU8,
    lane: Mutex<Lane>,
    /// Written at its end; every other access reads it, so that loom sees the two meet.
    alive: Arc<UnsafeCell<bool>>,
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.alive.with_mut(|alive| {
            // SAFETY: loom reports an access that is not ordered before this.
            unsafe { *alive = false }
        });
    }
}

impl Heart {
    /// Pending → free for all that waits: the GPU is done. The count of an emptied block comes out.
    fn collect(&self) {
        let mut lane = self.lane.lock().unwrap();
        lane.pending = 0;
        let keeper = lane.vacate();
        drop(lane);
        drop(keeper);
    }
}

impl Lane {
    fn vacate(&mut self) -> Option<Arc<Heart>> {
        if self.used + self.pending == 0 { self.keeper.take() } else { None }
    }
}

fn touch(alive: &Arc<UnsafeCell<bool>>) {
    alive.with(|alive| {
        // SAFETY: as above.
        assert!(unsafe { *alive }, "touched after its end");
    });
}

/// A handle: a bare pointer to the heart.
struct Handle(NonNull<Heart>);

// SAFETY: `Heart` is `Sync`.
unsafe impl Send for Handle {}

impl Handle {
    fn new(heart: &Arc<Heart>) -> Self {
        let mut lane = heart.lane.lock().unwrap();
        lane.used += 1;
        lane.keeper.get_or_insert_with(|| Arc::clone(heart));
        Self(NonNull::from(&**heart))
    }

    /// What a handle's drop does while the GPU is idle: its range is free at once.
    fn free(self, alive: &Arc<UnsafeCell<bool>>, rule: Rule) {
        touch(alive);
        // SAFETY: the region is used, so its block holds a count.
        let mut lane = unsafe { self.0.as_ref() }.lane.lock().unwrap();
        lane.used -= 1;
        let keeper = lane.vacate();
        if rule == Rule::DropsUnderTheLock {
            let lane = ManuallyDrop::new(lane);
            drop(keeper);
            touch(alive);
            drop(ManuallyDrop::into_inner(lane));
        } else {
            drop(lane);
            drop(keeper);
        }
    }

    /// What it does while the GPU works: retire, and finish that itself once nobody else collects.
    fn retire(self, alive: &Arc<UnsafeCell<bool>>, rule: Rule) {
        touch(alive);
        // SAFETY: as above.
        let heart = unsafe { self.0.as_ref() };
        let is_closed = || heart.life.load(Ordering::Acquire) == CLOSED;
        let early = is_closed();
        let myself = {
            let mut lane = heart.lane.lock().unwrap();
            lane.used -= 1;
            lane.pending += 1;
            let closed = if rule == Rule::AsksBeforeTheLock { early } else { is_closed() };
            // The region is pending, so its block's count can be shared.
            if closed { lane.keeper.clone() } else { None }
        };
        // Nothing of the heart is touched any more, but with a count in hand.
        if let Some(myself) = myself {
            touch(alive);
            myself.collect();
        }
    }
}

fn last_handle_beside_close(rule: Rule, idle: bool) {
    loom::model(move || {
        let alive = Arc::new(UnsafeCell::new(true));
        let heart = Arc::new(Heart {
            life: AtomicU8::new(OPEN),
            lane: Mutex::default(),
            alive: Arc::clone(&alive),
        });
        let handles = [Handle::new(&heart), Handle::new(&heart)];
        let [mine, theirs] = handles;
        let beside = Arc::clone(&alive);
        let other = thread::spawn(move || match idle {
            true => theirs.free(&beside, rule),
            false => theirs.retire(&beside, rule),
        });
        mine.retire(&alive, rule);
        // The facade closes: from here on handles finish their work, and so does this.
        heart.life.fetch_max(CLOSED, Ordering::AcqRel);
        heart.collect();
        drop(heart);
        other.join().unwrap();
        alive.with(|alive| {
            // SAFETY: both threads are done.
            assert!(!unsafe { *alive }, "the heart ends with the last of them");
        });
    });
}

#[test]
fn the_heart_ends_once_after_both() {
    for idle in [true, false] {
        last_handle_beside_close(Rule::Kept, idle);
    }
}

#[test]
#[should_panic = "touched after its end"]
fn control_a_count_dropped_under_the_lock_is_the_end_of_the_lock() {
    last_handle_beside_close(Rule::DropsUnderTheLock, true);
}

#[test]
#[should_panic = "the heart ends with the last of them"]
fn control_who_asks_before_the_lock_may_leave_its_work_to_nobody() {
    last_handle_beside_close(Rule::AsksBeforeTheLock, false);
}
