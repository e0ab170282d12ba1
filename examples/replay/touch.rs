//! Which words of a resource are written and later checked, and their contents.

/// Bytes of a word.
pub(crate) const WORD: u64 = 4;

/// The minimum distance between two words of a resource.
const STEP: u64 = 64 << 10;

/// The maximum number of words of a buffer: enough for this distance up to 1 GiB.
pub(crate) const MOST_OF_BUFFER: u64 = 1 << 14;

/// The maximum number of texels of an image. Copying a texel costs far more than copying a word.
pub(crate) const MOST_OF_IMAGE: u64 = 16;

/// The byte offsets of the words: the first, one per 64 KiB, and the last; at most `most`, which
/// must be at least 2. `size` is a multiple of a word, and not 0.
pub(crate) fn offsets(size: u64, most: u64) -> impl Iterator<Item = u64> + Clone {
    let last = size - WORD;
    let step = last.div_ceil(most - 1).max(STEP).next_multiple_of(WORD);
    (0..last.div_ceil(step)).map(move |index| index * step).chain(std::iter::once(last))
}

/// The contents of word `index` of the allocation. Two words are rarely equal.
pub(crate) fn pattern(id: u32, index: u32) -> u32 {
    // The finalizer of SplitMix64.
    let mixed = (u64::from(id) << 32 | u64::from(index)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31) as u32
}

/// The allocation, among the first `allocations`, that writes this word near its beginning.
pub(crate) fn writer_of(word: u32, allocations: u32) -> Option<u32> {
    (0..allocations).find(|id| (0..16).any(|index| pattern(*id, index) == word))
}
