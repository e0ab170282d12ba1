//! Random operations on a list and its twin.

use super::*;

impl World {
    fn alignment(&mut self) -> u64 {
        match self.random.below(24) {
            0 => 1 << self.random.below(41),
            1..4 => 1 << self.random.below(24),
            _ => 1 << self.random.below(12),
        }
    }

    fn insert(&mut self) {
        let kinds =
            [Kind::Shared, Kind::Shared, Kind::Tailored, Kind::Ring, Kind::Stack, Kind::Dedicated];
        let kind = self.random.of(&kinds).unwrap();
        let odd = self.random.below(1000);
        let size = match kind {
            Kind::Dedicated => self.random.log_uniform(1 << 24),
            Kind::Tailored => LARGE + self.random.log_uniform(1 << 24),
            _ => (64 << 10) + self.random.log_uniform(12 << 20) / 1000 * 1000 + odd,
        };
        self.names += 1;
        let memory = vk::DeviceMemory::from_raw(self.names);
        let block = match kind {
            Kind::Dedicated => Block::dedicated(memory, size, None),
            _ => Block::shared(memory, size, None).with_tailored(kind == Kind::Tailored),
        };
        let policy = match kind {
            Kind::Ring => ArenaPolicy::Ring,
            Kind::Stack => ArenaPolicy::DoubleStack,
            _ => ArenaPolicy::Tlsf,
        };
        self.list.reserve(policy).unwrap();
        let slot = self.list.insert(block, policy).unwrap();
        self.list.block_mut(slot).unwrap().empty_since = self.now;
        let home = Home { memory, kind, size, closed: false, held: false, empty_since: self.now };
        assert!(self.homes.insert(slot, home).is_none());
        self.empty.push(slot);
        // It holds the request for which it was made.
        let asked =
            (self.random.log_uniform(size - size % self.granule.min(size)), self.alignment());
        if kind == Kind::Dedicated || self.random.one_in(2) {
            let grant = self.list.allocate_in(slot, End::Lower, asked.0, asked.1);
            assert!(grant.is_some(), "{kind:?} of {size}: {asked:?}");
            let entry = self.take(grant, asked).unwrap();
            self.settle(entry);
        }
        self.did("block comes");
    }

    fn settle(&mut self, entry: Entry) {
        let resource = match self.random.below(3) {
            0 => Resource::Buffer(vk::Buffer::from_raw(entry.key.to_bits())),
            _ => Resource::None,
        };
        let rank = Rank::of(self.random.below(5) as f32 / 4.0).filter(|_| self.random.one_in(3));
        if resource != Resource::None || rank.is_some() {
            self.list.move_in(entry, Tenant { resource, rank, ..Tenant::default() }).unwrap();
            self.ranges.get_mut(&id(entry)).unwrap().resource = resource;
        }
    }

    fn allocate(&mut self) {
        let asked = match self.random.below(8) {
            0 => (self.random.log_uniform(16 << 20), self.alignment()),
            _ => (self.random.log_uniform(1 << 18), self.alignment()),
        };
        let end = if self.random.one_in(2) { End::Lower } else { End::Upper };
        let holds = self.list.holds(end, asked.0, asked.1);
        let grant = self.list.allocate_at(end, asked.0, asked.1);
        assert_eq!(holds, grant.is_some(), "{asked:?}");
        match self.take(grant, asked) {
            Some(entry) => self.settle(entry),
            None => {
                self.check_refusal(asked.0, asked.1);
                self.did("refused");
            }
        }
    }

    fn allocate_anywhere(&mut self) {
        let alignment = match self.random.below(4) {
            0 => 1 << (22 + self.random.below(19)),
            _ => self.alignment(),
        };
        let asked = (self.random.log_uniform(4 << 20), alignment);
        let holds = self.holds_anywhere(asked.0, asked.1);
        assert_eq!(self.list.holds_anywhere(asked.0, asked.1), holds, "{asked:?}");
        let grant = self.list.allocate_anywhere(asked.0, asked.1);
        assert_eq!(grant.is_some(), holds, "{asked:?}");
        match self.take(grant, asked) {
            Some(entry) if self.homes[&entry.slot].closed => self.did("at need, in a closed block"),
            Some(_) => self.did("at need"),
            None => self.did("nowhere"),
        }
    }

    fn free(&mut self) {
        let Some(entry) = self.random.of(&self.where_pending(false)) else { return };
        let home = &self.homes[&entry.slot];
        let is_plain = home.kind == Kind::Shared
            && !home.closed
            && self.in_slot(entry.slot).count() > 1
            && self.ranges[&id(entry)].resource == Resource::None
            && self.list.told == 0;
        if self.random.one_in(2) {
            assert_eq!(self.list.free_plain(entry), is_plain, "if not, nothing changes");
            if is_plain {
                self.end(entry);
                return self.did("plain");
            }
        }
        if self.ranges[&id(entry)].resource != Resource::None {
            assert!(self.list.free(entry).is_none(), "a resource lives there");
            self.take_resource(entry);
        }
        let freed = self.list.free(entry).unwrap();
        assert_eq!(freed, Ok(self.end(entry)));
    }

