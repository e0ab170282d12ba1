//! The blocks that TLSF splits, as areas of one TLSF, so that one search covers any number of
//! blocks.

use core::ops::Range;
use std::collections::TryReserveError;

use super::{broken::Broken, tenants::Tenants};
use crate::tlsf::{
    Area, AreaError, ConfigError, Key, KeyError, Placed, Region, TakenOver, Tlsf, Within,
};

/// The granules of a chunk. A block begins at a multiple of it. So an offset that is aligned in the
/// common space is aligned in its block, up to this alignment, and one word per chunk tells which
/// block the chunk belongs to.
const CHUNK: u64 = 1 << 16;

/// The entry of a chunk that belongs to no block.
const NOBODY: u32 = u32::MAX;

/// Blocks that are placed in one space of offsets.
#[derive(Debug)]
pub(crate) struct Areas {
    /// Created with the first block.
    tlsf: Option<Tlsf>,
    /// The slot of the block in each chunk.
    chunks: Vec<u32>,
    granule: u64,
    /// log2 of the bytes of a chunk.
    chunk_shift: u32,
    /// The tenants of the regions of all blocks.
    pub(super) tenants: Tenants,
}

/// The position of a block in the common space.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Plot {
    within: Within,
    /// The offset of the block in bytes.
    pub(super) start: u64,
    area: Area,
}

impl Areas {
    pub(super) fn new(granule: u64) -> Self {
        Self {
            tlsf: None,
            chunks: Vec::new(),
            granule,
            chunk_shift: granule.trailing_zeros() + CHUNK.trailing_zeros(),
            tenants: Tenants::default(),
        }
    }

    /// The granule for blocks of a heap. It is such that 2³² granules are four times the size of
    /// the heap (up to 1 TiB), so that there is a place for each block.
    pub(crate) fn granule_for(heap_size: u64, at_least: u64) -> u64 {
        let space = heap_size.min(1 << 40) * 4;
        at_least.max((space >> 32).next_power_of_two())
    }

    /// Adds an empty block, for a slot whose previous keys had serials below `serial`. O(chunks).
    pub(super) fn add(&mut self, slot: u32, size: u64, serial: u32) -> Result<Plot, ConfigError> {
        let granule = self.granule;
        let units = size / granule;
        if units == 0 {
            return Err(ConfigError::TooSmall { size });
        }
        let too_many = ConfigError::TooManyGranules { size, granule };
        if units > u64::from(u32::MAX) {
            return Err(too_many);
        }
        let taken = units.div_ceil(CHUNK) as usize;
        let first = self.room_among(taken);
        let end = first + taken;
        self.chunks
            .try_reserve(end.saturating_sub(self.chunks.len()))
            .map_err(|_| ConfigError::OutOfHostMemory)?;
        let tlsf = match &mut self.tlsf {
            Some(tlsf) => tlsf,
            none => none.insert(Tlsf::without_areas(granule)?),
        };
        let start = first as u64 * CHUNK;
        let area =
            tlsf.add_area(start * granule, units * granule).map_err(|error| match error {
                AreaError::OutOfHostMemory => ConfigError::OutOfHostMemory,
                _ => too_many,
            })?;
        tlsf.skip_serials_to(serial);
        if end > self.chunks.len() {
            self.chunks.resize(end, NOBODY);
        }
        self.chunks[first..end].fill(slot);
        // The place of an area is below 2³².
        let within = Within { start: start as u32, size: units as u32 };
        Ok(Plot { area, start: start * granule, within })
    }

    /// The first of `count` adjacent chunks that belong to no block. O(chunks).
    fn room_among(&self, count: usize) -> usize {
        let mut first = 0;
        for (at, &slot) in self.chunks.iter().enumerate() {
            if slot != NOBODY {
                first = at + 1;
            } else if at + 1 - first == count {
                break;
            }
        }
        first
    }

    /// Removes an empty block. O(areas), and needs no memory.
    pub(super) fn remove(&mut self, plot: Plot) {
        self.chunks[plot.chunks()].fill(NOBODY);
        let removed = self.tlsf.as_mut().map(|tlsf| tlsf.remove_area(plot.area));
        debug_assert!(matches!(removed, Some(Ok(()))), "{removed:?}");
    }

    /// The slot of the block that contains an offset.
    #[inline(always)]
    fn slot_of(&self, offset: u64) -> u32 {
        let chunk = offset >> self.chunk_shift;
        self.chunks.get(chunk as usize).copied().unwrap_or(NOBODY)
    }

    /// Allocates from the tightest room of any block, but from at most `most`. Returns the slot,
    /// and the room from which the range was cut. `None` for an alignment above that of the blocks.
    /// O(1).
    #[inline(always)]
    pub(super) fn allocate(
        &mut self,
        size: u64,
        alignment: u64,
        most: u32,
    ) -> Option<(u32, Placed, u32)> {
        let tlsf = self.tlsf.as_mut()?;
        let (placed, cut) = tlsf.allocate_telling(size, alignment, CHUNK as u32, most)?;
        Some((self.slot_of(placed.offset), placed, cut))
    }

