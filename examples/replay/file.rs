//! A trace in a file: plain text, or text compressed by Zstandard.

use std::io::{self, Read};
use std::path::Path;

use fencepost::record::{DamagedLine, Record};
use ruzstd::decoding::StreamingDecoder;

/// The first bytes of a Zstandard frame.
const ZSTANDARD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A limit that exceeds the uncompressed size of a trace of ten million operations.
const LONGEST_TEXT: u64 = 1 << 28;

/// Why a file is not a trace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("cannot be read: {0}")]
    File(#[from] io::Error),
    #[error("is packed by Zstandard and damaged")]
    Packed,
    #[error("holds more than {LONGEST_TEXT} bytes of text")]
    TooLong,
    #[error("is neither text nor packed by Zstandard")]
    NotText,
    #[error("is damaged in {0}")]
    Line(#[from] DamagedLine),
    #[error("holds no operation")]
    Empty,
}

/// Reads a trace. The contents of the file, not its name, decide whether it is compressed. If
/// `torn`, a record may lack its end.
pub(crate) fn read(path: &Path, torn: bool) -> Result<Record, ReadError> {
    let bytes = std::fs::read(path)?;
    let text = if bytes.starts_with(&ZSTANDARD) { unpack(&bytes)? } else { bytes };
    let text = String::from_utf8(text).map_err(|_| ReadError::NotText)?;
    let trace = if torn { Record::parse_torn(&text)? } else { Record::parse(&text)? };
    if trace.operations().is_empty() {
        return Err(ReadError::Empty);
    }
    Ok(trace)
}

/// Decompresses all frames of a file.
fn unpack(mut packed: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut text = Vec::new();
    while !packed.is_empty() {
        let mut frame = StreamingDecoder::new(&mut packed).map_err(|_| ReadError::Packed)?;
        let room = LONGEST_TEXT - text.len() as u64;
        let read = (&mut frame).take(room + 1).read_to_end(&mut text);
        if read.map_err(|_| ReadError::Packed)? as u64 > room {
            return Err(ReadError::TooLong);
        }
        let decoder = frame.into_frame_decoder();
        let stored = decoder.get_checksum_from_data();
        if stored.is_some() && stored != decoder.get_calculated_checksum() {
            return Err(ReadError::Packed);
        }
    }
    Ok(text)
}
