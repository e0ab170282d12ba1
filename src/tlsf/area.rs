//! Areas: separate ranges that are searched as one.

use core::iter::successors;

use thiserror::Error;

use super::Tlsf;
use super::class::{UNITS_BOUND, bin_of};
use super::pairs::{BORDER, EDGE, Link, Node, index_of, link_at, node_at};
use super::report::Regions;

/// Names an area of one [`Tlsf`], until it is [removed](Tlsf::remove_area).
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct Area {
    /// The place of its edge node.
    edge: u32,
}

/// The position of an area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AreaRange {
    /// The start in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// Why an area cannot be added, removed or looked up. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AreaError {
    /// The size is 0, or the start or the size is not a multiple of the granule.
    #[error("start and size of an area are multiples of {granule} bytes, and the size is not 0")]
    Granule {
        /// The granule in bytes.
        granule: u64,
    },
    /// The area ends beyond 2³² granules, or all areas together have 2³¹ granules or more.
    #[error("the area ends beyond 2³² granules, or there are 2³¹ or more in all")]
    TooManyGranules,
    /// The area overlaps an existing one.
    #[error("the area overlaps the one from {start} on")]
    Overlaps {
        /// The start of the other area in bytes.
        start: u64,
    },
    /// A region in the area is used or pending.
    #[error("something in the area is used or pending")]
    InUse,
    /// The area belongs to another [`Tlsf`].
    #[error("the area is of another allocator")]
    Unknown,
    /// The host has no memory for more nodes.
    #[error("out of host memory")]
    OutOfHostMemory,
}

