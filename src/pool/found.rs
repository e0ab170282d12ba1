//! What the ledger is asked for, and what it finds.
#![forbid(unsafe_code)]

use crate::tlsf::Key;

/// What the core notes of an allocation: bytes of the region behind what was asked for, and whether a handle owns it.
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
    /// What was asked for.
    pub(super) size: u64,
    /// What it got: the size, rounded up, and the guard.
    pub(super) reserved: u64,
    pub(super) by_handle: bool,
}

/// What an offset is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The start of a live allocation.
    Start(Live),
    /// Inside a live allocation, its guard included.
    Inside(Live),
    /// Not in a live one, but an allocation once began here.
    Freed,
    /// None ever began here.
    Untracked,
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) size: u64,
    pub(super) alignment: u64,
    /// Bytes behind it that nobody gets.
    pub(super) margin: u64,
    pub(super) by_handle: bool,
}

/// What waits for points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) key: Key,
    /// Bytes at its end that nobody may write to meanwhile, the device that still uses it included.
    pub(super) guard: u64,
}
