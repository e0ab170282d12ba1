//! Regions, the pieces of a block, and their keys.

use core::fmt;
use core::num::NonZeroU64;

/// Names one allocation of one [`Tlsf`](super::Tlsf). It has 8 bytes, is `Copy`, and has a niche.
///
/// The index identifies the region's node, and stays the same while the allocation is live. The
/// serial is the running number of the allocation in its block. A key whose allocation is gone is
/// refused, even if the node has been used again. Serials repeat after 2³² allocations.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(NonZeroU64);

impl Key {
    /// The key of an allocation; its node is never node 0.
    #[inline]
    pub(super) const fn new(index: u32, serial: u32) -> Self {
        match Self::from_bits(((serial as u64) << 32) | index as u64) {
            Some(key) => key,
            None => panic!("node 0 stands for no region"),
        }
    }

    /// The index of the region's node: at least 1, and less than
    /// [`Tlsf::index_bound`](super::Tlsf::index_bound).
    #[inline]
    pub const fn index(self) -> u32 {
        self.0.get() as u32
    }

    /// The running number of the allocation in its block.
    #[inline]
    pub const fn serial(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The key as a number: the serial in the upper half, the index in the lower half.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The key for a number that [`Key::to_bits`] returned; `None` if no key has these bits (the
    /// index is 0).
    ///
    /// All other bits give a key. Whether it names an allocation is checked when it is used.
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits as u32 == 0 {
            return None;
        }
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}#{})", self.index(), self.serial())
    }
}

/// The state of a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// It has no owner and can be allocated. It has no free neighbour.
    Free,
    /// It was returned by [`Tlsf::allocate`](super::Tlsf::allocate).
    Used,
    /// It was retired by [`Tlsf::retire`](super::Tlsf::retire), but is not yet
    /// [reached](super::Tlsf::reach). Nobody may use it, and it cannot be allocated.
    Pending,
}

/// A new allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The name of the allocation.
    pub key: Key,
    /// The start in bytes from the beginning of the block.
    pub offset: u64,
    /// The size in bytes: the requested size, [rounded up](super#what-is-granted).
    pub size: u64,
}

/// The range of an allocation that was freed, retired or reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freed {
    /// The start in bytes from the beginning of the block.
    pub offset: u64,
    /// The size in bytes as it was granted.
    pub size: u64,
}

/// A piece of the block. Regions are adjacent and cover the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// Its state.
    pub state: State,
    /// The start in bytes from the beginning of the block.
    pub offset: u64,
    /// The size in bytes, a multiple of the granule and never 0.
    pub size: u64,
    /// The allocation's key, for used and pending regions.
    pub key: Option<Key>,
}
