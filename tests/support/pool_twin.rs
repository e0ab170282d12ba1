//! The naive model of `MemoryPool`, a map of live allocations, and a run of random calls on both:
//! every answer and every count is the same, and no two allocations overlap.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::alloc::Layout;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ptr::NonNull;

use fencepost::pool::{AllocateError, DeallocateError, Lookup};
use fencepost::retire::{Cuts, TimelineId};
use fencepost::{MemoryPool, PoolDesc};

/// A mistake that the pool could make. The twin makes it instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    ForgetsThatItBegan,
    FreesFromTheMiddle,
    CountsRoundedSizes,
    LosesThePeak,
    IgnoresQuarantine,
    IgnoresBoundaries,
    ForgetsWhatWaits,
}

#[derive(Clone, Debug)]
pub enum Call {
    Allocate {
        size: usize,
        alignment: u32,
    },
    /// Frees the live allocation with this index.
    Free(usize),
    /// Frees a pointer that was freed once.
    FreeAgain(usize),
    /// Looks up any offset.
    Look(usize),
    FreeAt(usize),
    /// As `Free`, at the next point.
    FreeLater(usize),
    /// The device passes this many further points.
    Pass(usize),
}

pub const BYTES: usize = 1 << 14;

/// The bus address of the first byte, unless it is the processor's address.
const BUS: u64 = 0xFFFF_E010;

/// The pools that are tested.
pub const DESCS: [PoolDesc; 9] = [
    PoolDesc::new(),
    PoolDesc::new().checked(),
    PoolDesc::new().quarantine(2048),
    PoolDesc::new().checked().quarantine(2048),
    PoolDesc::new().granule(64),
    PoolDesc::new().cache_line(128).checked(),
    PoolDesc::new().bus_base(BUS).boundary(2048),
    PoolDesc::new().bus_base(BUS).boundary(1 << 32).checked().quarantine(1024),
    PoolDesc::new().bus_base(BUS).boundary(256).largest_address(BUS + 9000),
];

/// A live allocation.
#[derive(Clone, Copy)]
struct Live {
    /// The requested size.
    size: usize,
    /// The size after rounding, including its guard.
    reserved: usize,
}

/// The live allocations by offset.
#[derive(Default)]
struct Twin {
    live: BTreeMap<usize, Live>,
    began: BTreeSet<usize>,
    quarantine: VecDeque<(usize, usize)>,
    waiting: VecDeque<(usize, usize)>,
    limit: usize,
    peak: usize,
    allocations: u64,
    fault: Option<Fault>,
}

impl Twin {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The minimum that a request takes, which is whole granules including its guard, and the
    /// maximum, which is whole alignments.
    fn takes(size: usize, alignment: usize, desc: &PoolDesc) -> [usize; 2] {
        let granule = desc.granule.max(desc.cache_line) as usize;
        let least = (size + if desc.checked { 16 } else { 0 }).next_multiple_of(granule);
        [least, if least < alignment { least } else { least.next_multiple_of(alignment) }]
    }

    /// Puts an ended allocation into quarantine, as far as there is room.
    fn rest(&mut self, offset: usize, reserved: usize) {
        if self.limit != 0 && !self.has(Fault::IgnoresQuarantine) {
            self.quarantine.push_back((offset, reserved));
            while self.quarantine.iter().map(|kept| kept.1).sum::<usize>() > self.limit {
                self.quarantine.pop_front();
            }
        }
    }

    /// The bytes that have no owner and are not free.
    fn pending(&self) -> usize {
        self.quarantine.iter().chain(&self.waiting).map(|kept| kept.1).sum()
    }

    fn bytes(&self) -> usize {
        let rounded = self.has(Fault::CountsRoundedSizes);
        let sizes = self.live.values().map(|live| live.size);
        sizes.map(|size| if rounded { size.next_multiple_of(16) } else { size }).sum()
    }

