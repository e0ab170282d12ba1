//! How much room a block has, told with each change: for whoever knows many blocks by it.
//!
//! *Room* is the logarithm of a size in bytes, in [`ROOM_STEPS`] and rounded down. It is the number of a
//! bin and that of the granule, so it costs no arithmetic.

use super::Tlsf;
use super::class::{BELOW, COLUMNS, ONE, bin_above};
use super::error::KeyError;
use super::region::{Key, Placed};

/// Steps of room in a power of two.
pub(crate) const ROOM_STEPS: u32 = COLUMNS;

/// The room of so many bytes; 0 for none. From 2⁶³ bytes on it is more than any other.
#[inline(always)]
pub(crate) const fn room_of(bytes: u64) -> u32 {
    (((bytes as i64 as f64).to_bits() >> BELOW) as u32).saturating_sub(ONE)
}

/// The bytes that an allocation takes, where there is room for that: the size, rounded up to an alignment that
/// is not above it. The alignment is a power of two; rounding up to the granule is left out.
#[inline(always)]
pub(crate) const fn widened(size: u64, alignment: u64) -> u64 {
    let mask = alignment - 1;
    if mask < size { size.wrapping_add(mask) & !mask } else { size }
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
    /// others: where that is below the block's, this has not changed. The alignment is a power of two. O(1).
    #[inline(always)]
    pub(crate) fn allocate_telling(&mut self, size: u64, alignment: u64) -> Option<(Placed, u32)> {
        let (placed, bin) = self.allocate_from(size, alignment)?;
        Some((placed, self.granule_room() + bin))
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
        self.shift * ROOM_STEPS
    }
}
