//! The random operations: allocations and their ends, work on two queues, scrubs of all kinds.

use fencepost::{
    AllocateError, Allocation, BufferDesc, CreateError, DefragmentDesc, GuardedBy, ImageDesc,
    Point, ResourceKind, Scrub, ScrubError,
    fake::{Call, Use},
    intern, vk,
};

use crate::{
    support::random::Random,
    truth::Owner,
    world::{Made, Open, Slip, Thing, World, memory},
};

impl World {
    pub fn step(&mut self, random: &mut Random) {
        match random.below(100) {
            0..32 => self.make(random),
            32..52 => self.end_one(random),
            52..62 => self.begin(random),
            62..70 => self.finish_one(random, false),
            70..72 => self.finish_one(random, true),
            72..82 => self.scrub(random),
            82..90 => _ = (0..random.below(6)).any(|_| !self.progress(random)),
            90..93 => _ = self.allocator.collect(),
            93..96 => (0..5).for_each(|_| self.defragment(random)),
            96..97 => _ = self.allocator.trim(),
            97..98 if self.slip == Slip::WritesAstray => self.write_astray(random),
            _ => self.expect_peace(),
        }
        let snapshot = self.allocator.snapshot();
        let blocks: Vec<_> = snapshot.blocks().map(|block| block.memory).collect();
        self.truth.keep(&blocks);
    }

    fn random_thing(&self, random: &mut Random) -> Option<usize> {
        (!self.things.is_empty()).then(|| random.below(self.things.len() as u64) as usize)
    }

