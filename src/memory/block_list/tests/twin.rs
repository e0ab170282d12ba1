//! A list of blocks beside a naive one: ranges in no order, and a walk for every question.

use std::collections::{BTreeMap, BTreeSet};

use ash::vk::Handle;

use super::*;
use crate::{
    ground::published::Published,
    memory::{ArenaPolicy, End, grant::Heritage},
    tlsf::room_of,
};

/// From which size on requests are large.
const LARGE: u64 = 1 << 20;

/// The linear congruential generator of Knuth's MMIX, its upper half.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn of<T: Copy>(&mut self, some: &[T]) -> Option<T> {
        if some.is_empty() { None } else { Some(some[self.below(some.len() as u64) as usize]) }
    }

    /// Of all magnitudes up to a bound, 1 at least.
    fn size(&mut self, bound: u64) -> u64 {
        let power = self.below(u64::from(bound.ilog2()) + 1);
        1 + self.below((bound >> power).max(1))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Shared,
    Tailored,
    Ring,
    Stack,
    Dedicated,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    slot: u32,
    offset: u64,
    size: u64,
    pending: bool,
    resource: Resource,
}

#[derive(Debug)]
struct Home {
    memory: vk::DeviceMemory,
    kind: Kind,
    size: u64,
    closed: bool,
    /// It is in the driver's hands.
    held: bool,
    empty_since: u64,
}

impl Home {
    fn is_split(&self) -> bool {
        matches!(self.kind, Kind::Shared | Kind::Tailored)
    }
}

/// Both lists.
struct World {
    list: BlockList,
    random: Random,
    granule: u64,
    homes: BTreeMap<u32, Home>,
    /// What lives or waits, by key.
    ranges: BTreeMap<(u32, u64), Range>,
    /// The empty ones, in the order in which they became so.
    empty: Vec<u32>,
    /// Keys that are over.
    dead: Vec<Entry>,
    /// All keys that ever were.
    given: BTreeSet<(u32, u64)>,
    names: u64,
    now: u64,
    /// How often each kind of thing was done.
    done: BTreeMap<&'static str, u32>,
}

fn id(entry: Entry) -> (u32, u64) {
    (entry.slot, entry.key.to_bits())
}