impl Tlsf {
    /// Adds the numbers from `start` to `start + size`, all free, in bytes. From now on one search
    /// looks for room here and in all other areas, however many there are.
    ///
    /// Areas are separate: no allocation extends from one area to the next, even if they touch, and
    /// free regions of two areas are not merged. Alignments count from 0, not from the start of an
    /// area. The free tail of an area is treated as any other free region of its size; only the
    /// tail of the range for which the [`Tlsf`] was created is cut last.
    ///
    /// O(areas), to keep them in order.
    ///
    /// # Errors
    /// [`AreaError`]: not of whole granules, too far out, over another, or the host is out of memory.
    ///
    /// # Example
    /// ```
    /// use fencepost::tlsf::Tlsf;
    ///
    /// let mut tlsf = Tlsf::without_areas(256)?;
    /// let low = tlsf.add_area(0, 1 << 20)?;
    /// let high = tlsf.add_area(1 << 30, 1 << 20)?;
    /// let all = tlsf.allocate(1 << 20, 256)?;
    /// assert!(tlsf.allocate(2 << 20, 256).is_err()); // 2 MiB are nowhere in one piece
    /// let other = tlsf.allocate(1 << 20, 256)?;
    /// assert_eq!(all.offset.abs_diff(other.offset), 1 << 30);
    /// assert!(!tlsf.is_area_empty(&low)? && !tlsf.is_area_empty(&high)?);
    /// tlsf.free(all.key)?;
    /// tlsf.free(other.key)?;
    /// tlsf.remove_area(high).map_err(|(_, error)| error)?;
    /// assert_eq!(tlsf.size(), 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_area(&mut self, start: u64, size: u64) -> Result<Area, AreaError> {
        let granule = self.granule();
        if size == 0 || (start | size) % granule != 0 {
            return Err(AreaError::Granule { granule });
        }
        let units = |bytes: u64| u32::try_from(bytes >> self.shift).ok();
        let (start, size) = units(start).zip(units(size)).ok_or(AreaError::TooManyGranules)?;
        let end = start.checked_add(size).ok_or(AreaError::TooManyGranules)?;
        let sum = self.units.checked_add(size).filter(|&sum| sum < UNITS_BOUND);
        let sum = sum.ok_or(AreaError::TooManyGranules)?;
        let other = |edge: u32| node_at(&self.pairs, edge);
        let overlaps =
            |&edge: &u32| other(edge).start < end && start < other(edge).start + other(edge).size;
        if let Some(edge) = self.edges().find(overlaps) {
            return Err(AreaError::Overlaps { start: self.bytes(other(edge).start) });
        }
        // The range of the border may be empty; the border comes first in any case.
        let before = self.edges().take_while(|&edge| edge == BORDER || other(edge).start < start);
        let before = before.last().unwrap_or(BORDER);
        self.prepare().ok_or(AreaError::OutOfHostMemory)?;
        self.units = sum;
        self.roomy = sum - sum / 8;
        self.areas += 1;
        let mut table = self.table();
        let (edge, region) = (table.take_vacant(), table.take_vacant());
        table.set_node(edge, Node { start, size, left: region, right: region });
        table.set_node(region, Node { start, size, left: edge, right: edge });
        table.insert(region, bin_of(size));
        let next = table.link(before).next;
        table.set_link(edge, Link { next, prev: EDGE });
        table.set_link(before, Link { next: edge, prev: EDGE });
        Ok(Area { edge })
    }

    /// Removes an area in which nothing is used or pending. O(areas).
    ///
    /// # Errors
    /// A region in the area is used or pending, or the area belongs to another [`Tlsf`]. The area
    /// is returned with the error.
    pub fn remove_area(&mut self, area: Area) -> Result<(), (Area, AreaError)> {
        match self.is_area_empty(&area) {
            Err(error) => return Err((area, error)),
            Ok(false) => return Err((area, AreaError::InUse)),
            Ok(true) => {}
        }
        let edge = area.edge;
        let Some(before) = self.edges().find(|&other| link_at(&self.pairs, other).next == edge)
        else {
            return Err((area, AreaError::Unknown));
        };
        let Node { size, right: region, .. } = node_at(&self.pairs, edge);
        self.units -= size;
        self.roomy = self.units - self.units / 8;
        self.areas -= 1;
        let mut table = self.table();
        let next = table.link(edge).next;
        table.set_link(before, Link { next, prev: EDGE });
        if table.link(region).is_binned() {
            table.remove(region);
        }
        table.give_vacant(region);
        table.give_vacant(edge);
        Ok(())
    }

    /// Whether nothing in an area is used or pending. O(1).
    ///
    /// # Errors
    /// The area belongs to another [`Tlsf`], as far as this can be detected.
    #[inline]
    pub fn is_area_empty(&self, area: &Area) -> Result<bool, AreaError> {
        let Node { left, right, .. } = self.edge(area)?;
        Ok(left == right && link_at(&self.pairs, right).is_at_rest())
    }

    /// The position of an area. O(1).
    ///
    /// # Errors
    /// The area belongs to another [`Tlsf`], as far as this can be detected.
    pub fn area_range(&self, area: &Area) -> Result<AreaRange, AreaError> {
        let Node { start, size, .. } = self.edge(area)?;
        Ok(AreaRange { start: self.bytes(start), size: self.bytes(size) })
    }

    /// The regions of an area in address order. O(1) per region.
    ///
    /// # Errors
    /// The area belongs to another [`Tlsf`], as far as this can be detected.
    pub fn area_regions(&self, area: &Area) -> Result<Regions<'_>, AreaError> {
        let Node { right, .. } = self.edge(area)?;
        Ok(Regions::from(self, right, false))
    }

    /// The nodes of an area's regions in address order, with their links.
    #[cfg(feature = "vulkan")]
    pub(super) fn area_nodes(
        &self,
        area: &Area,
    ) -> Result<impl Iterator<Item = (u32, Link)>, AreaError> {
        let Node { right, .. } = self.edge(area)?;
        let after = |&node: &u32| Some(node_at(&self.pairs, node).right);
        let nodes = successors(Some(right), after).map(|node| (node, link_at(&self.pairs, node)));
        Ok(nodes.take_while(|(_, link)| link.prev != EDGE))
    }

    /// The number of areas. The range for which a [`Tlsf`] was created does not count.
    pub fn area_count(&self) -> u32 {
        self.areas
    }

    /// The edge node of an area: its start, its size, and its last and first region.
    #[inline]
    pub(super) fn edge(&self, area: &Area) -> Result<Node, AreaError> {
        let found = self.find_node(index_of(area.edge));
        let edge = found.filter(|(at, link, _)| link.prev == EDGE && *at != BORDER);
        edge.map(|(_, _, node)| node).ok_or(AreaError::Unknown)
    }

    /// The places of the edges: the border first, then the edges of areas in address order.
    pub(super) fn edges(&self) -> impl Iterator<Item = u32> {
        let next = |&edge: &u32| Some(link_at(&self.pairs, edge).next).filter(|&it| it != BORDER);
        successors(Some(BORDER), next)
    }
}
