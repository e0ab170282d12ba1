//! Everything that allocates memory.

use std::sync::Arc;

use fencepost::{
    Allocation, AllocationDesc, Dependency, Image, ImageViewDesc, Move, MoveError, Ordered,
    ResourceKind, vk,
};

use crate::{
    asks,
    support::random::Random,
    world::{Alias, Made, Thing, World},
};

/// What must be as before after a failure.
#[derive(PartialEq, Debug)]
pub struct Picture {
    live: Vec<(u64, u64)>,
    granted: u64,
}

/// What a range must be like.
struct Asked {
    size: u64,
    alignment: u64,
    type_bits: u32,
}

impl World {
    pub fn picture(&self) -> Picture {
        let statistics = self.allocator.statistics();
        let live = statistics.memory_types.iter().map(|of| (of.live, of.live_count)).collect();
        Picture { live, granted: statistics.total.live_count }
    }

    /// A call that fails changes nothing, and fails for a reason.
    pub fn expect_as_before(&self, before: &Picture, error: &dyn core::fmt::Debug) {
        assert_eq!(self.picture(), *before, "{error:?}");
        let text = format!("{error:?}");
        assert!(!text.contains("ShutDown"), "{text}");
        assert!(
            self.lost || !text.contains("DeviceLost") && !text.contains("DEVICE_LOST"),
            "{text}"
        );
    }

    pub fn grant_one(&mut self, random: &mut Random) {
        if self.things.len() > 300 {
            return self.end_one(random);
        }
        match random.below(20) {
            0..8 if self.ordered => self.allocate_ordered(random),
            0..10 => self.allocate(random),
            10..15 => self.create_buffer(random),
            15..18 => self.create_image(random),
            18 => self.share(random),
            _ => self.make_ring(random),
        }
    }

    fn allocate(&mut self, random: &mut Random) {
        let needs = asks::requirements(random, self.most);
        let (kind, memory) = (asks::kind(random), asks::memory(random));
        let before = self.picture();
        let plan = self.allocator.plan(&needs, kind, &memory);
        assert_eq!(self.picture(), before, "{plan:?}");
        let made = match random.below(self.arenas.len() as u64 + 4) {
            at if at >= 4 => self.arenas[at as usize - 4].allocate(&needs, kind, &memory),
            _ => self.allocator.allocate(&needs, kind, &memory),
        };
        match made {
            Ok(made) => {
                self.expect_asked(&made, &asked(&needs));
                self.take_in(Made::Plain(made), kind, None);
            }
            Err(error) => self.expect_as_before(&before, &error),
        }
    }

    fn create_buffer(&mut self, random: &mut Random) {
        let (desc, memory) = (asks::buffer(random, self.most), asks::memory(random));
        let before = self.picture();
        let objects = self.fake.live().buffers;
        let made = match random.below(self.arenas.len() as u64 + 4) {
            at if at >= 4 => self.arenas[at as usize - 4].create_buffer(&desc, &memory),
            _ => self.allocator.create_buffer(&desc, &memory),
        };
        match made {
            Ok(made) => {
                assert!(made.allocation().size() >= made.size());
                self.take_in(Made::Buffer(made), ResourceKind::Linear, None);
            }
            Err(error) => {
                // Through another one a scrub sees the block that was made for it.
                let blocks = if self.has_sheets() { 1 } else { 0 };
                assert!(self.fake.live().buffers <= objects + blocks, "{error:?}");
                self.expect_as_before(&before, &error);
            }
        }
    }

    fn create_image(&mut self, random: &mut Random) {
        let (desc, memory) = (asks::image(random), asks::memory(random));
        let before = self.picture();
        let objects = self.fake.live().images;
        let made = match random.below(self.arenas.len() as u64 + 4) {
            at if at >= 4 => self.arenas[at as usize - 4].create_image(&desc, &memory),
            _ => self.allocator.create_image(&desc, &memory),
        };
        match made {
            Ok(made) => self.take_in_image(made, random),
            Err(error) => {
                assert!(self.fake.live().images <= objects, "{error:?}");
                self.expect_as_before(&before, &error);
            }
        }
    }

    fn take_in_image(&mut self, image: Image, random: &mut Random) {
        let views = (0..random.below(3)).filter_map(|_| {
            let desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
            self.allocator.create_image_view(&image, &desc).ok()
        });
        let views = views.collect();
        self.take_in(Made::Image(image, views), ResourceKind::Optimal, None);
    }

