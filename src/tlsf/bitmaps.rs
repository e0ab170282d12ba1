//! The bins that have a region, as two levels of bitmaps.

use super::class::{COLUMNS, ROWS, TAIL, row_of};

/// A bit for each bin, and one for each row of bins.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Bitmaps {
    /// Bit `r` is set iff `columns[r]` is not 0.
    pub(super) rows: u64,
    /// Bit `c` of `columns[r]` is set iff the ring of bin `32 r + c` has a region.
    pub(super) columns: [u32; ROWS],
}

impl Bitmaps {
    /// Marks that the bin has a region.
    #[inline(always)]
    pub(super) fn set(&mut self, bin: u32) {
        let row = row_of(bin);
        self.columns[row as usize] |= 1 << (bin % COLUMNS);
        self.rows |= 1 << row;
    }

    /// Marks that the bin is empty if `emptied` is 1. If it is 0, `bin` may be any number and
    /// nothing changes. There is no branch, because in a small block it is unpredictable whether a
    /// region was the last of its bin.
    #[inline(always)]
    pub(super) fn clear_if(&mut self, emptied: u32, bin: u32) {
        let row = row_of(bin);
        let columns = self.columns[row as usize] & !(emptied << (bin % COLUMNS));
        self.columns[row as usize] = columns;
        self.rows &= !(u64::from(columns == 0) << row);
    }

    /// The lowest bin from `bin` on that has a region. Reads three words at most.
    #[inline(always)]
    pub(super) fn first_from(&self, bin: u32) -> Option<u32> {
        let row = row_of(bin);
        let columns = self.columns[row as usize] & (u32::MAX << (bin % COLUMNS));
        if columns != 0 {
            return Some(row * COLUMNS + columns.trailing_zeros());
        }
        let rows = self.rows & (u64::MAX << row << 1);
        if rows == 0 {
            return None;
        }
        let row = rows.trailing_zeros() % ROWS as u32;
        Some(row * COLUMNS + self.columns[row as usize].trailing_zeros())
    }

    /// The highest bin below the tail's that has a region.
    #[inline]
    pub(super) fn highest(&self) -> Option<u32> {
        // The bin of the tail is alone in the last row.
        const { assert!(TAIL % COLUMNS == 0 && row_of(TAIL) == ROWS as u32 - 1) };
        let row = (self.rows & !(1 << row_of(TAIL))).checked_ilog2()? % ROWS as u32;
        Some(row * COLUMNS + self.columns[row as usize].ilog2())
    }
}