    fn take_resource(&mut self, entry: Entry) {
        let range = self.ranges.get_mut(&id(entry)).unwrap();
        assert_eq!(self.list.take_resource(entry), core::mem::take(&mut range.resource));
    }

    fn retire(&mut self) {
        for _ in 0..self.random.below(12) {
            let Some(entry) = self.random.of(&self.where_pending(false)) else { return };
            let range = self.ranges.get_mut(&id(entry)).unwrap();
            assert_eq!(self.list.retire(entry), Ok(range.size));
            range.pending = true;
            assert_eq!(self.list.retire(entry), Err(KeyError::AlreadyRetired));
        }
    }

    fn reach(&mut self) {
        let Some(entry) = self.random.of(&self.where_pending(true)) else { return };
        self.take_resource(entry);
        let reached = self.list.reach(entry);
        assert_eq!(reached, Ok(self.end(entry)));
    }

    fn reach_all(&mut self) {
        let mut entries = self.where_pending(true);
        while entries.len() > 1 && !self.random.one_in(8) {
            let at = self.random.below(entries.len() as u64) as usize;
            entries.swap_remove(at);
        }
        let most = if self.random.one_in(4) { usize::MAX } else { 5 };
        if most == usize::MAX {
            entries = self.where_pending(true);
        }
        entries.iter().for_each(|&entry| self.take_resource(entry));
        let before = self.empty.clone();
        let (mut bytes, mut emptied) = (0, Vec::new());
        let given: Vec<Entry> = entries
            .iter()
            .flat_map(|&entry| [Some(entry), self.dead.last().map(|dead| dead.gone())])
            .flatten()
            .collect();
        let reached = self.list.reach_all(&given);
        for &entry in &entries {
            let (size, is_empty) = self.end(entry);
            bytes += size;
            emptied.extend(is_empty.then_some(entry.slot));
        }
        assert_eq!(reached, (entries.len() as u64, bytes));
        // The list determines the order in which they became empty.
        let told = self.list.empty();
        assert_eq!(told[..before.len()], before);
        let mut new = told[before.len()..].to_vec();
        self.empty = told.to_vec();
        new.sort_unstable();
        emptied.sort_unstable();
        assert_eq!(new, emptied);
    }

    fn hold(&mut self) {
        let Some(slot) = self.random.of(&self.slots()) else { return };
        let home = &self.homes[&slot];
        let (split, was_empty) = (home.is_split(), self.in_slot(slot).next().is_none());
        let holes = if split { self.holes(slot) } else { Vec::new() };
        let (keys, first) = self.list.hold(slot).unwrap();
        assert_eq!(first, was_empty && !keys.is_empty());
        let mut held = Vec::new();
        for key in keys {
            let Region { offset, size, state, .. } = self.list.region(Entry { slot, key }).unwrap();
            assert_eq!(state, State::Pending);
            held.push((offset, size));
            let range = Range { slot, offset, size, pending: true, resource: Resource::None };
            self.begin(Entry { slot, key }, range);
        }
        if first {
            self.empty.retain(|&empty| empty != slot);
        }
        if split {
            assert_eq!(held, holes, "all that is free");
        }
        self.did("hold");
    }

    fn slots(&self) -> Vec<u32> {
        self.homes.keys().copied().collect()
    }

    /// Several neighbours go to another owner, if they are all pending, start at the alignment and
    /// are large enough.
    fn take_over(&mut self) {
        let Some(first) = self.random.of(&self.where_pending(true)) else { return };
        let mut of_slot: Vec<(Entry, Range)> =
            self.in_slot(first.slot).map(|(entry, &range)| (entry, range)).collect();
        of_slot.sort_unstable_by_key(|(_, range)| range.offset);
        let at = of_slot.iter().position(|&(entry, _)| entry == first).unwrap();
        let many = 1 + self.random.below(4) as usize;
        let run = &of_slot[at..of_slot.len().min(at + many)];
        let sum: u64 = run.iter().map(|(_, range)| range.size).sum();
        let asked = (self.random.log_uniform(sum + sum / 8), self.alignment());
        let beside =
            run.windows(2).all(|pair| pair[0].1.offset + pair[0].1.size == pair[1].1.offset);
        let fits = run[0].1.offset % asked.1 == 0 && asked.0 <= sum;
        let split = self.homes[&first.slot].is_split();
        let expected = split && beside && fits && run.iter().all(|(_, range)| range.pending);
        let entries: Vec<Entry> = run.iter().map(|&(entry, _)| entry).collect();
        let moves_in = self.random.one_in(2);
        let taken = self.list.take_over(&entries, asked, moves_in);
        assert_eq!(taken.is_some(), expected, "{asked:?} of {run:?}");
        let Some(Heritage { grant, rest, resources }) = taken else {
            return self.did("not taken over");
        };
        assert!(grant.offset == run[0].1.offset && grant.size >= asked.0);
        assert!(!grant.first && grant.memory == self.homes[&first.slot].memory);
        let mut old: Vec<Resource> = run[1..].iter().map(|(_, range)| range.resource).collect();
        old.push(run[0].1.resource);
        assert_eq!(resources.as_slice(), old);
        for &(entry, _) in run {
            self.ranges.remove(&id(entry));
            self.dead.push(entry);
        }
        let range =
            Range { size: grant.size, pending: false, resource: Resource::None, ..run[0].1 };
        self.begin(grant.entry, range);
        let left = sum - grant.size;
        assert_eq!(rest.map_or(0, |rest| self.list.pending_size(rest)), left);
        if let Some(rest) = rest {
            let range =
                Range { offset: grant.offset + grant.size, size: left, pending: true, ..range };
            self.begin(rest, range);
        }
        if moves_in {
            self.settle(grant.entry);
        }
        self.did("taken over");
    }

