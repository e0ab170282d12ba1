//! The entries that wait for a scrub, and their next step.
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

/// What a scrub does for an entry, and what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Open,
    End,
    Recheck {
        /// The number of scrubs that have to be recorded before the one that checks it.
        rest: u64,
    },
    Held,
    Fresh,
}

/// No scrub.
pub(super) const NOBODY: u64 = 0;

/// An entry that waits for a scrub, or for the GPU to pass one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    pub(super) entry: Entry,
    pub(super) step: Step,
    pub(super) freed: Freed,
    /// The number of the scrub that processes it, or [`NOBODY`].
    pub(super) scrub: u64,
    /// The last scrub that began before the entry ended: that one and older ones may work on its
    /// margins. 0 if it has no margins, or has not ended.
    pub(super) after: u64,
}

/// All waiting entries of a lane, oldest first. An entry stays listed until it is free, whichever
/// scrub processes it.
///
/// There is a place for the end of each region that was [handed out](Self::reserve), so that an end
/// needs no memory.
#[derive(Default, Debug)]
pub(in super::super) struct WaitList {
    list: Vec<Waiting>,
    /// The number of entries that were handed out; all others have ended.
    opened: usize,
}

impl WaitList {
    /// Ensures that there are `more` places in addition to those for all entries that have not
    /// ended yet, out of `taken` regions that are used or pending. O(1) amortised.
    pub(super) fn reserve(&mut self, more: usize, taken: u64) -> Result<(), TryReserveError> {
        self.list.try_reserve(self.to_end(taken).saturating_add(more))
    }

    /// How many of this many regions have not ended.
    fn to_end(&self, taken: u64) -> usize {
        (taken as usize).saturating_sub(self.list.len() - self.opened)
    }

    /// Whether there is a place for the end of each of this many regions that are used or pending.
    pub(in super::super) fn has_places(&self, taken: u64) -> bool {
        self.list.capacity() - self.list.len() >= self.to_end(taken)
    }

    /// Adds an entry that there is a [place](Self::reserve) for.
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

    /// The entries that have ended and that no scrub processes.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Waiting> {
        self.list.iter().filter(|one| one.scrub == NOBODY && one.step != Step::Open)
    }

    /// Removes the entries that do not stay; the others may be changed. The places stay.
    pub(super) fn retain(&mut self, stays: impl FnMut(&mut Waiting) -> bool) {
        self.list.retain_mut(stays);
        self.opened = self.list.iter().filter(|one| one.step == Step::Open).count();
    }

    /// A scrub takes the entries that are due. `rest` is the number of scrubs recorded before and a
    /// limit in bytes: entries whose quarantine continues keep resting, the newest ones up to this
    /// many bytes.
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

    /// The entries that a scrub processes, sorted by block. An error if there is no memory for the
    /// list.
    pub(super) fn of_scrub(&self, scrub: u64) -> Result<Vec<Waiting>, TryReserveError> {
        let of = || self.list.iter().filter(|one| one.scrub == scrub);
        let mut list: Vec<Waiting> = Vec::new();
        list.try_reserve_exact(of().count())?;
        list.extend(of());
        list.sort_unstable_by_key(|one| (one.entry.slot, one.entry.key.index()));
        Ok(list)
    }
}
