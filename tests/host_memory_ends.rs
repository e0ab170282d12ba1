//! The host has no memory while allocations end: an operation returns an error or finds another
//! way, and nothing is lost.

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::{bytes, exempt, short_of_memory, without_the_next};
use fencepost::{
    AllocateError, Allocation, AllocationDesc, Allocator, CreateError, GuardPolicy, ImageDesc,
    ImageViewDesc, KeyError, MemoryPool, ResourceKind, Timeline,
    fake::FakeDriver,
    pool::DeallocateError,
    retire::{Bags, Cuts, Point},
    vk,
};
use support::{random::Random, *};

const MANY: usize = 100;

fn world(policy: GuardPolicy) -> (FakeDriver, Allocator, Timeline) {
    let fake = FakeDriver::new(&Default::default());
    let allocator = made(&desc(&fake).guards(policy));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    (fake, allocator, frames)
}

fn take(allocator: &Allocator) -> Allocation {
    let needs = vk::MemoryRequirements { size: 256, alignment: 16, memory_type_bits: !0 };
    let memory = AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT);
    allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap()
}

/// Entries of many points, filed and taken while the heap refuses half of the time: what comes back was not
/// filed, and all else leaves once, no sooner than its points are reached.
#[test]
fn what_waits_for_points_is_not_lost() {
    let mut random = Random::new(5);
    let mut cuts = Cuts::new(1);
    let timelines: Vec<_> = (0..5).map(|_| cuts.add_timeline(0)).collect();
    for _ in 0..200 {
        for &timeline in &timelines {
            let recording = cuts.begin(timeline).unwrap();
            let value = cuts.assign(timeline).unwrap();
            cuts.submitted(recording, value).unwrap();
        }
    }
    let mut bags = Bags::new();
    let mut points_of: Vec<Vec<Point>> = Vec::new();
    let mut waits: Vec<usize> = Vec::new();
    let mut passed = [0; 5];
    let mut out = Vec::with_capacity(1 << 16);
    let [mut back, mut kept] = [0; 2];
    while passed.iter().any(|&passed| passed < 200) || !waits.is_empty() {
        for _ in 0..random.below(20) {
            let mut points: Vec<Point> = Vec::new();
            for (index, &timeline) in timelines.iter().enumerate() {
                if passed[index] < 200 && random.below(3) == 0 {
                    let value = passed[index] + 1 + random.below((200 - passed[index]).min(9));
                    points.push(Point::new(timeline, value));
                }
            }
            if points.is_empty() {
                continue;
            }
            let entry = points_of.len();
            let largest = if random.below(2) == 0 { 0 } else { usize::MAX };
            let (filed, _) = short_of_memory(largest, || bags.file_at(&points, entry));
            match filed {
                Ok(()) => waits.push(entry),
                Err(same) => {
                    assert_eq!((same, largest), (entry, 0));
                    back += 1;
                }
            }
            points_of.push(points);
        }
        let index = random.below(5) as usize;
        passed[index] = 200.min(passed[index] + random.below(4));
        cuts.signalled(timelines[index], passed[index]).unwrap();
        let reached = cuts.reached();
        let has = |point: &Point| {
            let index = timelines.iter().position(|&one| one == point.timeline()).unwrap();
            passed[index] >= point.value()
        };
        let short = random.below(2) == 0;
        let most = if random.below(2) == 0 { 3 } else { usize::MAX };
        out.clear();
        let largest = if short { 0 } else { usize::MAX };
        let (left, _) =
            short_of_memory(largest, || bags.take_reached_at_most(most, &reached, &mut out));
        bags.check().unwrap();
        for entry in &out {
            assert!(points_of[*entry].iter().all(has), "{entry} leaves too soon");
            let place = waits.iter().position(|one| one == entry).expect("it waits");
            waits.swap_remove(place);
        }
        assert_eq!(bags.len(), waits.len());
        let due = waits.iter().filter(|&&one| points_of[one].iter().all(has)).count();
        assert!(left || due == 0, "{due} are left");
        kept += u32::from(short && left && most == usize::MAX);
    }
    assert!(back > 5 && kept > 5 && points_of.len() > 1000, "{back} {kept} {}", points_of.len());
}

