//! What ends together, and in which order: hooks, dependants, counted handles, bounded collects.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fencepost::{
    AllocateError, AllocationDesc, ImageDesc, ImageViewDesc, Object, Timeline, UserObject,
    WaitError,
    fake::{Call, FakeDriver, Use},
    vk,
};
use support::*;

/// What a hook saw at its call: how often it was called, and how many images lived then.
struct Witness {
    fake: FakeDriver,
    called: AtomicU64,
    images: AtomicU64,
}

impl Witness {
    fn new(fake: &FakeDriver) -> Self {
        Self { fake: fake.clone(), called: AtomicU64::new(0), images: AtomicU64::new(0) }
    }

    fn object(&self, added: u64) -> Object {
        let words = [std::ptr::from_ref(self) as u64, added];
        Object::User(UserObject { destroy: Self::note, words })
    }

    /// # Safety
    /// The first word is a living witness.
    unsafe fn note(_device: &ash::Device, [witness, added]: [u64; 2]) {
        // SAFETY: the caller's promise.
        let witness = unsafe { &*(witness as *const Self) };
        witness.called.fetch_add(added, Ordering::Relaxed);
        witness.images.store(witness.fake.live().images as u64, Ordering::Relaxed);
    }

    fn seen(&self) -> (u64, u64) {
        (self.called.load(Ordering::Relaxed), self.images.load(Ordering::Relaxed))
    }
}

fn image_desc() -> ImageDesc {
    ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 16, 16, vk::ImageUsageFlags::SAMPLED)
}

#[test]
fn an_object_of_the_users_ends_when_the_gpu_is_done_with_it() {
    let fake = fake();
    let witness = Witness::new(&fake);
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let frame = frames.begin().unwrap();
        // SAFETY: the witness outlives the allocator.
        unsafe { allocator.retire_object(witness.object(1)) };
        submit_nothing(frame).unwrap();
        allocator.collect();
        assert_eq!(witness.seen().0, 0, "the frame may still use it");
        fake.run();
        assert_eq!(allocator.collect().objects, 1);
        assert_eq!(witness.seen().0, 1);
        // With nothing open or submitted it ends at once, and at a shutdown without a collect.
        // SAFETY: as above.
        unsafe { allocator.retire_object(witness.object(10)) };
        assert_eq!(witness.seen().0, 11);
        let _open = frames.begin().unwrap();
        // SAFETY: as above; nothing else uses the device.
        unsafe {
            allocator.retire_object(witness.object(100));
            allocator.shutdown().unwrap();
        }
        assert_eq!(witness.seen().0, 111);
    }
    fake.finish().unwrap();
}

#[test]
fn what_hangs_on_an_image_ends_before_it() {
    let fake = fake();
    let witness = Witness::new(&fake);
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let image = allocator.create_image(&image_desc(), &AllocationDesc::device_local()).unwrap();
        let frame = frames.begin().unwrap();
        // SAFETY: the witness outlives the allocator.
        unsafe { allocator.retire_object(witness.object(1)) };
        let point = submit_nothing(frame).unwrap();
        fake.run();
        // The object is reached and known to be, but not collected; the image's end is immediate.
        assert!(frames.is_reached(point).unwrap());
        assert_eq!(witness.seen().0, 0);
        drop(image);
        assert_eq!(witness.seen(), (1, 1), "the image still lived");
        assert_eq!(fake.live().images, 0);
    }
    fake.finish().unwrap();
}

#[test]
fn dependants_go_with_their_owner_whoever_records_meanwhile() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let image = allocator.create_image(&image_desc(), &AllocationDesc::device_local()).unwrap();
        let desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
        let views: Vec<_> =
            (0..3).map(|_| allocator.create_image_view(&image, &desc).unwrap()).collect();
        let first = frames.begin().unwrap();
        let used = fake.record(&[Use::view(views[0].handle())]);
        image.retire_with(views);
        let second = frames.begin().unwrap();
        submit(first, &[used]).unwrap();
        allocator.collect();
        assert_eq!((fake.live().images, allocator.statistics().total.pending_count), (1, 1));
        fake.run();
        let collected = allocator.collect();
        assert_eq!((collected.objects, collected.allocations), (3, 1));
        submit_nothing(second).unwrap();
        fake.run();
    }
    fake.finish().unwrap();
}

