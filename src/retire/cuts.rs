//! Cuts: which recordings are open, what was submitted, and which bags are reached.

use alloc::{collections::VecDeque, vec::Vec};

use super::{
    error::{EndError, SignalError},
    point::{Point, RecordingId, TimelineId},
};

mod told;

/// If there are more cuts than this, they are merged: the newest replaces its predecessor. So a
/// program that submits without ever collecting holds a bounded number of cuts, and drops are
/// released late rather than early.
const MOST_CUTS: usize = 1024;

/// Which recordings are open, what was submitted on each timeline, and how far the GPU has
/// progressed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cuts {
    owner: u32,
    /// The number of recordings begun so far, plus one for the first timeline. This is the bag of a
    /// drop made now.
    begun: u64,
    /// The newest recordings. The front one is open, and the last one has the number `begun`.
    recordings: VecDeque<Recorded>,
    /// The timelines that may still have work, in the order of their numbers.
    timelines: Vec<Track>,
    next_timeline: u32,
    /// The cuts that are not reached yet, in the order of their bags.
    cuts: VecDeque<Cut>,
    /// The values of all `cuts`, in the same order.
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

/// All bags up to `bag` wait for the next `values` values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Cut {
    bag: u64,
    values: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Track {
    number: u32,
    /// The last value assigned to a submission, which may still fail. At least `submitted`.
    assigned: u64,
    /// The last value that was submitted.
    submitted: u64,
    /// The highest value that is known to be signalled. At most `assigned`.
    reached: u64,
    /// Values above `submitted` up to this one will never be submitted.
    burnt: u64,
    open: u32,
    /// Whether the user holds the timeline. Otherwise it is removed when it is idle.
    held: bool,
}

impl Track {
    fn is_idle(&self) -> bool {
        self.reached >= self.submitted
    }

    /// Points up to this value are passed. A point at a burnt value is passed when the greatest
    /// submitted value below it is.
    fn passed(&self) -> u64 {
        if self.is_idle() { self.reached.max(self.burnt) } else { self.reached }
    }
}

impl Cuts {
    /// Creates the state without timelines. `owner` distinguishes this allocator's timelines from
    /// another's.
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

    /// Adds a timeline whose counter is at `value`.
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
            // No recording is open and nothing was submitted, so the first timed bag is reached.
            (self.begun, self.stamped, self.reached) = (1, 1, 1);
        }
        TimelineId { owner: self.owner, number }
    }

    /// Removes a timeline that the user has dropped. Cuts still wait for what was submitted on it.
    pub fn remove_timeline(&mut self, timeline: TimelineId) {
        if let Ok(track) = self.track_mut(timeline) {
            track.held = false;
        }
        self.forget_idle();
    }

    /// Opens a recording. From now on drops wait for it. O(1).
    ///
    /// # Errors
    /// The timeline is not one of these, or has ended.
    pub fn begin(&mut self, timeline: TimelineId) -> Result<RecordingId, EndError> {
        self.track_mut(timeline)?.open += 1;
        self.begun += 1;
        self.recordings.push_back(Recorded { timeline: timeline.number, ended: false });
        Ok(RecordingId { number: self.begun, timeline })
    }

    /// Assigns the value for the next submission on a timeline: one more than all before. A value
    /// whose submission fails is never used again.
    ///
    /// O(1).
    ///
    /// # Errors
    /// The timeline is not one of these, or has ended.
    pub fn assign(&mut self, timeline: TimelineId) -> Result<u64, EndError> {
        let track = self.track_mut(timeline)?;
        track.assigned =
            track.assigned.checked_add(1).ok_or(EndError::NotRising { last: u64::MAX })?;
        Ok(track.assigned)
    }

    /// Notes that the submission which was to signal an assigned value has failed, so nothing will
    /// ever signal it. A point at this value is equivalent to the greatest submitted value below
    /// it.
    pub fn burn(&mut self, timeline: TimelineId, value: u64) {
        if let Ok(track) = self.track_mut(timeline) {
            track.burnt = track.burnt.max(value.min(track.assigned));
        }
    }

    /// The point to wait for instead of a point whose submission failed; any other point unchanged.
    pub fn resolve(&self, point: Point) -> Point {
        match self.track(point.timeline) {
            Some(track) if point.value > track.submitted && point.value <= track.burnt => {
                Point { value: track.submitted, ..point }
            }
            _ => point,
        }
    }

    /// Ends a recording that was submitted and signals `value` when the GPU is done.
    ///
    /// O(timelines), amortised.
    ///
    /// # Errors
    /// The recording has ended already, or the value does not rise. Nothing has changed.
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
    /// The recording has ended already.
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

    /// Stamps the bags that no open recording holds back any more with the last submitted values.
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

    /// Removes the cuts whose values are all signalled.
    fn advance(&mut self) {
        while let Some(&cut) = self.cuts.front() {
            // By index: an iterator over a ring buffer costs more for so few values.
            let unreached = |at| {
                let (number, value) = self.values[at];
                !Self::passed(&self.timelines, number, value)
            };
            if (0..cut.values).any(unreached) {
                break;
            }
            self.cuts.pop_front();
            for _ in 0..cut.values {
                self.values.pop_front();
            }
            self.reached = cut.bag;
        }
    }

    /// A timeline that was removed has done all its work.
    fn passed(timelines: &[Track], number: u32, value: u64) -> bool {
        timelines
            .binary_search_by_key(&number, |track| track.number)
            .map_or(true, |index| timelines[index].reached >= value)
    }

    /// Notes that the counter of a timeline was read as `value`. Returns whether this is new.
    ///
    /// A value above every assigned one proves nothing and is refused; the state is unchanged.
    ///
    /// O(cuts that become reached).
    ///
    /// # Errors
    /// The counter is above every assigned value, which proves nothing, so nothing is released. Or
    /// the timeline is not one of these.
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

    /// Treats everything dropped so far as reached. Recordings stay open for later drops.
    pub fn assume_idle(&mut self) {
        if self.begun == 0 {
            return;
        }
        // Begins a new bag, so that later drops are not covered by the assumption.
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
        self.forget_idle();
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
}

#[cfg(test)]
mod tests;
