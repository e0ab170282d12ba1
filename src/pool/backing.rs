//! The memory of a pool. This and `pooled` are the only files of the pool that access it.

use alloc::{
    alloc::{alloc, dealloc},
    boxed::Box,
};
use core::{alloc::Layout, fmt, ptr::NonNull};

/// A range of memory that nobody else uses. All pointers of a pool are derived from its base
/// pointer.
pub(super) struct Backing {
    base: NonNull<u8>,
    /// The address that corresponds to offset 0 of the bookkeeping. It is at or before the base,
    /// where there need not be memory.
    origin: *mut u8,
    /// All offsets are below this.
    size: usize,
    owner: Owner,
}

enum Owner {
    /// No memory at all; the size is 0.
    Nobody,
    /// Allocated from the host heap, to be freed there.
    Heap { start: NonNull<u8>, layout: Layout },
    /// Provided by the caller. The value is dropped after the pool's last access.
    Caller { _keep: Box<dyn Send> },
}

// SAFETY: the memory is used only through this value, and may be used on any thread: heap memory is
// plain memory, and the caller guarantees it for a region. `_keep` is `Send`.
unsafe impl Send for Backing {}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backing").field("base", &self.base).field("size", &self.size).finish()
    }
}

impl Backing {
    const fn new(base: NonNull<u8>, size: usize, owner: Owner) -> Self {
        Self { base, origin: base.as_ptr(), size, owner }
    }

    /// No memory.
    pub(super) const fn empty() -> Self {
        Self::new(NonNull::dangling(), 0, Owner::Nobody)
    }

    /// Memory of the host heap, not initialised. It is aligned to a cache line, a page or a huge
    /// page, depending on its size. `None` if there is none.
    pub(super) fn heap(size: usize) -> Option<Self> {
        let alignment = match size {
            0 => return None,
            1..4096 => 64,
            4096..0x20_0000 => 4096,
            _ => 2 << 20,
        };
        let layout = Layout::from_size_align(size, alignment).ok()?;
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        Some(Self::new(start, size, Owner::Heap { start, layout }))
    }

    /// Memory of the caller, and the value that keeps it alive.
    ///
    /// # Safety
    /// As long as `keep` is not dropped, the region is valid for reads and writes on any thread,
    /// and nobody accesses it except through pointers that come from this value.
    pub(super) unsafe fn region(region: NonNull<[u8]>, keep: Box<dyn Send>) -> Self {
        Self::new(region.cast(), region.len(), Owner::Caller { _keep: keep })
    }

    /// Removes what lies before `skip`, and after `size` bytes from there. Offsets of the
    /// bookkeeping count from `lead` bytes before the new base.
    pub(super) fn narrow(&mut self, skip: usize, size: usize, lead: usize) {
        assert!(skip <= self.size && size <= self.size - skip, "{skip} + {size}");
        // SAFETY: the offset lies in the memory or at its end.
        self.base = unsafe { self.base.add(skip) };
        self.size = size;
        self.origin = self.base.as_ptr().wrapping_sub(lead);
    }

    /// The address of the first byte.
    pub(super) fn address(&self) -> usize {
        self.base.addr().get()
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The address from which the bookkeeping counts.
    #[inline]
    pub(super) fn origin(&self) -> usize {
        self.origin.addr()
    }

    /// The pointer to a byte in the memory, at an offset of the bookkeeping.
    #[inline]
    pub(super) fn counted(&self, offset: usize) -> Option<NonNull<u8>> {
        let pointer = self.origin.wrapping_add(offset);
        debug_assert!(self.offset_of(pointer).is_some());
        NonNull::new(pointer)
    }

    /// The pointer to a byte that lies in the memory.
    #[inline]
    pub(super) fn pointer(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.size);
        // SAFETY: the offset lies in the memory.
        unsafe { self.base.add(offset) }
    }

    /// The offset of a pointer, whatever the pointer may be used for; `None` if it is outside.
    #[inline]
    pub(super) fn offset_of(&self, pointer: *const u8) -> Option<usize> {
        // An address below the base wraps around to more than any size.
        let offset = pointer.addr().wrapping_sub(self.address());
        (offset < self.size).then_some(offset)
    }

    /// Writes the pattern.
    pub(super) fn paint(&mut self, offset: usize, size: usize) {
        assert!(offset <= self.size && size <= self.size - offset, "{offset} + {size}");
        for at in offset..offset + size {
            // SAFETY: the byte lies in the memory, and has no owner now.
            unsafe { self.base.add(at).write(pattern(at)) };
        }
    }

    /// The first byte that differs from what [`paint`](Self::paint) wrote. The range must have been
    /// painted.
    pub(super) fn first_changed(&self, offset: usize, size: usize) -> Option<usize> {
        assert!(offset <= self.size && size <= self.size - offset, "{offset} + {size}");
        // SAFETY: the byte lies in the memory, and was written by `paint`.
        (offset..offset + size).find(|&at| unsafe { self.base.add(at).read() } != pattern(at))
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        if let Owner::Heap { start, layout } = self.owner {
            // SAFETY: `heap` got it with this layout, and nobody uses it any more.
            unsafe { dealloc(start.as_ptr(), layout) };
        }
    }
}

/// The content of free memory. It depends on the offset, so a copy of other free memory does not
/// match, and it is not a small number, ASCII, or an aligned pointer.
const fn pattern(offset: usize) -> u8 {
    0xA5 ^ (offset as u8).wrapping_mul(0x1D) ^ (offset >> 8) as u8
}