/// Ends are noted until there is no memory to; the one that is refused lives as before, and ends later. Where the
/// GPU has passed something, a collect makes room for more.
#[test]
fn a_raw_end_that_cannot_be_noted_is_refused_and_nothing_has_changed() {
    for reached in [false, true] {
        for points in [false, true] {
            let (fake, allocator, frames) = world(GuardPolicy::Off);
            let keys: Vec<_> = (0..MANY).map(|_| take(&allocator).into_raw()).collect();
            let first = take(&allocator);
            let before = frames.begin().unwrap();
            drop(first);
            submit_nothing(before).unwrap();
            let frame = frames.begin().unwrap();
            if reached {
                fake.run();
            }
            let mut ended = 0;
            let (refused, times) = short_of_memory(0, || {
                keys.iter().find_map(|&key| {
                    // SAFETY: each key is turned back once: a refused one has not been.
                    let end = unsafe { allocator.retire_raw(key) };
                    ended += usize::from(end.is_ok());
                    end.err().map(|error| (key, error))
                })
            });
            let (key, error) = refused.expect("the queue has no place for all");
            assert_eq!((error, times > 0), (KeyError::OutOfHostMemory, true));
            allocator.check().unwrap();
            let statistics = allocator.statistics();
            assert_eq!(statistics.total.live_count as usize, MANY - ended);
            // The first one's place was taken again.
            assert_eq!(statistics.total.pending_count as usize, ended + usize::from(!reached));
            // SAFETY: as above.
            unsafe { allocator.retire_raw(key) }.unwrap();
            // SAFETY: of a raw key that has been turned back, only its refusal is asked for.
            let again = unsafe { allocator.retire_raw(key) };
            assert_eq!(again, Err(KeyError::AlreadyRetired));
            let point = submit_nothing(frame).unwrap();
            for &key in &keys[ended + 1..] {
                // SAFETY: as above; nothing that was submitted uses it.
                let one = unsafe { allocator.from_raw(key) }.unwrap();
                match points {
                    // SAFETY: nothing that was submitted uses it.
                    true => unsafe { one.retire_at(&[point]) }.unwrap(),
                    false => drop(one),
                }
            }
            fake.run();
            allocator.collect_all();
            allocator.check().unwrap();
            let statistics = allocator.statistics();
            assert_eq!((statistics.total.live_count, statistics.total.pending), (0, 0));
            drop(frames);
            assert_eq!(allocator.close().map(|report| report.leaks.len()), Some(0));
            fake.finish().unwrap();
        }
    }
}

/// Without memory for its points an end waits for all that was submitted.
#[test]
fn an_end_at_points_without_memory_for_them_waits_for_all() {
    let (fake, allocator, frames) = world(GuardPolicy::Off);
    let one = take(&allocator);
    // The queue of ends has room.
    let grown: Vec<_> = (0..3).map(|_| take(&allocator)).collect();
    let frame = frames.begin().unwrap();
    drop(grown);
    let point = submit_nothing(frame).unwrap();
    // SAFETY: nothing uses it.
    let (done, times) = short_of_memory(0, || unsafe { one.retire_at(&[point]) });
    assert!(done.is_ok() && times > 0);
    assert_eq!(allocator.statistics().total.pending_count, 4);
    fake.run();
    assert_eq!(allocator.collect_all().allocations, 4);
    allocator.check().unwrap();
}

/// A handle that is dropped where its end cannot be noted stays: it is told at the close, and shutdown ends it.
#[test]
fn a_drop_that_cannot_be_noted_is_a_leak_and_not_the_end() {
    let (fake, allocator, frames) = world(GuardPolicy::Off);
    let all: Vec<_> = (0..MANY).map(|_| take(&allocator)).collect();
    let frame = frames.begin().unwrap();
    let (_, times) = short_of_memory(0, || all.into_iter().for_each(drop));
    assert!(times > 0);
    allocator.check().unwrap();
    let stays = allocator.statistics().total.live_count as usize;
    assert!(stays > 0, "none was lost");
    submit_nothing(frame).unwrap();
    fake.run();
    assert_eq!(allocator.collect_all().allocations as usize, MANY - stays);
    drop(frames);
    // SAFETY: one thread, and nothing was submitted.
    let report = unsafe { allocator.shutdown() }.unwrap();
    assert_eq!(report.leaks.len(), stays);
    fake.finish().unwrap();
}

