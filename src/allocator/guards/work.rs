//! What waits for a scrub, and what one scrub is to do for it. Nothing here calls the driver.
//!
//! ```text
//! handed out: Used            ── Open ──▶ its margins hold the pattern
//! ended:      Pending         ── End ───▶ margins checked, all of it filled: Pending, in quarantine
//!             in quarantine   ── Recheck ▶ a word that changed is a write after free: Free
//! free:       Pending meanwhile ─ Held ──▶ likewise: Free again
//! fresh:      Pending meanwhile ─ Fresh ─▶ filled, with the pattern or with zeros: Free again
//! ```

use core::ops::Range;

use ash::vk;

use super::{
    super::inner::{Lane, LaneState},
    corruption::{Corruption, Damage},
    doors::Scrubbed,
    site::{Run, Site, Source, owner_of},
};
use crate::{
    guard::{GuardPolicy, Limits, Order, Placed, Seen, Table, pattern},
    memory::{Block, BlockList, Entry, Freed, Sight},
    tlsf::State,
};

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
}

/// What one scrub does.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) checks: Table<vk::Buffer>,
    pub(super) fills: Table<vk::Buffer>,
    /// Whose bug it is if these pieces of `checks` are damaged.
    sources: Vec<(Range<usize>, Source)>,
    /// Entries by lane.
    pub(super) waiting: Vec<(u32, Waiting)>,
}

impl Work {
    pub(super) fn new(limits: Limits) -> Self {
        let (checks, fills) = (Table::new(limits), Table::new(limits));
        Self { checks, fills, sources: Vec::new(), waiting: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.checks.pieces.is_empty() && self.fills.pieces.is_empty()
    }

    /// What the GPU will have to do.
    pub(super) fn scrubbed(&self) -> Scrubbed {
        let dispatches = self.checks.dispatches.len() + self.fills.dispatches.len();
        Scrubbed {
            checked: self.checks.bytes(),
            filled: self.fills.bytes(),
            dispatches: dispatches as u64,
        }
    }

    fn check(&mut self, block: (vk::Buffer, u64), range: Range<u64>, source: Source) {
        let pieces = self.checks.add(block, Order::Check, range);
        if !pieces.is_empty() {
            self.sources.push((pieces, source));
        }
    }

    /// What the GPU found, given what it told of each piece. A run that goes over the end of a piece
    /// is told once.
    pub(super) fn findings(&self, seen: impl Fn(usize) -> Option<Seen>) -> Vec<Corruption> {
        let mut found = Vec::new();
        for (pieces, source) in &self.sources {
            let mut run: Option<(Run, u64)> = None;
            for index in pieces.clone() {
                let Placed { index: first, words } = self.checks.pieces[index];
                let Some(seen) = seen(index) else { continue };
                let at = first + u64::from(seen.first);
                let end = at + u64::from(seen.words);
                match &mut run {
                    Some((run, past)) if *past == at => {
                        run.words += u64::from(seen.words);
                        *past = end;
                    }
                    _ => {
                        found.extend(run.take().map(|(run, _)| source.tell(run)));
                        let wrong = pattern(at) ^ seen.found;
                        let offset = at * 4 + u64::from(wrong.trailing_zeros() / 8);
                        let (words, expected) = (u64::from(seen.words), pattern(at));
                        run = Some((Run { offset, words, expected, found: seen.found }, end));
                    }
                }
                debug_assert!(end <= first + u64::from(words));
            }
            found.extend(run.map(|(run, _)| source.tell(run)));
        }
        found
    }

    /// Adds what is to be done for an entry; `None` if it is no more.
    pub(super) fn plan(&mut self, lane: &Lane, state: &LaneState, waiting: Waiting) -> Option<()> {
        let block = state.blocks.block(waiting.entry.slot)?;
        let Sight::Gpu(buffer) = block.sight else { return None };
        let region = block.region(waiting.entry.key)?;
        let site = Site::new(lane, block, &region);
        let buffer = (buffer, block.size);
        match waiting.step {
            Step::Open => {
                for (_, range) in site.margins() {
                    self.fills.add(buffer, Order::Fill, range);
                }
            }
            Step::End => {
                for (damage, range) in site.whole_margins() {
                    self.check(buffer, range, site.source(damage, Some(site.owner(None))));
                }
                if let Some(order) = state.guards.at_end() {
                    self.fills.add(buffer, order, site.region.clone());
                }
            }
            Step::Recheck { .. } => {
                let owner = site.owner(Some(waiting.freed));
                let source = site.source(Damage::AfterFree, Some(owner));
                self.check(buffer, site.region.clone(), source);
            }
            Step::Fresh => {
                if let Some(order) = state.guards.at_end() {
                    self.fills.add(buffer, order, site.region.clone());
                }
            }
            Step::Held => {
                for (range, grave) in block.graves.within(site.region.clone()) {
                    let source = site.source(Damage::AfterFree, owner_of(grave));
                    self.check(buffer, range, source);
                }
            }
        }
        Some(())
    }

    /// Margins of those who live. Those of entries that wait are checked as their step says.
    pub(super) fn check_live_margins(&mut self, lane: &Lane, state: &LaneState) {
        for (_, block) in state.blocks.iter() {
            let Sight::Gpu(buffer) = block.sight else { continue };
            for region in block.regions().iter().filter(|region| region.state == State::Used) {
                let site = Site::new(lane, block, region);
                for (damage, range) in site.whole_margins() {
                    let source = site.source(damage, Some(site.owner(None)));
                    self.check((buffer, block.size), range, source);
                }
            }
        }
    }
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

/// Whether all of a region was filled with zeros, and nobody had it since but its owner now.
pub(super) fn reads_zero(state: &LaneState, entry: Entry) -> bool {
    let Some(block) = state.blocks.block(entry.slot) else { return false };
    let zeroed = |block: &Block| {
        let region = block.region(entry.key);
        region.is_some_and(|it| block.graves.cover(it.offset..it.offset + it.size))
    };
    state.guards == GuardPolicy::Zero && (matches!(block.sight, Sight::Host(_)) || zeroed(block))
}
