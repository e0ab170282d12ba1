//! The state, and the checks after each step.

use fencepost::{
    Allocation, AllocationDesc, Allocator, Arena, ArenaDesc, ArenaPolicy, Buffer, Defragmentation,
    GuardPolicy, GuardedBy, Image, Point, Recording, Timeline,
    fake::{FakeDriver, Profile},
    vk,
};

use crate::{
    support::{self, random::Random},
    truth::{Owner, Truth},
};

/// What fresh memory holds. Nobody writes it.
const DIRT: u8 = 0xEE;

/// What a control does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    None,
    WritesAstray,
    ForgetsOwners,
    SeesNoDamage,
}

pub enum Made {
    Plain(Allocation),
    Buffer(Buffer),
    Image(Image),
}

impl Made {
    pub fn allocation(&self) -> &Allocation {
        match self {
            Self::Plain(allocation) => allocation,
            Self::Buffer(buffer) => buffer.allocation(),
            Self::Image(image) => image.allocation(),
        }
    }
}

/// What lives, full of its tag.
pub struct Thing {
    pub made: Made,
    pub owner: Owner,
    pub region: (u64, u64),
    pub tag: u8,
    /// The points of submissions that use it.
    pub uses: Vec<Point>,
}

/// A recording, what it names, and its command buffers.
pub struct Open {
    pub recording: Recording,
    pub names: Vec<&'static str>,
    pub commands: Vec<vk::CommandBuffer>,
}

pub struct World {
    pub fake: FakeDriver,
    pub allocator: Allocator,
    pub timelines: [Timeline; 2],
    pub arenas: Vec<Arena>,
    pub things: Vec<Thing>,
    /// Blocks that are to become empty.
    pub run: Option<Defragmentation>,
    pub moved: u64,
    pub open: Vec<Open>,
    pub truth: Truth,
    pub pool: vk::CommandPool,
    pub policy: GuardPolicy,
    pub by: GuardedBy,
    /// The host writes whole ones of so many bytes.
    pub atom: u64,
    /// What ended may come back unlooked, as memory is short.
    pub tight: bool,
    pub slip: Slip,
    pub about: String,
    pub next: u64,
}

/// Memory that the host can watch, or that it writes in whole atoms.
pub fn memory(name: &'static str) -> AllocationDesc {
    AllocationDesc::upload().name(name)
}

impl World {
    pub fn new(random: &mut Random, slip: Slip) -> Self {
        use GuardPolicy::{Full, Margins, Poison, Zero};
        use vk::MemoryPropertyFlags as Type;
        let policy = [Margins, Poison, Full, Zero][random.below(4) as usize];
        let by = [GuardedBy::Gpu, GuardedBy::Gpu, GuardedBy::Host][random.below(3) as usize];
        let incoherent = by == GuardedBy::Gpu && random.one_in(4);
        let own = Type::DEVICE_LOCAL | Type::HOST_VISIBLE;
        let coherent = Type::HOST_VISIBLE | Type::HOST_COHERENT;
        let heap = (64 << 20, vk::MemoryHeapFlags::DEVICE_LOCAL);
        let types = [(0, own), (0, coherent), (0, own | coherent)];
        let profile = Profile::default()
            .heaps(&[heap])
            .types(if incoherent { &types[..2] } else { &types[2..] })
            .atom([64, 256][random.below(2) as usize])
            .queue_families(&[(vk::QueueFlags::COMPUTE, 2)])
            .buffer_alignment(64)
            .image_alignment(256)
            .fresh_byte(DIRT);
        let fake = FakeDriver::new(&profile);
        fake.set_aliasing(true);
        let tight = random.one_in(5);
        let quarantine = random.below(4) as u32;
        let bytes = if random.one_in(2) { u64::MAX } else { random.log_uniform(100_000) };
        let desc = support::desc(&fake).guards(policy).guarded_by(by).quarantine(quarantine);
        let desc = desc.quarantine_bytes(bytes).first_block(128 << 10).largest_block(512 << 10);
        let about = format!("{policy:?} {by:?} {incoherent} {quarantine} {bytes} tight: {tight}");
        // SAFETY: the fake is kept alive, and the test submits through timelines.
        let allocator = unsafe { Allocator::new(&desc) }.unwrap();
        let timelines = [0, 1].map(|queue| allocator.timeline(fake.queue(queue)).unwrap());
        let placed = [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack];
        let arenas = placed.map(|placed| {
            // Of which there are many, so that some become empty.
            let is_small = !tight && placed == ArenaPolicy::Tlsf;
            let size = if is_small { 32 << 10 } else { 128 << 10 };
            let desc = ArenaDesc::new(memory("arena")).block_size(size).policy(placed);
            allocator.create_arena(&if tight { desc.max_blocks(1) } else { desc }).unwrap()
        });
        let info = vk::CommandPoolCreateInfo::default();
        // SAFETY: the fake judges what is done with its objects.
        let pool = unsafe { fake.device().create_command_pool(&info, None) }.unwrap();
        Self {
            atom: if incoherent { 256 } else { 4 },
            arenas: arenas.into(),
            things: Vec::new(),
            run: None,
            moved: 0,
            open: Vec::new(),
            truth: Truth::default(),
            next: 0,
            fake,
            allocator,
            timelines,
            pool,
            policy,
            by,
            tight,
            slip,
            about,
        }
    }

    pub fn read(&self, memory: vk::DeviceMemory, offset: u64, size: u64) -> Vec<u8> {
        let mut bytes = vec![0; size as usize];
        assert!(self.fake.gpu_read(memory, offset, &mut bytes));
        bytes
    }

    /// What was just handed out holds no owner's bytes, and zeros where it says so.
    pub fn expect_clean(&self, allocation: &Allocation) {
        if self.policy != GuardPolicy::Zero {
            return;
        }
        let bytes = self.read(allocation.memory(), allocation.offset(), allocation.size());
        let dirt = if allocation.is_zeroed() { 0 } else { DIRT };
        let found = bytes.iter().find(|&&byte| byte != 0 && byte != dirt);
        assert_eq!(found, None, "somebody's byte in {allocation:?}");
    }

    /// Nobody is accused, and what lives is as its owner left it.
    pub fn expect_peace(&self) {
        assert_eq!(self.allocator.check_guards(), []);
        for Thing { made, tag, .. } in &self.things {
            let allocation = made.allocation();
            let bytes = self.read(allocation.memory(), allocation.offset(), allocation.size());
            let at = bytes.iter().position(|byte| byte != tag);
            assert_eq!(at, None, "a byte of {allocation:?} changed");
        }
        self.allocator.check().unwrap();
        assert_eq!(self.fake.violations(), []);
    }

    /// Ends everything: nothing is left, of the allocator or of the driver.
    pub fn end(&mut self) {
        self.things.clear();
        self.run = None;
        self.arenas.clear();
        self.finish_work();
        for _ in 0..6 {
            self.pass_scrub(0, fencepost::Scrub::Due);
        }
        assert_eq!(self.allocator.check_guards(), []);
        let total = self.allocator.statistics().total;
        assert_eq!((total.live, total.pending), (0, 0));
        // SAFETY: everything was run.
        unsafe { self.fake.device().destroy_command_pool(self.pool, None) };
        // SAFETY: one thread, and nothing more is submitted.
        unsafe { self.allocator.shutdown() }.unwrap();
        self.fake.finish().unwrap();
    }
}
