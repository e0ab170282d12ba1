//! Where in a block there is room, found in constant time: two-level segregated fit (TLSF).
//!
//! A [`Tlsf`] divides the numbers from 0 to the size of a block into *regions*, each free, used or
//! pending. It never touches the memory it divides, so it serves memory that the host cannot see.
//! The algorithm is Masmano, Ripoll, Crespo and Real, *TLSF: a new dynamic memory allocator for
//! real-time systems* (2004); what the paper calls a block is a region here.
//!
//! ```
//! use fencepost::tlsf::{Config, Tlsf};
//!
//! let mut tlsf = Tlsf::new(&Config::new(64 << 20, 256))?;
//! let mesh = tlsf.allocate(100_000, 256)?;
//! assert_eq!((mesh.offset, mesh.size), (0, 100_096)); // rounded up to the granule
//!
//! tlsf.retire(mesh.key)?; // given up, but the GPU may still read it: nobody gets the range
//! assert_eq!(tlsf.pending_bytes(), 100_096);
//! tlsf.reach(mesh.key)?; // the GPU is done: free, and merged with its neighbours
//! assert!(tlsf.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The two levels
//! Sizes are counted in *granules*, a power of two that the block chooses. Free regions of similar
//! size share a *bin*. A row of 32 bins covers one power of two, in 32 equal steps; below 64 granules
//! every single size has a bin. Two levels of bitmaps tell which bins have a region.
//!
//! ```text
//!             row 31    30     …      7       6       5     …    0
//! first      ┌───────┬───────┬───┬───────┬───────┬───────┬───┬───────┐
//! level, u64 │ 1     │ 0     │ … │ 1     │ 0     │ 0     │ … │ 1     │  is any bit of the row set?
//!            └───┬───┴───────┴───┴───┬───┴───────┴───────┴───┴───────┘
//!                │ the tail          │ 128..256, step 4
//!                │                   │
//!                │      column 31    │    13          0
//! second         │     ┌─────┬─────┬─┴───┬─────┬─────┐
//! level, u32     │     │ 0   │  …  │ 1   │  …  │ 0   │  is any region in the bin?
//!                │     └─────┴─────┴──┬──┴─────┴─────┘
//!                │                    │ bin 7·32 + 13 = 237: 180..184 granules
//!                │                    ▼
//!                │              ┌▶ [bin 237] ◀─▶ [183 granules] ◀─▶ [180 granules] ◀┐
//!                │              └───────────────────────────────────────────────────┘
//!                └─▶ the free region at the end of the block, of any size
//! ```
//!
//! A search for 182 granules asks for bin 238, the lowest whose regions are all large enough: row 7
//! masked from column 14 on, else the first row above 7, and in it the first column. The size on a
//! bin's lower bound, 180, asks for bin 237 itself, so an exact hole is found again. Since only bin
//! 237 may hold a region that fits 182 closely, two of its regions are tried first; that packs like
//! best fit. The tail of the block is in a bin of its own above all others: it is cut last.
//!
//! # What is granted
//! A size is rounded up to the granule; and, if it is not below the alignment, to the alignment. What
//! that adds would be a hole off the alignment, of use to smaller alignments only, and the next aligned
//! request beside it would need padding: on a renderer's mix rounding halves the time of an operation,
//! and the arena that it needs is no larger. Where there is no room for the rounded size, and for
//! alignments above 64 granules in a block that is more than seven eighths full, the size itself is
//! searched for.
//!
//! Of a request of *s* granules, aligned to *a* granules (both at least 1): it is granted if
//! - a free region other than the tail has *s* + *a* − 1 granules, rounded up to the lower bound of a
//!   bin (by less than 1/32; sizes to 64 are bounds themselves), or
//! - the tail holds it with the padding it needs.
//!
//! Below that a request may be refused although a free region holds it: one that the tries do not come
//! to. [`Tlsf::largest_class`] tells what is sure for *a* = 1, and
//! [`Tlsf::allocate_anywhere`] looks at all regions.
//!
//! # Several ranges
//! What lies apart and is searched as one is an [area](Tlsf::add_area): the blocks of a heap, the files of a
//! store. A search does not know of areas, so a hundred cost what one does; their ends stand in the ring of
//! regions as nodes that nothing merges with.
//!
//! # Constant time
//! Per operation, whatever the number of regions:
//! - A search visits at most 3 bins and 5 free regions: up to 2 regions in the bin of the size, up to 2
//!   in the first bin above, the first region of the bin that is enough with any padding. A bin above
//!   is found with two bit scans over three words. [`allocate`](Tlsf::allocate) searches once, and a
//!   second time where the rounded size has no room. Where padding would cost much, for alignments
//!   above 64 granules in a block that is more than seven eighths full, it searches once, and looks at
//!   the first region of 4 bins more between the size and the size with the most padding. 16 visits at most.
//! - Cutting changes the region's neighbours and bins: at most one region goes out of a bin and two
//!   go into one.
//! - [`free`](Tlsf::free) and [`reach`](Tlsf::reach) have no loop: two neighbours at most leave their
//!   bins and one region enters one. [`retire`](Tlsf::retire) changes a mark, and
//!   [`take_over`](Tlsf::take_over) one or two.
//! - [`reach_batch`](Tlsf::reach_batch) walks each key's region at most twice.
//! - The one exception is host memory: when all nodes are in use 64 more are made, and where no memory
//!   is reserved for them a sixteenth of the table is, which may move it. Over all operations that is
//!   constant too; a block whose number of regions has peaked never asks the host again.
//!
//! [`largest_free`](Tlsf::largest_free), [`regions`](Tlsf::regions) and [`check`](Tlsf::check) are
//! reports and walk what they report; [`allocate_anywhere`](Tlsf::allocate_anywhere) is the way out of a
//! refusal and may walk all free regions.
//!
//! # What it costs
//! 24 bytes of host memory per region, used, pending or free, up to a sixteenth more in reserve, and
//! 8 KiB per block. No two free regions are neighbours, so at most one more is free than is not.
//!
//! # Limits
//! - Fewer than 2³¹ granules per block: with 16 bytes 32 GiB, with 4 KiB 8 TiB, and so on to 2⁶⁴ bytes.
//! - Some 715,000,000 regions per block, whose nodes take 16 GiB; more are
//!   [`OutOfHostMemory`](AllocateError::OutOfHostMemory).
//! - What rounding a size up loses is not counted apart.
//! - Serials repeat after 2³² allocations; a key kept that long may name a younger allocation.
//! - A key of another block is refused only if its index and serial do not happen to live here; who
//!   owns several blocks tells their keys apart.
#![forbid(unsafe_code)]

