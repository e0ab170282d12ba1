//! A pending region gets a new owner before it is reached.

use super::Tlsf;
#[cfg(any(test, feature = "vulkan"))]
use super::error::KeyError;
use super::error::TakeOverError;
use super::pairs::{Link, Node, PENDING, USED, index_of, node_at, place_of};
use super::region::{Key, Placed};

/// The result of [`Tlsf::take_over`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TakenOver {
    /// The new allocation, at the front of the region.
    pub taken: Placed,
    /// The remainder of the region behind it, which is still pending, with a key of its own.
    pub rest: Option<Placed>,
}

impl Tlsf {
    /// Pending → used, for a new owner who takes care of waiting for what the old owner's work may
    /// still do. The old key becomes stale. The part that the request does not need stays pending.
    /// O(1).
    ///
    /// The size is rounded up to the granule only, and there is no padding: the region must start
    /// at a multiple of the alignment.
    ///
    /// # Errors
    /// The allocation of the key is gone or not pending, or the request is not valid or does not
    /// fit. Nothing has changed then.
    ///
    /// # Example
    /// ```
    /// use fencepost::tlsf::{Config, Tlsf};
    ///
    /// let mut tlsf = Tlsf::new(&Config::new(1 << 20, 256))?;
    /// let old = tlsf.allocate(4096, 256)?;
    /// tlsf.retire(old.key)?;
    /// let new = tlsf.take_over(old.key, 1024, 256)?;
    /// assert_eq!((new.taken.offset, new.taken.size), (old.offset, 1024));
    /// assert_eq!((tlsf.used_bytes(), tlsf.pending_bytes()), (1024, 3072));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_over(
        &mut self,
        key: Key,
        size: u64,
        alignment: u64,
    ) -> Result<TakenOver, TakeOverError> {
        let (node, region) = self.expect(key, PENDING)?;
        let (units, mask) = self.units_of(size, alignment)?;
        if region.start & mask != 0 || units > region.size {
            return Err(TakeOverError::DoesNotFit);
        }
        // A node for a possible remainder.
        if self.vacant.count == 0 && self.grow().is_none() {
            return Err(TakeOverError::OutOfHostMemory);
        }
        let rest = region.size - units;
        self.pending.subtract(region.size);
        let taken = self.mark(node, USED);
        self.table().set_node(node, Node { size: units, ..region });
        let rest = (rest > 0).then(|| {
            self.taken.count += 1;
            self.pending.add(rest);
            let mut table = self.table();
            let behind = table.take_vacant();
            let Node { start, left: _, right, size: _ } = region;
            table.set_node(behind, Node { start: start + units, size: rest, left: node, right });
            table.set_left(right, behind);
            table.set_right(node, behind);
            self.mark(behind, PENDING)
        });
        let placed = |key: Key| {
            let Node { start, size, .. } = node_at(&self.pairs, place_of(key.index()) as u32);
            Placed { key, offset: self.bytes(start), size: self.bytes(size) }
        };
        Ok(TakenOver { taken: placed(taken), rest: rest.map(placed) })
    }

    /// Merges two adjacent pending regions into one, under the key of the first. O(1).
    ///
    /// # Errors
    /// The allocation of a key is gone or not pending, or the second region does not start where
    /// the first one ends. Nothing has changed then.
    #[cfg(any(test, feature = "vulkan"))]
    pub(crate) fn join(&mut self, first: Key, second: Key) -> Result<(), KeyError> {
        let (node, region) = self.expect(first, PENDING)?;
        let (behind, after) = self.expect(second, PENDING)?;
        if region.right != behind {
            return Err(KeyError::Stale);
        }
        self.taken.count -= 1;
        self.pending.count -= 1;
        let (size, right) = (region.size + after.size, after.right);
        let mut table = self.table();
        table.give_vacant(behind);
        table.set_node(node, Node { size, right, ..region });
        table.set_left(right, node);
        Ok(())
    }

    /// Gives a used or pending region the next serial.
    fn mark(&mut self, node: u32, mark: u32) -> Key {
        let serial = self.serial;
        self.serial = serial.wrapping_add(1);
        self.table().set_link(node, Link { next: serial, prev: mark });
        Key::new(index_of(node), serial)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use crate::tlsf::{Config, KeyError, Placed, Tlsf};

    /// For each pair of regions: they are joined if both are pending and the second starts where
    /// the first ends; otherwise nothing has changed.
    #[test]
    fn pending_neighbours_become_one_and_nothing_else_does() {
        // All states of eight regions: each is pending or used according to one bit.
        for states in 0..256_u32 {
            for pair in 0..64 {
                let mut tlsf = Tlsf::new(&Config::new(1 << 10, 1)).unwrap();
                let sizes = [3, 1, 20, 7, 7, 64, 2, 5];
                let regions: Vec<Placed> =
                    sizes.iter().map(|&size| tlsf.allocate(size, 1).unwrap()).collect();
                let is_pending = |at: usize| states >> at & 1 != 0;
                for at in (0..8).filter(|&at| is_pending(at)) {
                    tlsf.retire(regions[at].key).unwrap();
                }
                let [first, second] = [pair / 8, pair % 8];
                let before = (tlsf.used_bytes(), tlsf.pending_bytes(), tlsf.pending_count());
                let joined = tlsf.join(regions[first].key, regions[second].key);
                tlsf.check().unwrap();
                let fits = is_pending(first) && is_pending(second) && first + 1 == second;
                assert_eq!(joined.is_ok(), fits, "{states:b}: {first} and {second}");
                let fewer = u32::from(fits);
                let after = (before.0, before.1, before.2 - fewer);
                assert_eq!((tlsf.used_bytes(), tlsf.pending_bytes(), tlsf.pending_count()), after);
                if fits {
                    let size = sizes[first] + sizes[second];
                    assert_eq!(tlsf.get(regions[first].key).unwrap().size, size);
                    assert_eq!(tlsf.reach(regions[second].key), Err(KeyError::Stale));
                    let over = tlsf.take_over(regions[first].key, size, 1).unwrap();
                    assert_eq!((over.taken.offset, over.rest), (regions[first].offset, None));
                    tlsf.check().unwrap();
                }
            }
        }
    }
}