/// `Arc` is the counted handle: its last drop is a drop like any other.
#[test]
fn what_several_hold_ends_with_the_last_holder_and_the_gpu() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        // A bottom-level structure under two top-level ones, which hold its address only.
        let bottom = Arc::new(buffer(&allocator, 1000));
        let tops = [1, 2].map(|size| (buffer(&allocator, size * 1000), Arc::clone(&bottom)));
        let handle = bottom.handle();
        drop(bottom);
        for (held, top) in [2, 1].into_iter().zip(tops) {
            assert_eq!(fake.live().buffers, held + 1);
            let frame = frames.begin().unwrap();
            let used = fake.record(&[Use::buffer(top.0.handle()), Use::buffer(handle)]);
            let (top, bottom) = top;
            bottom_up(top, bottom);
            submit(frame, &[used]).unwrap();
            allocator.collect();
            fake.run();
            allocator.collect();
        }
        assert_eq!(fake.live().buffers, 0);
    }
    fake.finish().unwrap();
}

/// The top-level structure goes first, and its hold on the bottom-level one with it.
fn bottom_up(top: fencepost::Buffer, bottom: Arc<fencepost::Buffer>) {
    match Arc::try_unwrap(bottom) {
        Ok(last) => last.retire_with(top),
        Err(_held) => drop(top),
    }
}

#[test]
fn a_collect_is_bounded_and_keeps_up_with_what_is_retired() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let requirements = vk::MemoryRequirements { size: 64, alignment: 64, memory_type_bits: !0 };
        let desc = AllocationDesc::device_local();
        let many = |count: usize| -> Vec<_> {
            let made = || {
                allocator.allocate(&requirements, fencepost::ResourceKind::Linear, &desc).unwrap()
            };
            std::iter::repeat_with(made).take(count).collect()
        };
        let pile_up = |collects: bool| {
            let frame = frames.begin().unwrap();
            drop(many(10_000));
            if collects {
                assert_eq!(allocator.collect().allocations, 0, "the frame holds all back");
            }
            submit_nothing(frame).unwrap();
            fake.run();
        };
        // As many as were retired since the last collect come at once.
        pile_up(false);
        let collected = allocator.collect();
        assert_eq!((collected.allocations, collected.more), (10_000, false));
        // What was retired before that comes in portions.
        pile_up(true);
        for (expected, more) in [(4096, true), (4096, true), (1808, false), (0, false)] {
            let collected = allocator.collect();
            assert_eq!((collected.allocations, collected.more), (expected, more));
            allocator.check().unwrap();
        }
        pile_up(true);
        assert_eq!(allocator.collect_all().allocations, 10_000);
    }
    fake.finish().unwrap();
}

#[test]
fn out_of_memory_names_the_earliest_drop_worth_waiting_for() {
    let fake = fake();
    {
        // SAFETY: the fake lives as long as the test, and the test submits through timelines.
        let allocator = unsafe { fencepost::Allocator::new(&desc(&fake)) }.unwrap();
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let requirements =
            vk::MemoryRequirements { size: 1 << 18, alignment: 64, memory_type_bits: 1 };
        let wish = AllocationDesc::default();
        let make = |size: u64| {
            let requirements = vk::MemoryRequirements { size, ..requirements };
            allocator.allocate(&requirements, fencepost::ResourceKind::Linear, &wish)
        };
        let error = vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;
        let (small, large) = (make(1 << 10).unwrap(), make(1 << 18).unwrap());
        let frame = |dropped: fencepost::Allocation| {
            let frame = frames.begin().unwrap();
            drop(dropped);
            submit_nothing(frame).unwrap()
        };
        frame(small);
        frame(large);
        let rest: Vec<_> = std::iter::from_fn(|| {
            fake.fail_all(Call::AllocateMemory, error);
            let made = make(1 << 18).ok();
            fake.clear_faults();
            made
        })
        .collect();
        let refused = |size: u64| {
            fake.fail_all(Call::AllocateMemory, error);
            let refused = make(size).unwrap_err();
            fake.clear_faults();
            match refused {
                AllocateError::OutOfDeviceMemory { cut, pending, .. } => (cut, pending),
                other => panic!("{other:?}"),
            }
        };
        let (cut, pending) = refused(1 << 18);
        assert!(pending >= (1 << 18) + (1 << 10));
        let cut = cut.expect("the large one is worth a wait");
        // Nothing moves: the wait ends by its bound.
        fake.set_stalled(fake.queue(0), true);
        assert_eq!(allocator.wait_for(cut, Duration::from_millis(1)), Err(WaitError::Timeout));
        // The second frame is what it waits for; the first alone is not enough.
        fake.set_stalled(fake.queue(0), false);
        fake.run();
        allocator.wait_for(cut, Duration::from_millis(1)).unwrap();
        let again = make(1 << 18).unwrap();
        // What an open recording may still use is not worth a wait, however long.
        let open = frames.begin().unwrap();
        drop(again);
        let cut = refused(1 << 18).0.expect("it may be worth a wait later");
        assert_eq!(allocator.wait_for(cut, Duration::MAX), Err(WaitError::OpenRecording));
        submit_nothing(open).unwrap();
        fake.run();
        allocator.wait_for(cut, Duration::from_millis(1)).unwrap();
        drop(rest);
    }
    fake.finish().unwrap();
}

