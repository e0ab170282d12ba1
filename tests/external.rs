//! Memory shared by file descriptors and host addresses, over the fake driver: the query, the
//! declarations, and that no descriptor is ever leaked.
#![cfg(target_os = "linux")]

mod support;

use std::{
    alloc::Layout,
    os::fd::OwnedFd,
    ptr::NonNull,
    sync::{Mutex, MutexGuard},
};

use fencepost::{
    AliasError, AllocateError, AllocationDesc, AllocationFlags, Allocator, Buffer, CreateError,
    DeviceFeatures, ExternalError, FdKind, ImageDesc, SharedFd,
    fake::{Call, FakeDriver, Profile},
    vk,
};
use support::*;

/// Descriptors are counted for the whole process, so one test runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn sharing(fake: &FakeDriver) -> Allocator {
    let external = DeviceFeatures::EXTERNAL_MEMORY_FD
        | DeviceFeatures::EXTERNAL_MEMORY_DMA_BUF
        | DeviceFeatures::EXTERNAL_MEMORY_HOST;
    // SAFETY: the fake lives as long as the test, which submits nothing.
    unsafe { Allocator::new(&desc(fake).features(features() | external)) }.unwrap()
}

fn image_desc() -> ImageDesc {
    ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 64, 64, vk::ImageUsageFlags::SAMPLED)
}

const KINDS: [FdKind; 2] = [FdKind::Opaque, FdKind::DmaBuf];

fn exportable(allocator: &Allocator, kind: FdKind) -> Result<Buffer, ExternalError> {
    let device = AllocationDesc::device_local();
    allocator.create_exportable_buffer(&buffer_desc(5000), &device, kind)
}

fn import(allocator: &Allocator, shared: SharedFd) -> Result<Buffer, ExternalError> {
    let device = AllocationDesc::device_local();
    // SAFETY: the descriptor is one of the fake's, or is refused by it.
    unsafe { allocator.import_buffer(&buffer_desc(5000), &device, shared) }
}

#[test]
fn buffers_and_images_go_out_and_come_in() {
    let _alone = alone();
    let before = open_descriptors();
    for dedicated_only in [false, true] {
        let fake = FakeDriver::new(&Profile::default().external_dedicated_only(dedicated_only));
        {
            let allocator = sharing(&fake);
            let _frames = allocator.timeline(fake.queue(0)).unwrap();
            let device = AllocationDesc::device_local();
            for kind in KINDS {
                let ours = exportable(&allocator, kind).unwrap();
                let theirs = import(&allocator, ours.allocation().export(kind).unwrap()).unwrap();
                assert_eq!(theirs.allocation().memory_type(), ours.allocation().memory_type());
                let image = allocator.create_exportable_image(&image_desc(), &device, kind);
                let image = image.unwrap();
                let shared = image.allocation().export(kind).unwrap();
                // SAFETY: it was exported just now.
                let come = unsafe { allocator.import_image(&image_desc(), &device, shared) };
                let come = come.unwrap();
                // Each has a memory of its own.
                let mut memories: Vec<_> =
                    [ours.allocation(), theirs.allocation(), image.allocation(), come.allocation()]
                        .map(|allocation| (allocation.memory(), allocation.offset()))
                        .into();
                memories.sort();
                memories.dedup_by_key(|&mut (memory, _)| memory);
                assert_eq!(memories.len(), 4);
                assert!(memories.iter().all(|&(_, offset)| offset == 0));
            }
            // An ordinary buffer finds no room in what is shared.
            let shared = exportable(&allocator, FdKind::Opaque).unwrap();
            let plain = buffer(&allocator, 16);
            assert_ne!(shared.allocation().memory(), plain.allocation().memory());
            allocator.check().unwrap();
        }
        fake.finish().unwrap();
        drop(fake);
        assert_eq!(open_descriptors(), before);
    }
}

