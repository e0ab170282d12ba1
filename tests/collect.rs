//! What one collect frees, and what happens when several run at once: hooks that collect, other
//! threads, a lost device.

mod support;

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use fencepost::{
    AllocationDesc, Allocator, Buffer, DescriptorCounts, Image, ImageDesc, ImageViewDesc, Object,
    Timeline, UserObject, fake::FakeDriver, vk,
};
use support::*;

/// What a hook of the tests does, once.
type Deed = Box<dyn FnOnce() + Send>;

/// An object whose end does something.
fn object(deed: impl FnOnce() + Send) -> Object {
    // A box of a box, because the inner one's pointer is two words. What it borrows outlives the
    // allocator in every test here.
    let deed: Box<dyn FnOnce() + Send + '_> = Box::new(deed);
    // SAFETY: only the lifetime changes, and the deed is done before it ends.
    let deed: Deed = unsafe { core::mem::transmute(deed) };
    let words = [Box::into_raw(Box::new(deed)) as u64, 0];
    Object::User(UserObject { destroy: run, words })
}

/// # Safety
/// The word is of a box that [`object`] made, and nobody else has it.
unsafe fn run(_device: &ash::Device, [deed, _]: [u64; 2]) {
    // SAFETY: the caller's promise.
    let deed = unsafe { Box::from_raw(deed as *mut Deed) };
    deed();
}

/// Gives an object up.
fn end(allocator: &Allocator, deed: impl FnOnce() + Send) {
    // SAFETY: it is nobody else's, and no command knows it.
    unsafe { allocator.retire_object(object(deed)) };
}

fn image(allocator: &Allocator) -> Image {
    let usage = vk::ImageUsageFlags::SAMPLED;
    let desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 16, 16, usage);
    allocator.create_image(&desc, &AllocationDesc::device_local()).unwrap()
}

/// Opens a frame, gives something up in it, submits it and lets the GPU pass it.
fn pass(fake: &FakeDriver, frames: &Timeline, give_up: impl FnOnce()) {
    let frame = frames.begin().unwrap();
    give_up();
    submit_nothing(frame).unwrap();
    fake.run();
}

#[test]
fn objects_come_in_shares_and_what_was_dropped_after_them_waits() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let image = image(&allocator);
        pass(&fake, &frames, || {
            (0..10_000).for_each(|_| end(&allocator, || ()));
            assert_eq!(allocator.collect().objects, 0, "the frame holds all back");
            drop(image);
        });
        for (objects, allocations, more) in
            [(4096, 0, true), (4096, 0, true), (1808, 1, false), (0, 0, false)]
        {
            let collected = allocator.collect();
            let seen = (collected.objects, collected.allocations, collected.more);
            assert_eq!(seen, (objects, allocations, more));
        }
        // As many as came since the last collect go at once, and all by `collect_all`.
        pass(&fake, &frames, || (0..9000).for_each(|_| end(&allocator, || ())));
        let collected = allocator.collect();
        assert_eq!((collected.objects, collected.more), (9000, false));
        pass(&fake, &frames, || {
            (0..9000).for_each(|_| end(&allocator, || ()));
            allocator.collect();
        });
        assert_eq!(allocator.collect_all().objects, 9000);
    }
    fake.finish().unwrap();
}

#[test]
fn descriptor_sets_come_in_shares() {
    let fake = fake();
    let layout = set_layout(&fake, 1);
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let counts = DescriptorCounts { uniform_buffer: 1, ..DescriptorCounts::EMPTY };
        // SAFETY: the counts are the layout's.
        let set = || unsafe { allocator.create_descriptor_set(layout, &counts) }.unwrap();
        let sets: Vec<_> = (0..5000).map(|_| set()).collect();
        pass(&fake, &frames, || {
            drop(sets);
            assert_eq!(allocator.collect().objects, 0, "the frame holds all back");
        });
        for (objects, more) in [(4096, true), (904, false), (0, false)] {
            let collected = allocator.collect();
            assert_eq!((collected.objects, collected.more), (objects, more));
        }
    }
    // SAFETY: no set of it is left.
    unsafe { fake.device().destroy_descriptor_set_layout(layout, None) };
    fake.finish().unwrap();
}

