//! The quarantine of memory that the host watches: freed memory stays pending and poisoned for a
//! number of collects, and is checked before it is free. A write in the meantime hits no new owner,
//! and is found.

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
    /// Puts some of the entries that ended and are poisoned in quarantine, and moves the others to
    /// the front. Returns how many those are. Called under the lock, so that a close comes either
    /// before or after.
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

    /// Checks and frees entries that have rested long enough, or all of them if the quarantine has
    /// ended.
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
            let freed = freeing.end(blocks);
            self.end_freeing(lane, state, freed, collected);
            self.guards.report(&found);
        }
    }
}
