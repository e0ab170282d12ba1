//! Who lived where, for reports of writes after free. Empty unless memory is poisoned.

use core::ops::Range;
use std::collections::BTreeMap;

use super::retired_at::RetiredAt;

/// A range and its last owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Grave {
    /// Where the owner began, and how many bytes it had.
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) name: Option<&'static str>,
    pub(crate) freed: Freed,
}

impl Grave {
    /// Where nobody has lived, and the content is known all the same.
    pub(crate) const fn of_nobody() -> Self {
        Self { offset: 0, size: 0, name: None, freed: Freed::NEVER }
    }
}

/// When an owner's memory came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Freed {
    /// The number of the last collect that had begun.
    pub(crate) collect: u64,
    /// What the GPU had to pass before.
    pub(crate) at: RetiredAt,
}

impl Freed {
    /// Of what has not been freed.
    pub(crate) const NEVER: Self = Self { collect: 0, at: RetiredAt::NOTHING };
}

/// The graves of one block: by their start, their end and the owner. They do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Graves(BTreeMap<u64, (u64, Grave)>);

impl Graves {
    /// Buries an owner in a range, which holds the pattern from now on; who lay there before is
    /// forgotten as far as it goes. O(log graves), and those forgotten.
    pub(crate) fn bury(&mut self, range: Range<u64>, grave: Grave) {
        let Range { start, end } = range.clone();
        self.forget(range);
        if start < end {
            self.0.insert(start, (end, grave));
        }
    }

    /// A range does not hold the pattern any more. O(log graves), and those forgotten.
    pub(crate) fn forget(&mut self, range: Range<u64>) {
        let Range { start, end } = range;
        while let Some((&from, &(to, older))) = self.0.range(..end).next_back() {
            if to <= start {
                break;
            }
            self.0.remove(&from);
            if end < to {
                self.0.insert(end, (to, older));
            }
            if from < start {
                self.0.insert(from, (start, older));
            }
        }
    }

    /// The parts of a range that hold the pattern while they are free, and who lay there. O(log graves),
    /// and those found.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, Grave)> {
        let before = self.0.range(..range.start).next_back();
        before.into_iter().chain(self.0.range(range.clone())).filter_map(
            move |(&start, &(end, grave))| {
                let part = start.max(range.start)..end.min(range.end);
                (!part.is_empty()).then_some((part, grave))
            },
        )
    }

    /// Whether all of a range was somebody's before. O(log graves), and those found.
    pub(crate) fn cover(&self, range: Range<u64>) -> bool {
        let mut at = range.start;
        for (part, _) in self.within(range.clone()) {
            if part.start > at {
                return false;
            }
            at = part.end;
        }
        at >= range.end
    }

    /// Whether nobody ever lay here.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who lay at an offset last. O(log graves).
    pub(crate) fn at(&self, offset: u64) -> Option<Grave> {
        let (_, &(end, grave)) = self.0.range(..=offset).next_back()?;
        (offset < end).then_some(grave)
    }
}

#[cfg(test)]
mod tests {
    use super::{Freed, Grave, Graves};

    /// Against a table of cells, over overlaps of every kind.
    #[test]
    fn the_last_owner_of_every_byte_is_known() {
        let mut graves = Graves::default();
        let mut cells = [None; 64];
        let mut seed = 1_u64;
        for freed in 0..2000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let offset = (seed >> 33) % 64;
            let size = (seed >> 45) % (65 - offset);
            let freed_at = Freed { collect: freed, ..Freed::NEVER };
            let grave = Grave { offset, size, name: None, freed: freed_at };
            let forgotten = freed % 5 == 0;
            if forgotten {
                graves.forget(offset..offset + size);
            } else {
                graves.bury(offset..offset + size, grave);
            }
            let cell = (!forgotten).then_some(grave);
            cells[offset as usize..(offset + size) as usize].fill(cell);
            for (at, cell) in cells.iter().enumerate() {
                assert_eq!(graves.at(at as u64), *cell, "byte {at} after {freed}");
            }
            assert!(graves.0.len() <= 64, "nothing empty is kept");
            let (from, to) = (freed % 50, freed % 50 + freed % 13);
            let mut found = [None; 64];
            for (part, grave) in graves.within(from..to) {
                assert!(from <= part.start && part.end <= to);
                found[part.start as usize..part.end as usize].fill(Some(grave));
            }
            let covered = (from..to).all(|at| cells[at as usize].is_some());
            assert_eq!(graves.cover(from..to), covered, "{from}..{to}");
            for at in from..to {
                assert_eq!(found[at as usize], cells[at as usize], "byte {at} of {from}..{to}");
            }
        }
    }
}