/// Collects while the heap gives nothing, and while it refuses the k-th request, for every k: what is left is
/// told, and goes with the next.
#[test]
fn a_collect_without_memory_does_less() {
    for policy in [GuardPolicy::Off, GuardPolicy::Margins, GuardPolicy::Poison, GuardPolicy::Zero] {
        for blocks in [1, 6] {
            let mut least = [u64::MAX; 2];
            for granted in 0.. {
                let fake = FakeDriver::new(&Default::default());
                let desc = desc(&fake).guards(policy);
                let allocator = made(&desc.first_block(64 << 10).largest_block(64 << 10));
                let frames = allocator.timeline(fake.queue(0)).unwrap();
                let all: Vec<_> = (0..MANY * blocks).map(|_| take(&allocator)).collect();
                let frame = frames.begin().unwrap();
                drop(all);
                submit_nothing(frame).unwrap();
                fake.run();
                let (none, times) = match granted {
                    0 => short_of_memory(0, || allocator.collect_all()),
                    _ => {
                        let (some, refused) =
                            without_the_next(granted - 1, || allocator.collect_all());
                        (some, u64::from(refused))
                    }
                };
                allocator.check().unwrap();
                let done = none.allocations as usize == MANY * blocks;
                assert!(done || none.more && times > 0, "{policy:?} {granted}: {none:?}");
                let rest = allocator.collect_all();
                assert_eq!((none.allocations + rest.allocations) as usize, MANY * blocks);
                allocator.trim();
                assert_eq!(fake.live().memories, 0, "what could not go goes");
                let kind = usize::from(granted > 0);
                least[kind] = least[kind].min(none.allocations);
                drop(frames);
                assert_eq!(allocator.close().map(|report| report.leaks.len()), Some(0));
                fake.finish().unwrap();
                if granted > 0 && times == 0 {
                    assert!(granted > 1, "the control: it asks the heap");
                    break;
                }
            }
            assert_eq!(least, [32, 32], "{policy:?}: what there is always memory for");
        }
    }
}

/// Whoever knows that the GPU is done takes all back without memory: what waits in bags, for points, and for no timeline
/// at all.
#[test]
fn what_is_known_to_be_idle_comes_back_without_memory() {
    exempt(FakeDriver::is_inside);
    let fake = FakeDriver::new(&Default::default());
    let allocator = made(&desc(&fake));
    let untimed: Vec<_> = (0..3 * MANY).map(|_| take(&allocator)).collect();
    let buffers: Vec<_> = (0..MANY).map(|_| buffer(&allocator, 256)).collect();
    drop((untimed, buffers));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let (timed, mut dated): (Vec<_>, Vec<_>) =
        (0..MANY).map(|_| (take(&allocator), take(&allocator))).unzip();
    let frame = frames.begin().unwrap();
    drop(timed);
    let point = submit_nothing(frame).unwrap();
    // SAFETY: the point covers what never was used.
    dated.drain(..).for_each(|one| unsafe { one.retire_at(&[point]) }.unwrap());
    fake.run();
    assert_eq!(allocator.statistics().total.pending_count as usize, 6 * MANY);
    // SAFETY: nothing is submitted.
    let ((), times) = short_of_memory(0, || unsafe { allocator.assume_idle() });
    assert!(times > 0, "it would take all in hand at once");
    assert_eq!(allocator.statistics().total.pending_count, 0);
    assert_eq!(fake.live().buffers, 0);
    allocator.check().unwrap();
    drop((frames, dated));
    drop(allocator);
    fake.finish().unwrap();
}

/// A memory of its own for which there is no place in the books goes back to the driver.
#[test]
fn a_memory_without_books_is_refused_and_goes() {
    exempt(FakeDriver::is_inside);
    let (fake, allocator, frames) = world(GuardPolicy::Off);
    let needs = vk::MemoryRequirements { size: 900, alignment: 64, memory_type_bits: !0 };
    let own = AllocationDesc::device_local().dedicated(true);
    let take = || allocator.allocate(&needs, ResourceKind::Linear, &own);
    let before = bytes();
    // Each list of blocks, and those that a collect works with, are larger than that.
    for largest in [0, 15, 300] {
        let (made, times) = short_of_memory(largest, take);
        assert_eq!((made.err(), times > 0), (Some(AllocateError::OutOfHostMemory), true));
        assert_eq!((fake.live().memories, allocator.statistics().total.reserved), (0, 0));
        allocator.check().unwrap();
    }
    drop(take().unwrap());
    let books = bytes() - before;
    assert!(books < 6 << 10, "where no line lives there is no index of them, of 8 KiB: {books}");
    drop(frames);
    drop(allocator);
    fake.finish().unwrap();
}