#[test]
fn no_descriptor_is_lost_wherever_the_driver_fails() {
    let _alone = alone();
    let before = open_descriptors();
    let errors = [
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY,
        vk::Result::ERROR_OUT_OF_HOST_MEMORY,
        vk::Result::ERROR_INVALID_EXTERNAL_HANDLE,
    ];
    let calls = [
        Call::CreateBuffer,
        Call::GetMemoryFd,
        Call::GetMemoryFdProperties,
        Call::AllocateMemory,
        Call::MapMemory,
        Call::BindBufferMemory,
    ];
    let (mut refused, mut done) = (0, 0);
    for kind in KINDS {
        for error in errors {
            for call in calls {
                for position in 0..3 {
                    // One type, host-visible, so that mapping is reached and no other type helps.
                    let host = vk::MemoryPropertyFlags::from_raw(0b1111);
                    let fake = FakeDriver::new(&Profile::default().types(&[(1, host)]));
                    let allocator = sharing(&fake);
                    let frames = allocator.timeline(fake.queue(0)).unwrap();
                    fake.fail(call, position, error);
                    let round = exportable(&allocator, kind).and_then(|ours| {
                        let theirs = import(&allocator, ours.allocation().export(kind)?)?;
                        Ok((ours, theirs))
                    });
                    match &round {
                        Ok(_) => done += 1,
                        Err(_) => refused += 1,
                    }
                    allocator.check().unwrap();
                    drop(round);
                    assert_eq!(allocator.statistics().total.live_count, 0);
                    fake.clear_faults();
                    let ours = exportable(&allocator, kind).unwrap();
                    drop(import(&allocator, ours.allocation().export(kind).unwrap()).unwrap());
                    drop((ours, frames, allocator));
                    fake.finish().unwrap();
                }
            }
        }
    }
    assert!(refused > 40 && done > 20, "{refused} refused, {done} done");
    assert_eq!(open_descriptors(), before);
}

