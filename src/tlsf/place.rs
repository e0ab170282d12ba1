//! Allocation: the request is cut out of the free region that a search found.

use super::Tlsf;
#[cfg(feature = "vulkan")]
use super::area::Area;
#[cfg(feature = "vulkan")]
use super::class::bin_of;
use super::error::AllocateError;
use super::pairs::{Link, USED, index_of};
#[cfg(feature = "vulkan")]
use super::pairs::{Node, node_at};
use super::region::{Key, Placed};
use super::search::{Found, Observe, Probes, Request};

impl Tlsf {
    /// Allocates `size` bytes, rounded up to the granule, at a multiple of `alignment` bytes.
    ///
    /// A size that is not below the alignment is also rounded up to a multiple of the alignment, if
    /// there is room for that and either the alignment has at most 64 granules or an eighth of the
    /// block is free. The additional bytes would otherwise be a hole that only smaller alignments
    /// can use. [`Placed::size`] is the result.
    ///
    /// The alignment may be any power of two, including 1. Alignments up to the granule cost
    /// nothing. Offset 0 is a multiple of every alignment.
    ///
    /// # Errors
    /// Size 0, an alignment that is not a power of two, a size above that of the block, or no free
    /// region was found. The last cannot happen while a free region has
    /// `size + alignment - granule` bytes, rounded up to the next class
    /// ([module](super#what-is-granted)).
    #[inline]
    pub fn allocate(&mut self, size: u64, alignment: u64) -> Result<Placed, AllocateError> {
        self.allocate_observed(size, alignment, &mut ())
    }

    /// As [`allocate`](Self::allocate), but the size is rounded up to the granule only, for callers
    /// that account for every byte. It is slower if alignments above the granule are common.
    ///
    /// O(1).
    ///
    /// # Errors
    /// As `allocate`.
    #[inline]
    pub fn allocate_exact(&mut self, size: u64, alignment: u64) -> Result<Placed, AllocateError> {
        let request = self.request(size, alignment)?;
        self.give_or_refuse(self.search_exact(request))
    }

    /// Whether [`allocate`](Self::allocate) would find a free region now. O(1).
    #[inline]
    pub fn holds(&self, size: u64, alignment: u64) -> bool {
        let request = self.request(size, alignment);
        request.is_ok_and(|request| self.search(request, &mut ()).is_some())
    }

    /// As [`allocate`](Self::allocate), and adds to `probes` what its search visits.
    #[doc(hidden)]
    pub fn allocate_counted(
        &mut self,
        size: u64,
        alignment: u64,
        probes: &mut Probes,
    ) -> Result<Placed, AllocateError> {
        self.allocate_observed(size, alignment, probes)
    }

