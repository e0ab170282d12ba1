//! Guards as pure functions: what is watched, where margins lie, and the pattern in them.
//!
//! Margins and poison are the same pattern, and it depends on the position alone. So a margin is
//! free memory left as it was, and a piece of poison copied somewhere else is not taken for whole.
#![forbid(unsafe_code)]

/// What fencepost watches for writes outside a resource's life and range: a tool to find bugs with.
/// Off unless told ([`AllocatorDesc::guards`](crate::AllocatorDesc::guards)); off costs nothing.
///
/// What can be watched is memory that the host sees: blocks that are host-visible, coherent and
/// mapped. It does not matter who writes, the host or the GPU.
/// [`Allocator::guard_coverage`](crate::Allocator::guard_coverage) tells how much that is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum GuardPolicy {
    /// Nothing is watched.
    #[default]
    Off,
    /// At least 64 bytes before and after each allocation, checked when it ends. Costs memory, and
    /// time in proportion to the margins.
    Margins,
    /// Free memory holds a pattern: a word that changed is a write after free. Checked when the
    /// memory is handed out again. Costs two passes over every allocation.
    Poison,
    /// Both.
    Full,
}

impl GuardPolicy {
    pub(crate) const fn is_on(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// The least bytes of a margin; 0 without margins.
    pub(crate) const fn margin(self) -> u64 {
        if matches!(self, Self::Margins | Self::Full) { MARGIN } else { 0 }
    }

    pub(crate) const fn poisons(self) -> bool {
        matches!(self, Self::Poison | Self::Full)
    }
}

/// A whole number of words.
const MARGIN: u64 = 64;

/// Where in its region an allocation with margins lies. Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// The margin in front; a multiple of the alignment.
    pub(crate) front: u64,
    /// Margins and allocation.
    pub(crate) total: u64,
}

/// Margins of at least `margin` bytes around `size` bytes. The total is a multiple of the
/// alignment, a power of two: where that is a granularity page, the pages beside an image are the
/// image's own. `None` when the size overflows.
pub(crate) fn layout(size: u64, alignment: u64, margin: u64) -> Option<Layout> {
    if margin == 0 {
        return Some(Layout { front: 0, total: size });
    }
    let front = margin.checked_next_multiple_of(alignment)?;
    let total = front.checked_add(size)?.checked_add(margin)?;
    Some(Layout { front, total: total.checked_next_multiple_of(alignment)? })
}

/// The word that belongs at this index of a block. Every step is invertible, so that no two words
/// of a block below 16 GiB are the same.
pub(crate) const fn pattern(index: u64) -> u32 {
    let mut word = (index as u32) ^ ((index >> 32) as u32).wrapping_mul(0x85EB_CA6B) ^ 0xFE2C_E905;
    word = word.wrapping_mul(0x9E37_79B1);
    word ^= word >> 15;
    word = word.wrapping_mul(0xC2B2_AE35);
    word ^ (word >> 13)
}

/// What kind of write left its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// In the margin before the owner's first byte: an underrun, or a stray write.
    Before,
    /// In the margin after the owner's last byte: an overrun, or a stray write.
    After,
    /// In free memory: a write after free by its last owner, or a stray write.
    AfterFree,
}

/// A run of damaged words: who wrote outside of what it owns, as far as the trace tells.
///
/// The words are repaired when they are reported, so each trace is reported once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Corruption {
    /// What kind of write it was.
    pub damage: Damage,
    /// The memory type of the block.
    pub memory_type: u32,
    /// Where in its block the first damaged byte lies.
    pub offset: u64,
    /// How many words of four bytes are damaged in a row.
    pub words: u64,
    /// What the first of them should be.
    pub expected: u32,
    /// What it was found to be.
    pub found: u32,
    /// The allocation whose margin it is, or the last that lived there. `None` where nobody did.
    pub owner: Option<Owner>,
}

/// An allocation that lives or has lived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Owner {
    /// The name it was given.
    pub name: Option<&'static str>,
    /// Where in its block it began, in bytes.
    pub offset: u64,
    /// How many bytes it had.
    pub size: u64,
    /// How many [collects](crate::Allocator::collect) had begun when it was freed; `None` while it lives.
    pub freed: Option<u64>,
}

impl core::fmt::Display for Corruption {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { offset, words, expected, found, .. } = *self;
        let what = match self.damage {
            Damage::Before => "a write before",
            Damage::After => "a write after the end of",
            Damage::AfterFree => "a write after free to",
        };
        match self.owner {
            None => write!(f, "{what} memory that nobody owned")?,
            Some(owner) => {
                let name = owner.name.unwrap_or("(unnamed)");
                write!(f, "{what} `{name}` ({} bytes", owner.size)?;
                if let Some(collect) = owner.freed {
                    write!(f, ", freed in collect {collect}")?;
                }
                let distance = i128::from(offset) - i128::from(owner.offset);
                write!(f, ") at its byte {distance}")?;
            }
        }
        write!(
            f,
            ": {words} words from offset {offset} of a block of type {}, expected {expected:#010x}, \
             found {found:#010x}",
            self.memory_type
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{layout, pattern};

    #[test]
    fn margins_surround_and_keep_the_alignment() {
        for size in [1, 4, 63, 64, 65, 1000, 4096] {
            for alignment in [1, 4, 64, 256, 65_536] {
                for margin in [64, 256] {
                    let layout = layout(size, alignment, margin).unwrap();
                    assert_eq!(layout.front % alignment, 0);
                    assert_eq!(layout.total % alignment, 0, "whole pages beside an image");
                    assert!(layout.front >= margin);
                    assert!(layout.total - layout.front - size >= margin);
                    assert!(layout.total <= size + 2 * margin + 2 * alignment, "no more than that");
                }
                assert_eq!(layout(size, alignment, 0).unwrap().total, size, "off adds nothing");
            }
        }
        assert!(layout(u64::MAX - 64, 64, 64).is_none());
        assert!(layout(u64::MAX - 200, 256, 64).is_none());
    }

    #[test]
    fn no_two_words_of_the_pattern_are_the_same() {
        let mut words: Vec<u32> = (0..1 << 16).map(pattern).collect();
        words.extend((0..1 << 16).map(|index| pattern((1 << 31) + index)));
        words.sort_unstable();
        let count = words.len();
        words.dedup();
        assert_eq!(words.len(), count);
        assert_ne!(pattern(0), pattern(1 << 32), "beyond 16 GiB they differ by their place too");
    }
}
