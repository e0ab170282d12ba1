//! A map of the owners in a memory: disjoint segments in address order, each with its owners.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use smallvec::{SmallVec, smallvec};

struct Segment<T> {
    end: u64,
    owners: SmallVec<[T; 1]>,
}

/// A map from ranges of bytes to owners, which may overlap. A look-up costs O(log n + hits): the
/// segments are disjoint, so a long owner cannot be hidden behind a short one.
///
/// ```text
/// a: 0..8, b: 4..12     0────4────8────12
///                       │ a  │ ab │ b  │
/// ```
pub(super) struct Segments<T> {
    map: BTreeMap<u64, Segment<T>>,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Segments { map: BTreeMap::new() }
    }
}

impl<T: Copy + PartialEq> Segments<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The owners that overlap `start..end`, with the segments where they do. An owner appears once
    /// for each of its segments.
    pub(super) fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64, T)> {
        let first = if self.is_free(start, end) { end } else { self.first_before(start) };
        self.map
            .range(first..end)
            .flat_map(|(at, segment)| segment.owners.iter().map(|o| (*at, segment.end, *o)))
    }

    /// Adds `owner` to `start..end`. If the same owner is added again, it counts twice.
    pub(super) fn insert(&mut self, start: u64, end: u64, owner: T) {
        if start >= end {
            return;
        }
        if self.is_free(start, end) {
            self.map.insert(start, Segment { end, owners: smallvec![owner] });
            return;
        }
        self.split(start);
        self.split(end);
        let mut at = start;
        let mut gaps: SmallVec<[(u64, u64); 1]> = SmallVec::new();
        for (from, segment) in self.map.range_mut(start..end) {
            if at < *from {
                gaps.push((at, *from));
            }
            segment.owners.push(owner);
            at = segment.end;
        }
        if at < end {
            gaps.push((at, end));
        }
        for (from, to) in gaps {
            self.map.insert(from, Segment { end: to, owners: smallvec![owner] });
        }
    }

    /// Removes `owner` from `start..end`, once.
    pub(super) fn remove(&mut self, start: u64, end: u64, owner: T) {
        if start >= end {
            return;
        }
        if let Entry::Occupied(entry) = self.map.entry(start) {
            if entry.get().end == end && entry.get().owners[..] == [owner] {
                entry.remove();
                return;
            }
        }
        let mut emptied: SmallVec<[u64; 1]> = SmallVec::new();
        for (from, segment) in self.map.range_mut(start..end) {
            if let Some(position) = segment.owners.iter().position(|o| *o == owner) {
                segment.owners.swap_remove(position);
            }
            if segment.owners.is_empty() {
                emptied.push(*from);
            }
        }
        for from in emptied {
            self.map.remove(&from);
        }
    }

    /// Whether nothing overlaps `start..end`, with one look-up. The answer is usually yes.
    fn is_free(&self, start: u64, end: u64) -> bool {
        start >= end || self.map.range(..end).next_back().is_none_or(|(_, s)| s.end <= start)
    }

    /// The start of the segment that contains `at`, or `at`.
    fn first_before(&self, at: u64) -> u64 {
        match self.map.range(..=at).next_back() {
            Some((from, segment)) if segment.end > at => *from,
            _ => at,
        }
    }

    /// Makes `at` a boundary between segments.
    fn split(&mut self, at: u64) {
        let from = self.first_before(at);
        if from == at {
            return;
        }
        if let Some(left) = self.map.get_mut(&from) {
            let right = Segment { end: left.end, owners: left.owners.clone() };
            left.end = at;
            self.map.insert(at, right);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use crate::ground::random::Random;

    use super::*;

    /// The naive model: every byte with its list of owners.
    #[test]
    fn segments_agree_with_a_list_of_owners_per_byte() {
        let fresh = RandomState::new().hash_one(0);
        println!("fresh seed: {fresh:#x}");
        for seed in [0x9e37_79b9_7f4a_7c15, 1, fresh] {
            agree(seed);
        }
    }

    fn agree(seed: u64) {
        let mut random = Random::new(seed);
        let mut random = |bound: u64| random.below(bound);
        let mut segments = Segments::default();
        let mut bytes = vec![Vec::new(); 64];
        let mut live: Vec<(u64, u64, u64)> = Vec::new();
        for step in 0..4000 {
            if live.len() < 12 && random(2) == 0 {
                let start = random(60);
                let end = start + 1 + random(64 - start - 1).min(20);
                segments.insert(start, end, step);
                bytes[start as usize..end as usize].iter_mut().for_each(|b| b.push(step));
                live.push((start, end, step));
            } else if !live.is_empty() {
                let (start, end, owner) = live.swap_remove(random(live.len() as u64) as usize);
                segments.remove(start, end, owner);
                bytes[start as usize..end as usize]
                    .iter_mut()
                    .for_each(|b| b.retain(|o| *o != owner));
            }
            let start = random(64);
            let end = start + random(64 - start + 1);
            let mut found: Vec<u64> =
                segments.overlapping(start, end).map(|(_, _, owner)| owner).collect();
            let mut wanted = bytes[start as usize..end as usize].concat();
            for list in [&mut found, &mut wanted] {
                list.sort_unstable();
                list.dedup();
            }
            assert_eq!(found, wanted, "step {step}, {start}..{end}");
        }
        for (start, end, owner) in live {
            segments.remove(start, end, owner);
        }
        assert!(segments.is_empty());
    }
}