    #[inline]
    fn allocate_observed(
        &mut self,
        size: u64,
        alignment: u64,
        observe: &mut impl Observe,
    ) -> Result<Placed, AllocateError> {
        let asked = self.request(size, alignment)?;
        match self.search_first(asked, observe) {
            None => self.allocate_further(asked, observe),
            found => self.give_or_refuse(found),
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate_further(
        &mut self,
        asked: Request,
        observe: &mut impl Observe,
    ) -> Result<Placed, AllocateError> {
        self.give_or_refuse(self.search_further(asked, observe))
    }

    /// As [`allocate`](Self::allocate), for callers who do not need the reason of a failure, from a
    /// bin that is at most `most`. Also returns the bin from which the range was cut. The alignment
    /// is a power of two.
    #[cfg(feature = "vulkan")]
    #[inline(always)]
    pub(super) fn allocate_from(
        &mut self,
        size: u64,
        alignment: u64,
        widest: u32,
        most: u32,
    ) -> Option<(Placed, u32)> {
        debug_assert!(alignment.is_power_of_two());
        let asked = self.in_granules(size, alignment)?;
        if asked.mask >= widest {
            return None;
        }
        match self.search_first(asked, &mut ()) {
            None => self.allocate_from_further(asked, most),
            Some(found) => self.give_from(found, most),
        }
    }

    #[cfg(feature = "vulkan")]
    #[cold]
    #[inline(never)]
    fn allocate_from_further(&mut self, asked: Request, most: u32) -> Option<(Placed, u32)> {
        let found = self.search_further(asked, &mut ())?;
        self.give_from(found, most)
    }

    #[cfg(feature = "vulkan")]
    #[inline(always)]
    fn give_from(
        &mut self,
        (request, found): (Request, Found),
        most: u32,
    ) -> Option<(Placed, u32)> {
        if found.bin > most {
            return None;
        }
        self.prepare()?;
        Some((self.take(request, found), found.bin))
    }

    /// Allocates from any free region of an area, aligned relative to the area's start. O(regions
    /// of the area).
    #[cfg(feature = "vulkan")]
    pub(crate) fn allocate_in_area(
        &mut self,
        area: &Area,
        size: u64,
        alignment: u64,
    ) -> Option<Placed> {
        debug_assert!(alignment.is_power_of_two());
        let request = self.in_granules(size, 1)?;
        self.prepare()?;
        let first = self.edge(area).ok()?.start;
        let found = self.area_nodes(area).ok()?.find_map(|(node, link)| {
            let Node { start, size: units, .. } = node_at(&self.pairs, node);
            let padding = self.bytes(start - first).wrapping_neg() & (alignment - 1);
            let padding = u32::try_from(padding >> self.shift).ok()?;
            let end = request.size.checked_add(padding)?;
            let found = Found { node, bin: bin_of(units), padding };
            (link.is_binned() && end <= units).then_some(found)
        })?;
        Some(self.take(request, found))
    }

    /// The bin from which [`allocate_from`](Self::allocate_from) would cut.
    #[cfg(feature = "vulkan")]
    pub(super) fn bin_for(&self, size: u64, alignment: u64) -> Option<u32> {
        let asked = self.in_granules(size, alignment)?;
        Some(self.search(asked, &mut ())?.1.bin)
    }

    /// Allocates from what was found, if there is anything and the host has memory for the nodes.
    #[inline(always)]
    pub(super) fn give_or_refuse(
        &mut self,
        found: Option<(Request, Found)>,
    ) -> Result<Placed, AllocateError> {
        let Some((request, found)) = found else { return Err(self.full()) };
        self.prepare().ok_or(AllocateError::OutOfHostMemory)?;
        Ok(self.take(request, found))
    }

    /// Ensures that there are nodes for an allocation, and for the free parts before and after it.
    #[inline(always)]
    pub(super) fn prepare(&mut self) -> Option<()> {
        if self.vacant.count < 2 { self.grow() } else { Some(()) }
    }

    #[cold]
    fn full(&self) -> AllocateError {
        AllocateError::Full { largest_class: self.largest_class(), pending: self.pending_bytes() }
    }

    /// Allocates the request from a free region that holds it.
    #[inline(always)]
    fn take(&mut self, request: Request, found: Found) -> Placed {
        let (node, start, serial) = self.cut(request, found, USED);
        Placed {
            key: Key::new(index_of(node), serial),
            offset: self.bytes(start),
            size: self.bytes(request.size),
        }
    }

    /// Cuts the request out of a free region that holds it. Returns its node, its start, and its
    /// serial.
    #[inline(always)]
    pub(super) fn cut(&mut self, request: Request, found: Found, mark: u32) -> (u32, u32, u32) {
        let Found { node, bin, padding } = found;
        let serial = self.serial;
        self.serial = serial.wrapping_add(1);
        self.taken.add(request.size);
        let mut table = self.table();
        let start = table.node(node).start + padding;
        let node = if padding == 0 {
            table.cut_front(node, bin, request.size)
        } else {
            table.cut_middle(node, padding, request.size)
        };
        table.set_link(node, Link { next: serial, prev: mark });
        (node, start, serial)
    }
}
