//! The same on four threads at a time: no two have the same bytes, and the contents of each
//! allocation stay as its owner left them.

use std::{collections::BTreeMap, sync::Mutex};

use fencepost::{
    Allocation, Allocator, AllocatorDesc, Arena, Buffer, DeviceFeatures, FdKind, GuardPolicy,
    GuardedBy, Image, MoveError, Ordered, RawAllocation, ResourceKind, Timeline,
    fake::{Call, FakeDriver, Profile},
    vk,
};

use crate::{
    asks,
    model::Place,
    support::{self, random::Random},
};

const THREADS: u64 = 4;
const MOST: u64 = 1 << 20;

enum Mine {
    Plain(Allocation),
    Raw(RawAllocation),
    Buffer(Buffer),
    Image(Image),
}

struct Shared {
    fake: FakeDriver,
    allocator: Allocator,
    lines: Vec<Timeline>,
    arenas: Vec<Arena>,
    /// Live ranges: place to end.
    live: Mutex<BTreeMap<Place, u64>>,
}

impl Shared {
    fn new(random: &mut Random) -> Self {
        let all = Profile::all().count() as u64;
        let profile = match random.one_in(2) {
            true => Profile::default(),
            false => Profile::all().nth(random.below(all) as usize).unwrap(),
        };
        let profile = profile.queues(2);
        let fake = FakeDriver::new(&profile);
        // Some take ranges over, and then nobody judges what is bound where.
        fake.set_ordered_reuse(true);
        fake.set_automatic(random.one_in(2));
        let features = support::features()
            | DeviceFeatures::MEMORY_PRIORITY
            | DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY
            | DeviceFeatures::EXTERNAL_MEMORY_FD
            | DeviceFeatures::EXTERNAL_MEMORY_DMA_BUF
            | DeviceFeatures::MEMORY_BUDGET;
        let desc = support::desc(&fake).features(features).map_on_access(random.one_in(4));
        let allocator = support::made(&watched(desc, random).linger(random.below(3)));
        let lines = vec![
            allocator.timeline(fake.queue(0)).unwrap(),
            allocator.fence_timeline(fake.queue(1), 8).unwrap(),
        ];
        let arenas =
            (0..4).filter_map(|_| allocator.create_arena(&asks::arena(random)).ok()).collect();
        Self { fake, allocator, lines, arenas, live: Mutex::default() }
    }

    fn enter(&self, allocation: &Allocation) {
        let (memory, start) = (allocation.memory(), allocation.offset());
        let end = start + allocation.size();
        let mut live = self.live.lock().unwrap();
        let before = live.range(..(memory, end)).next_back();
        let apart = before.is_none_or(|(place, &other)| place.0 != memory || other <= start);
        assert!(apart, "{allocation:?} overlaps {before:?}");
        live.insert((memory, start), end);
    }

    fn leave(&self, place: Place) {
        assert!(self.live.lock().unwrap().remove(&place).is_some(), "{place:?} lived");
    }

    fn make(&self, random: &mut Random) -> Option<Mine> {
        let memory = asks::memory(random);
        let arena = self.arenas.get(random.below(8) as usize);
        let made = match random.below(9) {
            0..4 => {
                let (needs, kind) = (asks::requirements(random, MOST), asks::kind(random));
                let made = match arena {
                    Some(arena) => arena.allocate(&needs, kind, &memory),
                    None => self.allocator.allocate(&needs, kind, &memory),
                };
                Mine::Plain(made.ok()?)
            }
            4 | 5 => {
                let desc = asks::buffer(random, MOST);
                let made = match arena {
                    Some(arena) => arena.create_buffer(&desc, &memory),
                    None => self.allocator.create_buffer(&desc, &memory),
                };
                Mine::Buffer(made.ok()?)
            }
            6 => Mine::Image(self.allocator.create_image(&asks::image(random), &memory).ok()?),
            7 => {
                let kind = if random.one_in(2) { FdKind::Opaque } else { FdKind::DmaBuf };
                let desc = asks::buffer(random, MOST);
                let made = self.allocator.create_exportable_buffer(&desc, &memory, kind).ok()?;
                let shared = made.allocation().export(kind).ok();
                // SAFETY: it was exported just now.
                let import =
                    |shared| unsafe { self.allocator.import_buffer(&desc, &memory, shared) };
                // It comes in and goes again.
                drop(shared.map(import));
                Mine::Buffer(made)
            }
            _ => {
                let needs = asks::requirements(random, MOST);
                let (kind, line) = (ResourceKind::Linear, &self.lines[0]);
                // SAFETY: nothing is submitted with it.
                let made = unsafe { self.allocator.allocate_ordered(&needs, kind, &memory, line) };
                let Ordered { owner, .. } = made.ok()?;
                Mine::Plain(owner)
            }
        };
        made.allocation().inspect(|allocation| self.enter(allocation));
        Some(made)
    }

