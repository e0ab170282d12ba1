//! The blocks for which the driver must be told another priority.
//!
//! The driver is not told immediately. A block whose rank may have changed is listed, and each
//! `collect` looks at some of the list. Whether anything is listed is published, so `collect` takes
//! no lock otherwise.

use ash::vk;
use smallvec::SmallVec;

use super::BlockList;
use crate::memory::{grant::Entry, rank::Rank};

impl BlockList {
    pub(super) fn enter(&mut self, slot: u32, rank: Rank) {
        if !self.ranked {
            return;
        }
        if let Some(block) = self.block_mut(slot) {
            block.ranks.enter(rank);
            self.told += 1;
            self.look_at(slot);
        }
    }

    /// An allocation ends that may have an explicit rank.
    #[cold]
    pub(super) fn leave(&mut self, Entry { slot, key }: Entry) {
        let rank = self.tenants_mut(slot).and_then(|tenants| tenants.take_rank(key));
        if let Some((rank, block)) = rank.zip(self.block_mut(slot)) {
            block.ranks.leave(rank);
            self.told -= 1;
            self.look_at(slot);
        }
    }

    /// Lists a block to be looked at.
    fn look_at(&mut self, slot: u32) {
        let Some(block) = self.block_mut(slot) else { return };
        if !core::mem::replace(&mut block.restless, true) {
            self.restless.push_back(slot);
            self.counters.restless.set(self.restless.len() as u64);
        }
    }

    /// Changes the rank of a used region. It gets none if the host has no memory for that. O(1).
    pub(crate) fn set_rank(&mut self, entry: Entry, rank: Option<Rank>) {
        let Entry { slot, key } = entry;
        if !self.ranked || self.used(entry).is_err() {
            return;
        }
        self.leave(entry);
        let (Some(rank), Some(tenants)) = (rank, self.tenants_mut(slot)) else { return };
        if tenants.set_rank(key, rank).is_ok() {
            self.enter(slot, rank);
        }
    }

    /// Gives all blocks the same rank. O(blocks).
    pub(crate) fn fix_rank(&mut self, rank: Rank) {
        self.fixed_rank = Some(rank);
        for slot in 0..self.slots() {
            self.look_at(slot);
        }
    }

    /// The blocks for which the driver must be told another rank, among at most `most` that are
    /// looked at. They stay until [`let_go`](Self::let_go). O(looked at).
    pub(crate) fn take_ranks(
        &mut self,
        most: usize,
    ) -> SmallVec<[(u32, vk::DeviceMemory, Rank); 64]> {
        let mut found = SmallVec::new();
        for _ in 0..self.restless.len().min(most) {
            let Some(slot) = self.restless.pop_front() else { break };
            let fixed = self.fixed_rank;
            let Some(block) = self.block_mut(slot) else { continue };
            if block.held {
                // Another thread is telling the driver an older rank; nobody else may do so until
                // it is done.
                self.restless.push_back(slot);
                continue;
            }
            let rank = fixed.unwrap_or_else(|| block.ranks.of_block(block.live()));
            if block.told != rank {
                block.told = rank;
                block.held = true;
                found.push((slot, block.memory, rank));
            }
            // Allocations without an explicit rank are not counted when they come and go, and have
            // the usual rank, which may be higher.
            block.restless = fixed.is_none() && block.ranks.of_block(0) < Rank::USUAL;
            if block.restless {
                self.restless.push_back(slot);
            }
        }
        self.counters.restless.set(self.restless.len() as u64);
        found
    }

    /// The driver was told the rank of a block.
    pub(crate) fn let_go(&mut self, slot: u32) {
        if let Some(block) = self.block_mut(slot) {
            block.held = false;
        }
    }
}
