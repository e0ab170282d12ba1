//! Everything that ends allocations, and other operations on live ones.

use std::sync::Arc;

use fencepost::{Allocation, KeyError, Point, Scrub};

use crate::{
    model::Submission,
    support::random::Random,
    world::{Made, Slip, Thing, World},
};

impl World {
    pub fn random_thing(&self, random: &mut Random) -> Option<usize> {
        let count = self.things.len() as u64;
        (count > 0).then(|| random.below(count) as usize)
    }

    pub fn end_one(&mut self, random: &mut Random) {
        // Now and then much at a time.
        let count = if random.one_in(40) { random.below(60) } else { 1 };
        for _ in 0..count {
            let Some(at) = self.random_thing(random) else { return };
            self.end_thing(at, random);
        }
    }

    pub fn end_thing(&mut self, at: usize, random: &mut Random) {
        let thing = self.things.swap_remove(at);
        if let Some(allocation) = thing.made.allocation().filter(|_| random.one_in(4)) {
            self.stale.push(allocation.key());
            if self.stale.len() > 200 {
                self.stale.swap_remove(random.below(200) as usize);
            }
        }
        let named = self.open.iter().any(|open| open.names.contains(&thing.id));
        match random.below(10) {
            _ if named => self.drop_thing(thing),
            0 | 1 => self.end_at_points(thing),
            2 if thing.uses.iter().all(|&use_of| self.model.is_done(use_of)) => self.free(thing),
            3 => self.make_raw(thing, random),
            _ => self.drop_thing(thing),
        }
    }

    fn drop_thing(&mut self, thing: Thing) {
        let open: Vec<u64> = self.open.iter().flat_map(|open| open.numbers.clone()).collect();
        if self.slip != Slip::Forgets {
            self.model.drop_range(thing.place, &open);
        }
        match thing.made {
            // SAFETY: the key is turned back once.
            Made::Raw(raw) => unsafe { self.allocator.retire_raw(raw) }.unwrap(),
            // SAFETY: not kept: this is a control.
            Made::Plain(allocation) if self.slip == Slip::FreesAtOnce => unsafe {
                allocation.free_now();
            },
            Made::Image(image, views) => {
                // A view goes before its image.
                drop(views);
                drop(image);
            }
            Made::Shared(memory, buffers) => {
                // The memory stays with the last of them.
                drop(memory);
                drop(buffers);
            }
            other => drop(other),
        }
    }

    /// At the points of the last uses; resources too.
    fn end_at_points(&mut self, thing: Thing) {
        let points: Vec<Point> = thing.uses.iter().map(|&it| self.point(it)).collect();
        match thing.made {
            Made::Plain(allocation) => {
                self.model.end_range(thing.place, &thing.uses);
                // SAFETY: nothing uses it after these points.
                unsafe { allocation.retire_at(&points) }.unwrap();
            }
            Made::Buffer(buffer) => {
                self.model.end_range(thing.place, &thing.uses);
                // SAFETY: as above.
                unsafe { buffer.retire_at(&points) }.unwrap();
            }
            Made::Image(image, views) => {
                self.model.end_range(thing.place, &thing.uses);
                drop(views);
                // SAFETY: as above.
                unsafe { image.retire_at(&points) }.unwrap();
            }
            // Where recordings are open a resource ends later than its memory, and lies over another's; or on a page of an
            // image that is shorter than its pages, which the fake does not excuse.
            Made::Shared(memory, aliases)
                if self.aliasing && self.model.page == 1 || aliases.is_empty() =>
            {
                self.model.end_range(thing.place, &thing.uses);
                drop(aliases);
                let memory = Arc::into_inner(memory).expect("nobody else has it");
                // SAFETY: as above.
                unsafe { memory.retire_at(&points) }.unwrap();
            }
            made => self.drop_thing(Thing { made, ..thing }),
        }
    }

    pub fn point(&self, (queue, number): Submission) -> Point {
        self.model.queues[queue].points[number as usize - 1]
    }

    /// The GPU is done with it.
    fn free(&mut self, thing: Thing) {
        match thing.made {
            Made::Plain(allocation) => {
                self.model.end_range(thing.place, &[]);
                // SAFETY: all its uses are done.
                unsafe { allocation.free_now() };
            }
            Made::Buffer(buffer) => {
                self.model.end_range(thing.place, &[]);
                // SAFETY: as above.
                unsafe { buffer.free_now() };
            }
            Made::Image(image, views) => {
                self.model.end_range(thing.place, &[]);
                drop(views);
                // SAFETY: as above.
                unsafe { image.free_now() };
            }
            Made::Raw(raw) => {
                self.model.end_range(thing.place, &[]);
                // SAFETY: as above, and the key is turned back once.
                unsafe { self.allocator.free_raw(raw) }.unwrap();
            }
            made => self.drop_thing(Thing { made, ..thing }),
        }
    }

