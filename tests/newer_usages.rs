//! What newer extensions require of memory, over the fake driver on recorded GPUs: aligned
//! addresses for acceleration structures, scratch, shader binding tables and descriptors; images
//! that the host copies; video sessions, all or nothing.

mod support;

use std::sync::Arc;

use fencepost::{
    AllocateError, AllocationDesc, Allocator, ArenaDesc, Buffer, BufferDesc, CreateError,
    DescError, DeviceFeatures, ImageDesc, Object, ResourceKind, UserObject, aliasing_requirements,
    fake::{Call, FakeDriver, Profile, Violation},
    vk::{self, BufferUsageFlags as Usage, MemoryPropertyFlags as Type},
};
use support::*;

const ADDRESS: DeviceFeatures = DeviceFeatures::BUFFER_DEVICE_ADDRESS;

fn all() -> DeviceFeatures {
    ADDRESS
        | DeviceFeatures::ACCELERATION_STRUCTURE
        | DeviceFeatures::RAY_TRACING_PIPELINE
        | DeviceFeatures::DESCRIPTOR_BUFFER
        | DeviceFeatures::HOST_IMAGE_COPY
        | DeviceFeatures::VIDEO_QUEUE
}

fn with(fake: &FakeDriver, more: DeviceFeatures) -> Allocator {
    let desc = desc(fake).features(features() | more);
    // SAFETY: the fake lives as long as the allocator, and the test submits nothing.
    unsafe { Allocator::new(&desc) }.unwrap()
}

/// What is asked for, and the alignment of its address on a device that asks for more than drivers
/// align buffers to.
fn kinds() -> [(BufferDesc, u64); 5] {
    [
        (BufferDesc::scratch(1000), 1024),
        (BufferDesc::acceleration_structures(1000), 256),
        (BufferDesc::shader_binding_table(100), 512),
        (BufferDesc::descriptors(3000), 2048),
        (BufferDesc::descriptors(3000).usage(Usage::STORAGE_BUFFER), 2048),
    ]
}

fn demanding(profile: Profile) -> Profile {
    let profile = profile.buffer_alignment(16).scratch_alignment(1024);
    profile.shader_group_alignment(512).descriptor_alignment(2048)
}

/// Whether a buffer's address is a multiple.
fn is_aligned(buffer: &Buffer, alignment: u64) -> bool {
    buffer.device_address().unwrap() % alignment == 0
}

#[test]
fn addresses_are_aligned_on_every_gpu() {
    let (mut checked, mut crooked) = (0, 0);
    for profile in Profile::all() {
        for (enabled, on) in [(all(), true), (ADDRESS, false)] {
            let fake = FakeDriver::new(&demanding(profile.clone()));
            let allocator = with(&fake, enabled);
            let mut held = Vec::new();
            for memory in [AllocationDesc::device_local(), AllocationDesc::upload()] {
                for (desc, alignment) in kinds() {
                    // Something small in front, so that alignment does not come by itself.
                    let _before = allocator.create_buffer(&buffer_desc(16), &memory).unwrap();
                    if on {
                        let planned = allocator.plan_buffer(&desc, &memory).unwrap();
                        let buffer = allocator.create_buffer(&desc, &memory).unwrap();
                        assert_eq!(buffer.allocation().memory_type(), planned.memory_type);
                        assert!(is_aligned(&buffer, alignment), "{}: {desc:?}", profile.name());
                        checked += 1;
                        held.push(buffer);
                        continue;
                    }
                    // The control: where the feature is not named nothing is raised.
                    let info = vk::BufferCreateInfo::default().size(1000);
                    let info = info.usage(Usage::STORAGE_BUFFER | Usage::SHADER_DEVICE_ADDRESS);
                    // SAFETY: the fake takes this usage.
                    let plain = unsafe { allocator.create_buffer_from(&info, &memory) }.unwrap();
                    crooked += u32::from(!is_aligned(&plain, alignment));
                    held.push(plain);
                }
            }
        }
    }
    assert!(checked == 158 * 10 && crooked > 500, "{checked} {crooked}");
}

