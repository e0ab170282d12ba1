//! Tables: which words of which blocks the GPU writes or checks, divided into pieces and
//! dispatches.
//!
//! A piece is the work of one workgroup. A dispatch is a run of pieces in one window: the part of a
//! block that a shader can access at once, which is limited by `maxStorageBufferRange`.

use core::ops::Range;
use std::collections::TryReserveError;

use super::shader::{HEADER, PIECE};

/// The maximum size of a piece in bytes. Windows are a multiple of it.
const PIECE_BYTES: u64 = 16 << 10;

/// The device's limits for a dispatch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// The size of a window in bytes.
    window: u64,
    /// The alignment of the tables of dispatches, in words.
    alignment: usize,
    /// The maximum number of pieces in a dispatch.
    pieces: u32,
}

impl Limits {
    /// From `maxStorageBufferRange` (at least 2²⁷), `minStorageBufferOffsetAlignment` (a power of
    /// two) and `maxComputeWorkGroupCount[0]`.
    pub(crate) fn new(range: u32, alignment: u64, groups: u32) -> Self {
        let step = PIECE_BYTES.max(alignment);
        Self {
            window: (u64::from(range) / step * step).max(step),
            alignment: (alignment / 4).max(1) as usize,
            pieces: groups.max(1),
        }
    }

    /// The size in words that a table is padded to, so that another can follow.
    pub(crate) fn aligned(&self, words: usize) -> usize {
        words.next_multiple_of(self.alignment)
    }
}

/// What is done to a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Compare it with the pattern.
    Check,
    /// Write the pattern.
    Fill,
    /// Write zeros.
    Zero,
}

/// Pieces in one window of one block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Dispatch<B> {
    pub(crate) block: B,
    /// The window, in bytes of the block.
    pub(crate) window: Range<u64>,
    /// Its part of the table, in words.
    pub(crate) words: Range<usize>,
    pub(crate) pieces: u32,
}

/// A piece that was added to a table, with its position, for evaluating the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placed {
    /// The index of its first word in its block.
    pub(crate) index: u64,
    pub(crate) words: u32,
}

/// A table for one kind of work. `B` identifies a block. Ranges of the same block that are added
/// one after another share dispatches.
#[derive(Clone, Debug)]
pub(crate) struct Table<B> {
    limits: Limits,
    pub(crate) words: Vec<u32>,
    pub(crate) dispatches: Vec<Dispatch<B>>,
    /// All pieces, in the order of their reports.
    pub(crate) pieces: Vec<Placed>,
    bytes: u64,
}

/// The first place of the report does not belong to a piece.
const FIRST_SLOT: usize = 1;

impl<B: Copy + PartialEq> Table<B> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, words: vec![], dispatches: vec![], pieces: vec![], bytes: 0 }
    }

    /// Adds the whole words of a range in a block of `size` bytes. Returns its pieces; there may be
    /// none. If there is no memory for all of them, the table is unusable. O(pieces).
    pub(crate) fn add(
        &mut self,
        (block, size): (B, u64),
        order: Order,
        range: Range<u64>,
    ) -> Result<Range<usize>, TryReserveError> {
        let before = self.pieces.len();
        let mut at = range.start.next_multiple_of(4);
        let end = range.end / 4 * 4;
        while at < end {
            let next = end.min((at / PIECE_BYTES + 1) * PIECE_BYTES);
            let start = at / self.limits.window * self.limits.window;
            self.open(block, start..size.min(start + self.limits.window))?;
            let (index, words) = (at / 4, ((next - at) / 4) as u32);
            let zero = u32::from(order == Order::Zero);
            self.words.try_reserve(PIECE)?;
            self.words.extend([index as u32, (index >> 32) as u32, words, zero]);
            self.pieces.try_reserve(1)?;
            self.pieces.push(Placed { index, words });
            if let Some(dispatch) = self.dispatches.last_mut() {
                dispatch.pieces += 1;
                dispatch.words.end = self.words.len();
            }
            self.bytes += next - at;
            at = next;
        }
        Ok(before..self.pieces.len())
    }

    /// Begins a dispatch, unless the last one can be continued.
    fn open(&mut self, block: B, window: Range<u64>) -> Result<(), TryReserveError> {
        let goes_on = self.dispatches.last().is_some_and(|last| {
            last.block == block && last.window == window && last.pieces < self.limits.pieces
        });
        if goes_on {
            return Ok(());
        }
        let start = self.limits.aligned(self.words.len());
        self.words.try_reserve(start + HEADER - self.words.len())?;
        self.words.resize(start, 0);
        let slot = FIRST_SLOT + self.pieces.len();
        self.words.extend([(window.start / 4) as u32, slot as u32, 0, 0]);
        debug_assert_eq!(self.words.len(), start + HEADER);
        let words = start..self.words.len();
        self.dispatches.try_reserve(1)?;
        self.dispatches.push(Dispatch { block, window, words, pieces: 0 });
        Ok(())
    }

    /// The number of bytes that are written or checked.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of places in the report, including the first.
    pub(crate) fn slots(&self) -> usize {
        FIRST_SLOT + self.pieces.len()
    }
}

