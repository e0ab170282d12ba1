//! Entries that wait for explicit points.

use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Ordering;

use super::{
    point::{Point, TimelineId},
    reached::Reached,
};

/// For each timeline, the entries that wait for a point of it, with the earliest point on top, in
/// the order of timelines. A timeline for which nothing waits keeps its memory, which another one
/// may reuse.
#[derive(Debug)]
pub(super) struct DatedEntries<T>(Vec<(TimelineId, BinaryHeap<Dated<T>>)>);

/// An entry that waits for one point, and its other points, those that are reached first.
#[derive(Debug)]
struct Dated<T> {
    point: Point,
    entry: T,
    others: Vec<Point>,
    passed: usize,
}

impl<T> Dated<T> {
    /// Its point is reached: moves on to one that is not. Returns whether none is left.
    fn pass(&mut self, reached: &Reached) -> bool {
        for at in self.passed..self.others.len() {
            if reached.has(self.others[at]) {
                self.others.swap(at, self.passed);
                self.passed += 1;
            }
        }
        let Some(next) = self.others.get_mut(self.passed) else { return true };
        core::mem::swap(next, &mut self.point);
        self.passed += 1;
        false
    }

    /// Undoes a [`pass`](Self::pass) that left points to wait for.
    fn step_back(&mut self) {
        self.passed -= 1;
        core::mem::swap(&mut self.others[self.passed], &mut self.point);
    }
}

/// Within a timeline, the greatest entry is the one with the lowest value.
impl<T> Ord for Dated<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.point.value.cmp(&self.point.value)
    }
}

impl<T> PartialOrd for Dated<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Dated<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Dated<T> {}

impl<T> Default for DatedEntries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> DatedEntries<T> {
    /// Adds an entry under its first point. If the host has no memory, the entry is returned.
    /// O(points + timelines + log n).
    pub(super) fn file(&mut self, first: Point, rest: &[Point], entry: T) -> Result<(), T> {
        let mut others = Vec::new();
        if others.try_reserve_exact(rest.len()).is_err() {
            return Err(entry);
        }
        others.extend_from_slice(rest);
        let filed = self.push(Dated { point: first, entry, others, passed: 0 });
        filed.map_err(|dated| dated.entry)
    }

    fn push(&mut self, dated: Dated<T>) -> Result<(), Dated<T>> {
        let Some(queue) = self.queue(dated.point.timeline) else { return Err(dated) };
        queue.push(dated);
        Ok(())
    }

    /// The queue of a timeline, with room for one more entry.
    fn queue(&mut self, timeline: TimelineId) -> Option<&mut BinaryHeap<Dated<T>>> {
        let place = |all: &[(TimelineId, _)]| all.partition_point(|(id, _)| *id < timeline);
        let mut at = place(&self.0);
        if self.0.get(at).is_none_or(|(id, _)| *id != timeline) {
            let unused = self.0.iter().position(|(_, queue)| queue.is_empty());
            let queue = match unused {
                Some(unused) => self.0.remove(unused).1,
                None => BinaryHeap::new(),
            };
            self.0.try_reserve(1).ok()?;
            at = place(&self.0);
            self.0.insert(at, (timeline, queue));
        }
        let (_, queue) = self.0.get_mut(at)?;
        queue.try_reserve(1).ok()?;
        Some(queue)
    }

    /// Visits at most `room` entries whose point is reached, and moves those that wait for no other
    /// point. Returns whether some are left.
    pub(super) fn take(
        &mut self,
        mut room: usize,
        reached: &Reached,
        out: &mut impl Extend<T>,
    ) -> bool {
        let mut left = false;
        let mut from = Some(Point::FIRST.timeline);
        while let Some(start) = from {
            let at = self.0.partition_point(|(id, _)| *id < start);
            let Some((timeline, queue)) = self.0.get_mut(at) else { break };
            let timeline = *timeline;
            let due = queue.peek().is_some_and(|dated| reached.has(dated.point));
            // If the first point of a timeline is not reached, neither are the later ones.
            from = if due { Some(timeline) } else { timeline.next() };
            if !due {
                continue;
            }
            if room == 0 {
                return true;
            }
            room -= 1;
            let Some(mut dated) = queue.pop() else { continue };
            if dated.pass(reached) {
                out.extend([dated.entry]);
            } else if let Err(mut dated) = self.push(dated) {
                // There is no memory, so the entry goes back to its previous queue, which has room.
                dated.step_back();
                _ = self.push(dated);
                left = true;
                from = timeline.next();
            }
        }
        left
    }

    /// Moves at most `most` entries to `out`, reached or not.
    #[cfg(feature = "vulkan")]
    pub(super) fn take_some(&mut self, most: usize, out: &mut impl Extend<T>) {
        let queues = self.0.iter_mut().flat_map(|(_, queue)| core::iter::from_fn(|| queue.pop()));
        out.extend(queues.take(most).map(|dated| dated.entry));
    }

    /// Moves every entry to `out`, reached or not.
    pub(super) fn take_all(&mut self, out: &mut impl Extend<T>) {
        for (_, queue) in &mut self.0 {
            out.extend(queue.drain().map(|dated| dated.entry));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, queue)| queue.is_empty())
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|(_, queue)| queue.len()).sum()
    }

    /// For each timeline, the first point that an entry waits for, in the order of timelines.
    #[cfg(feature = "vulkan")]
    pub(super) fn first_points(&self) -> impl Iterator<Item = Point> + '_ {
        self.0.iter().filter_map(|(_, queue)| Some(queue.peek()?.point))
    }

    fn all(&self) -> impl Iterator<Item = &Dated<T>> {
        self.0.iter().flat_map(|(_, queue)| queue)
    }

    /// The next point, the number of points after it, and the entry.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Point, usize, &T)> {
        self.all().map(|dated| (dated.point, dated.others.len() - dated.passed, &dated.entry))
    }

    /// The entries whose points are all reached: those points, and the entry.
    #[cfg(feature = "vulkan")]
    pub(super) fn due<'a>(
        &'a self,
        reached: &'a Reached,
    ) -> impl Iterator<Item = (impl Iterator<Item = Point> + 'a, &'a T)> {
        let left = |it: &&Dated<T>| {
            let mut points = [it.point].into_iter().chain(it.others[it.passed..].iter().copied());
            points.all(|point| reached.has(point))
        };
        let due = self.all().filter(left);
        due.map(|it| (it.others.iter().copied().chain([it.point]), &it.entry))
    }

    /// Whether timelines are in order, and each entry is under one of its own points.
    pub(super) fn check(&self) -> bool {
        let rising = self.0.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let mut filed = self.0.iter().flat_map(|(id, queue)| queue.iter().map(move |it| (id, it)));
        rising && filed.all(|(id, dated)| dated.point.timeline == *id)
    }
}
