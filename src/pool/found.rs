//! Requests to the ledger, and its results.
#![forbid(unsafe_code)]

use crate::tlsf::Key;

/// What the core notes of an allocation: the number of bytes by which its region exceeds the
/// requested size, and whether a handle owns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Note(pub(super) u32);

impl Note {
    pub(super) const BY_HANDLE: u32 = 1 << 30;

    pub(super) fn is_by_handle(self) -> bool {
        self.0 & Self::BY_HANDLE != 0
    }

    pub(super) fn slack(self) -> u64 {
        u64::from(self.0 & !Self::BY_HANDLE)
    }
}

/// A live allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Live {
    pub(super) key: Key,
    pub(super) offset: u64,
    /// The requested size.
    pub(super) size: u64,
    /// The reserved size: the requested one, rounded up, and the guard.
    pub(super) reserved: u64,
    pub(super) by_handle: bool,
}

/// The classification of an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The start of a live allocation.
    Start(Live),
    /// Inside a live allocation, its guard included.
    Inside(Live),
    /// Not in a live allocation, but one once started here.
    Freed,
    /// No allocation ever started here.
    Untracked,
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) size: u64,
    pub(super) alignment: u64,
    /// The number of unused bytes after it.
    pub(super) margin: u64,
    pub(super) by_handle: bool,
}

/// An allocation that waits for points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) key: Key,
    /// The number of bytes at its end that nobody may write to while it waits, not even the device
    /// that still uses it.
    pub(super) guard: u64,
}
