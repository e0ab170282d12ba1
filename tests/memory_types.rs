//! The memory types that descriptions select on real GPUs.
//!
//! On all 158 recorded topologies every choice satisfies the specification and the order of
//! preference that [`AllocationDesc`] states. For well-known GPUs the choices are in a table,
//! `tests/golden/memory_types.md`; `FENCEPOST_BLESS=1` writes it again.

mod support;

use std::{fmt::Write, fs, path::Path};

use fencepost::{
    AllocateError, AllocationDesc, Allocator, BufferDesc, CreateError, DeviceFeatures, HostAccess,
    ImageDesc, Placement, Plan, ResourceKind,
    fake::{FakeDriver, Profile},
    vk,
    vk::MemoryPropertyFlags as Type,
};
use support::*;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Thing {
    /// A buffer that shaders read.
    Uniform,
    /// A buffer that is copied from and to.
    Staging,
    Texture,
    /// An attachment that lives within a render pass.
    Attachment,
    /// No resource of ours.
    Memory,
}

const THINGS: [Thing; 5] =
    [Thing::Uniform, Thing::Staging, Thing::Texture, Thing::Attachment, Thing::Memory];

fn usage_of_image(thing: Thing) -> vk::ImageUsageFlags {
    use vk::ImageUsageFlags as Usage;
    match thing {
        Thing::Attachment => Usage::TRANSIENT_ATTACHMENT | Usage::COLOR_ATTACHMENT,
        _ => Usage::SAMPLED | Usage::TRANSFER_DST,
    }
}

fn plan(allocator: &Allocator, thing: Thing, desc: &AllocationDesc) -> Result<Plan, CreateError> {
    use vk::BufferUsageFlags as Usage;
    let buffer = |usage| allocator.plan_buffer(&BufferDesc::new(5000, usage), desc);
    match thing {
        Thing::Uniform => buffer(Usage::UNIFORM_BUFFER | Usage::TRANSFER_DST),
        Thing::Staging => buffer(Usage::TRANSFER_SRC | Usage::TRANSFER_DST),
        Thing::Texture | Thing::Attachment => {
            let format = vk::Format::R8G8B8A8_UNORM;
            let image = ImageDesc::new_2d(format, 60, 20, usage_of_image(thing));
            allocator.plan_image(&image, desc)
        }
        Thing::Memory => {
            let requirements =
                vk::MemoryRequirements { size: 5000, alignment: 16, memory_type_bits: !0 };
            Ok(allocator.plan(&requirements, ResourceKind::Linear, desc)?)
        }
    }
}

/// Carries the plan out.
fn make(
    allocator: &Allocator,
    thing: Thing,
    desc: &AllocationDesc,
) -> (u32, Box<dyn std::any::Any>) {
    use vk::BufferUsageFlags as Usage;
    let buffer = |usage| {
        let buffer = allocator.create_buffer(&BufferDesc::new(5000, usage), desc).unwrap();
        (buffer.allocation().memory_type(), Box::new(buffer) as Box<dyn std::any::Any>)
    };
    match thing {
        Thing::Uniform => buffer(Usage::UNIFORM_BUFFER | Usage::TRANSFER_DST),
        Thing::Staging => buffer(Usage::TRANSFER_SRC | Usage::TRANSFER_DST),
        Thing::Texture | Thing::Attachment => {
            let format = vk::Format::R8G8B8A8_UNORM;
            let image = ImageDesc::new_2d(format, 60, 20, usage_of_image(thing));
            let image = allocator.create_image(&image, desc).unwrap();
            (image.allocation().memory_type(), Box::new(image))
        }
        Thing::Memory => {
            let requirements =
                vk::MemoryRequirements { size: 5000, alignment: 16, memory_type_bits: !0 };
            let memory = allocator.allocate(&requirements, ResourceKind::Linear, desc).unwrap();
            (memory.memory_type(), Box::new(memory))
        }
    }
}

/// A description and what the documentation says of it, as points to lose: the type with the least
/// is to be taken, the first of equals.
struct Intent {
    name: &'static str,
    desc: AllocationDesc,
    must: Type,
    /// Points of a type outside a small window.
    cost: fn(Type, Thing, Device) -> u32,
    /// Whether the small window may be taken as any other.
    window: bool,
}

/// What the host sees of the device's memory.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Device {
    Unified,
    Nothing,
    SmallWindow(u32),
    Everything,
}