#[test]
fn every_door_aligns_alike() {
    let fake = FakeDriver::new(&demanding(Profile::default()));
    fake.set_aliasing(true);
    let allocator = with(&fake, all());
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let memory = AllocationDesc::device_local();
    let arena = allocator.create_arena(&ArenaDesc::new(memory).block_size(1 << 20)).unwrap();
    for (desc, alignment) in kinds() {
        for _ in 0..3 {
            let own = allocator.create_buffer(&desc, &memory.dedicated(true)).unwrap();
            assert!(is_aligned(&own, alignment));
            drop(arena.create_buffer(&buffer_desc(16), &memory).unwrap().into_parts().1);
            let inside = arena.create_buffer(&desc, &memory).unwrap();
            assert!(is_aligned(&inside, alignment));
            let filled = allocator.create_buffer_init(&desc, &memory, &[1_u32; 8]).unwrap();
            assert!(is_aligned(&filled.buffer, alignment));
        }
        let needs = allocator.buffer_requirements(&desc).unwrap();
        assert_eq!(needs.alignment, alignment);
        let room = vk::MemoryRequirements { size: 10_000, ..needs };
        let shared = aliasing_requirements(&[needs, room]).unwrap();
        let shared = allocator.allocate(&shared, ResourceKind::Linear, &memory).unwrap();
        let shared = Arc::new(shared);
        assert!(allocator.create_aliasing_buffer(&shared, alignment, &desc).is_ok());
        assert!(allocator.create_aliasing_buffer(&shared, alignment / 2, &desc).is_err());
    }
}

#[test]
fn usages_are_known_where_their_feature_is_named() {
    let fake = fake();
    let names = [
        DeviceFeatures::ACCELERATION_STRUCTURE,
        DeviceFeatures::RAY_TRACING_PIPELINE,
        DeviceFeatures::DESCRIPTOR_BUFFER,
    ];
    let usages = [
        Usage::ACCELERATION_STRUCTURE_STORAGE_KHR
            | Usage::ACCELERATION_STRUCTURE_BUILD_INPUT_READ_ONLY_KHR,
        Usage::SHADER_BINDING_TABLE_KHR,
        Usage::RESOURCE_DESCRIPTOR_BUFFER_EXT | Usage::SAMPLER_DESCRIPTOR_BUFFER_EXT,
    ];
    for feature in names {
        let allocator = with(&fake, ADDRESS | feature);
        for (owner, usage) in names.into_iter().zip(usages) {
            let desc = BufferDesc::new(64, usage | Usage::SHADER_DEVICE_ADDRESS);
            let made = allocator.plan_buffer(&desc, &AllocationDesc::device_local());
            let unknown = DescError::Usage { unknown: usage.as_raw() };
            match owner == feature {
                true => assert!(made.is_ok(), "{usage:?}"),
                false => assert_eq!(made.unwrap_err(), CreateError::Desc(unknown)),
            }
        }
    }
    // Scratch has no usage of its own, but an address.
    let scratch = with(&fake, DeviceFeatures::empty())
        .create_buffer(&BufferDesc::scratch(64), &AllocationDesc::device_local());
    let unknown = Usage::SHADER_DEVICE_ADDRESS.as_raw();
    assert_eq!(scratch.unwrap_err(), CreateError::Desc(DescError::Usage { unknown }));
}

