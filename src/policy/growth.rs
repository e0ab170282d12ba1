//! The size of the next block: small at first, then a share of what is reserved, or tailored to one
//! request.
//!
//! The policy was chosen by peak reserved over peak live bytes, and by the number of driver calls,
//! on every shipped trace. `GROWTH.md` lists the attempts.

/// The block sizes of one memory type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Growth {
    /// The first and smallest block. A power of two.
    pub(crate) first: u64,
    /// The largest shared block. A power of two, at least `first`.
    pub(crate) largest: u64,
}

/// The memory that is reserved when a block is about to be allocated, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    /// By all memory types together.
    pub(crate) all: u64,
    /// By the memory type of the block.
    pub(crate) own: u64,
    /// The difference to the most that was ever reserved.
    pub(crate) below: u64,
}

/// A block to be allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NextBlock {
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Whether it is tailored to the one request, and not used for small ones.
    pub(crate) tailored: bool,
}

impl Growth {
    /// The sizes that the user wants, limited to what fits a heap: a block takes at most an eighth
    /// of it, and at most `allocation_limit` (`maxMemoryAllocationSize`) bytes.
    pub(crate) fn for_heap(first: u64, largest: u64, heap: u64, allocation_limit: u64) -> Self {
        let ceiling = floor_power_of_two((heap / 8).min(allocation_limit)).max(SMALLEST);
        let largest = floor_power_of_two(largest).clamp(SMALLEST, ceiling);
        Self { first: floor_power_of_two(first).clamp(SMALLEST, largest), largest }
    }

    /// Whether a request that finds no block may get a dedicated allocation. Small ones may not,
    /// because they would use up the number of memory objects of a device.
    pub(crate) const fn may_be_dedicated(&self, size: u64) -> bool {
        size >= SMALLEST
    }

    /// The size from which on a request may get a tailored block.
    pub(crate) const fn large(&self) -> u64 {
        4 * self.first
    }

    /// The next block, for a request that fits no existing block. It has at least `size` bytes.
    ///
    /// A shared block is a forty-eighth of everything that is reserved. Its unused end is then
    /// small compared with the rest, and a memory type that is used late does not begin with dozens
    /// of tiny blocks. But it is at most sixteen times what its own type has reserved, so that a
    /// rarely used type takes little. If more was reserved before, the block is larger, because
    /// memory up to the previous maximum does not raise the footprint. A request of a third of the
    /// block or more seldom comes alone, so the block is a multiple of it. A large request that
    /// would fill an eighth of the block or more gets a tailored block.
    pub(crate) fn next_block(&self, held: Held, size: u64) -> NextBlock {
        let least = if held.own <= self.first { self.first } else { 4 * self.first };
        let rising = (held.all / 48).min(held.own.saturating_mul(16));
        let again = (held.below / 2).min(held.all / 3);
        let share = (rising.max(again) / SMALLEST * SMALLEST).max(least).min(self.largest);
        if size >= self.large() && size >= share / 8 {
            return NextBlock { size: self.least_block(size), tailored: true };
        }
        let multiple = (share + share / 4).min(self.largest) / size * size;
        let bytes = if size < share / 3 { share } else { multiple.max(size).max(self.first) };
        NextBlock { size: self.least_block(bytes), tailored: false }
    }

    /// The smallest block for a request.
    pub(crate) fn least_block(&self, size: u64) -> u64 {
        size.checked_next_multiple_of(SMALLEST).unwrap_or(size)
    }
}

/// The minimum block size: below this, a block is not worth a driver call.
const SMALLEST: u64 = 64 << 10;

