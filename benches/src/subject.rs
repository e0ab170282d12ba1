//! What every allocator under test can do: the one trait, kept so small that a peer is a short file.

/// An allocation, as its allocator gave it out.
#[derive(Clone, Copy, Debug)]
pub struct Placed<H> {
    /// What frees it.
    pub handle: H,
    /// Where it begins, in bytes from the beginning of the arena.
    pub offset: u64,
}

/// An allocator of ranges of one arena.
pub trait Subject: Sized {
    /// What the tables call it.
    const NAME: &'static str;

    /// Whether it was made for its packing or for completeness, and not for speed: the tables show it,
    /// but it is nobody's rival in time.
    const REFERENCE: bool = false;

    /// Whether [`free_batch`](Self::free_batch) does more than free one after the other.
    const BATCHED: bool = false;

    /// The live count up to which it is fast enough to be timed at all.
    const LARGEST_LIVE: usize = usize::MAX;

    /// Whether its records lie on Rust's heap, where they are counted.
    const COUNTABLE: bool = true;

    /// What frees an allocation.
    type Handle;

    /// An empty arena of `bytes`, a multiple of [`granule`] of it, for at most `live` allocations at a
    /// time. `None` if such an arena is out of its reach.
    fn new(bytes: u64, live: usize) -> Option<Self>;

    /// Gives out `size` bytes at a multiple of `alignment`, a power of two; `None` if it has no room.
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<Self::Handle>>;

    /// Takes an allocation back.
    fn free(&mut self, handle: Self::Handle);

    /// Takes many back, and leaves `handles` empty.
    fn free_batch(&mut self, handles: &mut Vec<Self::Handle>) {
        handles.drain(..).for_each(|handle| self.free(handle));
    }

    /// What its last allocations visited while they searched, where that can be had.
    fn probes(&self) -> Option<Probes> {
        None
    }
}

/// How much searches visited: bins and free regions together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probes {
    /// By all allocations.
    pub sum: u64,
    /// By the one that visited most.
    pub most: u32,
    /// Number of allocations.
    pub allocations: u64,
}

impl Probes {
    /// Counts one allocation.
    pub fn add(&mut self, visited: u32) {
        self.sum += u64::from(visited);
        self.most = self.most.max(visited);
        self.allocations += 1;
    }
}

/// What sizes are rounded up to in an arena of `bytes`: 16 bytes, or so much that 31 bits count it.
///
/// All subjects get the same, whatever they could do besides. No workload asks for an alignment below
/// 16, so up to 32 GiB nothing is lost by it; and VMA's free lists are only short with rounded sizes.
pub const fn granule(bytes: u64) -> u64 {
    let mut granule = 16;
    while bytes / granule >= 1 << 31 {
        granule *= 2;
    }
    granule
}
