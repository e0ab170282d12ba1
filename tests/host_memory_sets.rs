//! The host has no memory while descriptor sets end: they stay, or are freed a few at a time, and
//! none is lost.

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::short_of_memory;
use fencepost::{DescriptorCounts, DescriptorSet, fake::FakeDriver};
use support::*;

const MANY: usize = 200;

const COUNTS: DescriptorCounts = DescriptorCounts { uniform_buffer: 1, ..DescriptorCounts::EMPTY };

/// How the sets that wait go.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Collect,
    Idle,
    Later,
}

/// Sets end while the heap gives nothing: those that cannot be noted live on until the allocator goes; all others are
/// freed by a collect or an end without memory, or with it.
#[test]
fn sets_that_cannot_be_noted_stay() {
    for way in [Way::Collect, Way::Idle, Way::Later] {
        let fake = FakeDriver::new(&Default::default());
        let layout = set_layout(&fake, 1);
        let allocator = made(&desc(&fake));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        // SAFETY: the counts are the layout's.
        let set = || unsafe { allocator.create_descriptor_set(layout, &COUNTS) }.unwrap();
        let mut all: Vec<DescriptorSet> = (0..2 * MANY).map(|_| set()).collect();
        let pass = |ends: &mut dyn FnMut()| {
            let frame = frames.begin().unwrap();
            ends();
            submit_nothing(frame).unwrap();
            fake.run();
        };
        // The library's own list of sets in hand has its size from now on, and ours some.
        pass(&mut || all.truncate(MANY));
        assert_eq!(allocator.collect_all().objects as usize, MANY);
        let mut more: Vec<_> = (0..2 * MANY).map(|_| set()).collect();
        let mut times = 0;
        pass(&mut || times = short_of_memory(0, || more.clear()).1);
        let stay = allocator.statistics().live_objects as usize - MANY;
        assert!(times > 0 && stay > 0 && stay < 2 * MANY, "{stay} of {times}");
        assert_eq!(allocator.statistics().pending_objects as usize, 2 * MANY - stay);
        let (_, times) = short_of_memory(0, || match way {
            Way::Collect => {
                let gone = allocator.collect_all();
                assert_eq!((gone.objects as usize, gone.more), (2 * MANY - stay, false));
            }
            // SAFETY: the fake has done all.
            Way::Idle => unsafe { allocator.assume_idle() },
            Way::Later => {}
        });
        // The end would have all in hand at once.
        assert_eq!(times > 0, way == Way::Idle);
        if way != Way::Later {
            assert_eq!(fake.live().descriptor_sets, MANY + stay);
        }
        // With memory all is as before.
        pass(&mut || all.clear());
        let left = if way == Way::Later { 2 * MANY - stay } else { 0 };
        assert_eq!(allocator.collect_all().objects as usize, MANY + left);
        assert_eq!(fake.live().descriptor_sets, stay);
        drop(frames);
        drop(allocator);
        assert_eq!(fake.live().descriptor_sets, 0, "their pools went");
        // SAFETY: no set of it is left.
        unsafe { fake.device().destroy_descriptor_set_layout(layout, None) };
        fake.finish().unwrap();
    }
}
