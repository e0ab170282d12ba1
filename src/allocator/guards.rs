//! Guards over blocks that the host sees: fill them, check them, and tell what was found.
//!
//! A range is poisoned after its resource is destroyed and before it is free, so while it is
//! pending and nobody's. Its words are read and written as atomics, through raw pointers: a bug on
//! the GPU, or a check on another thread, may touch them at the same time.

use core::{ops::Range, sync::atomic::AtomicU32};
use std::sync::{Mutex, MutexGuard, atomic::Ordering};

use super::{
    Allocator,
    inner::{Inner, Lane, LaneState},
};
use crate::{
    ground::sync::lock,
    guard::{Corruption, Damage, GuardPolicy, Owner, pattern},
    memory::{Block, Entry, Grave, Tenant},
    tlsf::{Region, State},
    vulkan::Mapping,
};

/// The policy, and what was found since it was last asked.
#[derive(Debug)]
pub(super) struct Guards {
    pub(super) policy: GuardPolicy,
    found: Mutex<Vec<Corruption>>,
}

/// More than this is not kept, only traced: who writes everywhere is found by the first few.
const KEPT: usize = 1024;

impl Guards {
    pub(super) fn new(policy: GuardPolicy) -> Self {
        Self { policy, found: Mutex::default() }
    }

    /// Tells findings, with no lock of a lane held: a subscriber is user code.
    fn report(&self, found: &[Corruption]) {
        if found.is_empty() {
            return;
        }
        for corruption in found {
            tracing::error!(target: "fencepost", "{corruption}");
        }
        let mut kept = lock(&self.found);
        let room = KEPT.saturating_sub(kept.len()).min(found.len());
        kept.extend_from_slice(&found[..room]);
    }
}

/// How much of an allocator's memory its guards watch: counts and bytes of blocks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GuardCoverage {
    /// Blocks that are watched.
    pub guarded_blocks: u64,
    /// Their bytes.
    pub guarded_bytes: u64,
    /// Dedicated memories: one resource fills them.
    pub dedicated_blocks: u64,
    /// Their bytes.
    pub dedicated_bytes: u64,
    /// Blocks that the host does not see, or that are not coherent or not mapped.
    pub unseen_blocks: u64,
    /// Their bytes.
    pub unseen_bytes: u64,
}

/// A region of a watched block.
struct Site {
    mapping: Mapping,
    memory_type: u32,
    region: Range<u64>,
    /// The allocation in it.
    inside: Range<u64>,
    tenant: Tenant,
}

impl Site {
    fn new(lane: &Lane, block: &Block, region: &Region) -> Option<Self> {
        let mapping = watched(lane, block)?;
        let tenant = region.key.map_or_else(Tenant::default, |key| block.tenants.get(key));
        let (offset, size) = tenant.fence.inside(region.offset, region.size);
        Some(Self {
            mapping,
            memory_type: lane.memory_type,
            region: region.offset..region.offset + region.size,
            inside: offset..offset + size,
            tenant,
        })
    }

    fn owner(&self, freed: Option<u64>) -> Owner {
        let Range { start, end } = self.inside;
        Owner { name: self.tenant.name, offset: start, size: end - start, freed }
    }

    /// The margins, before and after.
    fn margins(&self) -> [(Damage, Range<u64>); 2] {
        [
            (Damage::Before, self.region.start..self.inside.start),
            (Damage::After, self.inside.end..self.region.end),
        ]
    }

    /// Checks the margins, if they were ever filled.
    ///
    /// # Safety
    /// As [`verify`].
    unsafe fn check_margins(&self, found: &mut Vec<Corruption>) {
        if !self.tenant.fence.whole {
            return;
        }
        let owner = Some(self.owner(None));
        for (damage, range) in self.margins() {
            // SAFETY: the caller's promise; margins lie inside the region.
            unsafe {
                verify(self.mapping, range, |run| found.push(self.found(damage, owner, run)));
            };
        }
    }

    /// Checks the region for what was written while it was free.
    ///
    /// # Safety
    /// As [`verify`].
    unsafe fn check_poison(&self, block: &Block, found: &mut Vec<Corruption>) {
        let tell = |run: Run| {
            let owner = block.graves.at(run.offset).map(owner_of);
            found.push(self.found(Damage::AfterFree, owner, run));
        };
        // SAFETY: the caller's promise.
        unsafe { verify(self.mapping, self.region.clone(), tell) };
    }

    fn found(&self, damage: Damage, owner: Option<Owner>, run: Run) -> Corruption {
        let Run { offset, words, expected, found } = run;
        let memory_type = self.memory_type;
        Corruption { damage, memory_type, offset, words, expected, found, owner }
    }
}

