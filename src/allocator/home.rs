//! How a handle reaches its allocator without counting: the block it lives in counts for it.
//!
//! A count for each handle would be one cache line that every thread writes at every allocation.
//! Instead a block holds one count of [`Inner`] from its first used region to its last (see
//! `LaneState::keep`), and a handle holds a bare pointer. This file is the only place that follows
//! that pointer.

use core::{ops::Deref, ptr::NonNull};
use std::sync::Arc;

use super::inner::Inner;

/// A pointer to the allocator that a block keeps alive for whoever holds this.
///
/// **Invariant**: as long as a `Home` exists, a region that its owner alone may end is used, so
/// its block is not empty, so the block holds a count of the `Inner` pointed to.
#[derive(Clone, Copy)]
pub(super) struct Home(NonNull<Inner>);

// SAFETY: `Inner` is `Sync`, and a `Home` gives shared access to it only.
unsafe impl Send for Home {}
// SAFETY: as above.
unsafe impl Sync for Home {}

impl Home {
    /// The home of an allocation that was just made in `inner`.
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        // An `Arc`'s pointer is never null.
        Self(NonNull::from(&**inner))
    }
}

impl Deref for Home {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        // SAFETY:
        // * by the invariant a block holds a count, so the `Inner` is alive now;
        // * the owner of this `Home` may end its region during the borrow: then another thread can
        //   take the block's count once the lane's lock is free. `Inner::retire` and its like
        //   touch nothing of `Inner` after they release that lock, except with a keeper in hand.
        unsafe { self.0.as_ref() }
    }
}