/// Some drivers want images that the host copies where the host sees them. The driver is asked with
/// that use, and what it says binds.
#[test]
fn images_that_the_host_copies_lie_where_the_driver_wants_them() {
    let usage = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::HOST_TRANSFER_EXT;
    let desc = ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 100, 50, usage);
    let plain =
        ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 100, 50, vk::ImageUsageFlags::SAMPLED);
    let (mut elsewhere, mut alike) = (0, 0);
    for profile in Profile::all() {
        let probe = FakeDriver::new(&profile);
        let (instance, physical) = (probe.instance(), probe.physical_device());
        // SAFETY: the fake's own handles.
        let memory = unsafe { instance.get_physical_device_memory_properties(physical) };
        let types = memory.memory_types_as_slice().iter().enumerate();
        let visible = types.filter(|(_, it)| it.property_flags.contains(Type::HOST_VISIBLE));
        let visible = visible.fold(0, |bits, (index, _)| bits | 1 << index);
        let fake = FakeDriver::new(&profile.clone().host_image_types(visible));
        {
            let allocator = with(&fake, all());
            let device = AllocationDesc::device_local();
            let planned = allocator.plan_image(&desc, &device).unwrap();
            let ordinary = allocator.plan_image(&plain, &device).unwrap();
            let image = allocator.create_image(&desc, &device).unwrap();
            assert_eq!(image.allocation().memory_type(), planned.memory_type);
            assert!(planned.properties.contains(Type::HOST_VISIBLE), "{}", profile.name());
            match planned.memory_type == ordinary.memory_type {
                true => alike += 1,
                false => elsewhere += 1,
            }
            // SAFETY: nothing was submitted.
            unsafe { image.free_now() };
        }
        // The fake judges the memory type.
        fake.finish().unwrap();
    }
    assert!(elsewhere > 50 && alike > 10, "{elsewhere} {alike}");
    let fake = fake();
    let off = with(&fake, ADDRESS);
    let unknown = vk::ImageUsageFlags::HOST_TRANSFER_EXT.as_raw();
    let refused = off.create_image(&desc, &AllocationDesc::device_local()).unwrap_err();
    assert_eq!(refused, CreateError::Desc(DescError::Usage { unknown }));
}

fn session(fake: &FakeDriver) -> vk::VideoSessionKHR {
    let table = ash::khr::video_queue::Device::new(fake.instance(), fake.device());
    let mut session = vk::VideoSessionKHR::null();
    let info = vk::VideoSessionCreateInfoKHR::default();
    // SAFETY: the fake's own handles.
    let made = unsafe {
        (table.fp().create_video_session_khr)(
            fake.device().handle(),
            &info,
            std::ptr::null(),
            &mut session,
        )
    };
    made.result().unwrap();
    session
}

unsafe fn destroy(device: &ash::Device, [session, instance]: [u64; 2]) {
    // SAFETY: the second word is the fake of the test, which waits for this.
    let fake = unsafe { &*(instance as *const FakeDriver) };
    let table = ash::khr::video_queue::Device::new(fake.instance(), device);
    let session = vk::Handle::from_raw(session);
    // SAFETY: the session is the fake's, and not in use.
    unsafe {
        (table.fp().destroy_video_session_khr)(device.handle(), session, std::ptr::null());
    }
}

fn end(fake: &FakeDriver, session: vk::VideoSessionKHR) {
    // SAFETY: the fake is this one.
    unsafe { destroy(fake.device(), [vk::Handle::as_raw(session), fake as *const _ as u64]) };
}