#[test]
fn the_control_a_descriptor_that_is_kept_is_counted() {
    let _alone = alone();
    let before = open_descriptors();
    let fake = fake();
    let allocator = sharing(&fake);
    let ours = exportable(&allocator, FdKind::Opaque).unwrap();
    let shared = ours.allocation().export(FdKind::Opaque).unwrap();
    assert_eq!(open_descriptors(), before + 1);
    drop(shared);
    assert_eq!(open_descriptors(), before);
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let _alone = alone();
    let before = open_descriptors();
    let fake = fake();
    {
        let allocator = sharing(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let ours = exportable(&allocator, FdKind::Opaque).unwrap();
        let memory = ours.allocation();
        assert_eq!(memory.export(FdKind::DmaBuf).unwrap_err(), ExternalError::NotExportable);
        let plain = buffer(&allocator, 100);
        let refused = plain.allocation().export(FdKind::Opaque).unwrap_err();
        assert_eq!(refused, ExternalError::NotExportable);
        let exported = || memory.export(FdKind::Opaque).unwrap();
        // Too small; of no memory type; of one that there is not; not a descriptor of the kind.
        let refused = import(&allocator, SharedFd { size: 100, ..exported() }).unwrap_err();
        assert_eq!(refused, ExternalError::Size { size: 100, needed: 5000 });
        for memory_type in [31, 32, u32::MAX] {
            let refused = import(&allocator, SharedFd { memory_type, ..exported() }).unwrap_err();
            let none = matches!(
                refused,
                ExternalError::Create(CreateError::Allocate(AllocateError::NoMemoryType { .. }))
            );
            assert!(none, "{refused}");
        }
        let kind = FdKind::DmaBuf;
        let refused = import(&allocator, SharedFd { kind, ..exported() }).unwrap_err();
        let invalid = AllocateError::Driver(vk::Result::ERROR_INVALID_EXTERNAL_HANDLE);
        assert_eq!(refused, ExternalError::Create(CreateError::Allocate(invalid)));
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let refused = import(&allocator, SharedFd::new(null(), kind, 5000, 0)).unwrap_err();
        let invalid = vk::Result::ERROR_INVALID_EXTERNAL_HANDLE;
        assert_eq!(refused, ExternalError::Driver(invalid));
        // Nothing that asks the driver for memory is possible without asking it.
        let never = AllocationDesc::default().flags(AllocationFlags::NEVER_ALLOCATE);
        let refused = allocator.create_exportable_buffer(&buffer_desc(1), &never, FdKind::Opaque);
        assert!(matches!(
            refused.unwrap_err(),
            ExternalError::Create(CreateError::Allocate(error)) if error.is_out_of_memory()
        ));
        // What is shared is not shared again within the device.
        let (handle, memory) = ours.into_parts();
        let memory = std::sync::Arc::new(memory);
        let refused = allocator.create_aliasing_buffer(&memory, 0, &buffer_desc(1)).unwrap_err();
        assert_eq!(refused, AliasError::Exclusive);
        // SAFETY: the buffer is ours, and was never used.
        unsafe { fake.device().destroy_buffer(handle, None) };
    }
    fake.finish().unwrap();
    // Neither extension nor kind, each asked before anything is made.
    let plain = allocator(&fake);
    let refused = exportable(&plain, FdKind::Opaque).unwrap_err();
    assert_eq!(refused, ExternalError::NotEnabled);
    assert_eq!(plain.host_pointer_alignment(), None);
    let opaque = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;
    let limited = FakeDriver::new(&Profile::default().external_memory(opaque));
    let allocator = sharing(&limited);
    let device = AllocationDesc::device_local();
    for refused in [
        exportable(&allocator, FdKind::DmaBuf).map(drop),
        allocator.create_exportable_image(&image_desc(), &device, FdKind::DmaBuf).map(drop),
    ] {
        assert_eq!(refused.unwrap_err(), ExternalError::Unsupported);
    }
    assert_eq!(limited.calls(Call::CreateBuffer) + limited.calls(Call::CreateImage), 0);
    assert_eq!(open_descriptors(), before);
}

#[test]
fn the_hosts_memory_is_a_buffer() {
    let _alone = alone();
    let fake = fake();
    {
        let allocator = sharing(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let alignment = allocator.host_pointer_alignment().unwrap();
        let layout = Layout::from_size_align(8192, alignment as usize).unwrap();
        // SAFETY: the layout has a size.
        let address = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
        let desc = buffer_desc(5000);
        let upload = AllocationDesc::upload();
        // SAFETY: the memory is the test's until after the allocator let go of it.
        let import = |address, length| unsafe {
            allocator.import_host_memory(address, length, &desc, &upload)
        };
        // SAFETY: within the allocation.
        let crooked = unsafe { address.add(64) };
        for (address, length) in [(crooked, 4096), (address, 8000), (address, 4096)] {
            let refused = import(address, length).unwrap_err();
            assert_eq!(refused, ExternalError::HostRange { alignment });
        }
        let mut buffer = import(address, 8192).unwrap();
        buffer.write(4, &[0xABCD_u16]).unwrap();
        // SAFETY: within the allocation; nobody writes.
        assert_eq!(unsafe { address.add(4).cast::<u16>().read_unaligned() }, 0xABCD);
        assert!(fake.gpu_write(buffer.allocation().memory(), 8, &[7]));
        // SAFETY: as above.
        assert_eq!(unsafe { address.add(8).read() }, 7);
        for call in [
            Call::GetMemoryHostPointerProperties,
            Call::CreateBuffer,
            Call::AllocateMemory,
            Call::MapMemory,
            Call::BindBufferMemory,
        ] {
            fake.fail(call, 0, vk::Result::ERROR_INVALID_EXTERNAL_HANDLE);
            import(address, 8192).unwrap_err();
            assert_eq!(allocator.statistics().total.live_count, 1, "{call:?}");
            allocator.check().unwrap();
        }
        drop(buffer);
        allocator.collect();
        assert_eq!(fake.live().memories, 0);
        // SAFETY: allocated above with this layout; the driver has let go of it.
        unsafe { std::alloc::dealloc(address.as_ptr(), layout) };
    }
    fake.finish().unwrap();
}

/// The driver's wish for a memory of a resource's own asks for just its size; the host's pages are more.
#[test]
fn the_hosts_pages_are_a_buffer_where_the_driver_prefers_dedicated_memory() {
    let _alone = alone();
    let fake = FakeDriver::new(&Profile::default().prefers_dedicated(1));
    {
        let allocator = sharing(&fake);
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        let layout = Layout::from_size_align(8192, 4096).unwrap();
        // SAFETY: the layout has a size.
        let address = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
        for size in [5000, 8192] {
            let (desc, upload) = (buffer_desc(size), AllocationDesc::upload());
            // SAFETY: the memory is the test's until after the allocator let go of it.
            let made = unsafe { allocator.import_host_memory(address, 8192, &desc, &upload) };
            drop(made.unwrap());
        }
        assert_eq!(fake.live().memories, 0);
        // SAFETY: allocated above with this layout; the driver has let go of it.
        unsafe { std::alloc::dealloc(address.as_ptr(), layout) };
    }
    fake.finish().unwrap();
}

/// A camera's dma-buf has whole pages, and more of them than an image needs.
#[test]
fn a_dma_buf_may_be_larger_than_what_lives_on_it() {
    let _alone = alone();
    for profile in [
        Profile::default(),
        Profile::default().prefers_dedicated(1),
        Profile::default().requires_dedicated(1),
        Profile::default().external_dedicated_only(true),
    ] {
        let fake = FakeDriver::new(&profile);
        {
            let allocator = sharing(&fake);
            let _frames = allocator.timeline(fake.queue(0)).unwrap();
            let device = AllocationDesc::device_local();
            for kind in KINDS {
                let theirs =
                    allocator.create_exportable_buffer(&buffer_desc(8000), &device, kind).unwrap();
                let shared = theirs.allocation().export(kind).unwrap();
                let ours = import(&allocator, shared);
                match (kind, ours) {
                    (FdKind::DmaBuf, ours) => assert!(ours.unwrap().size() == 5000),
                    // An opaque one is imported as it was exported.
                    (_, Err(ExternalError::Size { size: 8000, needed: 5000 })) => {}
                    (_, ours) => assert!(ours.unwrap().allocation().size() == 8000),
                }
            }
        }
        fake.finish().unwrap();
    }
}

/// Memory that lingers, or that the GPU has passed, is no reason to refuse what is shared; nor is memory that it will
/// have passed soon, if there is patience.
#[test]
fn what_is_shared_finds_the_memory_that_others_have_left() {
    let _alone = alone();
    let local = vk::MemoryPropertyFlags::DEVICE_LOCAL;
    let heaps = [(8 << 20, vk::MemoryHeapFlags::DEVICE_LOCAL)];
    for kind in KINDS {
        let fake = FakeDriver::new(&Profile::default().heaps(&heaps).types(&[(0, local)]));
        fake.set_automatic(true);
        {
            let external =
                DeviceFeatures::EXTERNAL_MEMORY_FD | DeviceFeatures::EXTERNAL_MEMORY_DMA_BUF;
            let desc = desc(&fake).features(features() | external).linger(u64::MAX);
            let allocator = made(&desc);
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let device = AllocationDesc::device_local();
            let shared = |memory: &AllocationDesc| {
                allocator.create_exportable_buffer(&buffer_desc(6 << 20), memory, kind)
            };
            let fill = || (0..6).map(|_| buffer(&allocator, 1 << 20)).collect::<Vec<_>>();
            // Lingering.
            drop(fill());
            assert!(allocator.statistics().total.reserved > 2 << 20);
            drop(shared(&device).unwrap());
            // Passed, and nobody has collected.
            let all = fill();
            let frame = frames.begin().unwrap();
            drop(all);
            submit_nothing(frame).unwrap();
            drop(shared(&device).unwrap());
            // Not passed.
            fake.set_automatic(false);
            let all = fill();
            let frame = frames.begin().unwrap();
            drop(all);
            submit_nothing(frame).unwrap();
            let refused = shared(&device).unwrap_err();
            let ExternalError::Create(CreateError::Allocate(refused)) = refused else {
                panic!("{refused}")
            };
            assert!(
                matches!(refused, AllocateError::OutOfDeviceMemory { pending, .. } if pending >= 6 << 20)
            );
            fake.set_automatic(true);
            let patient = device.patience(std::time::Duration::from_secs(5));
            drop(shared(&patient).unwrap());
            drop(fill());
            // The control: what lives is in the way.
            let all = fill();
            shared(&patient).unwrap_err();
            drop(all);
        }
        fake.finish().unwrap();
    }
}
