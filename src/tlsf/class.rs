//! The class mapping: which bin a size belongs to, and which sizes a bin holds.
//!
//! Sizes are counted in granules. Below 64 every size has a bin of its own. From there each power of
//! two is cut into 32 equal steps, so the sizes of one bin differ by less than 1/32 of the smallest:
//!
//! | sizes in granules | step | bins |
//! |---|---|---|
//! | 0..64 | 1 | 0..64 |
//! | 64..128 | 2 | 64..96 |
//! | 128..256 | 4 | 96..128 |
//! | 256..512 | 8 | 128..160 |
//! | … | … | … |
//! | 2³⁰..2³¹ | 2²⁵ | 832..864 |
//!
//! `bin / 32` is the first level (the row), `bin % 32` the second (the column). The mapping is
//! monotone and without gaps: a bin is a floating-point number with a mantissa of five bits, and the
//! first two rows share the step 1 as the subnormals do.

/// Second-level bins of one row.
pub(super) const COLUMNS: u32 = 32;

/// One past the largest number of granules in a block.
pub(super) const UNITS_BOUND: u32 = 1 << 31;

/// The bin above all sizes. It holds the free tail of the block, however small: a search that goes
/// upwards comes to it last.
pub(super) const TAIL: u32 = bin_of(UNITS_BOUND);

/// Number of bins, the tail's included.
pub(super) const BINS: u32 = TAIL + 1;

/// Room for rows: 28 are in use, and with a power of two [`row_of`] is below it without a check.
pub(super) const ROWS: usize = 32;

/// The first-level position of a bin.
#[inline]
pub(super) const fn row_of(bin: u32) -> u32 {
    bin / COLUMNS % ROWS as u32
}

/// The bin of regions of `units` granules. From [`UNITS_BOUND`] on it is the tail's or one above.
#[inline]
pub(super) const fn bin_of(units: u32) -> u32 {
    // The size without its topmost bit and the five below it is the position inside a step.
    let step_bits = COLUMNS.leading_zeros() - (units | COLUMNS).leading_zeros();
    step_bits * COLUMNS + (units >> step_bits)
}

/// The lowest bin in which every region has at least `units` granules; `units` is at least 1.
///
/// A size on the lower bound of a bin stays in that bin: its exact hole is found.
#[inline]
pub(super) const fn bin_at_least(units: u32) -> u32 {
    bin_of(units - 1) + 1
}

/// The smallest size in `bin`, in granules.
#[inline]
pub(super) const fn smallest_of(bin: u32) -> u32 {
    let step_bits = (bin / COLUMNS).saturating_sub(1);
    (bin - step_bits * COLUMNS) << step_bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of every bin, told by the table above and not by the bit trick.
    fn bounds() -> impl Iterator<Item = (u32, u64, u64)> {
        let exact = (0..64).map(|size| (size, 1));
        let stepped = (6..31).flat_map(|power| {
            let step = (1u64 << power) / 32;
            (0..32).map(move |column| ((1 << power) + column * step, step))
        });
        exact
            .chain(stepped)
            .enumerate()
            .map(|(bin, (first, step))| (bin as u32, first, first + step))
    }

    #[test]
    fn each_bin_holds_the_sizes_of_the_table() {
        let mut bins = 0;
        for (bin, first, end) in bounds() {
            for size in [first, (first + end) / 2, end - 1] {
                assert_eq!(bin_of(size as u32), bin, "size {size}");
            }
            assert_eq!(u64::from(smallest_of(bin)), first, "bin {bin}");
            bins += 1;
        }
        assert_eq!(bins, TAIL, "the tail's bin comes after them all");
        assert_eq!((TAIL, BINS), (864, 865));
        assert!(BINS <= COLUMNS * ROWS as u32, "every bin has a row");
    }

    #[test]
    fn a_search_starts_at_the_first_bin_without_smaller_regions() {
        for (bin, first, end) in bounds() {
            if first > 0 {
                assert_eq!(bin_at_least(first as u32), bin, "a lower bound stays in its bin");
            }
            for size in [first + 1, end - 1, end].into_iter().filter(|&size| size > first) {
                assert_eq!(bin_at_least(size as u32), bin + 1, "size {size}");
            }
        }
    }

    #[test]
    fn sizes_above_every_block_have_a_row_too() {
        assert!(row_of(bin_of(u32::MAX)) == bin_of(u32::MAX) / COLUMNS);
    }

    #[test]
    fn the_sizes_of_a_bin_differ_by_less_than_a_thirty_second() {
        assert!(bounds().all(|(_, first, end)| first == 0 || (end - 1 - first) * 32 < first));
    }
}
