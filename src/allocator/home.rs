//! How a handle reaches its allocator without reference counting: the block that contains it holds
//! the reference.
//!
//! One count for all handles would be a cache line that every thread writes at every allocation.
//! Instead, a block holds one reference to [`Inner`] from its first used region to its last (see
//! `LaneState::keep`). A handle holds a bare pointer to the block's [`Plate`], which contains one
//! to the allocator. This file is the only place that dereferences these pointers.

use core::{ops::Deref, ptr::NonNull};

use super::inner::Inner;
use crate::memory::{Grant, Plate};

/// A pointer to the data that a block provides to its handles, and through it to the allocator that
/// the block keeps alive.
///
/// **Invariant**: as long as a `Home` exists, a region that only its owner may end is used.
/// Therefore its block is not empty, stays in its list together with its plate, and holds a
/// reference to the `Inner` that the plate points to.
#[derive(Clone, Copy)]
pub(super) struct Home(NonNull<Plate>);

// SAFETY: `Plate` and `Inner` are `Sync`, and a `Home` gives shared access to them only.
unsafe impl Send for Home {}
// SAFETY: as above.
unsafe impl Sync for Home {}

impl Home {
    /// The home of a new allocation.
    #[inline(always)]
    pub(super) fn new(grant: &Grant) -> Self {
        Self(grant.plate)
    }

    /// The data of the block.
    #[inline(always)]
    pub(super) fn plate(&self) -> &Plate {
        // SAFETY: by the invariant the block is in its list now. Plates are never written, and a plate does
        // not move and is not freed while its block exists. If the owner of this `Home` ends its region during
        // the borrow, the argument below applies.
        unsafe { self.0.as_ref() }
    }
}

impl Deref for Home {
    type Target = Inner;

    #[inline(always)]
    fn deref(&self) -> &Inner {
        let inner = self.plate().whose.address().cast::<Inner>();
        // SAFETY:
        // * the address is that of the `Inner` that owns the lanes, taken from its own `Weak`;
        // * by the invariant the block holds a reference, so the `Inner` is alive now;
        // * the owner of this `Home` may end its region during the borrow. Another thread can then take the
        //   block's reference as soon as the lane's lock is free. `Inner::retire` and similar functions
        //   access nothing of `Inner` after they release that lock, unless they hold a keeper.
        unsafe { &*inner }
    }
}
