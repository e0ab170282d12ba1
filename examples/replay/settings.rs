//! The options in which two replays of one trace may differ, to find out which values a program
//! should choose.

use std::fmt;
use std::num::NonZeroUsize;

use clap::ValueEnum;
use fencepost::GuardPolicy;

use super::arguments::Arguments;
use super::report::Bytes;

/// The size of blocks in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockSize {
    pub(crate) first: u64,
    pub(crate) largest: u64,
}

/// What is guarded.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guards {
    Off,
    Margins,
    Poison,
    Full,
}

impl Guards {
    pub(crate) fn policy(self) -> GuardPolicy {
        match self {
            Self::Off => GuardPolicy::Off,
            Self::Margins => GuardPolicy::Margins,
            Self::Poison => GuardPolicy::Poison,
            Self::Full => GuardPolicy::Full,
        }
    }
}

/// One value for each option. Options without a value keep their default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) block_size: Option<BlockSize>,
    pub(crate) granularity: Option<u64>,
    pub(crate) topology: Option<String>,
    pub(crate) frames_in_flight: Option<NonZeroUsize>,
    pub(crate) reuse: Option<bool>,
    pub(crate) guards: Option<Guards>,
}

impl Settings {
    /// Every combination of the values on the command line.
    pub(crate) fn all(arguments: &Arguments) -> Vec<Self> {
        let mut all = vec![Self::default()];
        all = times(&all, &arguments.topology, |one, name| one.topology = Some(name.clone()));
        all = times(&all, &arguments.granularity, |one, bytes| one.granularity = Some(*bytes));
        all = times(&all, &arguments.frames_in_flight, |one, n| one.frames_in_flight = Some(*n));
        all = times(&all, &arguments.block_size, |one, size| one.block_size = Some(*size));
        all = times(&all, &arguments.reuse, |one, reuse| one.reuse = Some(*reuse));
        times(&all, &arguments.guards, |one, guards| one.guards = Some(*guards))
    }
}

/// Each of the settings combined with each value; unchanged if there is no value.
fn times<T>(all: &[Settings], values: &[T], set: impl Fn(&mut Settings, &T)) -> Vec<Settings> {
    if values.is_empty() {
        return all.to_vec();
    }
    let with = |(one, value): (&Settings, &T)| {
        let mut one = one.clone();
        set(&mut one, value);
        one
    };
    all.iter().flat_map(|one| values.iter().map(move |value| (one, value))).map(with).collect()
}

impl fmt::Display for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block_size, granularity, topology, frames_in_flight, reuse, guards } = self;
        let parts = [
            block_size.map(|BlockSize { first, largest }| match first == largest {
                true => format!("blocks of {}", Bytes(first)),
                false => format!("blocks of {} to {}", Bytes(first), Bytes(largest)),
            }),
            granularity.map(|bytes| format!("granularity {}", Bytes(bytes))),
            frames_in_flight.map(|frames| format!("{frames} in flight")),
            topology.clone(),
            reuse.map(|reuse| if reuse { "reuse" } else { "no reuse" }.to_owned()),
            guards.map(|guards| format!("guards {guards:?}").to_lowercase()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        out.pad(if parts.is_empty() { "as it is".into() } else { parts.join(", ") }.as_str())
    }
}

/// `64M`, or `1M-256M` for blocks that grow.
pub(crate) fn block_size(text: &str) -> Result<BlockSize, String> {
    let (first, largest) = text.split_once('-').unwrap_or((text, text));
    let (first, largest) = (bytes(first)?, bytes(largest)?);
    if first > largest || first == 0 {
        return Err("the first block is larger than the largest, or nothing".into());
    }
    Ok(BlockSize { first, largest })
}

/// A power of two.
pub(crate) fn granularity(text: &str) -> Result<u64, String> {
    bytes(text)?
        .checked_next_power_of_two()
        .filter(|&power| bytes(text) == Ok(power))
        .ok_or_else(|| "it is no power of two".into())
}

/// Bytes, or `K`, `M`, `G` of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| "it is not a number of bytes, such as 65536, 64K, 16M or 1G".into())
}
