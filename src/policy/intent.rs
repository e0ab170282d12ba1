//! What a request asks of memory types: from its intent, its use, and the shape of the device.

use super::select::{MemoryHeap, MemoryType, Wish, bits::*};

/// What the memory is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Intent {
    /// The GPU alone touches it.
    DeviceLocal,
    /// The host writes, the GPU reads.
    Upload,
    /// The GPU writes, the host reads.
    Readback,
    /// The GPU alone, within a render pass.
    Transient,
}

/// How the host goes through memory that it can see.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HostAccess {
    /// Writes in order, once, without reading back: what write-combined memory is good at.
    Sequential,
    /// Reads, or writes here and there: cached memory, where there is some.
    Random,
}

/// What was said of how the host goes through the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Nothing.
    Unsaid,
    /// [`HostAccess::Sequential`].
    Sequential,
    /// [`HostAccess::Random`].
    Random,
}

impl Access {
    pub(crate) const fn said(access: HostAccess) -> Self {
        match access {
            HostAccess::Sequential => Self::Sequential,
            HostAccess::Random => Self::Random,
        }
    }
}

/// What a user says of memory, whatever will lie there.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Taste {
    pub(crate) intent: Intent,
    pub(crate) access: Access,
    pub(crate) prefer_host: bool,
    /// The host may as well see it, where that costs nothing.
    pub(crate) access_where_free: bool,
    /// What was said of properties by hand; it goes before what the intent says.
    pub(crate) explicit: Wish,
}

impl Taste {
    /// All of it as two numbers: in the order of the fields, so that they are read at once.
    #[inline(always)]
    pub(crate) const fn words(&self) -> [u64; 2] {
        let manner = u32::from_le_bytes([
            self.intent as u8,
            self.access as u8,
            self.prefer_host as u8,
            self.access_where_free as u8,
        ]);
        let Wish { required, preferred, avoided } = self.explicit;
        [
            manner as u64 | (required as u64) << u32::BITS,
            preferred as u64 | (avoided as u64) << u32::BITS,
        ]
    }
}

/// What the GPU does with the resource, as far as the choice of memory asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum GpuUse {
    /// Not known: no resource was named.
    Unknown,
    /// Copies, and nothing else.
    Copies,
    /// Shaders and fixed functions read or write it where it lies.
    Direct,
}

impl GpuUse {
    /// From `VkBufferUsageFlags` or `VkImageUsageFlags`, in both of which the lowest two bits are
    /// the copies.
    pub(crate) const fn of_usage(usage: u32) -> Self {
        const COPIES: u32 = 0x3;
        if usage & !COPIES != 0 { Self::Direct } else { Self::Copies }
    }
}

/// The memory of a device, as far as intents ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// One memory for host and GPU: all that the host sees is device-local.
    Unified,
    /// Two memories, and the host sees nothing of the device's.
    Apart,
    /// Two memories, and the host sees the device's through a small window of its own heap: a
    /// PCI BAR of 256 MiB at most, which the driver needs as well.
    SmallWindow {
        /// The heap that is the window.
        heap: u32,
    },
    /// Two memories, and the host sees all of the device's ("resizable BAR").
    WholeWindow,
}

/// Windows up to this size are small: what PCI had before resizable BARs.
const SMALL_WINDOW: u64 = 256 << 20;

impl Shape {
    pub(crate) fn of(types: &[MemoryType], heaps: &[MemoryHeap]) -> Self {
        let both = DEVICE_LOCAL | HOST_VISIBLE;
        let visible = || types.iter().filter(|one| one.flags & HOST_VISIBLE != 0);
        if visible().all(|one| one.flags & both == both) {
            return Self::Unified;
        }
        let size = |heap: u32| heaps.get(heap as usize).map_or(0, |heap| heap.size);
        let local = types.iter().filter(|one| one.flags & DEVICE_LOCAL != 0);
        let largest = local.map(|one| size(one.heap)).max().unwrap_or(0);
        let windows = visible().filter(|one| one.flags & both == both).map(|one| one.heap);
        match windows.max_by_key(|&heap| size(heap)) {
            None => Self::Apart,
            Some(heap) if size(heap) <= SMALL_WINDOW && size(heap) < largest => {
                Self::SmallWindow { heap }
            }
            Some(_) => Self::WholeWindow,
        }
    }

