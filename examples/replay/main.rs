//! Replays captured allocation streams of real programs, on a real driver or over the fake one.
//!
//! ```text
//! cargo run --release --example replay                      # one of the shipped traces
//! cargo run --release --example replay -- benches/traces/*.zst --no-driver
//! cargo run --release --example replay -- FILE --driver swiftshader --frames-in-flight 3 --json
//! cargo run --release --example replay -- game.trace --no-driver --block-size 16M,64M,1M-256M
//! ```
//!
//! Each `a` of a trace becomes a buffer or an image of that size in memory of fencepost; its first
//! and last word and one per 64 KiB are written. Each `f` is a drop, each `s` a submission, and
//! each `p` a frame, at which the allocator collects. The words of a dropped resource are read back
//! by the submission after the drop: if its range had been handed out too early, they would be
//! those of another resource. All of this uses the everyday API of fencepost. Start with
//! `replayer.rs`, which is a complete program that uses it.
//!
//! `AllocatorDesc::record` produces a trace of your own program. To see what each would reserve,
//! several block sizes, granularities, recorded GPUs or numbers of frames in flight can be compared
//! in a table.

mod arguments;
mod batch;
mod copies;
mod declared;
mod fault;
mod file;
mod fit;
mod footprint;
mod notes;
mod replayer;
mod report;
mod resource;
mod settings;
mod setup;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod touch;
mod witness;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use arguments::Arguments;
use fencepost::record::Record;
use report::Report;
use settings::Settings;
use stop::Stop;
use table::Table;

/// The trace that is replayed if no file is named.
const DEFAULT: &str = "benches/traces/warzone2100-vulkan.trace.zst";

fn main() -> ExitCode {
    enter(std::env::args_os())
}

/// Replays all files of a command line, up to the first that fails.
pub(crate) fn enter(command_line: impl Iterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let arguments = Arguments::parse_from(command_line);
    let default = [Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFAULT)];
    let files = if arguments.files.is_empty() { &default[..] } else { &arguments.files };
    let notes = arguments.record.is_some() || arguments.chrome.is_some();
    if notes && (files.len() > 1 || Settings::all(&arguments).len() > 1) {
        eprintln!("replay: {}", Stop::SeveralReplays);
        return ExitCode::FAILURE;
    }
    if arguments.markdown {
        println!("{}", Table::markdown_head());
    }
    match files.iter().try_for_each(|file| replay(file, &arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("replay: {stop}");
            ExitCode::FAILURE
        }
    }
}

/// Replays one file and prints the result.
fn replay(file: &Path, arguments: &Arguments) -> Result<(), Stop> {
    let read = |error| Stop::Read { file: file.to_owned(), error };
    let trace = file::read(file, arguments.torn).map_err(read)?;
    let trace = match arguments.operations {
        Some(count) => trace.truncated(count.get()),
        None => trace,
    }
    .scaled(arguments.scale);

    let all = Settings::all(arguments);
    if all.len() > 1 || arguments.markdown {
        return compare(name(file), &trace, &all, arguments);
    }
    let settings = &all[0];
    let report = play(name(file), &trace, settings, arguments)?;
    let text = if arguments.json { report.json() } else { report.to_string() };
    writeln!(io::stdout(), "{text}").map_err(Stop::Print)?;
    report.judge()
}

/// Replays a trace with each setting, and prints the results side by side.
fn compare(
    name: String,
    trace: &Record,
    all: &[Settings],
    arguments: &Arguments,
) -> Result<(), Stop> {
    let mut table = Table::new(name.clone());
    for settings in all {
        let row = match play(name.clone(), trace, settings, arguments) {
            Ok(report) => {
                report.judge()?;
                Ok(report)
            }
            // A setting that does not work is a result too.
            Err(stop @ (Stop::TooLarge(_) | Stop::Create { .. })) => Err(stop.to_string()),
            Err(stop) => return Err(stop),
        };
        if let (true, Ok(report)) = (arguments.json, &row) {
            writeln!(io::stdout(), "{}", report.json()).map_err(Stop::Print)?;
        }
        table.add(settings.clone(), row);
    }
    match () {
        () if arguments.json => Ok(()),
        () if arguments.markdown => writeln!(io::stdout(), "{}", table.markdown()),
        () => writeln!(io::stdout(), "{table}"),
    }
    .map_err(Stop::Print)
}

/// Replays a trace with one setting, under a progress bar.
fn play(
    name: String,
    trace: &Record,
    settings: &Settings,
    arguments: &Arguments,
) -> Result<Report, Stop> {
    let progress = ProgressBar::new(trace.operations().len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} operations, {eta} left") {
        progress.set_style(style);
    }
    let played = setup::play(trace, arguments, settings, &progress);
    progress.finish_and_clear();
    let played = played?;
    if let Some(notes) = &played.notes {
        notes.write(arguments)?;
    }
    Ok(Report::new(name, trace, &played, arguments.scale))
}

/// The file's name without its endings.
fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".zst").trim_end_matches(".trace").to_owned()
}
