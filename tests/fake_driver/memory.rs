//! Allocating and freeing: heaps, limits, dedicated memory, device addresses.

use ash::vk;
use fencepost::fake::{Call, Profile, Violation};

use crate::support::{Gpu, object};

const MIB: u64 = 1 << 20;

fn small_heap() -> Profile {
    Profile::default().heaps(&[
        (4 * MIB, vk::MemoryHeapFlags::DEVICE_LOCAL),
        (16 * MIB, vk::MemoryHeapFlags::empty()),
        (MIB, vk::MemoryHeapFlags::DEVICE_LOCAL),
    ])
}

#[test]
fn a_heap_gives_what_it_has_and_takes_it_back() {
    let gpu = Gpu::with(small_heap());
    let first = gpu.try_memory(0, 3 * MIB).unwrap();
    assert_eq!(gpu.try_memory(0, 2 * MIB), Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY));
    let second = gpu.try_memory(0, MIB).unwrap();
    assert_eq!((gpu.fake.heap_used(0), gpu.fake.heap_used(1)), (4 * MIB, 0));
    unsafe { gpu.device.free_memory(first, None) };
    let third = gpu.try_memory(0, 2 * MIB).unwrap();
    assert_eq!(gpu.fake.live().memories, 2);
    unsafe {
        gpu.device.free_memory(second, None);
        gpu.device.free_memory(third, None);
        gpu.device.free_memory(vk::DeviceMemory::null(), None);
    }
    assert_eq!((gpu.fake.heap_used(0), gpu.fake.heap_used(99)), (0, 0));
    gpu.fake.finish().unwrap();
}

#[test]
fn count_and_size_limits_are_errors_and_not_violations() {
    let gpu = Gpu::with(Profile::default().max_allocation_count(3).max_allocation_size(MIB));
    assert_eq!(gpu.try_memory(0, MIB + 1), Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY));
    let memories: Vec<_> = (0..3).map(|_| gpu.memory(MIB)).collect();
    assert_eq!(gpu.try_memory(0, 1), Err(vk::Result::ERROR_TOO_MANY_OBJECTS));
    unsafe { gpu.device.free_memory(memories[0], None) };
    gpu.memory(1);
    gpu.kept();
    let unlimited = Gpu::with(Profile::default().max_allocation_count(0));
    for _ in 0..5000 {
        unlimited.memory(1);
    }
    unlimited.kept();
}

#[test]
fn a_buffer_is_no_larger_than_the_limit_of_vulkan_1_3() {
    for (api, limited) in [(vk::API_VERSION_1_2, false), (vk::API_VERSION_1_3, true)] {
        let gpu = Gpu::with(Profile::default().max_buffer_size(MIB).api_version(api));
        gpu.buffer(MIB);
        assert_eq!(gpu.fake.violations(), []);
        gpu.buffer(MIB + 1);
        let broken = Violation::BufferTooLarge { size: MIB + 1, limit: MIB };
        assert_eq!(gpu.fake.violations(), if limited { vec![broken] } else { vec![] });
    }
}

/// Of the three queue families of the default device.
#[test]
fn who_shares_a_resource_is_judged() {
    let share = |sharing: vk::SharingMode, families: &[u32]| {
        let gpu = Gpu::new();
        let info = vk::BufferCreateInfo::default().size(64).sharing_mode(sharing);
        let info = info.queue_family_indices(families);
        unsafe { gpu.device.create_buffer(&info, None) }.unwrap();
        let image = vk::ImageCreateInfo::default().mip_levels(1).array_layers(1);
        let image = image.extent(vk::Extent3D { width: 4, height: 4, depth: 1 });
        let image = image.format(vk::Format::R8G8B8A8_UNORM).sharing_mode(sharing);
        let image = image.queue_family_indices(families);
        unsafe { gpu.device.create_image(&image, None) }.unwrap();
        gpu.fake.violations()
    };
    let broken =
        [Call::CreateBuffer, Call::CreateImage].map(|call| Violation::QueueFamilies { call });
    for families in [&[][..], &[0], &[1, 1], &[0, 3]] {
        assert_eq!(share(vk::SharingMode::CONCURRENT, families), broken, "{families:?}");
        assert_eq!(share(vk::SharingMode::EXCLUSIVE, families), [], "they are not looked at");
    }
    assert_eq!(share(vk::SharingMode::CONCURRENT, &[2, 0, 1]), []);
}

