//! The snapshot in the format of VMA's detailed statistics, which VMA's own `GpuMemDumpVis.py`
//! draws.
//!
//! The format allows additional keys only in `General` and in blocks. A pending range has type
//! `UNKNOWN` and its name says what it waits for. The pending bytes of a block are in its
//! `Fencepost` object.

use ash::vk;
use serde::{Serialize, Serializer};

use super::snapshot::{BlockSet, HeapSnapshot, MemoryTypeSnapshot, Snapshot};
use crate::{
    allocator::{BlockPicture, RegionPicture, RegionState, TenantKind},
    policy::granularity::ResourceKind,
};

impl Snapshot {
    /// Writes VMA's JSON dump of this picture:
    /// `python3 GpuMemDumpVis.py -o memory.png memory.json`.
    ///
    /// Arenas are `CustomPools`. `MapRefCount` is 0, and `Usage` is 0 if the allocator did not
    /// create the resource.
    ///
    /// Cost: O(regions).
    pub fn to_vma_json(&self) -> String {
        // Converting this to JSON cannot fail: every key is a string, and no number is a float.
        serde_json::to_string_pretty(&Dump::of(self)).unwrap_or_default()
    }
}

/// An object whose keys are data, in their order.
struct Keyed<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Keyed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<T> FromIterator<(String, T)> for Keyed<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dump<'a> {
    general: General<'a>,
    total: Stats,
    memory_info: Keyed<HeapInfo>,
    default_pools: Keyed<Pool<'a>>,
    #[serde(skip_serializing_if = "is_empty")]
    custom_pools: Keyed<Vec<Pool<'a>>>,
}

fn is_empty<T>(keyed: &Keyed<T>) -> bool {
    keyed.0.is_empty()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct General<'a> {
    #[serde(rename = "API")]
    api: &'static str,
    api_version: String,
    #[serde(rename = "GPU")]
    gpu: &'a str,
    device_type: u32,
    max_memory_allocation_count: u32,
    buffer_image_granularity: u64,
    non_coherent_atom_size: u64,
    memory_heap_count: usize,
    memory_type_count: usize,
}

/// Counts, minima and maxima, which are accumulated region by region.
#[derive(Serialize, Clone, Copy, Default)]
#[serde(rename_all = "PascalCase")]
struct Stats {
    block_count: u64,
    block_bytes: u64,
    allocation_count: u64,
    allocation_bytes: u64,
    unused_range_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation_size_min: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation_size_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unused_range_size_min: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unused_range_size_max: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HeapInfo {
    flags: Vec<&'static str>,
    size: u64,
    budget: Budget,
    stats: Stats,
    memory_pools: Keyed<TypeInfo>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Budget {
    budget_bytes: u64,
    usage_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TypeInfo {
    flags: Vec<&'static str>,
    stats: Stats,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pool<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    preferred_block_size: u64,
    blocks: Keyed<Block<'a>>,
    dedicated_allocations: Vec<Suballocation<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Block<'a> {
    map_ref_count: u32,
    total_bytes: u64,
    unused_bytes: u64,
    allocations: u64,
    unused_ranges: u64,
    fencepost: Extension,
    suballocations: Vec<Suballocation<'a>>,
}

/// An extension by this crate, which the format allows here.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Extension {
    pending_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Suballocation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(rename = "Type")]
    kind: &'static str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<std::borrow::Cow<'a, str>>,
}

impl<'a> Dump<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let device = &snapshot.device;
        let version = device.api_version;
        let (major, minor, patch) = (
            vk::api_version_major(version),
            vk::api_version_minor(version),
            vk::api_version_patch(version),
        );
        let types = || snapshot.memory_types();
        let key = |memory_type: &MemoryTypeSnapshot| format!("Type {}", memory_type.index);
        let pools = types().filter_map(|memory_type| {
            let own = memory_type.sets.iter().find(|set| !set.is_arena)?;
            Some((key(memory_type), Pool::of(own, None)))
        });
        let arenas = types().filter_map(|memory_type| {
            let arenas = memory_type.sets.iter().filter(|set| set.is_arena);
            let pools = arenas.enumerate().map(|(n, set)| {
                let name = set.name.map_or_else(|| n.to_string(), |name| format!("{n} - {name}"));
                Pool::of(set, Some(name))
            });
            let pools: Vec<_> = pools.collect();
            (!pools.is_empty()).then(|| (key(memory_type), pools))
        });
        let heaps = snapshot.heaps.iter().enumerate();
        Self {
            general: General {
                api: "Vulkan",
                api_version: format!("{major}.{minor}.{patch}"),
                gpu: &device.name,
                device_type: device.device_type,
                max_memory_allocation_count: device.max_allocation_count,
                buffer_image_granularity: device.buffer_image_granularity,
                non_coherent_atom_size: device.non_coherent_atom_size,
                memory_heap_count: snapshot.heaps.len(),
                memory_type_count: types().count(),
            },
            total: Stats::of(types()),
            memory_info: heaps.map(|(n, heap)| (format!("Heap {n}"), HeapInfo::of(heap))).collect(),
            default_pools: pools.collect(),
            custom_pools: arenas.collect(),
        }
    }
}

impl HeapInfo {
    fn of(heap: &HeapSnapshot) -> Self {
        let types = heap.memory_types.iter().map(|memory_type| {
            let flags = names_of(memory_type.flags());
            let stats = Stats::of(core::iter::once(memory_type));
            (format!("Type {}", memory_type.index), TypeInfo { flags, stats })
        });
        let budget = &heap.budget;
        Self {
            flags: if budget.device_local { vec!["DEVICE_LOCAL"] } else { Vec::new() },
            size: budget.size,
            budget: Budget {
                budget_bytes: budget.budget,
                usage_bytes: if budget.reported { budget.usage } else { budget.reserved },
            },
            stats: Stats::of(heap.memory_types.iter()),
            memory_pools: types.collect(),
        }
    }
}

