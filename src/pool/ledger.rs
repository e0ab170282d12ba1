//! Which allocation an offset belongs to: the core, and what finds its regions by where they begin.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::{
    bitmap::Bitmap,
    desc::PoolLayout,
    error::{AllocateError, Broken, PoolError},
    starts::Starts,
    statistics::Fragmentation,
};
use crate::tlsf::{Config, Freed, Key, Region, State, Tlsf};

/// The books of a pool. Offsets are in bytes from the pool's first granule.
///
/// ```text
/// granules   │ 0 │ 1 │ 2 │ 3 │ 4 │ 5 │ 6 │
/// ever       │ 1 │ 0 │ 0 │ 1 │ 0 │ 1 │ 0 │  did one ever begin here? 5 is a double free
/// starts     0 → node 7, 3 → node 3         a hash table over the live ones
/// ```
/// A pointer that is right needs `starts` alone. One into the middle of an allocation looks for the
/// next live start below, among those that ever were.
#[derive(Debug)]
pub(super) struct Ledger {
    tlsf: Tlsf,
    starts: Starts,
    live: Bitmap,
    /// By node: what is known of the allocation there. Never shorter than the largest live node.
    notes: Vec<Note>,
    /// The core's first bytes stand for what lies before the pool, up to a multiple of all alignments.
    lead: u64,
    size: u64,
    /// log2 of the granule.
    shift: u32,
    largest_alignment: u64,
    boundary: Option<u64>,
}

/// Bytes of the region behind what was asked for; the topmost bit: does a handle own it?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Note(u32);

impl Note {
    const BY_HANDLE: u32 = 1 << 31;

    fn slack(self) -> u64 {
        u64::from(self.0 & !Self::BY_HANDLE)
    }
}

/// A live allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Live {
    pub(super) key: Key,
    pub(super) offset: u64,
    /// What was asked for.
    pub(super) size: u64,
    /// What it got: the size, rounded up, and the guard.
    pub(super) reserved: u64,
    pub(super) by_handle: bool,
}

/// What an offset is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The start of a live allocation.
    Start(Live),
    /// Inside a live allocation, its guard included.
    Inside(Live),
    /// Not in a live one, but an allocation once began here.
    Freed,
    /// None ever began here.
    Untracked,
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) size: u64,
    pub(super) alignment: u64,
    /// Bytes behind it that nobody gets.
    pub(super) margin: u32,
    pub(super) by_handle: bool,
}

impl Ledger {
    /// An empty pool.
    pub(super) fn new(layout: &PoolLayout) -> Result<Self, PoolError> {
        let PoolLayout { size, lead, granule, largest_alignment, boundary, .. } = *layout;
        let none = PoolError::OutOfHostMemory;
        let mut tlsf = Tlsf::new(&Config::new(lead + size, granule)).map_err(|_| none)?;
        if lead != 0 {
            let placed = tlsf.allocate_exact(lead, granule).map_err(|_| none)?;
            assert_eq!((placed.offset, placed.size), (0, lead), "the lead is the front");
        }
        let shift = granule.trailing_zeros();
        let granules = usize::try_from(size >> shift).map_err(|_| none)?;
        Ok(Self {
            tlsf,
            starts: Starts::default(),
            live: Bitmap::new(granules).ok_or(none)?,
            notes: Vec::new(),
            lead,
            size,
            shift,
            largest_alignment,
            boundary,
        })
    }

    #[inline]
    fn granule_of(&self, offset: u64) -> usize {
        (offset >> self.shift) as usize
    }

