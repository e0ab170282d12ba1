//! What guards keep: the policy, what was found, and the scrubs that are under way.

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

/// The policy, what was found since it was last asked, and the scrubs that are under way.
#[derive(Debug)]
pub(in super::super) struct Guards {
    /// Of memory types, and of arenas that have none of their own.
    pub(in super::super) policy: GuardPolicy,
    /// Anything is watched, or was.
    pub(super) on: AtomicBool,
    pub(super) by: GuardedBy,
    /// The host writes whole ones of so many bytes back, in memory that is not coherent; 1 where there is none that
    /// is watched.
    pub(super) atom: u64,
    pub(super) quarantine: Quarantine,
    pub(super) found: Mutex<Vec<Corruption>>,
    pub(super) scrubs: Mutex<Scrubs>,
    /// How many of them there are; written under their lock.
    pub(super) jobs: AtomicUsize,
    /// How many scrubs ever began, and the number of the oldest that is not over; written under their lock.
    pub(super) begun: AtomicU64,
    pub(super) oldest: AtomicU64,
    /// How many were recorded, or had nothing to do.
    pub(super) recorded: AtomicU64,
    /// The number of the collect after which the last was recorded.
    pub(super) scrubbed: AtomicU64,
    /// It was told that none is.
    pub(super) told: AtomicBool,
    /// Allocations of memory that was to read zero and may not.
    pub(super) unzeroed: AtomicU64,
    /// Allocations whose memory the GPU was to look at, and that came back before.
    pub(super) unlooked: AtomicU64,
}

/// How long what ended rests between the scrub that poisons it and the one that looks again; where the
/// host watches, between the collects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quarantine {
    pub(super) scrubs: u32,
    /// Of a memory type or arena; the oldest go first.
    pub(super) bytes: u64,
}

/// More than this is not kept, only traced: who writes everywhere is found by the first few.
const KEPT: usize = 1024;

impl Guards {
    pub(in super::super) fn new(desc: &AllocatorDesc<'_>, properties: &Properties) -> Self {
        let writes_atoms = |of: &MemoryType| {
            of.flags & (bits::HOST_VISIBLE | bits::HOST_COHERENT) == bits::HOST_VISIBLE
        };
        // The host alone watches coherent memory alone.
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

    /// The least bytes of a margin under a policy; 0 without margins.
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

    /// A scrub of a timeline begins to look for work: its number. There is a place for its job. Whoever ends under a
    /// lane's lock that it had before finds the number in `begun`.
    ///
    /// What one scrub works on another may work on too, so they are of one timeline, whose queue orders them.
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

    /// A scrub is over: the GPU has passed it, or it never will be submitted.
    pub(super) fn end_scrub(&self, number: u64) {
        let mut scrubs = lock(&self.scrubs);
        scrubs.numbers.retain(|&(other, _)| other != number);
        self.publish_oldest(&scrubs);
    }

    fn publish_oldest(&self, scrubs: &Scrubs) {
        let oldest = scrubs.numbers.iter().map(|&(number, _)| number).min().unwrap_or(u64::MAX);
        self.oldest.store(oldest, Ordering::Release);
    }

    /// Whether no scrub works on an entry's margins any more that began while it lived.
    pub(super) fn is_left_alone(&self, waiting: &Waiting) -> bool {
        waiting.after < self.oldest.load(Ordering::Acquire)
    }

    /// Whether the GPU watches anything.
    pub(in super::super) fn scrubs(&self) -> bool {
        self.is_on() && self.by != GuardedBy::Host
    }

    /// Tells findings, with no lock of a lane held: a subscriber is user code.
    pub(super) fn report(&self, found: &[Corruption]) {
        if found.is_empty() {
            return;
        }
        for corruption in found {
            let &Corruption { memory_type, memory, offset, words, expected, found, owner, .. } =
                corruption;
            let memory = memory.as_raw();
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
                memory_type, memory, offset, words, expected, found, allocation, freed, timeline, value, others,
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

/// All scrubs of an allocator. Behind a lock that no driver call is made under.
#[derive(Debug, Default)]
pub(super) struct Scrubs {
    pub(super) compute: Option<Compute>,
    pub(super) sheets: Vec<Sheet>,
    /// Submitted, or about to be.
    pub(super) jobs: Vec<Job>,
    /// The numbers of those that are not over, and their timeline.
    pub(super) numbers: Vec<(u64, TimelineId)>,
    /// All that was ever recorded.
    pub(super) total: Scrubbed,
}

/// A scrub on its way.
#[derive(Debug)]
pub(super) struct Job {
    /// Once it is reached, so is the scrub.
    pub(super) bag: BagNumber,
    pub(super) work: Work,
    pub(super) sheet: Sheet,
}
