//! The state, and the checks after each step.

use std::{collections::BTreeMap, sync::Arc};

use fencepost::{
    AliasingBuffer, AliasingImage, Allocation, Allocator, AllocatorDesc, Arena, Buffer,
    Defragmentation, Dependency, DeviceFeatures, FrameRing, GuardedBy, Image, ImageView,
    RawAllocation, Recording, RegionState, Timeline,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};

use crate::{
    asks,
    gpus::{grown, limits, memory_properties, properties, shrunk},
    model::{Model, Place, Queue, Submission},
    others::Pages,
    support::{self, random::Random},
};

pub const QUEUES: usize = 4;

/// What a control does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    None,
    /// Ends at once what is to wait.
    FreesAtOnce,
    /// Does not tell the model of an end.
    Forgets,
    /// Ends recordings whose work is to come.
    Abandons,
}

pub enum Made {
    Plain(Allocation),
    Raw(RawAllocation),
    Buffer(Buffer),
    Image(Image, Vec<ImageView>),
    Shared(Arc<Allocation>, Vec<Alias>),
    Ring(FrameRing),
}

/// How often what was done.
pub type Done = BTreeMap<&'static str, u64>;

/// A resource on memory that it shares.
pub enum Alias {
    Buffer(AliasingBuffer),
    Image(AliasingImage),
}

impl Alias {
    pub fn named(&self) -> Use {
        match self {
            Self::Buffer(buffer) => Use::buffer(buffer.handle()),
            Self::Image(image) => Use::image(image.handle()),
        }
    }
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
    /// `nonCoherentAtomSize`.
    pub atom: u64,
    /// The largest request.
    pub most: u64,
    /// Somebody watches, by this policy and keeper.
    pub guards: Option<GuardedBy>,
    pub ordered: bool,
    pub aliasing: bool,
    pub slip: Slip,
    /// Of the last queue: its values are ours.
    pub own: (vk::Semaphore, u64),
    /// What was imported of the host's.
    pub pages: Vec<Pages>,
    /// The device is lost.
    pub lost: bool,
    /// How often what was done.
    pub done: Done,
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
        let bindings = [(random.log_uniform(1 << 20), 1 << random.below(17), !0), (1000, 256, !0)];
        let profile = profile.video_bindings(&[bindings[0], bindings[1], (64, 64, !0)]);
        let types = properties(&profile);
        let small = guards.is_some() || ordered || random.one_in(2);
        let huge = !small && random.one_in(4);
        let profile = match (small, huge) {
            (true, _) => shrunk(profile, &types, random),
            (false, true) => grown(profile, random),
            (false, false) => profile,
        };
        let profile = match random.below(8) {
            _ if huge => profile,
            0 => profile.max_allocation_count(8 + random.below(60) as u32),
            1 => profile.max_allocation_size(1 << (22 + random.below(8))),
            2 => profile.prefers_dedicated(random.log_uniform(8 << 20)),
            3 => profile.requires_dedicated(random.log_uniform(64 << 20)),
            4 => profile.external_dedicated_only(true),
            _ => profile,
        };
        let fake = FakeDriver::new(&profile);
        let on_access = random.one_in(5);
        let mut features = support::features()
            | DeviceFeatures::MEMORY_PRIORITY
            | DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY
            | DeviceFeatures::EXTERNAL_MEMORY_FD
            | DeviceFeatures::EXTERNAL_MEMORY_DMA_BUF
            | DeviceFeatures::EXTERNAL_MEMORY_HOST
            | DeviceFeatures::VIDEO_QUEUE;
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
        let own = semaphore(&fake);
        let timelines = vec![
            allocator.timeline(fake.queue(0)).unwrap(),
            allocator.timeline(fake.queue(1)).unwrap(),
            allocator.fence_timeline(fake.queue(2), 4).unwrap(),
            // SAFETY: the semaphore lives until the allocator is gone, and only submissions signal it.
            unsafe { allocator.external_timeline(fake.queue(3), own, 0) }.unwrap(),
        ];
        let queue =
            |timeline: &Timeline| Queue { semaphore: timeline.semaphore(), ..Queue::default() };
        let queues = timelines.iter().map(queue).collect();
        let limits = limits(&fake);
        let page = limits.buffer_image_granularity.max(1);
        let atom = limits.non_coherent_atom_size.max(1);
        let types = memory_properties(&fake);
        let most = match (small, huge) {
            // Of which many fit, so that what is taken over is another's of the same sort.
            (true, _) if ordered => 1 << (12 + random.below(7)),
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
            atom,
            most,
            guards: guards.map(|_| keeper),
            ordered,
            aliasing,
            slip,
            own: (own, 0),
            pages: Vec::new(),
            lost: false,
            done: Done::new(),
            about,
        }
    }

    /// Counts what was done.
    pub fn note(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
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
            84..88 => self.grant_other(random),
            88..132 => self.end_one(random),
            132..140 => self.begin(random),
            140..142 => self.join(random),
            142..148 => self.submit(random),
            148 => self.submit_all(random),
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
            191 => self.wait(random),
            192 => self.change_budget(random),
            193..196 => self.scrub(random),
            196..198 => self.use_stale(random),
            _ => self.prioritise(random),
        }
        if faulty {
            self.fake.clear_faults();
        }
        self.see_progress();
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
            Call::GetMemoryFd,
            Call::GetMemoryFdProperties,
            Call::GetMemoryHostPointerProperties,
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
        for thing in &self.things {
            if let Made::Ring(ring) = &thing.made {
                let end = thing.place.1 + thing.made.allocation().map_or(0, Allocation::size);
                assert!(ring.taken() >= self.model.piece_bytes(thing.place, end), "{ring:?}");
            }
        }
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
}

/// A timeline semaphore of the program's own.
fn semaphore(fake: &FakeDriver) -> vk::Semaphore {
    let mut kind =
        vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
    let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
    // SAFETY: the fake lives.
    unsafe { fake.device().create_semaphore(&info, None) }.unwrap()
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
