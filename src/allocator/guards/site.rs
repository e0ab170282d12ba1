//! A region of a guarded block, with its owner and the position of its margins.

use core::ops::Range;

use ash::vk;

use super::corruption::{Corruption, Damage, Owner};
use crate::{
    memory::{Freed, Grave, RetiredAt, Tenant, View},
    tlsf::Region,
};

/// A region, with what is known about its owner.
#[derive(Clone, Debug)]
pub(super) struct Site {
    memory_type: u32,
    memory: vk::DeviceMemory,
    /// The region, in bytes of the block.
    pub(super) region: Range<u64>,
    /// The allocation in it.
    inside: Range<u64>,
    /// The start of the margin after the allocation.
    behind: u64,
    pub(super) tenant: Tenant,
}

impl Site {
    pub(super) fn new(memory_type: u32, block: View<'_>, region: &Region) -> Self {
        let tenant = region.key.map_or_else(Tenant::default, |key| block.tenant(key));
        let (offset, size) = tenant.fence.inside(region.offset, region.size);
        Self {
            memory_type,
            memory: block.memory,
            region: region.offset..region.offset + region.size,
            inside: offset..offset + size,
            behind: offset + size,
            tenant,
        }
    }

    /// The site with margins of whole atoms. In non-coherent memory the host writes back whole
    /// atoms, including the bytes after an allocation, as it last saw them. Regions and front
    /// margins consist of whole atoms anyway.
    pub(super) fn of_atoms(self, atom: u64) -> Self {
        let behind = self.inside.end.next_multiple_of(atom).min(self.region.end);
        Self { behind, ..self }
    }

    /// The present or former owner.
    pub(super) fn owner(&self, freed: Option<Freed>) -> Owner {
        let Range { start, end } = self.inside;
        owner(self.tenant.name, start, end - start, freed)
    }

    /// The margins before and after the allocation.
    pub(super) fn margins(&self) -> [(Damage, Range<u64>); 2] {
        [
            (Damage::Before, self.region.start..self.inside.start),
            (Damage::After, self.behind..self.region.end),
        ]
    }

    /// The margins, if they were ever filled.
    pub(super) fn whole_margins(&self) -> impl Iterator<Item = (Damage, Range<u64>)> {
        self.margins().into_iter().filter(|_| self.tenant.fence.whole)
    }

    pub(super) fn grave(&self, freed: Freed) -> Grave {
        let Owner { name, offset, size, .. } = self.owner(None);
        Grave { offset, size, name, freed }
    }

    pub(super) fn source(&self, damage: Damage, owner: Option<Owner>) -> Source {
        Source { damage, owner, memory_type: self.memory_type, memory: self.memory }
    }
}

/// The source to report if words are found damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Source {
    damage: Damage,
    owner: Option<Owner>,
    memory_type: u32,
    memory: vk::DeviceMemory,
}

/// A run of damaged words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The offset of the first damaged byte in the block.
    pub(super) offset: u64,
    pub(super) words: u64,
    pub(super) expected: u32,
    pub(super) found: u32,
}

impl Source {
    pub(super) fn tell(&self, run: Run) -> Corruption {
        let Self { damage, owner, memory_type, memory } = *self;
        let Run { offset, words, expected, found } = run;
        Corruption {
            damage,
            memory_type,
            memory,
            offset,
            words,
            expected,
            found,
            owner,
            scrub: None,
        }
    }
}

/// The last owner of a grave, if there was one.
pub(super) fn owner_of(grave: Grave) -> Option<Owner> {
    let Grave { offset, size, name, freed } = grave;
    (size > 0).then(|| owner(name, offset, size, Some(freed)))
}

fn owner(name: Option<&'static str>, offset: u64, size: u64, freed: Option<Freed>) -> Owner {
    let retired = freed.map_or(RetiredAt::NOTHING, |freed| freed.at);
    Owner { name, offset, size, freed: freed.map(|freed| freed.collect), retired }
}
