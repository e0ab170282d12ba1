//! The quarantine of what the host watches: what ended rests, pending and poisoned, for so many collects,
//! and is looked at before it is free. A write that comes meanwhile hits nobody and is found.

use std::sync::atomic::Ordering;

use super::{
    super::{
        collect::{Collected, Freeing},
        inner::{Inner, Lane, LaneState},
    },
    host::{look_once_more, mapping_of},
    scrubs::keep_in_front,
};
use crate::memory::Entry;

impl Inner {
    /// Of entries that ended and are poisoned some rest; moves the others to the front. How many those are. Under
    /// the lock, so that a close comes before or after.
    pub(super) fn lay_to_rest(
        &self,
        lane: &Lane,
        state: &mut LaneState,
        entries: &mut [Entry],
    ) -> usize {
        let rest = u64::from(self.guards.quarantine.scrubs);
        if rest == 0 || !state.guards.poisons() || self.scrubs_have_ended() {
            return entries.len();
        }
        let until = self.collects.load(Ordering::Relaxed).saturating_add(rest);
        let LaneState { blocks, resting, .. } = &mut *state;
        let left = keep_in_front(entries, |entry| {
            let Some(block) = blocks.block(entry.slot) else { return true };
            let bytes = block.size_of(entry.key);
            !(mapping_of(&block).is_some() && resting.push(entry, until, bytes))
        });
        lane.publish_rest(state.resting.next_end(self.guards.quarantine.bytes));
        left
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
            let LaneState { blocks, resting, .. } = &mut *state;
            let (mut freeing, mut found) = (Freeing::new(blocks), Vec::new());
            while all || resting.next_end(most) <= now {
                let Some(entry) = resting.pop() else { break };
                look_once_more(lane, blocks, entry, &mut found);
                freeing.add(blocks, entry);
            }
            lane.publish_rest(resting.next_end(most));
            self.end_freeing(lane, state, freeing, collected);
            self.guards.report(&found);
        }
    }
}
