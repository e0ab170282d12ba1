//! The report of a write that damaged guards.

use ash::vk::{self, Handle};

use super::super::names::named;
use crate::memory::RetiredAt;

/// The kind of write that damaged guards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// Into the margin before the owner's first byte: an underrun, or a stray write.
    Before,
    /// Into the margin after the owner's last byte: an overrun, or a stray write.
    After,
    /// Into free memory: a write after free by its last owner, or a stray write.
    AfterFree,
}

/// A run of damaged words: evidence of a write outside the owner's memory.
///
/// The words are repaired when they are reported, so each damage is reported once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Corruption {
    /// The kind of write.
    pub damage: Damage,
    /// The memory type of the block.
    pub memory_type: u32,
    /// The block, as in [`Allocation::memory`](crate::Allocation::memory),
    /// [`Snapshot::blocks`](crate::Snapshot::blocks) and the driver's own tools. With these you can
    /// find the neighbours of the damage.
    pub memory: vk::DeviceMemory,
    /// The offset of the first damaged byte in the block.
    pub offset: u64,
    /// The number of damaged words of four bytes. If the host found them, they are consecutive; if
    /// the GPU did, they lie between the first one and the end of the same 16 KiB.
    pub words: u64,
    /// The expected value of the first one.
    pub expected: u32,
    /// The value that was found.
    pub found: u32,
    /// The allocation that owns the margin, or the last owner of the free memory. `None` if there
    /// was none, or if the host had no memory to store it.
    pub owner: Option<Owner>,
    /// The [number](crate::Scrubbed::number) of the scrub that found the damage, which is the first
    /// since the write; `None` if the host found it.
    pub scrub: Option<u64>,
}

/// A live or former allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Owner {
    /// Its name.
    pub name: Option<&'static str>,
    /// Its offset in the block, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The number of [collects](crate::Allocator::collect) that had begun when it was freed; `None`
    /// while it is alive.
    pub freed: Option<u64>,
    /// The points it was retired at, which the GPU had to pass before it was freed. Empty while it
    /// is alive, and if it waited for nothing, as after [`free_now`](crate::Allocation::free_now).
    /// Work submitted after these points must not use it.
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
        )?;
        self.scrub.map_or(Ok(()), |number| write!(f, ", seen by scrub {number}"))
    }
}

/// Adds a finding. If the host has no memory, it is lost.
pub(super) fn note(found: &mut Vec<Corruption>, one: Corruption) {
    if found.try_reserve(1).is_ok() {
        found.push(one);
    }
}