#[test]
fn what_waits_for_points_comes_in_shares_too() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let requirements = vk::MemoryRequirements { size: 64, alignment: 64, memory_type_bits: !0 };
        let kind = fencepost::ResourceKind::Linear;
        let many: Vec<_> = (0..9000)
            .map(|_| allocator.allocate(&requirements, kind, &AllocationDesc::default()).unwrap())
            .collect();
        let point = submit_nothing(frames.begin().unwrap()).unwrap();
        for allocation in many {
            // SAFETY: no command names it.
            unsafe { allocation.retire_at(&[point]) }.unwrap();
        }
        assert_eq!(allocator.collect().allocations, 0);
        fake.run();
        for (allocations, more) in [(4096, true), (4096, true), (808, false), (0, false)] {
            let collected = allocator.collect();
            assert_eq!((collected.allocations, collected.more), (allocations, more));
            allocator.check().unwrap();
        }
    }
    fake.finish().unwrap();
}

/// A hook may call what it likes, with no lock held; and what must end after its neighbours in the same
/// collect does so even then.
#[test]
fn a_hook_may_collect_and_drop() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let image = image(&allocator);
        let desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
        let view = allocator.create_image_view(&image, &desc).unwrap();
        let (inside, held) = (buffer(&allocator, 1000), Mutex::new(None::<Buffer>));
        *held.lock().unwrap() = Some(inside);
        let seen = Mutex::new(None);
        pass(&fake, &frames, || {
            end(&allocator, || {
                drop(held.lock().unwrap().take());
                let collected = allocator.collect();
                *seen.lock().unwrap() = Some((collected, fake.live()));
            });
            drop((view, image));
        });
        let collected = allocator.collect();
        let (within, live) = seen.into_inner().unwrap().expect("it was called");
        assert_eq!((within.objects, within.allocations, within.more), (0, 0, true));
        assert_eq!((live.images, live.image_views), (1, 1), "the view is still in hand");
        assert_eq!((collected.objects, collected.allocations), (2, 2));
        assert_eq!((fake.live().images, fake.live().buffers), (0, 0));
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}

/// While one thread has reached objects in hand, another takes back nothing that was dropped after them.
#[test]
fn what_another_thread_has_in_hand_holds_back_what_came_after_it() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let (dropped, late) = (image(&allocator), image(&allocator));
        let (entered, has_entered) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        let may_leave = Mutex::new(may_leave);
        pass(&fake, &frames, || {
            end(&allocator, || {
                entered.send(()).unwrap();
                may_leave.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
            });
            drop(dropped);
        });
        std::thread::scope(|scope| {
            let other = scope.spawn(|| allocator.collect());
            has_entered.recv_timeout(Duration::from_secs(20)).unwrap();
            let beside = allocator.collect();
            // All is reached, so this would end at once.
            drop(late);
            let images = fake.live().images;
            leave.send(()).unwrap();
            let collected = other.join().unwrap();
            assert_eq!((beside.allocations, beside.more, images), (0, true, 2));
            assert_eq!((collected.objects, collected.allocations), (1, 2));
        });
        assert_eq!(fake.live().images, 0);
    }
    fake.finish().unwrap();
}

#[test]
fn after_a_loss_all_goes_and_nothing_is_said_to_be_left() {
    let fake = fake();
    {
        let allocator = allocator(&fake);
        // Dropped before any timeline: only the loss tells that the GPU is done.
        drop(buffer(&allocator, 1000));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let open = frames.begin().unwrap();
        drop(buffer(&allocator, 1000));
        end(&allocator, || ());
        assert_eq!(allocator.collect().allocations, 0);
        submit_nothing(frames.begin().unwrap()).unwrap();
        fake.lose_device();
        let collected = allocator.collect();
        assert_eq!((collected.allocations, collected.objects, collected.more), (2, 1, false));
        assert!(!allocator.collect().more, "or a loop until nothing is left never ends");
        assert_eq!(allocator.statistics().total.pending_count, 0);
        drop(open);
    }
    fake.finish().unwrap();
}
