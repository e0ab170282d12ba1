//! Guards by the host, word by word: fills and compares words of a mapped block.
//!
//! They are accessed as atomics, through raw pointers, because a bug on the GPU, or a check on
//! another thread, may access them at the same time.

use core::{
    ops::Range,
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
};

use super::site::Run;
use crate::{guard::pattern, vulkan::Mapping};

/// The word of a mapped block at an offset.
///
/// # Safety
/// The mapping contains the four bytes of the word for the lifetime `'a`.
unsafe fn word<'a>(mapping: Mapping, index: u64) -> &'a AtomicU32 {
    #[cfg(test)]
    tests::touch(index * 4..index * 4 + 4);
    // SAFETY:
    // * the caller keeps the word inside the mapping;
    // * a mapping is aligned to `minMemoryMapAlignment`, which is at least 64, so the word is aligned to 4;
    // * every access in this file is atomic, and no byte of the word belongs to an allocation, whose owner
    //   could write it without atomics: see `load` and `store`.
    unsafe { AtomicU32::from_ptr(mapping.add(index * 4).as_ptr().as_ptr().cast()) }
}

/// A mask of the bits of the word that lie in a range of bytes.
fn mask(index: u64, range: &Range<u64>) -> u32 {
    let first = range.start.saturating_sub(index * 4).min(4) as u32;
    let past = (range.end.saturating_sub(index * 4)).min(4) as u32;
    let below = |bytes: u32| if bytes >= 4 { u32::MAX } else { (1 << (bytes * 8)) - 1 };
    // Byte 0 of a word is its lowest byte on every host that has a Vulkan driver.
    below(past) & !below(first)
}

/// The byte of a mapped block at an offset.
///
/// # Safety
/// The mapping contains the byte for the lifetime `'a`.
unsafe fn byte<'a>(mapping: Mapping, at: u64) -> &'a AtomicU8 {
    #[cfg(test)]
    tests::touch(at..at + 1);
    // SAFETY: the caller's promise; a byte needs no alignment.
    unsafe { AtomicU8::from_ptr(mapping.add(at).as_ptr().as_ptr().cast()) }
}

/// The masked bytes of a word, with the other bytes from `rest`: those belong to another owner and
/// are not accessed.
///
/// # Safety
/// The mapping has the word's four bytes.
unsafe fn load(mapping: Mapping, index: u64, mask: u32, rest: u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        if mask == u32::MAX {
            return word(mapping, index).load(Ordering::Relaxed);
        }
        let mut bytes = rest.to_le_bytes();
        for at in (0..4).filter(|at| mask >> (at * 8) & 1 != 0) {
            bytes[at] = byte(mapping, index * 4 + at as u64).load(Ordering::Relaxed);
        }
        u32::from_le_bytes(bytes)
    }
}

/// Writes the masked bytes of a word, and no others.
///
/// # Safety
/// As for [`load`], and those bytes belong to no allocation.
unsafe fn store(mapping: Mapping, index: u64, mask: u32, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        if mask == u32::MAX {
            return word(mapping, index).store(value, Ordering::Relaxed);
        }
        let bytes = value.to_le_bytes();
        for at in (0..4).filter(|at| mask >> (at * 8) & 1 != 0) {
            byte(mapping, index * 4 + at as u64).store(bytes[at], Ordering::Relaxed);
        }
    }
}

/// Writes the pattern into a range of bytes.
///
/// # Safety
/// The range, rounded up to a whole word, is in the mapping. It belongs to no allocation.
pub(super) unsafe fn fill(mapping: Mapping, range: Range<u64>) {
    // SAFETY: the caller's promise.
    unsafe { write(mapping, range, pattern) };
}

/// Writes zeros into a range of bytes.
///
/// # Safety
/// As [`fill`].
pub(super) unsafe fn clear(mapping: Mapping, range: Range<u64>) {
    // SAFETY: the caller's promise.
    unsafe { write(mapping, range, |_| 0) };
}

/// Writes zeros into the bytes after the last whole word.
///
/// # Safety
/// The mapping contains `size` bytes, and the bytes written belong to no allocation.
pub(super) unsafe fn clear_rest(mapping: Mapping, size: u64) {
    for at in size / 4 * 4..size {
        // SAFETY: the caller's promise.
        unsafe { byte(mapping, at) }.store(0, Ordering::Relaxed);
    }
}

/// # Safety
/// As [`fill`].
unsafe fn write(mapping: Mapping, range: Range<u64>, content: impl Fn(u64) -> u32) {
    for index in range.start / 4..range.end.div_ceil(4) {
        // SAFETY: the caller's promise.
        unsafe { store(mapping, index, mask(index, &range), content(index)) };
    }
}

