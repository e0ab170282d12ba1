//! The quarantine of what the host watches: what ended rests, pending and poisoned, for so many collects,
//! and is looked at before it is free. A write that comes meanwhile hits nobody and is found.

use std::sync::atomic::Ordering;

use super::{
    super::{
        collect::Collected,
        inner::{Inner, Lane, LaneState},
    },
    host::mapping_of,
};
use crate::memory::Entry;

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
            !(mapping_of(&block).is_some() && resting.push(entry, until, bytes))
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