/// Where a block is mapped, if its guards can be kept.
fn watched(lane: &Lane, block: &Block) -> Option<Mapping> {
    block.mapping.filter(|_| lane.is_coherent() && !block.is_dedicated())
}

impl Inner {
    /// A block is new: nobody has it yet, so it is poisoned as a whole, or reported as unguarded.
    pub(super) fn guard_block(
        &self,
        lane: &Lane,
        size: u64,
        mapping: Option<Mapping>,
        dedicated: bool,
    ) {
        let policy = self.guards.policy;
        if !policy.is_on() {
            return;
        }
        match mapping.filter(|_| lane.is_coherent() && !dedicated) {
            // SAFETY: the mapping has `size` bytes, and is this thread's alone.
            Some(mapping) if policy.poisons() => unsafe { fill(mapping, 0..size & !3) },
            Some(_) => {}
            None => tracing::warn!(
                target: "fencepost", memory_type = lane.memory_type, size, dedicated,
                "a block is unguarded: guards watch shared blocks that the host sees"
            ),
        }
    }

    /// A range was granted, and its owner does not know of it yet: what was written there while it
    /// was free?
    pub(super) fn guard_hand_out(&self, lane: &Lane, entry: Entry) {
        let mut found = Vec::new();
        let mut state = lane.lock();
        let Some(block) = state.blocks.block_mut(entry.slot) else { return };
        let region = block.region(entry.key);
        let Some(site) = region.and_then(|region| Site::new(lane, block, &region)) else { return };
        if self.guards.policy.poisons() {
            // SAFETY: the region lies inside the mapped block, which stays under the lock, and the
            // owner has not got it yet.
            unsafe { site.check_poison(block, &mut found) };
        } else {
            for (_, range) in site.margins() {
                // SAFETY: as above.
                unsafe { fill(site.mapping, range) };
            }
        }
        block.tenants.close_fence(entry.key);
        drop(state);
        self.guards.report(&found);
    }

    /// Allocations end: their entries are pending and in the caller's hands alone, their resources
    /// destroyed. Checks their margins and poisons them, without the lock.
    pub(super) fn guard_ends<'a>(
        &self,
        lane: &'a Lane,
        state: MutexGuard<'a, LaneState>,
        entries: &[Entry],
    ) -> MutexGuard<'a, LaneState> {
        let site = |entry: &Entry| {
            let block = state.blocks.block(entry.slot)?;
            Some((entry.slot, Site::new(lane, block, &block.region(entry.key)?)?))
        };
        let sites: Vec<(u32, Site)> = entries.iter().filter_map(site).collect();
        if sites.is_empty() {
            return state;
        }
        drop(state);
        let mut found = Vec::new();
        for (_, site) in &sites {
            // SAFETY: the region is pending and in hand, so its block and mapping stay, and nobody
            // else may use its bytes.
            unsafe {
                site.check_margins(&mut found);
                if self.guards.policy.poisons() {
                    fill(site.mapping, site.region.clone());
                }
            }
        }
        self.guards.report(&found);
        let mut state = lane.lock();
        if self.guards.policy.poisons() {
            let freed = self.collects.load(Ordering::Relaxed);
            for (slot, site) in sites {
                let Owner { name, offset, size, .. } = site.owner(None);
                if let Some(block) = state.blocks.block_mut(slot) {
                    block.graves.bury(Grave { offset, size, name, freed });
                }
            }
        }
        state
    }

    fn check_lane(&self, lane: &Lane) {
        let mut found = Vec::new();
        let state = lane.lock();
        for (_, block) in state.blocks.iter() {
            for region in block.regions() {
                let Some(site) = Site::new(lane, block, &region) else { break };
                if region.state != State::Free {
                    // SAFETY: the region lies in the mapped block, which stays under the lock.
                    unsafe { site.check_margins(&mut found) };
                } else if self.guards.policy.poisons() {
                    // SAFETY: as above; the region is free.
                    unsafe { site.check_poison(block, &mut found) };
                }
            }
        }
        drop(state);
        self.guards.report(&found);
    }
}

fn owner_of(grave: Grave) -> Owner {
    let Grave { offset, size, name, freed } = grave;
    Owner { name, offset, size, freed: Some(freed) }
}

