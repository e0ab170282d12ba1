//! The register: the cuts, and the sync object behind each timeline.

use std::sync::Arc;

use ash::vk;
use smallvec::SmallVec;

use super::{
    auditor::{Auditor, Finding, Used},
    dependency::{Dependency, Passable},
    desc::AllocatorDesc,
    guards::PassedCuts,
    sync::Sync,
};
use crate::{
    record::{Tape, What},
    retire::{BagNumber, Cuts, EndError, Point, RecordingId, SignalError, TimelineId},
    vulkan::Vulkan,
};

/// All timelines of an allocator, behind one lock that is held briefly, and never across a driver
/// call.
pub(crate) struct Register {
    cuts: Cuts,
    timelines: Vec<Registered>,
    /// Sync objects of finished timelines that another thread still uses in a wait.
    lingering: Vec<Arc<Sync>>,
    /// The number of polls in progress. Until they end, no sync object is handed out for
    /// destruction.
    polls: u32,
    /// Recordings that were dropped while open. They stay open until the user declares that none
    /// will be submitted.
    strays: Vec<RecordingId>,
    auditor: Option<Auditor>,
    /// For the reports of guards.
    passed: Option<PassedCuts>,
    pub(super) tape: Option<Box<Tape>>,
}

struct Registered {
    id: TimelineId,
    queue: vk::Queue,
    held: bool,
    sync: Arc<Sync>,
    jump_reported: bool,
}

/// What to read, outside the lock, to learn the progress of a timeline.
pub(super) enum Counter {
    /// It exists at least until the poll is over.
    Semaphore(vk::Semaphore),
    /// A ring of fences.
    Ring(Arc<Sync>),
}

/// A counter to read in a poll.
pub(super) struct Read {
    pub(super) timeline: TimelineId,
    pub(super) counter: Counter,
    /// The value that was read.
    pub(super) value: Option<u64>,
}

/// The counters to read in a poll.
pub(super) type Polled = SmallVec<[Read; 4]>;

impl Counter {
    fn of(sync: &Arc<Sync>) -> Self {
        match sync.semaphore() {
            Some(semaphore) => Self::Semaphore(semaphore),
            None => Self::Ring(Arc::clone(sync)),
        }
    }

    /// The highest signalled value. One driver call or, for a ring, one per submitted fence.
    ///
    /// # Safety
    /// The device contract, within the poll that gave this out.
    pub(super) unsafe fn read(&self, vulkan: &Vulkan) -> Result<u64, vk::Result> {
        match self {
            // SAFETY: the caller's promise; no sync object goes during a poll.
            Self::Semaphore(semaphore) => unsafe { vulkan.counter_value(*semaphore) },
            // SAFETY: the caller's promise.
            Self::Ring(sync) => unsafe { sync.counter(vulkan) },
        }
    }
}

impl Register {
    pub(super) fn new(owner: u32, desc: &AllocatorDesc<'_>, tape: Option<Box<Tape>>) -> Self {
        Self {
            cuts: Cuts::new(owner),
            timelines: Vec::new(),
            lingering: Vec::new(),
            polls: 0,
            strays: Vec::new(),
            auditor: desc.audit.then(Auditor::default),
            passed: desc.guards.is_on().then(PassedCuts::default),
            tape,
        }
    }

    /// The auditor's findings at a collect.
    pub(super) fn audit(&mut self) -> SmallVec<[Finding; 2]> {
        let cuts = &self.cuts;
        self.auditor.as_mut().map_or_else(SmallVec::new, |auditor| auditor.observe(cuts))
    }

    /// Records a use for the auditor, if there is one.
    pub(super) fn record_use(&mut self, used: Used, point: Point) {
        let reached = self.cuts.reached();
        if let Some(auditor) = &mut self.auditor {
            auditor.record_use(used, point, &reached);
        }
    }

    /// Returns a recorded use that these points do not cover. Removes the recorded uses.
    pub(super) fn overlooked(&mut self, used: Used, points: &[Point]) -> Option<Point> {
        let reached = self.cuts.reached();
        self.auditor.as_mut()?.overlooked(used, points, &reached)
    }

    /// Remembers from now on what bags waited for.
    pub(super) fn remember_cuts(&mut self) {
        self.passed.get_or_insert_default();
    }

    /// What bags waited for, if it is remembered.
    pub(super) fn passed_cuts(&self) -> PassedCuts {
        self.passed.as_ref().map(PassedCuts::copied).unwrap_or_default()
    }

    pub(super) fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    pub(super) fn cuts_mut(&mut self) -> &mut Cuts {
        &mut self.cuts
    }

    /// The handle of open recordings was dropped. If the host has no memory to store this, they
    /// stay open for ever.
    pub(super) fn stray(&mut self, recordings: &[RecordingId]) {
        if self.strays.try_reserve(recordings.len()).is_ok() {
            self.strays.extend_from_slice(recordings);
        }
    }

    /// Everything dropped so far counts as reached, and nothing of a stray recording will be
    /// submitted.
    pub(super) fn assume_idle(&mut self) {
        for recording in core::mem::take(&mut self.strays) {
            // Its handle was dropped, so nobody else can have ended it.
            let _ = self.cuts.abandon(recording);
        }
        self.cuts.assume_idle();
    }

    /// Whether a live timeline exists for this queue.
    pub(super) fn has_queue(&self, queue: vk::Queue) -> bool {
        self.timelines.iter().any(|timeline| timeline.held && timeline.queue == queue)
    }

