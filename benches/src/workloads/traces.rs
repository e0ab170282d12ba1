//! The captured streams of real programs, with all their memory in one arena.

use std::path::{Path, PathBuf};

use fencepost::record::{Operation, Record};

use crate::stream::{Builder, Slot, Stream};

#[path = "../../../examples/replay/file.rs"]
mod file;

/// A trace that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct ReadError {
    path: PathBuf,
    fault: String,
}

/// All traces in the suite's folder, by name. If the program presents, its presents delimit frames;
/// otherwise its submissions do. All of a trace is measured.
///
/// # Errors
/// The folder or a file in it cannot be read.
pub fn traces() -> Result<Vec<Stream>, ReadError> {
    Ok(captured()?.iter().map(|(name, trace)| stream(name, trace)).collect())
}

/// The traces as they were captured, by name.
pub(crate) fn captured() -> Result<Vec<(String, Record)>, ReadError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let fault = |path: &Path, fault: String| ReadError { path: path.to_owned(), fault };
    let entries = folder.read_dir().map_err(|error| fault(&folder, error.to_string()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "zst"));
    paths.sort();
    let read = |path: &PathBuf| {
        let trace = file::read(path, false).map_err(|error| fault(path, error.to_string()))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        Ok((file.split('.').next().unwrap_or(&file).to_owned(), trace))
    };
    paths.iter().map(read).collect()
}

fn stream(name: &str, trace: &Record) -> Stream {
    let presents = trace.presents();
    let mut builder = Builder::new(name);
    let mut slots: Vec<Option<Slot>> = vec![None; trace.requests().len()];
    for operation in trace.operations() {
        match *operation {
            Operation::Allocate(id) => {
                let request = &trace.requests()[id as usize];
                let alignment = request.alignment.max(16);
                slots[id as usize] = Some(builder.allocate(request.size.get(), alignment));
            }
            Operation::Free(id) => {
                builder.free(slots[id as usize].expect("the reader checked the order"));
            }
            Operation::Submit if !presents => builder.end_frame(),
            Operation::Present => builder.end_frame(),
            Operation::Submit => {}
        }
    }
    builder.finish()
}
