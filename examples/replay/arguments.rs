//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use super::settings::{self, BlockSize, Guards};

/// Replays captured allocation streams of real programs through fencepost.
///
/// Each allocation becomes a buffer or an image that the GPU writes. Each free is a drop, after
/// which the GPU still reads the written words back. A range that is reused too early shows as a
/// wrong word.
#[derive(Parser, Clone, Debug)]
#[command(name = "replay", version)]
pub(crate) struct Arguments {
    /// Traces: text, or text compressed by Zstandard [default: warzone2100-vulkan of
    /// benches/traces]
    pub(crate) files: Vec<PathBuf>,

    /// The Vulkan driver or device, by a part of its name, such as lavapipe or swiftshader
    #[arg(long, value_name = "NAME", conflicts_with = "no_driver")]
    pub(crate) driver: Option<String>,

    /// Replays over the fake driver, a discrete GPU, at full speed
    #[arg(long)]
    pub(crate) no_driver: bool,

    /// The fake driver takes the memory of a recorded GPU, by a part of its name. This and the
    /// following options may be given more than once: each combination is replayed, and a table
    /// compares them
    #[arg(long, value_name = "NAME", requires = "no_driver")]
    pub(crate) topology: Vec<String>,

    /// The size of blocks, such as 64M; or the sizes of the first and the largest block, such as
    /// 1M-256M
    #[arg(long, value_name = "SIZE", value_delimiter = ',', value_parser = settings::block_size)]
    pub(crate) block_size: Vec<BlockSize>,

    /// The fake driver's bufferImageGranularity, such as 64K
    #[arg(long, value_name = "BYTES", value_delimiter = ',', requires = "no_driver",
        value_parser = settings::granularity)]
    pub(crate) granularity: Vec<u64>,

    /// The maximum number of submissions that the GPU has not completed [default: 64; 2 over the
    /// fake driver]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) frames_in_flight: Vec<NonZeroUsize>,

    /// Writes a record of the replay, as a program's own `AllocatorDesc::record` would
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Writes the replay as a trace for Perfetto and chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub(crate) chrome: Option<PathBuf>,

    /// Also accepts a record without an end, from a program that could not close its allocator
    #[arg(long)]
    pub(crate) torn: bool,

    /// Stops after this many operations of each trace
    #[arg(long, value_name = "N")]
    pub(crate) operations: Option<NonZeroUsize>,

    /// Divides all sizes by this number
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = scale)]
    pub(crate) scale: f64,

    /// Takes over memory that the GPU may still use, behind a barrier, instead of asking for more;
    /// `--reuse=false,true` compares both
    #[arg(long, value_name = "BOOL", value_delimiter = ',', num_args = 0..=1,
        require_equals = true, default_missing_value = "true")]
    pub(crate) reuse: Vec<bool>,

    /// Detects writes outside of resources, by the host and by a scrub of the GPU at each
    /// submission; if anything is found, the replay fails
    #[arg(long, value_name = "POLICY", value_delimiter = ',', value_enum)]
    pub(crate) guards: Vec<Guards>,

    /// Lets the GPU also watch memory that the host can access
    #[arg(long, requires = "guards")]
    pub(crate) scrub: bool,

    /// Tracks the GPU by a ring of fences, as in Vulkan 1.0, instead of a timeline semaphore
    #[arg(long)]
    pub(crate) fences: bool,

    /// Enables the Vulkan validation layer; if it reports anything, the replay fails
    #[arg(long, conflicts_with = "no_driver")]
    pub(crate) validation: bool,

    /// Prints one line of JSON per trace
    #[arg(long)]
    pub(crate) json: bool,

    /// Prints one table in Markdown for all traces
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,

    /// FAULT INJECTION, for the self-test: does something wrong on purpose, which must be reported
    #[arg(long = "break", value_name = "FAULT", hide = true)]
    pub(crate) fault: Option<Fault>,
}

/// A fault injected on purpose.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The ranges of small buffers are freed immediately, although the GPU still has to read them.
    EarlyFree,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale > 0.0 => Ok(scale),
        _ => Err("it is not a number above 0".into()),
    }
}
