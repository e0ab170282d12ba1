//! An offset allocator that finds room in a block in constant time: two-level segregated fit
//! (TLSF).
//!
//! A [`Tlsf`] divides the numbers from 0 to the size of a block into *regions*, each of which is
//! free, used or pending. It never touches the memory that it divides, so this memory need not be
//! visible to the host. The algorithm is Masmano, Ripoll, Crespo and Real, *TLSF: a new dynamic
//! memory allocator for real-time systems* (2004). What the paper calls a block is a region here.
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
//! Sizes are counted in *granules*, a power of two that is chosen for the block. Free regions of
//! similar size share a *bin*. A row of 32 bins covers one power of two, in 32 equal steps; below
//! 64 granules every size has its own bin. Two levels of bitmaps tell which bins have a region.
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
//! A search for 182 granules asks for bin 238, the lowest one whose regions are all large enough:
//! it looks at row 7 from column 14 on, or else at the first column of the first row above 7 that
//! has a region. A search for 180, the lower bound of a bin, asks for bin 237 itself, so a hole of
//! exactly this size is found again. Because only bin 237 may contain a region that fits 182
//! closely, two of its regions are tried first; this packs as well as best fit. The tail of the
//! block has its own bin above all others, so it is cut last.
//!
//! # What is granted
//! A size is rounded up to the granule and, if it is not below the alignment, to a multiple of the
//! alignment. The bytes that this adds would otherwise be a hole that only smaller alignments can
//! use, and the next aligned request beside it would need padding. On a renderer's mix this
//! rounding halves the time of an operation, and the required arena is no larger. The size itself
//! is searched for if there is no room for the rounded size, and for alignments above 64 granules
//! in a block that is more than seven eighths full.
//!
//! A request of *s* granules, aligned to *a* granules (both at least 1), is granted if
//! - a free region other than the tail has *s* + *a* − 1 granules, rounded up to the lower bound of
//!   a bin (by less than 1/32; sizes up to 64 are such bounds), or
//! - the tail holds it, including the padding that it needs.
//!
//! Otherwise a request may be refused although a free region holds it, if that region is not among
//! those that are tried. [`Tlsf::largest_class`] is the size that is certain to succeed for *a* =
//! 1, and [`Tlsf::allocate_anywhere`] looks at all regions.
//!
//! # Several ranges
//! Ranges that are separate but searched as one are [areas](Tlsf::add_area): the blocks of a heap,
//! or the files of a store. A search does not distinguish between areas, so a hundred cost as much
//! as one. Their ends are nodes in the ring of regions with which nothing is merged.
//!
//! # Constant time
//! The cost of an operation does not depend on the number of regions:
//! - A search visits at most 3 bins and 5 free regions: up to 2 regions in the bin of the size, up
//!   to 2 in the first bin above it, and the first region of the bin that suffices with any
//!   padding. Two bit scans over three words find a bin above a given one.
//!   [`allocate`](Tlsf::allocate) searches once, and a second time if there is no room for the
//!   rounded size. If padding would cost much, which is for alignments above 64 granules in a block
//!   that is more than seven eighths full, it searches once, and also looks at the first region of
//!   4 more bins between the size and the size with maximal padding. These are at most 16 visits.
//! - Cutting a region changes its neighbours and bins: at most one region leaves a bin and two
//!   enter one.
//! - [`free`](Tlsf::free) and [`reach`](Tlsf::reach) have no loop: at most two neighbours leave
//!   their bins and one region enters one. [`retire`](Tlsf::retire) changes one mark, and
//!   [`take_over`](Tlsf::take_over) one or two.
//! - [`reach_batch`](Tlsf::reach_batch) visits the region of each key at most twice.
//! - The only exception is host memory. If all nodes are in use, 64 more are created. If no memory
//!   is reserved for them, a sixteenth of the table is reserved, which may move the table.
//!   Amortised over all operations this is constant too, and a block whose number of regions does
//!   not exceed its previous peak never asks the host for memory.
//!
//! [`largest_free`](Tlsf::largest_free), [`regions`](Tlsf::regions) and [`check`](Tlsf::check) are
//! reports, and walk what they report. [`allocate_anywhere`](Tlsf::allocate_anywhere) is the last
//! resort after a refusal, and may walk all free regions.
//!
//! # What it costs
//! Each region (used, pending or free) takes 24 bytes of host memory, up to a sixteenth more is
//! reserved, and each block takes 8 KiB. Free regions are never adjacent, so there is at most one
//! more free region than there are others.
//!
//! # Limits
//! - A block has fewer than 2³¹ granules: 32 GiB with 16 bytes, 8 TiB with 4 KiB, and so on up to
//!   2⁶⁴ bytes.
//! - A block has at most about 715,000,000 regions, whose nodes take 16 GiB; beyond that a request
//!   is [`OutOfHostMemory`](AllocateError::OutOfHostMemory).
//! - The bytes that are lost by rounding sizes up are not counted separately.
//! - Serials repeat after 2³² allocations. A key that is kept that long may name a newer
//!   allocation.
//! - A key of another block is refused only if its index and serial do not happen to be live here.
//!   If you own several blocks, keep their keys apart.
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
/// It contains numbers only, and never touches the memory that it divides. All sizes and offsets
/// are in bytes. A clone can be used as a plan: it has the same layout, and the same keys are valid
/// in it.
// The fields are in this order in memory: one cache line, and then the bitmaps, where the columns
// of small sizes come first.
#[derive(Clone)]
#[repr(C)]
pub struct Tlsf {
    /// The links of the bins, then the nodes. The regions and the border (node 0) form a ring in
    /// address order. The regions of each area and its edge form another ring.
    pairs: Vec<Pair>,
    /// The nodes that have no region.
    vacant: Vacant,
    /// log2 of the granule.
    shift: u32,
    /// Size of the block in granules.
    units: u32,
    /// If more granules than this are taken, the block counts as nearly full.
    roomy: u32,
    /// Serial of the next allocation.
    serial: u32,
    /// The number of regions that are not free, and their granules.
    taken: Sum,
    /// The number of pending regions, and their granules.
    pending: Sum,
    /// Which bins have a region.
    bitmaps: Bitmaps,
    /// The number of areas, not counting the range for which the block was created.
    areas: u32,
}

