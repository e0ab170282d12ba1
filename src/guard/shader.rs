//! The data that the host and `shaders/guard.wgsl` exchange.

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

/// The entry points that fill pieces and that check them.
pub(crate) const FILL: &CStr = c"fill";
pub(crate) const CHECK: &CStr = c"check";

/// The number of words in the header of a table, of a piece, and of the report of a piece.
pub(crate) const HEADER: usize = 4;
pub(crate) const PIECE: usize = 4;
pub(crate) const SEEN: usize = 4;

/// The value of `Seen::first` for an undamaged piece.
const NONE: u32 = u32::MAX;

/// The GPU's report of a damaged piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// The first damaged word, relative to the start of the piece.
    pub(crate) first: u32,
    /// Its value.
    pub(crate) found: u32,
    /// The number of damaged words.
    pub(crate) words: u32,
}

impl Seen {
    /// Reads a report; `None` for an undamaged piece.
    pub(crate) fn read([first, found, words, _]: [u32; SEEN]) -> Option<Self> {
        (first != NONE).then_some(Self { first, found, words })
    }

    /// The report in the shader's format, for the fake driver, which runs in place of the shader.
    #[cfg(feature = "fake")]
    pub(crate) fn write(seen: Option<Self>) -> [u32; SEEN] {
        seen.map_or([NONE, 0, 0, 0], |seen| [seen.first, seen.found, seen.words, 0])
    }
}
