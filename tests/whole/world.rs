//! What there is, and what is looked at after each step.

use std::sync::Arc;

use fencepost::{
    AliasingBuffer, Allocation, Allocator, AllocatorDesc, Arena, Buffer, Defragmentation,
    Dependency, DeviceFeatures, FrameRing, GuardedBy, Image, ImageView, RawAllocation, Recording,
    RegionState, Scrub, Timeline,
    fake::{Call, FakeDriver, Profile},
    vk,
};

use crate::{
    asks,
    gpus::{granularity, grown, memory_properties, properties, shrunk},
    model::{Model, Place, Queue, Submission},
    support::{self, random::Random},
};

pub const QUEUES: usize = 3;

/// What a control does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    None,
    /// Ends at once what is to wait.
    FreesAtOnce,
    /// Does not tell the model of an end.
    Forgets,
}

pub enum Made {
    Plain(Allocation),
    Raw(RawAllocation),
    Buffer(Buffer),
    Image(Image, Vec<ImageView>),
    Shared(Arc<Allocation>, Vec<AliasingBuffer>),
    Ring(FrameRing),
}

/// What lives, and who may use it.
pub struct Thing {
    pub made: Made,
    pub place: Place,
    pub id: u64,
    /// The last submission of each queue that names it.
    pub uses: Vec<Submission>,
    /// The only queue that may use it, and what is waited for first.
    pub order: Option<(usize, Dependency)>,
    /// A value that was written, and where.
    pub written: Option<(u64, u64)>,
}

/// A recording, with those that it took in.
pub struct Open {
    pub numbers: Vec<u64>,
    pub queue: usize,
    pub recording: Recording,
    pub commands: Vec<vk::CommandBuffer>,
    pub waits: Vec<(vk::Semaphore, u64)>,
    /// The things that it names.
    pub names: Vec<u64>,
}

pub struct World {
    pub fake: FakeDriver,
    pub allocator: Allocator,
    pub timelines: Vec<Timeline>,
    pub arenas: Vec<Arena>,
    pub runs: Vec<Defragmentation>,
    pub things: Vec<Thing>,
    pub open: Vec<Open>,
    pub model: Model,
    /// Keys of what has ended.
    pub stale: Vec<RawAllocation>,
    pub next: u64,
    /// Batches of submissions that are out, by queue.
    pub batches: [std::collections::VecDeque<u32>; QUEUES],
    pub types: vk::PhysicalDeviceMemoryProperties,
    /// The largest request.
    pub most: u64,
    /// Somebody watches, by this policy and keeper.
    pub guards: Option<GuardedBy>,
    pub ordered: bool,
    pub aliasing: bool,
    pub slip: Slip,
    about: String,
}

impl World {
    pub fn new(random: &mut Random, slip: Slip) -> Self {
        let guards = random.one_in(3).then(|| asks::guards(random));
        let keeper = if random.one_in(2) { GuardedBy::Host } else { GuardedBy::Gpu };
        let ordered = guards.is_none() && random.one_in(2);
        let all = Profile::all().count() as u64;
        let profile = match random.below(4) {
            0 => Profile::default(),
            _ => Profile::all().nth(random.below(all) as usize).unwrap(),
        };
        let profile = profile.queues(QUEUES as u32);
        let types = properties(&profile);
        let small = guards.is_some() || random.one_in(2);
        let huge = !small && random.one_in(4);
        let profile = match (small, huge) {
            (true, _) => shrunk(profile, &types, random),
            (false, true) => grown(profile, random),
            (false, false) => profile,
        };
        let profile = match random.below(6) {
            _ if huge => profile,
            0 => profile.max_allocation_count(8 + random.below(60) as u32),
            1 => profile.max_allocation_size(1 << (22 + random.below(8))),
            2 => profile.prefers_dedicated(random.log_uniform(8 << 20)),
            _ => profile,
        };
        let fake = FakeDriver::new(&profile);
        let on_access = random.one_in(5);
        let mut features = support::features()
            | DeviceFeatures::MEMORY_PRIORITY
            | DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY;
        features.set(DeviceFeatures::MEMORY_BUDGET, random.one_in(2));
        let mut desc = support::desc(&fake).features(features).map_on_access(on_access);
        desc = configured(desc, random);
        let aliasing = guards.is_some() || random.one_in(3);
        if let Some(policy) = guards {
            desc = desc.guards(policy).guarded_by(keeper);
            desc = desc.quarantine(random.below(4) as u32).first_block(128 << 10);
            desc = desc.largest_block(1 << 20);
        }
        // What scrubs look at, and what takes a range over, is bound where others are.
        fake.set_aliasing(aliasing);
        if ordered {
            fake.set_ordered_reuse(true);
        }
        let about = format!("{profile:?} {guards:?} by {keeper:?}, in order: {ordered}");
        // SAFETY: the fake is kept alive, and the test submits through timelines.
        let allocator = unsafe { Allocator::new(&desc) }.unwrap();
        let timelines = vec![
            allocator.timeline(fake.queue(0)).unwrap(),
            allocator.timeline(fake.queue(1)).unwrap(),
            allocator.fence_timeline(fake.queue(2), 4).unwrap(),
        ];
        let queue =
            |timeline: &Timeline| Queue { semaphore: timeline.semaphore(), ..Queue::default() };
        let queues = timelines.iter().map(queue).collect();
        let page = granularity(&fake).max(1);
        let types = memory_properties(&fake);
        let most = match (small, huge) {
            (true, _) => 1 << (14 + random.below(9)),
            (false, true) => 1 << (30 + random.below(11)),
            (false, false) => 1 << (16 + random.below(11)),
        };
        Self {
            fake,
            allocator,
            timelines,
            arenas: Vec::new(),
            runs: Vec::new(),
            things: Vec::new(),
            open: Vec::new(),
            model: Model::new(queues, page),
            stale: Vec::new(),
            next: 0,
            batches: Default::default(),
            types,
            most,
            guards: guards.map(|_| keeper),
            ordered,
            aliasing,
            slip,
            about,
        }
    }

