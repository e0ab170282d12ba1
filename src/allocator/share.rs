//! How much work one collect does.

/// How many entries of a kind one collect frees, in addition to the number retired since the last
/// one. This way it keeps up, and a backlog shrinks gradually.
const SHARE: usize = 4096;

/// The extent of a collect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// As much as a frame may cost.
    Bounded,
    /// Everything that is reached.
    All,
}

/// The number of entries that were retired after the last collect.
#[derive(Clone, Copy, Default)]
pub(super) struct Lately {
    /// The number of that collect.
    collect: u64,
    count: usize,
}

impl Lately {
    /// An entry was retired; `collects` collects have begun before.
    #[inline]
    pub(super) fn note(&mut self, collects: u64) {
        if self.collect != collects {
            *self = Self { collect: collects, count: 0 };
        }
        self.count += 1;
    }

    /// The maximum number of entries that the collect with this number frees.
    pub(super) fn most(&self, extent: Extent, collect: u64) -> usize {
        match extent {
            Extent::Bounded if self.collect + 1 == collect => SHARE + self.count,
            Extent::Bounded => SHARE,
            Extent::All => usize::MAX,
        }
    }
}