    pub(super) fn add(&mut self, queue: vk::Queue, sync: Arc<Sync>, value: u64) -> TimelineId {
        let id = self.cuts.add_timeline(value);
        self.timelines.push(Registered { id, queue, held: true, sync, jump_reported: false });
        id
    }

    /// The user dropped the timeline; its sync object stays while work is outstanding.
    pub(super) fn give_up(&mut self, id: TimelineId) {
        self.cuts.remove_timeline(id);
        if let Some(timeline) = self.timelines.iter_mut().find(|timeline| timeline.id == id) {
            timeline.held = false;
        }
    }

    /// Begins a poll: lists the counters of timelines with outstanding work, to be read without the
    /// lock. [`end_poll`](Self::end_poll) ends it.
    #[inline]
    pub(super) fn begin_poll(&mut self, polled: &mut Polled) {
        self.polls += 1;
        for &Registered { id: timeline, ref sync, .. } in &self.timelines {
            if self.cuts.is_busy(timeline) {
                polled.push(Read { timeline, counter: Counter::of(sync), value: None });
            }
        }
    }

    /// Ends a poll. Returns the sync objects of timelines that were dropped and are idle, to be
    /// destroyed outside the lock.
    #[inline]
    pub(super) fn end_poll(&mut self, finished: &mut Vec<Arc<Sync>>) {
        self.polls -= 1;
        let held = self.timelines.iter().all(|timeline| timeline.held);
        if self.polls == 0 && !(held && self.lingering.is_empty()) {
            self.take_finished(finished);
        }
    }

    /// The sync object to wait on for a timeline; `None` once the timeline has ended.
    pub(super) fn sync_of(&self, id: TimelineId) -> Option<Arc<Sync>> {
        self.timelines.iter().find(|timeline| timeline.id == id).map(|t| Arc::clone(&t.sync))
    }

    /// The points after which nothing submitted is outstanding, with the objects to wait on.
    pub(super) fn outstanding(&self) -> Vec<(Point, Arc<Sync>)> {
        self.cuts.outstanding().filter_map(|p| Some((p, self.sync_of(p.timeline())?))).collect()
    }

    /// The points to wait on for a bag, as in [`Cuts::points_of`].
    pub(super) fn waits_of(&self, bag: BagNumber) -> Option<Vec<(Point, Arc<Sync>)>> {
        let points = self.cuts.points_of(bag)?.into_iter();
        Some(points.filter_map(|p| Some((p, self.sync_of(p.timeline())?))).collect())
    }

    /// The oldest cuts that work on this timeline's queue can be ordered after: by a barrier for
    /// the queue's own work, by a wait for other work. Cuts that need the fence of another queue
    /// are excluded.
    pub(super) fn passable(&self, queue: TimelineId, most: usize) -> SmallVec<[Passable; 4]> {
        let sync_of = |id| self.timelines.iter().find(|timeline| timeline.id == id);
        let cuts = self.cuts.stamped().take(most).map_while(|(bag, points)| {
            let mut dependency = Dependency::none();
            for point in &points {
                match point.timeline() {
                    own if own == queue => dependency.barrier = true,
                    other => {
                        let semaphore = sync_of(other)?.sync.semaphore()?;
                        dependency.waits.push((semaphore, point.value()));
                    }
                }
            }
            Some(Passable { bag, points, dependency })
        });
        cuts.collect()
    }

    /// A recording was submitted and signals `value`.
    pub(super) fn submitted(&mut self, id: RecordingId, value: u64) -> Result<Point, EndError> {
        let point = self.cuts.submitted(id, value)?;
        if let Some(tape) = &mut self.tape {
            tape.write(What::Submitted { timeline: point.timeline().number, value });
        }
        Ok(point)
    }

    /// A counter was read. A jump is reported once, unless an open recording may explain it.
    pub(super) fn signalled(&mut self, id: TimelineId, value: u64) -> Option<Finding> {
        if let Some(passed) = &mut self.passed {
            passed.note(&self.cuts);
        }
        let Err(SignalError::Jumped { value, assigned }) = self.cuts.signalled(id, value) else {
            return None;
        };
        let explained = self.cuts.has_open(id);
        let timeline = self.timelines.iter_mut().find(|timeline| timeline.id == id)?;
        if explained || core::mem::replace(&mut timeline.jump_reported, true) {
            return None;
        }
        Some(Finding::Jump { value, assigned })
    }

    #[cold]
    fn take_finished(&mut self, finished: &mut Vec<Arc<Sync>>) {
        finished.append(&mut self.lingering);
        let cuts = &self.cuts;
        self.timelines.retain(|timeline| {
            let alive = cuts.is_alive(timeline.id);
            if !alive {
                finished.push(Arc::clone(&timeline.sync));
            }
            alive
        });
    }

    /// A finished sync object is still in use elsewhere; try again at the next poll.
    pub(super) fn linger(&mut self, sync: Arc<Sync>) {
        self.lingering.push(sync);
    }

    /// All sync objects, at the end of the allocator.
    pub(super) fn take_all(&mut self) -> Vec<Arc<Sync>> {
        let timelines = self.timelines.drain(..).map(|timeline| timeline.sync);
        self.lingering.drain(..).chain(timelines).collect()
    }

    pub(super) fn lose(&mut self) {
        self.cuts.lose();
    }
}
