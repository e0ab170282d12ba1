//! What a lane's pending ranges wait for next, readable without the lane's lock. This saves
//! `collect` the lock if nothing is reached.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::retire::{BagNumber, Bags, Reached};

/// The number of timelines whose points are stored individually.
const MOST: usize = 4;

/// Hints, stored under the lane's lock and read without it. An entry that is being filed is seen at
/// the next read.
#[derive(Debug)]
pub(super) struct Soonest {
    /// The oldest non-empty bag.
    bag: AtomicU64,
    /// The number of timelines with entries filed under points.
    timelines: AtomicU32,
    /// For as many of them as fit: the number, and the first value.
    points: [(AtomicU32, AtomicU64); MOST],
}

impl Default for Soonest {
    fn default() -> Self {
        Self {
            bag: AtomicU64::new(BagNumber::NEVER.get()),
            timelines: AtomicU32::new(0),
            points: Default::default(),
        }
    }
}

impl Soonest {
    /// Updates [`may_be_reached`](Self::may_be_reached) from the present bags. O(timelines log n),
    /// O(1) if nothing is filed under points.
    pub(super) fn publish<T>(&self, bags: &Bags<T>) {
        self.bag.store(bags.oldest().get(), Ordering::Relaxed);
        let mut timelines = 0;
        for (index, point) in bags.first_points().enumerate() {
            if let Some((number, value)) = self.points.get(index) {
                number.store(point.timeline().number, Ordering::Relaxed);
                value.store(point.value(), Ordering::Relaxed);
            }
            timelines += 1;
        }
        self.timelines.store(timelines, Ordering::Relaxed);
    }

    /// Whether anything may be reached.
    #[inline(always)]
    pub(super) fn may_be_reached(&self, reached: &Reached) -> bool {
        if self.bag.load(Ordering::Relaxed) <= reached.bag().get() {
            return true;
        }
        let timelines = self.timelines.load(Ordering::Relaxed) as usize;
        timelines > 0 && self.may_have_points_reached(timelines, reached)
    }

