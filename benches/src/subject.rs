//! The operations of every allocator under test. There is only one trait, and it is small, so that
//! a peer is a short file.

/// An allocation as its allocator returned it.
#[derive(Clone, Copy, Debug)]
pub struct Placed<H> {
    /// The handle that frees it.
    pub handle: H,
    /// The start in bytes from the beginning of the arena.
    pub offset: u64,
}

/// An allocator of ranges of one arena.
pub trait Subject: Sized {
    /// Its name in the tables.
    const NAME: &'static str;

    /// Whether it was made for its packing or for completeness, and not for speed. The tables show
    /// it, but do not compare others with it in time.
    const REFERENCE: bool = false;

    /// Whether [`free_batch`](Self::free_batch) does more than free one after another.
    const BATCHED: bool = false;

    /// The maximum live count with which it is fast enough to be timed at all.
    const LARGEST_LIVE: usize = usize::MAX;

    /// Whether its records are on Rust's heap, where they are counted.
    const COUNTABLE: bool = true;

    /// The handle that frees an allocation.
    type Handle;

    /// Creates an empty arena of `bytes`, which is a multiple of its [`granule`], for at most
    /// `live` allocations at a time. `None` if it does not support such an arena.
    fn new(bytes: u64, live: usize) -> Option<Self>;

    /// Allocates `size` bytes at a multiple of `alignment`, a power of two; `None` if there is no
    /// room.
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<Self::Handle>>;

    /// Frees an allocation.
    fn free(&mut self, handle: Self::Handle);

    /// Frees many allocations, and leaves `handles` empty.
    fn free_batch(&mut self, handles: &mut Vec<Self::Handle>) {
        handles.drain(..).for_each(|handle| self.free(handle));
    }

    /// What the searches of its last allocations visited, if it reports this.
    fn probes(&self) -> Option<Probes> {
        None
    }
}

/// How many bins and free regions searches visited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probes {
    /// By all allocations.
    pub sum: u64,
    /// By the allocation that visited the most.
    pub most: u32,
    /// The number of allocations.
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

/// The unit to which sizes are rounded up in an arena of `bytes`: 16 bytes, or enough that 31 bits
/// can count it.
///
/// All subjects get the same unit, whatever else they could support. No workload requests an
/// alignment below 16, so up to 32 GiB nothing is lost by it; and VMA's free lists are short only
/// with rounded sizes.
pub const fn granule(bytes: u64) -> u64 {
    let mut granule = 16;
    while bytes / granule >= 1 << 31 {
        granule *= 2;
    }
    granule
}
