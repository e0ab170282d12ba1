//! The search for a free region: the request, what is visited, and the result.

use super::Tlsf;
use super::bitmaps::Bitmaps;
use super::class::{UNITS_BOUND, bin_at_least, bin_of};
use super::error::AllocateError;
use super::pairs::{Pair, is_node, link_at, node_at};

/// Sizes are rounded up to alignments of at most this many granules, however full the block is.
const LITTLE: u32 = 64;

/// The number of regions of one bin that are tried before the search continues.
const TRIES: u32 = 2;

/// The number of steps of a thrifty search from the size to the size with maximal padding.
const STEPS: u32 = 5;

/// Counts what a search visits. Filled by [`Tlsf::allocate_counted`].
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Probes {
    /// The bins that were visited.
    pub bins: u32,
    /// The free regions that were visited.
    pub nodes: u32,
}

impl Probes {
    /// No allocation visits more bins than this.
    pub const MAX_BINS: u32 = 2 + STEPS;
    /// No allocation visits more regions than this.
    pub const MAX_NODES: u32 = 2 * (2 * TRIES + 1);
    /// No allocation visits more bins and regions than this, whether in one thrifty search or in
    /// two others.
    pub const MAX: u32 = 16;
}

const _: () =
    assert!(2 * (1 + TRIES + STEPS) <= Probes::MAX && 2 * (3 + 2 * TRIES + 1) <= Probes::MAX);

/// Observes what a search visits. `()` observes nothing and costs nothing.
pub(super) trait Observe {
    #[inline(always)]
    fn bin(&mut self) {}
    #[inline(always)]
    fn node(&mut self) {}
}

impl Observe for () {}

impl Observe for Probes {
    fn bin(&mut self) {
        self.bins += 1;
    }
    fn node(&mut self) {
        self.nodes += 1;
    }
}

/// A request in granules.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) size: u32,
    /// The alignment less one.
    pub(super) mask: u32,
}

impl Request {
    /// The size with the given padding, at most a size that no region has. Only the tail can hold
    /// such a request, with less padding.
    #[inline(always)]
    fn padded(self, padding: u32) -> u32 {
        self.size.saturating_add(padding).min(UNITS_BOUND)
    }

    /// The size rounded up to a multiple of the alignment, unless it is below the alignment.
    /// Not used for large alignments in a block that is nearly full.
    ///
    /// The additional granules would otherwise be a hole that does not begin at the alignment, so
    /// the next aligned request beside it would need padding and leave two holes. With rounding,
    /// sizes and offsets of one alignment stay multiples of it, and padding is rare.
    #[inline(always)]
    fn widened(self) -> Self {
        let wide = self.size.wrapping_add(self.mask) & !self.mask;
        // No branch, because requests are unpredictable.
        Self { size: if self.mask < self.size { wide } else { self.size }, ..self }
    }
}

/// A free region that holds the request.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) node: u32,
    pub(super) bin: u32,
    /// The granules before the first aligned one.
    pub(super) padding: u32,
}

impl Tlsf {
    /// A free region for a request, and the part to cut out of it: the widened size if there is
    /// room for it.
    pub(super) fn search(
        &self,
        asked: Request,
        observe: &mut impl Observe,
    ) -> Option<(Request, Found)> {
        match self.search_first(asked, observe) {
            None => self.search_further(asked, observe),
            found => found,
        }
    }

    /// The common part of [`search`](Self::search).
    #[inline(always)]
    pub(super) fn search_first(
        &self,
        asked: Request,
        observe: &mut impl Observe,
    ) -> Option<(Request, Found)> {
        if self.is_thrifty(asked) {
            return None;
        }
        let wide = asked.widened();
        Some((wide, self.view().find(wide, 1, observe)?))
    }

    /// The rest of [`search`](Self::search), if [`search_first`](Self::search_first) has found
    /// nothing: the block is nearly full.
    #[cold]
    #[inline(never)]
    pub(super) fn search_further(
        &self,
        asked: Request,
        observe: &mut impl Observe,
    ) -> Option<(Request, Found)> {
        let steps = match self.is_thrifty(asked) {
            true => STEPS,
            // It may still fit without being widened.
            false if asked.widened().size != asked.size => 1,
            false => return None,
        };
        Some((asked, self.view().find(asked, steps, observe)?))
    }

    /// A free region for exactly the requested size.
    #[inline(always)]
    pub(super) fn search_exact(&self, asked: Request) -> Option<(Request, Found)> {
        let steps = if self.is_thrifty(asked) { STEPS } else { 1 };
        Some((asked, self.view().find(asked, steps, &mut ())?))
    }

    /// Whether padding may cost much, and less than an eighth of the block is free. Then the bytes
    /// that rounding adds are needed sooner than rounding pays off.
    #[inline(always)]
    fn is_thrifty(&self, request: Request) -> bool {
        // No branch that depends on the request only.
        (request.mask >= LITTLE) & (self.taken.units > self.roomy)
    }