/// Views that live and end while the heap gives nothing: an error, or they stay until the allocator goes.
#[test]
fn views_without_memory_are_refused_or_stay() {
    let (fake, allocator, frames) = world(GuardPolicy::Off);
    let format = vk::Format::R8G8B8A8_UNORM;
    let image = ImageDesc::new_2d(format, 64, 64, vk::ImageUsageFlags::SAMPLED);
    let image = allocator.create_image(&image, &AllocationDesc::device_local()).unwrap();
    let desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
    let make = || allocator.create_image_view(&image, &desc);
    // The driver has its own memory, as it had so many before.
    let warm: Vec<_> = (0..2 * MANY).map(|_| made_view(&fake, image.handle())).collect();
    // SAFETY: nothing uses them.
    warm.into_iter().for_each(|view| unsafe { fake.device().destroy_image_view(view, None) });
    let mut views = Vec::with_capacity(MANY);
    let mut refused = 0;
    while views.len() < MANY {
        match short_of_memory(0, make) {
            (Ok(view), _) => views.push(view),
            (Err(error), times) => {
                assert!(times > 0, "{error}");
                assert_eq!(error, CreateError::Allocate(AllocateError::OutOfHostMemory));
                assert_eq!(fake.live().image_views, views.len(), "it was destroyed");
                refused += 1;
                views.push(make().unwrap());
            }
        }
    }
    assert!(refused > 2, "{refused}");
    let frame = frames.begin().unwrap();
    // The queue of ends grows to some size.
    views.truncate(MANY - 40);
    let (_, times) = short_of_memory(0, || views.drain(..).for_each(drop));
    assert!(times > 0);
    let stay = allocator.statistics().live_objects as usize;
    assert!(stay > 0 && stay < MANY, "{stay}");
    submit_nothing(frame).unwrap();
    fake.run();
    let mut gone = Vec::with_capacity(MANY);
    while gone.iter().sum::<u64>() < (MANY - stay) as u64 {
        let (collected, _) = short_of_memory(0, || allocator.collect_all());
        gone.push(collected.objects);
    }
    assert!(gone.len() > 1 && gone.iter().all(|&some| some > 0), "a few with each: {gone:?}");
    drop((image, frames));
    // SAFETY: one thread, and nothing was submitted.
    unsafe { allocator.shutdown() }.unwrap();
    fake.finish().unwrap();
}

fn made_view(fake: &FakeDriver, image: vk::Image) -> vk::ImageView {
    let range = vk::ImageSubresourceRange::default()
        .aspect_mask(vk::ImageAspectFlags::COLOR)
        .level_count(1)
        .layer_count(1);
    let info = vk::ImageViewCreateInfo::default()
        .image(image)
        .view_type(vk::ImageViewType::TYPE_2D)
        .format(vk::Format::R8G8B8A8_UNORM)
        .subresource_range(range);
    // SAFETY: the image lives.
    unsafe { fake.device().create_image_view(&info, None) }.unwrap()
}

/// What a device still uses is not given up without memory to remember it by; it is live as before.
#[test]
fn a_pool_gives_nothing_up_that_it_cannot_remember() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(0);
    let recording = cuts.begin(timeline).unwrap();
    let value = cuts.assign(timeline).unwrap();
    cuts.submitted(recording, value).unwrap();
    let mut pool = MemoryPool::new(1 << 16);
    let all: Vec<_> = (0..MANY).map(|_| pool.allocate(64).unwrap()).collect();
    let mut refused = 0;
    for &one in &all {
        let points = [Point::new(timeline, 1)];
        let (done, _) = short_of_memory(0, || pool.deallocate_at(one, &points));
        if let Err(error) = done {
            assert_eq!(error, DeallocateError::OutOfHostMemory);
            refused += 1;
            pool.check().unwrap();
            pool.deallocate_at(one, &points).unwrap();
        }
    }
    assert!(refused > 2 && refused < MANY, "{refused}");
    cuts.signalled(timeline, 1).unwrap();
    let (freed, times) = short_of_memory(0, || pool.collect(&cuts.reached()));
    assert_eq!((freed, times), (MANY, 0));
    pool.check().unwrap();
}
