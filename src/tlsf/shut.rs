//! Operations on all free regions of an area at once: they can be kept from everyone, or hidden
//! from searches.

use alloc::vec::Vec;

use super::Tlsf;
use super::area::{Area, AreaError};
use super::class::bin_of;
use super::error::KeyError;
use super::pairs::{EDGE, Link, Node, PENDING, SHUT, USED, index_of, link_at, node_at};
use super::region::Key;
use super::room::Within;

impl Tlsf {
    /// Takes all free regions of an area, so that nobody else gets them: Free → Pending. O(regions
    /// of the area).
    ///
    /// # Errors
    /// The area belongs to another block, or the host has no memory for the list of keys. Nothing
    /// has changed then.
    pub(crate) fn hold_area(&mut self, area: &Area) -> Result<Vec<Key>, AreaError> {
        let free = self.area_nodes(area)?.filter(|(_, link)| link.is_at_rest()).count();
        let mut keys = Vec::new();
        keys.try_reserve_exact(free).map_err(|_| AreaError::OutOfHostMemory)?;
        self.each_free(area, |tlsf, node, link| {
            let Node { size, .. } = node_at(&tlsf.pairs, node);
            let serial = tlsf.serial;
            tlsf.serial = serial.wrapping_add(1);
            tlsf.taken.add(size);
            tlsf.pending.add(size);
            let mut table = tlsf.table();
            if link.is_binned() {
                table.remove(node);
            }
            table.set_link(node, Link { next: serial, prev: PENDING });
            keys.push(Key::new(index_of(node), serial));
        })?;
        Ok(keys)
    }

    /// Hides the free regions of an area from searches until it is [opened](Self::open_area).
    /// Allocations in the area must be freed by [`free_shut`](Self::free_shut) meanwhile. O(regions
    /// of the area), and needs no memory.
    ///
    /// # Errors
    /// The area belongs to another block.
    pub(crate) fn shut_area(&mut self, area: &Area) -> Result<(), AreaError> {
        self.each_free(area, |tlsf, node, link| {
            if link.is_binned() {
                let mut table = tlsf.table();
                table.remove(node);
                table.set_link(node, Link { next: 0, prev: SHUT });
            }
        })
    }

    /// Makes the free regions of an area visible to searches again. O(regions of the area), and
    /// needs no memory.
    ///
    /// # Errors
    /// As [`shut_area`](Self::shut_area).
    pub(crate) fn open_area(&mut self, area: &Area) -> Result<(), AreaError> {
        self.each_free(area, |tlsf, node, link| {
            if link.prev == SHUT {
                let mut table = tlsf.table();
                let Node { size, .. } = table.node(node);
                table.insert(node, bin_of(size));
            }
        })
    }

    /// Whether all free regions of an area are shut, or none of them, as given by `shut`. For
    /// checks. O(regions of the area).
    pub(crate) fn is_area_shut(&self, area: &Area, shut: bool) -> bool {
        let mut nodes = self.area_nodes(area).into_iter().flatten();
        nodes.all(|(_, link)| !link.is_at_rest() || shut == (link.prev == SHUT))
    }

    /// Used or pending → free, in an area that is shut. Returns the bytes. O(1).
    pub(crate) fn free_shut(
        &mut self,
        key: Key,
        of: Within,
        pending: bool,
    ) -> Result<u64, KeyError> {
        let (node, region) = self.expect(key, if pending { PENDING } else { USED })?;
        self.check_within(region, of)?;
        self.taken.subtract(region.size);
        if pending {
            self.pending.subtract(region.size);
        }
        let mut table = self.table();
        let beside = [region.left, region.right].map(|beside| table.link(beside).prev == SHUT);
        for (beside, _) in [region.left, region.right].into_iter().zip(beside).filter(|it| it.1) {
            let Node { size, .. } = table.node(beside);
            table.insert(beside, bin_of(size));
        }
        table.release(node, region);
        let kept = if beside[0] { region.left } else { node };
        table.remove(kept);
        table.set_link(kept, Link { next: 0, prev: SHUT });
        Ok(self.bytes(region.size))
    }

    /// Changes the link of each free region of an area.
    fn each_free(
        &mut self,
        area: &Area,
        mut change: impl FnMut(&mut Self, u32, Link),
    ) -> Result<(), AreaError> {
        let Node { mut right, .. } = self.edge(area)?;
        loop {
            let link = link_at(&self.pairs, right);
            if link.prev == EDGE {
                return Ok(());
            }
            if link.is_at_rest() {
                change(self, right, link);
            }
            Node { right, .. } = node_at(&self.pairs, right);
        }
    }
}
