//! Reuse in the order of a queue: pending ranges go to new owners, and the fake driver checks that
//! the dependency of their first submission is sufficient. If the wait is omitted, it must report
//! this.

mod support;

use fencepost::{
    AllocateError, Allocation, AllocationDesc, Allocator, Buffer, CopyError, CreateError,
    Dependency, ImageDesc, Ordered, Recording, ResourceKind, Timeline,
    fake::{Call, FakeDriver, Profile, Use},
    vk,
};
use support::{random::Random, *};

const BLOCK: u64 = 1 << 20;

/// An allocator with blocks of one size, so that one buffer fills one.
fn tight(fake: &FakeDriver) -> Allocator {
    fake.set_ordered_reuse(true);
    // SAFETY: the fake is kept alive, and the test submits through timelines.
    unsafe { Allocator::new(&desc(fake).first_block(BLOCK).largest_block(BLOCK)) }.unwrap()
}

fn memory() -> AllocationDesc {
    AllocationDesc::device_local().name("ordered")
}

fn ordered(allocator: &Allocator, size: u64, queue: &Timeline) -> Ordered<Buffer> {
    // SAFETY: the fake executes nothing, and judges what is submitted.
    unsafe { allocator.create_buffer_ordered(&buffer_desc(size), &memory(), queue) }.unwrap()
}

/// Submits uses, behind what a dependency asks for.
fn submit_after(fake: &FakeDriver, frame: Recording, dependency: &Dependency, uses: &[Use]) {
    submit_behind(fake, frame, dependency.needs_barrier(), dependency.waits(), uses);
}

/// Submits uses, behind a barrier and waits.
fn submit_behind(
    fake: &FakeDriver,
    frame: Recording,
    barrier: bool,
    waits: &[(vk::Semaphore, u64)],
    uses: &[Use],
) {
    let barrier = barrier.then(Use::barrier);
    let uses: Vec<Use> = barrier.into_iter().chain(uses.iter().copied()).collect();
    let commands = [fake.record(&uses)];
    let (semaphores, values): (Vec<_>, Vec<_>) = waits.iter().copied().unzip();
    let stages = vec![vk::PipelineStageFlags::ALL_COMMANDS; semaphores.len()];
    let mut timeline = vk::TimelineSemaphoreSubmitInfo::default().wait_semaphore_values(&values);
    let batch = vk::SubmitInfo::default()
        .command_buffers(&commands)
        .wait_semaphores(&semaphores)
        .wait_dst_stage_mask(&stages)
        .push_next(&mut timeline);
    // SAFETY: the fake judges it.
    frame.submit(|signal| unsafe { signal.queue_submit(&[batch]) }).unwrap();
}

/// A buffer that fills a block is used on a queue and dropped before the GPU is there.
fn fill_and_drop(fake: &FakeDriver, allocator: &Allocator, timeline: &Timeline) -> u64 {
    let old = buffer(allocator, BLOCK);
    let frame = timeline.begin().unwrap();
    submit(frame, &[fake.record(&[Use::buffer(old.handle())])]).unwrap();
    old.allocation().offset()
}

#[test]
fn on_one_queue_a_barrier_orders_and_without_it_the_submit_is_caught() {
    for barrier in [true, false] {
        let fake = fake();
        {
            let allocator = tight(&fake);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            fill_and_drop(&fake, &allocator, &frames);
            let Ordered { owner: new, dependency } = ordered(&allocator, BLOCK / 2, &frames);
            assert!(dependency.needs_barrier() && dependency.waits().is_empty());
            assert_eq!(allocator.statistics().total.blocks, 1, "no more memory was asked for");
            let more = ordered(&allocator, BLOCK / 4, &frames);
            assert!(more.dependency.needs_barrier(), "what is left of it is pending too");
            allocator.check().unwrap();
            let given = if barrier { dependency } else { Dependency::none() };
            let uses = [Use::buffer(new.handle()), Use::buffer(more.owner.handle())];
            submit_after(&fake, frames.begin().unwrap(), &given, &uses);
            drop((new, more));
            fake.run();
            assert_eq!(allocator.collect().allocations, 3, "both, and the rest");
            assert_eq!(fake.live().buffers, 0);
        }
        assert_eq!(fake.finish().is_ok(), barrier);
    }
}

