//! The state of guards: the policy, the findings, and the scrubs in progress.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use ash::vk::Handle;

use super::{
    super::{desc::AllocatorDesc, names::named},
    corruption::Corruption,
    scrub::{NO_MEMORY, ScrubError, Scrubbed},
    sheet::Sheet,
    waiting::Waiting,
    work::Work,
};
use crate::{
    ground::sync::lock,
    guard::{GuardPolicy, GuardedBy},
    policy::select::{MemoryType, bits},
    retire::{BagNumber, Point, TimelineId},
    vulkan::{Compute, Properties},
};

/// The policy, the findings since the last query, and the scrubs in progress.
#[derive(Debug)]
pub(in super::super) struct Guards {
    /// For memory types, and for arenas without a policy of their own.
    pub(in super::super) policy: GuardPolicy,
    /// Whether anything is or was watched.
    pub(super) on: AtomicBool,
    pub(super) by: GuardedBy,
    /// The number of bytes that the host writes back at once in non-coherent memory; 1 if no such
    /// memory is watched.
    pub(super) atom: u64,
    pub(super) quarantine: Quarantine,
    pub(super) found: Mutex<Vec<Corruption>>,
    pub(super) scrubs: Mutex<Scrubs>,
    /// The number of jobs; written under their lock.
    pub(super) jobs: AtomicUsize,
    /// The number of scrubs that ever began, and the number of the oldest one in progress; written
    /// under their lock.
    pub(super) begun: AtomicU64,
    pub(super) oldest: AtomicU64,
    /// The number of scrubs that were recorded, or had nothing to do.
    pub(super) recorded: AtomicU64,
    /// The number of the collect after which the last scrub was recorded.
    pub(super) scrubbed: AtomicU64,
    /// Whether the lack of scrubs was reported.
    pub(super) told: AtomicBool,
    /// The number of allocations whose memory should be zero and may not be.
    pub(super) unzeroed: AtomicU64,
    /// The number of allocations whose memory was reused before the GPU had checked it.
    pub(super) unlooked: AtomicU64,
}

/// How long freed memory rests between the scrub that poisons it and the one that checks it again
/// or, if the host watches, between the collects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quarantine {
    pub(super) scrubs: u32,
    /// The limit per memory type or arena; the oldest entries leave first.
    pub(super) bytes: u64,
}

/// The maximum number of findings that are kept. Further ones are only traced, because the first
/// few suffice to find a frequent bug.
const KEPT: usize = 1024;

impl Guards {
    pub(in super::super) fn new(desc: &AllocatorDesc<'_>, properties: &Properties) -> Self {
        let writes_atoms = |of: &MemoryType| {
            of.flags & (bits::HOST_VISIBLE | bits::HOST_COHERENT) == bits::HOST_VISIBLE
        };
        // A host that watches alone watches only coherent memory.
        let is_watched = desc.guarded_by != GuardedBy::Host;
        let any = is_watched && properties.types.iter().any(writes_atoms);
        Self {
            atom: if any { properties.non_coherent_atom_size } else { 1 },
            policy: desc.guards,
            on: AtomicBool::new(desc.guards.is_on()),
            by: desc.guarded_by,
            quarantine: Quarantine { scrubs: desc.quarantine, bytes: desc.quarantine_bytes },
            found: Mutex::default(),
            scrubs: Mutex::default(),
            jobs: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            oldest: AtomicU64::new(u64::MAX),
            recorded: AtomicU64::new(0),
            scrubbed: AtomicU64::new(0),
            told: AtomicBool::new(false),
            unzeroed: AtomicU64::new(0),
            unlooked: AtomicU64::new(0),
        }
    }

    /// The minimum size of a margin under a policy; 0 without margins.
    pub(in super::super) fn margin(&self, policy: GuardPolicy) -> u64 {
        match policy.margin() {
            0 => 0,
            margin => margin.max(self.atom),
        }
    }

