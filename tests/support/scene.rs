//! The scene for pictures.
#![allow(dead_code, reason = "each test target uses its own part")]

use fencepost::{AllocationDesc, Allocator, ArenaDesc, ImageDesc, Snapshot, fake::Use, vk};

use crate::support::*;

/// A scene with every state: used, free, pending on a timeline, pending on an open recording,
/// dedicated. `look` inspects it.
pub fn scene(look: impl FnOnce(&Allocator)) {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let image = ImageDesc::new_2d(
        vk::Format::R8G8B8A8_UNORM,
        64,
        64,
        vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_DST,
    );
    let albedo = allocator
        .create_image(&image, &AllocationDesc::device_local().name("albedo <&> \"1\""))
        .unwrap();
    let (mesh, gap) = (buffer(&allocator, 5000), buffer(&allocator, 3000));
    let (flying, kept) = (buffer(&allocator, 7000), buffer(&allocator, 1000));
    let own = AllocationDesc::device_local().name("own").dedicated(true);
    let big = allocator.create_buffer(&buffer_desc(2 << 20), &own).unwrap();
    drop(gap); // no recording is open and nothing submitted: free at once
    let arena = ArenaDesc::new(AllocationDesc::upload()).name("streaming");
    let arena = allocator.create_arena(&arena).unwrap();
    let staged = arena.create_buffer(&buffer_desc(600), &AllocationDesc::default().name("staged"));
    let frame = frames.begin().unwrap();
    let commands = [fake.record(&[Use::buffer(flying.handle())])];
    drop(flying);
    submit(frame, &commands).unwrap();
    let open = frames.begin().unwrap();
    drop(mesh);
    look(&allocator);
    submit_nothing(open).unwrap();
    drop((big, kept, albedo, staged.unwrap(), arena, frames));
    allocator.close().unwrap();
    fake.finish().unwrap();
}

pub fn snapshot() -> Snapshot {
    let mut taken = None;
    scene(|allocator| taken = Some(allocator.snapshot()));
    taken.unwrap()
}

/// Many allocations, one with a special name, including text that could break a page.
pub fn crowd(many: usize, look: impl FnOnce(&Allocator)) {
    let fake = fake();
    let allocator = allocator(&fake);
    let requirements = vk::MemoryRequirements { size: 256, alignment: 64, memory_type_bits: !0 };
    let kind = fencepost::ResourceKind::Linear;
    let names = std::iter::repeat_n("one of many", many).chain(["</script><b>needle"]);
    let live: Vec<_> = names
        .map(|name| {
            let desc = AllocationDesc::device_local().name(name);
            allocator.allocate(&requirements, kind, &desc).unwrap()
        })
        .collect();
    look(&allocator);
    for allocation in live {
        // SAFETY: no GPU is there.
        unsafe { allocation.free_now() };
    }
    drop(allocator);
    fake.finish().unwrap();
}