mod anywhere;
mod area;
mod bitmaps;
mod check;
mod class;
mod config;
mod error;
mod noted;
mod pairs;
mod place;
mod region;
mod release;
mod report;
#[cfg(feature = "vulkan")]
mod room;
mod search;
#[cfg(feature = "vulkan")]
mod shut;
mod sorted;
mod table;
mod take_over;

use alloc::vec::Vec;

use bitmaps::Bitmaps;
use class::{BINS, TAIL};
use pairs::{BORDER, EDGE, Link, NODES_BOUND, Node, PAIRS, Pair, VACANT, index_of};
use table::{Table, Vacant, bin_beside};

pub use area::{Area, AreaError, AreaRange};
pub use check::Broken;
pub use config::Config;
pub use error::{AllocateError, ConfigError, KeyError, TakeOverError};
pub(crate) use noted::Noted;
pub use region::{Freed, Key, Placed, Region, State};
pub use report::Regions;
#[cfg(feature = "vulkan")]
pub(crate) use room::{ROOM_STEPS, Within, least_of_room, room_of};
#[doc(hidden)]
pub use search::Probes;
pub use take_over::TakenOver;

/// The ranges of one block, from 0 to its size.
///
/// It holds numbers only and never touches the memory it divides. All sizes and offsets are in bytes.
/// A clone is a plan: a block of the same layout, whose keys are the same numbers.
// In the order written: one cache line, and then the bitmaps, of whose columns those of small sizes come first.
#[derive(Clone)]
#[repr(C)]
pub struct Tlsf {
    /// The bins' links, then the nodes. The regions and the border, node 0, form a ring in address
    /// order; those of an area and its edge another.
    pairs: Vec<Pair>,
    /// The nodes that stand for no region.
    vacant: Vacant,
    /// log2 of the granule.
    shift: u32,
    /// Size of the block in granules.
    units: u32,
    /// With more granules taken, the block counts as nearly full.
    roomy: u32,
    /// Serial of the next allocation.
    serial: u32,
    /// Number of regions that are not free, and the granules in them.
    taken: Sum,
    /// Number of those that are pending, and the granules in them.
    pending: Sum,
    /// Which bins have a region.
    bitmaps: Bitmaps,
    /// How many areas there are, besides the range that it was made with.
    areas: u32,
}

