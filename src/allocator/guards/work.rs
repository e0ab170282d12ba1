//! The work of one scrub for the entries that wait for it. Nothing here calls the driver.

use core::ops::Range;
use std::collections::TryReserveError;

use ash::vk;

use super::{
    corruption::{Corruption, Damage, note},
    scrub::Scrubbed,
    site::{Run, Site, Source, owner_of},
    waiting::{Step, Waiting},
};
use crate::{
    guard::{GuardPolicy, Limits, Order, Placed, Seen, Table, pattern},
    memory::{BlockList, Entry, Sight},
    tlsf::State,
};

/// A memory type or an arena whose blocks the GPU watches.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    pub(super) memory_type: u32,
    pub(super) policy: GuardPolicy,
    /// The number of bytes that the host writes back at once.
    pub(super) atom: u64,
    pub(super) blocks: &'a BlockList,
}

/// The work of one scrub.
#[derive(Debug)]
pub(super) struct Work {
    /// The number of the scrub, which identifies the entries it holds.
    pub(super) number: u64,
    pub(super) checks: Table<vk::Buffer>,
    pub(super) fills: Table<vk::Buffer>,
    /// The source to report if these pieces of `checks` are damaged.
    sources: Vec<(Range<usize>, Source)>,
}

impl Work {
    pub(super) fn new(number: u64, limits: Limits) -> Self {
        let (checks, fills) = (Table::new(limits), Table::new(limits));
        Self { number, checks, fills, sources: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.checks.pieces.is_empty() && self.fills.pieces.is_empty()
    }

    /// The work of the GPU, as counted.
    pub(super) fn scrubbed(&self) -> Scrubbed {
        let dispatches = self.checks.dispatches.len() + self.fills.dispatches.len();
        Scrubbed {
            number: self.number,
            checked: self.checks.bytes(),
            filled: self.fills.bytes(),
            dispatches: dispatches as u64,
        }
    }

    fn check(
        &mut self,
        block: (vk::Buffer, u64),
        range: Range<u64>,
        source: Source,
    ) -> Result<(), TryReserveError> {
        let pieces = self.checks.add(block, Order::Check, range)?;
        if !pieces.is_empty() {
            self.sources.try_reserve(1)?;
            self.sources.push((pieces, source));
        }
        Ok(())
    }

    fn fill(
        &mut self,
        block: (vk::Buffer, u64),
        order: Option<Order>,
        range: Range<u64>,
    ) -> Result<(), TryReserveError> {
        match order {
            Some(order) => self.fills.add(block, order, range).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The findings of the GPU, from its report of each piece. A run of damage that continues
    /// across the end of a piece is reported once. Findings that the host has no memory for are
    /// lost.
    pub(super) fn findings(&self, seen: impl Fn(usize) -> Option<Seen>) -> Vec<Corruption> {
        let mut found = Vec::new();
        let tell = |found: &mut Vec<Corruption>, source: &Source, run: Run| {
            note(found, Corruption { scrub: Some(self.number), ..source.tell(run) });
        };
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
                        if let Some((run, _)) = run.take() {
                            tell(&mut found, source, run);
                        }
                        let wrong = pattern(at) ^ seen.found;
                        let offset = at * 4 + u64::from(wrong.trailing_zeros() / 8);
                        let (words, expected) = (u64::from(seen.words), pattern(at));
                        run = Some((Run { offset, words, expected, found: seen.found }, end));
                    }
                }
                debug_assert!(end <= first + u64::from(words));
            }
            if let Some((run, _)) = run {
                tell(&mut found, source, run);
            }
        }
        found
    }

    /// Adds the work for an entry; nothing if the entry no longer exists.
    pub(super) fn plan(
        &mut self,
        watched: &Watched<'_>,
        waiting: Waiting,
    ) -> Result<(), TryReserveError> {
        let Watched { memory_type, policy, atom, blocks } = *watched;
        let Entry { slot, key } = waiting.entry;
        let block = blocks.block(slot);
        let Some((block, region)) = block.and_then(|block| Some((block, block.region(key)?)))
        else {
            return Ok(());
        };
        let Sight::Gpu(buffer) = block.sight else { return Ok(()) };
        let site = Site::new(memory_type, block, &region).of_atoms(atom);
        let buffer = (buffer, block.size);
        match waiting.step {
            Step::Open => {
                for (_, range) in site.margins() {
                    self.fill(buffer, Some(Order::Fill), range)?;
                }
            }
            Step::End => {
                for (damage, range) in site.whole_margins() {
                    self.check(buffer, range, site.source(damage, Some(site.owner(None))))?;
                }
                self.fill(buffer, policy.at_end(), site.region.clone())?;
            }
            Step::Recheck { .. } => {
                let owner = site.owner(Some(waiting.freed));
                let source = site.source(Damage::AfterFree, Some(owner));
                self.check(buffer, site.region.clone(), source)?;
            }
            Step::Fresh => self.fill(buffer, policy.at_end(), site.region.clone())?,
            Step::Held => {
                for (range, grave) in block.graves.within(site.region.clone()) {
                    let source = site.source(Damage::AfterFree, owner_of(grave));
                    self.check(buffer, range, source)?;
                }
            }
        }
        Ok(())
    }

    /// Adds checks of the margins of live allocations. Margins of waiting entries are checked
    /// according to their step.
    pub(super) fn check_live_margins(
        &mut self,
        watched: &Watched<'_>,
    ) -> Result<(), TryReserveError> {
        for (_, block) in watched.blocks.iter() {
            let Sight::Gpu(buffer) = block.sight else { continue };
            block.visit(|region| {
                if region.state != State::Used {
                    return Ok(());
                }
                let site = Site::new(watched.memory_type, block, &region).of_atoms(watched.atom);
                site.whole_margins().try_for_each(|(damage, range)| {
                    let source = site.source(damage, Some(site.owner(None)));
                    self.check((buffer, block.size), range, source)
                })
            })?;
        }
        Ok(())
    }
}
