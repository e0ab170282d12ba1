//! What waits for a scrub, and what comes next.
//!
//! ```text
//! handed out: Used            ── Open ──▶ its margins hold the pattern
//! ended:      Pending         ── End ───▶ margins checked, all of it filled: Pending, in quarantine
//!             in quarantine   ── Recheck ▶ a word that changed is a write after free: Free
//! free:       Pending meanwhile ─ Held ──▶ likewise: Free again
//! fresh:      Pending meanwhile ─ Fresh ─▶ filled, with the pattern or with zeros: Free again
//! ```

use crate::memory::{BlockList, Entry, Freed};

/// What a scrub does for an entry, and what comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Open,
    End,
    /// `rest` scrubs pass before it.
    Recheck {
        rest: u32,
    },
    Held,
    Fresh,
}

/// An entry that waits for a scrub, or for the GPU to have passed one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Waiting {
    pub(super) entry: Entry,
    pub(super) step: Step,
    pub(super) freed: Freed,
    /// The last scrub that began before it ended: that and older ones may work on its margins. 0 where it has none,
    /// or has not ended.
    pub(super) after: u64,
}

/// Takes out those whose quarantine goes on after the next scrub: the newest, as far as so many bytes
/// go.
pub(super) fn rest(waiting: &mut Vec<Waiting>, blocks: &BlockList, bytes: u64) -> Vec<Waiting> {
    let mut left = Some(bytes);
    let mut resting: Vec<Waiting> = Vec::new();
    let mut due = Vec::with_capacity(waiting.len());
    for one in waiting.drain(..).rev() {
        let rests = matches!(one.step, Step::Recheck { rest: 1.. });
        if rests {
            left = left.and_then(|left| left.checked_sub(blocks.pending_size(one.entry)));
        }
        if rests && left.is_some() { resting.push(one) } else { due.push(one) }
    }
    // Oldest first.
    resting.reverse();
    *waiting = due;
    for one in &mut resting {
        if let Step::Recheck { rest } = &mut one.step {
            *rest -= 1;
        }
    }
    resting
}
