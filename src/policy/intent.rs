//! The properties that a request asks of memory types, from its intent, its usage, and the kind of
//! device.

use super::select::{MemoryHeap, MemoryType, Wish, bits::*};

/// The purpose of the memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Intent {
    /// Only the GPU accesses it.
    DeviceLocal,
    /// The host writes and the GPU reads.
    Upload,
    /// The GPU writes and the host reads.
    Readback,
    /// Only the GPU accesses it, within a render pass.
    Transient,
}

/// How the host accesses memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HostAccess {
    /// It writes in order, once, and does not read back. Suits write-combined memory.
    Sequential,
    /// It reads, or writes in any order. Uses cached memory if there is any.
    Random,
}

/// What the user said about the host's access to the memory.
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

/// What the user said about the memory, independent of the resource.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Taste {
    pub(crate) intent: Intent,
    pub(crate) access: Access,
    pub(crate) prefer_host: bool,
    /// The host may also access it, if that has no cost.
    pub(crate) access_where_free: bool,
    /// Properties that the user set explicitly; they take precedence over the intent.
    pub(crate) explicit: Wish,
}

impl Taste {
    /// All fields as two numbers, in the order of the fields, so that they are read together.
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

/// How the GPU uses the resource, as far as it affects the choice of memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum GpuUse {
    /// Unknown, because the request names no resource.
    Unknown,
    /// Only copies.
    Copies,
    /// Shaders and fixed functions access it directly.
    Direct,
}

impl GpuUse {
    /// From `VkBufferUsageFlags` or `VkImageUsageFlags`. In both, the lowest two bits are the
    /// copies.
    pub(crate) const fn of_usage(usage: u32) -> Self {
        const COPIES: u32 = 0x3;
        if usage & !COPIES != 0 { Self::Direct } else { Self::Copies }
    }
}

/// The memory of a device, as far as it affects intents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// One memory for host and GPU: all host-visible memory is device-local.
    Unified,
    /// Two memories; the host cannot access that of the device.
    Apart,
    /// Two memories; the host can access that of the device through a small window with its own
    /// heap: a PCI BAR of at most 256 MiB, which the driver needs as well.
    SmallWindow {
        /// The heap of the window.
        heap: u32,
    },
    /// Two memories; the host can access all of that of the device ("resizable BAR").
    WholeWindow,
}

/// Windows up to this size are small. This was the limit before resizable BAR.
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

    /// Whether the host can access all of the device's memory, so that host visibility has no cost.
    pub(crate) fn is_seen_whole(self) -> bool {
        matches!(self, Self::Unified | Self::WholeWindow)
    }

    /// The heap reserved for requests that ask for both properties of its types.
    pub(crate) fn guarded_heap(self) -> Option<u32> {
        match self {
            Self::SmallWindow { heap } => Some(heap),
            _ => None,
        }
    }
}

/// The properties to ask for, for a use on a device of this shape. See
/// [`rank`](super::select::rank) for the result.
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
        // Resources that shaders access directly are best written straight into device memory, if
        // the host can access enough of it. Resources that are copied from stay in host memory.
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
        // Host memory may be host-visible, so this is not avoided.
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
        // All of a small card's memory is visible to the host, so there is no window to keep free.
        let tiny = [(128 * MIB, true), (1024 * MIB, false)];
        assert_eq!(shape(&tiny, &[(0, 7), (1, 6)]), Shape::WholeWindow);
        assert_eq!(shape(&[(0, true)], &[]), Shape::Unified);
    }
}