/// Nobody may count on what fresh memory holds, by the host or by the GPU.
#[test]
fn fresh_memory_holds_what_the_profile_says() {
    for byte in [0, 0xEE] {
        let gpu = Gpu::with(Profile::default().fresh_byte(byte));
        let memory = gpu.memory(100);
        let mut bytes = [1; 100];
        assert!(gpu.fake.gpu_read(memory, 0, &mut bytes));
        assert_eq!(bytes, [byte; 100]);
    }
}

#[test]
fn freeing_twice_or_what_never_was_is_known() {
    let gpu = Gpu::new();
    let memory = gpu.memory(64);
    unsafe { gpu.device.free_memory(memory, None) };
    gpu.kept();
    // The slot is used again: the stale handle is still known as stale.
    let other = gpu.memory(64);
    assert_ne!(memory, other);
    unsafe { gpu.device.free_memory(memory, None) };
    let unknown = Violation::Unknown { call: Call::FreeMemory, object: object(memory) };
    gpu.broke(&[unknown]);
    let never = <vk::Buffer as vk::Handle>::from_raw(77);
    unsafe { gpu.device.destroy_buffer(never, None) };
    gpu.broke(&[unknown, Violation::Unknown { call: Call::DestroyBuffer, object: object(never) }]);
    assert_eq!(gpu.fake.live().memories, 1);
}

#[test]
fn an_allocation_names_a_type_that_exists_and_fits_its_heap() {
    let gpu = Gpu::with(small_heap());
    assert!(gpu.try_memory(9, 64).is_err());
    assert!(gpu.try_memory(0, 0).is_err());
    assert_eq!(gpu.try_memory(3, 2 * MIB), Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY));
    gpu.broke(&[
        Violation::NoSuchType { memory_type: 9 },
        Violation::ZeroSize { call: Call::AllocateMemory },
        Violation::LargerThanHeap { heap: 2, size: 2 * MIB },
    ]);
}

#[test]
fn types_whose_feature_is_off_are_forbidden() {
    use vk::MemoryPropertyFlags as Type;
    let types = [
        (0, Type::DEVICE_LOCAL | Type::PROTECTED),
        (0, Type::DEVICE_LOCAL | Type::DEVICE_COHERENT_AMD | Type::DEVICE_UNCACHED_AMD),
    ];
    let gpu = Gpu::with(Profile::default().types(&types));
    gpu.try_memory(0, 64).unwrap();
    gpu.try_memory(1, 64).unwrap();
    gpu.broke(&[
        Violation::ForbiddenType { memory_type: 0, flags: Type::PROTECTED },
        Violation::ForbiddenType {
            memory_type: 1,
            flags: Type::DEVICE_COHERENT_AMD | Type::DEVICE_UNCACHED_AMD,
        },
    ]);
    let all = Profile::default().types(&types).protected_memory(true).device_coherent_memory(true);
    let gpu = Gpu::with(all);
    gpu.try_memory(0, 64).unwrap();
    gpu.try_memory(1, 64).unwrap();
    gpu.kept();
}

fn dedicated(gpu: &Gpu, buffer: vk::Buffer, size: u64) -> vk::DeviceMemory {
    let mut info = vk::MemoryDedicatedAllocateInfo::default().buffer(buffer);
    let info = vk::MemoryAllocateInfo::default().allocation_size(size).push_next(&mut info);
    unsafe { gpu.device.allocate_memory(&info, None) }.unwrap()
}

#[test]
fn dedicated_memory_has_the_size_of_its_resource() {
    let gpu = Gpu::new();
    let buffer = gpu.buffer(1000);
    let memory = dedicated(&gpu, buffer, 1000);
    unsafe { gpu.device.bind_buffer_memory(buffer, memory, 0) }.unwrap();
    gpu.kept();
    let other = gpu.buffer(1000);
    dedicated(&gpu, other, 2000);
    let resource = object(other);
    gpu.broke(&[Violation::DedicatedMismatch { resource, size: 2000, needed: 1000 }]);
}