    #[inline(never)]
    fn may_have_points_reached(&self, timelines: usize, reached: &Reached) -> bool {
        timelines > MOST
            || self.points[..timelines].iter().any(|(number, value)| {
                let passed = reached.value(number.load(Ordering::Relaxed));
                // A timeline that has ended has finished all its work.
                passed.is_none_or(|passed| passed >= value.load(Ordering::Relaxed))
            })
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use std::sync::Arc;

    use ash::vk;

    use super::super::inner::Lane;
    use crate::{
        Allocation, AllocationDesc, Allocator, AllocatorDesc, DeviceFeatures, Point, ResourceKind,
        Timeline,
        fake::{FakeDriver, Profile},
    };

    struct World {
        fake: FakeDriver,
        allocator: Allocator,
    }

    impl World {
        fn new() -> Self {
            Self::with(DeviceFeatures::empty())
        }

        fn with(more: DeviceFeatures) -> Self {
            let fake = FakeDriver::new(&Profile::default());
            let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
                .api_version(vk::API_VERSION_1_2)
                .features(DeviceFeatures::TIMELINE_SEMAPHORE | more)
                .keep_alive(Arc::new(fake.clone()));
            // SAFETY: the fake lives as long as the allocator.
            let allocator = unsafe { Allocator::new(&desc) }.unwrap();
            Self { fake, allocator }
        }

        fn timeline(&self, queue: u32) -> Timeline {
            self.allocator.timeline(self.fake.queue(queue)).unwrap()
        }

        fn memory(&self) -> Allocation {
            let requirements =
                vk::MemoryRequirements { size: 1000, alignment: 256, memory_type_bits: !0 };
            let desc = AllocationDesc::device_local();
            self.allocator.allocate(&requirements, ResourceKind::Linear, &desc).unwrap()
        }

        fn retire_at(&self, points: &[Point]) {
            // SAFETY: no GPU work at all.
            unsafe { self.memory().retire_at(points) }.unwrap();
        }

        /// What a collect takes back, and how often it takes a memory type's lock.
        fn collect(&self) -> (u64, u64) {
            let locks = || self.allocator.inner().lanes().map(Lane::locks).sum::<u64>();
            let before = locks();
            let collected = self.allocator.collect();
            (collected.allocations, locks() - before)
        }
    }

    fn submit(timeline: &Timeline) -> Point {
        let recording = timeline.begin().unwrap();
        // SAFETY: no batches.
        recording.submit(|signal| unsafe { signal.queue_submit(&[]) }).unwrap()
    }

    #[test]
    fn collect_takes_no_memory_type_s_lock_while_nothing_is_reached() {
        let world = World::new();
        let timeline = world.timeline(0);
        world.fake.set_stalled(world.fake.queue(0), true);
        let [first, second] = [(); 2].map(|()| submit(&timeline));
        assert_eq!(world.collect(), (0, 0), "nothing waits");
        drop(world.memory());
        world.retire_at(&[second]);
        assert_eq!(world.collect(), (0, 0), "a drop and a point wait");
        world.fake.set_stalled(world.fake.queue(0), false);
        assert!(world.fake.step(world.fake.queue(0)), "the first moves on");
        assert!(timeline.is_reached(first).unwrap() && !timeline.is_reached(second).unwrap());
        assert_eq!(world.collect(), (0, 0), "and reaches neither");
        world.fake.run();
        let (taken, locks) = world.collect();
        assert_eq!((taken, locks > 0), (2, true), "the control");
        assert_eq!(world.collect(), (0, 0), "nothing is left");
    }

    #[test]
    fn what_waits_for_several_timelines_takes_no_lock_for_the_progress_of_another() {
        let world = World::new();
        let timelines = [0, 1, 2].map(|queue| world.timeline(queue));
        let points = timelines.each_ref().map(submit);
        world.retire_at(&points[1..]);
        world.retire_at(&points[2..]);
        assert!(world.fake.step(world.fake.queue(0)));
        assert_eq!(world.collect(), (0, 0), "nothing waits for the first");
        assert!(world.fake.step(world.fake.queue(1)));
        let (taken, locks) = world.collect();
        assert_eq!((taken, locks > 0), (0, true), "one is filed under its next point");
        assert_eq!(world.collect(), (0, 0), "once");
        let [.., last] = timelines;
        drop(last);
        assert_eq!(world.collect(), (0, 0), "a timeline that is given up is waited for");
        world.fake.run();
        assert_eq!(world.collect().0, 2);
    }

    #[test]
    fn more_timelines_than_are_told_are_waited_for_too() {
        let world = World::new();
        // One after another on one queue, all of them with work out.
        let points = [(); super::MOST + 2].map(|()| submit(&world.timeline(0)));
        points.iter().for_each(|&point| world.retire_at(&[point]));
        let (taken, locks) = world.collect();
        assert_eq!((taken, locks > 0), (0, true), "they are looked for under the lock");
        world.fake.run();
        assert_eq!(world.collect().0, points.len() as u64);
    }

    #[test]
    fn collect_takes_no_memory_type_s_lock_while_no_priority_has_moved() {
        let moving = DeviceFeatures::MEMORY_PRIORITY | DeviceFeatures::PAGEABLE_DEVICE_LOCAL_MEMORY;
        let world = World::with(moving);
        let _timeline = world.timeline(0);
        let memory = world.memory();
        assert_eq!(world.collect(), (0, 0), "of whom nothing is told");
        memory.set_priority(1.0);
        let (_, locks) = world.collect();
        assert!(locks > 0, "the control: the driver is told");
        assert_eq!(world.fake.priority(memory.memory()), Some(1.0));
        assert_eq!(world.collect(), (0, 0), "once");
        memory.set_priority(0.25);
        assert!(
            world.collect().1 > 0 && world.collect().1 > 0,
            "below the usual: it is looked at each time"
        );
        memory.set_priority(f32::NAN);
        assert!(world.collect().1 > 0, "taken back");
        assert_eq!(world.collect(), (0, 0));
    }
}
