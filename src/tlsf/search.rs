//! The search for a free region: what is asked for, what is visited, what is found.

use super::Tlsf;
use super::bitmaps::Bitmaps;
use super::class::{UNITS_BOUND, bin_at_least, bin_of};
use super::error::AllocateError;
use super::pairs::{Pair, is_node, link_at, node_at};

/// Sizes are rounded up to alignments of so many granules, however full the block is.
const LITTLE: u32 = 64;

/// Regions of one bin that are tried before the search goes on.
const TRIES: u32 = 2;

/// Steps of a thrifty search from the size to the size with the most padding.
const STEPS: u32 = 5;

/// Counts what a search visits; filled by [`Tlsf::allocate_counted`].
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Probes {
    /// Bins looked at.
    pub bins: u32,
    /// Free regions looked at.
    pub nodes: u32,
}

impl Probes {
    /// No allocation visits more bins than this.
    pub const MAX_BINS: u32 = 2 + STEPS;
    /// No allocation visits more regions than this.
    pub const MAX_NODES: u32 = 2 * (2 * TRIES + 1);
    /// No allocation visits more bins and regions than this: in one thrifty search or two others.
    pub const MAX: u32 = 16;
}

const _: () =
    assert!(2 * (1 + TRIES + STEPS) <= Probes::MAX && 2 * (3 + 2 * TRIES + 1) <= Probes::MAX);

/// Sees what a search visits; `()` sees nothing and costs nothing.
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

/// What is asked for, in granules.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) size: u32,
    /// The alignment less one.
    pub(super) mask: u32,
}

impl Request {
    /// The size with so much padding, but no more than any region has: the tail alone may hold that.
    #[inline(always)]
    fn padded(self, padding: u32) -> u32 {
        self.size.saturating_add(padding).min(UNITS_BOUND)
    }

    /// The size rounded up to the alignment, where it is not below it; in a block that is nearly full by
    /// little alone.
    ///
    /// What rounding adds would be a hole that begins off the alignment, so that the next aligned
    /// request beside it needs padding and leaves two holes. Rounded, sizes and offsets of one
    /// alignment stay multiples of it, and padding is rare.
    #[inline(always)]
    fn widened(self) -> Self {
        let wide = self.size.wrapping_add(self.mask) & !self.mask;
        // No branch: what is asked for is a coin flip.
        Self { size: if self.mask < self.size { wide } else { self.size }, ..self }
    }
}

/// A free region that holds the request.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) node: u32,
    pub(super) bin: u32,
    /// Granules before the first aligned one.
    pub(super) padding: u32,
}

impl Tlsf {
    /// A free region for what is asked for, and what to cut out of it: as much as the alignment makes of the
    /// size, if that has room.
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

    /// [`search`](Self::search) as far as it nearly always goes.
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

    /// [`search`](Self::search) after [`search_first`](Self::search_first), which has found none: the block is nearly
    /// full.
    #[cold]
    #[inline(never)]
    pub(super) fn search_further(
        &self,
        asked: Request,
        observe: &mut impl Observe,
    ) -> Option<(Request, Found)> {
        let steps = match self.is_thrifty(asked) {
            true => STEPS,
            // Without the widening it may still fit.
            false if asked.widened().size != asked.size => 1,
            false => return None,
        };
        Some((asked, self.view().find(asked, steps, observe)?))
    }

    /// A free region for just what is asked for.
    #[inline(always)]
    pub(super) fn search_exact(&self, asked: Request) -> Option<(Request, Found)> {
        let steps = if self.is_thrifty(asked) { STEPS } else { 1 };
        Some((asked, self.view().find(asked, steps, &mut ())?))
    }

    /// Whether padding may cost much, and less than an eighth of the block is free: then what rounding adds
    /// is missed sooner than it pays.
    #[inline(always)]
    fn is_thrifty(&self, request: Request) -> bool {
        // No branch on what is asked for alone.
        (request.mask >= LITTLE) & (self.taken.units > self.roomy)
    }

    #[inline(always)]
    pub(super) fn view(&self) -> View<'_> {
        View { pairs: &self.pairs, bitmaps: &self.bitmaps }
    }

    /// The request in granules.
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

    /// [`request`](Self::request), the alignment taken for a power of two; none of size 0, or larger than the
    /// block.
    #[inline(always)]
    pub(super) fn in_granules(&self, size: u64, alignment: u64) -> Option<Request> {
        let less_one = size.wrapping_sub(1) >> self.shift;
        // From 2³² granules on all bits: only offset 0 is a multiple.
        let mask = (alignment.wrapping_sub(1) >> self.shift) as u32;
        (less_one < u64::from(self.units)).then(|| Request { size: less_one as u32 + 1, mask })
    }

    /// A request's granules, and its alignment in granules less one.
    pub(super) fn units_of(&self, size: u64, alignment: u64) -> Result<(u32, u32), AllocateError> {
        self.request(size, alignment).map(|Request { size, mask }| (size, mask))
    }
}

/// What a search reads, as slices: their addresses and lengths stay in registers.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) pairs: &'a [Pair],
    pub(super) bitmaps: &'a Bitmaps,
}

impl View<'_> {
    /// A free region for the request. Looks at a bounded number of regions.
    ///
    /// Of regions with the request's size few begin well, and one that is enough with the most padding is
    /// cut in three. With more than one of the `steps` from the one to the other, what is found is nearer
    /// to the smallest that holds the request.
    #[inline(always)]
    fn find(&self, request: Request, steps: u32, observe: &mut impl Observe) -> Option<Found> {
        // Regions in the bin of the size pack best, but may be too small: a few are tried. That none
        // can be too small where every size has a bin is not asked, it would be one more coin flip.
        observe.bin();
        if let Some(found) = self.try_bin(request, bin_of(request.size), observe) {
            return Some(found);
        }
        // From here on all are large enough, but for the tail and for the padding.
        observe.bin();
        let bin = self.bitmaps.first_from(bin_at_least(request.size))?;
        if let Some(found) = self.try_bin(request, bin, observe) {
            return Some(found);
        }
        // Before the last step all may be too small.
        for step in 1..steps {
            let padding = u64::from(request.mask) * u64::from(step) / u64::from(steps);
            let found = self.try_first(request, request.padded(padding as u32), observe)?;
            if found.is_some() {
                return found;
            }
        }
        // Large enough even with the most padding. From 2³¹ granules on there is none, not even the
        // tail: it would begin the block, and so need no padding.
        self.try_first(request, request.padded(request.mask), observe)?
    }

    /// The first region of the lowest bin above `units`, if it holds the request. The outer none: there is no
    /// such bin.
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

    /// The node after a place of a ring; none at its end.
    #[inline(always)]
    pub(super) fn after(&self, place: u32) -> Option<u32> {
        let next = link_at(self.pairs, place).next;
        is_node(next).then_some(next)
    }

    /// The padding with which a free region holds the request.
    #[inline(always)]
    pub(super) fn fits(&self, request: Request, node: u32) -> Option<u32> {
        let region = node_at(self.pairs, node);
        let padding = region.start.wrapping_neg() & request.mask;
        let end = u64::from(padding) + u64::from(request.size);
        (end <= u64::from(region.size)).then_some(padding)
    }
}