    /// A handle becomes a key, or a key a handle.
    fn make_raw(&mut self, mut thing: Thing, random: &mut Random) {
        thing.made = match thing.made {
            Made::Plain(allocation) => Made::Raw(allocation.into_raw()),
            Made::Raw(raw) if random.one_in(2) => {
                // SAFETY: the key is turned back once.
                let made = unsafe { self.allocator.from_raw(raw) }.unwrap();
                assert_eq!((made.memory(), made.offset()), thing.place);
                Made::Plain(made)
            }
            other => other,
        };
        self.things.push(thing);
    }

    /// Keys of what has ended are refused, and change nothing.
    pub fn use_stale(&mut self, random: &mut Random) {
        let lives: Vec<_> =
            self.things.iter().filter_map(|it| Some(it.made.allocation()?.key())).collect();
        for _ in 0..10 {
            let count = self.stale.len() as u64;
            if count == 0 {
                return;
            }
            let key = self.stale[random.below(count) as usize];
            if lives.contains(&key)
                || self.things.iter().any(|it| matches!(it.made, Made::Raw(raw) if raw == key))
            {
                continue;
            }
            let before = self.picture();
            let refused = match random.below(3) {
                // SAFETY: it is refused.
                0 => unsafe { self.allocator.retire_raw(key) },
                // SAFETY: it is refused.
                1 => unsafe { self.allocator.free_raw(key) },
                // SAFETY: it is refused.
                _ => unsafe { self.allocator.from_raw(key) }.map(drop),
            };
            assert!(
                matches!(refused, Err(KeyError::Stale | KeyError::AlreadyRetired)),
                "{refused:?}"
            );
            assert_eq!(self.picture(), before);
        }
    }

    /// Bytes are written, or what was written is read.
    pub fn touch(&mut self, random: &mut Random) {
        let Some(at) = self.random_thing(random) else { return };
        self.expect_value(at);
        let Thing { made, written, order, .. } = &mut self.things[at];
        let (size, value) = (made.allocation().map_or(0, Allocation::size), random.next());
        let place = random.below(size.max(9) - 8) / 8 * 8;
        if order.is_some() || size < 8 {
            return;
        }
        let done = match made {
            Made::Plain(allocation) => allocation.write(place, &[value]),
            Made::Buffer(buffer) if place + 8 <= buffer.size() => buffer.write(place, &[value]),
            _ => return,
        };
        *written = done.is_ok().then_some((place, value));
    }

    fn expect_value(&self, at: usize) {
        let Thing { made, written: Some((place, value)), .. } = &self.things[at] else { return };
        let mut read = [0_u64];
        let done = match made {
            Made::Plain(allocation) => allocation.read(*place, &mut read),
            Made::Buffer(buffer) => buffer.read(*place, &mut read),
            _ => return,
        };
        assert!(
            done.is_err() || read == [*value],
            "{read:?} for {value} in {:?}",
            made.allocation()
        );
    }

    pub fn expect_written(&self) {
        (0..self.things.len()).for_each(|at| self.expect_value(at));
    }

    pub fn prioritise(&mut self, random: &mut Random) {
        let Some(at) = self.random_thing(random) else { return };
        if let Some(allocation) = self.things[at].made.allocation() {
            allocation.set_priority(random.below(17) as f32 / 16.0);
        }
        if let Some(arena) = self.arenas.first().filter(|_| random.one_in(4)) {
            arena.set_priority(random.below(17) as f32 / 16.0);
        }
    }

    pub fn scrub(&mut self, random: &mut Random) {
        let extent = if random.one_in(4) { Scrub::Everything } else { Scrub::Due };
        let queue = 0;
        let family = self.fake.queue_family(0);
        // SAFETY: the family computes, and no other thread submits.
        let done = unsafe { self.allocator.scrub(&self.timelines[queue], family, extent) };
        if let Ok(Some(point)) = done {
            self.model.queues[queue].points.push(point);
            self.batches[queue].push_back(2);
        }
    }
}