    /// Whether the host sees all of the device's memory, so that to be seen costs nothing.
    pub(crate) fn is_seen_whole(self) -> bool {
        matches!(self, Self::Unified | Self::WholeWindow)
    }

    /// The heap that is kept for those who ask for both properties of its types.
    pub(crate) fn guarded_heap(self) -> Option<u32> {
        match self {
            Self::SmallWindow { heap } => Some(heap),
            _ => None,
        }
    }
}

/// What is asked of memory types for a use on a device of this shape. See
/// [`rank`](super::select::rank) for what it comes to.
pub(crate) fn wish(taste: &Taste, gpu: GpuUse, shape: Shape) -> Wish {
    let &Taste { intent, access, prefer_host, access_where_free, explicit } = taste;
    let mut wish = match intent {
        Intent::DeviceLocal => {
            Wish { required: 0, preferred: DEVICE_LOCAL, avoided: HOST_VISIBLE | HOST_CACHED }
        }
        Intent::Transient => Wish {
            required: 0,
            preferred: DEVICE_LOCAL | LAZILY_ALLOCATED,
            avoided: HOST_VISIBLE | HOST_CACHED,
        },
        // What shaders read where it lies is best written straight into the device's memory, if
        // there is enough of it to see. What is copied from goes through the host's.
        Intent::Upload => {
            let straight = gpu == GpuUse::Direct && shape == Shape::WholeWindow;
            let (local, away) = if straight { (DEVICE_LOCAL, 0) } else { (0, DEVICE_LOCAL) };
            Wish {
                required: HOST_VISIBLE,
                preferred: HOST_COHERENT | local,
                avoided: HOST_CACHED | away,
            }
        }
        Intent::Readback => {
            Wish { required: HOST_VISIBLE, preferred: HOST_CACHED, avoided: DEVICE_LOCAL }
        }
    };
    match access {
        Access::Random => {
            wish.required |= HOST_VISIBLE;
            wish.prefer(HOST_CACHED);
        }
        Access::Sequential => {
            wish.required |= HOST_VISIBLE;
            wish.prefer(HOST_COHERENT);
            wish.avoid(HOST_CACHED);
        }
        Access::Unsaid => {}
    }
    if prefer_host {
        // The host's memory may well be visible to it.
        if wish.required & HOST_VISIBLE == 0 {
            wish.avoided &= !(HOST_VISIBLE | HOST_CACHED);
        }
        wish.avoid(DEVICE_LOCAL | LAZILY_ALLOCATED);
    }
    if access_where_free && shape.is_seen_whole() {
        wish.prefer(HOST_VISIBLE | HOST_COHERENT);
    }
    wish.required |= explicit.required;
    wish.prefer(explicit.preferred);
    wish.avoid(explicit.avoided);
    wish
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn shape(heaps: &[(u64, bool)], types: &[(u32, u32)]) -> Shape {
        let heaps = heaps.iter().map(|&(size, device_local)| MemoryHeap { size, device_local });
        let types = types.iter().map(|&(heap, flags)| MemoryType { flags, heap });
        Shape::of(&types.collect::<Vec<_>>(), &heaps.collect::<Vec<_>>())
    }

    #[test]
    fn shapes_are_told_apart() {
        let card = [(8192 * MIB, true), (16384 * MIB, false), (214 * MIB, true)];
        let flags = [(1, 0), (0, 1), (1, 6), (1, 14)];
        assert_eq!(shape(&card, &flags), Shape::Apart);
        let [a, b, c, d] = flags;
        assert_eq!(shape(&card, &[a, b, c, d, (2, 7)]), Shape::SmallWindow { heap: 2 });
        assert_eq!(shape(&card, &[a, b, c, d, (0, 7)]), Shape::WholeWindow);
        assert_eq!(shape(&[(2048 * MIB, true)], &[(0, 1), (0, 15)]), Shape::Unified);
        // All of a small card's memory is seen: no window in anybody's way.
        let tiny = [(128 * MIB, true), (1024 * MIB, false)];
        assert_eq!(shape(&tiny, &[(0, 7), (1, 6)]), Shape::WholeWindow);
        assert_eq!(shape(&[(0, true)], &[]), Shape::Unified);
    }
}
