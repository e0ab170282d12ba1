//! How large the next block is: small at first, then a quarter of what the type already holds.

/// Sizes of the blocks of one memory type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Growth {
    /// The first block, and the smallest. A power of two.
    pub(crate) first: u64,
    /// The largest block. A power of two, at least `first`.
    pub(crate) largest: u64,
}

impl Growth {
    /// Sizes from the user's wishes, made to fit a heap: a block takes at most an eighth of it, and
    /// at most `allocation_limit` (`maxMemoryAllocationSize`) bytes.
    pub(crate) fn for_heap(first: u64, largest: u64, heap: u64, allocation_limit: u64) -> Self {
        let ceiling = floor_power_of_two((heap / 8).min(allocation_limit)).max(SMALLEST);
        let largest = floor_power_of_two(largest).clamp(SMALLEST, ceiling);
        Self { first: floor_power_of_two(first).clamp(SMALLEST, largest), largest }
    }

    /// Whether a request is better off with a memory of its own: it would fill more than half of
    /// the largest block.
    pub(crate) fn wants_dedicated(&self, size: u64) -> bool {
        size > self.largest / 2
    }

    /// Whether a request that finds no block may have a memory of its own: small ones may not, they
    /// would use up the number of memories that a device can have.
    pub(crate) fn may_be_dedicated(&self, size: u64) -> bool {
        size >= SMALLEST
    }

    /// The size of the next block, for a request that no block holds. At least `size`.
    pub(crate) fn next_block(&self, reserved: u64, size: u64) -> u64 {
        let by_share = floor_power_of_two(reserved / 4).clamp(self.first, self.largest);
        // A request that is larger than its share asks for little more than itself.
        by_share.max(self.least_block(size))
    }

    /// The smallest block for a request.
    pub(crate) fn least_block(&self, size: u64) -> u64 {
        size.checked_next_multiple_of(SMALLEST).unwrap_or(size)
    }
}

/// Below this a block costs a driver call for little: no block is smaller.
const SMALLEST: u64 = 64 << 10;

const fn floor_power_of_two(value: u64) -> u64 {
    if value == 0 { 0 } else { 1 << value.ilog2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn blocks_start_small_and_grow_with_what_is_held() {
        let growth = Growth::for_heap(MIB, 256 * MIB, 8 << 30, u64::MAX);
        let mut reserved = 0;
        let mut blocks = 0;
        while reserved < 4 << 30 {
            let size = growth.next_block(reserved, 1);
            assert!(size == MIB || size <= reserved / 4);
            reserved += size;
            blocks += 1;
        }
        assert!(blocks < 64, "{blocks} blocks for 4 GiB");
    }

    #[test]
    fn a_small_heap_has_small_blocks() {
        let growth = Growth::for_heap(MIB, 256 * MIB, 4 * MIB, u64::MAX);
        assert_eq!(growth, Growth { first: 512 << 10, largest: 512 << 10 });
        assert_eq!(Growth::for_heap(MIB, 256 * MIB, 0, 0).first, SMALLEST);
    }

    #[test]
    fn a_block_holds_the_request_it_is_made_for() {
        let growth = Growth::for_heap(MIB, 256 * MIB, 8 << 30, u64::MAX);
        for size in [1, MIB, MIB + 1, 100 * MIB] {
            assert!(growth.next_block(0, size) >= size);
        }
        assert!(!growth.wants_dedicated(128 * MIB) && growth.wants_dedicated(128 * MIB + 1));
    }
}
