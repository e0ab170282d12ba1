//! The class mapping: the bin of a size, and the sizes of a bin.
//!
//! Sizes are counted in granules. The bin number is the size as a floating-point number with a
//! mantissa of five bits: each power of two is divided into 32 equal steps, so the sizes of one bin
//! differ by less than 1/32 of the smallest. Below 64 a step is at most 1, and every size has its
//! own bin:
//!
//! | sizes in granules | step | bins |
//! |---|---|---|
//! | 1 | 1/32 | 0 |
//! | 2, 3 | 1/16 | 32, 48 |
//! | 4..8 | 1/8 | 64, 72, 80, 88 |
//! | … | … | … |
//! | 32..64 | 1 | 160..192 |
//! | 64..128 | 2 | 192..224 |
//! | … | … | … |
//! | 2³⁰..2³¹ | 2²⁵ | 960..992 |
//!
//! `bin / 32` is the first level (the row), and `bin % 32` is the second level (the column). The
//! mapping is monotone. Bins between the sizes below 32 stay empty.

/// Second-level bins of one row.
pub(super) const COLUMNS: u32 = 32;

/// One past the largest number of granules in a block.
pub(super) const UNITS_BOUND: u32 = 1 << 31;

/// The bin above all sizes. It contains the free tail of the block, whatever its size, so an upward
/// search reaches it last.
pub(super) const TAIL: u32 = bin_of(UNITS_BOUND);

/// The number of bins, including that of the tail.
pub(super) const BINS: u32 = TAIL + 1;

/// Number of rows. It is a power of two, so [`row_of`] is below it without a check.
pub(super) const ROWS: usize = 32;

/// The first-level position of a bin.
#[inline]
pub(super) const fn row_of(bin: u32) -> u32 {
    bin / COLUMNS % ROWS as u32
}

/// Bits of a double below its exponent and the five highest bits of its mantissa.
pub(super) const BELOW: u32 = 52 - COLUMNS.ilog2();

/// The number that 1.0 would have; it is subtracted, so that 1.0 gets bin 0.
pub(super) const ONE: u32 = 1023 * COLUMNS;

/// The bin of regions of `units` granules, which is at least 1. From [`UNITS_BOUND`] on the result
/// is the bin of the tail or above.
#[inline(always)]
pub(super) const fn bin_of(units: u32) -> u32 {
    // The conversion to a double computes exponent and mantissa exactly, and without a scan for the
    // highest bit, which is slow on many processors.
    ((units as f64).to_bits() >> BELOW) as u32 - ONE
}

/// The lowest bin in which every region has at least `units` granules; `units` is at least 1.
///
/// A size equal to the lower bound of a bin maps to that bin, so a hole of exactly this size is
/// found.
#[inline(always)]
pub(super) const fn bin_at_least(units: u32) -> u32 {
    (((units as f64).to_bits() + (1 << BELOW) - 1) >> BELOW) as u32 - ONE
}

/// The smallest size in `bin`, in granules; for the first bins the next size below it.
#[inline]
pub(super) const fn smallest_of(bin: u32) -> u32 {
    (((COLUMNS + bin % COLUMNS) as u64) << (bin / COLUMNS) >> COLUMNS.ilog2()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every bin that has sizes, with the smallest and the largest of them, computed from the table
    /// above and not by the bit trick.
    fn bounds() -> impl Iterator<Item = (u32, u64, u64)> {
        let fine = (0..5).flat_map(|power: u32| {
            let step = 32 >> power;
            (0..1 << power).map(move |at| (32 * power + step * at, (1 << power) + u64::from(at), 1))
        });
        let coarse = (5..31).flat_map(|power: u32| {
            let step = (1u64 << power) / 32;
            (0..32).map(move |at| (32 * power + at, (1 << power) + u64::from(at) * step, step))
        });
        fine.chain(coarse).map(|(bin, first, step)| (bin, first, first + step))
    }

    #[test]
    fn each_bin_holds_the_sizes_of_the_table() {
        let mut next = 1;
        for (bin, first, end) in bounds() {
            assert_eq!(first, next, "no size is left out");
            next = end;
            for size in [first, (first + end) / 2, end - 1] {
                assert_eq!(bin_of(size as u32), bin, "size {size}");
            }
            assert_eq!(u64::from(smallest_of(bin)), first, "bin {bin}");
        }
        assert_eq!(next, u64::from(UNITS_BOUND));
        assert_eq!((TAIL, BINS), (992, 993));
        assert!(BINS <= COLUMNS * ROWS as u32, "every bin has a row");
    }

    #[test]
    fn a_search_starts_at_the_first_bin_without_smaller_regions() {
        let bins: Vec<(u32, u64, u64)> = bounds().collect();
        for (at, &(bin, first, end)) in bins.iter().enumerate() {
            assert_eq!(bin_at_least(first as u32), bin, "a lower bound stays in its bin");
            for size in [first + 1, end - 1].into_iter().filter(|&size| size > first && size < end)
            {
                let above = bin_at_least(size as u32);
                assert!(above > bin, "size {size}");
                assert!(bins.get(at + 1).is_none_or(|next| above <= next.0), "size {size}");
            }
        }
    }

    #[test]
    fn sizes_above_every_block_have_a_row_too() {
        for size in [UNITS_BOUND, UNITS_BOUND + 1, u32::MAX] {
            assert!(bin_of(size) >= TAIL && bin_at_least(size) >= TAIL);
            assert_eq!(row_of(bin_of(size)), bin_of(size) / COLUMNS);
        }
    }

    #[test]
    fn the_sizes_of_a_bin_differ_by_less_than_a_thirty_second() {
        assert!(bounds().all(|(_, first, end)| (end - 1 - first) * 32 < first));
    }
}