#[test]
fn a_video_session_gets_all_its_memory_on_every_gpu() {
    for profile in Profile::all() {
        // Bindings of which one may not be of the first type, as drivers have it.
        let bindings = [(1 << 20, 1 << 16, !0), (100_001, 256, !0), (5000, 4096, !0), (64, 64, !1)];
        let few = profile.clone().video_bindings(&bindings[..3]);
        let probe = FakeDriver::new(&profile);
        let single = with(&probe, all()).block_sizes(1).is_none();
        let profile = if single { few } else { profile.video_bindings(&bindings) };
        let fake = FakeDriver::new(&profile);
        {
            let allocator = with(&fake, all());
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let session = session(&fake);
            let memory = AllocationDesc::device_local().name("video");
            // SAFETY: the session is new.
            let made = unsafe { allocator.bind_video_session(session, &memory) }.unwrap();
            assert_eq!(made.len(), if single { 3 } else { 4 });
            // It ends with its memory, when the GPU is done.
            let recording = frames.begin().unwrap();
            let words = [vk::Handle::as_raw(session), &fake as *const _ as u64];
            // SAFETY: nothing uses the session but what is recorded.
            unsafe { allocator.retire_object(Object::User(UserObject { destroy, words })) };
            drop(made);
            submit_nothing(recording).unwrap();
            allocator.collect();
            assert_eq!(fake.live().video_sessions, 1);
            fake.run();
            allocator.collect();
            assert_eq!((fake.live().video_sessions, allocator.statistics().total.pending), (0, 0));
            allocator.check().unwrap();
        }
        fake.finish().unwrap_or_else(|violations| panic!("{}: {violations}", profile.name()));
    }
}

#[test]
fn a_video_session_gets_nothing_if_not_all() {
    let memory = AllocationDesc::device_local();
    // The last binding has no room, and no type.
    for (last, types) in [((2 << 30, 64, 1), false), ((64, 64, 0), true)] {
        let heap = [(1 << 30, vk::MemoryHeapFlags::DEVICE_LOCAL)];
        let profile = Profile::default().heaps(&heap).types(&[(0, Type::DEVICE_LOCAL)]);
        let fake = FakeDriver::new(&profile.video_bindings(&[(1 << 20, 64, 1), last]));
        {
            let allocator = with(&fake, all());
            let session = session(&fake);
            // SAFETY: the session is new.
            let refused = unsafe { allocator.bind_video_session(session, &memory) }.unwrap_err();
            let no_type =
                matches!(refused, CreateError::Allocate(AllocateError::NoMemoryType { .. }));
            assert_eq!(no_type, types, "{refused}");
            assert_eq!(fake.calls(Call::BindVideoSessionMemory), 0);
            assert_eq!(allocator.statistics().total.live_count, 0);
            end(&fake, session);
        }
        fake.finish().unwrap();
    }
    for call in [
        Call::GetVideoSessionMemoryRequirements,
        Call::BindVideoSessionMemory,
        Call::AllocateMemory,
    ] {
        let calls = if call == Call::GetVideoSessionMemoryRequirements { 2 } else { 1 };
        for nth in 0..calls {
            let fake = fake();
            let allocator = with(&fake, all());
            let session = session(&fake);
            // Not for want of memory, or the ladder finds a way out.
            fake.fail(call, nth, vk::Result::ERROR_UNKNOWN);
            // SAFETY: the session is new.
            let bind = || unsafe { allocator.bind_video_session(session, &memory) };
            bind().unwrap_err();
            assert_eq!(allocator.statistics().total.live_count, 0, "{call:?}");
            fake.clear_faults();
            assert_eq!(bind().unwrap().len(), 3, "it has no memory yet");
            end(&fake, session);
            // SAFETY: nothing was submitted.
            unsafe { allocator.assume_idle() };
            drop(allocator);
            fake.finish().unwrap();
        }
    }
    let fake = fake();
    let off = with(&fake, ADDRESS);
    // SAFETY: it is refused.
    let refused = unsafe { off.bind_video_session(vk::VideoSessionKHR::null(), &memory) };
    assert_eq!(refused.unwrap_err(), CreateError::Desc(DescError::NotEnabled));
}

