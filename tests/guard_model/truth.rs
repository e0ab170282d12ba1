//! The last owner of every range: the naive model of graves.

use fencepost::vk;

/// An owner, as reports tell it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Owner {
    pub name: &'static str,
    pub offset: u64,
    pub size: u64,
}

/// Ranges in the order in which their owners ended.
#[derive(Default)]
pub struct Truth(Vec<(vk::DeviceMemory, u64, u64, Owner)>);

impl Truth {
    /// A region ended, margins and all.
    pub fn ended(&mut self, memory: vk::DeviceMemory, (start, end): (u64, u64), owner: Owner) {
        self.0.push((memory, start, end, owner));
    }

    /// The last owner of a byte.
    pub fn last(&self, memory: vk::DeviceMemory, at: u64) -> Option<Owner> {
        let holds = |&&(of, start, end, _): &&_| of == memory && start <= at && at < end;
        self.0.iter().rev().find(holds).map(|&(.., owner)| owner)
    }

    /// Blocks that are gone are forgotten.
    pub fn keep(&mut self, blocks: &[vk::DeviceMemory]) {
        self.0.retain(|(memory, ..)| blocks.contains(memory));
    }
}
