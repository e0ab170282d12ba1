//! The position of margins, and their pattern.

/// A whole number of words.
pub(crate) const MARGIN: u64 = 64;

/// The position of an allocation with margins in its region, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// The margin in front; a multiple of the alignment.
    pub(crate) front: u64,
    /// Margins and allocation.
    pub(crate) total: u64,
}

/// Margins of at least `margin` bytes around `size` bytes. The total is a multiple of the
/// alignment, a power of two. If the alignment is a granularity page, the pages next to an image
/// therefore belong to the image. `None` if the size overflows.
pub(crate) fn layout(size: u64, alignment: u64, margin: u64) -> Option<Layout> {
    if margin == 0 {
        return Some(Layout { front: 0, total: size });
    }
    let front = margin.checked_next_multiple_of(alignment)?;
    let total = front.checked_add(size)?.checked_add(margin)?;
    Some(Layout { front, total: total.checked_next_multiple_of(alignment)? })
}

/// The word of the pattern at this index of a block. Every step is invertible, so that no two words
/// of a block below 16 GiB are equal.
pub(crate) const fn pattern(index: u64) -> u32 {
    let mut word = (index as u32) ^ ((index >> 32) as u32).wrapping_mul(0x85EB_CA6B) ^ 0xFE2C_E905;
    word = word.wrapping_mul(0x9E37_79B1);
    word ^= word >> 15;
    word = word.wrapping_mul(0xC2B2_AE35);
    word ^ (word >> 13)
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

    /// A test on real drivers holds the shader to the same words.
    #[test]
    fn the_pattern_is_what_the_shader_writes() {
        let golden = include_str!("pattern.txt");
        let number = |word: &str| u64::from_str_radix(&word[2..], 16).unwrap();
        let mut far = 0;
        for line in golden.lines().filter(|line| !line.starts_with('#')) {
            let (index, word) = line.split_once(' ').unwrap();
            assert_eq!(u64::from(pattern(number(index))), number(word), "{line}");
            far += u32::from(number(index) >> 32 > 0);
        }
        assert!(far > 4);
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
