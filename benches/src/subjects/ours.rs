//! This crate's core. Each allocation is freed singly, or retired and reached in batches. Variants
//! look at all free regions before a refusal, or count the visits of searches.

use std::marker::PhantomData;

use fencepost::tlsf::{Config, Key, Tlsf};

use crate::subject::{Placed, Probes, Subject, granule};

/// The core, used in the way `W`.
pub struct Ours<W> {
    tlsf: Tlsf,
    probes: Probes,
    way: PhantomData<W>,
}

/// Each allocation is freed immediately.
pub struct Single;

/// Allocations that are freed together are retired and then reached as a batch, as in an allocator
/// that defers frees.
pub struct Batched;

/// As `Single`, and a request that is refused is searched for in every free region.
pub struct Anywhere;

/// As `Single`, and the visits are counted.
pub struct Counted;

/// A way to use the core.
pub trait Way {
    /// Its name in the tables.
    const NAME: &'static str;
    /// Whether frees are batched.
    const BATCHED: bool = false;
    /// Whether searches are counted.
    const COUNTED: bool = false;
    /// Whether all free regions are looked at before a refusal.
    const ANYWHERE: bool = false;
}

impl Way for Single {
    const NAME: &'static str = "fencepost";
}

impl Way for Batched {
    const NAME: &'static str = "fencepost, batched";
    const BATCHED: bool = true;
}

impl Way for Anywhere {
    const NAME: &'static str = "fencepost, anywhere";
    const ANYWHERE: bool = true;
}

impl Way for Counted {
    const NAME: &'static str = "fencepost, counted";
    const COUNTED: bool = true;
}

impl<W: Way> Subject for Ours<W> {
    const NAME: &'static str = W::NAME;
    const BATCHED: bool = W::BATCHED;
    type Handle = Key;

    fn new(bytes: u64, _live: usize) -> Option<Self> {
        let tlsf = Tlsf::new(&Config::new(bytes, granule(bytes))).ok()?;
        Some(Self { tlsf, probes: Probes::default(), way: PhantomData })
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<Key>> {
        let placed = if W::COUNTED {
            let mut probes = fencepost::tlsf::Probes::default();
            let placed = self.tlsf.allocate_counted(size, alignment, &mut probes);
            self.probes.add(probes.bins + probes.nodes);
            placed
        } else {
            self.tlsf.allocate(size, alignment)
        };
        let placed = match placed {
            Err(_) if W::ANYWHERE => self.tlsf.allocate_anywhere(size, alignment),
            placed => placed,
        };
        placed.ok().map(|placed| Placed { handle: placed.key, offset: placed.offset })
    }

    #[inline]
    fn free(&mut self, key: Key) {
        self.tlsf.free(key).expect("a live key");
    }

    fn free_batch(&mut self, keys: &mut Vec<Key>) {
        for &key in &*keys {
            self.tlsf.retire(key).expect("a live key");
        }
        self.tlsf.reach_batch(keys).expect("retired keys");
        keys.clear();
    }

    fn probes(&self) -> Option<Probes> {
        W::COUNTED.then_some(self.probes)
    }
}
