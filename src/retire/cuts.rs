//! Cuts: which recordings are open, what was submitted, and which bags are reached.

use alloc::{collections::VecDeque, vec::Vec};

use smallvec::SmallVec;

use super::{
    error::{Broken, EndError, SignalError},
    point::{BagNumber, Point, RecordingId, TimelineId},
    reached::Reached,
};

/// More cuts than this are merged: the newest takes the place of its predecessor, so a program that
/// submits without ever collecting holds a bounded number, released late rather than early.
const MOST_CUTS: usize = 1024;

/// Which recordings are open, what was submitted on each timeline, and how far the GPU is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cuts {
    owner: u32,
    /// Recordings begun so far, plus one for the first timeline: the bag of a drop made now.
    begun: u64,
    /// The newest recordings; the front one is open. The last one has the number `begun`.
    recordings: VecDeque<Recorded>,
    /// Timelines that may still have work, by rising number.
    timelines: Vec<Track>,
    next_timeline: u32,
    /// Cuts not yet reached, by rising bag.
    cuts: VecDeque<Cut>,
    /// The values of all `cuts`, in their order.
    values: VecDeque<(u32, u64)>,
    /// Bags up to this one have been stamped.
    stamped: u64,
    /// Bags up to this one are reached.
    reached: u64,
    lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Recorded {
    timeline: u32,
    ended: bool,
}

/// All bags up to `bag` wait for `values` values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Cut {
    bag: u64,
    values: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Track {
    number: u32,
    /// The last value given to a submission that may still fail. At least `submitted`.
    assigned: u64,
    /// The last value that was submitted.
    submitted: u64,
    /// The highest value known to be signalled. At most `assigned`.
    reached: u64,
    /// Values above `submitted` up to this one will never be submitted.
    burnt: u64,
    open: u32,
    /// The user holds it. Without a holder it goes once it is idle.
    held: bool,
}

impl Track {
    fn is_idle(&self) -> bool {
        self.reached >= self.submitted
    }

    /// Points up to this value are passed. A burnt one is when the greatest submitted below it is.
    fn passed(&self) -> u64 {
        if self.is_idle() { self.reached.max(self.burnt) } else { self.reached }
    }
}

impl Cuts {
    /// No timelines. `owner` tells this allocator's timelines from another's.
    pub const fn new(owner: u32) -> Self {
        Self {
            owner,
            begun: 0,
            recordings: VecDeque::new(),
            timelines: Vec::new(),
            next_timeline: 0,
            cuts: VecDeque::new(),
            values: VecDeque::new(),
            stamped: 0,
            reached: 0,
            lost: false,
        }
    }

    /// Adds a timeline whose counter stands at `value`.
    ///
    /// O(1).
    pub fn add_timeline(&mut self, value: u64) -> TimelineId {
        let number = self.next_timeline;
        self.next_timeline += 1;
        self.timelines.push(Track {
            number,
            assigned: value,
            submitted: value,
            reached: value,
            burnt: value,
            open: 0,
            held: true,
        });
        if self.begun == 0 {
            // Nothing is open and nothing submitted: the first timed bag is reached.
            (self.begun, self.stamped, self.reached) = (1, 1, 1);
        }
        TimelineId { owner: self.owner, number }
    }

    /// The user gave the timeline up. Cuts go on waiting for what was submitted on it.
    pub fn remove_timeline(&mut self, timeline: TimelineId) {
        if let Ok(track) = self.track_mut(timeline) {
            track.held = false;
        }
        self.forget_idle();
    }

    /// Opens a recording: from here on, drops wait for it. O(1).
    ///
    /// # Errors
    /// A timeline that is not one of these, or has ended.
    pub fn begin(&mut self, timeline: TimelineId) -> Result<RecordingId, EndError> {
        self.track_mut(timeline)?.open += 1;
        self.begun += 1;
        self.recordings.push_back(Recorded { timeline: timeline.number, ended: false });
        Ok(RecordingId { number: self.begun, timeline })
    }

    /// The value for the next submission on a timeline: one above all before. A value whose
    /// submission fails is never used again.
    ///
    /// O(1).
    ///
    /// # Errors
    /// A timeline that is not one of these, or has ended.
    pub fn assign(&mut self, timeline: TimelineId) -> Result<u64, EndError> {
        let track = self.track_mut(timeline)?;
        track.assigned =
            track.assigned.checked_add(1).ok_or(EndError::NotRising { last: u64::MAX })?;
        Ok(track.assigned)
    }

    /// The submission that was to signal an assigned value has failed: nothing ever will. A point
    /// there is as good as the greatest submitted one below it.
    pub fn burn(&mut self, timeline: TimelineId, value: u64) {
        if let Ok(track) = self.track_mut(timeline) {
            track.burnt = track.burnt.max(value.min(track.assigned));
        }
    }

