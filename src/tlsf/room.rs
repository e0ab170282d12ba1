//! How much room a block has, told with each change: for whoever knows many blocks by it.
//!
//! *Room* is the logarithm of a size in bytes, in steps of 1/32 and rounded down. It is the number of a
//! bin and that of the granule, so it costs no arithmetic.

use super::Tlsf;
use super::class::{COLUMNS, bin_above};
use super::error::KeyError;
use super::place::Observe;
use super::region::{Key, Placed};

/// The bin that a range was cut from.
struct Cut(u32);

impl Observe for Cut {
    #[inline(always)]
    fn took(&mut self, bin: u32) {
        self.0 = bin;
    }
}

impl Tlsf {
    /// The room of the largest free region, by [`largest_class`](Self::largest_class); 0 if nothing is free.
    /// O(1).
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        let granule = self.granule_room();
        let highest = self.bitmaps.highest().map_or(0, |bin| granule + bin);
        highest.max(bin_above(self.tail(), granule))
    }

    /// [`allocate`](Self::allocate), and the room of the region that it was cut from, the tail's being above all
    /// others: where that is below the block's, this has not changed. O(1).
    #[inline(always)]
    pub(crate) fn allocate_telling(&mut self, size: u64, alignment: u64) -> Option<(Placed, u32)> {
        let mut cut = Cut(0);
        let placed = self.allocate_observed(size, alignment, &mut cut).ok()?;
        Some((placed, self.granule_room() + cut.0))
    }

    /// [`free`](Self::free), with the freed bytes and the room of the free region that there is now: the block's is
    /// this or what it was, whichever is more. O(1).
    #[inline(always)]
    pub(crate) fn free_telling(&mut self, key: Key) -> Result<(u64, u32), KeyError> {
        let (freed, bin) = self.free_used(key)?;
        Ok((freed.size, self.granule_room() + bin))
    }

    /// [`reach`](Self::reach), telling as [`free_telling`](Self::free_telling) does. O(1).
    #[inline(always)]
    pub(crate) fn reach_telling(&mut self, key: Key) -> Result<(u64, u32), KeyError> {
        let (freed, bin) = self.free_pending(key)?;
        Ok((freed.size, self.granule_room() + bin))
    }

    /// The room of a granule.
    #[inline(always)]
    fn granule_room(&self) -> u32 {
        self.shift * COLUMNS
    }
}
