//! How much one collect does.

/// How many of a kind one collect takes back, beside as many as were given up since the last: so it
/// keeps up, and what has piled up goes by and by.
const SHARE: usize = 4096;

/// How much a collect does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What a frame may cost.
    Bounded,
    /// Everything that is reached.
    All,
}

/// How many were given up after the last collect.
#[derive(Clone, Copy, Default)]
pub(super) struct Lately {
    /// The number of that collect.
    collect: u64,
    count: usize,
}

impl Lately {
    /// One was given up; so many collects were made before.
    #[inline]
    pub(super) fn note(&mut self, collects: u64) {
        if self.collect != collects {
            *self = Self { collect: collects, count: 0 };
        }
        self.count += 1;
    }

    /// How many the collect of this number takes back at most.
    pub(super) fn most(&self, extent: Extent, collect: u64) -> usize {
        match extent {
            Extent::Bounded if self.collect + 1 == collect => SHARE + self.count,
            Extent::Bounded => SHARE,
            Extent::All => usize::MAX,
        }
    }
}
