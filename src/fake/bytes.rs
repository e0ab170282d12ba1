//! Lazily committed bytes: the content of a memory as the host or the GPU sees it.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// The alignment of a mapped pointer, `minMemoryMapAlignment`.
pub(super) const MAP_ALIGNMENT: usize = 64;

/// Zeroed bytes that cost memory only where they are touched. The pages of a large zeroed
/// allocation are not committed by the operating system, so a mapped heap of 16 GiB costs nothing.
///
/// The test holds raw pointers into these bytes while they are mapped, so they are accessed only
/// through raw pointers here too. Nobody else may write to a range *while* it is copied. This rule
/// also applies to the memory of a real GPU, and is part of the contract of the mapped pointer.
pub(super) struct Bytes {
    base: NonNull<u8>,
    /// The start of the allocation, and its layout; `None` if the bytes belong to somebody else.
    own: Option<(NonNull<u8>, Layout)>,
    len: usize,
}

// SAFETY:
// - `Bytes` owns its allocation; the pointers are not shared with another `Bytes`.
unsafe impl Send for Bytes {}

impl Bytes {
    /// Creates `len` bytes with one value, aligned to [`MAP_ALIGNMENT`]; `None` if there is not
    /// enough address space.
    pub(super) fn new(len: u64, value: u8) -> Option<Bytes> {
        let len = usize::try_from(len).ok()?;
        // A larger alignment would make the allocator write the zeros itself.
        let layout = Layout::from_size_align(len.checked_add(MAP_ALIGNMENT)?, 16).ok()?;
        // SAFETY:
        // - the layout has at least `MAP_ALIGNMENT` bytes, so its size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let padding = start.align_offset(MAP_ALIGNMENT).min(MAP_ALIGNMENT);
        // SAFETY:
        // - `padding <= MAP_ALIGNMENT`, and the allocation has that many bytes and `len` more.
        let base = unsafe { start.add(padding) };
        if value != 0 {
            // SAFETY:
            // - `len` bytes from `base` on are the new allocation's.
            unsafe { base.write_bytes(value, len) };
        }
        Some(Bytes { base, own: Some((start, layout)), len })
    }

    /// Bytes of the host, which must remain valid until the memory that imports them is freed.
    pub(super) fn of_host(address: *mut u8, len: u64) -> Option<Bytes> {
        let (base, len) = (NonNull::new(address)?, usize::try_from(len).ok()?);
        Some(Bytes { base, own: None, len })
    }

    /// The address of byte `offset`, or of the end.
    pub(super) fn at(&self, offset: u64) -> *mut u8 {
        let offset = usize::try_from(offset).unwrap_or(self.len).min(self.len);
        self.base.as_ptr().wrapping_add(offset)
    }

    /// Whether `offset..offset + len` lies inside.
    fn holds(&self, offset: u64, len: usize) -> bool {
        usize::try_from(offset).ok().and_then(|o| o.checked_add(len)).is_some_and(|e| e <= self.len)
    }

    /// Writes `bytes` at `offset`; does nothing if they do not fit.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if self.holds(offset, bytes.len()) {
            // SAFETY:
            // - the target lies inside the allocation, just checked, and `bytes` is a live slice;
            // - `bytes` may be mapped memory of this very object, so the copy allows an overlap;
            // - nobody writes the range meanwhile, see the type.
            unsafe { std::ptr::copy(bytes.as_ptr(), self.at(offset), bytes.len()) };
        }
    }

    /// Fills `out` from `offset` on; leaves it unchanged if the range is not inside.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) {
        if self.holds(offset, out.len()) {
            // SAFETY:
            // - the source lies inside the allocation, just checked, and is initialised (zeroed first);
            // - `out` is exclusive, so it does not overlap; nobody writes the range, see the type.
            unsafe {
                std::ptr::copy_nonoverlapping(self.at(offset), out.as_mut_ptr(), out.len());
            }
        }
    }

    /// Copies `len` bytes at `offset` from `source`, the other view of the same memory.
    pub(super) fn copy_from(&mut self, source: &Bytes, offset: u64, len: u64) {
        let Ok(len) = usize::try_from(len) else { return };
        if self.holds(offset, len) && source.holds(offset, len) {
            // SAFETY:
            // - both ranges lie inside their allocations, just checked, which are two;
            // - nobody writes either range meanwhile, see the type.
            unsafe { std::ptr::copy_nonoverlapping(source.at(offset), self.at(offset), len) };
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some((start, layout)) = self.own {
            // SAFETY:
            // - `start` came from `alloc_zeroed` with this layout and is freed once, here.
            unsafe { dealloc(start.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_zero_aligned_and_bounded() {
        let mut bytes = Bytes::new(100, 0).unwrap();
        assert_eq!(bytes.at(0).align_offset(MAP_ALIGNMENT), 0);
        let mut out = [9; 4];
        bytes.read(96, &mut out);
        assert_eq!(out, [0; 4]);
        bytes.write(97, &[1; 4]);
        bytes.write(96, &[2; 4]);
        bytes.read(96, &mut out);
        assert_eq!(out, [2; 4]);
        let mut untouched = [7; 2];
        bytes.read(99, &mut untouched);
        bytes.read(u64::MAX, &mut untouched);
        assert_eq!(untouched, [7; 2]);
    }

    #[test]
    fn fresh_bytes_are_as_asked() {
        let (bytes, mut out) = (Bytes::new(100, 7).unwrap(), [0; 100]);
        bytes.read(0, &mut out);
        assert_eq!(out, [7; 100]);
    }

    #[test]
    fn a_large_one_is_not_committed() {
        // Four gibibytes would be noticed: the machine that runs the tests may have less.
        let bytes = Bytes::new(4 << 30, 0).unwrap();
        let mut out = [1];
        bytes.read((4 << 30) - 1, &mut out);
        assert_eq!(out, [0]);
    }

    #[test]
    fn an_absurd_size_is_refused() {
        assert!(Bytes::new(u64::MAX, 0).is_none());
    }
}
