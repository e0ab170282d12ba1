//! Allocation: the search for a free region, and cutting the request out of it.

use super::bins::{USED, node_at};
use super::class::{UNITS_BOUND, bin_at_least, bin_of};
use super::error::AllocateError;
use super::region::{Key, Node, Placed};
use super::{Tlsf, bin_beside};

/// Regions of one bin that are tried before the search goes on.
const TRIES: u32 = 4;

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
    /// No search visits more bins than this.
    pub const MAX_BINS: u32 = 3;
    /// No search visits more regions than this.
    pub const MAX_NODES: u32 = 2 * TRIES + 1;
}

/// Sees what a search visits; `()` sees nothing and costs nothing.
trait Observe {
    fn bin(&mut self);
    fn node(&mut self);
}

impl Observe for () {
    #[inline]
    fn bin(&mut self) {}
    #[inline]
    fn node(&mut self) {}
}

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
struct Request {
    size: u32,
    /// The alignment less one.
    mask: u32,
}

/// A free region that holds the request.
#[derive(Clone, Copy)]
struct Found {
    node: u32,
    bin: u32,
    /// Granules before the first aligned one.
    padding: u32,
}

impl Tlsf {
    /// Gives out `size` bytes, rounded up to the granule, at a multiple of `alignment` bytes.
    ///
    /// The alignment is a power of two of any size, 1 included; those up to the granule cost nothing.
    /// Offset 0 is a multiple of all of them.
    ///
    /// # Errors
    /// Size 0, an alignment that is no power of two, a size above the block's; or no free region was
    /// found. The last is sure not to happen while a free region has `size + alignment - granule`
    /// bytes, rounded up to the next class ([module](super#what-is-granted)).
    #[inline]
    pub fn allocate(&mut self, size: u64, alignment: u64) -> Result<Placed, AllocateError> {
        self.allocate_observed(size, alignment, &mut ())
    }

    /// Whether [`allocate`](Self::allocate) would find a free region now.
    #[inline]
    pub fn holds(&self, size: u64, alignment: u64) -> bool {
        self.request(size, alignment).is_ok_and(|request| self.find(request, &mut ()).is_some())
    }

