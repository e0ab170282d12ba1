//! Telling `tracing` what happens; the page [`events`](crate::events) lists it.

use std::panic::Location;

use super::{
    allocate::Request,
    error::{AllocateError, Tried},
    inner::{Inner, Lane},
};
use crate::{
    events,
    memory::{Entry, Grant},
};

impl Inner {
    /// An allocation was made, and nobody has its handle yet. For an allocator that is observed.
    #[cold]
    #[inline(never)]
    pub(super) fn observe_grant(
        &self,
        lane: &Lane,
        grant: &Grant,
        name: Option<&'static str>,
        location: &'static Location<'static>,
    ) {
        if self.audit {
            self.origins.note(lane.index, grant.entry, location);
        }
        tracing::trace!(
            target: events::ALLOCATION,
            memory_type = lane.memory_type,
            block = grant.entry.slot,
            key = grant.entry.key.to_bits(),
            offset = grant.offset,
            bytes = grant.size,
            name,
            "allocated"
        );
    }

    /// An allocation is about to end by one of the doors. For an allocator that is observed.
    #[cold]
    #[inline(never)]
    pub(super) fn observe_end(&self, lane: u32, entry: Entry) {
        let memory_type = self.lane(lane).map(|lane| lane.memory_type);
        tracing::trace!(
            target: events::ALLOCATION,
            memory_type, block = entry.slot, key = entry.key.to_bits(),
            "ended"
        );
    }

    /// The counters, for plots.
    pub(super) fn tell_counters(&self) {
        if !tracing::enabled!(target: events::MEMORY, tracing::Level::TRACE) {
            return;
        }
        let statistics = self.statistics();
        tracing::trace!(
            target: events::MEMORY,
            live = statistics.live,
            pending = statistics.pending,
            free = statistics.free,
            reserved = statistics.reserved,
            allocations = statistics.live_count,
            "counters"
        );
    }

    /// A request goes another way than the first.
    #[cold]
    pub(super) fn tell_fallback(&self, lane: &Lane, bytes: u64, tried: Tried) {
        tracing::debug!(
            target: events::FALLBACK,
            memory_type = lane.memory_type, bytes, ?tried,
            "an allocation goes another way"
        );
    }

    /// A request fails for lack of memory, which is no surprise where its flags say that it may.
    #[cold]
    pub(super) fn tell_pressure(&self, request: &Request, error: AllocateError) {
        let AllocateError::OutOfDeviceMemory {
            requested,
            largest_free,
            pending,
            heap,
            left,
            tried,
            ..
        } = error
        else {
            return;
        };
        if request.flags.is_empty() {
            tracing::warn!(
                target: events::PRESSURE,
                heap, requested, largest_free, pending, left, ?tried,
                "out of memory"
            );
        } else {
            tracing::debug!(
                target: events::PRESSURE,
                heap, requested, largest_free, pending, left, ?tried,
                "out of memory, or of what the request may take"
            );
        }
    }
}