    /// Gives a range out.
    #[inline]
    pub(super) fn allocate(&mut self, request: Request) -> Result<Live, AllocateError> {
        let Request { size, alignment, margin, by_handle } = request;
        if !alignment.is_power_of_two() || alignment > self.largest_alignment {
            return Err(AllocateError::Alignment { largest: self.largest_alignment });
        }
        let room = size.saturating_add(u64::from(margin));
        if room > self.size {
            return Err(AllocateError::TooLarge);
        }
        if size == 0 {
            return Err(AllocateError::ZeroSize);
        }
        let placed = match self.boundary {
            None => self.tlsf.allocate_exact(room, alignment)?,
            Some(boundary) => self.allocate_between(boundary, size, room, alignment)?,
        };
        let node = placed.key.index() as usize;
        if !self.starts.reserve() || (node >= self.notes.len() && !self.grow_notes()) {
            self.give_back(placed.key);
            return Err(AllocateError::OutOfHostMemory);
        }
        // Less than a granule and a margin, so far from the topmost bit.
        let slack = (placed.size - size) as u32;
        self.notes[node] = Note(slack | if by_handle { Note::BY_HANDLE } else { 0 });
        let offset = placed.offset - self.lead;
        let granule = self.granule_of(offset);
        self.starts.insert(granule as u32, node as u32);
        self.live.insert(granule);
        Ok(Live { key: placed.key, offset, size, reserved: placed.size, by_handle })
    }

    /// A range that crosses no multiple of the boundary. A multiple of its own size, rounded up to a
    /// power of two, never does.
    fn allocate_between(
        &mut self,
        boundary: u64,
        size: u64,
        room: u64,
        alignment: u64,
    ) -> Result<crate::tlsf::Placed, AllocateError> {
        if size > boundary {
            return Err(AllocateError::CrossesBoundary { size });
        }
        let crosses = |offset: u64| offset / boundary != (offset + size - 1) / boundary;
        let placed = self.tlsf.allocate_exact(room, alignment)?;
        if !crosses(placed.offset) {
            return Ok(placed);
        }
        self.give_back(placed.key);
        let placed = self.tlsf.allocate_exact(room, alignment.max(size.next_power_of_two()))?;
        assert!(!crosses(placed.offset), "{placed:?} crosses {boundary}");
        Ok(placed)
    }

    /// Undoes an allocation that nobody has seen.
    #[cold]
    fn give_back(&mut self, key: Key) {
        assert!(self.tlsf.free(key).is_ok(), "{key:?} was just given out");
    }

    #[cold]
    fn grow_notes(&mut self) -> bool {
        let bound = self.tlsf.index_bound() as usize;
        if self.notes.try_reserve(bound - self.notes.len()).is_err() {
            return false;
        }
        self.notes.resize(bound, Note::default());
        true
    }

    /// The live allocation that a used region is.
    #[inline]
    fn live_in(&self, region: Region) -> Option<Live> {
        let Region { state: State::Used, offset, size: reserved, key: Some(key) } = region else {
            return None;
        };
        let note = *self.notes.get(key.index() as usize)?;
        let offset = offset.checked_sub(self.lead)?;
        let by_handle = note.0 & Note::BY_HANDLE != 0;
        Some(Live { key, offset, size: reserved - note.slack(), reserved, by_handle })
    }

    /// The live allocation that begins at a granule.
    #[inline]
    fn live_at(&self, granule: usize) -> Option<Live> {
        self.live_in(self.tlsf.region_at(self.starts.get(granule as u32)?)?)
    }

    /// The live allocation that begins at an offset. O(1).
    #[inline]
    pub(super) fn start(&self, offset: u64) -> Option<Live> {
        let granule = self.granule_of(offset);
        let exact = (granule as u64) << self.shift == offset;
        if exact { self.live_at(granule) } else { None }
    }

    /// The live allocation of a key, if it is still that of the key's serial.
    pub(super) fn by_key(&self, key: Key) -> Option<Live> {
        self.live_in(self.tlsf.get(key).ok()?)
    }

    /// What an offset is. O(1): a look-up; for one that is no live start also, amortised, two words in each
    /// level of the bitmap and the starts of one of its words.
    pub(super) fn find(&self, offset: u64) -> Found {
        if let Some(live) = self.start(offset) {
            return Found::Start(live);
        }
        let granule = self.granule_of(offset);
        let below = self.last_start(granule).and_then(|start| self.live_at(start));
        if let Some(live) = below.filter(|live| offset - live.offset < live.reserved) {
            return Found::Inside(live);
        }
        let exact = (granule as u64) << self.shift == offset;
        if exact && self.live.was_in(granule) { Found::Freed } else { Found::Untracked }
    }

