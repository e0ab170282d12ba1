//! The host has no memory to remember former owners: a late write is found nevertheless, and no
//! owner is named.

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::short_of_memory;
use fencepost::{AllocationDesc, GuardPolicy, ResourceKind, fake::FakeDriver, vk};
use support::*;

const MANY: usize = 300;

#[test]
fn a_late_write_is_found_though_its_owner_is_forgotten() {
    for short in [false, true] {
        let fake = FakeDriver::new(&Default::default());
        let allocator = made(&desc(&fake).guards(GuardPolicy::Poison));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let needs = vk::MemoryRequirements { size: 256, alignment: 16, memory_type_bits: !0 };
        let memory =
            AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT).name("owner");
        let take = || allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap();
        let mut all: Vec<_> = (0..2 * MANY).map(|_| take()).collect();
        // SAFETY: each is written through after its end, which is what is looked for.
        let mut late: Vec<_> = all.iter().map(|one| unsafe { one.mapped() }.unwrap()).collect();
        // Every other one lives on, so that each of the others has a grave of its own.
        let frame = frames.begin().unwrap();
        let mut index = 0;
        all.retain(|_| {
            index += 1;
            index % 2 == 0
        });
        late = late.into_iter().step_by(2).collect();
        submit_nothing(frame).unwrap();
        fake.run();
        let (_, times) = short_of_memory(if short { 100 } else { usize::MAX }, || {
            for _ in 0..MANY {
                allocator.collect_all();
            }
        });
        assert_eq!(times > 0, short);
        assert_eq!(allocator.statistics().total.pending_count, 0);
        for one in late {
            // SAFETY: the block stays mapped, and the words are free memory.
            unsafe { one.cast::<u32>().write(7) };
        }
        let found = allocator.check_guards();
        assert_eq!(found.len(), MANY);
        let named = found.iter().filter(|one| one.owner.is_some()).count();
        assert_eq!(named, if short { 0 } else { MANY });
        assert_eq!(allocator.check_guards(), []);
        drop(all);
        allocator.collect_all();
        drop(frames);
        assert_eq!(allocator.close().map(|report| report.leaks.len()), Some(0));
        fake.finish().unwrap();
    }
}
