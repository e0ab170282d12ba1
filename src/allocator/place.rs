//! Where memory may come from.

use core::{cell::RefCell, panic::Location};

use super::dependency::Dependency;
use crate::{guard::GuardPolicy, memory::ArenaPolicy, retire::TimelineId};

/// Where memory may come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// Any suitable memory type.
    Types,
    /// One arena.
    Arena(&'a ArenaBlocks),
    /// Any suitable memory type, including pending ranges.
    Ordered(&'a Order),
    /// The existing blocks of a memory type or an arena, except those that are being emptied.
    Others(u32, Option<&'a ArenaBlocks>),
}

/// The settings of an arena, and its lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArenaBlocks {
    pub(super) lane: u32,
    pub(super) policy: ArenaPolicy,
    /// The size of every block. Without it, blocks grow as elsewhere.
    pub(super) block_size: Option<u64>,
    pub(super) most: u32,
    pub(super) min_alignment: u64,
    pub(super) guards: GuardPolicy,
}

/// The queue that orders the uses of a request.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) queue: TimelineId,
    /// The resulting dependency.
    pub(super) dependency: RefCell<Dependency>,
    /// The place of the user's call.
    pub(super) origin: &'static Location<'static>,
}

impl Order {
    #[track_caller]
    pub(super) fn by(queue: TimelineId) -> Self {
        Self { queue, dependency: RefCell::default(), origin: Location::caller() }
    }
}