/// One for each of `wanted` that is missing.
fn missing(flags: Type, wanted: Type) -> u32 {
    100 * (wanted & !flags).as_raw().count_ones()
}

/// Less than one for each of `unwanted` that is there.
fn present(flags: Type, unwanted: Type) -> u32 {
    (unwanted & flags).as_raw().count_ones()
}

/// The points of what is uploaded: straight into the card's memory where the host sees all of that and
/// shaders read it there, else rather into the host's.
fn straight(flags: Type, thing: Thing, device: Device) -> u32 {
    let direct = matches!(thing, Thing::Uniform | Thing::Texture | Thing::Attachment);
    match direct && device == Device::Everything {
        true => missing(flags, Type::DEVICE_LOCAL),
        false => present(flags, Type::DEVICE_LOCAL),
    }
}

const INTENTS: [Intent; 9] = [
    Intent {
        name: "device_local",
        desc: AllocationDesc::device_local(),
        must: Type::empty(),
        cost: |flags, _, _| {
            missing(flags, Type::DEVICE_LOCAL)
                + present(flags, Type::HOST_VISIBLE | Type::HOST_CACHED)
        },
        window: false,
    },
    Intent {
        name: "upload",
        desc: AllocationDesc::upload(),
        must: Type::HOST_VISIBLE,
        cost: |flags, thing, device| {
            missing(flags, Type::HOST_COHERENT)
                + present(flags, Type::HOST_CACHED)
                + straight(flags, thing, device)
        },
        window: false,
    },
    Intent {
        name: "upload, random access",
        desc: AllocationDesc::upload().host_access(HostAccess::Random),
        must: Type::HOST_VISIBLE,
        cost: |flags, thing, device| {
            missing(flags, Type::HOST_COHERENT | Type::HOST_CACHED) + straight(flags, thing, device)
        },
        window: false,
    },
    Intent {
        name: "upload, rather the host's",
        desc: AllocationDesc::upload().prefer_host(),
        must: Type::HOST_VISIBLE,
        cost: |flags, _, _| {
            missing(flags, Type::HOST_COHERENT)
                + present(flags, Type::HOST_CACHED | Type::DEVICE_LOCAL)
        },
        window: false,
    },
    Intent {
        name: "readback",
        desc: AllocationDesc::readback(),
        must: Type::HOST_VISIBLE,
        cost: |flags, _, _| missing(flags, Type::HOST_CACHED) + present(flags, Type::DEVICE_LOCAL),
        window: false,
    },
    Intent {
        name: "transient",
        desc: AllocationDesc::transient(),
        must: Type::empty(),
        cost: |flags, _, _| {
            missing(flags, Type::DEVICE_LOCAL | Type::LAZILY_ALLOCATED)
                + present(flags, Type::HOST_VISIBLE | Type::HOST_CACHED)
        },
        window: false,
    },
    Intent {
        name: "device_local that the host writes",
        desc: AllocationDesc::device_local().host_access(HostAccess::Sequential),
        must: Type::HOST_VISIBLE,
        cost: |flags, _, _| {
            missing(flags, Type::DEVICE_LOCAL | Type::HOST_COHERENT)
                + present(flags, Type::HOST_VISIBLE | Type::HOST_CACHED)
        },
        window: true,
    },
    Intent {
        name: "device_local, rather the host's",
        desc: AllocationDesc::device_local().prefer_host(),
        must: Type::empty(),
        cost: |flags, _, _| present(flags, Type::DEVICE_LOCAL),
        window: false,
    },
    Intent {
        name: "device_local, host access where free",
        desc: AllocationDesc::device_local().host_access_where_free(),
        must: Type::empty(),
        cost: |flags, _, device| match device {
            Device::Unified | Device::Everything => {
                let all = Type::DEVICE_LOCAL | Type::HOST_VISIBLE | Type::HOST_COHERENT;
                missing(flags, all) + present(flags, Type::HOST_CACHED)
            }
            Device::Nothing | Device::SmallWindow(_) => {
                missing(flags, Type::DEVICE_LOCAL)
                    + present(flags, Type::HOST_VISIBLE | Type::HOST_CACHED)
            }
        },
        window: false,
    },
];

/// The memory of a fake, as its driver reports it.
struct Memory {
    heaps: Vec<vk::MemoryHeap>,
    types: Vec<vk::MemoryType>,
}