/// Compares a range of bytes with the pattern, reports damaged runs of words, and repairs them.
///
/// # Safety
/// As [`fill`].
pub(super) unsafe fn verify(mapping: Mapping, range: Range<u64>, mut tell: impl FnMut(Run)) {
    let mut run: Option<Run> = None;
    for index in range.start / 4..range.end.div_ceil(4) {
        let (mask, expected) = (mask(index, &range), pattern(index));
        // SAFETY: the caller's promise.
        let found = unsafe { load(mapping, index, mask, expected) };
        let wrong = (found ^ expected) & mask;
        if wrong == 0 {
            run.take().into_iter().for_each(&mut tell);
            continue;
        }
        // SAFETY: the caller's promise.
        unsafe { store(mapping, index, mask, expected) };
        let offset = index * 4 + u64::from(wrong.trailing_zeros() / 8);
        run.get_or_insert(Run { offset, words: 0, expected, found }).words += 1;
    }
    run.into_iter().for_each(tell);
}

#[cfg(test)]
mod tests {
    use core::{cell::RefCell, ptr::NonNull};

    use super::*;

    thread_local! {
        /// What was read or written, in order.
        static TOUCHED: RefCell<Vec<Range<u64>>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn touch(range: Range<u64>) {
        TOUCHED.with_borrow_mut(|touched| touched.push(range));
    }

    const SIZE: u64 = 24;
    /// The content of other owners' bytes.
    const THEIRS: u8 = 0xEE;

    /// The bytes of a block that `work` accesses, each listed once.
    fn touched(work: impl FnOnce()) -> Vec<u64> {
        TOUCHED.take();
        work();
        let mut bytes: Vec<u64> = TOUCHED.take().into_iter().flatten().collect();
        bytes.sort_unstable();
        bytes.dedup();
        bytes
    }

    fn at_rest(at: u64) -> u8 {
        pattern(at / 4).to_le_bytes()[at as usize % 4]
    }

    /// An owner's bytes may begin and end anywhere in a word, and the owner may write them at the
    /// same time. Therefore not even a read is allowed, although it would have no visible effect.
    #[test]
    fn no_byte_beside_a_range_is_touched() {
        for start in 0..=SIZE {
            for end in start..=SIZE {
                let range = start..end;
                let mut block = [u32::from_le_bytes([THEIRS; 4]); SIZE as usize / 4];
                let mapping = Mapping::at(NonNull::from(&mut block).cast());
                let bytes = || block_bytes(mapping);
                let rest = |ours: fn(u64) -> u8| {
                    let byte = |at| if range.contains(&at) { ours(at) } else { THEIRS };
                    (0..SIZE).map(byte).collect::<Vec<u8>>()
                };
                let all: Vec<u64> = range.clone().collect();
                let told = |found: &mut Vec<(u64, u64)>| {
                    let tell = |run: Run| found.push((run.offset, run.words));
                    // SAFETY: the range lies in the block, which is this thread's alone.
                    unsafe { verify(mapping, range.clone(), tell) };
                };
                // SAFETY: as above.
                let write =
                    |ours: unsafe fn(Mapping, Range<u64>)| unsafe { ours(mapping, range.clone()) };
                assert_eq!(touched(|| write(clear)), all, "clear {range:?}");
                assert_eq!(bytes(), rest(|_| 0), "clear {range:?}");
                assert_eq!(touched(|| write(fill)), all, "fill {range:?}");
                assert_eq!(bytes(), rest(at_rest), "fill {range:?}");
                let mut found = Vec::new();
                assert_eq!(touched(|| told(&mut found)), all, "look at {range:?}");
                assert_eq!((found.len(), bytes()), (0, rest(at_rest)), "look at {range:?}");
                for at in range.clone() {
                    // SAFETY: the byte lies in the block.
                    unsafe { byte(mapping, at) }.store(!at_rest(at), Ordering::Relaxed);
                    assert_eq!(touched(|| told(&mut found)), all, "{at} of {range:?}");
                    assert_eq!(found.pop(), Some((at, 1)), "{at} of {range:?}");
                    assert_eq!((found.len(), bytes()), (0, rest(at_rest)), "{at} of {range:?}");
                }
            }
        }
    }

    fn block_bytes(mapping: Mapping) -> Vec<u8> {
        // SAFETY: the byte lies in the block.
        (0..SIZE).map(|at| unsafe { byte(mapping, at) }.load(Ordering::Relaxed)).collect()
    }
}
