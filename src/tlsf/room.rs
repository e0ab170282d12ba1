//! Functions for code that keeps blocks as [areas](super::area). They report with each change how
//! much room there is, and check which block the allocation of a key is in.
//!
//! *Room* is the logarithm of a size in bytes, in [`ROOM_STEPS`] and rounded down. It is the sum of
//! a bin number and the room of the granule, so it costs no arithmetic.

use super::class::{BELOW, COLUMNS, ONE};
use super::error::KeyError;
use super::pairs::{Link, Node, PENDING, USED};
use super::region::{Key, Placed};
use super::{STEP, Tlsf};

/// The steps of room for each power of two.
pub(crate) const ROOM_STEPS: u32 = COLUMNS;

/// The room of a number of bytes; 0 for 0 bytes. From 2⁶³ bytes on it is more than any other.
#[inline(always)]
pub(crate) const fn room_of(bytes: u64) -> u32 {
    (((bytes as i64 as f64).to_bits() >> BELOW) as u32).saturating_sub(ONE)
}

/// The least number of bytes with this room; 0 for no room.
pub(crate) const fn least_of_room(room: u32) -> u64 {
    match room {
        0 => 0,
        _ => (((COLUMNS + room % COLUMNS) as u128) << (room / COLUMNS) >> COLUMNS.ilog2()) as u64,
    }
}

/// The position of a block among the granules of all blocks. Keys of other blocks are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Within {
    pub(crate) start: u32,
    pub(crate) size: u32,
}

impl Within {
    #[inline(always)]
    fn has(self, start: u32) -> bool {
        start.wrapping_sub(self.start) < self.size
    }
}

impl Tlsf {
    /// The room of the largest free region, by [`largest_class`](Self::largest_class); 0 if nothing is free.
    /// O(1).
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        self.bitmaps.highest().map_or(0, |bin| self.granule_room() + bin)
    }

    /// As [`allocate`](Self::allocate), but from a free region of at most so much room. Also
    /// returns the room of the region from which it was cut. The alignment is a power of two. O(1).
    #[inline(always)]
    pub(crate) fn allocate_telling(
        &mut self,
        size: u64,
        alignment: u64,
        widest: u32,
        most: u32,
    ) -> Option<(Placed, u32)> {
        let granule = self.granule_room();
        let most = most.saturating_sub(granule);
        let (placed, bin) = self.allocate_from(size, alignment, widest, most)?;
        Some((placed, granule + bin))
    }

    /// The room of the region from which [`allocate_telling`](Self::allocate_telling) would cut.
    /// O(1).
    pub(crate) fn room_for(&self, size: u64, alignment: u64) -> Option<u32> {
        Some(self.granule_room() + self.bin_for(size, alignment)?)
    }

    /// The next allocation gets this serial, unless a higher one has been used already.
    pub(crate) fn skip_serials_to(&mut self, serial: u32) {
        if serial.wrapping_sub(self.serial) <= u32::MAX / 2 {
            self.serial = serial;
        }
    }

    /// The maximum of [`index_bound`](Self::index_bound) after one more operation.
    pub(crate) fn index_bound_after_growth(&self) -> u32 {
        self.index_bound() + STEP as u32
    }

    /// As [`free`](Self::free), and also returns the freed bytes and the room of the resulting free
    /// region. O(1).
    #[inline(always)]
    pub(crate) fn free_telling(&mut self, key: Key, of: Within) -> Result<(u64, u32), KeyError> {
        let (node, region) = self.expect(key, USED)?;
        self.check_within(region, of)?;
        self.taken.subtract(region.size);
        let bin = self.table().release(node, region);
        Ok((self.bytes(region.size), self.granule_room() + bin))
    }

    /// As [`reach`](Self::reach), and also returns what [`free_telling`](Self::free_telling) does.
    /// O(1).
    #[inline(always)]
    pub(crate) fn reach_telling(&mut self, key: Key, of: Within) -> Result<(u64, u32), KeyError> {
        let (node, region) = self.expect(key, PENDING)?;
        self.check_within(region, of)?;
        self.taken.subtract(region.size);
        self.pending.subtract(region.size);
        let bin = self.table().release(node, region);
        Ok((self.bytes(region.size), self.granule_room() + bin))
    }

    /// As [`retire`](Self::retire), and returns the bytes. O(1).
    #[inline(always)]
    pub(crate) fn retire_within(&mut self, key: Key, of: Within) -> Result<u64, KeyError> {
        let (node, region) = self.expect(key, USED)?;
        self.check_within(region, of)?;
        self.pending.add(region.size);
        self.table().set_link(node, Link { next: key.serial(), prev: PENDING });
        Ok(self.bytes(region.size))
    }

    /// Checks that the allocation of a key is in this block.
    #[inline(always)]
    pub(super) fn check_within(&self, region: Node, of: Within) -> Result<(), KeyError> {
        if of.has(region.start) { Ok(()) } else { Err(KeyError::Stale) }
    }

    /// The room of a granule.
    #[inline(always)]
    fn granule_room(&self) -> u32 {
        self.shift * ROOM_STEPS
    }
}
