//! VMA's `VirtualBlock` through `vk-mem`: TLSF without Vulkan, in three strategies, without a
//! mutex.

use std::marker::PhantomData;

use vk_mem::{
    VirtualAllocation, VirtualAllocationCreateFlags as Flags, VirtualAllocationCreateInfo,
    VirtualBlockCreateInfo,
};

use crate::subject::{Placed, Subject, granule};

/// `vk_mem::VirtualBlock`, searched with the strategy `S`.
pub struct VirtualBlock<S> {
    block: vk_mem::VirtualBlock,
    granule: u64,
    strategy: PhantomData<S>,
}

/// A strategy of the search.
pub trait Strategy {
    /// Its name in the tables.
    const NAME: &'static str;
    /// Its flags in VMA.
    const FLAGS: Flags;
}

/// VMA's default.
pub struct Balanced;

/// The best fit first.
pub struct MinMemory;

/// The first fit found.
pub struct MinTime;

impl Strategy for Balanced {
    const NAME: &'static str = "VMA";
    const FLAGS: Flags = Flags::empty();
}

impl Strategy for MinMemory {
    const NAME: &'static str = "VMA MIN_MEMORY";
    const FLAGS: Flags = Flags::VMA_VIRTUAL_ALLOCATION_CREATE_STRATEGY_MIN_MEMORY_BIT;
}

impl Strategy for MinTime {
    const NAME: &'static str = "VMA MIN_TIME";
    const FLAGS: Flags = Flags::VMA_VIRTUAL_ALLOCATION_CREATE_STRATEGY_MIN_TIME_BIT;
}

impl<S: Strategy> Subject for VirtualBlock<S> {
    const NAME: &'static str = S::NAME;
    /// The records of its block come from C's `malloc`, whatever callbacks it gets.
    const COUNTABLE: bool = false;
    type Handle = VirtualAllocation;

    fn new(bytes: u64, _live: usize) -> Option<Self> {
        let info = VirtualBlockCreateInfo {
            size: bytes,
            flags: vk_mem::VirtualBlockCreateFlags::empty(),
            allocation_callbacks: None,
        };
        let block = vk_mem::VirtualBlock::new(info).ok()?;
        Some(Self { block, granule: granule(bytes), strategy: PhantomData })
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<VirtualAllocation>> {
        let info = VirtualAllocationCreateInfo {
            size: size.next_multiple_of(self.granule),
            alignment,
            user_data: 0,
            flags: S::FLAGS,
        };
        // SAFETY: the size is not 0 and the alignment is a power of two.
        let (handle, offset) = unsafe { self.block.allocate(info) }.ok()?;
        Some(Placed { handle, offset })
    }

    #[inline]
    fn free(&mut self, mut handle: VirtualAllocation) {
        // SAFETY: the allocation is of this block, and its handle is moved in, so it is freed once.
        unsafe { self.block.free(&mut handle) }
    }
}

impl<S> Drop for VirtualBlock<S> {
    fn drop(&mut self) {
        // SAFETY: no handle of an arena that is given up is used again.
        unsafe { self.block.clear() }
    }
}