    /// What to wait for in place of a point whose submission failed; any other point as it is.
    pub fn resolve(&self, point: Point) -> Point {
        match self.track(point.timeline) {
            Some(track) if point.value > track.submitted && point.value <= track.burnt => {
                Point { value: track.submitted, ..point }
            }
            _ => point,
        }
    }

    /// Ends a recording: it was submitted and signals `value` when done.
    ///
    /// O(timelines), amortised.
    ///
    /// # Errors
    /// A recording that has ended; a value that does not rise. Nothing has changed.
    pub fn submitted(&mut self, recording: RecordingId, value: u64) -> Result<Point, EndError> {
        self.find_open(recording)?;
        let track = self.track_mut(recording.timeline)?;
        if value <= track.submitted {
            return Err(EndError::NotRising { last: track.submitted });
        }
        track.submitted = value;
        track.assigned = track.assigned.max(value);
        self.end(recording)?;
        Ok(Point { timeline: recording.timeline, value })
    }

    /// Ends a recording that will never be submitted.
    ///
    /// O(timelines), amortised.
    ///
    /// # Errors
    /// A recording that has ended.
    pub fn abandon(&mut self, recording: RecordingId) -> Result<(), EndError> {
        self.end(recording)
    }

    fn find_open(&mut self, recording: RecordingId) -> Result<&mut Recorded, EndError> {
        let oldest = self.begun + 1 - self.recordings.len() as u64;
        let index = recording.number.checked_sub(oldest).ok_or(EndError::Ended)?;
        let index = usize::try_from(index).map_err(|_| EndError::Ended)?;
        match self.recordings.get_mut(index) {
            Some(recorded) if !recorded.ended => Ok(recorded),
            _ => Err(EndError::Ended),
        }
    }

    fn end(&mut self, recording: RecordingId) -> Result<(), EndError> {
        self.find_open(recording)?.ended = true;
        if let Ok(track) = self.track_mut(recording.timeline) {
            track.open -= 1;
        }
        while self.recordings.front().is_some_and(|recorded| recorded.ended) {
            self.recordings.pop_front();
        }
        self.stamp();
        self.forget_idle();
        Ok(())
    }

    /// Stamps the bags that no open recording holds back any more, with the last submitted values.
    fn stamp(&mut self) {
        let closed = self.begun - self.recordings.len() as u64;
        if closed <= self.stamped {
            return;
        }
        self.stamped = closed;
        let due = self.timelines.iter().filter(|track| !track.is_idle());
        let cut: usize = due.clone().count();
        let same = self.cuts.back().is_some_and(|last| {
            let tail = self.values.range(self.values.len() - last.values..);
            last.values == cut && due.clone().zip(tail).all(|(a, b)| (a.number, a.submitted) == *b)
        });
        if !same {
            if self.cuts.len() == MOST_CUTS {
                if let Some(last) = self.cuts.pop_back() {
                    self.values.truncate(self.values.len() - last.values);
                }
            }
            self.values.extend(due.map(|track| (track.number, track.submitted)));
            self.cuts.push_back(Cut { bag: closed, values: cut });
        } else if let Some(last) = self.cuts.back_mut() {
            last.bag = closed;
        }
        self.advance();
    }

    /// Pops the cuts whose values are all signalled.
    fn advance(&mut self) {
        while let Some(&cut) = self.cuts.front() {
            let unreached =
                |&(number, value): &(u32, u64)| !Self::passed(&self.timelines, number, value);
            if self.values.range(..cut.values).any(unreached) {
                break;
            }
            self.cuts.pop_front();
            self.values.drain(..cut.values);
            self.reached = cut.bag;
        }
    }

    /// A timeline that is gone has done all its work.
    fn passed(timelines: &[Track], number: u32, value: u64) -> bool {
        timelines
            .binary_search_by_key(&number, |track| track.number)
            .map_or(true, |index| timelines[index].reached >= value)
    }

    /// The timeline's counter was read as `value`. Returns whether that is news.
    ///
    /// A value above everything assigned proves nothing and is refused; what was known stays.
    ///
    /// O(cuts that come to be reached).
    ///
    /// # Errors
    /// A counter above every assigned value: it proves nothing, and nothing is released. A timeline that is
    /// not one of these.
    pub fn signalled(&mut self, timeline: TimelineId, value: u64) -> Result<bool, SignalError> {
        let track = self.track_mut(timeline).map_err(|_| SignalError::UnknownTimeline)?;
        if value > track.assigned {
            return Err(SignalError::Jumped { value, assigned: track.assigned });
        }
        let news = value > track.reached;
        if news {
            track.reached = value;
            self.advance();
            self.forget_idle();
        }
        Ok(news)
    }

