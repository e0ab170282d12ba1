//! The last handle is dropped while the facade closes. A handle counts nothing: it holds a bare
//! pointer, which is valid because the handle's region keeps its block non-empty, and a non-empty
//! block holds a count of the heart.

use core::{mem::ManuallyDrop, ptr::NonNull};

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::{cell::UnsafeCell, thread};

/// The rule, and what goes wrong without it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Kept,
    /// A control: an emptied block's count is dropped under the lane's lock, which lives in the heart.
    DropsUnderTheLock,
    /// A control: a handle asks before it takes the lane's lock whether the facade is gone, so that
    /// the close may happen in between.
    AsksBeforeTheLock,
}

#[derive(Default)]
struct Lane {
    used: u32,
    keeper: Option<Arc<Heart>>,
}

impl Lane {
    /// Pending → free for everything that waits: the GPU is done. If no region is used, the count
    /// is returned.
    fn collect(&mut self) -> Option<Arc<Heart>> {
        if self.used == 0 { self.keeper.take() } else { None }
    }
}

/// Written when the heart is destroyed. Every other access reads it, so that loom detects a
/// conflict.
#[derive(Clone)]
struct Alive(Arc<UnsafeCell<bool>>);

impl Alive {
    fn get(&self) -> bool {
        // SAFETY: loom reports an access that is not ordered before the end.
        self.0.with(|alive| unsafe { *alive })
    }

    fn touch(&self) {
        assert!(self.get(), "touched after its end");
    }
}

/// The counterpart of `Inner` in the allocator.
struct Heart {
    closed: AtomicBool,
    lane: Mutex<Lane>,
    alive: Alive,
}

impl Drop for Heart {
    fn drop(&mut self) {
        // SAFETY: as in `get`.
        self.alive.0.with_mut(|alive| unsafe { *alive = false });
    }
}

impl Heart {
    fn collect(&self) {
        let keeper = self.lane.lock().unwrap().collect();
        drop(keeper);
    }
}

/// A handle: a bare pointer to the heart.
struct Handle(NonNull<Heart>, Alive);

// SAFETY: `Heart` is `Sync`.
unsafe impl Send for Handle {}

impl Handle {
    fn new(heart: &Arc<Heart>) -> Self {
        let mut lane = heart.lane.lock().unwrap();
        lane.used += 1;
        lane.keeper.get_or_insert_with(|| Arc::clone(heart));
        Self(NonNull::from(&**heart), heart.alive.clone())
    }

    /// A drop. While the GPU is idle the range is free immediately. Otherwise it waits, and a
    /// thread that finds the facade gone collects it itself, because no other thread does.
    fn end(self, idle: bool, rule: Rule) {
        self.1.touch();
        // SAFETY: the region is used, so its block holds a count.
        let heart = unsafe { self.0.as_ref() };
        let early = heart.closed.load(Ordering::Acquire);
        let mut lane = heart.lane.lock().unwrap();
        lane.used -= 1;
        if idle {
            let mut keeper = lane.collect();
            // Not unlocked if the control panics, because the lock would be gone.
            let lane = ManuallyDrop::new(lane);
            if rule == Rule::DropsUnderTheLock {
                drop(keeper.take());
                self.1.touch();
            }
            drop(ManuallyDrop::into_inner(lane));
            return drop(keeper);
        }
        let closed = heart.closed.load(Ordering::Acquire);
        let closed = if rule == Rule::AsksBeforeTheLock { early } else { closed };
        // A count that is held is a share of the block's count. Without one, the heart must not be
        // accessed any more.
        let myself = if closed { lane.keeper.clone() } else { None };
        drop(lane);
        if let Some(myself) = myself {
            self.1.touch();
            myself.collect();
        }
    }
}

fn last_handle_beside_close(rule: Rule, idle: bool) {
    loom::model(move || {
        let alive = Alive(Arc::new(UnsafeCell::new(true)));
        let (closed, lane) = Default::default();
        let heart = Arc::new(Heart { closed, lane, alive: alive.clone() });
        let [mine, theirs] = [(); 2].map(|()| Handle::new(&heart));
        let other = thread::spawn(move || theirs.end(idle, rule));
        mine.end(false, rule);
        // The facade closes: from here on, handles finish their work themselves, and so does this
        // thread.
        heart.closed.store(true, Ordering::Release);
        heart.collect();
        drop(heart);
        other.join().unwrap();
        assert!(!alive.get(), "the heart ends with the last of them");
    });
}

#[test]
fn the_heart_ends_once_after_both() {
    [true, false].into_iter().for_each(|idle| last_handle_beside_close(Rule::Kept, idle));
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