/// The words of a piece in a table, of which each is `PIECE` long.
const _: () = assert!(PIECE == 4 && HEADER == 4);

#[cfg(test)]
mod tests {
    use super::*;

    /// Fewer pieces than a window has.
    const LIMITS: (u32, u64, u32) = (1 << 16, 256, 3);

    /// Every word of the ranges is in one piece, inside its window, at the index that the shader
    /// computes; no dispatch has more than the device lets it.
    #[test]
    fn pieces_cover_the_words_and_stay_in_their_windows() {
        let limits = Limits::new(LIMITS.0, LIMITS.1, LIMITS.2);
        let size = 1 << 20;
        for (start, end) in [(0, 1 << 20), (3, 9), (1, 3), (65_500, 65_600), (16_384, 81_920)] {
            let mut table = Table::new(limits);
            table.add((7, size), Order::Fill, start..end).unwrap();
            let mut covered = Vec::new();
            for dispatch in &table.dispatches {
                assert_eq!(dispatch.block, 7);
                assert!(dispatch.window.end - dispatch.window.start <= u64::from(LIMITS.0));
                assert_eq!(dispatch.window.start % LIMITS.1, 0);
                assert!(dispatch.pieces <= LIMITS.2 && dispatch.pieces > 0);
                assert_eq!(dispatch.words.start * 4 % LIMITS.1 as usize, 0);
                let words = &table.words[dispatch.words.clone()];
                assert_eq!(words.len(), HEADER + dispatch.pieces as usize * PIECE);
                for piece in words[HEADER..].chunks_exact(PIECE) {
                    let first = piece[0].wrapping_sub(words[0]);
                    let begin = dispatch.window.start + u64::from(first) * 4;
                    assert!(begin + u64::from(piece[2]) * 4 <= dispatch.window.end);
                    covered.extend((begin..begin + u64::from(piece[2]) * 4).step_by(4));
                }
            }
            let wanted: Vec<u64> = (start.next_multiple_of(4)..end / 4 * 4).step_by(4).collect();
            assert_eq!(covered, wanted, "{start}..{end}");
            assert_eq!(table.bytes(), wanted.len() as u64 * 4);
        }
    }

    /// Beyond 16 GiB the index has more than 32 bits, and the window's base has not.
    #[test]
    fn far_words_keep_their_whole_index() {
        let mut table = Table::new(Limits::new(u32::MAX, 16, 65_535));
        let start = (1_u64 << 34) - 8;
        table.add(((), 1 << 35), Order::Check, start..start + 16).unwrap();
        let indices: Vec<u64> = table.pieces.iter().map(|piece| piece.index).collect();
        assert_eq!(indices, [start / 4, 1 << 32]);
        for dispatch in &table.dispatches {
            let words = &table.words[dispatch.words.clone()];
            for piece in words[HEADER..].chunks_exact(PIECE) {
                let first = u64::from(piece[0].wrapping_sub(words[0]));
                let index = u64::from(piece[1]) << 32 | u64::from(piece[0]);
                assert_eq!(dispatch.window.start / 4 + first, index);
            }
        }
    }

    #[test]
    fn neighbours_share_a_dispatch_and_blocks_do_not() {
        let mut table = Table::new(Limits::new(1 << 27, 16, 65_535));
        for (block, at) in [(1, 0), (1, 4096), (2, 0), (1, 64)] {
            table.add((block, 1 << 20), Order::Check, at..at + 64).unwrap();
        }
        let pieces: Vec<u32> = table.dispatches.iter().map(|dispatch| dispatch.pieces).collect();
        assert_eq!(pieces, [2, 1, 1]);
        let slots: Vec<u32> =
            table.dispatches.iter().map(|dispatch| table.words[dispatch.words.start + 1]).collect();
        assert_eq!(slots, [1, 3, 4], "each piece is told in a place of its own");
        assert_eq!(table.slots(), 5);
    }
}