    /// The last granule up to one where a live allocation begins.
    fn last_start(&self, granule: usize) -> Option<usize> {
        self.live.last_up_to(granule, |granule| self.starts.get(granule as u32).is_some())
    }

    /// No live allocation begins there any more.
    #[inline]
    fn forget(&mut self, live: &Live) {
        let granule = self.granule_of(live.offset);
        self.starts.remove(granule as u32);
    }

    /// Used → free.
    #[inline]
    pub(super) fn free(&mut self, live: &Live) {
        let freed = self.tlsf.free(live.key);
        assert!(freed.is_ok(), "{live:?} was live");
        self.forget(live);
    }

    /// Used → pending.
    pub(super) fn retire(&mut self, live: &Live) {
        let retired = self.tlsf.retire(live.key);
        assert!(retired.is_ok(), "{live:?} was live");
        self.forget(live);
    }

    /// Pending → free. Tells where it was, and its reserved bytes.
    pub(super) fn reach(&mut self, key: Key) -> Freed {
        match self.tlsf.reach(key) {
            Ok(freed) => Freed { offset: freed.offset - self.lead, ..freed },
            Err(error) => unreachable!("{key:?} was pending: {error}"),
        }
    }

    /// Where a pending allocation is, and its reserved bytes.
    pub(super) fn pending(&self, key: Key) -> Freed {
        match self.tlsf.get(key) {
            Ok(region) => Freed { offset: region.offset - self.lead, size: region.size },
            Err(error) => unreachable!("{key:?} was pending: {error}"),
        }
    }

    /// All regions but the lead, in the order of their offsets.
    pub(super) fn regions(&self) -> impl Iterator<Item = Region> + '_ {
        let regions = self.tlsf.regions().skip(usize::from(self.lead != 0));
        regions.map(|region| Region { offset: region.offset - self.lead, ..region })
    }

    /// The live allocations in the order of their offsets.
    pub(super) fn lives(&self) -> impl Iterator<Item = Live> + '_ {
        let regions = self.tlsf.regions().skip(usize::from(self.lead != 0));
        regions.filter_map(|region| self.live_in(region))
    }

    /// Bytes that can be given out.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn granule(&self) -> u64 {
        1 << self.shift
    }

    pub(super) fn largest_alignment(&self) -> u64 {
        self.largest_alignment
    }

    pub(super) fn pending_bytes(&self) -> u64 {
        self.tlsf.pending_bytes()
    }

    pub(super) fn fragmentation(&self) -> Fragmentation {
        Fragmentation {
            free_bytes: self.tlsf.free_bytes(),
            free_ranges: self.tlsf.free_count().into(),
            largest_free: self.tlsf.largest_free(),
            pending_bytes: self.tlsf.pending_bytes(),
        }
    }

    /// Bytes of the books; the host gives their untouched parts no pages.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.tlsf.metadata_bytes()
            + self.starts.bytes()
            + self.live.bytes()
            + self.notes.capacity() * size_of::<Note>()
    }

    /// Every invariant. O(granules).
    pub(super) fn check(&self, live_bytes: u64, live_count: u64) -> Result<(), Broken> {
        self.tlsf.check()?;
        let (mut bytes, mut count) = (0, 0);
        let mut last_free = None;
        for region in self.regions() {
            // From the last granule of a region the next start below is the region's own.
            let last = self.granule_of(region.offset + region.size - 1);
            let below = self.last_start(last);
            let broken = Err(Broken::Start { offset: region.offset });
            if region.state == State::Used {
                if below != Some(self.granule_of(region.offset)) {
                    return broken;
                }
                if !self.live.shows(self.granule_of(region.offset)) {
                    return Err(Broken::Bitmap);
                }
                match self.start(region.offset) {
                    Some(live) if Some(live.key) == region.key => bytes += live.size,
                    _ => return broken,
                }
                count += 1;
                last_free = below;
            } else if below != last_free {
                return broken;
            }
        }
        let starts = self.starts.count() as u64;
        if (bytes, count, starts) != (live_bytes, live_count, count) {
            return Err(Broken::Count);
        }
        Ok(())
    }
}
