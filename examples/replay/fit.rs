//! Checks before the first allocation whether a machine has enough memory for a trace.

use ash::vk;
use fencepost::record::Peak;

use super::report::Bytes;

/// The memory of a device and of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The bytes of the largest heap of the GPU.
    pub(crate) device_local: u64,
    /// The bytes of the largest heap that the host can write.
    pub(crate) host: u64,
    /// The bytes of all heaps.
    pub(crate) all: u64,
    /// The free memory of the machine, if the memory of the device is part of it.
    pub(crate) available: Option<u64>,
}

/// Why a trace is refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "the trace has {} alive at a time in {place}, and of {} there a replay takes at most {}: try \
     --scale {scale:.1}, fewer --operations, or --no-driver",
    Bytes(*needed), Bytes(*there), Bytes(*most)
)]
pub(crate) struct TooLarge {
    place: &'static str,
    needed: u64,
    there: u64,
    most: u64,
    /// The smallest scale, in tenths, at which it fits.
    scale: f64,
}

impl Machine {
    /// What the heaps say; `available` where the machine's own memory backs them.
    pub(crate) fn new(memory: &vk::PhysicalDeviceMemoryProperties, available: Option<u64>) -> Self {
        let (heaps, types) = (memory.memory_heaps_as_slice(), memory.memory_types_as_slice());
        let largest = |flags| {
            let suitable = types.iter().filter(|one| one.property_flags.contains(flags));
            suitable
                .filter_map(|one| heaps.get(one.heap_index as usize))
                .map(|heap| heap.size)
                .max()
        };
        Self {
            device_local: largest(vk::MemoryPropertyFlags::DEVICE_LOCAL).unwrap_or(0),
            host: largest(vk::MemoryPropertyFlags::HOST_VISIBLE).unwrap_or(0),
            all: heaps.iter().map(|heap| heap.size).fold(0, u64::saturating_add),
            available,
        }
    }

    /// Refuses a trace that would take more than three quarters of any limit. The rest is for what
    /// waits for the GPU, for unused parts of blocks, and for other programs.
    pub(crate) fn check(&self, peak: &Peak) -> Result<(), TooLarge> {
        let needs = [
            ("the memory of the GPU", peak.device_local_bytes, Some(self.device_local)),
            ("memory that the host sees", peak.host_bytes, Some(self.host)),
            ("the memory of the device", peak.bytes, Some(self.all)),
            ("the free memory of this machine", peak.bytes, self.available),
        ];
        for (place, needed, there) in needs {
            let Some(there) = there else { continue };
            let most = there / 4 * 3;
            if needed > most {
                let scale = (needed as f64 / most.max(1) as f64 * 10.0).ceil() / 10.0;
                return Err(TooLarge { place, needed, there, most, scale });
            }
        }
        Ok(())
    }
}

/// The bytes that the machine can give to programs, if the system reports them.
pub(crate) fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}
