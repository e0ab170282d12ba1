//! Guards that the GPU maintains, over a fake driver.
#![allow(dead_code, reason = "each test target uses its own part")]

use std::time::Duration;

use fencepost::{
    Allocation, AllocationDesc, Allocator, AllocatorDesc, Arena, ArenaDesc, Corruption,
    GuardPolicy, GuardedBy, Point, ResourceKind, Scrub, ScrubError, Timeline,
    fake::{FakeDriver, Profile},
    vk,
};

use crate::support::*;

pub const LONG: Duration = Duration::from_secs(5);

/// An allocator whose guards the GPU maintains, with a timeline on the first queue of the fake.
pub struct World {
    pub fake: FakeDriver,
    pub allocator: Allocator,
    pub timeline: Timeline,
}

impl World {
    pub fn new(policy: GuardPolicy) -> Self {
        Self::on(&Profile::default(), policy, |desc| desc)
    }

    pub fn on(
        profile: &Profile,
        policy: GuardPolicy,
        change: impl FnOnce(AllocatorDesc<'_>) -> AllocatorDesc<'_>,
    ) -> Self {
        let fake = FakeDriver::new(profile);
        // Scrubs access a block through a buffer over all of it.
        fake.set_aliasing(true);
        let desc = change(desc(&fake).guards(policy).guarded_by(GuardedBy::Gpu));
        // SAFETY: the fake outlives the allocator, and the queue in use has a timeline.
        let allocator = unsafe { Allocator::new(&desc) }.unwrap();
        let timeline = allocator.timeline(fake.queue(0)).unwrap();
        Self { fake, allocator, timeline }
    }

    pub fn try_scrub(&self, extent: Scrub) -> Result<Option<Point>, ScrubError> {
        // SAFETY: the queue is of this family, and no other thread submits.
        unsafe { self.allocator.scrub(&self.timeline, self.fake.queue_family(0), extent) }
    }

    /// A scrub that the GPU passes, and its findings.
    pub fn scrub(&self, extent: Scrub) -> Vec<Corruption> {
        self.passed(self.try_scrub(extent).unwrap())
    }

    /// As [`scrub`](Self::scrub), if the GPU maintains guards at all.
    pub fn scrub_if_on(&self, extent: Scrub) -> Vec<Corruption> {
        self.passed(match self.try_scrub(extent) {
            Err(ScrubError::Off) => None,
            done => done.unwrap(),
        })
    }

    fn passed(&self, scrub: Option<Point>) -> Vec<Corruption> {
        if let Some(point) = scrub {
            self.timeline.wait(point, LONG).unwrap();
        }
        self.allocator.collect();
        self.allocator.check().unwrap();
        self.allocator.check_guards()
    }

    pub fn allocate(&self, name: &'static str, size: u64) -> Allocation {
        let needs = vk::MemoryRequirements { size, alignment: 16, memory_type_bits: u32::MAX };
        let memory = AllocationDesc::device_local().name(name);
        self.allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap()
    }

    /// The GPU writes a word somewhere in the block of an allocation, which is the bug.
    pub fn scribble(&self, allocation: &Allocation, byte: i64, words: u64) {
        let at = allocation.offset().wrapping_add_signed(byte);
        assert!(self.fake.gpu_write(allocation.memory(), at, &[7; 4].repeat(words as usize)));
    }

    /// Ends everything. No rule may have been violated, and nothing may be left.
    pub fn end(self) {
        let Self { fake, allocator, timeline } = self;
        drop(timeline);
        fake.run();
        assert_eq!(allocator.close().map(|report| report.leaks.len()), Some(0));
        fake.finish().unwrap();
    }
}

pub fn only(found: &[Corruption]) -> Corruption {
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

pub fn name(found: &Corruption) -> Option<&'static str> {
    found.owner.and_then(|owner| owner.name)
}

/// Who may maintain guards.
pub const KEEPERS: [GuardedBy; 2] = [GuardedBy::Host, GuardedBy::Gpu];

/// Memory that the host can watch.
pub fn coherent(name: &'static str) -> AllocationDesc {
    AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT).name(name)
}

pub fn needs(size: u64) -> vk::MemoryRequirements {
    vk::MemoryRequirements { size, alignment: 64, memory_type_bits: !0 }
}

pub fn arena(allocator: &Allocator, change: impl FnOnce(ArenaDesc) -> ArenaDesc) -> Arena {
    let desc = ArenaDesc::new(coherent("arena")).block_size(1 << 20);
    allocator.create_arena(&change(desc)).unwrap()
}

pub fn in_arena(arena: &Arena, name: &'static str, size: u64) -> Allocation {
    arena.allocate(&needs(size), ResourceKind::Linear, &coherent(name)).unwrap()
}

pub fn in_types(world: &World, name: &'static str, size: u64) -> Allocation {
    world.allocator.allocate(&needs(size), ResourceKind::Linear, &coherent(name)).unwrap()
}
