//! The auditor: detects what has held back memory for long, so that it can be reported by name.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::{
    memory::Entry,
    retire::{Cuts, Point, Reached, TimelineId},
};

/// The number of collects without a change after which the auditor reports; some seconds of frames.
pub(super) const PATIENCE: u32 = 256;

/// What has made no progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    /// The recording with this number is open. It may never be submitted.
    OpenRecording { number: u64 },
    /// A timeline has outstanding work and makes no progress.
    StillTimeline { reached: u64, submitted: u64 },
    /// A counter is above every assigned value.
    Jump { value: u64, assigned: u64 },
}

/// Inspects the cuts at each collect. Each finding is reported once, until something changes.
#[derive(Default)]
pub(super) struct Auditor {
    recording: Watch,
    timelines: Vec<(TimelineId, Watch)>,
    uses: HashMap<Used, SmallVec<[Point; 2]>>,
    /// The number of recorded uses from which on reached ones are dropped.
    most_uses: usize,
}

/// What was used: a lane and a region in it.
pub(super) type Used = (u32, Entry);

#[derive(Default)]
struct Watch {
    value: u64,
    collects: u32,
}

impl Watch {
    /// Whether the value has just been unchanged for long enough.
    fn stands_still(&mut self, value: u64) -> bool {
        if self.value != value {
            *self = Self { value, collects: 0 };
        }
        self.collects = self.collects.saturating_add(1);
        self.collects == PATIENCE
    }
}

impl Auditor {
    /// Records the last use of a region on each timeline. O(1) amortised.
    pub(super) fn record_use(&mut self, used: Used, point: Point, reached: &Reached) {
        if self.uses.len() >= self.most_uses {
            self.uses.retain(|_, points| points.iter().any(|&point| !reached.has(point)));
            self.most_uses = 1024.max(2 * self.uses.len());
        }
        let points = self.uses.entry(used).or_default();
        match points.iter_mut().find(|known| known.timeline() == point.timeline()) {
            Some(known) => *known = point.max(*known),
            None => points.push(point),
        }
    }

    /// Returns a recorded use that is neither reached nor covered by these points. Removes the
    /// recorded uses of the region.
    pub(super) fn overlooked(
        &mut self,
        used: Used,
        points: &[Point],
        reached: &Reached,
    ) -> Option<Point> {
        let covered = |used: Point| {
            reached.has(used)
                || points.iter().any(|p| p.timeline() == used.timeline() && *p >= used)
        };
        self.uses.remove(&used)?.into_iter().find(|&used| !covered(used))
    }

    /// Processes a collect. O(timelines with outstanding work + open recordings).
    pub(super) fn observe(&mut self, cuts: &Cuts) -> SmallVec<[Finding; 2]> {
        let mut findings = SmallVec::new();
        let number = cuts.oldest_recording().unwrap_or(0);
        if self.recording.stands_still(number) && number != 0 {
            findings.push(Finding::OpenRecording { number });
        }
        self.timelines.retain(|(id, _)| cuts.outstanding().any(|point| point.timeline() == *id));
        for point in cuts.outstanding() {
            let (id, submitted) = (point.timeline(), point.value());
            let reached = cuts.progress(id).map_or(0, |(reached, _)| reached);
            let known = self.timelines.iter().position(|(known, _)| *known == id);
            let index = known.unwrap_or_else(|| {
                self.timelines.push((id, Watch { value: reached, collects: 0 }));
                self.timelines.len() - 1
            });
            if self.timelines[index].1.stands_still(reached) {
                findings.push(Finding::StillTimeline { reached, submitted });
            }
        }
        findings
    }
}