/// How many regions, and how many granules in them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sum {
    count: u32,
    units: u32,
}

impl Sum {
    #[inline]
    fn add(&mut self, units: u32) {
        self.count += 1;
        self.units += units;
    }

    #[inline]
    fn subtract(&mut self, units: u32) {
        self.count -= 1;
        self.units -= units;
    }
}

/// Nodes that are made at a time.
const STEP: usize = 64;

impl Tlsf {
    /// A block with nothing in it: one free region.
    ///
    /// # Errors
    /// The granule is no power of two, or does not suit the size; or the host is out of memory.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let (units, shift) = config.units()?;
        let mut tlsf = Self::of_nothing(shift, config.first_serial)?;
        (tlsf.units, tlsf.roomy) = (units, units - units / 8);
        let mut table = tlsf.table();
        let first = table.take_vacant();
        table.set_node(first, Node { start: 0, size: units, left: BORDER, right: BORDER });
        table.set_node(BORDER, Node { start: 0, size: units, left: first, right: first });
        table.insert(first, TAIL);
        Ok(tlsf)
    }

    /// Nothing to give out until there are [areas](Self::add_area), of granules of so many bytes.
    ///
    /// # Errors
    /// The granule is no power of two; or the host is out of memory.
    pub fn without_areas(granule: u64) -> Result<Self, ConfigError> {
        match granule.is_power_of_two() {
            true => Self::of_nothing(granule.trailing_zeros(), 0),
            false => Err(ConfigError::Granule { granule }),
        }
    }

    /// A block of no size.
    fn of_nothing(shift: u32, serial: u32) -> Result<Self, ConfigError> {
        let mut tlsf = Self {
            pairs: Vec::new(),
            bitmaps: Bitmaps::default(),
            vacant: Vacant::default(),
            shift,
            units: 0,
            roomy: 0,
            serial,
            taken: Sum::default(),
            pending: Sum::default(),
            areas: 0,
        };
        let bins_and_nodes = BINS as usize + (1 + STEP) * PAIRS as usize;
        tlsf.pairs.try_reserve_exact(bins_and_nodes).map_err(|_| ConfigError::OutOfHostMemory)?;
        tlsf.pairs.extend((0..BINS).map(|bin| Link { next: bin, prev: bin }.pair()));
        tlsf.pairs.extend([Link { next: BORDER, prev: EDGE }.pair(), [0, 0], [BORDER, BORDER]]);
        tlsf.grow().ok_or(ConfigError::OutOfHostMemory)?;
        Ok(tlsf)
    }

    /// Granules as bytes.
    #[inline]
    fn bytes(&self, units: u32) -> u64 {
        u64::from(units) << self.shift
    }

    /// The tables, for one operation.
    #[inline(always)]
    fn table(&mut self) -> Table<'_> {
        Table { pairs: &mut self.pairs, bitmaps: &mut self.bitmaps, vacant: &mut self.vacant }
    }

    /// Makes a few nodes more; `None`, and nothing changed, if the host is out of memory.
    ///
    /// Room for a sixteenth more is reserved at a time, and only touched as it is needed.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Option<()> {
        let old = self.pairs.len();
        let nodes = index_of(old as u32) as usize;
        if nodes + STEP > NODES_BOUND {
            return None;
        }
        let pairs = STEP * PAIRS as usize;
        if self.pairs.capacity() - old < pairs {
            self.pairs.try_reserve_exact((nodes / 16).max(STEP) * PAIRS as usize).ok()?;
        }
        self.pairs.resize(old + pairs, [BORDER, VACANT]);
        let new = self.pairs.len();
        let mut table = self.table();
        // The lowest comes out first.
        for node in (old..new).step_by(PAIRS as usize).rev() {
            table.give_vacant(node as u32);
        }
        Some(())
    }
}