fn entry((slot, bits): (u32, u64)) -> Entry {
    Entry { slot, key: Key::from_bits(bits).unwrap() }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let granule = UNIT << random.below(4);
        let mut list = BlockList::new(granule, LARGE, Stay::lingering(random.below(20), 1 << 20));
        list.ranked = random.one_in(2);
        Self {
            list,
            random,
            granule,
            homes: BTreeMap::new(),
            ranges: BTreeMap::new(),
            empty: Vec::new(),
            dead: Vec::new(),
            given: BTreeSet::new(),
            names: 0,
            now: 0,
            done: BTreeMap::new(),
        }
    }

    fn did(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// The free ranges of a block that TLSF splits.
    fn holes(&self, slot: u32) -> Vec<(u64, u64)> {
        let size = self.homes[&slot].size;
        let mut taken: Vec<(u64, u64)> =
            self.in_slot(slot).map(|(_, r)| (r.offset, r.size)).collect();
        taken.sort_unstable();
        let (mut at, mut holes) = (0, Vec::new());
        for (offset, bytes) in taken.into_iter().chain([(size - size % self.granule, 0)]) {
            if offset > at {
                holes.push((at, offset - at));
            }
            at = offset + bytes;
        }
        holes
    }

    fn in_slot(&self, slot: u32) -> impl Iterator<Item = (Entry, &Range)> {
        let of_slot = self.ranges.range((slot, 0)..=(slot, u64::MAX));
        of_slot.map(|(&key, range)| (entry(key), range))
    }

    fn where_pending(&self, pending: bool) -> Vec<Entry> {
        let of_state = self.ranges.iter().filter(|(_, range)| range.pending == pending);
        of_state.map(|(&key, _)| entry(key)).collect()
    }

    /// All free ranges of the blocks of a kind that are open: how large they are.
    fn open_holes(&self, kind: Kind) -> Vec<u64> {
        let open = self.homes.iter().filter(|(_, home)| home.kind == kind && !home.closed);
        open.flat_map(|(&slot, _)| self.holes(slot)).map(|(_, size)| size).collect()
    }

    fn holds_anywhere(&self, size: u64, alignment: u64) -> bool {
        let split = self.homes.iter().filter(|(_, home)| home.is_split());
        let mut holes = split.flat_map(|(&slot, _)| self.holes(slot));
        holes.any(|(offset, hole)| {
            let begin = offset.next_multiple_of(alignment) - offset;
            begin.checked_add(size).is_some_and(|end| end <= hole)
        })
    }

    /// A request that is refused by the search has no sure room: none of a size that is a bin's lower bound, with the
    /// most padding.
    fn check_refusal(&self, size: u64, alignment: u64) {
        let padded = size + alignment - self.granule.min(alignment);
        let sure = |hole: u64| hole - hole / 32 >= padded + self.granule;
        let shared = self.open_holes(Kind::Shared);
        assert!(!shared.iter().any(|&hole| sure(hole)), "{size} {alignment} of {shared:?}");
        if size >= LARGE && alignment <= self.granule {
            // Less than three quarters more than it asks for.
            let tight = |&hole: &u64| sure(hole) && hole <= size / 2 * 3;
            assert!(!self.open_holes(Kind::Tailored).iter().any(tight), "{size}");
        }
        for (&slot, home) in &self.homes {
            if matches!(home.kind, Kind::Ring | Kind::Stack) {
                let largest = self.list.block(slot).unwrap().largest_free();
                assert!(largest < padded + padded / 4 + self.granule, "{size} of {largest}");
            }
        }
    }

    fn take(&mut self, grant: Option<Grant>, (size, alignment): (u64, u64)) -> Option<Entry> {
        let Grant { entry, memory, offset, size: bytes, block_size, first, .. } = grant?;
        let home = &self.homes[&entry.slot];
        assert_eq!((memory, block_size), (home.memory, home.size));
        assert!(offset % alignment == 0 && bytes >= size && offset + bytes <= home.size);
        assert_eq!(first, self.in_slot(entry.slot).next().is_none());
        let apart =
            |range: &Range| offset + bytes <= range.offset || range.offset + range.size <= offset;
        assert!(self.in_slot(entry.slot).all(|(_, range)| apart(range)), "{grant:?}");
        let whole = home.kind == Kind::Dedicated || bytes % self.granule == 0;
        assert!(whole && self.list.used(entry).is_ok());
        self.empty.retain(|&slot| slot != entry.slot);
        let range = Range {
            slot: entry.slot,
            offset,
            size: bytes,
            pending: false,
            resource: Resource::None,
        };
        self.begin(entry, range);
        Some(entry)
    }

    fn begin(&mut self, entry: Entry, range: Range) {
        assert!(self.given.insert(id(entry)), "{entry:?} is the key of another too");
        self.ranges.insert(id(entry), range);
    }

    /// A range has become free.
    fn end(&mut self, ended: Entry) -> (u64, bool) {
        let range = self.ranges.remove(&id(ended)).unwrap();
        assert_eq!(range.resource, Resource::None);
        self.dead.push(ended);
        let emptied = self.in_slot(ended.slot).next().is_none();
        if emptied {
            self.empty.push(ended.slot);
            self.homes.get_mut(&ended.slot).unwrap().empty_since = self.now;
            self.list.block_mut(ended.slot).unwrap().empty_since = self.now;
        }
        (range.size, emptied)
    }

    fn go(&mut self, block: Block) {
        let at = self.homes.iter().find(|(_, home)| home.memory == block.memory);
        let slot = *at.unwrap().0;
        let home = self.homes.remove(&slot).unwrap();
        assert!(self.empty.contains(&slot) && !home.held);
        assert_eq!(block.size, home.size);
        self.empty.retain(|&empty| empty != slot);
        self.did("block goes");
    }

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
            Kind::Dedicated => self.random.size(1 << 24),
            Kind::Tailored => LARGE + self.random.size(1 << 24),
            _ => (64 << 10) + self.random.size(12 << 20) / 1000 * 1000 + odd,
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
        self.list.reserve().unwrap();
        let slot = self.list.insert(block, policy).unwrap();
        self.list.block_mut(slot).unwrap().empty_since = self.now;
        let home = Home { memory, kind, size, closed: false, held: false, empty_since: self.now };
        assert!(self.homes.insert(slot, home).is_none());
        self.empty.push(slot);
        // It holds the request that it was made for.
        let asked = (self.random.size(size - size % self.granule.min(size)), self.alignment());
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
            0 => (self.random.size(16 << 20), self.alignment()),
            _ => (self.random.size(1 << 18), self.alignment()),
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
        let asked = (self.random.size(4 << 20), alignment);
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
        assert_eq!(reached, Ok((entries.len() as u64, bytes)));
        // In which order they became empty is the list's to say.
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

    /// A run of neighbours goes to another owner, if they are all pending, begin well and are enough.
    fn take_over(&mut self) {
        let Some(first) = self.random.of(&self.where_pending(true)) else { return };
        let mut of_slot: Vec<(Entry, Range)> =
            self.in_slot(first.slot).map(|(entry, &range)| (entry, range)).collect();
        of_slot.sort_unstable_by_key(|(_, range)| range.offset);
        let at = of_slot.iter().position(|&(entry, _)| entry == first).unwrap();
        let many = 1 + self.random.below(4) as usize;
        let run = &of_slot[at..of_slot.len().min(at + many)];
        let sum: u64 = run.iter().map(|(_, range)| range.size).sum();
        let asked = (self.random.size(sum + sum / 8), self.alignment());
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
            if core::mem::take(&mut home.held) {
                self.list.let_go(slot);
            }
        }
        for (slot, memory, _) in self.list.take_ranks(self.random.below(4) as usize) {
            let home = self.homes.get_mut(&slot).unwrap();
            assert_eq!(home.memory, memory);
            home.held = true;
        }
        self.did("rank");
    }

    /// A key that is over is nobody's, whatever came to its slot since.
    fn misuse(&mut self) {
        for _ in 0..4 {
            let Some(dead) = self.random.of(&self.dead) else { return };
            assert!(self.list.used(dead).is_err() && self.list.region(dead).is_none());
            assert!(self.list.retire(dead).is_err() && self.list.reach(dead).is_err());
            // None, where another of that number has a resource in another block.
            assert!(self.list.free(dead).is_none_or(|freed| freed.is_err()));
        }
    }

    fn step(&mut self) {
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

    /// What both tell is the same.
    fn compare(&self) {
        self.list.check().unwrap();
        let counters = self.list.counters();
        let sums = |pending: bool| {
            let of_state = self.ranges.values().filter(|range| range.pending == pending);
            of_state.fold((0, 0), |(bytes, count), range| (bytes + range.size, count + 1))
        };
        let told = |bytes: &Published, count: &Published| (bytes.get(), count.get());
        assert_eq!(told(&counters.live, &counters.live_count), sums(false));
        assert_eq!(told(&counters.pending, &counters.pending_count), sums(true));
        assert_eq!(self.list.reserved(), self.homes.values().map(|home| home.size).sum::<u64>());
        assert_eq!(self.list.count() as usize, self.homes.len());
        assert_eq!(self.list.empty(), self.empty);
        for (kind, told) in [(Kind::Shared, &counters.shared), (Kind::Tailored, &counters.tailored)]
        {
            let largest = self.open_holes(kind).into_iter().max().unwrap_or(0);
            assert_eq!(told.get(), u64::from(room_of(largest)), "{kind:?}: {largest}");
        }
        for (&slot, home) in &self.homes {
            let block = self.list.block(slot).unwrap();
            let [used, pending] = [false, true].map(|is| {
                let of_state = self.in_slot(slot).filter(|(_, range)| range.pending == is);
                of_state.fold((0, 0), |(bytes, count), (_, range)| (bytes + range.size, count + 1))
            });
            assert_eq!(block.usage(), [used, pending]);
            assert_eq!((block.live(), block.closed), (used.1, home.closed));
            if home.is_split() {
                let largest = self.holes(slot).into_iter().map(|(_, size)| size).max();
                assert_eq!(block.largest_free(), largest.unwrap_or(0));
            }
        }
        for (&key, range) in &self.ranges {
            let region = self.list.region(entry(key)).unwrap();
            assert_eq!((region.offset, region.size), (range.offset, range.size));
            assert_eq!(region.state == State::Pending, range.pending);
            assert_eq!(self.list.tenant(entry(key)).resource, range.resource);
            assert!(range.slot == key.0);
        }
    }
}

/// So many worlds of so many steps; all that may happen happens.
fn live(worlds: u64, steps: u32) {
    let mut done = BTreeMap::new();
    for seed in 0..worlds {
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step();
            world.compare();
        }
        for (what, times) in world.done {
            *done.entry(what).or_insert(0) += times;
        }
    }
    println!("{done:?}");
    let rare = ["at need, in a closed block", "taken over", "not taken over", "nowhere", "refused"];
    for what in rare {
        assert!(done.get(what).is_some_and(|&times| times > 3), "{what}: {done:?}");
    }
}

#[test]
fn a_list_is_as_a_walk_says() {
    live(16, 500);
}

#[test]
#[ignore = "four million steps: a minute"]
fn a_list_is_as_a_walk_says_for_long() {
    live(2000, 2000);
}
