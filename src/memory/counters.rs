//! The counters of a list of blocks. They are written with each change under the list's lock, and
//! read without it.

use super::fit_index::Present;
use crate::ground::published::Published;

/// Bytes and counts of a list of blocks. They have cache lines of their own, so that no other
/// writes share these.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// The number of allocations ever made.
    pub(crate) granted: Published,
    pub(crate) live: Published,
    pub(crate) live_count: Published,
    pub(crate) pending: Published,
    pub(crate) pending_count: Published,
    /// How often a range that nobody had ended became pending.
    pub(crate) held: Published,
    /// The most that were live at a time since the list was [handed on](Self::hand_on).
    pub(crate) peak_live: Published,
    /// The device memory that is held, in bytes.
    pub(crate) reserved: Published,
    pub(crate) blocks: Published,
    /// The number of blocks whose rank is to be looked at.
    pub(crate) restless: Published,
    /// The room of the largest free range of the shared blocks that TLSF splits, and of the
    /// tailored ones.
    pub(crate) shared: Published,
    pub(crate) tailored: Published,
    /// The room of lines.
    pub(crate) lines: Present,
    /// [`granted`](Self::granted), and the highest peak, when the list was last handed on.
    pub(crate) granted_before: Published,
    pub(crate) peak_before: Published,
}

impl Counters {
    /// Free → Used.
    #[inline(always)]
    pub(super) fn grant(&self, bytes: u64) {
        self.granted.add(1);
        self.live_count.add(1);
        let live = self.live.get() + bytes;
        self.live.set(live);
        if live > self.peak_live.get() {
            self.peak_live.set(live);
        }
    }

    /// Used → Free for a range that nobody got to know of: it counts as none that was ever granted.
    #[cold]
    pub(crate) fn withdraw(&self) {
        self.granted.subtract(1);
    }

    /// Used → Free.
    #[inline(always)]
    pub(super) fn end(&self, bytes: u64) {
        self.live_count.subtract(1);
        self.live.subtract(bytes);
    }

    /// Used → Pending.
    #[inline(always)]
    pub(super) fn retire(&self, bytes: u64) {
        self.end(bytes);
        self.pending_count.add(1);
        self.pending.add(bytes);
    }

    /// Free → Pending, or the remainder of a pending range.
    pub(super) fn wait(&self, bytes: u64, count: u64) {
        self.held.add(count);
        self.pending_count.add(count);
        self.pending.add(bytes);
    }

    /// Pending → Free, or to another owner.
    #[inline(always)]
    pub(super) fn reach(&self, bytes: u64, count: u64) {
        self.pending_count.subtract(count);
        self.pending.subtract(bytes);
    }

    /// The list starts again for another owner.
    pub(crate) fn hand_on(&self) {
        self.peak_before.set(self.peak_before.get().max(self.peak_live.get()));
        self.peak_live.set(0);
        self.granted_before.set(self.granted.get());
        self.held.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_handed_the_list_counts_from_nothing() {
        let counters = Counters::default();
        counters.grant(100);
        counters.retire(100);
        counters.wait(50, 2);
        counters.reach(150, 3);
        counters.hand_on();
        counters.grant(30);
        counters.end(30);
        counters.hand_on();
        let now = [&counters.peak_live, &counters.held, &counters.live, &counters.pending];
        assert_eq!(now.map(Published::get), [0; 4]);
        // What all of them had together, or at most.
        let [granted, before] = [&counters.granted, &counters.granted_before].map(Published::get);
        assert_eq!((granted, before, counters.peak_before.get()), (2, 2, 100));
    }
}