    pub fn describe(&self) -> &str {
        &self.about
    }

    pub fn step(&mut self, random: &mut Random) {
        let faulty = random.one_in(12);
        if faulty {
            self.break_something(random);
        }
        match random.below(200) {
            0..80 => self.grant_one(random),
            80..84 => self.grant_many(random),
            84..132 => self.end_one(random),
            132..140 => self.begin(random),
            140..142 => self.join(random),
            142..149 => self.submit(random),
            149..150 => self.abandon(random),
            150..160 => self.progress(random),
            160..168 => self.collect(random),
            168..174 => self.touch(random),
            174..177 => self.make_arena(random),
            177..179 => self.drop_arena(random),
            179..182 => self.plan_moves(random),
            182..188 => self.move_one(random),
            188..190 => self.end_moves(random),
            190..191 => _ = self.allocator.trim(),
            191..193 => self.change_budget(random),
            193..196 => self.scrub(random),
            196..198 => self.use_stale(random),
            _ => self.prioritise(random),
        }
        if faulty {
            self.fake.clear_faults();
        }
    }

    /// One of the driver's calls fails, this time or each time.
    fn break_something(&self, random: &mut Random) {
        use vk::Result as Error;
        let calls = [
            Call::AllocateMemory,
            Call::AllocateMemory,
            Call::MapMemory,
            Call::CreateBuffer,
            Call::CreateImage,
            Call::CreateImageView,
            Call::BindBufferMemory,
            Call::BindImageMemory,
            Call::FlushMappedMemoryRanges,
            Call::InvalidateMappedMemoryRanges,
        ];
        let errors = [Error::ERROR_OUT_OF_DEVICE_MEMORY, Error::ERROR_OUT_OF_HOST_MEMORY];
        let call = calls[random.below(calls.len() as u64) as usize];
        let error = errors[random.below(2) as usize];
        match random.one_in(3) {
            true => self.fake.fail_all(call, error),
            false => self.fake.fail(call, random.below(3), error),
        }
    }

    fn change_budget(&self, random: &mut Random) {
        let heap = random.below(u64::from(self.types.memory_heap_count)) as u32;
        let size = self.types.memory_heaps[heap as usize].size;
        let budget = if random.one_in(3) { size } else { random.below(size) };
        self.fake.set_budget(heap, budget, random.below(size / 4 + 1));
    }

    /// Scrubs have memory of their own.
    pub fn has_sheets(&self) -> bool {
        self.guards == Some(GuardedBy::Gpu)
    }