#[test]
fn dedicated_memory_names_one_resource_that_exists() {
    let gpu = Gpu::new();
    let (buffer, image) = (gpu.buffer(1 << 16), gpu.image(128, vk::ImageTiling::OPTIMAL));
    let mut both = vk::MemoryDedicatedAllocateInfo::default().buffer(buffer).image(image);
    let info = vk::MemoryAllocateInfo::default().allocation_size(1 << 16).push_next(&mut both);
    unsafe { gpu.device.allocate_memory(&info, None) }.unwrap();
    let resource = object(buffer);
    let two = Violation::DedicatedMismatch { resource, size: 1 << 16, needed: 1 << 16 };
    gpu.broke(&[two]);
    unsafe { gpu.device.destroy_buffer(buffer, None) };
    dedicated(&gpu, buffer, 1 << 16);
    let gone = Violation::Unknown { call: Call::AllocateMemory, object: object(buffer) };
    gpu.broke(&[two, gone]);
}

#[test]
fn a_device_address_needs_feature_usage_flag_and_memory() {
    let gpu = Gpu::new();
    let usage = vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS;
    let info = vk::BufferCreateInfo::default().size(512).usage(usage);
    let mut flags =
        vk::MemoryAllocateFlagsInfo::default().flags(vk::MemoryAllocateFlags::DEVICE_ADDRESS);
    let allocate = vk::MemoryAllocateInfo::default().allocation_size(4096).push_next(&mut flags);
    let address = |buffer| unsafe {
        let info = vk::BufferDeviceAddressInfo::default().buffer(buffer);
        gpu.device.get_buffer_device_address(&info)
    };
    unsafe {
        let memory = gpu.device.allocate_memory(&allocate, None).unwrap();
        let [first, second] = [0, 512].map(|offset| {
            let buffer = gpu.device.create_buffer(&info, None).unwrap();
            gpu.device.bind_buffer_memory(buffer, memory, offset).unwrap();
            buffer
        });
        assert_eq!(address(second) - address(first), 512);
        gpu.kept();
        let without = gpu.memory(512);
        let wrong = gpu.device.create_buffer(&info, None).unwrap();
        gpu.device.bind_buffer_memory(wrong, without, 0).unwrap();
        assert_eq!(address(wrong), 0);
        gpu.broke(&[
            Violation::BindWithoutAddress { resource: object(wrong), memory: object(without) },
            Violation::NoAddress { buffer: object(wrong) },
        ]);
    }
    let off = Gpu::with(Profile::default().device_address(false));
    unsafe { off.device.create_buffer(&info, None) }.unwrap();
    let feature = "bufferDeviceAddress";
    off.broke(&[Violation::NotEnabled { call: Call::CreateBuffer, feature }]);
}

#[test]
fn budget_and_usage_come_from_the_driver() {
    let gpu = Gpu::new();
    let budget = || unsafe {
        let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
        let mut properties = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budget);
        let instance = gpu.fake.instance();
        instance
            .get_physical_device_memory_properties2(gpu.fake.physical_device(), &mut properties);
        (budget.heap_budget[0], budget.heap_usage[0])
    };
    let size = gpu.fake.profile().heap_size(0);
    assert_eq!(budget(), (size, 0));
    gpu.memory(MIB);
    gpu.fake.set_budget(0, 100 * MIB, 30 * MIB);
    assert_eq!(budget(), (70 * MIB, MIB));
    gpu.kept();
}

#[test]
fn a_priority_is_between_zero_and_one_and_of_a_memory_that_lives() {
    let gpu = Gpu::new();
    let memory = gpu.memory(MIB);
    let table =
        ash::ext::pageable_device_local_memory::Device::new(gpu.fake.instance(), gpu.fake.device());
    let set = |priority| unsafe {
        (table.fp().set_device_memory_priority_ext)(gpu.device.handle(), memory, priority);
    };
    set(0.25);
    assert_eq!(gpu.fake.priority(memory), Some(0.25));
    gpu.kept();
    set(1.5);
    set(f32::NAN);
    let call = Call::SetDeviceMemoryPriority;
    gpu.broke(&[Violation::Priority { call }; 2]);
    unsafe { gpu.device.free_memory(memory, None) };
    set(0.5);
    assert_eq!(gpu.fake.violations()[2], Violation::Unknown { call, object: object(memory) });
    let mut chained = vk::MemoryPriorityAllocateInfoEXT::default().priority(-0.1);
    let info = vk::MemoryAllocateInfo::default().allocation_size(64).push_next(&mut chained);
    let memory = unsafe { gpu.device.allocate_memory(&info, None) }.unwrap();
    assert_eq!(gpu.fake.violations()[3], Violation::Priority { call: Call::AllocateMemory });
    unsafe { gpu.device.free_memory(memory, None) };
}
