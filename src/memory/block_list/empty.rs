//! Empty blocks: which of them stay, and how the others are removed.

use core::cmp::Reverse;

use super::{BlockList, Slot};
use crate::memory::block::{Block, Space, View};

/// Which blocks stay although they are empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stay {
    /// The number of blocks down to which empty blocks are removed.
    pub(crate) least: u32,
    /// One empty shared block of at most this many bytes stays until memory is short, so that a
    /// program that frees everything and starts again does not call the driver.
    pub(crate) spare: u64,
    /// For how many collects any other empty block waits to be used again.
    pub(crate) linger: u64,
}

impl Stay {
    /// Every block is removed when it is empty.
    pub(crate) const NONE: Self = Self { least: 0, spare: 0, linger: 0 };

    /// Empty blocks linger for some collects, and one of at most `spare` bytes stays.
    pub(crate) const fn lingering(linger: u64, spare: u64) -> Self {
        Self { least: 0, spare, linger }
    }
}

impl BlockList {
    /// Removes an empty block.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Block> {
        let block = self.block(slot).filter(|block| block.is_empty() && !block.held)?;
        let vacant = Slot::Vacant(block.next_serial());
        let place = self.slots.get_mut(slot as usize)?;
        let Slot::Block(mut block) = core::mem::replace(place, vacant) else { return None };
        self.vacant.push(slot);
        self.unlist(slot);
        if block.restless {
            self.restless.retain(|&restless| restless != slot);
        }
        self.note_line(slot, block.largest_of_line(), 0);
        if let Space::Plot(plot) = core::mem::replace(&mut block.space, Space::None) {
            let areas = if block.tailored { &mut self.tailored } else { &mut self.shared };
            areas.remove(plot);
            self.tell_room(block.tailored);
        }
        self.counters.reserved.subtract(block.size);
        self.counters.blocks.subtract(1);
        Some(block)
    }

    /// The empty block that is to be removed first, if one may be: the one that has been empty for
    /// longest and, of those, the largest. Also returns since which collect it is empty. O(empty
    /// blocks).
    pub(crate) fn oldest_empty(&self) -> Option<(u64, u32)> {
        if self.count() <= self.stay.least {
            return None;
        }
        let blocks = self.empty.iter().filter_map(|&slot| Some((slot, self.block(slot)?)));
        let oldest = blocks
            .filter(|(_, block)| !block.held)
            .min_by_key(|(_, block)| (block.empty_since, Reverse(block.size)))?;
        Some((oldest.1.empty_since, oldest.0))
    }

    /// Removes the [oldest empty](Self::oldest_empty) block.
    pub(crate) fn remove_oldest(&mut self) -> Option<Block> {
        let (_, slot) = self.oldest_empty()?;
        self.remove(slot)
    }

    /// Removes every empty block that need not stay.
    pub(crate) fn remove_empty(&mut self) -> Vec<Block> {
        self.remove_where(|_, _| true)
    }

    /// Removes the empty blocks that are not expected to be used soon: dedicated and closed ones,
    /// and others that need not [`Stay`].
    pub(crate) fn remove_expired(&mut self, now: u64) -> Vec<Block> {
        let (spare, linger) = (self.spare(), self.stay.linger);
        self.remove_where(|slot, block| {
            block.is_dedicated()
                || block.closed
                || (spare != Some(slot) && block.empty_since.saturating_add(linger) <= now)
        })
    }

    /// The minimum number of collects for which all empty blocks that are listed from `first` on
    /// stay, if none of them is removed immediately. O(those).
    pub(crate) fn lingers(&self, first: usize) -> Option<u64> {
        let mut blocks = self.empty[first..].iter().filter_map(|&slot| self.block(slot));
        let stay = self.stay.linger > 0 && blocks.all(|b| !b.is_dedicated() && !b.closed);
        stay.then_some(self.stay.linger)
    }

    /// The next collect at which [`remove_expired`](Self::remove_expired) will remove something.
    pub(crate) fn next_expiry(&self) -> u64 {
        if self.count() <= self.stay.least {
            return u64::MAX;
        }
        let spare = self.spare();
        let going = self.empty.iter().filter(|&&slot| spare != Some(slot));
        let blocks = going.filter_map(|&slot| self.block(slot));
        let expiry = |block: View<'_>| match block.closed {
            true => block.empty_since,
            false => block.empty_since.saturating_add(self.stay.linger),
        };
        blocks.map(expiry).min().unwrap_or(u64::MAX)
    }

    /// The empty block that stays permanently.
    fn spare(&self) -> Option<u32> {
        let small = |block: View<'_>| {
            !block.is_dedicated() && !block.closed && block.size <= self.stay.spare
        };
        self.empty.iter().copied().find(|&slot| self.block(slot).is_some_and(small))
    }

    /// Removes the empty blocks for which `goes` is true. Removes none if the host has no memory
    /// for the list of them. O(empty blocks).
    fn remove_where(&mut self, goes: impl Fn(u32, &Block) -> bool) -> Vec<Block> {
        let empty = self.empty.iter().copied();
        let slots = empty.filter(|&slot| self.block(slot).is_some_and(|block| goes(slot, &block)));
        // Dedicated blocks count too. But only an arena has a minimum, and it has no dedicated
        // blocks.
        let most = self.count().saturating_sub(self.stay.least) as usize;
        let (mut going, mut blocks) = (Vec::new(), Vec::new());
        let count = slots.clone().take(most).count();
        if going.try_reserve_exact(count).is_ok() && blocks.try_reserve_exact(count).is_ok() {
            going.extend(slots.take(most));
            blocks.extend(going.into_iter().filter_map(|slot| self.remove(slot)));
        }
        blocks
    }
}