    #[inline(always)]
    pub(super) fn view(&self) -> View<'_> {
        View { pairs: &self.pairs, bitmaps: &self.bitmaps }
    }

    /// Converts a request to granules.
    #[inline]
    pub(super) fn request(&self, size: u64, alignment: u64) -> Result<Request, AllocateError> {
        if size == 0 {
            return Err(AllocateError::ZeroSize);
        }
        if !alignment.is_power_of_two() {
            return Err(AllocateError::Alignment);
        }
        self.in_granules(size, alignment).ok_or(AllocateError::TooLarge)
    }

    /// As [`request`](Self::request), but the alignment is known to be a power of two. `None` if
    /// the size is 0 or larger than the block.
    #[inline(always)]
    pub(super) fn in_granules(&self, size: u64, alignment: u64) -> Option<Request> {
        let less_one = size.wrapping_sub(1) >> self.shift;
        // From 2³² granules on all bits are set: only offset 0 is a multiple.
        let mask = (alignment.wrapping_sub(1) >> self.shift) as u32;
        (less_one < u64::from(self.units)).then(|| Request { size: less_one as u32 + 1, mask })
    }

    /// The granules of a request, and its alignment in granules less one.
    pub(super) fn units_of(&self, size: u64, alignment: u64) -> Result<(u32, u32), AllocateError> {
        self.request(size, alignment).map(|Request { size, mask }| (size, mask))
    }
}

/// What a search reads, as slices, so that their addresses and lengths stay in registers.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) pairs: &'a [Pair],
    pub(super) bitmaps: &'a Bitmaps,
}

impl View<'_> {
    /// A free region for the request. Visits a bounded number of regions.
    ///
    /// Few regions of the request's size begin at a suitable offset, and a region that suffices
    /// with maximal padding is cut into three. With several `steps` between these two sizes, the
    /// result is closer to the smallest region that holds the request.
    #[inline(always)]
    fn find(&self, request: Request, steps: u32, observe: &mut impl Observe) -> Option<Found> {
        // Regions in the bin of the size pack best, but may be too small, so only a few are tried.
        // There is no test for sizes that have a bin of their own, where no region is too small,
        // because it would be one more unpredictable branch.
        observe.bin();
        if let Some(found) = self.try_bin(request, bin_of(request.size), observe) {
            return Some(found);
        }
        // From here on all regions are large enough, except for the tail and for the padding.
        observe.bin();
        let bin = self.bitmaps.first_from(bin_at_least(request.size))?;
        if let Some(found) = self.try_bin(request, bin, observe) {
            return Some(found);
        }
        // Before the last step all regions may be too small.
        for step in 1..steps {
            let padding = u64::from(request.mask) * u64::from(step) / u64::from(steps);
            let found = self.try_first(request, request.padded(padding as u32), observe)?;
            if found.is_some() {
                return found;
            }
        }
        // Large enough even with maximal padding. From 2³¹ granules on there is no such region, not
        // even the tail: it would begin the block, and so need no padding.
        self.try_first(request, request.padded(request.mask), observe)?
    }

    /// The first region of the lowest bin above `units`, if it holds the request. The outer `None`
    /// means that there is no such bin.
    #[inline(always)]
    fn try_first(
        &self,
        request: Request,
        units: u32,
        observe: &mut impl Observe,
    ) -> Option<Option<Found>> {
        observe.bin();
        let bin = self.bitmaps.first_from(bin_at_least(units))?;
        let node = self.after(bin)?;
        observe.node();
        Some(self.fits(request, node).map(|padding| Found { node, bin, padding }))
    }

    /// The first of a few regions in a bin that holds the request.
    #[inline(always)]
    fn try_bin(&self, request: Request, bin: u32, observe: &mut impl Observe) -> Option<Found> {
        let mut place = bin;
        for _ in 0..TRIES {
            let node = self.after(place)?;
            observe.node();
            if let Some(padding) = self.fits(request, node) {
                return Some(Found { node, bin, padding });
            }
            place = node;
        }
        None
    }

    /// The node after a place in a ring; `None` at its end.
    #[inline(always)]
    pub(super) fn after(&self, place: u32) -> Option<u32> {
        let next = link_at(self.pairs, place).next;
        is_node(next).then_some(next)
    }

    /// The padding that the request needs in a free region, if the region holds it.
    #[inline(always)]
    pub(super) fn fits(&self, request: Request, node: u32) -> Option<u32> {
        let region = node_at(self.pairs, node);
        let padding = region.start.wrapping_neg() & request.mask;
        let end = u64::from(padding) + u64::from(request.size);
        (end <= u64::from(region.size)).then_some(padding)
    }
}