    fn close_or_open(&mut self) {
        let Some(slot) = self.random.of(&self.slots()) else { return };
        let is_empty = self.in_slot(slot).next().is_none();
        let home = self.homes.get_mut(&slot).unwrap();
        if self.random.one_in(2) {
            let may = home.is_split() && !home.closed && !is_empty;
            assert!(!self.list.close(slot, vk::DeviceMemory::null()), "another's memory");
            assert_eq!(self.list.close(slot, home.memory), may);
            home.closed |= may;
            self.did("close");
        } else {
            self.list.open(slot, home.memory);
            home.closed = false;
        }
    }

    fn remove(&mut self) {
        self.now += self.random.below(8);
        let may: Vec<u32> =
            self.empty.iter().copied().filter(|slot| !self.homes[slot].held).collect();
        let Stay { spare, linger, .. } = self.list.stay;
        let small = |slot: &u32| {
            let home = &self.homes[slot];
            home.kind != Kind::Dedicated && !home.closed && home.size <= spare
        };
        let spare = self.empty.iter().copied().find(small);
        let goes = |slot: &u32| {
            let home = &self.homes[slot];
            let lingered = home.empty_since + linger <= self.now;
            home.kind == Kind::Dedicated || home.closed || spare != Some(*slot) && lingered
        };
        let age =
            |slot: &u32| (self.homes[slot].empty_since, core::cmp::Reverse(self.homes[slot].size));
        let (gone, expected): (Vec<Block>, Vec<u32>) = match self.random.below(12) {
            0 => (self.list.remove_empty(), may),
            1..4 => (
                self.list.remove_oldest().into_iter().collect(),
                may.into_iter().min_by_key(age).into_iter().collect(),
            ),
            _ => (self.list.remove_expired(self.now), may.into_iter().filter(goes).collect()),
        };
        let expected: Vec<_> = expected.iter().map(|slot| self.homes[slot].memory).collect();
        assert_eq!(gone.iter().map(|block| block.memory).collect::<Vec<_>>(), expected);
        gone.into_iter().for_each(|block| self.go(block));
    }

    fn rank(&mut self) {
        if let Some(entry) = self.random.of(&self.where_pending(false)) {
            let rank =
                Rank::of(self.random.below(5) as f32 / 4.0).filter(|_| !self.random.one_in(4));
            self.list.set_rank(entry, rank);
        }
        for (&slot, home) in &mut self.homes {
            if home.held && !self.random.one_in(3) {
                home.held = false;
                self.list.let_go(slot);
            }
        }
        for (slot, memory, _) in self.list.take_ranks(self.random.below(4) as usize) {
            let home = self.homes.get_mut(&slot).unwrap();
            assert!(home.memory == memory && !home.held);
            home.held = true;
        }
        self.did("rank");
    }

    /// A key whose range has ended names nothing, whatever has come to its slot since.
    fn misuse(&mut self) {
        for _ in 0..4 {
            let Some(dead) = self.random.of(&self.dead) else { return };
            assert!(self.list.used(dead).is_err() && self.list.region(dead).is_none());
            assert!(self.list.retire(dead).is_err() && self.list.reach(dead).is_err());
            assert!(!self.list.free_plain(dead));
            // None if another key with this index has a resource in another block.
            assert!(self.list.free(dead).is_none_or(|freed| freed.is_err()));
        }
    }

    pub(super) fn step(&mut self) {
        match self.random.below(64) {
            0..4 if self.homes.len() < 16 => self.insert(),
            4..24 => self.allocate(),
            24..28 => self.allocate_anywhere(),
            28..37 => self.free(),
            37..42 => self.retire(),
            42..46 => self.reach(),
            46..48 => self.reach_all(),
            48 => self.hold(),
            49..53 => self.take_over(),
            53..56 => self.close_or_open(),
            56..59 => self.remove(),
            59 => self.rank(),
            _ => self.misuse(),
        }
    }
}