#[test]
fn work_of_another_queue_is_waited_for_and_without_the_wait_it_is_caught() {
    for waits in [true, false] {
        let fake = fake();
        {
            let allocator = tight(&fake);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let loads = allocator.timeline(fake.queue(1)).unwrap();
            fill_and_drop(&fake, &allocator, &loads);
            let Ordered { owner: new, dependency } = ordered(&allocator, BLOCK, &frames);
            assert!(!dependency.needs_barrier());
            assert_eq!(dependency.waits(), [(loads.semaphore().unwrap(), 1)]);
            let given = if waits { dependency } else { Dependency::none() };
            submit_after(&fake, frames.begin().unwrap(), &given, &[Use::buffer(new.handle())]);
            assert_eq!(fake.step(fake.queue(0)), !waits, "the GPU waits, not the CPU");
            drop(new);
            fake.run();
            assert_eq!(allocator.collect().allocations, 1);
        }
        assert_eq!(fake.finish().is_ok(), waits);
    }
}

/// Neighbours that were dropped one after the other, each used on a queue of its own, hold together what none of them does.
#[test]
fn neighbours_are_taken_over_together_and_every_wait_of_theirs_is_due() {
    // Whether the barrier and the wait are made.
    for made in [[true, true], [false, true], [true, false]] {
        let fake = fake();
        {
            let allocator = tight(&fake);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let loads = allocator.timeline(fake.queue(1)).unwrap();
            let olds = [BLOCK / 4, BLOCK / 2, BLOCK / 4].map(|size| buffer(&allocator, size));
            for (old, timeline) in olds.into_iter().zip([&frames, &loads, &frames]) {
                let frame = timeline.begin().unwrap();
                submit(frame, &[fake.record(&[Use::buffer(old.handle())])]).unwrap();
            }
            let Ordered { owner: new, dependency } = ordered(&allocator, BLOCK / 8 * 7, &frames);
            assert!(dependency.needs_barrier());
            assert_eq!(dependency.waits(), [(loads.semaphore().unwrap(), 1)]);
            let statistics = allocator.statistics();
            assert_eq!(
                (statistics.total.blocks, statistics.total.pending),
                (1, BLOCK / 8),
                "the last one's rest"
            );
            allocator.check().unwrap();
            let more = ordered(&allocator, BLOCK / 8, &frames);
            assert!(more.dependency.needs_barrier(), "which is in its bag as it was");
            let [barrier, wait] = made;
            let waits = if wait { dependency.waits() } else { &[] };
            let uses = [Use::buffer(new.handle())];
            submit_behind(&fake, frames.begin().unwrap(), barrier, waits, &uses);
            drop((new, more));
            fake.run();
            allocator.collect_all();
            assert_eq!(allocator.statistics().total.pending, 0);
            assert_eq!(fake.live().buffers, 0, "those of all three");
            allocator.check().unwrap();
        }
        assert_eq!(fake.finish().is_ok(), made == [true, true], "{made:?}");
    }
}

