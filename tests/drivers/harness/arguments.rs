//! The command line: what libtest accepts, and what the parent tells a child.

use std::num::NonZeroUsize;
use std::thread;

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Only print the names.
    pub(crate) list: bool,
    /// Run the default set. Off with `--ignored`.
    pub(crate) default_set: bool,
    /// Run the deep variants: `--ignored`, `--include-ignored`.
    pub(crate) deep_set: bool,
    /// Print everything that a child wrote, even if it passed.
    pub(crate) show_output: bool,
    /// The number of children that run at once.
    pub(crate) jobs: usize,
    /// This process is the child that runs this test.
    pub(crate) child: Option<String>,
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
}

/// Options of libtest that take a value and have no effect here.
const IGNORED_WITH_VALUE: [&str; 4] = ["--format", "--color", "--logfile", "-Z"];

impl Arguments {
    /// Parses the arguments after the program's name. Options of libtest that have no effect here
    /// are ignored, so `cargo test -- --anything` works for every target.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            default_set: true,
            jobs: thread::available_parallelism().map_or(1, NonZeroUsize::get).min(4),
            ..Self::default()
        };
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            let (option, joined) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with('-') => (option, Some(value)),
                _ => (argument.as_str(), None),
            };
            let mut value = || {
                joined
                    .map(str::to_owned)
                    .or_else(|| rest.next())
                    .ok_or_else(|| format!("{option} needs a value"))
            };
            match option {
                "--list" => parsed.list = true,
                "--ignored" => (parsed.default_set, parsed.deep_set) = (false, true),
                "--include-ignored" => parsed.deep_set = true,
                "--nocapture" | "--no-capture" | "--show-output" => parsed.show_output = true,
                "--exact" => parsed.exact = true,
                "--skip" => parsed.skips.push(value()?),
                "--child" => parsed.child = Some(value()?),
                "--test-threads" => {
                    parsed.jobs = value()?
                        .parse::<NonZeroUsize>()
                        .map_err(|_| "--test-threads needs a number above zero".to_owned())?
                        .get();
                }
                _ if IGNORED_WITH_VALUE.contains(&option) => drop(value()?),
                _ if option.starts_with('-') => {}
                _ => parsed.filters.push(argument),
            }
        }
        Ok(parsed)
    }

    /// Whether the filters select a test with this name.
    pub(crate) fn selects(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter) };
        (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skips.iter().any(matches)
    }
}
