//! The workloads: generated ones by seed and live count, and captured ones.
//!
//! All sizes are as a driver would require them, with an alignment of at least 16 bytes.

mod adversary;
mod fixed;
mod renderer;
mod streaming;
mod traces;
mod training;
mod uniform;

pub(crate) use traces::captured;
pub use traces::{ReadError, traces};

use crate::stream::Stream;

/// A generated workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workload {
    /// Sizes from 256 B to 128 KiB; frees and allocations alternate.
    Uniform,
    /// The same sizes in frames: 64 frees, then 64 allocations.
    UniformFrames,
    /// As `Uniform`, with odd sizes and alignments of up to 4 KiB.
    UniformAligned,
    /// Small buffers, mip chains, transients, level switches.
    Renderer,
    /// A cache of assets that evicts the least recently used.
    Streaming,
    /// Steps of training a transformer: forward and backward passes with varying lengths.
    Training,
    /// One size, freed in the reverse order.
    FixedLifo,
    /// One size, freed in random order.
    FixedRandom,
    /// Sizes that double while every second allocation stays, based on Robson's proof.
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

    /// Its name in the tables.
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

    /// The stream with about `live` live allocations and about `steps` measured steps.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::footprint::arena_bytes;
    use crate::for_each_subject;
    use crate::subject::Subject;

    #[test]
    fn every_workload_is_its_seed_and_has_its_live_count() {
        for workload in Workload::ALL {
            let stream = workload.stream(1_000, 5_000, 7);
            assert_eq!(stream.steps, workload.stream(1_000, 5_000, 7).steps, "{}", stream.name);
            assert!(stream.steps.len() - stream.steady >= 5_000, "{}", stream.name);
            let live = stream.peak_live;
            assert!((500..=1_500).contains(&live), "{}: {live} alive", stream.name);
        }
        let sizes = |seed| Workload::Renderer.stream(100, 500, seed).steps;
        assert_ne!(sizes(1), sizes(2));
    }

    #[test]
    fn every_subject_is_sound_on_every_workload() {
        for workload in Workload::ALL {
            let stream = workload.stream(200, 2_000, 3);
            macro_rules! sound {
                ($subject:ty) => {
                    let bytes = arena_bytes(&stream, 8.0);
                    let outcome = check::<$subject>(&stream, bytes);
                    // No outcome: the arena is too large for it.
                    let outcome = outcome.unwrap_or(Ok(Default::default()));
                    let name = <$subject>::NAME;
                    let outcome = outcome.unwrap_or_else(|fault| panic!("{name}: {fault}"));
                    assert_eq!(outcome.refused, 0, "{name} on {}", stream.name);
                };
            }
            for_each_subject!(sound);
        }
    }

    #[test]
    fn the_captured_streams_are_read() {
        let traces = traces().expect("the suite's own traces");
        assert!(traces.len() >= 7);
        for trace in traces {
            assert!(trace.peak_live > 0 && !trace.frames.is_empty(), "{}", trace.name);
        }
    }
}