    /// The room from which [`allocate`](Self::allocate) would cut. O(1).
    pub(super) fn room_for(&self, size: u64, alignment: u64) -> Option<u32> {
        let tlsf = self.tlsf.as_ref().filter(|_| alignment <= 1 << self.chunk_shift)?;
        tlsf.room_for(size, alignment)
    }

    /// Allocates from any free region of a block, for any alignment. O(regions of the block).
    pub(super) fn allocate_in(&mut self, plot: &Plot, size: u64, alignment: u64) -> Option<Placed> {
        self.tlsf.as_mut()?.allocate_in_area(&plot.area, size, alignment)
    }

    /// The room of the largest free range. O(1).
    #[inline]
    pub(super) fn room(&self) -> u32 {
        self.tlsf.as_ref().map_or(0, Tlsf::room)
    }

    /// Used → Free. Returns the bytes, and the room of the resulting free region. O(1).
    #[inline(always)]
    pub(super) fn free(&mut self, key: Key, plot: &Plot) -> Result<(u64, u32), KeyError> {
        self.tlsf.as_mut().ok_or(KeyError::Stale)?.free_telling(key, plot.within)
    }

    /// Pending → Free. O(1).
    #[inline(always)]
    pub(super) fn reach(&mut self, key: Key, plot: &Plot) -> Result<(u64, u32), KeyError> {
        self.tlsf.as_mut().ok_or(KeyError::Stale)?.reach_telling(key, plot.within)
    }

    /// Used or pending → Free in a block that is closed. O(1).
    pub(super) fn free_shut(
        &mut self,
        key: Key,
        plot: &Plot,
        pending: bool,
    ) -> Result<u64, KeyError> {
        self.tlsf.as_mut().ok_or(KeyError::Stale)?.free_shut(key, plot.within, pending)
    }

    /// Used → Pending. O(1).
    #[inline(always)]
    pub(super) fn retire(&mut self, key: Key, plot: &Plot) -> Result<u64, KeyError> {
        self.tlsf.as_mut().ok_or(KeyError::Stale)?.retire_within(key, plot.within)
    }

    /// Pending → Free for many regions, in blocks that are not closed. Returns the bytes. O(keys).
    pub(super) fn reach_batch(&mut self, keys: &[Key]) -> Result<u64, KeyError> {
        let Some(tlsf) = self.tlsf.as_mut().filter(|_| !keys.is_empty()) else { return Ok(0) };
        let before = tlsf.pending_bytes();
        tlsf.reach_batch(keys)?;
        Ok(before - tlsf.pending_bytes())
    }

    /// Ensures that noting the tenant of one more region, or of the remainder of one, needs no
    /// memory.
    pub(super) fn reserve_tenants(&mut self) -> Result<(), TryReserveError> {
        let bound = self.tlsf.as_ref().map_or(0, Tlsf::index_bound_after_growth);
        self.tenants.reserve(bound)
    }

    /// Pending → Used by another owner, from the start of the region.
    pub(super) fn take_over(&mut self, key: Key, size: u64) -> Option<TakenOver> {
        self.tlsf.as_mut()?.take_over(key, size, 1).ok()
    }

    pub(super) fn join(&mut self, first: Key, second: Key) -> Option<()> {
        self.tlsf.as_mut()?.join(first, second).ok()
    }

    /// Takes all free regions of a block: Free → Pending. Returns `None`, and changes nothing, if
    /// the host has no memory for the list. O(regions of the block).
    pub(super) fn hold(&mut self, plot: &Plot) -> Option<Vec<Key>> {
        self.tlsf.as_mut()?.hold_area(&plot.area).ok()
    }

    /// Hides the free regions of a block from searches, or makes them visible again. O(regions of
    /// the block), and needs no memory.
    pub(super) fn set_shut(&mut self, plot: &Plot, shut: bool) {
        let done = self.tlsf.as_mut().map(|tlsf| match shut {
            true => tlsf.shut_area(&plot.area),
            false => tlsf.open_area(&plot.area),
        });
        debug_assert!(matches!(done, Some(Ok(()))), "{done:?}");
    }

    /// The region of a key in a block, used or pending, with its offset in the block. O(1).
    pub(super) fn region(&self, key: Key, plot: &Plot) -> Result<Region, KeyError> {
        let region = self.tlsf.as_ref().ok_or(KeyError::Stale)?.get(key)?;
        let offset = region.offset.wrapping_sub(plot.start);
        match offset < u64::from(plot.within.size) * self.granule {
            true => Ok(Region { offset, ..region }),
            false => Err(KeyError::Stale),
        }
    }

