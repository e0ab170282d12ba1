//! The record of the replay itself, and what is produced from it.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fencepost::record::Record;

use super::arguments::Arguments;
use super::stop::Stop;

/// A text that the allocator writes and the replay reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<u8>>>);

impl Notes {
    /// Empty notes, if the command line needs them.
    pub(crate) fn wanted(arguments: &Arguments) -> Option<Self> {
        (arguments.record.is_some() || arguments.chrome.is_some()).then(Self::default)
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the files that the command line requests.
    pub(crate) fn write(&self, arguments: &Arguments) -> Result<(), Stop> {
        let text = String::from_utf8_lossy(&self.bytes()).into_owned();
        let record = Record::parse(&text)?;
        let write = |path: &Path, text: &str| {
            let wrong = |error| Stop::Write { file: path.to_owned(), error };
            std::fs::write(path, text).map_err(wrong)
        };
        if let Some(path) = &arguments.record {
            write(path, &text)?;
        }
        if let Some(path) = &arguments.chrome {
            write(path, &record.to_chrome_trace())?;
        }
        Ok(())
    }
}

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
