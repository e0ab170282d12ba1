//! The description of a pool, and what it means for the pool's addresses.
#![forbid(unsafe_code)]

use super::error::PoolError;
use crate::tlsf::Config;

/// Alignments up to this are supported by every pool whose bus addresses allow it.
const LARGEST_ALIGNMENT: u64 = 2 << 20;

/// The largest granule and cache line.
const LARGEST_GRANULE: u64 = 1 << 20;

/// Describes a pool: the constraints on its addresses, and the checks that it makes.
///
/// ```
/// use fencepost::{MemoryPool, PoolDesc};
///
/// // For a device with a 32-bit DMA mask that cannot cross 4 KiB in one transfer.
/// let desc = PoolDesc::new().bus_base(0x8000_0000).largest_address(u32::MAX.into()).boundary(4096);
/// let mut pool = MemoryPool::owned(1 << 20, &desc)?;
/// let descriptor = pool.allocate(96)?;
/// assert_eq!(pool.dma_address(descriptor), Some(0x8000_0000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PoolDesc {
    /// See [`granule`](Self::granule).
    pub granule: u64,
    /// See [`cache_line`](Self::cache_line).
    pub cache_line: u64,
    /// See [`boundary`](Self::boundary).
    pub boundary: Option<u64>,
    /// See [`bus_base`](Self::bus_base).
    pub bus_base: Option<u64>,
    /// See [`largest_address`](Self::largest_address).
    pub largest_address: u64,
    /// See [`quarantine`](Self::quarantine).
    pub quarantine: u64,
    /// See [`checked`](Self::checked).
    pub checked: bool,
}

impl Default for PoolDesc {
    fn default() -> Self {
        Self::new()
    }
}

impl PoolDesc {
    /// Granules of 16 bytes, no limits, no quarantine, no checks.
    pub const fn new() -> Self {
        Self {
            granule: 16,
            cache_line: 1,
            boundary: None,
            bus_base: None,
            largest_address: u64::MAX,
            quarantine: 0,
            checked: false,
        }
    }

    /// The unit to which every address and size is rounded: a power of two from 16 bytes to 1 MiB.
    /// The bookkeeping takes one bit for each granule. Pools of 32 GiB and more use a larger
    /// granule if they need it.
    pub const fn granule(mut self, bytes: u64) -> Self {
        self.granule = bytes;
        self
    }

    /// The size of a cache line, a power of two up to 1 MiB. No two allocations share a cache line,
    /// so a device that is not coherent, or another core, can write to one allocation without
    /// disturbing its neighbours. With a [`bus_base`](Self::bus_base), lines must begin at the same
    /// places in pointers and bus addresses.
    pub const fn cache_line(mut self, bytes: u64) -> Self {
        self.cache_line = bytes;
        self
    }

    /// No allocation crosses a multiple of this power of two, in bus addresses. `dma_pool_create`
    /// calls this its boundary. If the normal search finds no place for a request, a place is
    /// searched for at a multiple of its size rounded up to a power of two.
    pub const fn boundary(mut self, bytes: u64) -> Self {
        self.boundary = Some(bytes);
        self
    }

    /// The address at which the device sees the first byte of the memory: a physical or I/O virtual
    /// address. [`MemoryPool::dma_address`](super::MemoryPool::dma_address) is based on it.
    /// Boundary and largest address then refer to bus addresses. Alignments hold for both pointers
    /// and bus addresses, so the largest alignment is the largest one on which the two agree.
    pub const fn bus_base(mut self, address: u64) -> Self {
        self.bus_base = Some(address);
        self
    }

    /// The last byte that the device can reach, as given by a DMA mask. Memory above it is never
    /// handed out.
    pub const fn largest_address(mut self, address: u64) -> Self {
        self.largest_address = address;
        self
    }

    /// Keeps up to this many bytes of freed memory from being handed out again. The oldest leave
    /// first. While a range is in quarantine, a second free of its pointer is always detected. A
    /// request that would fail otherwise ends the quarantine.
    pub const fn quarantine(mut self, bytes: u64) -> Self {
        self.quarantine = bytes;
        self
    }

    /// Fills free memory with a pattern and checks it. A write past the end of an allocation is
    /// found when the allocation is freed; a write after free is found when the range is handed out
    /// again; and [`MemoryPool::check`](super::MemoryPool::check) finds both. Each allocation is
    /// followed by a guard of at least 16 bytes. If a device writes past the end of an allocation
    /// that [waits for points](super::MemoryPool::deallocate_at), this is also found, as a write
    /// after free.
    ///
    /// The cost is one pass over the memory at creation, and one over the allocation at each
    /// allocation and deallocation. The device must not write to free memory.
    pub const fn checked(mut self) -> Self {
        self.checked = true;
        self
    }