    /// All regions of a block in address order.
    pub(super) fn regions(&self, plot: &Plot) -> impl Iterator<Item = Region> {
        let regions = self.tlsf.as_ref().and_then(|tlsf| tlsf.area_regions(&plot.area).ok());
        let start = plot.start;
        regions
            .into_iter()
            .flatten()
            .map(move |region| Region { offset: region.offset - start, ..region })
    }

    pub(super) fn next_serial(&self) -> u32 {
        self.tlsf.as_ref().map_or(0, Tlsf::next_serial)
    }

    /// Verifies the TLSF and the chunks, given the blocks in these slots and whether they are
    /// closed. O(chunks and regions).
    pub(super) fn check<'a>(
        &self,
        plots: impl Iterator<Item = (u32, &'a Plot, bool)>,
    ) -> Result<(), Broken> {
        self.tlsf.as_ref().map_or(Ok(()), Tlsf::check)?;
        let (mut slots, mut count) = (vec![NOBODY; self.chunks.len()], 0);
        for (slot, plot, closed) in plots {
            let tlsf = self.tlsf.as_ref().ok_or(Broken::Index)?;
            slots.get_mut(plot.chunks()).ok_or(Broken::Index)?.fill(slot);
            if !tlsf.is_area_shut(&plot.area, closed) {
                return Err(Broken::Index);
            }
            count += 1;
        }
        let areas = self.tlsf.as_ref().map_or(0, Tlsf::area_count);
        if slots == self.chunks && areas == count { Ok(()) } else { Err(Broken::Index) }
    }
}

impl Plot {
    /// The chunks of a plot.
    fn chunks(&self) -> Range<usize> {
        let Within { start, size } = self.within;
        let first = u64::from(start) / CHUNK;
        first as usize..(first + u64::from(size).div_ceil(CHUNK)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::random::Random;

    const KIB: u64 = 1 << 10;
    const GIB: u64 = 1 << 30;

    /// Blocks of all sizes are created and freed until their heap was held hundreds of times over:
    /// there is always a place for each.
    #[test]
    fn there_is_a_place_for_each_block_of_a_heap() {
        for heap in [1 << 20, 8 * GIB, 64 * GIB, 300 * GIB, 1 << 40] {
            let granule = Areas::granule_for(heap, 64);
            let mut areas = Areas::new(granule);
            let mut random = Random::new(heap);
            let mut random = |bound: u64| random.below(bound);
            // As many as a device may have memories, each of up to an eighth of the heap.
            let (mut blocks, mut held, mut all) = (Vec::new(), 0, 0);
            for slot in 0..20_000 {
                let most = (heap / 8) >> random(12);
                let size = (64 * KIB).max(most / 2 + (most * random(1000) / 2000));
                while held + size > heap || blocks.len() >= 4096 {
                    let (plot, size) = blocks.swap_remove(random(blocks.len() as u64) as usize);
                    areas.remove(plot);
                    held -= size;
                }
                let plot = areas.add(slot, size, 0).unwrap();
                assert_eq!(plot.start % (CHUNK * granule), 0, "{size} at {}", plot.start);
                assert_eq!(u64::from(plot.within.size), size / granule);
                blocks.push((plot, size));
                (held, all) = (held + size, all + size);
            }
            assert!(all / heap > 100, "{heap}: {all}");
        }
    }

    #[test]
    fn a_granule_is_as_fine_as_the_heap_allows() {
        let of = |heap: u64| Areas::granule_for(heap, 64);
        assert_eq!([0, 1, 24 * GIB, 64 * GIB].map(of), [64; 4]);
        assert_eq!([80 * GIB, 300 * GIB, 1 << 40, u64::MAX].map(of), [128, 512, 1024, 1024]);
        assert_eq!((Areas::granule_for(0, 256), Areas::granule_for(80 * GIB, 256)), (256, 256));
    }

    #[test]
    fn what_has_no_place_is_refused_and_changes_nothing() {
        let mut areas = Areas::new(64);
        assert_eq!(areas.add(0, 63, 0).unwrap_err(), ConfigError::TooSmall { size: 63 });
        for size in [128 * GIB, 1 << 40, u64::MAX] {
            let refused = areas.add(0, size, 0).unwrap_err();
            assert_eq!(refused, ConfigError::TooManyGranules { size, granule: 64 });
        }
        // All blocks together have at most half of all granules, less one.
        let plot = areas.add(0, 128 * GIB - 64, 0).unwrap();
        assert!(areas.add(1, 64, 0).is_err());
        areas.check([(0, &plot, false)].into_iter()).unwrap();
        areas.remove(plot);
        areas.check(core::iter::empty()).unwrap();
        assert!(areas.add(1, 64 + 63, 0).is_ok());
    }
}
