//! Buffers of two kinds: fencepost's own, and the test's own, which are bound to an allocation.

use ash::vk;
use fencepost::{
    AllocateError, Allocation, AllocationDesc, Allocator, Buffer, BufferDesc, ResourceKind,
};

use super::yard::Yard;

/// A host-visible buffer with memory of the allocator.
#[derive(Debug)]
pub(crate) enum Thing {
    /// The allocator owns the buffer and its range.
    Buffer(Buffer),
    /// The allocator owns the range. The yard owns the buffer, which outlives the range. So
    /// `free_now` frees only the bytes, and the driver's objects remain valid when a control
    /// misuses it.
    Bound(Allocation, vk::Buffer),
}

impl Thing {
    /// A buffer that fencepost creates.
    pub(crate) fn buffer(allocator: &Allocator, size: u64) -> Self {
        let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
        let buffer = allocator
            .create_buffer(&BufferDesc::new(size, usage), &AllocationDesc::readback())
            .unwrap_or_else(|error| panic!("{size} bytes: {error}"));
        Self::Buffer(buffer)
    }

    /// A buffer of the yard that is bound to an allocation.
    pub(crate) fn bound(allocator: &Allocator, yard: &Yard, size: u64) -> Self {
        Self::bound_to(yard, size, |needs| {
            allocator.allocate(needs, ResourceKind::Linear, &AllocationDesc::readback())
        })
    }

    /// A buffer of the yard that is bound to what is allocated for it.
    pub(crate) fn bound_to(
        yard: &Yard,
        size: u64,
        allocate: impl FnOnce(&vk::MemoryRequirements) -> Result<Allocation, AllocateError>,
    ) -> Self {
        let buffer = yard.buffer(size);
        let device = &yard.gpu.device;
        // SAFETY: the device is alive.
        let needs = unsafe { device.get_buffer_memory_requirements(buffer) };
        let allocation = allocate(&needs).unwrap_or_else(|error| panic!("{size} bytes: {error}"));
        // SAFETY: the range is the buffer's, of a fitting size, alignment and type.
        unsafe { device.bind_buffer_memory(buffer, allocation.memory(), allocation.offset()) }
            .expect("a bind");
        Self::Bound(allocation, buffer)
    }

    pub(crate) fn handle(&self) -> vk::Buffer {
        match self {
            Self::Buffer(buffer) => buffer.handle(),
            Self::Bound(_, buffer) => *buffer,
        }
    }

    pub(crate) fn allocation(&self) -> &Allocation {
        match self {
            Self::Buffer(buffer) => buffer.allocation(),
            Self::Bound(allocation, _) => allocation,
        }
    }

    /// Fills the first `size` bytes with a word.
    pub(crate) fn write_words(&mut self, size: u64, word: u32) {
        let words = vec![word; (size / 4) as usize];
        match self {
            Self::Buffer(buffer) => buffer.write(0, &words),
            Self::Bound(allocation, _) => allocation.write(0, &words),
        }
        .expect("the memory is host-visible");
    }

    /// The first `size` bytes, as words.
    pub(crate) fn read_words(&self, size: u64) -> Vec<u32> {
        let mut words = vec![0; (size / 4) as usize];
        match self {
            Self::Buffer(buffer) => buffer.read(0, &mut words),
            Self::Bound(allocation, _) => allocation.read(0, &mut words),
        }
        .expect("the memory is host-visible");
        words
    }

    /// Panics unless each word of the first `size` bytes is `word`.
    pub(crate) fn assert_words(&self, size: u64, word: u32, whose: &str) {
        for (index, seen) in self.read_words(size).into_iter().enumerate() {
            assert_eq!(seen, word, "word {index} of {whose}");
        }
    }

    /// Frees the range immediately, although the GPU may use it.
    ///
    /// # Safety
    /// The GPU never saw the range; or this is a control, only the range is lost, and the block
    /// stays.
    pub(crate) unsafe fn free_now(self) {
        // SAFETY: by this function's contract.
        unsafe {
            match self {
                Self::Buffer(buffer) => buffer.free_now(),
                Self::Bound(allocation, _) => allocation.free_now(),
            }
        }
    }
}