/// The control: the fake judges what is bound to a session.
#[test]
fn a_video_session_bound_wrongly_is_seen() {
    let fake = FakeDriver::new(&Profile::default().video_bindings(&[(1000, 256, 1)]));
    let (device, session) = (fake.device(), session(&fake));
    let table = ash::khr::video_queue::Device::new(fake.instance(), device);
    let info = vk::MemoryAllocateInfo::default().allocation_size(4096).memory_type_index(1);
    // SAFETY: the fake's own handles; it judges what is wrong.
    let memory = unsafe { device.allocate_memory(&info, None) }.unwrap();
    let bind = |index, offset, size| {
        let bind = vk::BindVideoSessionMemoryInfoKHR::default()
            .memory_bind_index(index)
            .memory(memory)
            .memory_offset(offset)
            .memory_size(size);
        // SAFETY: as above.
        let bound = unsafe {
            (table.fp().bind_video_session_memory_khr)(device.handle(), session, 1, &bind)
        };
        bound.result().unwrap();
    };
    bind(0, 100, 1000);
    bind(0, 4096 - 512, 999);
    bind(1, 0, 1000);
    let violations = fake.violations();
    let seen = |wanted: fn(&Violation) -> bool| violations.iter().any(wanted);
    assert!(seen(|it| matches!(it, Violation::BindWrongType { memory_type: 1, .. })));
    assert!(seen(|it| matches!(it, Violation::BindMisaligned { alignment: 256, .. })));
    assert!(seen(|it| matches!(it, Violation::BindTwice { .. })));
    assert!(seen(|it| matches!(it, Violation::BindOutOfRange { .. })));
    assert!(seen(|it| matches!(it, Violation::Unknown { .. })));
    end(&fake, session);
    // SAFETY: as above.
    unsafe { device.free_memory(memory, None) };
}

/// Images of a Linux DRM format modifier keep their pages to themselves, but for those that are linear
/// for certain, which lie beside buffers. The fake judges both, by the modifier that it gives.
#[test]
fn an_image_of_a_modifier_counts_as_optimal_unless_that_is_linear() {
    const LINEAR: u64 = 0;
    const TILED: u64 = 0x0100_0000_0000_0001;
    let choices: [(&[u64], bool); 5] = [
        (&[TILED], false),
        (&[LINEAR, TILED], false),
        (&[TILED, LINEAR], false),
        (&[LINEAR], true),
        (&[LINEAR, LINEAR], true),
    ];
    for (modifiers, linear) in choices {
        for explicit in [false, true] {
            if explicit && modifiers.len() > 1 {
                continue;
            }
            let page = 1 << 16;
            let profile = Profile::default().granularity(page).image_alignment(256);
            let fake = FakeDriver::new(&profile);
            {
                let allocator = allocator(&fake);
                let _frames = allocator.timeline(fake.queue(0)).unwrap();
                let mut list = vk::ImageDrmFormatModifierListCreateInfoEXT::default()
                    .drm_format_modifiers(modifiers);
                let mut one = vk::ImageDrmFormatModifierExplicitCreateInfoEXT::default()
                    .drm_format_modifier(modifiers[0]);
                let mut external = vk::ExternalMemoryImageCreateInfo::default();
                let info = vk::ImageCreateInfo::default()
                    .image_type(vk::ImageType::TYPE_2D)
                    .format(vk::Format::R8G8B8A8_UNORM)
                    .extent(vk::Extent3D { width: 30, height: 20, depth: 1 })
                    .mip_levels(1)
                    .array_layers(1)
                    .samples(vk::SampleCountFlags::TYPE_1)
                    .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
                    .usage(vk::ImageUsageFlags::SAMPLED)
                    .push_next(&mut external);
                let info = match explicit {
                    true => info.push_next(&mut one),
                    false => info.push_next(&mut list),
                };
                let memory = AllocationDesc::device_local();
                let _before = buffer(&allocator, 100);
                // SAFETY: the fake takes every modifier.
                let image = unsafe { allocator.create_image_from(&info, &memory) }.unwrap();
                let _after = buffer(&allocator, 100);
                let alone = image.allocation().offset() % page == 0;
                assert_eq!(alone, !linear, "{modifiers:?}");
                assert_eq!(image.allocation().size() % page == 0, !linear, "{modifiers:?}");
            }
            fake.finish().unwrap_or_else(|violations| panic!("{modifiers:?}: {violations}"));
        }
    }
}