    fn forget_idle(&mut self) {
        self.timelines.retain(|track| track.held || track.open > 0 || !track.is_idle());
    }

    /// Everything dropped so far is taken as reached; recordings stay open for what comes.
    pub fn assume_idle(&mut self) {
        if self.begun == 0 {
            return;
        }
        // A new bag, so that later drops are not part of what was assumed.
        self.begun += 1;
        self.recordings.push_back(Recorded { timeline: u32::MAX, ended: true });
        while self.recordings.front().is_some_and(|recorded| recorded.ended) {
            self.recordings.pop_front();
        }
        self.cuts.clear();
        self.values.clear();
        self.reached = self.begun - 1;
        self.stamped = self.stamped.max(self.reached);
        for track in &mut self.timelines {
            track.reached = track.reached.max(track.submitted);
        }
        self.forget_idle();
        self.stamp();
    }

    /// The device is lost: nothing executes any more, so everything counts as reached.
    pub fn lose(&mut self) {
        self.lost = true;
        self.cuts.clear();
        self.values.clear();
        for track in &mut self.timelines {
            track.reached = track.reached.max(track.submitted);
        }
    }

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
        Reached {
            owner: self.owner,
            bag: self.reached_bag(),
            timelines: self.timelines.iter().map(|track| (track.number, track.passed())).collect(),
            known: self.next_timeline,
            lost: self.lost,
        }
    }

    /// The highest value known to be signalled and the last submitted one.
    pub fn progress(&self, timeline: TimelineId) -> Option<(u64, u64)> {
        self.track(timeline).map(|track| (track.reached, track.submitted))
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
        self.recordings.iter().filter(|recorded| !recorded.ended).count()
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

    fn track(&self, timeline: TimelineId) -> Option<&Track> {
        if timeline.owner != self.owner {
            return None;
        }
        let index = self.timelines.binary_search_by_key(&timeline.number, |track| track.number);
        index.ok().and_then(|index| self.timelines.get(index))
    }

    fn track_mut(&mut self, timeline: TimelineId) -> Result<&mut Track, EndError> {
        if timeline.owner != self.owner {
            return Err(EndError::UnknownTimeline);
        }
        let index = self.timelines.binary_search_by_key(&timeline.number, |track| track.number);
        match index {
            Ok(index) => Ok(&mut self.timelines[index]),
            Err(_) => Err(EndError::UnknownTimeline),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_nothing_open_and_nothing_submitted_a_drop_is_reached_at_once() {
        let mut cuts = Cuts::new(1);
        assert_eq!(cuts.current(), BagNumber::UNTIMED);
        cuts.add_timeline(0);
        assert!(cuts.current() <= cuts.reached_bag());
    }

    #[test]
    fn an_open_recording_holds_back_drops_and_an_abandoned_one_does_not() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let recording = cuts.begin(timeline).unwrap();
        let bag = cuts.current();
        assert!(bag > cuts.reached_bag());
        cuts.abandon(recording).unwrap();
        assert!(bag <= cuts.reached_bag());
        assert_eq!(cuts.abandon(recording), Err(EndError::Ended));
        cuts.check().unwrap();
    }

    #[test]
    fn an_idle_timeline_holds_nothing_back() {
        let mut cuts = Cuts::new(1);
        let (busy, _idle) = (cuts.add_timeline(0), cuts.add_timeline(0));
        let recording = cuts.begin(busy).unwrap();
        let bag = cuts.current();
        let value = cuts.assign(busy).unwrap();
        cuts.submitted(recording, value).unwrap();
        assert!(bag > cuts.reached_bag());
        cuts.signalled(busy, value).unwrap();
        assert!(bag <= cuts.reached_bag());
    }

    #[test]
    fn a_counter_above_what_was_assigned_releases_nothing() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let recording = cuts.begin(timeline).unwrap();
        let bag = cuts.current();
        let value = cuts.assign(timeline).unwrap();
        cuts.submitted(recording, value).unwrap();
        for jump in [2, u64::MAX] {
            let error = SignalError::Jumped { value: jump, assigned: 1 };
            assert_eq!(cuts.signalled(timeline, jump), Err(error));
            assert!(bag > cuts.reached_bag());
        }
    }

    #[test]
    fn a_timeline_given_up_still_holds_its_drops_back() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let recording = cuts.begin(timeline).unwrap();
        let bag = cuts.current();
        let value = cuts.assign(timeline).unwrap();
        let point = cuts.submitted(recording, value).unwrap();
        cuts.remove_timeline(timeline);
        assert!(bag > cuts.reached_bag() && cuts.is_alive(timeline) && !cuts.reached().has(point));
        cuts.signalled(timeline, value).unwrap();
        assert!(bag <= cuts.reached_bag() && !cuts.is_alive(timeline) && cuts.reached().has(point));
    }

    #[test]
    fn a_program_that_never_collects_holds_a_bounded_number_of_cuts() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let mut last = cuts.current();
        for _ in 0..3 * MOST_CUTS as u64 {
            let recording = cuts.begin(timeline).unwrap();
            last = cuts.current();
            let value = cuts.assign(timeline).unwrap();
            cuts.submitted(recording, value).unwrap();
        }
        cuts.check().unwrap();
        cuts.signalled(timeline, 3 * MOST_CUTS as u64 - 1).unwrap();
        assert!(last > cuts.reached_bag());
        cuts.signalled(timeline, 3 * MOST_CUTS as u64).unwrap();
        assert!(last <= cuts.reached_bag());
    }

    #[test]
    fn a_bag_waits_for_exactly_the_points_that_are_not_reached() {
        let mut cuts = Cuts::new(1);
        let (a, b) = (cuts.add_timeline(0), cuts.add_timeline(0));
        let submit = |cuts: &mut Cuts, timeline| {
            let recording = cuts.begin(timeline).unwrap();
            let bag = cuts.current();
            assert_eq!(cuts.points_of(bag), None, "its recording is open");
            let value = cuts.assign(timeline).unwrap();
            (bag, cuts.submitted(recording, value).unwrap())
        };
        let (first, one) = submit(&mut cuts, a);
        let (second, two) = submit(&mut cuts, b);
        assert_eq!(cuts.points_of(first).unwrap().as_slice(), [one]);
        assert_eq!(cuts.points_of(second).unwrap().as_slice(), [one, two]);
        let stamped: Vec<_> = cuts.stamped().map(|(bag, points)| (bag, points.to_vec())).collect();
        assert_eq!(stamped, [(first, vec![one]), (second, vec![one, two])]);
        cuts.signalled(b, 1).unwrap();
        assert_eq!(cuts.points_of(second).unwrap().as_slice(), [one]);
        cuts.signalled(a, 1).unwrap();
        assert!(cuts.points_of(second).unwrap().is_empty());
        assert_eq!(cuts.points_of(BagNumber::UNTIMED), None);
    }

    #[test]
    fn a_burnt_point_resolves_to_the_greatest_submitted_below_it() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let recording = cuts.begin(timeline).unwrap();
        let value = cuts.assign(timeline).unwrap();
        let below = cuts.submitted(recording, value).unwrap();
        let again = cuts.begin(timeline).unwrap();
        let burnt = Point::new(timeline, cuts.assign(timeline).unwrap());
        assert_eq!(cuts.resolve(burnt), burnt, "it may still be submitted");
        cuts.burn(timeline, burnt.value());
        assert_eq!((cuts.resolve(burnt), cuts.resolve(below)), (below, below));
        assert!(!cuts.reached().has(burnt));
        cuts.signalled(timeline, below.value()).unwrap();
        assert!(cuts.reached().has(burnt));
        // A later one is not passed with it, and one that was submitted covers what was burnt.
        let next = Point::new(timeline, cuts.assign(timeline).unwrap());
        assert!(!cuts.reached().has(next));
        cuts.submitted(again, next.value()).unwrap();
        assert!(!cuts.reached().has(burnt), "late by at most one point");
        cuts.check().unwrap();
    }

    #[test]
    fn external_values_must_rise() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(41);
        let recording = cuts.begin(timeline).unwrap();
        assert_eq!(cuts.submitted(recording, 41), Err(EndError::NotRising { last: 41 }));
        assert_eq!(cuts.submitted(recording, 50).unwrap().value(), 50);
        cuts.check().unwrap();
    }

    #[test]
    fn assumed_idle_frees_what_was_dropped_but_not_what_is_dropped_next() {
        let mut cuts = Cuts::new(1);
        let timeline = cuts.add_timeline(0);
        let recording = cuts.begin(timeline).unwrap();
        let before = cuts.current();
        cuts.assume_idle();
        let after = cuts.current();
        assert!(before <= cuts.reached_bag() && after > cuts.reached_bag());
        let value = cuts.assign(timeline).unwrap();
        cuts.submitted(recording, value).unwrap();
        assert!(after > cuts.reached_bag());
        cuts.signalled(timeline, value).unwrap();
        assert!(after <= cuts.reached_bag());
        cuts.check().unwrap();
    }
}
