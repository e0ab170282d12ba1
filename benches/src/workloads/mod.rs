//! The workloads: made ones by seed and live count, and captured ones.
//!
//! All sizes are as a driver would ask for them, 16 bytes alignment at least.

mod adversary;
mod fixed;
mod renderer;
mod streaming;
mod traces;
mod training;
mod uniform;

pub use traces::{ReadError, traces};

use crate::stream::Stream;

/// A made workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workload {
    /// Sizes of 256 B to 128 KiB, a free and an allocation in turn.
    Uniform,
    /// The same in frames: 64 frees, then 64 allocations.
    UniformFrames,
    /// As `Uniform`, with odd sizes and alignments of up to 4 KiB.
    UniformAligned,
    /// Small buffers, mip chains, transients, level switches.
    Renderer,
    /// A cache of assets, least recently used out first.
    Streaming,
    /// Steps of training a transformer: forwards, backwards, changing lengths.
    Training,
    /// One size, freed in the reverse order.
    FixedLifo,
    /// One size, freed in random order.
    FixedRandom,
    /// Sizes that double while every second one stays: after Robson's proof.
    Adversary,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Uniform,
        Self::UniformFrames,
        Self::UniformAligned,
        Self::Renderer,
        Self::Streaming,
        Self::Training,
        Self::FixedLifo,
        Self::FixedRandom,
        Self::Adversary,
    ];

    /// What the tables call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::UniformFrames => "uniform frames",
            Self::UniformAligned => "uniform aligned",
            Self::Renderer => "renderer",
            Self::Streaming => "streaming",
            Self::Training => "ml",
            Self::FixedLifo => "fixed LIFO",
            Self::FixedRandom => "fixed random",
            Self::Adversary => "adversary",
        }
    }

    /// The stream with about `live` allocations alive and about `steps` measured steps.
    pub fn stream(self, live: usize, steps: usize, seed: u64) -> Stream {
        let make = match self {
            Self::Uniform => uniform::pairs,
            Self::UniformFrames => uniform::frames,
            Self::UniformAligned => uniform::aligned,
            Self::Renderer => renderer::stream,
            Self::Streaming => streaming::stream,
            Self::Training => training::stream,
            Self::FixedLifo => fixed::lifo,
            Self::FixedRandom => fixed::random,
            Self::Adversary => adversary::stream,
        };
        let mut stream = make(live, steps, seed);
        stream.name = self.name().to_owned();
        stream
    }
}
