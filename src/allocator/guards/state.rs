//! What guards keep: the policy, what was found, and the scrubs that are under way.

use std::{
    collections::TryReserveError,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    super::{desc::AllocatorDesc, names::named},
    corruption::Corruption,
    scrub::Scrubbed,
    sheet::Sheet,
    work::Work,
};
use crate::{
    ground::sync::lock,
    guard::{GuardPolicy, GuardedBy},
    retire::{BagNumber, Point},
    vulkan::Compute,
};

/// The policy, what was found since it was last asked, and the scrubs that are under way.
#[derive(Debug)]
pub(in super::super) struct Guards {
    /// Of memory types, and of arenas that have none of their own.
    pub(in super::super) policy: GuardPolicy,
    /// Anything is watched, or was.
    pub(super) on: AtomicBool,
    pub(super) by: GuardedBy,
    pub(super) quarantine: Quarantine,
    pub(super) found: Mutex<Vec<Corruption>>,
    pub(super) scrubs: Mutex<Scrubs>,
    /// How many of them there are; written under their lock.
    pub(super) jobs: AtomicUsize,
    /// The number of the last that was begun; none has 0.
    pub(super) numbers: AtomicU64,
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
    pub(in super::super) fn new(desc: &AllocatorDesc<'_>) -> Self {
        Self {
            policy: desc.guards,
            on: AtomicBool::new(desc.guards.is_on()),
            by: desc.guarded_by,
            quarantine: Quarantine { scrubs: desc.quarantine, bytes: desc.quarantine_bytes },
            found: Mutex::default(),
            scrubs: Mutex::default(),
            jobs: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
            scrubbed: AtomicU64::new(0),
            told: AtomicBool::new(false),
            unzeroed: AtomicU64::new(0),
            unlooked: AtomicU64::new(0),
        }
    }

    /// Whether anything is watched.
    pub(in super::super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
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
            let &Corruption { memory_type, offset, words, expected, found, owner, .. } = corruption;
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
                memory_type, offset, words, expected, found, allocation, freed, timeline, value, others,
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
    /// So many more may become jobs, and there are places for them.
    coming: usize,
    /// All that was ever recorded.
    pub(super) total: Scrubbed,
}

impl Scrubs {
    /// Makes sure that there is a place for one more job.
    pub(super) fn expect_job(&mut self) -> Result<(), TryReserveError> {
        self.jobs.try_reserve(self.coming + 1)?;
        self.coming += 1;
        Ok(())
    }

    /// It does not come.
    pub(super) fn expect_none(&mut self) {
        self.coming -= 1;
    }

    /// It has come.
    pub(super) fn add_job(&mut self, job: Job) {
        self.coming -= 1;
        self.jobs.push(job);
    }
}

/// A scrub on its way.
#[derive(Debug)]
pub(super) struct Job {
    /// Once it is reached, so is the scrub.
    pub(super) bag: BagNumber,
    pub(super) work: Work,
    pub(super) sheet: Sheet,
}
