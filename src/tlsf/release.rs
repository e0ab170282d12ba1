//! The end of an allocation: freed at once, or retired and later reached.

use super::Tlsf;
use super::bins::{LOOSE, Link, PENDING, USED};
use super::error::KeyError;
use super::region::{Freed, Key, Node};

impl Tlsf {
    /// Used → free: the range may be given out again at once. O(1).
    ///
    /// # Errors
    /// The key's allocation is gone, or pending.
    #[inline]
    pub fn free(&mut self, key: Key) -> Result<Freed, KeyError> {
        self.free_used(key).map(|(freed, _)| freed)
    }

    /// [`free`](Self::free), and the [bin](super::class::bin_of) of the free region's size.
    #[inline(always)]
    pub(super) fn free_used(&mut self, key: Key) -> Result<(Freed, u32), KeyError> {
        let node = self.expect(key, USED)?;
        let region = self.nodes[node as usize];
        self.used.subtract(region.size);
        let bin = self.table().release(node);
        Ok((self.freed(region), bin))
    }

    /// Used → pending: given up, but kept from everyone until [`reach`](Self::reach). O(1).
    ///
    /// # Errors
    /// The key's allocation is gone, or pending already.
    #[inline]
    pub fn retire(&mut self, key: Key) -> Result<Freed, KeyError> {
        let node = self.expect(key, USED)?;
        let region = self.nodes[node as usize];
        self.used.subtract(region.size);
        self.pending.add(region.size);
        self.bins.set_link(node, key.serial(), PENDING);
        Ok(self.freed(region))
    }

    /// Pending → free: nobody can touch the range any more. O(1).
    ///
    /// # Errors
    /// The key's allocation is gone, or was never retired.
    #[inline]
    pub fn reach(&mut self, key: Key) -> Result<Freed, KeyError> {
        let node = self.expect(key, PENDING)?;
        let region = self.nodes[node as usize];
        self.pending.subtract(region.size);
        self.table().release(node);
        Ok(self.freed(region))
    }

    /// [`reach`](Self::reach) for many: neighbours in the batch are merged before any bin is touched.
    /// O(1) per key.
    ///
    /// # Errors
    /// What `reach` would say of the first key that is not of a pending allocation, or comes twice. Then
    /// no key is reached.
    pub fn reach_batch(&mut self, keys: &[Key]) -> Result<(), KeyError> {
        let mut units = 0;
        for (reached, &key) in keys.iter().enumerate() {
            match self.expect(key, PENDING) {
                Ok(node) => {
                    units += self.nodes[node as usize].size;
                    self.bins.set_link(node, key.serial(), LOOSE);
                }
                Err(error) => {
                    for &key in &keys[..reached] {
                        self.bins.set_link(key.index(), key.serial(), PENDING);
                    }
                    return Err(error);
                }
            }
        }
        self.pending.count -= keys.len() as u32;
        self.pending.units -= units;
        let mut table = self.table();
        for &key in keys {
            // A key whose node is not loose any more was merged into a neighbour.
            if table.link(key.index()) == (Link { next: key.serial(), prev: LOOSE }) {
                table.settle(key.index());
            }
        }
        Ok(())
    }

    /// The node of a key whose allocation is in the state that `mark` stands for.
    #[inline]
    pub(super) fn expect(&self, key: Key, mark: u32) -> Result<u32, KeyError> {
        let node = key.index();
        match self.bins.get(node) {
            Some(link) if link == (Link { next: key.serial(), prev: mark }) => Ok(node),
            link => Err(refusal(link, key)),
        }
    }

    #[inline]
    fn freed(&self, region: Node) -> Freed {
        Freed { offset: self.bytes(region.start), size: self.bytes(region.size) }
    }
}

/// Why a key is refused whose link is not the one expected.
#[cold]
fn refusal(link: Option<Link>, key: Key) -> KeyError {
    match link {
        None => KeyError::Unknown,
        Some(Link { next, prev: PENDING }) if next == key.serial() => KeyError::AlreadyRetired,
        Some(Link { next, prev: USED }) if next == key.serial() => KeyError::NotRetired,
        Some(_) => KeyError::Stale,
    }
}