    fn end(&self, mine: Mine, place: Place, random: &mut Random) {
        self.leave(place);
        match (mine, random.below(3)) {
            // SAFETY: nothing is submitted with any of them; each key is turned back once.
            (Mine::Plain(allocation), 0) => unsafe { allocation.free_now() },
            // SAFETY: as above.
            (Mine::Plain(allocation), 1) => unsafe { allocation.retire_at(&[]) }.unwrap(),
            // SAFETY: as above.
            (Mine::Buffer(buffer), 0) => unsafe { buffer.free_now() },
            // SAFETY: as above.
            (Mine::Raw(raw), 0) => unsafe { self.allocator.free_raw(raw) }.unwrap(),
            // SAFETY: as above.
            (Mine::Raw(raw), _) => unsafe { self.allocator.retire_raw(raw) }.unwrap(),
            (other, _) => drop(other),
        }
    }

    fn step(&self, mine: &mut Vec<(Mine, Place)>, random: &mut Random) {
        match random.below(100) {
            0..40 if mine.len() < 60 => {
                if let Some(made) = self.make(random) {
                    let allocation = made.allocation().expect("it is no key");
                    let place = (allocation.memory(), allocation.offset());
                    mine.push((made, place));
                }
            }
            0..75 => {
                if let Some((made, place)) = take(mine, random) {
                    self.end(made, place, random);
                }
            }
            75..80 => {
                if let Some((made, place)) = take(mine, random) {
                    let made = match made {
                        Mine::Plain(allocation) => Mine::Raw(allocation.into_raw()),
                        other => other,
                    };
                    mine.push((made, place));
                }
            }
            80..86 => {
                let line = &self.lines[random.below(2) as usize];
                if let Ok(recording) = line.begin() {
                    if let Some((made, place)) = take(mine, random) {
                        self.end(made, place, random);
                    }
                    _ = support::submit_nothing(recording).unwrap();
                }
            }
            86..90 => _ = self.allocator.collect(),
            90 => _ = self.allocator.collect_all(),
            91 => {
                let heap = random.below(2) as u32;
                let size = self.allocator.heap_budget(heap).map_or(0, |it| it.size);
                self.fake.set_budget(
                    heap,
                    size / (1 + random.below(3)),
                    random.below(size / 4 + 1),
                );
            }
            92 => _ = self.allocator.trim(),
            93 => _ = self.allocator.statistics(),
            94 => assert_eq!(self.allocator.check_guards(), []),
            95 => self.move_some(mine, random),
            96 => {
                let error = vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;
                self.fake.fail(Call::AllocateMemory, random.below(3), error);
            }
            97 => drop(self.allocator.create_arena(&asks::arena(random))),
            _ => _ = self.fake.run(),
        }
    }

    fn move_some(&self, mine: &mut [(Mine, Place)], random: &mut Random) {
        let run = self.allocator.defragment(&asks::defragment(random), |_| true);
        for (made, place) in mine.iter_mut() {
            let Mine::Plain(old) = made else { continue };
            let size = old.size();
            let needs = vk::MemoryRequirements { size, alignment: 64, memory_type_bits: u32::MAX };
            match run.allocate(old, &needs, ResourceKind::Linear, &asks::memory(random)) {
                Ok(new) => {
                    self.enter(&new);
                    self.leave(*place);
                    *place = (new.memory(), new.offset());
                    *old = new;
                }
                Err(error) => assert!(!matches!(error, MoveError::Foreign), "{error}"),
            }
        }
    }
}

impl Mine {
    fn allocation(&self) -> Option<&Allocation> {
        match self {
            Self::Plain(allocation) => Some(allocation),
            Self::Raw(_) => None,
            Self::Buffer(buffer) => Some(buffer.allocation()),
            Self::Image(image) => Some(image.allocation()),
        }
    }
}

fn watched<'a>(desc: AllocatorDesc<'a>, random: &mut Random) -> AllocatorDesc<'a> {
    let desc = desc.first_block(256 << 10).largest_block(4 << 20);
    match random.below(3) {
        0 => desc.guards(GuardPolicy::Full).guarded_by(GuardedBy::Host),
        _ => desc,
    }
}

fn take(mine: &mut Vec<(Mine, Place)>, random: &mut Random) -> Option<(Mine, Place)> {
    let count = mine.len() as u64;
    (count > 0).then(|| mine.swap_remove(random.below(count) as usize))
}

/// So many worlds, in each of which four threads take so many steps.
pub fn run(seed: u64, worlds: u64, steps: u64) {
    for seed in seed..seed + worlds {
        let mut random = Random::new(seed);
        let shared = Shared::new(&mut random);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (shared, mut random) = (&shared, Random::new(seed ^ (thread + 1) << 40));
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    (0..steps).for_each(|_| shared.step(&mut mine, &mut random));
                    for (made, place) in mine {
                        shared.end(made, place, &mut random);
                    }
                });
            }
        });
        let Shared { fake, allocator, lines, arenas, live } = shared;
        fake.clear_faults();
        assert!(live.into_inner().unwrap().is_empty());
        fake.run();
        allocator.check().unwrap();
        (0..4).for_each(|_| _ = allocator.collect_all());
        allocator.check().unwrap();
        drop((arenas, lines));
        allocator.trim();
        let total = allocator.statistics().total;
        assert_eq!((total.live_count, total.live), (0, 0), "seed {seed}");
        assert_eq!((total.pending, total.reserved), (0, 0), "seed {seed}");
        assert_eq!(fake.live().memories, 0);
        drop(allocator);
        fake.finish().unwrap();
    }
}