    /// An allocation that several resources share.
    fn share(&mut self, random: &mut Random) {
        let is_image = random.one_in(2);
        let (buffer, image) = (asks::buffer(random, self.most.min(1 << 20)), asks::image(random));
        let (kind, needs) = match is_image {
            true => (ResourceKind::Optimal, self.allocator.image_requirements(&image)),
            false => (ResourceKind::Linear, self.allocator.buffer_requirements(&buffer)),
        };
        let (Ok(mut needs), memory) = (needs, asks::memory(random)) else { return };
        needs.size += random.below(2) * random.below(100_000);
        let before = self.picture();
        match self.allocator.allocate(&needs, kind, &memory) {
            Ok(made) => {
                self.expect_asked(&made, &asked(&needs));
                let (memory, allocator) = (Arc::new(made), &self.allocator);
                let most = if self.aliasing { 3 } else { 1 };
                let mut aliases = Vec::new();
                for _ in 0..random.below(most + 1) {
                    let offset = random.below(3) * random.below(1 << 18) / 256 * 256;
                    let made = match is_image {
                        true => allocator
                            .create_aliasing_image(&memory, offset, &image)
                            .map(Alias::Image),
                        false => allocator
                            .create_aliasing_buffer(&memory, offset, &buffer)
                            .map(Alias::Buffer),
                    };
                    aliases.extend(made);
                }
                self.take_in(Made::Shared(memory, aliases), kind, None);
            }
            Err(error) => self.expect_as_before(&before, &error),
        }
    }

    fn make_ring(&mut self, random: &mut Random) {
        let desc = asks::buffer(random, self.most);
        let before = self.picture();
        match self.allocator.create_ring(&desc, &AllocationDesc::upload()) {
            Ok(made) => self.take_in(Made::Ring(made), ResourceKind::Linear, None),
            Err(error) => self.expect_as_before(&before, &error),
        }
    }

    fn allocate_ordered(&mut self, random: &mut Random) {
        if random.one_in(3) {
            return self.create_image_ordered(random);
        }
        let queue = random.below(self.timelines.len() as u64) as usize;
        let line = &self.timelines[queue];
        let memory = match random.one_in(2) {
            true => AllocationDesc::device_local(),
            false => asks::memory(random),
        };
        let before = self.picture();
        if random.one_in(2) {
            let (mut needs, kind) = (asks::requirements(random, self.most), asks::kind(random));
            // The large find no room, and so take others' over.
            if random.one_in(2) {
                needs.size = self.most - random.below(self.most / 2);
                needs.alignment = 1 << random.below(9);
            }
            // SAFETY: what is submitted with it waits as it says.
            match unsafe { self.allocator.allocate_ordered(&needs, kind, &memory, line) } {
                Ok(Ordered { owner, dependency }) => {
                    self.expect_asked(&owner, &asked(&needs));
                    self.take_in(Made::Plain(owner), kind, Some((queue, dependency)));
                }
                Err(error) => self.expect_as_before(&before, &error),
            }
        } else {
            let desc = asks::buffer(random, self.most);
            // SAFETY: as above.
            match unsafe { self.allocator.create_buffer_ordered(&desc, &memory, line) } {
                Ok(Ordered { owner, dependency }) => {
                    let order = Some((queue, dependency));
                    self.take_in(Made::Buffer(owner), ResourceKind::Linear, order);
                }
                Err(error) => self.expect_as_before(&before, &error),
            }
        }
    }

    pub fn grant_many(&mut self, random: &mut Random) {
        let (kind, memory) = (asks::kind(random), asks::memory(random));
        let count = random.below(20) + 1;
        let all: Vec<_> =
            (0..count).map(|_| asks::requirements(random, self.most.min(1 << 20))).collect();
        let before = self.picture();
        let made = match random.below(self.arenas.len() as u64 + 4) {
            at if at >= 4 => self.arenas[at as usize - 4].allocate_many(&all, kind, &memory),
            _ => self.allocator.allocate_many(&all, kind, &memory),
        };
        match made {
            Ok(made) => {
                assert_eq!(made.len(), all.len());
                self.note("a batch");
                for (made, needs) in made.into_iter().zip(&all) {
                    self.expect_asked(&made, &asked(needs));
                    self.take_in(Made::Plain(made), kind, None);
                }
            }
            Err(error) => self.expect_as_before(&before, &error),
        }
    }

    pub fn make_arena(&mut self, random: &mut Random) {
        let mut desc = asks::arena(random);
        if self.guards.is_some() && random.one_in(3) {
            desc = desc.guards(asks::guards(random));
        }
        let before = self.picture();
        match self.allocator.create_arena(&desc) {
            Ok(arena) if self.arenas.len() < 5 => {
                self.note("an arena");
                self.arenas.push(arena);
            }
            Ok(arena) => drop(arena),
            Err(error) => self.expect_as_before(&before, &error),
        }
    }