    fn look(&self, offset: usize) -> Found {
        if let Some((&start, &Live { size, reserved })) = self.live.range(..=offset).next_back() {
            if start == offset {
                return Found::Start(size);
            }
            if offset < start + reserved {
                return Found::Inside(start, size);
            }
        }
        let began = self.began.contains(&offset) && !self.has(Fault::ForgetsThatItBegan);
        if began { Found::Freed } else { Found::Untracked }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Start(usize),
    Inside(usize, usize),
    Freed,
    Untracked,
}

/// Memory that starts between two granules.
#[repr(align(65536))]
struct Pages([u8; 2 * BYTES]);

/// A pool over its own pages or, with a bus address, over memory that starts at an odd address.
fn pool(desc: &PoolDesc) -> MemoryPool {
    if desc.bus_base.is_none() {
        return MemoryPool::owned(BYTES, desc).unwrap();
    }
    let mut pages = Box::new(Pages([0; 2 * BYTES]));
    let region = NonNull::from(&mut pages.0[0x10 + 5..0x10 + 5 + BYTES + 11 + 16]);
    // SAFETY: the box is kept, and its pages are used by the pool alone.
    unsafe { MemoryPool::from_region(region, &desc.bus_base(BUS + 5), pages) }.unwrap()
}

/// The pool, its twin, and the device's clock.
struct Both<'a> {
    pool: MemoryPool,
    base: *mut u8,
    bytes: usize,
    twin: Twin,
    desc: &'a PoolDesc,
    cuts: Cuts,
    device: TimelineId,
    submitted: u64,
    passed: u64,
    freed: Vec<usize>,
}

/// Executes the calls on both. Panics where they differ.
pub fn run(desc: &PoolDesc, calls: &[Call], fault: Option<Fault>) {
    let mut pool = pool(desc);
    let bytes = pool.capacity() as usize;
    assert!(bytes == BYTES || desc.bus_base.is_some());
    let first = pool.allocate(1).unwrap();
    let base = first.wrapping_sub(pool.offset_of(first).unwrap() as usize);
    pool.deallocate(first).unwrap();
    let limit = desc.quarantine as usize;
    let mut twin = Twin { fault, limit, allocations: 1, peak: 1, ..Twin::default() };
    let offset = first.addr() - base.addr();
    twin.began.insert(offset);
    if limit != 0 {
        twin.quarantine.push_back((offset, Twin::takes(1, 1, desc)[0]));
    }
    let mut cuts = Cuts::new(1);
    let device = cuts.add_timeline(0);
    let freed = vec![offset];
    let (submitted, passed) = (0, 0);
    let mut both = Both { pool, base, bytes, twin, desc, cuts, device, submitted, passed, freed };
    for call in calls {
        both.call(call);
        let Both { pool, twin, .. } = &both;
        let stats = pool.stats();
        assert_eq!(stats.current_allocations, twin.live.len() as u64);
        assert_eq!(stats.current_allocated_bytes, twin.bytes() as u64);
        assert_eq!(stats.peak_allocated_bytes, twin.peak as u64);
        assert_eq!(stats.allocations, twin.allocations);
        assert_eq!(pool.pending_bytes(), twin.pending() as u64);
    }
    assert_eq!(both.pool.check(), Ok(()));
}