impl Memory {
    fn of(fake: &FakeDriver) -> Self {
        let (instance, physical) = (fake.instance(), fake.physical_device());
        // SAFETY: the fake's own handles.
        let memory = unsafe { instance.get_physical_device_memory_properties(physical) };
        let heaps = memory.memory_heaps_as_slice().to_vec();
        Self { heaps, types: memory.memory_types_as_slice().to_vec() }
    }

    fn device(&self) -> Device {
        let visible: Vec<_> =
            self.types.iter().filter(|t| t.property_flags.contains(Type::HOST_VISIBLE)).collect();
        let local = |t: &&vk::MemoryType| t.property_flags.contains(Type::DEVICE_LOCAL);
        let size = |t: &vk::MemoryType| self.heaps[t.heap_index as usize].size;
        if visible.iter().all(local) {
            return Device::Unified;
        }
        let all = self.types.iter().filter(local).map(size).max().unwrap_or(0);
        match visible.into_iter().filter(|t| local(t)).max_by_key(|t| size(t)) {
            None => Device::Nothing,
            Some(t) if size(t) <= 256 << 20 && size(t) < all => Device::SmallWindow(t.heap_index),
            Some(_) => Device::Everything,
        }
    }

    /// Whether the specification lets a thing be of this type, and fencepost's promise too: nothing
    /// that needs a feature, nothing that is a vendor's own.
    fn may_be(&self, index: usize, thing: Thing, intent: &Intent) -> bool {
        let vk::MemoryType { property_flags: flags, heap_index } = self.types[index];
        let ordinary = Type::DEVICE_LOCAL
            | Type::HOST_VISIBLE
            | Type::HOST_COHERENT
            | Type::HOST_CACHED
            | Type::LAZILY_ALLOCATED;
        let lazily = flags.contains(Type::LAZILY_ALLOCATED);
        let lazily_fits =
            intent.name == "transient" && matches!(thing, Thing::Attachment | Thing::Memory);
        ordinary.contains(flags)
            && flags.contains(intent.must)
            && (!lazily || lazily_fits)
            && self.heaps[heap_index as usize].size >= 64 << 10
    }

    fn points(&self, index: usize, thing: Thing, intent: &Intent) -> u32 {
        let vk::MemoryType { property_flags: flags, heap_index } = self.types[index];
        let device = self.device();
        let last = !intent.window && device == Device::SmallWindow(heap_index);
        (intent.cost)(flags, thing, device) + if last { 10_000 } else { 0 }
    }
}

#[test]
fn on_every_topology_the_choice_is_legal_and_the_best() {
    let (mut choices, mut refusals) = (0, 0);
    let mut shapes = [0; 4];
    // GPUs with protected memory, AMD's, a vendor's own types, and heaps of no size.
    let mut special = [0; 4];
    for profile in Profile::all() {
        let fake = FakeDriver::new(&profile);
        let memory = Memory::of(&fake);
        let allocator = allocator(&fake);
        shapes[match memory.device() {
            Device::Unified => 0,
            Device::Nothing => 1,
            Device::SmallWindow(_) => 2,
            Device::Everything => 3,
        }] += 1;
        let types = &memory.types;
        let any = |flags: Type| types.iter().any(|it| it.property_flags.intersects(flags));
        special[0] += u32::from(any(Type::PROTECTED));
        special[1] += u32::from(any(Type::DEVICE_COHERENT_AMD | Type::DEVICE_UNCACHED_AMD));
        special[2] += u32::from(any(Type::from_raw(!0xFF)));
        special[3] += u32::from(memory.heaps.iter().any(|heap| heap.size == 0));
        for intent in &INTENTS {
            for thing in THINGS {
                let context = format!("{}: {} for {thing:?}", profile.name(), intent.name);
                let legal = (0..memory.types.len()).filter(|&t| memory.may_be(t, thing, intent));
                let best = legal.min_by_key(|&t| (memory.points(t, thing, intent), t));
                let planned = plan(&allocator, thing, &intent.desc);
                let Some(best) = best else {
                    let error = planned.unwrap_err();
                    let no_type =
                        matches!(error, CreateError::Allocate(AllocateError::NoMemoryType { .. }));
                    assert!(no_type, "{context}: {error}");
                    refusals += 1;
                    continue;
                };
                let planned = planned.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(planned.memory_type as usize, best, "{context}");
                assert_eq!(planned.properties, memory.types[best].property_flags, "{context}");
                assert_eq!(planned.heap, memory.types[best].heap_index, "{context}");
                let (made, held) = make(&allocator, thing, &intent.desc);
                assert_eq!(made, planned.memory_type, "{context}");
                drop(held);
                choices += 1;
            }
        }
        // SAFETY: nothing was submitted.
        unsafe { allocator.assume_idle() };
        drop(allocator);
        // The fake has an eye on types that need a feature.
        fake.finish().unwrap_or_else(|violations| panic!("{}: {violations}", profile.name()));
    }
    assert!(choices > 6000 && shapes.iter().all(|&count| count > 5), "{choices}, {shapes:?}");
    assert!(special.iter().all(|&count| count > 0), "{special:?}");
    println!("{choices} choices, {refusals} refusals, shapes {shapes:?}, special {special:?}");
}