const fn floor_power_of_two(value: u64) -> u64 {
    if value == 0 { 0 } else { 1 << value.ilog2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GROWTH: Growth = Growth { first: MIB, largest: 256 * MIB };

    const fn alone(held: u64) -> Held {
        Held { all: held, own: held, below: 0 }
    }

    #[test]
    fn blocks_start_small_and_grow_with_what_is_held() {
        let mut held = 0;
        let mut blocks = 0;
        while held < 4 << 30 {
            let NextBlock { size, tailored } = GROWTH.next_block(alone(held), 1);
            assert!(!tailored && (size <= 4 * MIB || size <= held / 48));
            held += size;
            blocks += 1;
        }
        assert!(blocks < 260, "{blocks} blocks for 4 GiB");
        assert_eq!(GROWTH.next_block(alone(0), 1).size, MIB);
    }

    #[test]
    fn a_type_that_comes_late_grows_fast_and_takes_little() {
        let sizes = |own: u64| GROWTH.next_block(Held { all: 6 << 30, own, below: 0 }, 1).size;
        assert_eq!([0, MIB, 6 * MIB].map(sizes), [MIB, 16 * MIB, 96 * MIB]);
        assert_eq!(sizes(1 << 30), 128 * MIB);
    }

    #[test]
    fn what_was_held_before_is_taken_again_in_larger_blocks() {
        let sizes =
            |below: u64| GROWTH.next_block(Held { all: 384 * MIB, own: 384 * MIB, below }, 1).size;
        assert_eq!([0, 16 * MIB, 90 * MIB].map(sizes), [8 * MIB, 8 * MIB, 45 * MIB]);
        assert_eq!(sizes(4 << 30), 128 * MIB);
        // But a device with hardly anything holds hardly anything, whatever it once held.
        let held = Held { all: MIB, own: MIB, below: 4 << 30 };
        assert_eq!(GROWTH.next_block(held, 1).size, MIB);
    }

    #[test]
    fn a_block_is_a_multiple_of_a_request_that_is_seldom_alone() {
        let size = |size: u64| GROWTH.next_block(alone(576 * MIB), size).size;
        assert_eq!([1, MIB, 3 * MIB].map(size), [12 * MIB; 3], "others are alone");
        let large = Growth { first: 4 * MIB, largest: 256 * MIB };
        let multiple = |size: u64| large.next_block(alone(768 * MIB), size).size;
        assert_eq!([6 * MIB, 7 * MIB, 9 * MIB].map(multiple), [18 * MIB, 14 * MIB, 18 * MIB]);
    }

    #[test]
    fn a_small_heap_has_small_blocks() {
        let growth = Growth::for_heap(MIB, 256 * MIB, 4 * MIB, u64::MAX);
        assert_eq!(growth, Growth { first: 512 << 10, largest: 512 << 10 });
        assert_eq!(growth.next_block(alone(8 << 30), 1).size, 512 << 10);
        assert_eq!(Growth::for_heap(MIB, 256 * MIB, 0, 0).first, SMALLEST);
        assert_eq!(Growth::for_heap(MIB, 256 * MIB, 8 << 30, u64::MAX), GROWTH);
    }

    #[test]
    fn a_block_holds_the_request_it_is_made_for() {
        for size in [1, MIB, MIB + 1, 100 * MIB, 1 << 30, u64::MAX] {
            for held in [0, 100 * MIB, 8 << 30, 64 << 30, u64::MAX] {
                let block = GROWTH.next_block(alone(held), size);
                assert!(block.size >= size);
                // And no shared one is larger than the largest.
                assert!(block.tailored || block.size <= GROWTH.largest, "{held} {size}");
            }
        }
        assert!(!GROWTH.may_be_dedicated(SMALLEST - 1) && GROWTH.may_be_dedicated(SMALLEST));
    }

    #[test]
    fn a_large_request_gets_a_block_to_measure() {
        let block = |held, size| GROWTH.next_block(alone(held), size);
        let tailored = |size| NextBlock { size, tailored: true };
        assert_eq!(block(0, 30 * MIB), tailored(30 * MIB));
        assert_eq!(block(0, 3 * MIB), NextBlock { size: 3 * MIB, tailored: false });
        assert_eq!(block(3 << 30, 8 * MIB), tailored(8 * MIB));
        assert_eq!(block(3 << 30, 7 * MIB), NextBlock { size: 64 * MIB, tailored: false });
    }

    /// A multiple of a request too is at most the largest block, though a quarter more would hold one more.
    #[test]
    fn no_shared_block_is_larger_than_the_largest() {
        let coarse = Growth { first: 64 * MIB, largest: 256 * MIB };
        for size in 1..256 {
            let block = coarse.next_block(alone(64 << 30), size * MIB);
            assert!(block.tailored || block.size <= 256 * MIB, "{size} MiB: {block:?}");
        }
        assert_eq!(coarse.next_block(alone(64 << 30), 30 * MIB).size, 256 * MIB);
    }
}
