//! The end of an allocation: it is freed at once, or retired and reached later.

use super::Tlsf;
use super::error::KeyError;
use super::pairs::{LOOSE, Link, Node, PAIRS, PENDING, USED, place_of};
use super::region::{Freed, Key};
use super::sorted::Sorted;

impl Tlsf {
    /// Used → free: the range may be allocated again at once. O(1).
    ///
    /// # Errors
    /// The key's allocation is gone, or pending.
    #[inline]
    pub fn free(&mut self, key: Key) -> Result<Freed, KeyError> {
        let (node, region) = self.expect(key, USED)?;
        self.taken.subtract(region.size);
        self.table().release(node, region);
        Ok(self.freed(region))
    }

    /// Used → pending: the range cannot be allocated again until [`reach`](Self::reach). O(1).
    ///
    /// # Errors
    /// The key's allocation is gone, or pending already.
    #[inline]
    pub fn retire(&mut self, key: Key) -> Result<Freed, KeyError> {
        let (node, region) = self.expect(key, USED)?;
        self.pending.add(region.size);
        self.table().set_link(node, Link { next: key.serial(), prev: PENDING });
        Ok(self.freed(region))
    }

    /// Pending → free, when nobody can touch the range any more. O(1).
    ///
    /// # Errors
    /// The key's allocation is gone, or was never retired.
    #[inline]
    pub fn reach(&mut self, key: Key) -> Result<Freed, KeyError> {
        let (node, region) = self.expect(key, PENDING)?;
        self.taken.subtract(region.size);
        self.pending.subtract(region.size);
        self.table().release(node, region);
        Ok(self.freed(region))
    }

    /// As [`reach`](Self::reach) for many keys: adjacent regions of the batch are merged before any
    /// bin is touched. O(1) per key.
    ///
    /// # Errors
    /// The error of `reach` for the first key that does not name a pending allocation, or occurs
    /// twice. No key is reached then.
    #[inline(never)]
    pub fn reach_batch(&mut self, keys: &[Key]) -> Result<(), KeyError> {
        let mut units = 0;
        for (reached, &key) in keys.iter().enumerate() {
            match self.expect(key, PENDING) {
                Ok((node, region)) => {
                    units += region.size;
                    self.table().set_link(node, Link { next: key.serial(), prev: LOOSE });
                }
                Err(error) => {
                    for &key in &keys[..reached] {
                        let node = place_of(key.index()) as u32;
                        self.table().set_link(node, Link { next: key.serial(), prev: PENDING });
                    }
                    return Err(error);
                }
            }
        }
        for sum in [&mut self.taken, &mut self.pending] {
            sum.count -= keys.len() as u32;
            sum.units -= units;
        }
        for keys in keys.chunks(Sorted::MOST) {
            self.table().settle_all(keys.iter().map(|key| place_of(key.index()) as u32));
        }
        Ok(())
    }

    /// The node of a key whose allocation is in the state that `mark` denotes.
    #[inline(always)]
    pub(super) fn expect(&self, key: Key, mark: u32) -> Result<(u32, Node), KeyError> {
        match self.find_node(key.index()) {
            Some((at, link, node)) if link == (Link { next: key.serial(), prev: mark }) => {
                Ok((at, node))
            }
            _ => Err(self.refusal(key)),
        }
    }

    /// The node with this index, its place and its link, if the table contains it.
    #[inline(always)]
    pub(super) fn find_node(&self, index: u32) -> Option<(u32, Link, Node)> {
        let at = usize::try_from(place_of(index)).ok()?;
        let (link, node) = self.node_in(at)?;
        // A table has fewer than 2³² places.
        Some((at as u32, link, node))
    }

    /// The link and the node at a place, if the table contains it.
    #[inline(always)]
    pub(super) fn node_in(&self, at: usize) -> Option<(Link, Node)> {
        let pairs = self.pairs.get(at..at.wrapping_add(PAIRS as usize))?;
        let &[[next, prev], [start, size], [left, right]] = pairs.first_chunk()?;
        Some((Link { next, prev }, Node { start, size, left, right }))
    }

    /// The reason why a key is refused, given that its link is not the expected one.
    #[cold]
    fn refusal(&self, key: Key) -> KeyError {
        match self.find_node(key.index()) {
            None => KeyError::Unknown,
            Some((_, Link { next, prev: PENDING }, _)) if next == key.serial() => {
                KeyError::AlreadyRetired
            }
            Some((_, Link { next, prev: USED }, _)) if next == key.serial() => KeyError::NotRetired,
            Some(_) => KeyError::Stale,
        }
    }

    #[inline]
    pub(super) fn freed(&self, region: Node) -> Freed {
        Freed { offset: self.bytes(region.start), size: self.bytes(region.size) }
    }
}