#[test]
fn what_needs_a_feature_is_taken_only_if_named_and_on() {
    let profile = Profile::topology("AMD Radeon RX 6800 XT").unwrap().device_coherent_memory(true);
    let fake = FakeDriver::new(&profile);
    let off = allocator(&fake);
    let desc = desc(&fake).features(features() | DeviceFeatures::DEVICE_COHERENT_MEMORY);
    // SAFETY: the fake lives as long as the allocator.
    let on = unsafe { Allocator::new(&desc) }.unwrap();
    let coherent = AllocationDesc::device_local().required(Type::DEVICE_COHERENT_AMD);
    let refused = plan(&off, Thing::Uniform, &coherent).unwrap_err();
    assert!(matches!(refused, CreateError::Allocate(AllocateError::NoMemoryType { .. })));
    let taken = plan(&on, Thing::Uniform, &coherent).unwrap();
    assert!(taken.properties.contains(Type::DEVICE_COHERENT_AMD | Type::DEVICE_LOCAL));
    let plain = plan(&on, Thing::Uniform, &AllocationDesc::device_local()).unwrap();
    assert_eq!(plain.properties, Type::DEVICE_LOCAL, "on, and not named");
    // Flags by hand go before the intent's.
    let cached = AllocationDesc::upload().avoided(Type::HOST_COHERENT).preferred(Type::HOST_CACHED);
    let by_hand = plan(&on, Thing::Staging, &cached).unwrap();
    assert!(by_hand.properties.contains(Type::HOST_CACHED));
}

/// Device-local memory that overflows does not end in the window that uploads need.
#[test]
fn the_small_window_is_left_alone_when_the_card_is_full() {
    let fake = FakeDriver::new(&Profile::topology("NVIDIA GeForce RTX 2080").unwrap());
    let allocator = allocator(&fake);
    let requirements =
        vk::MemoryRequirements { size: 1 << 30, alignment: 256, memory_type_bits: !0 };
    let take = || {
        let desc = AllocationDesc::device_local();
        allocator.allocate(&requirements, ResourceKind::Linear, &desc).unwrap()
    };
    let held: Vec<_> = (0..20).map(|_| take()).collect();
    let overflowed: Vec<u32> =
        held.iter().skip(7).map(fencepost::Allocation::memory_type).collect();
    assert!(overflowed.iter().all(|&memory_type| memory_type == 0), "{overflowed:?}");
    assert_eq!(fake.heap_used(2), 0);
}

#[test]
fn a_plan_tells_block_new_block_and_dedicated() {
    let fake = fake();
    let allocator = allocator(&fake);
    let desc = AllocationDesc::device_local();
    let planned = |size, desc: &AllocationDesc| {
        let requirements = vk::MemoryRequirements { size, alignment: 16, memory_type_bits: !0 };
        allocator.plan(&requirements, ResourceKind::Linear, desc).map(|plan| plan.placement)
    };
    let calls = fake.total_calls();
    let Ok(Placement::NewBlock { size }) = planned(5000, &desc) else { panic!("no new block") };
    assert_eq!(planned(1 << 30, &desc), Ok(Placement::NewBlock { size: 1 << 30 }));
    assert_eq!(planned(5000, &desc.dedicated(true)), Ok(Placement::Dedicated));
    let never = desc.flags(fencepost::AllocationFlags::NEVER_ALLOCATE);
    assert!(planned(5000, &never).is_err());
    assert!(matches!(planned(1 << 60, &desc), Err(AllocateError::TooLarge { .. })));
    assert_eq!(fake.total_calls(), calls, "a pure query");
    let buffer = buffer(&allocator, 5000);
    assert_eq!(
        allocator.snapshot().blocks().next().unwrap().size,
        size,
        "the block is as large as was said"
    );
    assert_eq!(planned(5000, &desc), Ok(Placement::Block));
    assert_eq!(planned(5000, &never), Ok(Placement::Block));
    drop(buffer);
    let before = (fake.live(), allocator.statistics());
    allocator.plan_buffer(&buffer_desc(77), &desc).unwrap();
    assert_eq!((fake.live(), allocator.statistics()), before, "nothing is left");
}

