//! Damage is planted when nothing is in flight, and exactly that is found.

use core::ops::Range;

use fencepost::{Corruption, Damage, GuardPolicy, RegionState, Scrub, vk};

use crate::{
    support::random::Random,
    truth::Owner,
    world::{Slip, World},
};

/// What a report is to tell of one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    damage: Damage,
    memory: vk::DeviceMemory,
    offset: u64,
    owner: Option<Owner>,
    found: u32,
}

impl World {
    pub fn plant(&mut self, random: &mut Random) {
        let expected = self.damage(random);
        self.pass_scrub(random.below(2) as usize, Scrub::Everything);
        let found = self.allocator.check_guards();
        let found = found.iter().map(|one: &Corruption| {
            assert_eq!(one.words, 1, "{one}");
            let owner = one.owner.map(|it| Owner {
                name: it.name.unwrap_or_default(),
                offset: it.offset,
                size: it.size,
            });
            let &Corruption { damage, memory, offset, found, .. } = one;
            Told { damage, memory, offset, owner, found }
        });
        // A block that went back to the driver meanwhile was not looked at.
        let there: Vec<_> = self.allocator.snapshot().blocks().map(|block| block.memory).collect();
        let sorted = |mut all: Vec<Told>| {
            all.retain(|told| there.contains(&told.memory));
            all.sort_by_key(|told| (told.memory, told.offset));
            all
        };
        assert_eq!(sorted(found.collect()), sorted(expected));
        // Each is told once, and repaired.
        self.pass_scrub(random.below(2) as usize, Scrub::Everything);
        self.expect_peace();
    }

    /// Changes a word here and there, in each range one at most, and says what of it is to be found.
    fn damage(&self, random: &mut Random) -> Vec<Told> {
        let mut told = Vec::new();
        let unlooked = self.tight || self.allocator.guard_coverage().unlooked_allocations > 0;
        for block in self.allocator.snapshot().blocks() {
            for region in &block.regions {
                let end = region.offset + region.size;
                let lives = self.things.iter().find(|thing| {
                    thing.made.allocation().memory() == block.memory
                        && thing.region.0 == region.offset
                });
                let (damage, range) = match (region.state, lives) {
                    _ if !random.one_in(3) => continue,
                    (RegionState::Used, Some(thing)) if random.one_in(2) => {
                        (Damage::Before, region.offset..thing.owner.offset)
                    }
                    (RegionState::Used, Some(thing)) => {
                        let behind = thing.owner.offset + thing.owner.size;
                        (Damage::After, behind.next_multiple_of(self.atom)..end)
                    }
                    (RegionState::Used, None) => panic!("nobody is known to live in {region:?}"),
                    _ => (Damage::AfterFree, region.offset..end),
                };
                let after_free = damage == Damage::AfterFree;
                let is_watched = match self.policy {
                    GuardPolicy::Margins => !after_free,
                    GuardPolicy::Poison => after_free,
                    policy => policy == GuardPolicy::Full,
                };
                // What came back unlooked, as memory was short or a move found no room, holds nothing that is known.
                if range.end < range.start + 4 || !is_watched || after_free && unlooked {
                    continue;
                }
                let (offset, found) = self.flip(block.memory, range, random);
                let owner = match lives {
                    Some(thing) if !after_free => Some(thing.owner),
                    _ => self.truth.last(block.memory, offset),
                };
                if self.slip != Slip::SeesNoDamage {
                    told.push(Told { damage, memory: block.memory, offset, owner, found });
                }
            }
        }
        told
    }

    /// Changes one word of a range: where it is, and what it holds then.
    fn flip(&self, memory: vk::DeviceMemory, range: Range<u64>, random: &mut Random) -> (u64, u32) {
        let offset = range.start.next_multiple_of(4);
        let offset = offset + random.below((range.end - offset) / 4) * 4;
        let word = self.read(memory, offset, 4);
        let changed: Vec<u8> = word.iter().map(|byte| !byte).collect();
        assert!(self.fake.gpu_write(memory, offset, &changed));
        (offset, u32::from_le_bytes([changed[0], changed[1], changed[2], changed[3]]))
    }
}