/// A number of regions, and the number of their granules.
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

/// The number of nodes that are created at a time.
const STEP: usize = 64;

impl Tlsf {
    /// Creates an empty block: one free region.
    ///
    /// # Errors
    /// The granule is not a power of two, or does not suit the size; or the host is out of memory.
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

    /// Creates a block without any range, with the given granule in bytes. Nothing can be allocated
    /// until [areas](Self::add_area) are added.
    ///
    /// # Errors
    /// The granule is not a power of two; or the host is out of memory.
    pub fn without_areas(granule: u64) -> Result<Self, ConfigError> {
        match granule.is_power_of_two() {
            true => Self::of_nothing(granule.trailing_zeros(), 0),
            false => Err(ConfigError::Granule { granule }),
        }
    }

    /// A block of size 0.
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

    /// Converts granules to bytes.
    #[inline]
    fn bytes(&self, units: u32) -> u64 {
        u64::from(units) << self.shift
    }

    /// Borrows the tables for one operation.
    #[inline(always)]
    fn table(&mut self) -> Table<'_> {
        Table { pairs: &mut self.pairs, bitmaps: &mut self.bitmaps, vacant: &mut self.vacant }
    }

    /// Creates a few more nodes. Returns `None`, and changes nothing, if the host is out of memory.
    ///
    /// Room for a sixteenth more is reserved at a time, and touched only as it is needed.
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
        // The lowest node is taken first.
        for node in (old..new).step_by(PAIRS as usize).rev() {
            table.give_vacant(node as u32);
        }
        Some(())
    }
}
