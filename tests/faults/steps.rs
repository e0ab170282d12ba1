//! The steps of a program. Each of them must leave nothing behind if it fails.

use std::{
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

use fencepost::{
    AllocationDesc, AllocationFlags, ArenaDesc, ArenaPolicy, BufferDesc, FdKind, ImageDesc,
    ImageViewDesc, PoolDesc, ResourceKind, Timeline, fake::Use, vk,
};

use crate::{Step, World, support::*};

fn buffer_step(world: &mut World, desc: AllocationDesc) -> Result<(), String> {
    let made = world.allocator().create_buffer(&buffer_desc(5000), &desc);
    world.keep(made)
}

fn image_desc() -> ImageDesc {
    let usage = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_DST;
    ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 300, 200, usage).mip_levels(4)
}

fn submit_step(world: &mut World, timeline: Timeline) -> Result<(), String> {
    let recording = timeline.begin().map_err(|error| format!("{error:?}"))?;
    let buffer = world.allocator().create_buffer(&buffer_desc(64), &AllocationDesc::default());
    let buffer = match buffer {
        Ok(buffer) => buffer,
        Err(error) => {
            // SAFETY: nothing was recorded.
            unsafe { recording.abandon() };
            return Err(format!("{error:?}"));
        }
    };
    let commands = [world.fake.record(&[Use::buffer(buffer.handle())])];
    drop(buffer);
    let batch = vk::SubmitInfo::default().command_buffers(&commands);
    // SAFETY: the fake's command buffer is recorded.
    match recording.submit(|signal| unsafe { signal.queue_submit(&[batch]) }) {
        Ok(_) => Ok(()),
        Err(fencepost::SubmitError::Failed { recording, error }) => {
            // SAFETY: the submission failed and is not made again.
            unsafe { recording.abandon() };
            if error == vk::Result::ERROR_DEVICE_LOST {
                // The driver said so: the rest of the device follows.
                world.fake.lose_device();
            }
            world.allocator().collect();
            Err(format!("{error:?}"))
        }
        Err(fencepost::SubmitError::Refused { recording, reason }) => {
            // SAFETY: as above.
            unsafe { recording.abandon() };
            world.allocator().collect();
            Err(format!("{reason:?}"))
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// A frame on the ring of one fence, after the one before is done.
fn ring_step(world: &mut World) -> Result<(), String> {
    world.fake.run();
    submit_step(world, world.ring.clone().unwrap())
}

fn image_info() -> vk::ImageCreateInfo<'static> {
    vk::ImageCreateInfo::default()
        .flags(vk::ImageCreateFlags::DISJOINT)
        .image_type(vk::ImageType::TYPE_2D)
        .format(vk::Format::G8_B8_R8_3PLANE_444_UNORM)
        .extent(vk::Extent3D { width: 100, height: 60, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .usage(vk::ImageUsageFlags::SAMPLED)
}

/// Memory of the host's that stays to the end of the process.
fn host_memory() -> NonNull<u8> {
    static PAGES: OnceLock<usize> = OnceLock::new();
    let address = PAGES.get_or_init(|| {
        let layout = std::alloc::Layout::from_size_align(8192, 4096).unwrap();
        // SAFETY: the layout has a size.
        unsafe { std::alloc::alloc_zeroed(layout) as usize }
    });
    NonNull::new(*address as *mut u8).unwrap()
}

/// Three buffers that share two blocks of an arena, from both ends.
fn arena_step(world: &mut World, policy: ArenaPolicy) -> Result<(), String> {
    let desc = ArenaDesc::new(AllocationDesc::upload()).block_size(1 << 20).policy(policy);
    let arena = world.allocator().create_arena(&desc).map_err(|error| format!("{error:?}"))?;
    let upper = AllocationDesc::default().flags(AllocationFlags::UPPER_END);
    let made = [AllocationDesc::default(), upper, AllocationDesc::default()]
        .map(|memory| arena.create_buffer(&buffer_desc(400 << 10), &memory));
    world.keep_all(made)
}

pub const COPIES: &str = "a buffer that is written and read";

pub const STEPS: &[Step] = &[
    ("a device-local buffer", |w| buffer_step(w, AllocationDesc::device_local())),
    ("an upload buffer", |w| buffer_step(w, AllocationDesc::upload())),
    ("a dedicated buffer", |w| buffer_step(w, AllocationDesc::readback().dedicated(true))),
    ("a buffer within the budget", |w| {
        let desc = AllocationDesc::device_local().dedicated(true);
        buffer_step(w, desc.flags(AllocationFlags::WITHIN_BUDGET))
    }),
    ("a buffer and its contents", |w| {
        let memory = AllocationDesc::device_local();
        let made = w.allocator().create_buffer_init(&buffer_desc(64), &memory, &[7u32; 16]);
        w.keep(made)
    }),
    ("a large buffer", |w| {
        let desc = BufferDesc::new(200 << 20, vk::BufferUsageFlags::STORAGE_BUFFER);
        let made = w.allocator().create_buffer(&desc, &AllocationDesc::device_local());
        w.keep(made)
    }),
    ("an image", |w| {
        let made = w.allocator().create_image(&image_desc(), &AllocationDesc::device_local());
        w.keep(made)
    }),
    ("an image and its view", |w| {
        let image = w
            .allocator()
            .create_image(&image_desc(), &AllocationDesc::device_local())
            .map_err(|error| format!("{error:?}"))?;
        let desc = ImageViewDesc::new(vk::ImageAspectFlags::COLOR);
        let view = w.allocator().create_image_view(&image, &desc);
        let view = view.map_err(|error| {
            // SAFETY: nothing was recorded with the image.
            unsafe { w.allocator().assume_idle() };
            format!("{error:?}")
        });
        match view {
            Ok(view) => w.keep(Ok::<_, ()>((view, image))),
            Err(error) => {
                // SAFETY: nothing was recorded with the image.
                unsafe { image.free_now() };
                Err(error)
            }
        }
    }),
    ("two buffers on one allocation", |w| {
        w.fake.set_aliasing(true);
        let allocator = w.allocator();
        let needs = allocator.buffer_requirements(&buffer_desc(5000));
        let needs = needs.map_err(|error| format!("{error:?}"))?;
        let memory = AllocationDesc::device_local();
        let memory = allocator.allocate(&needs, ResourceKind::Linear, &memory);
        let memory = Arc::new(memory.map_err(|error| format!("{error:?}"))?);
        let pair = [0, 1024]
            .map(|offset| allocator.create_aliasing_buffer(&memory, offset, &buffer_desc(3000)));
        let made = pair.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| {
            // SAFETY: nothing was recorded.
            unsafe { allocator.assume_idle() };
            format!("{error:?}")
        });
        if made.is_err() {
            let memory = Arc::into_inner(memory).expect("the refused resources share no more");
            // SAFETY: nothing was recorded.
            unsafe { memory.free_now() };
        }
        w.keep(made)
    }),
    ("an arena", |w| {
        let desc = ArenaDesc::new(AllocationDesc::upload()).block_size(1 << 20).min_blocks(2);
        let made = w.allocator().create_arena(&desc).map_err(|error| format!("{error:?}"))?;
        let buffer = made.create_buffer(&buffer_desc(1 << 20), &AllocationDesc::default());
        let next = made.create_buffer(&buffer_desc(1 << 20), &AllocationDesc::default());
        let third = made.create_buffer(&buffer_desc(1 << 20), &AllocationDesc::default());
        w.keep_all([buffer, next, third])
    }),
    ("a timeline", |w| {
        let made = w.allocator().timeline(w.fake.queue(0)).map_err(|error| format!("{error:?}"))?;
        w.timeline = Some(made);
        Ok(())
    }),
    ("a ring of fences", |w| {
        let made = w.allocator().fence_timeline(w.fake.queue(1), 1);
        w.ring = Some(made.map_err(|error| format!("{error:?}"))?);
        Ok(())
    }),
    ("a frame with a drop", |w| submit_step(w, w.timeline.clone().unwrap())),
    ("a frame with a new fence", ring_step),
    ("a frame with a fence that was used", ring_step),
    ("a collect", |w| {
        w.fake.run();
        w.allocator().collect();
        Ok(())
    }),
    ("an image of its own", |w| {
        let desc = AllocationDesc::device_local().dedicated(true);
        let made = w.allocator().create_image(&image_desc(), &desc);
        w.keep(made)
    }),
    (COPIES, |w| {
        let made = w.allocator().create_buffer(&buffer_desc(3000), &AllocationDesc::readback());
        let mut buffer = made.map_err(|error| format!("{error:?}"))?;
        let copied = buffer.write(8, &[1_u32, 2]).and_then(|()| {
            let mut values = [0; 2];
            buffer.read(8, &mut values)?;
            assert_eq!(values, [1, 2]);
            Ok(())
        });
        if let Err(error) = copied {
            // SAFETY: nothing was recorded with the buffer.
            unsafe { buffer.free_now() };
            return Err(format!("{error:?}"));
        }
        w.keep(Ok::<_, ()>(buffer))
    }),
    ("buffers all or none", |w| {
        let needs =
            vk::MemoryRequirements { size: 300 << 10, alignment: 256, memory_type_bits: !0 };
        let memory = AllocationDesc::readback();
        let all = [needs; 9];
        let made = w.allocator().allocate_many(&all, ResourceKind::Linear, &memory);
        w.keep(made)
    }),
    ("a pool over mapped memory", |w| {
        if w.on_access {
            return Ok(());
        }
        let (allocator, upload) = (w.allocator(), AllocationDesc::upload());
        let buffer = buffer_desc(1 << 20);
        // SAFETY: the pool goes before the device, and the GPU touches nothing of it.
        let made = unsafe { allocator.mapped_pool(&buffer, &upload, &PoolDesc::new()) };
        w.keep(made)
    }),
    ("memory without a resource", |w| {
        let requirements =
            vk::MemoryRequirements { size: 1 << 20, alignment: 4096, memory_type_bits: !0 };
        let made =
            w.allocator().allocate(&requirements, ResourceKind::Linear, &AllocationDesc::upload());
        w.keep(made)
    }),
    ("a ring for frames", |w| arena_step(w, ArenaPolicy::Ring)),
    ("two stacks", |w| arena_step(w, ArenaPolicy::DoubleStack)),
    ("an important buffer", |w| {
        buffer_step(w, AllocationDesc::device_local().priority(1.0))?;
        w.allocator().collect();
        Ok(())
    }),
    ("an important buffer of its own", |w| {
        buffer_step(w, AllocationDesc::device_local().priority(0.75).dedicated(true))
    }),
    ("a ring of uploads", |w| {
        let made = w.allocator().create_ring(&buffer_desc(1 << 16), &AllocationDesc::upload());
        w.keep(made)
    }),
    ("an image of many planes", |w| {
        // SAFETY: the fake takes every format.
        let made = unsafe {
            w.allocator().create_image_from(&image_info(), &AllocationDesc::device_local())
        };
        w.keep(made)
    }),
    ("a buffer in a queue's order", |w| {
        let (queue, memory) = (w.timeline.clone().unwrap(), AllocationDesc::device_local());
        // SAFETY: nothing is submitted with it.
        let made =
            unsafe { w.allocator().create_buffer_ordered(&buffer_desc(30 << 20), &memory, &queue) };
        w.keep(made)
    }),
    ("an exported buffer and its import", |w| {
        let (allocator, memory) = (w.allocator(), AllocationDesc::device_local());
        let kind = FdKind::Opaque;
        let ours = allocator.create_exportable_buffer(&buffer_desc(5000), &memory, kind);
        let ours = ours.map_err(|error| format!("{error:?}"))?;
        let theirs = ours.allocation().export(kind).and_then(|shared| {
            // SAFETY: it was exported just now.
            unsafe { allocator.import_buffer(&buffer_desc(5000), &memory, shared) }
        });
        match theirs {
            Ok(theirs) => w.keep(Ok::<_, ()>((ours, theirs))),
            Err(error) => {
                // SAFETY: nothing was recorded with it.
                unsafe { ours.free_now() };
                Err(format!("{error:?}"))
            }
        }
    }),
    ("the host's memory", |w| {
        let memory = AllocationDesc::upload();
        // SAFETY: the memory stays to the end of the process.
        let made = unsafe {
            w.allocator().import_host_memory(host_memory(), 8192, &buffer_desc(5000), &memory)
        };
        w.keep(made)
    }),
];
