//! The former owners of free ranges, for reports of writes after free. Empty unless memory is
//! poisoned.

use core::ops::Range;

use super::retired_at::RetiredAt;

/// A range and its last owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Grave {
    /// The start and the size of the owner's range.
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) name: Option<&'static str>,
    pub(crate) freed: Freed,
}

impl Grave {
    /// A grave for memory that never had an owner, but whose contents are known.
    pub(crate) const fn of_nobody() -> Self {
        Self { offset: 0, size: 0, name: None, freed: Freed::NEVER }
    }
}

/// The time at which an owner's memory was freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Freed {
    /// The number of the last collect that had begun.
    pub(crate) collect: u64,
    /// What the GPU had to pass before.
    pub(crate) at: RetiredAt,
}

impl Freed {
    /// For memory that has not been freed.
    pub(crate) const NEVER: Self = Self { collect: 0, at: RetiredAt::NOTHING };
}

/// A grave, and the part of it that nobody has owned since.
#[derive(Clone, Copy, Debug)]
struct Tomb {
    start: u64,
    end: u64,
    grave: Grave,
}

/// The maximum number of tombs in a row.
const ROW: usize = 32;

/// The graves of one block, in address order: rows of a few, none of them empty. They do not
/// overlap.
///
/// If the host has no memory for another grave, it is not kept: the former owner is not reported,
/// and the contents of the range count as unknown. Forgetting needs no memory.
#[derive(Debug, Default)]
pub(crate) struct Graves(Vec<Vec<Tomb>>);

impl Graves {
    /// Notes the former owner of a range, which contains the pattern from now on. Graves that
    /// overlap it are forgotten in that part. O(log graves), and those forgotten.
    pub(crate) fn bury(&mut self, range: Range<u64>, grave: Grave) {
        let Range { start, end } = range.clone();
        self.forget(range);
        if start < end {
            let place = self.first_beyond(start);
            // Without memory for it, less is known.
            let _ = self.insert(place, Tomb { start, end, grave });
        }
    }

    /// The range no longer contains the pattern. O(log graves), and those forgotten.
    pub(crate) fn forget(&mut self, range: Range<u64>) {
        let Range { start, end } = range;
        loop {
            let (row, at) = self.first_beyond(start);
            let Some(tomb) = self.0.get_mut(row).and_then(|row| row.get_mut(at)) else { return };
            if tomb.start >= end {
                return;
            }
            let behind = Tomb { start: end, ..*tomb };
            match (tomb.start < start, end < tomb.end) {
                (true, rest) => {
                    tomb.end = start;
                    if rest {
                        // Without memory for it, less is known.
                        let _ = self.insert((row, at + 1), behind);
                    }
                }
                (false, true) => *tomb = behind,
                (false, false) => self.remove((row, at)),
            }
        }
    }

    /// The row and the index in it of the first tomb that ends after an offset; the end if there is
    /// none.
    fn first_beyond(&self, offset: u64) -> (usize, usize) {
        let ends = |tomb: &Tomb| tomb.end <= offset;
        let row = self.0.partition_point(|row| row.last().is_some_and(ends));
        (row, self.0.get(row).map_or(0, |row| row.partition_point(ends)))
    }

    /// Inserts a tomb before a position. Returns `None`, and changes nothing, if the host has no
    /// memory for it.
    fn insert(&mut self, (mut row, mut at): (usize, usize), tomb: Tomb) -> Option<()> {
        if row == self.0.len() {
            match self.0.last() {
                // It is appended to the previous row.
                Some(last) => (row, at) = (row - 1, last.len()),
                None => self.add_row(0)?,
            }
        }
        if self.0[row].len() == ROW {
            self.add_row(row + 1)?;
            let (full, half) = self.0.split_at_mut(row + 1);
            half[0].extend(full[row].drain(ROW / 2..));
            if at > ROW / 2 {
                (row, at) = (row + 1, at - ROW / 2);
            }
        }
        let row = &mut self.0[row];
        row.try_reserve(1).ok()?;
        row.insert(at, tomb);
        Some(())
    }

    /// Adds an empty row with room for half of the maximum, to be filled immediately.
    fn add_row(&mut self, row: usize) -> Option<()> {
        let mut empty = Vec::new();
        empty.try_reserve_exact(ROW / 2).ok()?;
        self.0.try_reserve(1).ok()?;
        self.0.insert(row, empty);
        Some(())
    }

    fn remove(&mut self, (row, at): (usize, usize)) {
        let few = &mut self.0[row];
        few.remove(at);
        let left = few.len();
        if left == 0 {
            self.0.remove(row);
        } else if self.0.get(row + 1).is_some_and(|next| left + next.len() <= ROW / 2) {
            // Two rows become one, which has room for both.
            let next = self.0.remove(row + 1);
            self.0[row].extend(next);
        }
    }

    /// The parts of a range that contain the pattern while they are free, and their former owners.
    /// O(log graves), and those found.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, Grave)> {
        let (row, at) = self.first_beyond(range.start);
        let tombs = self.0.iter().skip(row).flatten().skip(at);
        let tombs = tombs.take_while(move |tomb| tomb.start < range.end);
        tombs.filter_map(move |tomb| {
            let part = tomb.start.max(range.start)..tomb.end.min(range.end);
            (!part.is_empty()).then_some((part, tomb.grave))
        })
    }

    /// Whether all of a range had an owner before. O(log graves), and those found.
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

    /// Whether there are no graves.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last owner of an offset. O(log graves).
    pub(crate) fn at(&self, offset: u64) -> Option<Grave> {
        let (row, at) = self.first_beyond(offset);
        let tomb = self.0.get(row)?.get(at)?;
        (tomb.start <= offset).then_some(tomb.grave)
    }
}

#[cfg(test)]
mod tests {
    use super::{Freed, Grave, Graves, ROW};
    use crate::ground::random::Random;

    /// Tombs are in order, and neither a tomb nor a row is empty.
    fn check(graves: &Graves) {
        let mut end = 0;
        for row in &graves.0 {
            assert!(!row.is_empty() && row.len() <= ROW, "{}", row.len());
            for tomb in row {
                assert!(end <= tomb.start && tomb.start < tomb.end, "{tomb:?}");
                end = tomb.end;
            }
        }
    }

    const CELLS: u64 = 400;

    /// Compared with a table of cells, over overlaps of every kind.
    #[test]
    fn the_last_owner_of_every_byte_is_known() {
        let mut graves = Graves::default();
        let mut cells = [None; CELLS as usize];
        let mut random = Random::new(1);
        let mut rows = 0;
        for freed in 0..3000 {
            let offset = random.below(CELLS);
            // Small ones at first, so that there are many rows, and then some that extend over
            // several rows.
            let most = if freed % 1000 < 900 { 4 } else { CELLS };
            let size = random.below((CELLS + 1 - offset).min(most));
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
            check(&graves);
            let (from, to) = (freed % (CELLS - 40), freed % (CELLS - 40) + freed % 40);
            let mut found = [None; CELLS as usize];
            rows = rows.max(graves.0.len());
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
        assert!(rows > 4, "{rows} rows");
    }
}