    /// Whether anything is watched.
    pub(in super::super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Begins a scrub on a timeline, and returns its number. There is a place for its job. If an
    /// allocation ends under a lane's lock after the scrub held that lock, it finds this number in
    /// `begun`.
    ///
    /// Two scrubs may work on the same memory. Therefore all scrubs in progress are on one
    /// timeline, whose queue orders them.
    pub(super) fn begin_scrub(&self, timeline: TimelineId) -> Result<u64, ScrubError> {
        let mut scrubs = lock(&self.scrubs);
        let Scrubs { numbers, jobs, .. } = &mut *scrubs;
        if numbers.iter().any(|&(_, of)| of != timeline) {
            return Err(ScrubError::Elsewhere);
        }
        numbers.try_reserve(1).map_err(|_| NO_MEMORY)?;
        let room = (numbers.len() + 1).saturating_sub(jobs.len());
        jobs.try_reserve(room).map_err(|_| NO_MEMORY)?;
        let number = self.begun.load(Ordering::Relaxed) + 1;
        self.begun.store(number, Ordering::Relaxed);
        numbers.push((number, timeline));
        self.publish_oldest(&scrubs);
        Ok(number)
    }

    /// A scrub has ended: the GPU has passed it, or it will never be submitted.
    pub(super) fn end_scrub(&self, number: u64) {
        let mut scrubs = lock(&self.scrubs);
        scrubs.numbers.retain(|&(other, _)| other != number);
        self.publish_oldest(&scrubs);
    }

    fn publish_oldest(&self, scrubs: &Scrubs) {
        let oldest = scrubs.numbers.iter().map(|&(number, _)| number).min().unwrap_or(u64::MAX);
        self.oldest.store(oldest, Ordering::Release);
    }

    /// Whether no scrub that began while the entry was alive still works on its margins.
    pub(super) fn is_left_alone(&self, waiting: &Waiting) -> bool {
        waiting.after < self.oldest.load(Ordering::Acquire)
    }

    /// Whether the GPU watches anything.
    pub(in super::super) fn scrubs(&self) -> bool {
        self.is_on() && self.by != GuardedBy::Host
    }

    /// Reports findings. No lane's lock is held, because a subscriber is user code.
    pub(super) fn report(&self, found: &[Corruption]) {
        if found.is_empty() {
            return;
        }
        for corruption in found {
            let &Corruption { memory_type, offset, words, expected, found, owner, scrub, .. } =
                corruption;
            let memory = corruption.memory.as_raw();
            let allocation = owner.map(|owner| named(owner.name));
            let freed = owner.and_then(|owner| owner.freed);
            let retired = owner.map(|owner| owner.retired).unwrap_or_default();
            let first = retired.points().next();
            let (timeline, value) =
                (first.map(|point| point.timeline().number), first.map(Point::value));
            let others =
                first.map(|_| retired.points().count() as u64 - 1 + u64::from(retired.others()));
            tracing::error!(
                target: crate::events::GUARD,
                memory_type, memory, offset, words, expected, found, scrub, allocation, freed, timeline, value, others,
                "{corruption}"
            );
        }
        let mut kept = lock(&self.found);
        let room = KEPT.saturating_sub(kept.len()).min(found.len());
        if kept.try_reserve(room).is_ok() {
            kept.extend_from_slice(&found[..room]);
        }
    }
}

/// All scrubs of an allocator, behind a lock that is never held across a driver call.
#[derive(Debug, Default)]
pub(super) struct Scrubs {
    pub(super) compute: Option<Compute>,
    pub(super) sheets: Vec<Sheet>,
    /// Submitted, or about to be.
    pub(super) jobs: Vec<Job>,
    /// The numbers of the scrubs in progress, and their timeline.
    pub(super) numbers: Vec<(u64, TimelineId)>,
    /// The total work that was ever recorded.
    pub(super) total: Scrubbed,
}

/// A scrub in progress.
#[derive(Debug)]
pub(super) struct Job {
    /// When this bag is reached, so is the scrub.
    pub(super) bag: BagNumber,
    pub(super) work: Work,
    pub(super) sheet: Sheet,
}
