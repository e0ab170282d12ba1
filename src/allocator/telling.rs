//! Reporting to `tracing`; the module [`events`](crate::events) lists the events.

use std::panic::Location;

use super::{
    error::{AllocateError, Tried},
    inner::{Inner, Lane},
    names::named,
    request::Request,
};
use crate::{events, memory::Entry, retire::Point};

impl Inner {
    /// An allocation was made, and its handle was not returned yet. Called if the allocator is
    /// observed.
    #[cold]
    #[inline(never)]
    pub(super) fn observe_grant(
        &self,
        lane: &Lane,
        entry: Entry,
        (offset, bytes): (u64, u64),
        name: Option<&'static str>,
        location: &'static Location<'static>,
    ) {
        if self.audit {
            self.origins.note(lane.index, entry, location);
        }
        tracing::trace!(
            target: events::ALLOCATION,
            memory_type = lane.memory_type,
            block = entry.slot,
            key = entry.key.to_bits(),
            offset,
            bytes,
            name,
            "allocated"
        );
    }

    /// An allocation is about to end; if the user passed the points that its end waits for, at
    /// these. Called if the allocator is observed.
    #[cold]
    #[inline(never)]
    pub(super) fn observe_end(&self, lane: u32, entry: Entry, points: Option<&[Point]>) {
        let Some(of) = self.lane(lane) else { return };
        // A raw key may be stale; the calling function reports that error.
        if of.lock().blocks.used(entry).is_err() {
            return;
        }
        if let (true, Some(points)) = (self.audit, points) {
            self.audit_end(of, entry, points);
        }
        let memory_type = of.memory_type;
        tracing::trace!(
            target: events::ALLOCATION,
            memory_type, block = entry.slot, key = entry.key.to_bits(),
            "ended"
        );
    }

    /// Reports an end at points that do not cover a recorded use.
    fn audit_end(&self, lane: &Lane, entry: Entry, points: &[Point]) {
        let used = (lane.index, entry);
        let overlooked = self.with_register(|register| register.overlooked(used, points));
        let Some(point) = overlooked else { return };
        let name = lane.lock().blocks.tenant(entry).name;
        tracing::error!(
            target: events::WAITING, allocation = named(name), used_until = ?point,
            "an allocation ends at points older than a recorded use: the GPU may still use its range"
        );
    }

    /// Reports the counters, for plots.
    pub(super) fn tell_counters(&self) {
        if !tracing::enabled!(target: events::MEMORY, tracing::Level::TRACE) {
            return;
        }
        let statistics = self.statistics();
        tracing::trace!(
            target: events::MEMORY,
            live = statistics.total.live,
            pending = statistics.total.pending,
            free = statistics.total.free,
            reserved = statistics.total.reserved,
            allocations = statistics.total.live_count,
            "counters"
        );
    }

    /// Reports that a request was not served by the first choice.
    #[cold]
    pub(super) fn tell_fallback(&self, lane: &Lane, bytes: u64, tried: Tried) {
        tracing::debug!(
            target: events::FALLBACK,
            memory_type = lane.memory_type, bytes, ?tried,
            "the first choice did not serve an allocation"
        );
    }

    /// Reports that a request failed for lack of memory. This is expected if its flags allow it to
    /// fail.
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
                "out of memory within the limits of the request"
            );
        }
    }
}

/// Reports a block that was allocated from the driver and is in its list. Called with no lock held.
#[cold]
pub(super) fn tell_block(lane: &Lane, bytes: u64, dedicated: bool) {
    tracing::debug!(
        target: events::BLOCK,
        memory_type = lane.memory_type, bytes, dedicated,
        "allocated a block"
    );
}
