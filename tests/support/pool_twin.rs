//! `MemoryPool`'s naive twin, a map of what lives, and the run of random calls on both: every answer and
//! every count is the same, and no two allocations overlap.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::alloc::Layout;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fencepost::pool::{AllocateError, DeallocateError, Lookup};
use fencepost::{MemoryPool, PoolDesc};

/// A mistake that the pool could make; the twin makes it in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    ForgetsThatItBegan,
    FreesFromTheMiddle,
    CountsRoundedSizes,
    LosesThePeak,
    IgnoresQuarantine,
}

#[derive(Clone, Debug)]
pub enum Call {
    Allocate {
        size: usize,
        alignment: u32,
    },
    /// Of the live one at this index.
    Free(usize),
    /// Of a pointer that was freed once.
    FreeAgain(usize),
    /// Of any offset.
    Look(usize),
    FreeAt(usize),
}

pub const BYTES: usize = 1 << 14;

/// The pools that are tried.
pub const DESCS: [PoolDesc; 4] = [
    PoolDesc::new(),
    PoolDesc::new().checked(),
    PoolDesc::new().quarantine(2048),
    PoolDesc::new().checked().quarantine(2048),
];

/// A live allocation.
#[derive(Clone, Copy)]
struct Live {
    /// As asked for.
    size: usize,
    /// What it was rounded up to, its guard included.
    reserved: usize,
}

/// What lives, by offset.
#[derive(Default)]
struct Twin {
    live: BTreeMap<usize, Live>,
    began: BTreeSet<usize>,
    quarantine: VecDeque<(usize, usize)>,
    peak: usize,
    allocations: u64,
    fault: Option<Fault>,
}

impl Twin {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// What a request takes at least: whole granules, its guard included; at most, whole alignments.
    fn takes(size: usize, alignment: usize, checked: bool) -> [usize; 2] {
        let least = (size + if checked { 16 } else { 0 }).next_multiple_of(16);
        [least, if least < alignment { least } else { least.next_multiple_of(alignment) }]
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

/// Runs the calls on both; panics where they differ.
pub fn run(desc: &PoolDesc, calls: &[Call], fault: Option<Fault>) {
    let mut pool = MemoryPool::owned(BYTES, desc).unwrap();
    let base = {
        let first = pool.allocate(1).unwrap();
        pool.deallocate(first).unwrap();
        first
    };
    let mut twin = Twin { fault, allocations: 1, peak: 1, ..Twin::default() };
    twin.began.insert(0);
    let limit = desc.quarantine as usize;
    if limit != 0 {
        twin.quarantine.push_back((0, Twin::takes(1, 1, desc.checked)[0]));
    }
    let mut freed = vec![0];
    for call in calls {
        match *call {
            Call::Allocate { size, alignment } => {
                let layout = Layout::from_size_align(size, 1 << alignment).unwrap();
                let not_free = |pool: &MemoryPool| BYTES - pool.fragmentation().free_bytes as usize;
                let before = not_free(&pool);
                match pool.allocate_layout(layout) {
                    Ok(pointer) => {
                        let offset = pointer.addr() - base.addr();
                        assert_eq!(pointer.addr() % layout.align(), 0);
                        let mut before = before;
                        if pool.pending_bytes() == 0 {
                            before -= twin.quarantine.drain(..).map(|kept| kept.1).sum::<usize>();
                        }
                        let reserved = not_free(&pool) - before;
                        assert!(
                            Twin::takes(size, layout.align(), desc.checked).contains(&reserved)
                        );
                        assert!(offset + reserved <= BYTES);
                        let kept = twin.quarantine.iter().copied();
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
                    Err(AllocateError::Full { pending, .. }) => {
                        assert_eq!(pending, 0, "a quarantine ends first");
                        twin.quarantine.clear();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Call::Free(index) if !twin.live.is_empty() => {
                let (&offset, &Live { size, reserved }) =
                    twin.live.iter().nth(index % twin.live.len()).unwrap();
                let pointer = base.wrapping_add(offset);
                // SAFETY: live, written to when it was handed out.
                let bytes = unsafe { std::slice::from_raw_parts(pointer, size) };
                assert!(bytes.iter().all(|&byte| byte == offset as u8));
                assert_eq!(pool.deallocate(pointer), Ok(()));
                twin.live.remove(&offset);
                freed.push(offset);
                if limit != 0 && !twin.has(Fault::IgnoresQuarantine) {
                    twin.quarantine.push_back((offset, reserved));
                    while twin.quarantine.iter().map(|kept| kept.1).sum::<usize>() > limit {
                        twin.quarantine.pop_front();
                    }
                }
            }
            Call::Free(_) => {}
            Call::FreeAgain(index) => {
                let offset = freed[index % freed.len()];
                free_at(&mut pool, &mut twin, base, offset);
            }
            Call::FreeAt(offset) => free_at(&mut pool, &mut twin, base, offset),
            Call::Look(offset) => {
                let start = |offset: usize| base.addr() + offset;
                let expected = match twin.look(offset) {
                    Found::Start(size) => Lookup::Start { size: size as u64, by_handle: false },
                    Found::Inside(at, size) => {
                        Lookup::Inside { start: start(at), size: size as u64 }
                    }
                    Found::Freed => Lookup::Freed,
                    Found::Untracked => Lookup::Untracked,
                };
                assert_eq!(pool.lookup(base.wrapping_add(offset)), expected);
            }
        }
        let stats = pool.stats();
        assert_eq!(stats.current_allocations, twin.live.len() as u64);
        assert_eq!(stats.current_allocated_bytes, twin.bytes() as u64);
        assert_eq!(stats.peak_allocated_bytes, twin.peak as u64);
        assert_eq!(stats.allocations, twin.allocations);
        let kept: usize = twin.quarantine.iter().map(|kept| kept.1).sum();
        assert_eq!(pool.pending_bytes(), kept as u64);
    }
    assert_eq!(pool.check(), Ok(()));
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
