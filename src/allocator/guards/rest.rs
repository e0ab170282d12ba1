//! The quarantine of what the host watches: what ended rests, pending and poisoned, for so many collects,
//! and is looked at before it is free. A write that comes meanwhile hits nobody and is found.

use std::{collections::VecDeque, sync::atomic::Ordering};

use super::{
    super::{
        collect::Collected,
        inner::{Inner, Lane, LaneState},
    },
    host::mapping_of,
};
use crate::memory::Entry;

/// What rests in a lane, oldest first.
#[derive(Default, Debug)]
pub(in super::super) struct Resting {
    /// With the collect that ends the rest, and the bytes.
    entries: VecDeque<(Entry, u64, u64)>,
    bytes: u64,
}

impl Resting {
    /// An entry rests until a collect; not if the host has no memory to remember it by. O(1).
    fn push(&mut self, entry: Entry, until: u64, bytes: u64) -> bool {
        if self.entries.try_reserve(1).is_err() {
            return false;
        }
        self.entries.push_back((entry, until, bytes));
        self.bytes += bytes;
        true
    }

    fn pop(&mut self) -> Option<Entry> {
        let (entry, _, bytes) = self.entries.pop_front()?;
        self.bytes -= bytes;
        Some(entry)
    }

    /// The collect that ends the oldest one's rest: the next, if more bytes rest than may.
    fn next_end(&self, most: u64) -> u64 {
        if self.bytes > most {
            return 0;
        }
        self.entries.front().map_or(u64::MAX, |&(_, until, _)| until)
    }

    /// All that rests.
    pub(in super::super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(entry, ..)| entry)
    }
}

impl Inner {
    /// Takes out of entries that ended and are poisoned those that rest. Under the lock, so that a close
    /// comes before or after.
    pub(super) fn lay_to_rest(&self, lane: &Lane, state: &mut LaneState, entries: &mut Vec<Entry>) {
        let rest = u64::from(self.guards.quarantine.scrubs);
        if rest == 0 || !state.guards.poisons() || self.scrubs_have_ended() {
            return;
        }
        let until = self.collects.load(Ordering::Relaxed).saturating_add(rest);
        let LaneState { blocks, resting, .. } = &mut *state;
        entries.retain(|&entry| {
            let Some(block) = blocks.block(entry.slot) else { return true };
            let bytes = block.size_of(entry.key);
            !(mapping_of(block).is_some() && resting.push(entry, until, bytes))
        });
        lane.publish_rest(state.resting.next_end(self.guards.quarantine.bytes));
    }

    /// Frees what has rested long enough, or all of it where nothing rests any more; each is looked at.
    pub(in super::super) fn end_rests(&self, all: bool, collected: &mut Collected) {
        let all = all || self.scrubs_have_ended();
        let now = self.collects.load(Ordering::Relaxed);
        let most = self.guards.quarantine.bytes;
        for lane in self.lanes() {
            if !all && !lane.may_have_rested(now) {
                continue;
            }
            let mut state = lane.lock();
            let mut scratch = core::mem::take(&mut state.scratch);
            while all || state.resting.next_end(most) <= now {
                let Some(entry) = state.resting.pop() else { break };
                scratch.entries.push(entry);
            }
            lane.publish_rest(state.resting.next_end(most));
            let found = self.look_once_more(lane, &state, &scratch.entries);
            self.free_batch(lane, state, scratch, collected);
            self.guards.report(&found);
        }
    }
}
