//! Replays captured allocation streams of real programs, on a real driver or over the fake one.
//!
//! ```text
//! cargo run --release --example replay                      # one of the shipped traces
//! cargo run --release --example replay -- benches/traces/*.zst --no-driver
//! cargo run --release --example replay -- FILE --driver swiftshader --frames-in-flight 3 --json
//! ```
//!
//! Each `a` of a trace is a buffer or an image of that size in fencepost's memory, whose first and
//! last word and one per 64 KiB are written; each `f` is a drop; each `s` a submit; each `p` a
//! frame, at which the allocator collects. What a drop gives up is read back by the submit after
//! the drop: were its range handed out too early, the words would be another's. All of it is
//! fencepost's everyday face; begin with `replayer.rs`, which is the whole of a program that uses
//! it.

mod arguments;
mod batch;
mod copies;
mod declared;
mod fault;
mod file;
mod fit;
mod footprint;
mod replayer;
mod report;
mod resource;
mod setup;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod touch;
mod witness;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use arguments::Arguments;
use report::Report;
use stop::Stop;

/// What is replayed when no file is named.
const DEFAULT: &str = "benches/traces/warzone2100-vulkan.trace.zst";

fn main() -> ExitCode {
    enter(std::env::args_os())
}

/// Replays all files of a command line, up to the first that fails.
pub(crate) fn enter(command_line: impl Iterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let arguments = Arguments::parse_from(command_line);
    let default = [Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFAULT)];
    let files = if arguments.files.is_empty() { &default[..] } else { &arguments.files };
    match files.iter().try_for_each(|file| replay(file, &arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("replay: {stop}");
            ExitCode::FAILURE
        }
    }
}

/// Replays one file and prints what came of it.
fn replay(file: &Path, arguments: &Arguments) -> Result<(), Stop> {
    let read = |error| Stop::Read { file: file.to_owned(), error };
    let trace = file::read(file).map_err(read)?;
    let trace = match arguments.operations {
        Some(count) => trace.truncated(count.get()),
        None => trace,
    }
    .scaled(arguments.scale);

    let progress = ProgressBar::new(trace.operations().len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} operations, {eta} left") {
        progress.set_style(style);
    }
    let played = setup::play(&trace, arguments, &progress);
    progress.finish_and_clear();
    let report = Report::new(name(file), &trace, &played?, arguments.scale);

    let text = if arguments.json { report.json() } else { report.to_string() };
    writeln!(io::stdout(), "{text}").map_err(Stop::Print)?;
    report.judge()
}

/// The file's name without its endings.
fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".zst").trim_end_matches(".trace").to_owned()
}