/// The flags that the format supports.
fn names_of(flags: vk::MemoryPropertyFlags) -> Vec<&'static str> {
    use vk::MemoryPropertyFlags as Flags;
    let known = [
        (Flags::DEVICE_LOCAL, "DEVICE_LOCAL"),
        (Flags::HOST_VISIBLE, "HOST_VISIBLE"),
        (Flags::HOST_COHERENT, "HOST_COHERENT"),
        (Flags::HOST_CACHED, "HOST_CACHED"),
        (Flags::LAZILY_ALLOCATED, "LAZILY_ALLOCATED"),
        (Flags::PROTECTED, "PROTECTED"),
        (Flags::DEVICE_COHERENT_AMD, "DEVICE_COHERENT_AMD"),
        (Flags::DEVICE_UNCACHED_AMD, "DEVICE_UNCACHED_AMD"),
    ];
    known.iter().filter(|(flag, _)| flags.contains(*flag)).map(|&(_, name)| name).collect()
}

impl Stats {
    fn of<'a>(types: impl Iterator<Item = &'a MemoryTypeSnapshot>) -> Self {
        let mut stats = Self::default();
        let sets = types.flat_map(|memory_type| &memory_type.sets);
        for block in sets.flat_map(|set| &set.blocks) {
            stats.block_count += 1;
            stats.block_bytes += block.size;
            for region in &block.regions {
                stats.count(region);
            }
        }
        // The format contains extremes only if there is more than one value.
        if stats.allocation_count < 2 {
            (stats.allocation_size_min, stats.allocation_size_max) = (None, None);
        }
        if stats.unused_range_count < 2 {
            (stats.unused_range_size_min, stats.unused_range_size_max) = (None, None);
        }
        stats
    }

    fn count(&mut self, region: &RegionPicture) {
        let size = region.size;
        let least = |known: Option<u64>| Some(known.map_or(size, |known| known.min(size)));
        let most = |known: Option<u64>| Some(known.map_or(size, |known| known.max(size)));
        if region.state == RegionState::Free {
            self.unused_range_count += 1;
            self.unused_range_size_min = least(self.unused_range_size_min);
            self.unused_range_size_max = most(self.unused_range_size_max);
        } else {
            self.allocation_count += 1;
            self.allocation_bytes += size;
            self.allocation_size_min = least(self.allocation_size_min);
            self.allocation_size_max = most(self.allocation_size_max);
        }
    }
}

impl<'a> Pool<'a> {
    fn of(set: &'a BlockSet, name: Option<String>) -> Self {
        let blocks = set.blocks.iter().enumerate();
        let shared = blocks.clone().filter(|(_, block)| !block.dedicated);
        let dedicated = blocks.filter(|(_, block)| block.dedicated);
        let regions = dedicated.flat_map(|(_, block)| &block.regions);
        let taken = regions.filter(|region| region.state != RegionState::Free);
        Self {
            name,
            preferred_block_size: set.next_block,
            blocks: shared.map(|(n, block)| (n.to_string(), Block::of(block))).collect(),
            dedicated_allocations: taken.map(Suballocation::dedicated).collect(),
        }
    }
}

impl<'a> Block<'a> {
    fn of(block: &'a BlockPicture) -> Self {
        let sum = |state: RegionState| {
            let regions = block.regions.iter().filter(|region| region.state == state);
            regions.fold((0, 0), |(bytes, count), region| (bytes + region.size, count + 1))
        };
        let (unused_bytes, unused_ranges) = sum(RegionState::Free);
        let (pending_bytes, pending) = sum(RegionState::Pending);
        Self {
            map_ref_count: 0,
            total_bytes: block.size,
            unused_bytes,
            allocations: sum(RegionState::Used).1 + pending,
            unused_ranges,
            fencepost: Extension { pending_bytes },
            suballocations: block.regions.iter().map(Suballocation::of).collect(),
        }
    }
}

impl<'a> Suballocation<'a> {
    fn of(region: &'a RegionPicture) -> Self {
        let free = region.state == RegionState::Free;
        Self {
            offset: Some(region.offset),
            kind: kind_of(region),
            size: region.size,
            usage: (!free).then_some(region.usage),
            name: match (region.state, region.waits) {
                (RegionState::Pending, Some(wait)) => Some(match region.name {
                    Some(name) => format!("pending: {wait} ({name})").into(),
                    None => format!("pending: {wait}").into(),
                }),
                _ => region.name.map(Into::into),
            },
        }
    }

    /// Dedicated allocations have no offset, and must have a usage.
    fn dedicated(region: &'a RegionPicture) -> Self {
        Self { offset: None, ..Self::of(region) }
    }
}

fn kind_of(region: &RegionPicture) -> &'static str {
    match (region.state, region.tenant, region.kind) {
        (RegionState::Free, ..) => "FREE",
        (RegionState::Pending, ..) | (_, TenantKind::Unknown, _) => "UNKNOWN",
        (_, TenantKind::Buffer, _) => "BUFFER",
        (_, TenantKind::Image, Some(ResourceKind::Linear)) => "IMAGE_LINEAR",
        (_, TenantKind::Image, Some(ResourceKind::Optimal)) => "IMAGE_OPTIMAL",
        (_, TenantKind::Image, _) => "IMAGE_UNKNOWN",
    }
}