    /// An allocation, a buffer or an image, in memory types or an arena.
    fn grant(&self, name: &'static str, random: &mut Random) -> Result<Made, CreateError> {
        let most = if self.tight { 1 << 16 } else { 20_000 };
        let (size, place) = (random.log_uniform(most), random.below(5) as usize);
        let alignment = 1 << random.below(if place < 3 { 12 } else { 9 });
        let bits = if place < 3 { !0 } else { 1 };
        let needs = vk::MemoryRequirements { size, alignment, memory_type_bits: bits };
        let (linear, desc) = (ResourceKind::Linear, memory(name));
        let buffer = BufferDesc::new(size, vk::BufferUsageFlags::STORAGE_BUFFER);
        let (side, usage) = (size.isqrt().div_ceil(2) as u32, vk::ImageUsageFlags::SAMPLED);
        let image = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, side, side, usage);
        let all = &self.allocator;
        match (self.arenas.get(place), random.below(3)) {
            (Some(arena), 1) => arena.create_buffer(&buffer, &desc).map(Made::Buffer),
            (Some(arena), 2) if place == 0 => arena.create_image(&image, &desc).map(Made::Image),
            (Some(arena), _) => Ok(Made::Plain(arena.allocate(&needs, linear, &desc)?)),
            (None, 1) => all.create_buffer(&buffer, &desc).map(Made::Buffer),
            (None, 2) => all.create_image(&image, &desc).map(Made::Image),
            (None, _) => Ok(Made::Plain(all.allocate(&needs, linear, &desc)?)),
        }
    }

    fn make(&mut self, random: &mut Random) {
        let name = intern(&format!("thing {}", self.next));
        let made = self.grant(name, random);
        let made = match made {
            Ok(made) => made,
            Err(CreateError::Allocate(AllocateError::OutOfDeviceMemory { .. })) if self.tight => {
                return;
            }
            Err(error) => panic!("{error}"),
        };
        self.take_in(made, name);
    }

    /// Something new lives, and fills what it has with its tag.
    fn take_in(&mut self, made: Made, name: &'static str) {
        let allocation = made.allocation();
        self.expect_clean(allocation);
        // Without margins it has all of its region.
        let size = allocation.size();
        self.next += 1;
        let tag = (self.next % 200) as u8 + 1;
        let bytes = vec![tag; size as usize];
        assert!(self.fake.gpu_write(allocation.memory(), allocation.offset(), &bytes));
        let region = self.region(allocation);
        let owner = Owner { name, offset: allocation.offset(), size };
        self.things.push(Thing { made, owner, region, tag, uses: Vec::new() });
    }

    /// The region that an allocation lies in, with its margins.
    fn region(&self, allocation: &Allocation) -> (u64, u64) {
        let snapshot = self.allocator.snapshot();
        let block = snapshot.blocks().find(|block| block.memory == allocation.memory()).unwrap();
        let mut regions = block.regions.iter().map(|it| (it.offset, it.offset + it.size));
        regions.find(|it| (it.0..it.1).contains(&allocation.offset())).unwrap()
    }

    fn is_reached(&self, point: Point) -> bool {
        self.timelines[0].is_reached(point).unwrap()
    }

    /// Blocks are planned to become empty, some of what lives there moves, or the rest stays.
    fn defragment(&mut self, random: &mut Random) {
        let Some(run) = &self.run else {
            let desc = DefragmentDesc::new();
            self.run = Some(match random.one_in(2) {
                true => self.arenas[0].defragment(&desc, |_| true),
                false => self.allocator.defragment(&desc, |_| true),
            });
            return;
        };
        if random.one_in(10) {
            self.run = None;
            return;
        }
        let leaves = |thing: &Thing| run.contains(thing.made.allocation());
        let Some(at) = self.things.iter().position(leaves) else { return };
        let name = intern(&format!("thing {}", self.next));
        let (old, desc) = (&self.things[at].made, memory(name));
        let moved = match old {
            Made::Plain(old) => {
                let size = self.things[at].owner.size;
                let needs = vk::MemoryRequirements { size, alignment: 64, memory_type_bits: !0 };
                run.allocate(old, &needs, ResourceKind::Linear, &desc).map(Made::Plain)
            }
            Made::Buffer(old) => {
                let buffer = BufferDesc::new(old.size(), vk::BufferUsageFlags::STORAGE_BUFFER);
                run.create_buffer(old, &buffer, &desc).map(Made::Buffer)
            }
            Made::Image(_) => return,
        };
        // What others took meanwhile is no room for it.
        let Ok(moved) = moved else { return };
        self.moved += 1;
        self.take_in(moved, name);
        self.end_at(at, random);
    }

    fn end_one(&mut self, random: &mut Random) {
        let Some(at) = self.random_thing(random) else { return };
        self.end_at(at, random);
    }

    fn end_at(&mut self, at: usize, random: &mut Random) {
        let Thing { made, owner, region, uses, .. } = self.things.swap_remove(at);
        if self.slip != Slip::ForgetsOwners {
            self.truth.ended(made.allocation().memory(), region, owner);
        }
        let named = self.open.iter().any(|open| open.names.contains(&owner.name));
        let reached = uses.iter().all(|&point| self.is_reached(point));
        // SAFETY: nothing uses it after these points; or all its uses are done.
        unsafe {
            match (made, random.below(3)) {
                (Made::Plain(it), 0) if !named => it.retire_at(&uses).unwrap(),
                (Made::Buffer(it), 0) if !named => it.retire_at(&uses).unwrap(),
                (Made::Image(it), 0) if !named => it.retire_at(&uses).unwrap(),
                (Made::Plain(it), 1) if !named && reached => it.free_now(),
                (Made::Buffer(it), 1) if !named && reached => it.free_now(),
                (Made::Image(it), 1) if !named && reached => it.free_now(),
                (made, _) => drop(made),
            }
        }
    }

    /// A recording begins, which names some, and may have a scrub of its own.
    fn begin(&mut self, random: &mut Random) {
        if self.open.len() > 3 {
            return;
        }
        let queue = random.below(2) as usize;
        let recording = self.timelines[queue].begin().unwrap();
        let (mut names, mut uses) = (Vec::new(), Vec::new());
        for _ in 0..random.below(4) {
            let Some(at) = self.random_thing(random) else { break };
            let Thing { made, owner, .. } = &self.things[at];
            let it = made.allocation();
            names.push(owner.name);
            uses.push(Use::memory(it.memory(), it.offset(), it.size()));
        }
        let mut commands = vec![self.fake.record(&uses)];
        if self.by == GuardedBy::Gpu && random.one_in(2) {
            commands.insert(0, self.record_scrub(&recording, random));
        }
        self.open.push(Open { recording, names, commands });
    }

    fn record_scrub(
        &self,
        recording: &fencepost::Recording,
        random: &mut Random,
    ) -> vk::CommandBuffer {
        let extent = extent(random);
        let info = vk::CommandBufferAllocateInfo::default().command_pool(self.pool);
        let device = self.fake.device();
        // SAFETY: the fake judges what is done with its objects; the command buffer is recorded under the recording.
        unsafe {
            let commands = device.allocate_command_buffers(&info.command_buffer_count(1)).unwrap();
            let begin = vk::CommandBufferBeginInfo::default();
            device.begin_command_buffer(commands[0], &begin).unwrap();
            self.with_fault(random, || {
                self.allocator.record_scrub(recording, commands[0], extent).map(|_| ())
            });
            device.end_command_buffer(commands[0]).unwrap();
            commands[0]
        }
    }

    /// A scrub is tried, and now and then one of the driver's calls fails in it.
    fn with_fault(&self, random: &mut Random, scrub: impl FnOnce() -> Result<(), ScrubError>) {
        let fails = random.one_in(4);
        if fails {
            let calls: Vec<Call> =
                Call::ALL.iter().copied().filter(|call| call.can_fail()).collect();
            let call = random.of(&calls).unwrap();
            self.fake.fail(call, random.below(2), vk::Result::ERROR_OUT_OF_DEVICE_MEMORY);
        }
        match scrub() {
            Err(ScrubError::Off) if self.by == GuardedBy::Host => {}
            // Nothing orders it with the one that is under way.
            Err(ScrubError::Elsewhere) => {}
            Err(error) => assert!(fails || self.tight, "{error}"),
            Ok(()) => {}
        }
        self.fake.clear_faults();
    }

    fn finish_one(&mut self, random: &mut Random, abandon: bool) {
        if self.open.is_empty() {
            return;
        }
        let open = self.open.swap_remove(random.below(self.open.len() as u64) as usize);
        self.finish(open, abandon);
    }

    fn finish(&mut self, Open { recording, commands, names, .. }: Open, abandon: bool) {
        if abandon {
            // SAFETY: its commands are never submitted.
            return unsafe { recording.abandon() };
        }
        let point = crate::support::submit(recording, &commands).unwrap();
        let named = |thing: &&mut Thing| names.contains(&thing.owner.name);
        self.things.iter_mut().filter(named).for_each(|thing| thing.uses.push(point));
    }

    fn scrub(&self, random: &mut Random) {
        let (queue, extent) = (random.below(2), extent(random));
        let (timeline, family) = (&self.timelines[queue as usize], self.fake.queue_family(0));
        // SAFETY: the queue is of this family, and no other thread submits.
        let scrub = || unsafe { self.allocator.scrub(timeline, family, extent) }.map(|_| ());
        self.with_fault(random, scrub);
    }

    /// A batch of one of the queues completes.
    fn progress(&self, random: &mut Random) -> bool {
        self.fake.step(self.fake.queue(random.below(2) as u32))
    }

    fn write_astray(&self, random: &mut Random) {
        let Some(at) = self.random_thing(random) else { return };
        let Thing { made, region, .. } = &self.things[at];
        let allocation = made.allocation();
        let end = allocation.offset() + allocation.size();
        if end < region.1 {
            let bytes = vec![0x5A; (region.1 - end) as usize];
            assert!(self.fake.gpu_write(allocation.memory(), end, &bytes));
        }
    }

    /// All that is recorded is submitted and done.
    pub fn finish_work(&mut self) {
        for open in core::mem::take(&mut self.open) {
            self.finish(open, false);
        }
        self.fake.run();
        while self.allocator.collect().more {}
    }

    /// A scrub that the GPU passes, where the GPU keeps guards; elsewhere a collect.
    pub fn pass_scrub(&self, queue: usize, extent: Scrub) {
        if self.by == GuardedBy::Host {
            self.allocator.collect();
            return;
        }
        let (timeline, family) = (&self.timelines[queue], self.fake.queue_family(0));
        // SAFETY: the queue is of this family, and no other thread submits.
        unsafe { self.allocator.scrub(timeline, family, extent) }.unwrap();
        self.fake.run();
        self.allocator.collect();
    }

    /// All work is done, and a scrub has gone over all that is due: every margin is whole, and what is free or pending
    /// holds what it is to.
    pub fn settle(&mut self, random: &mut Random) {
        self.finish_work();
        (0..2).for_each(|_| self.pass_scrub(random.below(2) as usize, Scrub::Due));
        self.expect_peace();
    }
}

fn extent(random: &mut Random) -> Scrub {
    if random.one_in(4) { Scrub::Everything } else { Scrub::Due }
}