    /// The layout of `length` bytes at `address`.
    pub(super) fn layout(&self, address: u64, length: u64) -> Result<PoolLayout, PoolError> {
        let at_least = self.granule.max(self.cache_line);
        for bytes in [self.granule, self.cache_line] {
            if !bytes.is_power_of_two() || bytes > LARGEST_GRANULE {
                return Err(PoolError::PowerOfTwo { bytes });
            }
        }
        if let Some(bytes) = self.boundary.filter(|bytes| !bytes.is_power_of_two()) {
            return Err(PoolError::PowerOfTwo { bytes });
        }
        address.checked_add(length).ok_or(PoolError::Wraps)?;
        // Bus addresses decide; pointers follow as far as the two agree.
        let first = self.bus_base.unwrap_or(address);
        let end = first.checked_add(length).ok_or(PoolError::Wraps)?;
        let agreed = 1_u64.checked_shl((first ^ address).trailing_zeros()).unwrap_or(u64::MAX);
        if self.cache_line > agreed {
            return Err(PoolError::CacheLine { agreed });
        }
        let last = end.saturating_sub(1).min(self.largest_address);
        // A boundary that does not occur in the memory has no effect. If it occurs exactly once,
        // any boundary above the memory's size at the same place is equivalent, so the lead need
        // not be longer.
        let boundary = self.boundary.filter(|&boundary| first / boundary != last / boundary);
        let once = length.checked_next_power_of_two().unwrap_or(u64::MAX);
        let boundary = boundary.map(|boundary| boundary.min(once));
        let modulus = LARGEST_ALIGNMENT.max(boundary.unwrap_or(0));
        let granule = Config::granule_for(length.saturating_add(modulus), at_least);
        let start = first.checked_next_multiple_of(granule).ok_or(PoolError::TooSmall)?;
        let usable = last.checked_sub(start).map_or(0, |most| most.saturating_add(1));
        let usable = usable.min(end.saturating_sub(start)) / granule * granule;
        if usable == 0 {
            return Err(PoolError::TooSmall);
        }
        Ok(PoolLayout {
            skip: start - first,
            size: usable,
            lead: start % modulus,
            granule,
            largest_alignment: agreed.min(LARGEST_ALIGNMENT),
            boundary,
        })
    }
}

/// The position of a pool among addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PoolLayout {
    /// Bytes of the memory before the first granule.
    pub(super) skip: u64,
    /// The number of bytes, in whole granules, that can be handed out.
    pub(super) size: u64,
    /// The address of the first granule, modulo the boundary and every supported alignment.
    pub(super) lead: u64,
    /// The granule in bytes.
    pub(super) granule: u64,
    /// The largest alignment that pointers can have.
    pub(super) largest_alignment: u64,
    /// The boundary, if it occurs in the memory; or a smaller one, if this one occurs in the memory
    /// only at the same place.
    pub(super) boundary: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_rounded_to_granules_and_cut_at_the_largest_address() {
        let desc = PoolDesc::new();
        let layout = desc.layout(0x1003, 0x1000).unwrap();
        assert_eq!((layout.skip, layout.size, layout.lead), (13, 0xFF0, 0x1010));
        let layout = desc.cache_line(64).layout(0x1003, 0x1000).unwrap();
        assert_eq!((layout.skip, layout.size, layout.granule), (61, 0xFC0, 64));
        let layout = desc.largest_address(0x17FF).layout(0x1000, 0x1000).unwrap();
        assert_eq!((layout.skip, layout.size), (0, 0x800));
        let refused = desc.largest_address(0xFFF).layout(0x1000, 0x1000);
        assert_eq!(refused, Err(PoolError::TooSmall));
        assert_eq!(desc.layout(0x1003, 20), Err(PoolError::TooSmall));
        assert_eq!(desc.layout(u64::MAX - 5, 20), Err(PoolError::Wraps));
        assert_eq!(desc.bus_base(u64::MAX - 5).layout(0x1000, 20), Err(PoolError::Wraps));
        for bytes in [0, 24, 2 << 20] {
            let refused = Err(PoolError::PowerOfTwo { bytes });
            assert_eq!(desc.granule(bytes).layout(0x1000, 64), refused);
            assert_eq!(desc.cache_line(bytes).layout(0x1000, 64), refused);
        }
    }

    #[test]
    fn alignments_hold_where_both_addresses_agree() {
        let largest = |bus| PoolDesc::new().bus_base(bus).layout(1 << 30, 1 << 20);
        assert_eq!(largest(1 << 30).unwrap().largest_alignment, LARGEST_ALIGNMENT);
        assert_eq!(largest(1 << 12).unwrap().largest_alignment, 1 << 12);
    }

    #[test]
    fn a_boundary_outside_the_memory_is_forgotten() {
        let desc = PoolDesc::new().boundary(1 << 32);
        assert_eq!(desc.layout(0x1000, 0x1000).unwrap().boundary, None);
        let layout = desc.bus_base((1 << 32) - 0x800).layout(0x1000, 0x1000).unwrap();
        assert_eq!((layout.boundary, layout.lead), (Some(0x1000), LARGEST_ALIGNMENT - 0x800));
    }
}