impl Both<'_> {
    fn call(&mut self, call: &Call) {
        match *call {
            Call::Allocate { size, alignment } => self.allocate(size, 1 << alignment),
            Call::Free(index) | Call::FreeLater(index) if !self.twin.live.is_empty() => {
                self.free(index, matches!(call, Call::FreeLater(_)));
            }
            Call::Free(_) | Call::FreeLater(_) => {}
            Call::FreeAgain(index) => {
                let offset = self.freed[index % self.freed.len()];
                free_at(&mut self.pool, &mut self.twin, self.base, offset);
            }
            Call::FreeAt(offset) if offset < self.bytes => {
                free_at(&mut self.pool, &mut self.twin, self.base, offset);
            }
            Call::Look(offset) if offset < self.bytes => self.look(offset),
            Call::FreeAt(_) | Call::Look(_) => {}
            Call::Pass(count) => (0..count % 4).for_each(|_| self.pass()),
        }
    }

    fn allocate(&mut self, size: usize, alignment: usize) {
        let Self { pool, twin, desc, base, bytes, .. } = self;
        let layout = Layout::from_size_align(size, alignment).unwrap();
        let not_free = |pool: &MemoryPool| *bytes - pool.fragmentation().free_bytes as usize;
        let mut before = not_free(pool);
        let rested: usize = twin.quarantine.iter().map(|kept| kept.1).sum();
        let pointer = match pool.allocate_layout(layout) {
            Ok(pointer) => pointer,
            Err(AllocateError::Full { pending, .. }) => {
                twin.quarantine.clear();
                assert_eq!(pending, twin.pending() as u64, "a quarantine ends first");
                return;
            }
            Err(AllocateError::CrossesBoundary { size: told }) => {
                assert!(told == size as u64 && desc.boundary.is_some_and(|most| told > most));
                return;
            }
            Err(AllocateError::Alignment { largest }) => {
                return assert!(alignment as u64 > largest && desc.bus_base.is_some());
            }
            Err(error) => panic!("{error}"),
        };
        let offset = pointer.addr() - base.addr();
        assert_eq!(pointer.addr() % alignment, 0);
        if pool.pending_bytes() + rested as u64 == twin.pending() as u64 {
            before -= twin.quarantine.drain(..).map(|kept| kept.1).sum::<usize>();
        }
        let reserved = not_free(pool) - before;
        assert!(Twin::takes(size, alignment, desc).contains(&reserved));
        assert!(offset + reserved <= *bytes);
        if let Some(first) = pool.dma_address(pointer) {
            let last = first + size as u64 - 1;
            assert_eq!(first % alignment as u64, 0);
            assert!(last <= desc.largest_address);
            let boundary = desc.boundary.unwrap_or(1 << 63);
            let boundary = if twin.has(Fault::IgnoresBoundaries) { 128 } else { boundary };
            assert_eq!(first / boundary, last / boundary);
        }
        let kept = twin.quarantine.iter().chain(&twin.waiting).copied();
        let live = twin.live.iter().map(|(&at, live)| (at, live.reserved));
        for (other, length) in live.chain(kept) {
            let apart = offset + reserved <= other || other + length <= offset;
            assert!(apart, "{} and {}", offset, other);
        }
        // SAFETY: handed out with this size.
        unsafe { pointer.write_bytes(offset as u8, size) };
        twin.live.insert(offset, Live { size, reserved });
        twin.began.insert(offset);
        twin.allocations += 1;
        if !twin.has(Fault::LosesThePeak) {
            twin.peak = twin.peak.max(twin.bytes());
        }
    }

    fn free(&mut self, index: usize, later: bool) {
        let Self { pool, twin, base, .. } = self;
        let (&offset, &Live { size, reserved }) =
            twin.live.iter().nth(index % twin.live.len()).unwrap();
        let pointer = base.wrapping_add(offset);
        // SAFETY: live, written to when it was handed out.
        let bytes = unsafe { std::slice::from_raw_parts(pointer, size) };
        assert!(bytes.iter().all(|&byte| byte == offset as u8));
        twin.live.remove(&offset);
        self.freed.push(offset);
        if !later {
            assert_eq!(pool.deallocate(pointer), Ok(()));
            return twin.rest(offset, reserved);
        }
        let recording = self.cuts.begin(self.device).unwrap();
        self.submitted += 1;
        let point = self.cuts.submitted(recording, self.submitted).unwrap();
        assert_eq!(pool.deallocate_at(pointer, &[point]), Ok(()));
        if !twin.has(Fault::ForgetsWhatWaits) {
            twin.waiting.push_back((offset, reserved));
        }
        // The device uses it to its last byte.
        // SAFETY: the pool's memory, which is the device's.
        unsafe { pointer.write_bytes(0xDD, size) };
    }

    /// The device passes one more point.
    fn pass(&mut self) {
        if self.passed == self.submitted {
            assert_eq!(self.pool.collect(&self.cuts.reached()), 0);
            return;
        }
        self.passed += 1;
        self.cuts.signalled(self.device, self.passed).unwrap();
        assert_eq!(self.pool.collect(&self.cuts.reached()), 1);
        if let Some((offset, reserved)) = self.twin.waiting.pop_front() {
            self.twin.rest(offset, reserved);
        }
    }

    fn look(&self, offset: usize) {
        let start = |offset: usize| self.base.addr() + offset;
        let expected = match self.twin.look(offset) {
            Found::Start(size) => Lookup::Start { size: size as u64, by_handle: false },
            Found::Inside(at, size) => Lookup::Inside { start: start(at), size: size as u64 },
            Found::Freed => Lookup::Freed,
            Found::Untracked => Lookup::Untracked,
        };
        assert_eq!(self.pool.lookup(self.base.wrapping_add(offset)), expected);
    }
}

/// A free of a pointer that is not a live start, unless it happens to be one.
fn free_at(pool: &mut MemoryPool, twin: &mut Twin, base: *mut u8, offset: usize) {
    let address = base.addr() + offset;
    let expected = match twin.look(offset) {
        Found::Start(_) => return,
        Found::Inside(..) if twin.has(Fault::FreesFromTheMiddle) => Ok(()),
        Found::Inside(start, size) => {
            let start = base.addr() + start;
            Err(DeallocateError::NotAtStart { address, start, size: size as u64 })
        }
        Found::Freed => Err(DeallocateError::DoubleFree { address }),
        Found::Untracked => Err(DeallocateError::Untracked { address }),
    };
    assert_eq!(pool.deallocate(base.wrapping_add(offset)), expected);
}
