//! The end of an allocation: freed at once, or retired and later reached.

use super::bins::{LOOSE, Link, PENDING, USED};
use super::class::bin_of;
use super::error::KeyError;
use super::region::{Freed, Key, Node};
use super::{Tlsf, bin_beside};

impl Tlsf {
    /// Used → free: the range may be given out again at once. O(1).
    ///
    /// # Errors
    /// The key's allocation is gone, or pending.
    #[inline]
    pub fn free(&mut self, key: Key) -> Result<Freed, KeyError> {
        let node = self.expect(key, USED)?;
        let region = self.nodes[node as usize];
        self.used.subtract(region.size);
        self.release(node, region);
        Ok(self.freed(region))
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
        self.release(node, region);
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
        for &key in keys {
            // A key whose node is not loose any more was merged into a neighbour.
            if self.bins.link(key.index()) == (Link { next: key.serial(), prev: LOOSE }) {
                self.settle(key.index());
            }
        }
        Ok(())
    }

    /// The node of a key whose allocation is in the state that `mark` stands for.
    #[inline]
    fn expect(&self, key: Key, mark: u32) -> Result<u32, KeyError> {
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

    /// Makes a taken region free, merged with its free neighbours.
    #[inline]
    fn release(&mut self, node: u32, region: Node) {
        let Node { mut start, mut size, mut left, mut right } = region;
        let mut kept = node;
        let before_is_free = self.bins.link(left).is_binned();
        let after_is_free = self.bins.link(right).is_binned();
        if after_is_free {
            let after = self.nodes[right as usize];
            self.bins.remove(right, bin_beside(after.size, after.right));
            self.give_vacant(right);
            size += after.size;
            right = after.right;
        }
        if before_is_free {
            let before = self.nodes[left as usize];
            self.bins.remove(left, bin_of(before.size));
            self.give_vacant(node);
            kept = left;
            start = before.start;
            size += before.size;
            left = before.left;
        }
        if before_is_free || after_is_free {
            self.nodes[kept as usize] = Node { start, size, left, right };
            self.nodes[right as usize].left = kept;
        }
        self.bins.insert(kept, bin_beside(size, right));
    }

    /// Puts a loose region in its bin, merged with its free neighbours, or into a loose neighbour
    /// before it, which comes later in the batch.
    fn settle(&mut self, node: u32) {
        let Node { mut start, mut size, mut left, mut right } = self.nodes[node as usize];
        let mut kept = node;
        let mut merged = false;
        // Loose neighbours after it, each walked over once in the batch. A binned one is the last: it
        // has taken and loose neighbours only.
        loop {
            let link = self.bins.link(right);
            if !link.is_free() {
                break;
            }
            let after = self.nodes[right as usize];
            if link.is_binned() {
                self.bins.remove(right, bin_beside(after.size, after.right));
            }
            self.give_vacant(right);
            size += after.size;
            right = after.right;
            merged = true;
        }
        let link = self.bins.link(left);
        if link.is_free() {
            let before = self.nodes[left as usize];
            if link.is_binned() {
                self.bins.remove(left, bin_of(before.size));
            }
            self.give_vacant(node);
            kept = left;
            start = before.start;
            size += before.size;
            left = before.left;
            merged = true;
        }
        if merged {
            self.nodes[kept as usize] = Node { start, size, left, right };
            self.nodes[right as usize].left = kept;
        }
        if link.prev != LOOSE {
            self.bins.insert(kept, bin_beside(size, right));
        }
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
