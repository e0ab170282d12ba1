//! Where memory may come from.

use core::{cell::RefCell, panic::Location};

use super::dependency::Dependency;
use crate::{guard::GuardPolicy, memory::ArenaPolicy, retire::TimelineId};

/// Where memory may come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// Any memory type that fits.
    Types,
    /// One arena.
    Arena(&'a ArenaBlocks),
    /// Any memory type that fits; ranges that are pending too.
    Ordered(&'a Order),
    /// The blocks that a memory type or an arena has, but not those that are to become empty.
    Others(u32, Option<&'a ArenaBlocks>),
}

/// What an arena was made with, and which lane it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArenaBlocks {
    pub(super) lane: u32,
    pub(super) policy: ArenaPolicy,
    /// The size of every block; without one they grow as everywhere else.
    pub(super) block_size: Option<u64>,
    pub(super) most: u32,
    pub(super) min_alignment: u64,
    pub(super) guards: GuardPolicy,
}

/// The queue that a request is ordered by.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) queue: TimelineId,
    /// What came out.
    pub(super) dependency: RefCell<Dependency>,
    /// The user's call.
    pub(super) origin: &'static Location<'static>,
}

impl Order {
    #[track_caller]
    pub(super) fn by(queue: TimelineId) -> Self {
        Self { queue, dependency: RefCell::default(), origin: Location::caller() }
    }
}