fn letters(flags: Type) -> String {
    let known = [
        (Type::DEVICE_LOCAL, 'D'),
        (Type::HOST_VISIBLE, 'V'),
        (Type::HOST_COHERENT, 'C'),
        (Type::HOST_CACHED, 'K'),
        (Type::LAZILY_ALLOCATED, 'L'),
    ];
    let letters: String =
        known.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, letter)| letter).collect();
    if letters.is_empty() { "–".to_owned() } else { letters }
}

/// The table of choices on well-known GPUs.
fn table() -> String {
    let data = fs::read_to_string("tests/data/gpus.json").unwrap();
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    let columns: [(&str, usize, Thing); 10] = [
        ("device-local", 0, Thing::Uniform),
        ("texture", 0, Thing::Texture),
        ("upload: uniforms", 1, Thing::Uniform),
        ("upload: staging", 1, Thing::Staging),
        ("upload: random", 2, Thing::Staging),
        ("readback", 4, Thing::Staging),
        ("transient", 5, Thing::Attachment),
        ("device-local, host writes", 6, Thing::Uniform),
        ("rather the host's", 7, Thing::Uniform),
        ("device-local, host access where free", 8, Thing::Uniform),
    ];
    let mut out = String::from(
        "# Which memory type a description takes\n\n\
         A cell is the index of the memory type, its properties and its heap: **D**evice-local, \
         host-**V**isible, host-**C**oherent,\nhost-cached (**K**), **L**azily allocated, – for \
         none. The heaps are in MiB, `*` for device-local. Written by `tests/memory_types.rs`.\n\
         The GPUs are reports of [vulkan.gpuinfo.org](https://vulkan.gpuinfo.org), licensed \
         [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).\n\n| GPU | heaps |",
    );
    for (name, ..) in columns {
        write!(out, " {name} |").unwrap();
    }
    out.push_str("\n|---|---|");
    out.push_str(&"---|".repeat(columns.len()));
    out.push('\n');
    for gpu in data["gpus"].as_array().unwrap() {
        let pairs = |key: &str| -> Vec<(u64, u32)> {
            let list = gpu[key].as_array().unwrap().iter();
            list.map(|p| (p[0].as_u64().unwrap(), p[1].as_u64().unwrap() as u32)).collect()
        };
        let heaps: Vec<_> = pairs("heaps")
            .iter()
            .map(|&(size, flags)| (size, vk::MemoryHeapFlags::from_raw(flags)))
            .collect();
        let types: Vec<_> = pairs("types")
            .iter()
            .map(|&(heap, flags)| (heap as u32, Type::from_raw(flags)))
            .collect();
        let fake = FakeDriver::new(&Profile::default().heaps(&heaps).types(&types));
        let allocator = allocator(&fake);
        let (name, system) = (gpu["name"].as_str().unwrap(), gpu["system"].as_str().unwrap());
        let source = gpu["source"].as_str().unwrap();
        let sizes: Vec<String> = heaps
            .iter()
            .map(|&(size, flags)| {
                let star = if flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL) { "*" } else { "" };
                format!("{}{star}", size >> 20)
            })
            .collect();
        write!(out, "| [{name}, {system}]({source}) | {} |", sizes.join(" · ")).unwrap();
        for (_, intent, thing) in columns {
            match plan(&allocator, thing, &INTENTS[intent].desc) {
                Ok(plan) => {
                    let letters = letters(plan.properties);
                    write!(out, " {} {letters} @{} |", plan.memory_type, plan.heap).unwrap();
                }
                Err(_) => out.push_str(" none |"),
            }
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_table_of_well_known_gpus_is_as_reviewed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/memory_types.md");
    let table = table();
    if std::env::var_os("FENCEPOST_BLESS").is_some() {
        fs::write(&file, &table).unwrap();
    }
    let reviewed = fs::read_to_string(&file).unwrap();
    for (line, (now, was)) in table.lines().zip(reviewed.lines()).enumerate() {
        assert_eq!(now, was, "line {} of tests/golden/memory_types.md", line + 1);
    }
    assert_eq!(table.lines().count(), reviewed.lines().count());
    assert!(table.lines().count() > 12 + 8);
}
