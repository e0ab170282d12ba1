//! What waits for a scrub, and what comes next.
//!
//! ```text
//! handed out: Used            ── Open ──▶ its margins hold the pattern
//! ended:      Pending         ── End ───▶ margins checked, all of it filled: Pending, in quarantine
//!             in quarantine   ── Recheck ▶ a word that changed is a write after free: Free
//! free:       Pending meanwhile ─ Held ──▶ likewise: Free again
//! fresh:      Pending meanwhile ─ Fresh ─▶ filled, with the pattern or with zeros: Free again
//! ```

use std::collections::TryReserveError;

use crate::memory::{BlockList, Entry, Freed};

/// What a scrub does for an entry, and what comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Open,
    End,
    Recheck {
        /// So many scrubs were recorded before.
        rest: u64,
    },
    Held,
    Fresh,
}

/// No scrub.
pub(super) const NOBODY: u64 = 0;

/// An entry that waits for a scrub, or for the GPU to have passed one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    pub(super) entry: Entry,
    pub(super) step: Step,
    pub(super) freed: Freed,
    /// The number of the scrub that has it in hand, or [`NOBODY`].
    pub(super) scrub: u64,
    /// The last scrub that began before it ended: that and older ones may work on its margins. 0 where it has none,
    /// or has not ended.
    pub(super) after: u64,
}

/// All that waits in a lane, oldest first. Who waits stays listed until it is free, in whichever scrub's hands.
///
/// There is a place for the end of each region that was [handed out](Self::reserve), so that an end needs no memory.
#[derive(Default, Debug)]
pub(in super::super) struct WaitList {
    list: Vec<Waiting>,
    /// How many of them were handed out; all others have ended.
    opened: usize,
}

impl WaitList {
    /// Makes sure that there are places for so many more besides those of all that has not ended yet, of so many
    /// regions that are used or pending. O(1) amortised.
    pub(super) fn reserve(&mut self, more: usize, taken: u64) -> Result<(), TryReserveError> {
        self.list.try_reserve(self.to_end(taken).saturating_add(more))
    }

    /// How many of so many regions have not ended.
    fn to_end(&self, taken: u64) -> usize {
        (taken as usize).saturating_sub(self.list.len() - self.opened)
    }

    /// Whether there is a place for the end of each of so many regions that are used or pending.
    pub(in super::super) fn has_places(&self, taken: u64) -> bool {
        self.list.capacity() - self.list.len() >= self.to_end(taken)
    }

    /// Adds what there is a [place](Self::reserve) for.
    pub(super) fn push(&mut self, waiting: Waiting) {
        debug_assert!(self.list.len() < self.list.capacity(), "a place was reserved");
        self.opened += usize::from(waiting.step == Step::Open);
        self.list.push(waiting);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.list.iter()
    }

    /// Those that no scrub has in hand and that have ended.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Waiting> {
        self.list.iter().filter(|one| one.scrub == NOBODY && one.step != Step::Open)
    }

    /// Takes out those that do not stay; the others may be changed. The places stay.
    pub(super) fn retain(&mut self, stays: impl FnMut(&mut Waiting) -> bool) {
        self.list.retain_mut(stays);
        self.opened = self.list.iter().filter(|one| one.step == Step::Open).count();
    }

    /// A scrub takes in hand what is due. Where so many were recorded before, those rest whose quarantine goes on:
    /// the newest, as far as so many bytes go.
    pub(super) fn take_due(&mut self, scrub: u64, blocks: &BlockList, rest: Option<(u64, u64)>) {
        let mut left = rest.map(|(_, bytes)| bytes);
        for one in self.list.iter_mut().rev().filter(|one| one.scrub == NOBODY) {
            let rests = match (one.step, rest) {
                (Step::Recheck { rest }, Some((recorded, _))) => recorded < rest,
                _ => false,
            };
            if rests {
                left = left.and_then(|left| left.checked_sub(blocks.pending_size(one.entry)));
            }
            if !rests || left.is_none() {
                one.scrub = scrub;
            }
        }
    }

    /// Those that a scrub has in hand, by their blocks. None without memory for the list.
    pub(super) fn of_scrub(&self, scrub: u64) -> Result<Vec<Waiting>, TryReserveError> {
        let of = || self.list.iter().filter(|one| one.scrub == scrub);
        let mut list: Vec<Waiting> = Vec::new();
        list.try_reserve_exact(of().count())?;
        list.extend(of());
        list.sort_unstable_by_key(|one| (one.entry.slot, one.entry.key.index()));
        Ok(list)
    }
}
