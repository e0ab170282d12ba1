//! Refused requests: zero-sized, overflowing, misaligned, foreign or contradictory ones, each with
//! a typed error. Nothing is left behind, and the driver is not called.
//!
//! For some functions these tests are in `tests/ring.rs`, `tests/aliasing.rs`, `tests/mapping.rs`
//! and `tests/external.rs`.

mod support;

use fencepost::{
    AllocateError, AllocationDesc, AllocationFlags, ArenaDesc, ArenaError, ArenaPolicy, BufferDesc,
    CopyError, CreateError, DescError, ImageDesc, KeyError, Refused, ResourceKind, vk,
};
use support::*;

fn refused(result: Result<impl Sized, CreateError>) -> CreateError {
    result.map(drop).unwrap_err()
}

#[test]
fn every_refusal_is_typed_and_leaves_nothing() {
    let [fake, other] = [(); 2].map(|()| fake());
    let calls = |call| fake.calls(call);
    {
        let [allocator, foreign] = [&fake, &other].map(allocator);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let memory = AllocationDesc::device_local();
        let storage = vk::BufferUsageFlags::STORAGE_BUFFER;

        // Allocations: zero, overflowing, misaligned, impossible, contradictory.
        let needs = |size, alignment, memory_type_bits| vk::MemoryRequirements {
            size,
            alignment,
            memory_type_bits,
        };
        let allocate = |needs: vk::MemoryRequirements, kind, memory: AllocationDesc| {
            allocator.allocate(&needs, kind, &memory).map(drop).unwrap_err()
        };
        for kind in [ResourceKind::Linear, ResourceKind::Optimal] {
            assert_eq!(allocate(needs(0, 64, !0), kind, memory), AllocateError::ZeroSize);
            for size in [(8 << 30) + 1, u64::MAX - 1, u64::MAX] {
                let error = allocate(needs(size, 64, !0), kind, memory);
                assert!(matches!(error, AllocateError::TooLarge { .. }), "{size}: {error}");
            }
            for alignment in [3, 100, u64::MAX] {
                let error = allocate(needs(64, 64, !0), kind, memory.min_alignment(alignment));
                assert_eq!(error, AllocateError::Alignment { alignment });
            }
            let none = allocate(needs(64, 64, 0), kind, memory);
            assert!(matches!(none, AllocateError::NoMemoryType { type_bits: 0, .. }));
            let protected = memory.required(vk::MemoryPropertyFlags::PROTECTED);
            let none = allocate(needs(64, 64, !0), kind, protected);
            assert!(matches!(none, AllocateError::NoMemoryType { .. }));
            // Host-visible memory of a type that is not.
            let none = allocate(needs(64, 64, 1), kind, AllocationDesc::upload());
            assert!(matches!(none, AllocateError::NoMemoryType { type_bits: 1, .. }));
        }
        assert_eq!(calls(fencepost::fake::Call::AllocateMemory), 0);

        // Buffers and images: descriptions.
        let buffer = |desc: BufferDesc| refused(allocator.create_buffer(&desc, &memory));
        assert_eq!(buffer(BufferDesc::new(0, storage)), DescError::ZeroSize.into());
        let none = vk::BufferUsageFlags::empty();
        assert_eq!(buffer(BufferDesc::new(64, none)), DescError::NoUsage.into());
        let address = vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS;
        assert_eq!(
            buffer(BufferDesc::new(64, address)),
            DescError::Usage { unknown: address.as_raw() }.into()
        );
        for families in [&[0][..], &[1, 1], &[0, 1, 3], &[0, vk::QUEUE_FAMILY_IGNORED]] {
            let desc = BufferDesc::new(64, storage).queue_families(families);
            assert_eq!(buffer(desc), DescError::QueueFamilies.into());
        }
        let image = |desc: ImageDesc| refused(allocator.create_image(&desc, &memory));
        let new =
            |width, format| ImageDesc::new_2d(format, width, 64, vk::ImageUsageFlags::SAMPLED);
        let color = vk::Format::R8G8B8A8_UNORM;
        assert_eq!(image(new(0, color)), DescError::ZeroSize.into());
        assert_eq!(image(new(64, vk::Format::UNDEFINED)), DescError::Format.into());
        assert_eq!(image(new(64, color).mip_levels(8)), DescError::MipLevels.into());
        assert_eq!(image(new(1 << 20, color)), DescError::Unsupported.into());
        // What an extension has that is not named.
        use vk::BufferUsageFlags as Usage;
        let address = Usage::SHADER_DEVICE_ADDRESS;
        for (desc, usage) in [
            (BufferDesc::scratch(64), Usage::empty()),
            (BufferDesc::acceleration_structures(64), Usage::ACCELERATION_STRUCTURE_STORAGE_KHR),
            (BufferDesc::shader_binding_table(64), Usage::SHADER_BINDING_TABLE_KHR),
            (
                BufferDesc::descriptors(64),
                Usage::RESOURCE_DESCRIPTOR_BUFFER_EXT | Usage::SAMPLER_DESCRIPTOR_BUFFER_EXT,
            ),
        ] {
            let unknown = (usage | address).as_raw();
            assert_eq!(buffer(desc), DescError::Usage { unknown }.into());
        }
        let host = vk::ImageUsageFlags::HOST_TRANSFER_EXT;
        let unknown = host.as_raw();
        assert_eq!(
            image(ImageDesc::new_2d(color, 64, 64, host)),
            DescError::Usage { unknown }.into()
        );
        // SAFETY: it is refused before the session is looked at.
        let session = unsafe { allocator.bind_video_session(vk::VideoSessionKHR::null(), &memory) };
        assert_eq!(refused(session), DescError::NotEnabled.into());

        // Arenas of every policy: what does not fit, what contradicts.
        for policy in [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack] {
            let desc = ArenaDesc::new(memory).policy(policy).block_size(1000);
            for (contradiction, wanted) in [
                (desc.block_size(0), ArenaError::BlockSize { asked: 0, limit: 4 << 30 }),
                (desc.max_blocks(0), ArenaError::BlockCount { min: 0, max: 0 }),
                (desc.priority(f32::NAN), ArenaError::Priority),
                (desc.min_alignment(3), ArenaError::Alignment { alignment: 3 }),
                (desc.memory_types(0), ArenaError::NoMemoryType),
            ] {
                let error = allocator.create_arena(&contradiction).map(drop).unwrap_err();
                assert_eq!(error, wanted, "{policy:?}");
            }
            let arena = allocator.create_arena(&desc).unwrap();
            for flags in [AllocationFlags::empty(), AllocationFlags::UPPER_END] {
                let take = |size, alignment| {
                    let memory = AllocationDesc::default().flags(flags).min_alignment(alignment);
                    let kind = ResourceKind::Linear;
                    arena.allocate(&needs(size, 64, !0), kind, &memory).map(drop).unwrap_err()
                };
                assert_eq!(take(0, 1), AllocateError::ZeroSize);
                // A block has three whole granules.
                let large = AllocateError::TooLarge { requested: 769, limit: 768 };
                assert_eq!(take(769, 1), large);
                assert!(matches!(take(u64::MAX, 1), AllocateError::TooLarge { .. }));
                assert_eq!(take(64, 100), AllocateError::Alignment { alignment: 100 });
            }
        }
        let live = fake.live();
        assert_eq!((live.buffers, live.images, live.memories), (0, 0, 0));

        // Copies: outside, overflowing, not visible.
        let mut made = allocator.create_buffer(&buffer_desc(100), &AllocationDesc::upload());
        let made = made.as_mut().unwrap();
        for offset in [100, 97, u64::MAX, u64::MAX - 3] {
            let wanted = Err(CopyError::OutOfRange { offset, length: 4, size: 100 });
            assert_eq!(made.write(offset, &[0u32]), wanted);
            assert_eq!(made.read(offset, &mut [0u32]), wanted);
        }
        let mut hidden = support::buffer(&allocator, 100);
        assert_eq!(hidden.write(0, &[0u32]), Err(CopyError::NotMapped));

        // Keys and points of another allocator.
        let whole = allocator.allocate(&needs(64, 64, !0), ResourceKind::Linear, &memory).unwrap();
        let raw = whole.into_raw();
        // SAFETY: it is refused.
        assert_eq!(unsafe { foreign.from_raw(raw) }.unwrap_err(), KeyError::Foreign);
        // SAFETY: the only handle of this key.
        let whole = unsafe { allocator.from_raw(raw) }.unwrap();
        let elsewhere = foreign.timeline(other.queue(0)).unwrap();
        let point = submit_nothing(elsewhere.begin().unwrap()).unwrap();
        // SAFETY: nothing was submitted that uses the range.
        let Refused { handle, point: named } = unsafe { whole.retire_at(&[point]) }.unwrap_err();
        assert_eq!(named, point);
        drop(handle);
        other.run();
        allocator.check().unwrap();
    }
    fake.finish().unwrap();
}