#[test]
fn what_a_pipeline_is_made_of_ends_by_its_kind() {
    let fake = fake();
    {
        let (allocator, device) = (allocator(&fake), fake.device());
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let sets = [set_layout(&fake, 1)];
        let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        let size =
            vk::DescriptorPoolSize { ty: vk::DescriptorType::UNIFORM_BUFFER, descriptor_count: 1 };
        let sizes = [size];
        let pool = vk::DescriptorPoolCreateInfo::default().max_sets(1).pool_sizes(&sizes);
        // SAFETY: the fake lives.
        let (layout, pool) = unsafe {
            (
                device.create_pipeline_layout(&layout, None),
                device.create_descriptor_pool(&pool, None),
            )
        };
        let (layout, pool) = (layout.unwrap(), pool.unwrap());
        let recording = frames.begin().unwrap();
        let layouts = [Object::PipelineLayout(layout), Object::DescriptorSetLayout(sets[0])];
        for object in [Object::DescriptorPool(pool)].into_iter().chain(layouts) {
            // SAFETY: it is used no more.
            unsafe { allocator.retire_object(object) };
        }
        assert_eq!(allocator.collect().objects, 0);
        submit_nothing(recording).unwrap();
        fake.run();
        assert_eq!(allocator.collect().objects, 3);
    }
    fake.finish().expect("each is destroyed, and by its own command");
}

/// A function that fails between `begin` and `submit`, and gives its recording up by `?`.
fn a_frame_that_fails(frames: &Timeline) -> Result<(), AllocateError> {
    let _frame = frames.begin().unwrap();
    Err(AllocateError::ZeroSize)
}

#[test]
fn a_recording_that_was_dropped_open_ends_when_the_user_says_that_all_is_idle() {
    let fake = fake();
    let allocator = allocator(&fake);
    let one_fence = allocator.fence_timeline(fake.queue(0), 1).unwrap();
    let frames = allocator.timeline(fake.queue(1)).unwrap();
    a_frame_that_fails(&frames).unwrap_err();
    let (mut frame, joined) = (frames.begin().unwrap(), frames.begin().unwrap());
    frame.join(joined).unwrap();
    drop(frame);
    a_frame_that_fails(&one_fence).unwrap_err();
    let pending_after_a_frame = || {
        drop(buffer(&allocator, 64));
        submit_nothing(one_fence.begin().unwrap()).unwrap(); // its fence is there again
        fake.run();
        allocator.collect();
        allocator.statistics().total.pending_count
    };
    assert_eq!(pending_after_a_frame(), 1, "they may be submitted yet");
    assert_eq!(allocator.statistics().open_recordings, 4);
    // SAFETY: nothing was recorded under them.
    unsafe { allocator.assume_idle() };
    assert_eq!(allocator.statistics().open_recordings, 0);
    assert_eq!(pending_after_a_frame(), 0);
    let held = frames.begin().unwrap();
    // SAFETY: nothing is recorded.
    unsafe { allocator.assume_idle() };
    assert_eq!(pending_after_a_frame(), 1, "one that is held stays open");
    submit_nothing(held).unwrap();
    fake.run();
    // SAFETY: nothing is used after.
    unsafe { allocator.shutdown() }.unwrap();
    drop((frames, one_fence, allocator));
    fake.finish().unwrap();
}