    /// What is counted is what the model counts.
    pub fn expect_sums(&self) {
        let statistics = self.allocator.statistics();
        let total = statistics.total;
        let (count, bytes) = self.model.live();
        if !self.has_sheets() {
            assert_eq!(total.live_count, count, "live");
        }
        if self.guards.is_none() {
            assert_eq!(total.live, bytes, "live bytes");
        }
        assert!(total.live >= bytes && total.reserved >= total.live + total.pending, "{total:?}");
        assert_eq!(total.free, total.reserved - total.live - total.pending);
        // What may be touched is pending, or its heir's.
        let held = self.model.held_bytes();
        assert!(total.pending >= held, "{} bytes pending of {held}", total.pending);
        for (heap, of_heap) in statistics.heaps.iter().enumerate() {
            let (used, exact) = (self.fake.heap_used(heap as u32), !self.has_sheets());
            assert!(used >= of_heap.reserved, "heap {heap}: {used} for {}", of_heap.reserved);
            assert!(!exact || used == of_heap.reserved, "heap {heap}: {used}");
        }
    }

    /// The allocator's own checks, the driver's judgement, and each range where it should be.
    pub fn expect_all(&self) {
        self.allocator.check().unwrap();
        assert_eq!(self.fake.violations(), []);
        assert_eq!(self.allocator.check_guards(), []);
        let (mut used, mut largest) = (Vec::new(), 0);
        for block in self.allocator.snapshot().blocks() {
            let mut at = 0;
            for region in &block.regions {
                assert_eq!(region.offset, at, "{block:?}");
                at += region.size;
                match region.state {
                    RegionState::Used => used.push((region.offset, region.size)),
                    RegionState::Free => largest = region.size.max(largest),
                    RegionState::Pending => {}
                }
            }
            assert!(at <= block.size && block.size - at < 1 << 20, "{at} of {}", block.size);
        }
        let told = self.allocator.statistics().total.largest_free;
        assert!(told <= largest, "{told} of {largest}");
        if self.guards.is_none() {
            let mut ranges: Vec<_> = self.model.ranges().collect();
            used.sort_unstable();
            ranges.sort_unstable();
            assert_eq!(used, ranges);
        }
        self.expect_written();
    }

    /// Ends everything: nothing is left, of the allocator or of the driver.
    pub fn end(mut self, random: &mut Random) {
        let lost = random.one_in(8);
        if lost {
            self.fake.lose_device();
        }
        for Open { recording, .. } in self.open.drain(..) {
            // SAFETY: nothing more is submitted.
            unsafe { recording.abandon() };
        }
        let early = random.one_in(2);
        if early {
            self.arenas.clear();
            self.runs.clear();
        }
        for thing in core::mem::take(&mut self.things) {
            if let Made::Raw(raw) = thing.made {
                // SAFETY: the key is turned back once.
                unsafe { self.allocator.retire_raw(raw) }.unwrap();
            }
        }
        self.fake.run();
        if self.guards == Some(GuardedBy::Gpu) && !lost {
            for _ in 0..6 {
                let (line, family) = (&self.timelines[0], self.fake.queue_family(0));
                // SAFETY: the family computes, and no other thread submits.
                _ = unsafe { self.allocator.scrub(line, family, Scrub::Due) };
                self.fake.run();
                self.allocator.collect_all();
            }
        }
        for _ in 0..20 {
            self.allocator.collect_all();
        }
        self.allocator.check().unwrap();
        self.arenas.clear();
        self.runs.clear();
        let total = self.allocator.statistics().total;
        assert_eq!(total.live_count, 0);
        if self.guards.is_none() {
            assert_eq!((total.pending_count, total.pending), (0, 0));
            self.allocator.trim();
            let total = self.allocator.statistics().total;
            assert_eq!((total.blocks, total.reserved), (0, 0));
            assert_eq!(self.fake.live().memories, 0);
        }
        self.timelines.clear();
        let Self { fake, allocator, .. } = self;
        let report = allocator.close().expect("the last");
        assert_eq!((report.leaks.len(), report.still_pending), (0, 0));
        fake.finish().unwrap();
    }
}

fn configured<'a>(desc: AllocatorDesc<'a>, random: &mut Random) -> AllocatorDesc<'a> {
    let mut desc = match random.below(3) {
        0 => desc,
        1 => desc.first_block(64 << 10).largest_block(1 << 20),
        _ => desc.first_block(1 << 20).largest_block(1 << 20),
    };
    if random.one_in(2) {
        desc = desc.linger(random.below(5));
    }
    if random.one_in(5) {
        desc = desc.heap_cap(0, 1 << (20 + random.below(10)));
    }
    if random.one_in(4) {
        desc = desc.audit(true);
    }
    if random.one_in(8) {
        desc = desc.record(std::io::sink());
    }
    desc
}