/// What lies between two pending ranges and lives is not taken over.
#[test]
fn only_neighbours_are_taken_over_together() {
    let fake = fake();
    {
        let allocator = tight(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let [first, between, last] = [(); 3].map(|()| buffer(&allocator, BLOCK / 3 / 64 * 64));
        let frame = frames.begin().unwrap();
        let uses = [&first, &between, &last].map(|old| Use::buffer(old.handle()));
        submit(frame, &[fake.record(&uses)]).unwrap();
        drop((first, last));
        let other = ordered(&allocator, BLOCK / 2, &frames);
        assert!(other.dependency.is_none() && allocator.statistics().total.blocks == 2);
        drop(between);
        let both = ordered(&allocator, BLOCK / 5 * 3, &frames);
        assert!(both.dependency.needs_barrier(), "the control");
        assert_eq!(allocator.statistics().total.blocks, 2);
        fake.run();
    }
    // Nothing was submitted with the new ones.
    fake.finish().unwrap();
}

#[test]
fn a_ring_of_fences_serves_its_own_queue_only() {
    let fake = fake();
    {
        let allocator = tight(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let loads = allocator.fence_timeline(fake.queue(1), 4).unwrap();
        fill_and_drop(&fake, &allocator, &loads);
        let other = ordered(&allocator, BLOCK, &frames);
        assert!(other.dependency.is_none());
        assert_eq!(allocator.statistics().total.blocks, 2);
        let own = ordered(&allocator, BLOCK, &loads);
        assert!(own.dependency.needs_barrier() && own.dependency.waits().is_empty());
        assert_eq!(allocator.statistics().total.blocks, 2);
        fake.run();
    }
    fake.finish().unwrap();
}

#[test]
fn only_what_is_submitted_is_taken_over() {
    let fake = fake();
    {
        let allocator = tight(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let old = buffer(&allocator, BLOCK);
        let frame = frames.begin().unwrap();
        let commands = fake.record(&[Use::buffer(old.handle())]);
        drop(old);
        let early = ordered(&allocator, BLOCK, &frames);
        assert!(early.dependency.is_none(), "its use is still being recorded");
        submit(frame, &[commands]).unwrap();
        assert!(ordered(&allocator, BLOCK, &frames).dependency.needs_barrier());
        assert_eq!(allocator.statistics().total.blocks, 2);
        fake.run();
    }
    fake.finish().unwrap();
}

/// Whatever ends the new owner, the range is nobody's before the old owner's work is done.
#[test]
fn every_end_of_the_new_owner_waits_for_the_old_one_too() {
    type End = (&'static str, fn(Buffer));
    let ends: [End; 4] = [
        ("drop", drop),
        // SAFETY: the new owner was never used.
        ("free_now", |new| unsafe { new.free_now() }),
        // SAFETY: as above.
        ("retire_at nothing", |new| unsafe { new.retire_at(&[]) }.unwrap()),
        ("raw", |new| {
            let (handle, allocation) = new.into_parts();
            let _ = handle;
            // SAFETY: as above.
            unsafe { allocation.free_now() };
        }),
    ];
    for (name, end) in ends {
        let fake = fake();
        {
            let allocator = tight(&fake);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            fill_and_drop(&fake, &allocator, &frames);
            let Ordered { owner: new, dependency } = ordered(&allocator, BLOCK, &frames);
            assert!(dependency.needs_barrier());
            let handle = new.handle();
            end(new);
            assert_eq!(allocator.statistics().total.pending_count, 1, "{name}");
            let plain = buffer(&allocator, BLOCK);
            assert_eq!(allocator.statistics().total.blocks, 2, "{name}: it got a range of its own");
            submit_after(
                &fake,
                frames.begin().unwrap(),
                &Dependency::none(),
                &[Use::buffer(plain.handle())],
            );
            fake.run();
            drop(plain);
            assert_eq!(allocator.collect().allocations, 2, "{name}: it, and the plain one");
            if name == "raw" {
                // SAFETY: never used; the handle was handed over.
                unsafe { fake.device().destroy_buffer(handle, None) };
            }
            allocator.check().unwrap();
        }
        fake.finish().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_bind_that_fails_leaves_the_range_pending() {
    let fake = fake();
    {
        let allocator = tight(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        fill_and_drop(&fake, &allocator, &frames);
        fake.fail(Call::BindBufferMemory, 0, vk::Result::ERROR_OUT_OF_DEVICE_MEMORY);
        // SAFETY: nothing comes of it.
        let refused =
            unsafe { allocator.create_buffer_ordered(&buffer_desc(BLOCK), &memory(), &frames) };
        assert!(matches!(refused, Err(CreateError::Bind(_))), "{refused:?}");
        let statistics = allocator.statistics();
        assert_eq!((statistics.total.pending_count, statistics.total.blocks), (1, 1));
        assert!(ordered(&allocator, BLOCK, &frames).dependency.is_none(), "its points are dated");
        fake.run();
        assert!(allocator.collect().allocations >= 1);
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

#[test]
fn the_host_stays_out_of_what_was_taken_over() {
    let profile = Profile::all().find(|profile| profile.name().contains("llvmpipe")).unwrap();
    let fake = FakeDriver::new(&profile);
    {
        let allocator = tight(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        fill_and_drop(&fake, &allocator, &frames);
        let requirements =
            vk::MemoryRequirements { size: BLOCK, alignment: 64, memory_type_bits: !0 };
        let kind = ResourceKind::Linear;
        // What the host must see is never taken over.
        // SAFETY: neither is used.
        let visible = unsafe {
            allocator.allocate_ordered(&requirements, kind, &AllocationDesc::upload(), &frames)
        };
        let Ordered { owner: mut visible, dependency } = visible.unwrap();
        assert!(dependency.is_none());
        visible.write(0, &[1u32]).unwrap();
        // SAFETY: as above.
        let taken =
            unsafe { allocator.allocate_ordered(&requirements, kind, &memory(), &frames) }.unwrap();
        assert!(taken.dependency.needs_barrier());
        let refuses = |allocation: &mut Allocation| {
            assert_eq!(allocation.write(0, &[1u32]), Err(CopyError::NotMapped));
            assert_eq!(allocation.read(0, &mut [0u32]), Err(CopyError::NotMapped));
            // SAFETY: not followed.
            assert!(unsafe { allocation.mapped() }.is_none());
        };
        let mut taken = taken.owner;
        refuses(&mut taken);
        // SAFETY: the one handle.
        refuses(&mut unsafe { allocator.from_raw(taken.into_raw()) }.unwrap());
        fake.run();
    }
    fake.finish().unwrap();
}

#[test]
fn a_timeline_of_another_allocator_is_refused() {
    let (a, b) = (fake(), fake());
    let (mine, other) = (tight(&a), tight(&b));
    let foreign = other.timeline(b.queue(0)).unwrap();
    // SAFETY: nothing comes of it.
    let refused = unsafe { mine.create_buffer_ordered(&buffer_desc(64), &memory(), &foreign) };
    let error = AllocateError::ForeignTimeline;
    assert!(matches!(refused, Err(CreateError::Allocate(e)) if e == error), "{refused:?}");
}

/// Buffers and images come and go on three queues, each used on its own; the GPU is anywhere. With
/// `honest` every dependency is met. Returns what was taken over, and whether the fake found fault.
fn churn(seed: u64, steps: u32, honest: bool) -> (u32, bool) {
    let fake = fake();
    let mut random = Random::new(seed);
    let mut taken = 0;
    {
        let allocator = tight(&fake);
        let timelines = [
            allocator.timeline(fake.queue(0)).unwrap(),
            allocator.timeline(fake.queue(1)).unwrap(),
            allocator.fence_timeline(fake.queue(2), 8).unwrap(),
        ];
        let image = |size: u64| {
            let usage = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_DST;
            let edge = (size as f64 / 4.0).sqrt().ceil() as u32;
            ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, edge, edge, usage)
        };
        let mut buffers: [Vec<Buffer>; 3] = Default::default();
        let mut images: [Vec<fencepost::Image>; 3] = Default::default();
        for step in 0..steps {
            let at = random.below(3) as usize;
            let timeline = &timelines[at];
            let mut dependency = Dependency::none();
            for _ in 0..random.below(4) {
                let size = random.log_uniform(BLOCK).max(256);
                let demand = if random.below(4) == 0 {
                    // SAFETY: the dependency is met in the submission below, on the timeline's queue.
                    let made = unsafe {
                        allocator.create_image_ordered(&image(size), &memory(), timeline)
                    };
                    let Ordered { owner, dependency } = made.unwrap();
                    images[at].push(owner);
                    dependency
                } else {
                    let Ordered { owner, dependency } = ordered(&allocator, size, timeline);
                    buffers[at].push(owner);
                    dependency
                };
                taken += u32::from(!demand.is_none());
                dependency.join(&demand);
            }
            if let Ok(frame) = timeline.begin() {
                let uses: Vec<Use> = (buffers[at].iter().map(|b| Use::buffer(b.handle())))
                    .chain(images[at].iter().map(|i| Use::image(i.handle())))
                    .collect();
                let drops = |buffers: &mut Vec<Buffer>,
                             images: &mut Vec<_>,
                             random: &mut Random| {
                    for _ in 0..random.below(4) {
                        if !buffers.is_empty() {
                            drop(buffers.swap_remove(random.below(buffers.len() as u64) as usize));
                        }
                    }
                    if random.below(2) == 0 {
                        images.pop();
                    }
                };
                drops(&mut buffers[at], &mut images[at], &mut random);
                let given = if honest { dependency } else { Dependency::none() };
                submit_after(&fake, frame, &given, &uses);
                drops(&mut buffers[at], &mut images[at], &mut random);
            } else {
                // The ring is full: the GPU has to move, or the dependency is lost.
                fake.run();
            }
            for _ in 0..random.below(3) {
                fake.step(fake.queue(random.below(3) as u32));
            }
            match random.below(8) {
                0 => drop(allocator.collect()),
                1 if step % 16 == 0 => allocator.check().unwrap(),
                _ => {}
            }
        }
        drop((buffers, images));
        fake.run();
        allocator.collect_all();
        allocator.check().unwrap();
        assert_eq!(allocator.statistics().total.pending_count, 0, "seed {seed}");
    }
    (taken, fake.finish().is_ok())
}

#[test]
fn random_reuse_on_three_queues_is_clean_and_without_the_waits_it_is_caught() {
    let mut taken = 0;
    for seed in 0..20 {
        let (some, clean) = churn(seed, 300, true);
        assert!(clean, "seed {seed}");
        taken += some;
    }
    assert!(taken > 200, "{taken}");
    assert!(!churn(0, 300, false).1);
}

#[test]
#[ignore = "deep: minutes; more seeds and steps of the test above"]
fn random_reuse_on_three_queues_is_clean_for_long() {
    for seed in 1000..1100 {
        assert!(churn(seed, 5000, true).1, "seed {seed}");
    }
}
