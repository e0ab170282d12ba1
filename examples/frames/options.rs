//! The command line.
use clap::{Parser, ValueEnum};
use fencepost::{GuardPolicy, GuardedBy, vk};
use std::ffi::OsString;
use std::path::PathBuf;

/// Flies down a river, streaming the land around it through a few megabytes of GPU memory.
///
/// Writes a picture of the last thing seen (`landscape.png`), a picture of the memory that it took
/// (`memory.svg`), and a summary.
#[derive(Parser)]
#[command(name = "frames")]
pub(crate) struct Options {
    /// How many frames to fly before the picture is taken.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) frames: u32,
    /// Which world: each number is another one, and the same one every time.
    #[arg(long, default_value_t = 3)]
    pub(crate) seed: u64,
    /// A part of the name of the driver or device to use, such as lavapipe or swiftshader.
    #[arg(long, value_name = "NAME")]
    pub(crate) driver: Option<String>,
    /// The folder for the output. It is created if it does not exist.
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
    /// The size of the picture in pixels. The flight itself is drawn at a sixth of it.
    #[arg(long, value_name = "WxH", default_value = "1280x720", value_parser = size)]
    pub(crate) size: vk::Extent2D,
    /// Enables the validation layer. If it reports anything, the program fails.
    #[arg(long)]
    pub(crate) validate: bool,
    /// Detects writes outside of resources. If there are any, the program fails.
    #[arg(long, value_enum, value_name = "POLICY", default_value = "off")]
    pub(crate) guards: Guards,
    /// Lets the GPU maintain the guards instead of the host.
    #[arg(long)]
    pub(crate) scrub: bool,
    /// Writes only the summary to standard output, as one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is guarded.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Guards {
    Off,
    Margins,
    Poison,
    Full,
}

impl Options {
    pub(crate) fn policy(&self) -> GuardPolicy {
        match self.guards {
            Guards::Off => GuardPolicy::Off,
            Guards::Margins => GuardPolicy::Margins,
            Guards::Poison => GuardPolicy::Poison,
            Guards::Full => GuardPolicy::Full,
        }
    }

    pub(crate) fn guarded_by(&self) -> GuardedBy {
        if self.scrub { GuardedBy::Gpu } else { GuardedBy::Host }
    }

    /// Whether frames contain a scrub.
    pub(crate) fn scrubs(&self) -> bool {
        self.scrub && self.policy() != GuardPolicy::Off
    }

    /// Parses a command line. The error is one sentence.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, String> {
        Self::try_parse_from(arguments).map_err(|error| {
            if !error.use_stderr() {
                error.exit(); // The help that was asked for is no mistake.
            }
            let text = error.to_string();
            let sentence = text.lines().next().unwrap_or_default();
            sentence.trim_start_matches("error: ").to_owned()
        })
    }
}

/// Pixels along one side of the picture, at most: twice as many are in every device's limits.
const LARGEST: u32 = 2048;

fn size(text: &str) -> Result<vk::Extent2D, String> {
    let side = |text: &str| text.parse().ok().filter(|side| (16..=LARGEST).contains(side));
    text.split_once('x')
        .and_then(|(width, height)| {
            Some(vk::Extent2D { width: side(width)?, height: side(height)? })
        })
        .ok_or_else(|| format!("give width x height like 1280x720, each from 16 to {LARGEST}"))
}
