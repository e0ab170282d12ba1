//! The words that the host and `shaders/guard.wgsl` exchange.

use core::ffi::CStr;

/// The compiled module, in bytes.
const BYTES: &[u8] = include_bytes!("../../shaders/guard.spv");

/// Its words.
pub(crate) static SPIRV: [u32; BYTES.len() / 4] = {
    let (mut words, mut at) = ([0; BYTES.len() / 4], 0);
    while at < words.len() {
        let first = 4 * at;
        let bytes = [BYTES[first], BYTES[first + 1], BYTES[first + 2], BYTES[first + 3]];
        words[at] = u32::from_le_bytes(bytes);
        at += 1;
    }
    words
};

/// The entry point that fills pieces, and the one that checks them.
pub(crate) const FILL: &CStr = c"fill";
pub(crate) const CHECK: &CStr = c"check";

/// Words in front of a table's pieces, of a piece, and of what is told of one.
pub(crate) const HEADER: usize = 4;
pub(crate) const PIECE: usize = 4;
pub(crate) const SEEN: usize = 4;

/// `Seen::first` of a whole piece.
const NONE: u32 = u32::MAX;

/// What the GPU tells of a damaged piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// The first damaged word, from the piece's beginning.
    pub(crate) first: u32,
    /// What it was found to be.
    pub(crate) found: u32,
    /// How many are damaged.
    pub(crate) words: u32,
}

impl Seen {
    /// Reads what was told; `None` of a whole piece.
    pub(crate) fn read([first, found, words, _]: [u32; SEEN]) -> Option<Self> {
        (first != NONE).then_some(Self { first, found, words })
    }

    /// As the shader writes it: for the fake driver, which runs in its place.
    #[cfg(feature = "fake")]
    pub(crate) fn write(seen: Option<Self>) -> [u32; SEEN] {
        seen.map_or([NONE, 0, 0, 0], |seen| [seen.first, seen.found, seen.words, 0])
    }
}
