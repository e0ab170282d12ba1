//! A snapshot as text: which names hold how much, largest first.

use core::{cmp::Reverse, fmt};
use std::collections::HashMap;

use super::{
    snapshot::{BlockSet, MemoryTypeSnapshot, Snapshot},
    text::Bytes,
};
use crate::allocator::{HeapBudget, RegionState, Wait, named};

/// The number of names that are listed for one set of blocks.
const LISTED: usize = 20;

/// A report for a log. It contains each heap with its budget, each memory type and arena that holds
/// anything, and for each of these the twenty names that hold the most, with live and pending bytes
/// separate.
///
/// # Example
/// ```
/// # use fencepost::*;
/// # let fake = fake::FakeDriver::new(&Default::default());
/// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
/// # let allocator = unsafe { Allocator::new(&desc)? };
/// let desc = BufferDesc::new(96 << 10, vk::BufferUsageFlags::VERTEX_BUFFER);
/// let mesh = allocator.create_buffer(&desc, &AllocationDesc::device_local().name("mesh"))?;
/// let report = allocator.snapshot().to_string();
/// assert!(report.contains("\n    96.0 KiB in 1: mesh\n"));
/// # unsafe { allocator.shutdown()? };
/// # drop(mesh);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.device.name)?;
        for (index, heap) in self.heaps.iter().enumerate() {
            writeln!(f, "Heap {index}, {}", heap.budget)?;
            for memory_type in &heap.memory_types {
                for set in memory_type.sets.iter().filter(|set| !set.blocks.is_empty()) {
                    writeln!(f, "  {}", heading(memory_type, set))?;
                    list(f, set)?;
                }
            }
        }
        Ok(())
    }
}

/// The heading over the blocks of a memory type, or of an arena of it.
pub(super) fn heading(memory_type: &MemoryTypeSnapshot, set: &BlockSet) -> String {
    let MemoryTypeSnapshot { index, .. } = memory_type;
    let owner = match (set.is_arena, set.name) {
        (false, _) => String::new(),
        (true, None) => ", an arena".into(),
        (true, Some(name)) => format!(", arena “{name}”"),
    };
    let flags = memory_type.flags();
    let flags = if flags.is_empty() { String::new() } else { format!(" ({flags:?})") };
    format!("Type {index}{flags}{owner}: {}", set.statistics)
}

fn list(f: &mut fmt::Formatter<'_>, set: &BlockSet) -> fmt::Result {
    let mut groups: HashMap<(&str, Option<Wait>), (u64, u64)> = HashMap::new();
    let regions = set.blocks.iter().flat_map(|block| &block.regions);
    for region in regions.filter(|region| region.state != RegionState::Free) {
        let (bytes, count) = groups.entry((named(region.name), region.waits)).or_default();
        (*bytes, *count) = (*bytes + region.size, *count + 1);
    }
    let mut lines: Vec<_> = groups
        .into_iter()
        .map(|((name, waits), (bytes, count))| {
            let waits = waits.map(|wait| format!(", waiting for {wait}")).unwrap_or_default();
            (Reverse(bytes), name, waits, count)
        })
        .collect();
    lines.sort_unstable();
    for (Reverse(bytes), name, waits, count) in lines.iter().take(LISTED) {
        writeln!(f, "    {} in {count}{waits}: {name}", Bytes(*bytes))?;
    }
    match lines.get(LISTED..) {
        None | Some([]) => Ok(()),
        Some(rest) => {
            let bytes = rest.iter().map(|(Reverse(bytes), ..)| bytes).sum();
            writeln!(f, "    {} of {} other names", Bytes(bytes), rest.len())
        }
    }
}

/// One line for a log: the heap, what is held of it, and what its budget and cap leave.
impl fmt::Display for HeapBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.device_local { "the device's" } else { "the host's" };
        let [size, reserved, left] = [self.size, self.reserved, self.left].map(Bytes);
        write!(f, "{place}: {reserved} of {size} reserved, {left} left")?;
        match self.cap {
            Some(cap) if cap < self.budget => write!(f, " of a cap of {}", Bytes(cap)),
            _ => write!(f, " of a budget of {}", Bytes(self.budget)),
        }
    }
}