    pub fn drop_arena(&mut self, random: &mut Random) {
        if !self.arenas.is_empty() {
            let at = random.below(self.arenas.len() as u64) as usize;
            drop(self.arenas.swap_remove(at));
        }
    }

    pub fn plan_moves(&mut self, random: &mut Random) {
        if self.runs.len() > 2 {
            return;
        }
        let desc = asks::defragment(random);
        let stays = random.below(20);
        let mut nth = 0;
        let mut movable = |_: &Move| {
            nth += 1;
            stays < 10 || nth % stays != 0
        };
        let run = match random.below(self.arenas.len() as u64 + 2) {
            at if at >= 2 => self.arenas[at as usize - 2].defragment(&desc, &mut movable),
            _ => self.allocator.defragment(&desc, &mut movable),
        };
        assert!(run.remaining() <= run.moves().len() as u64);
        self.runs.push(run);
    }

    pub fn end_moves(&mut self, random: &mut Random) {
        if !self.runs.is_empty() {
            let at = random.below(self.runs.len() as u64) as usize;
            drop(self.runs.swap_remove(at));
        }
    }

    /// Up to eight things that are to move.
    pub fn move_one(&mut self, random: &mut Random) {
        for _ in 0..8 {
            let Some(at) = self.random_thing(random) else { return };
            let Some(run) = self.runs.first() else { return };
            let before = self.picture();
            let memory = asks::memory(random);
            let (made, kind) = match &self.things[at].made {
                Made::Plain(old) => {
                    let alignment = 1 << random.below(9);
                    let memory_type_bits = u32::MAX;
                    let size = old.size();
                    let needs = vk::MemoryRequirements { size, alignment, memory_type_bits };
                    let kind = asks::kind(random);
                    let made = run.allocate(old, &needs, kind, &memory);
                    assert!(made.is_err() || run.contains(old));
                    (made.map(Made::Plain), kind)
                }
                Made::Buffer(old) => {
                    let desc = asks::buffer(random, self.most);
                    (run.create_buffer(old, &desc, &memory).map(Made::Buffer), ResourceKind::Linear)
                }
                _ => continue,
            };
            match made {
                Ok(made) => {
                    self.note("moved");
                    self.take_in(made, kind, None);
                    self.end_thing(at, random);
                }
                Err(MoveError::NotPlanned) => {}
                Err(error) => self.expect_as_before(&before, &error),
            }
        }
    }

    fn expect_asked(&self, made: &Allocation, asked: &Asked) {
        assert!(made.size() >= asked.size);
        assert_eq!(made.offset() % asked.alignment, 0);
        assert!(asked.type_bits >> made.memory_type() & 1 == 1, "{}", made.memory_type());
    }

    /// Something new lives.
    pub fn take_in(&mut self, made: Made, kind: ResourceKind, order: Option<(usize, Dependency)>) {
        self.see_progress();
        let allocation = made.allocation().expect("it is no key");
        let (memory, start, size) = (allocation.memory(), allocation.offset(), allocation.size());
        match &order {
            Some((queue, dependency)) => {
                self.model.grant_ordered((memory, start, start + size), kind, *queue, dependency);
            }
            None => self.model.grant(memory, start, size, kind),
        }
        // Where nothing was to be waited for it is as any other.
        let order = order.filter(|(_, dependency)| !dependency.is_none());
        match (&made, &order) {
            (Made::Image(..), Some(_)) => self.note("an image in order"),
            (_, Some((_, dependency))) if !dependency.waits().is_empty() => {
                self.note("in the order of another queue");
            }
            (_, Some(_)) => self.note("in order"),
            (Made::Shared(_, aliases), None) if aliases.len() > 1 => self.note("aliasing"),
            (Made::Ring(_), None) => self.note("a ring"),
            _ => {}
        }
        let id = self.next;
        self.next += 1;
        let place = (memory, start);
        self.things.push(Thing { made, place, id, uses: Vec::new(), order, written: None });
    }
}

fn asked(needs: &vk::MemoryRequirements) -> Asked {
    let &vk::MemoryRequirements { size, alignment, memory_type_bits } = needs;
    Asked { size, alignment, type_bits: memory_type_bits }
}

impl Made {
    pub fn allocation(&self) -> Option<&Allocation> {
        match self {
            Self::Plain(allocation) => Some(allocation),
            Self::Raw(_) => None,
            Self::Buffer(buffer) => Some(buffer.allocation()),
            Self::Image(image, _) => Some(image.allocation()),
            Self::Shared(memory, _) => Some(memory),
            Self::Ring(ring) => Some(ring.buffer().allocation()),
        }
    }
}