    /// [`allocate`](Self::allocate), adding to `probes` what its search visits.
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
        let request = self.request(size, alignment)?;
        let Some(found) = self.find(request, observe) else {
            return Err(self.full());
        };
        // A node for the allocation, and one for what is left before or after it.
        if self.vacant_count < 2 && self.grow().is_none() {
            return Err(AllocateError::OutOfHostMemory);
        }
        Ok(self.take(request, found))
    }

    /// The request in granules.
    #[inline]
    fn request(&self, size: u64, alignment: u64) -> Result<Request, AllocateError> {
        if size == 0 {
            return Err(AllocateError::ZeroSize);
        }
        if !alignment.is_power_of_two() {
            return Err(AllocateError::Alignment);
        }
        if size > self.size() {
            return Err(AllocateError::TooLarge);
        }
        // Only offset 0 is a multiple of 2³¹ granules or more.
        let mask = ((alignment - 1) >> self.shift).min(u64::from(UNITS_BOUND - 1));
        Ok(Request { size: ((size - 1) >> self.shift) as u32 + 1, mask: mask as u32 })
    }

    #[cold]
    fn full(&self) -> AllocateError {
        AllocateError::Full { largest_class: self.largest_class(), pending: self.pending_bytes() }
    }

    /// A free region for the request. Looks at a bounded number of regions.
    #[inline]
    fn find(&self, request: Request, observe: &mut impl Observe) -> Option<Found> {
        // Regions in the bin of the size pack best, but may be too small: a few are tried. That none
        // can be too small where every size has a bin is not asked, it would be one more coin flip.
        let own = bin_of(request.size);
        observe.bin();
        if let Some(found) = self.try_bin(request, own, observe) {
            return Some(found);
        }
        // From here on all are large enough, but for the tail and for the padding.
        observe.bin();
        let bin = self.bins.first_from(bin_at_least(request.size))?;
        if let Some(found) = self.try_bin(request, bin, observe) {
            return Some(found);
        }
        // Large enough even with the most padding. From 2³¹ granules on there is none, not even the
        // tail: it would begin the block, and so need no padding.
        let most = request.size + request.mask;
        observe.bin();
        let bin = self.bins.first_from(bin_at_least(most))?;
        let node = node_at(self.bins.links[bin as usize].next)?;
        observe.node();
        self.fits(request, node).map(|padding| Found { node, bin, padding })
    }

    /// The first of a few regions in a bin that holds the request.
    #[inline(always)]
    fn try_bin(&self, request: Request, bin: u32, observe: &mut impl Observe) -> Option<Found> {
        let mut place = self.bins.links[bin as usize].next;
        for _ in 0..TRIES {
            let node = node_at(place)?;
            observe.node();
            if let Some(padding) = self.fits(request, node) {
                return Some(Found { node, bin, padding });
            }
            place = self.bins.links[place as usize].next;
        }
        None
    }

    /// The padding with which a free region holds the request.
    #[inline]
    fn fits(&self, request: Request, node: u32) -> Option<u32> {
        let region = self.nodes[node as usize];
        let padding = region.start.wrapping_neg() & request.mask;
        (padding + request.size <= region.size).then_some(padding)
    }

    /// Cuts the request out of a free region that holds it.
    #[inline]
    fn take(&mut self, request: Request, found: Found) -> Placed {
        let Found { node, bin, padding } = found;
        let region = self.nodes[node as usize];
        let start = region.start + padding;
        let rest = region.size - padding - request.size;
        let node = if padding != 0 {
            self.cut_middle(request, found)
        } else if rest != 0 {
            self.cut_front(request, found, region)
        } else {
            self.bins.remove(node, bin);
            node
        };
        let serial = self.serial;
        self.serial = serial.wrapping_add(1);
        self.bins.set_link(node, serial, USED);
        self.used.add(request.size);
        Placed {
            key: Key::new(node, serial),
            offset: self.bytes(start),
            size: self.bytes(request.size),
        }
    }

    /// The front of a region is taken. The rest keeps the node and, where it can, its bin.
    #[inline]
    fn cut_front(&mut self, request: Request, found: Found, region: Node) -> u32 {
        let Node { start, size, left, right } = region;
        let rest = Node { start: start + request.size, size: size - request.size, left, right };
        let node = self.take_vacant();
        self.nodes[left as usize].right = node;
        self.nodes[node as usize] = Node { start, size: request.size, left, right: found.node };
        self.nodes[found.node as usize] = Node { left: node, ..rest };
        let rest_bin = bin_beside(rest.size, right);
        if rest_bin != found.bin {
            self.bins.remove(found.node, found.bin);
            self.bins.insert(found.node, rest_bin);
        }
        node
    }

    /// The middle of a region is taken, or its back. The padding keeps the node and becomes a free
    /// region: the region before it is taken, so there is nothing to merge it with.
    fn cut_middle(&mut self, request: Request, found: Found) -> u32 {
        let Found { node: padding_node, padding, .. } = found;
        let Node { start, size, right, .. } = self.nodes[padding_node as usize];
        let start = start + padding;
        let rest = size - padding - request.size;
        let node = self.take_vacant();
        self.bins.remove(padding_node, found.bin);
        self.bins.insert(padding_node, bin_of(padding));
        self.nodes[padding_node as usize].size = padding;
        self.nodes[padding_node as usize].right = node;
        let mut taken = Node { start, size: request.size, left: padding_node, right };
        let mut last = node;
        if rest != 0 {
            last = self.take_vacant();
            taken.right = last;
            let start = start + request.size;
            self.nodes[last as usize] = Node { start, size: rest, left: node, right };
            self.bins.insert(last, bin_beside(rest, right));
        }
        self.nodes[right as usize].left = last;
        self.nodes[node as usize] = taken;
        node
    }
}
