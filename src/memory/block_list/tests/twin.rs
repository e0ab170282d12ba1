//! A list of blocks beside a naive one, which has unordered ranges and answers every question by a
//! walk.

mod steps;

use std::collections::{BTreeMap, BTreeSet};

use ash::vk::Handle;

use super::*;
use crate::{
    ground::{published::Published, random::Random},
    memory::{ArenaPolicy, End, Grant, Heritage, Host},
    tlsf::room_of,
};

/// The size from which on requests are large.
const LARGE: u64 = 1 << 20;

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
    /// Whether the driver is being told its rank.
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
    /// The live and pending ranges by key.
    ranges: BTreeMap<(u32, u64), Range>,
    /// The empty blocks, in the order in which they became empty.
    empty: Vec<u32>,
    /// Keys whose ranges have ended.
    dead: Vec<Entry>,
    /// All keys that were ever returned.
    given: BTreeSet<(u32, u64)>,
    names: u64,
    now: u64,
    /// How often each kind of operation was executed.
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
        let mut random = Random::new(seed);
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

    /// The sizes of all free ranges in open blocks of a kind.
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

    /// If the search refuses a request, there is no room that is certain to suffice: none whose
    /// size is the lower bound of a bin, with maximal padding.
    fn check_refusal(&self, size: u64, alignment: u64) {
        // Searches do not support alignments above those of blocks.
        if alignment > self.granule << 16 {
            return;
        }
        let padded = size + alignment - self.granule.min(alignment);
        let sure = |hole: u64| hole - hole / 32 >= padded + self.granule;
        let shared = self.open_holes(Kind::Shared);
        assert!(!shared.iter().any(|&hole| sure(hole)), "{size} {alignment} of {shared:?}");
        if size >= LARGE && alignment <= self.granule {
            // Five eighths of an octave more than requested are at least 23/16.
            let tight = |&hole: &u64| sure(hole) && hole <= size / 16 * 23;
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
        let Grant { entry, memory, offset, size: bytes, plate, first } = grant?;
        let home = &self.homes[&entry.slot];
        let block = self.list.block(entry.slot).unwrap();
        assert_eq!((memory, plate), (home.memory, block.plates.get(Host::Enters)));
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

    /// Notes that a range has become free.
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

    /// Compares everything that both report.
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

/// Runs `worlds` random runs of `steps` steps. Every kind of operation occurs.
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
    let rare = [
        "at need, in a closed block",
        "taken over",
        "not taken over",
        "nowhere",
        "refused",
        "plain",
    ];
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
