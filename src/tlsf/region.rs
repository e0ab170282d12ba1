//! What a block is cut into: regions, and their keys.

use core::fmt;
use core::num::NonZeroU64;

/// Names one allocation of one [`Tlsf`](super::Tlsf): 8 bytes, `Copy`, with a niche.
///
/// The index says where the region's node is; it stays the same while the allocation lives. The
/// serial is the allocation's running number in its block: a key whose allocation is gone is refused,
/// even when the node has been used again. Serials repeat after 2³² allocations.
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

    /// Where the region's node is: at least 1, less than [`Tlsf::index_bound`](super::Tlsf::index_bound).
    #[inline]
    pub const fn index(self) -> u32 {
        self.0.get() as u32
    }

    /// The running number of the allocation in its block.
    #[inline]
    pub const fn serial(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The key as a number: serial in the upper half, index in the lower.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The key that [`Key::to_bits`] told, or none if no key has these bits (the index is 0).
    ///
    /// Any other bits make a key; whether it names an allocation is checked where it is used.
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

/// What may happen to a region next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Nobody's: it may be given out, and it has no free neighbour.
    Free,
    /// Given out by [`Tlsf::allocate`](super::Tlsf::allocate).
    Used,
    /// Given up by [`Tlsf::retire`](super::Tlsf::retire), but not yet [reached](super::Tlsf::reach):
    /// nobody may use it, and nobody else gets it.
    Pending,
}

/// A new allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Names the allocation from now on.
    pub key: Key,
    /// Where it begins, in bytes from the beginning of the block.
    pub offset: u64,
    /// Its size in bytes: what was asked for, [rounded up](super#what-is-granted).
    pub size: u64,
}

/// The range of an allocation that has been given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freed {
    /// Where it began, in bytes from the beginning of the block.
    pub offset: u64,
    /// Its size in bytes, as it was granted.
    pub size: u64,
}

/// A piece of the block. Regions lie side by side without gaps and cover the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// What may happen to it.
    pub state: State,
    /// Where it begins, in bytes from the beginning of the block.
    pub offset: u64,
    /// Its size in bytes, a multiple of the granule and never 0.
    pub size: u64,
    /// The allocation's key, for used and pending regions.
    pub key: Option<Key>,
}
