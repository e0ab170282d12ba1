//! Empty blocks: which stay, and how they go.

use core::cmp::Reverse;

use super::{BlockList, Slot};
use crate::memory::block::{Block, Space, View};

/// Which blocks stay though they are empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stay {
    /// No block goes while there are no more than this.
    pub(crate) least: u32,
    /// One empty shared block of at most so many bytes stays until memory is short, so that a
    /// program that empties itself and comes back does not call the driver.
    pub(crate) spare: u64,
    /// How many collects any other waits for a new use.
    pub(crate) linger: u64,
}

impl Stay {
    /// Every block goes when it is empty.
    pub(crate) const NONE: Self = Self { least: 0, spare: 0, linger: 0 };

    /// Empty blocks linger for some collects, one of at most `spare` bytes for good.
    pub(crate) const fn lingering(linger: u64, spare: u64) -> Self {
        Self { least: 0, spare, linger }
    }
}

impl BlockList {
    /// Takes an empty block out.
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

    /// The block that is to go first of the empty ones, if one may: who was so for longest, and of those the
    /// largest. Tells since which collect. O(empty blocks).
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

    /// Takes out the [oldest empty](Self::oldest_empty) block.
    pub(crate) fn remove_oldest(&mut self) -> Option<Block> {
        let (_, slot) = self.oldest_empty()?;
        self.remove(slot)
    }

    /// Takes every empty block out, as far as none must stay.
    pub(crate) fn remove_empty(&mut self) -> Vec<Block> {
        self.remove_where(|_, _| true)
    }

    /// Takes out empty blocks that nobody will want soon: dedicated and closed ones, and others that are
    /// not to [`Stay`].
    pub(crate) fn remove_expired(&mut self, now: u64) -> Vec<Block> {
        let (spare, linger) = (self.spare(), self.stay.linger);
        self.remove_where(|slot, block| {
            block.is_dedicated()
                || block.closed
                || (spare != Some(slot) && block.empty_since.saturating_add(linger) <= now)
        })
    }

    /// For how many collects at least all empty blocks stay that are listed from `first` on, if none of them goes at
    /// once. O(those).
    pub(crate) fn lingers(&self, first: usize) -> Option<u64> {
        let mut blocks = self.empty[first..].iter().filter_map(|&slot| self.block(slot));
        let stay = self.stay.linger > 0 && blocks.all(|b| !b.is_dedicated() && !b.closed);
        stay.then_some(self.stay.linger)
    }

    /// The collect at which [`remove_expired`](Self::remove_expired) will find something next.
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

    /// The empty block that stays for good.
    fn spare(&self) -> Option<u32> {
        let small = |block: View<'_>| {
            !block.is_dedicated() && !block.closed && block.size <= self.stay.spare
        };
        self.empty.iter().copied().find(|&slot| self.block(slot).is_some_and(small))
    }

    /// Takes out the empty blocks that `goes` says; none, if the host has no memory for the list of them.
    /// O(empty blocks).
    fn remove_where(&mut self, goes: impl Fn(u32, &Block) -> bool) -> Vec<Block> {
        let empty = self.empty.iter().copied();
        let slots = empty.filter(|&slot| self.block(slot).is_some_and(|block| goes(slot, &block)));
        // Dedicated blocks count too, but an arena, which alone has a least, has none.
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
