//! What is told of a write that left its trace.

use ash::vk::{self, Handle};

use super::super::names::named;
use crate::memory::RetiredAt;

/// What kind of write left its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// In the margin before the owner's first byte: an underrun, or a stray write.
    Before,
    /// In the margin after the owner's last byte: an overrun, or a stray write.
    After,
    /// In free memory: a write after free by its last owner, or a stray write.
    AfterFree,
}

/// A run of damaged words: who wrote outside of what it owns, as far as the trace tells.
///
/// The words are repaired when they are reported, so each trace is reported once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Corruption {
    /// What kind of write it was.
    pub damage: Damage,
    /// The memory type of the block.
    pub memory_type: u32,
    /// The block, as [`Allocation::memory`](crate::Allocation::memory), [`Snapshot::blocks`](crate::Snapshot::blocks)
    /// and the driver's own tools know it: who lies beside the damage is told by them.
    pub memory: vk::DeviceMemory,
    /// Where in its block the first damaged byte lies.
    pub offset: u64,
    /// How many words of four bytes are damaged: in a row, where the host looked; from there to the end
    /// of the same 16 KiB, where the GPU did.
    pub words: u64,
    /// What the first of them should be.
    pub expected: u32,
    /// What it was found to be.
    pub found: u32,
    /// The allocation whose margin it is, or the last that lived there. `None` where nobody did, and where the
    /// host had no memory to remember it.
    pub owner: Option<Owner>,
}

/// An allocation that lives or has lived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Owner {
    /// The name it was given.
    pub name: Option<&'static str>,
    /// Where in its block it began, in bytes.
    pub offset: u64,
    /// How many bytes it had.
    pub size: u64,
    /// How many [collects](crate::Allocator::collect) had begun when it was freed; `None` while it lives.
    pub freed: Option<u64>,
    /// The points that it was retired at: what the GPU had to pass before it was freed. None while it
    /// lives, and where it waited for nothing, as after [`free_now`](crate::Allocation::free_now). Work
    /// submitted later may not use it.
    pub retired: RetiredAt,
}

impl core::fmt::Display for Corruption {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { offset, words, expected, found, .. } = *self;
        let what = match self.damage {
            Damage::Before => "a write before",
            Damage::After => "a write after the end of",
            Damage::AfterFree => "a write after free to",
        };
        match self.owner {
            None => write!(f, "{what} memory that nobody owned")?,
            Some(owner) => {
                let name = named(owner.name);
                write!(f, "{what} `{name}` ({} bytes", owner.size)?;
                if let Some(collect) = owner.freed {
                    write!(f, ", freed in collect {collect}")?;
                }
                if owner.retired != RetiredAt::NOTHING {
                    write!(f, ", retired at {}", owner.retired)?;
                }
                let distance = i128::from(offset) - i128::from(owner.offset);
                write!(f, ") at its byte {distance}")?;
            }
        }
        let plural = if words == 1 { "" } else { "s" };
        write!(
            f,
            ": {words} word{plural} from offset {offset} of the block {:#x} of type {}, \
             expected {expected:#010x}, \
             found {found:#010x}",
            self.memory.as_raw(),
            self.memory_type
        )
    }
}

/// Adds to what was found; what the host has no memory for is lost.
pub(super) fn note(found: &mut Vec<Corruption>, one: Corruption) {
    if found.try_reserve(1).is_ok() {
        found.push(one);
    }
}