impl Allocator {
    /// Checks every margin and all poison now, and returns what was found since the last call, here
    /// or when memory was handed out or ended. Each damaged word is repaired, so it is told once.
    ///
    /// For a test's end or a debug key: reads all free memory of the watched blocks, under the lock
    /// of its memory type. Of more than 1024 findings the rest is traced and not kept.
    ///
    /// # Example
    /// ```
    /// # let fake = fencepost::fake::FakeDriver::new(&Default::default());
    /// use fencepost::{Allocator, AllocatorDesc, GuardPolicy};
    /// let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
    ///     .guards(GuardPolicy::Full);
    /// // SAFETY: the fake device outlives the allocator, and no feature is named.
    /// let allocator = unsafe { Allocator::new(&desc) }.expect("a device with memory");
    /// assert!(allocator.check_guards().is_empty());
    /// ```
    pub fn check_guards(&self) -> Vec<Corruption> {
        let inner = self.inner();
        if inner.guards.policy.is_on() {
            inner.lanes().for_each(|lane| inner.check_lane(lane));
        }
        core::mem::take(&mut lock(&inner.guards.found))
    }

    /// How much of the memory is watched. All zero where guards are off. O(blocks).
    pub fn guard_coverage(&self) -> GuardCoverage {
        let mut coverage = GuardCoverage::default();
        let inner = self.inner();
        if !inner.guards.policy.is_on() {
            return coverage;
        }
        for lane in inner.lanes() {
            let state = lane.lock();
            for (_, block) in state.blocks.iter() {
                let c = &mut coverage;
                let (count, bytes) = if block.is_dedicated() {
                    (&mut c.dedicated_blocks, &mut c.dedicated_bytes)
                } else if watched(lane, block).is_some() {
                    (&mut c.guarded_blocks, &mut c.guarded_bytes)
                } else {
                    (&mut c.unseen_blocks, &mut c.unseen_bytes)
                };
                *count += 1;
                *bytes += block.size;
            }
        }
        coverage
    }
}

/// Damaged words in a row.
#[derive(Clone, Copy, Debug)]
struct Run {
    offset: u64,
    words: u64,
    expected: u32,
    found: u32,
}

/// The word of a mapped block at an offset.
///
/// # Safety
/// The mapping has the word's four bytes for the borrow's time.
unsafe fn word<'a>(mapping: Mapping, index: u64) -> &'a AtomicU32 {
    // SAFETY:
    // * the caller keeps the word inside the mapping;
    // * a mapping is aligned to `minMemoryMapAlignment`, 64 at least, so the word is to 4;
    // * every access of this file is atomic; the owner of neighbouring bytes in the same word is
    //   not written over, see `repair`.
    unsafe { AtomicU32::from_ptr(mapping.add(index * 4).as_ptr().as_ptr().cast()) }
}

/// The bits of the word that lie in a range of bytes.
fn mask(index: u64, range: &Range<u64>) -> u32 {
    let first = range.start.saturating_sub(index * 4).min(4) as u32;
    let past = (range.end.saturating_sub(index * 4)).min(4) as u32;
    let below = |bytes: u32| if bytes >= 4 { u32::MAX } else { (1 << (bytes * 8)) - 1 };
    // Byte 0 of a word is its lowest, on every host that has a Vulkan driver.
    below(past) & !below(first)
}

/// Puts the pattern into the masked bits of a word; the others stay what another writes meanwhile.
fn repair(word: &AtomicU32, mask: u32, expected: u32) {
    if mask == u32::MAX {
        word.store(expected, Ordering::Relaxed);
        return;
    }
    word.fetch_and(!mask, Ordering::Relaxed);
    word.fetch_or(expected & mask, Ordering::Relaxed);
}

/// Writes the pattern into a range of bytes.
///
/// # Safety
/// The range lies in the mapping, up to a whole word, and is nobody's.
unsafe fn fill(mapping: Mapping, range: Range<u64>) {
    for index in range.start / 4..range.end.div_ceil(4) {
        // SAFETY: the caller's promise.
        repair(unsafe { word(mapping, index) }, mask(index, &range), pattern(index));
    }
}

/// Compares a range of bytes with the pattern, tells damaged runs of words, and repairs them.
///
/// # Safety
/// As [`fill`].
unsafe fn verify(mapping: Mapping, range: Range<u64>, mut tell: impl FnMut(Run)) {
    let mut run: Option<Run> = None;
    for index in range.start / 4..range.end.div_ceil(4) {
        // SAFETY: the caller's promise.
        let word = unsafe { word(mapping, index) };
        let (mask, expected, found) =
            (mask(index, &range), pattern(index), word.load(Ordering::Relaxed));
        let wrong = (found ^ expected) & mask;
        if wrong == 0 {
            run.take().into_iter().for_each(&mut tell);
            continue;
        }
        repair(word, mask, expected);
        let offset = index * 4 + u64::from(wrong.trailing_zeros() / 8);
        run.get_or_insert(Run { offset, words: 0, expected, found }).words += 1;
    }
    run.into_iter().for_each(tell);
}
