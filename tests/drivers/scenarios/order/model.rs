//! Rules for when a range is free, as pure models that replace the allocator.

use super::SIZE;
use super::play::{Keeper, Step};
use crate::rig::Range;

/// Rules for when a range is free.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The correct rule: when the recordings that were open at the drop have ended, and everything
    /// submitted by then is reached.
    Cut,
    /// The tempting rule: when everything that was submitted at the drop is reached.
    Issued,
}

/// A rule that replaces the allocator.
pub(super) struct Model {
    rule: Rule,
    open: [bool; 2],
    submitted: u64,
    reached: u64,
    /// After the drop: the recordings for which it waits and, when they have ended, the value.
    dropped: Option<([bool; 2], Option<u64>)>,
}

const PLACE: Range = Range { memory: 1, offset: 0, size: SIZE };
const ELSEWHERE: Range = Range { memory: 2, offset: 0, size: SIZE };

impl Model {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, open: [false; 2], submitted: 0, reached: 0, dropped: None }
    }

    fn stamp(&mut self) {
        let Some((waits, stamp)) = &mut self.dropped else { return };
        let wait = match self.rule {
            Rule::Cut => (0..2).any(|who| waits[who] && self.open[who]),
            Rule::Issued => false,
        };
        if stamp.is_none() && !wait {
            *stamp = Some(self.submitted);
        }
    }
}

impl Keeper for Model {
    fn buffer(&mut self) -> Range {
        PLACE
    }

    fn step(&mut self, step: Step, _names: bool, _ticket: u64) {
        match step {
            Step::Begin(who) => self.open[who] = true,
            Step::Record(_) => {}
            Step::Submit(who) => {
                self.open[who] = false;
                self.submitted += 1;
            }
            Step::Abandon(who) => self.open[who] = false,
            Step::Drop => self.dropped = Some((self.open, None)),
        }
        self.stamp();
    }

    fn open(&mut self, _ticket: u64) {
        self.reached += 1;
    }

    fn probe(&mut self) -> Range {
        match self.dropped {
            Some((_, Some(stamp))) if self.reached >= stamp => PLACE,
            _ => ELSEWHERE,
        }
    }
}
