//! What cuts tell: the bags of now, what is reached and what is waited for; and whether they are whole.

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::super::{
    error::Broken,
    point::{BagNumber, Point, TimelineId},
    reached::Reached,
};
use super::{Cuts, MOST_CUTS};

impl Cuts {
    /// The bag of a drop made now.
    pub fn current(&self) -> BagNumber {
        BagNumber(self.begun)
    }

    /// Bags up to this one are reached.
    pub fn reached_bag(&self) -> BagNumber {
        if self.lost { BagNumber::NEVER } else { BagNumber(self.reached) }
    }

    /// How far everything is, to be carried out of a lock.
    pub fn reached(&self) -> Reached {
        let mut timelines = SmallVec::new();
        for track in &self.timelines {
            timelines.push((track.number, track.passed()));
        }
        let (owner, bag, known, lost) =
            (self.owner, self.reached_bag(), self.next_timeline, self.lost);
        Reached { owner, bag, timelines, known, lost }
    }

    /// The highest value known to be signalled and the last submitted one.
    pub fn progress(&self, timeline: TimelineId) -> Option<(u64, u64)> {
        self.track(timeline).map(|track| (track.reached, track.submitted))
    }

    /// Whether a timeline has work out.
    #[cfg(feature = "vulkan")]
    pub(crate) fn is_busy(&self, timeline: TimelineId) -> bool {
        self.track(timeline).is_some_and(|track| !track.is_idle())
    }

    /// Whether a timeline has an open recording.
    pub fn has_open(&self, timeline: TimelineId) -> bool {
        self.track(timeline).is_some_and(|track| track.open > 0)
    }

    /// Whether a timeline is held by the user or still has work. One that is not may be destroyed.
    pub fn is_alive(&self, timeline: TimelineId) -> bool {
        self.track(timeline).is_some()
    }

    /// How many recordings are open.
    pub fn open_recordings(&self) -> usize {
        self.timelines.iter().map(|track| track.open as usize).sum()
    }

    /// The number of the oldest open recording: what holds back every newer bag.
    pub fn oldest_recording(&self) -> Option<u64> {
        (!self.recordings.is_empty()).then(|| self.begun + 1 - self.recordings.len() as u64)
    }

    /// The last submitted values that are not reached: waiting for them makes all stamped bags
    /// reached.
    ///
    /// O(timelines).
    pub fn outstanding(&self) -> impl Iterator<Item = Point> + '_ {
        self.timelines.iter().filter(|track| !track.is_idle()).map(|track| Point {
            timeline: TimelineId { owner: self.owner, number: track.number },
            value: track.submitted,
        })
    }

    /// The points that a bag waits for: once all are reached, so is the bag. None of them for a bag
    /// that is reached; `None` while a recording that was open at its drops is, or for drops that no
    /// timeline covers. O(cuts).
    pub fn points_of(&self, bag: BagNumber) -> Option<SmallVec<[Point; 4]>> {
        if bag.is_reached(self.reached_bag()) {
            return Some(SmallVec::new());
        }
        if bag == BagNumber::UNTIMED || bag.0 > self.stamped {
            return None;
        }
        let mut first = 0;
        for cut in &self.cuts {
            if cut.bag >= bag.0 {
                return Some(self.waits(self.values.range(first..first + cut.values)));
            }
            first += cut.values;
        }
        None
    }

    /// The cuts that are not reached, oldest first: the newest bag of each, and the points that it and
    /// all older bags since the last cut wait for. O(1) per value.
    pub fn stamped(&self) -> impl Iterator<Item = (BagNumber, SmallVec<[Point; 4]>)> + '_ {
        let mut first = 0;
        self.cuts.iter().map(move |cut| {
            let values = self.values.range(first..first + cut.values);
            first += cut.values;
            (BagNumber(cut.bag), self.waits(values))
        })
    }

    /// The points of a cut that are not reached.
    fn waits<'a>(&self, values: impl Iterator<Item = &'a (u32, u64)>) -> SmallVec<[Point; 4]> {
        let waits =
            values.filter(|&&(number, value)| !Self::passed(&self.timelines, number, value));
        let owner = self.owner;
        waits
            .map(|&(number, value)| Point { timeline: TimelineId { owner, number }, value })
            .collect()
    }

    /// Verifies every invariant. O(everything held).
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        let count = self.recordings.len() as u64;
        let front_open = self.recordings.front().is_none_or(|recorded| !recorded.ended);
        if !front_open || count > self.begun {
            return Err(Broken::Recordings);
        }
        for track in &self.timelines {
            let open = self.recordings.iter().filter(|r| !r.ended && r.timeline == track.number);
            let kept = track.held || track.open > 0 || !track.is_idle();
            if !kept
                || track.submitted > track.assigned
                || track.reached > track.assigned
                || track.burnt > track.assigned
                || open.count() != track.open as usize
            {
                return Err(Broken::Timeline);
            }
        }
        let bags: Vec<u64> = self.cuts.iter().map(|cut| cut.bag).collect();
        let rising = bags.windows(2).all(|pair| pair[0] < pair[1]);
        let values: usize = self.cuts.iter().map(|cut| cut.values).sum();
        let bounded = bags.iter().all(|&bag| self.reached < bag && bag <= self.stamped);
        let stamped = self.reached <= self.stamped && self.stamped <= self.begun;
        if rising && bounded && stamped && values == self.values.len() && bags.len() <= MOST_CUTS {
            Ok(())
        } else {
            Err(Broken::Cuts)
        }
    }
}
