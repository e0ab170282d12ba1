//! What is done to all that is free in an area at once: kept from everyone, or from new owners alone.

use alloc::vec::Vec;

use super::Tlsf;
use super::area::{Area, AreaError};
use super::class::bin_of;
use super::error::KeyError;
use super::pairs::{Link, Node, PENDING, SHUT, USED, index_of, node_at};
use super::region::Key;
use super::room::Within;

impl Tlsf {
    /// Takes all that is free in an area, so that nobody gets it meanwhile: Free → Pending. O(regions of the area).
    ///
    /// # Errors
    /// The area is of another block; the host has no memory for the list of keys.
    pub(crate) fn hold_area(&mut self, area: &Area) -> Result<Vec<Key>, AreaError> {
        let free = self.free_of(area)?;
        let mut keys = Vec::new();
        keys.try_reserve_exact(free.len()).map_err(|_| AreaError::OutOfHostMemory)?;
        for node in free {
            let Node { size, .. } = node_at(&self.pairs, node);
            let serial = self.serial;
            self.serial = serial.wrapping_add(1);
            self.taken.add(size);
            self.pending.add(size);
            let mut table = self.table();
            if table.link(node).is_binned() {
                table.remove(node);
            }
            table.set_link(node, Link { next: serial, prev: PENDING });
            keys.push(Key::new(index_of(node), serial));
        }
        Ok(keys)
    }

    /// No search finds what is free in an area, until it is [opened](Self::open_area). Ends there go through
    /// [`free_shut`](Self::free_shut). O(regions of the area).
    ///
    /// # Errors
    /// The area is of another block, or the host is out of memory.
    pub(crate) fn shut_area(&mut self, area: &Area) -> Result<(), AreaError> {
        for node in self.free_of(area)? {
            let mut table = self.table();
            if table.link(node).is_binned() {
                table.remove(node);
                table.set_link(node, Link { next: 0, prev: SHUT });
            }
        }
        Ok(())
    }

    /// Searches find what is free in an area again. O(regions of the area).
    ///
    /// # Errors
    /// As [`shut_area`](Self::shut_area).
    pub(crate) fn open_area(&mut self, area: &Area) -> Result<(), AreaError> {
        for node in self.free_of(area)? {
            let mut table = self.table();
            if table.link(node).prev == SHUT {
                let Node { size, .. } = table.node(node);
                table.insert(node, bin_of(size));
            }
        }
        Ok(())
    }

    /// Used or pending → Free, in an area that is shut. Returns the bytes. O(1).
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

    /// The nodes of the free regions of an area.
    fn free_of(&self, area: &Area) -> Result<Vec<u32>, AreaError> {
        let mut free = Vec::new();
        for (node, _) in self.area_nodes(area)?.filter(|(_, link)| link.is_at_rest()) {
            free.try_reserve(1).map_err(|_| AreaError::OutOfHostMemory)?;
            free.push(node);
        }
        Ok(free)
    }
}
