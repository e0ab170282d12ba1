//! The allocation to which an offset belongs: the core, and a table of its regions by their starts.
#![forbid(unsafe_code)]

mod check;
mod plain;

use super::{
    began::Began,
    desc::{PoolDesc, PoolLayout},
    error::{AllocateError, PoolError},
    found::{Found, Live, Note, Request},
    starts::Starts,
    statistics::Fragmentation,
};
use crate::tlsf::{self, Config, Freed, Key, Noted, Placed, Region, Tlsf};

/// The bookkeeping of a pool. Offsets are in bytes from the pool's first granule.
///
/// ```text
/// granules   │ 0 │ 1 │ 2 │ 3 │ 4 │ 5 │ 6 │
/// starts     │ 7 │   │   │ 3 │   │ × │   │  the node that starts there; the one that started at 5 has ended
/// ```
/// A pointer to the start of a live allocation needs one word of `starts`. For a pointer into an
/// allocation, the next live start below it is searched for.
#[derive(Debug)]
pub(super) struct Ledger {
    tlsf: Tlsf,
    starts: Starts,
    began: Began,
    /// The first bytes of the core represent what is before the pool, back to a multiple of all
    /// alignments.
    lead: u64,
    /// The same in granules.
    lead_granules: u32,
    /// The address that corresponds to offset 0 of the core.
    origin: u64,
    size: u64,
    /// log2 of the granule.
    shift: u32,
    largest_alignment: u64,
    /// Up to this alignment a request depends only on its size; 0 if all requests depend on more.
    plain_alignment: u64,
    /// An allocation below this granule of the core is freed immediately, without a check; 0 if
    /// there is more to do.
    plain_granules: u64,
    boundary: Option<u64>,
    /// If more regions than this are taken, more allocations are live than ever before. It is the
    /// sum of the peak of live allocations, the lead and the pending regions.
    limit: u32,
}

impl Ledger {
    /// Creates an empty pool. Its origin is the address of its first granule minus the lead.
    pub(super) fn new(
        layout: &PoolLayout,
        desc: &PoolDesc,
        origin: u64,
    ) -> Result<Self, PoolError> {
        let PoolLayout { size, lead, granule, largest_alignment, boundary, .. } = *layout;
        let none = PoolError::OutOfHostMemory;
        let mut tlsf = Tlsf::new(&Config::new(lead + size, granule)).map_err(|_| none)?;
        if lead != 0 {
            let placed = tlsf.allocate_exact(lead, granule).map_err(|_| none)?;
            assert_eq!((placed.offset, placed.size), (0, lead), "the lead is the front");
        }
        let shift = granule.trailing_zeros();
        let granules = usize::try_from(size >> shift).map_err(|_| none)?;
        let lead_granules = (lead >> shift) as usize;
        Ok(Self {
            tlsf,
            starts: Starts::new(shift, origin),
            began: Began::new(lead_granules + granules).ok_or(none)?,
            lead,
            lead_granules: (lead >> shift) as u32,
            origin,
            size,
            shift,
            largest_alignment,
            plain_alignment: match desc.checked || boundary.is_some() {
                true => 0,
                false => largest_alignment,
            },
            plain_granules: match desc.checked || desc.quarantine != 0 {
                true => 0,
                false => (lead + size) >> shift,
            },
            boundary,
            limit: u32::from(lead != 0),
        })
    }

    #[inline]
    fn granule_of(&self, offset: u64) -> u32 {
        (offset >> self.shift) as u32
    }

    /// Allocates a range.
    pub(super) fn allocate(&mut self, request: Request) -> Result<Live, AllocateError> {
        let Request { size, alignment, margin, by_handle } = request;
        if alignment > self.largest_alignment || size == 0 {
            return Err(self.refusal(size, alignment, margin, tlsf::AllocateError::ZeroSize));
        }
        let room = size.saturating_add(margin);
        let placed = match self.boundary {
            None => self.tlsf.allocate(room, alignment),
            Some(boundary) => self.allocate_between(boundary, size, room, alignment),
        };
        let placed = match placed {
            Ok(placed) => placed,
            Err(error) => return Err(self.refusal(size, alignment, margin, error)),
        };
        // Less than an alignment plus a margin, and so far below the topmost bit.
        let slack = (placed.size - size) as u32;
        let note = Note(slack | if by_handle { Note::BY_HANDLE } else { 0 });
        let place = Tlsf::place(placed.key);
        if !self.enter(self.granule_of(placed.offset), place) {
            self.give_back(place);
            return Err(AllocateError::OutOfHostMemory);
        }
        self.set_note(place, note);
        let offset = placed.offset - self.lead;
        Ok(Live { key: placed.key, offset, size, reserved: placed.size, by_handle })
    }

    /// Enters what was given out into the books; `false`, and nothing has changed, if the host has no memory
    /// for it.
    #[inline]
    fn enter(&mut self, granule: u32, place: u32) -> bool {
        let era = self.began.era();
        let Some(again) = self.starts.insert(granule, place, era, &self.tlsf) else {
            return false;
        };
        self.began.insert(granule, again);
        if self.tlsf.taken_count() > self.limit {
            self.rise();
        }
        true
    }

    /// Notes that more allocations are live than ever before.
    #[cold]
    #[inline(never)]
    fn rise(&mut self) {
        self.limit += 1;
        self.starts.make_room(self.most_live() as usize, &self.tlsf);
    }

    /// The reason why a request is refused: a fault of the request takes precedence over the state
    /// of the pool.
    #[cold]
    #[inline(never)]
    fn refusal(
        &self,
        size: u64,
        alignment: u64,
        margin: u64,
        error: tlsf::AllocateError,
    ) -> AllocateError {
        if !alignment.is_power_of_two() || alignment > self.largest_alignment {
            return AllocateError::Alignment { largest: self.largest_alignment };
        }
        if size.saturating_add(margin) > self.size {
            return AllocateError::TooLarge;
        }
        if size == 0 {
            return AllocateError::ZeroSize;
        }
        match self.boundary {
            Some(boundary) if size > boundary => AllocateError::CrossesBoundary { size },
            _ => AllocateError::of_core(error, margin),
        }
    }

    /// Allocates a range that does not cross a multiple of the boundary. A range at a multiple of
    /// its own size, rounded up to a power of two, never does. The size of the range itself is not
    /// rounded up that far.
    fn allocate_between(
        &mut self,
        boundary: u64,
        size: u64,
        room: u64,
        alignment: u64,
    ) -> Result<Placed, tlsf::AllocateError> {
        if size > boundary {
            return Err(tlsf::AllocateError::TooLarge);
        }
        let crosses = |offset: u64| offset / boundary != (offset + size - 1) / boundary;
        let placed = self.tlsf.allocate(room, alignment)?;
        if !crosses(placed.offset) {
            return Ok(placed);
        }
        self.give_back(Tlsf::place(placed.key));
        let placed = self.tlsf.allocate_exact(room, size.next_power_of_two())?;
        assert!(!crosses(placed.offset), "{placed:?} crosses {boundary}");
        Ok(placed)
    }

    /// Undoes an allocation that was not returned to anyone.
    #[cold]
    #[inline(never)]
    fn give_back(&mut self, place: u32) {
        match self.tlsf.noted(place) {
            Some(noted) => _ = self.tlsf.free_noted(noted),
            None => unreachable!("{place} was just given out"),
        }
    }

    fn set_note(&mut self, place: u32, note: Note) {
        let noted = self.tlsf.note(place, note.0);
        assert!(noted.is_some(), "{place} is used");
    }

    /// The live allocation of a used region.
    fn live_of(&self, noted: Noted) -> Option<Live> {
        let offset = (u64::from(noted.start) << self.shift).checked_sub(self.lead)?;
        let reserved = u64::from(noted.size) << self.shift;
        let note = Note(noted.note);
        let (size, by_handle) = (reserved - note.slack(), note.is_by_handle());
        Some(Live { key: noted.key(), offset, size, reserved, by_handle })
    }

    /// The used region that starts at a granule, and the position of its entry.
    #[inline]
    fn entry(&self, granule: u32) -> Option<(usize, Noted)> {
        self.starts.find(granule + self.lead_granules, &self.tlsf)
    }

    /// The live allocation that starts at a granule.
    fn live_at(&self, granule: u32) -> Option<Live> {
        self.live_of(self.entry(granule)?.1)
    }

    /// The granule that starts at an offset.
    #[inline]
    fn granule_at(&self, offset: u64) -> Option<u32> {
        let granule = self.granule_of(offset);
        (u64::from(granule) << self.shift == offset).then_some(granule)
    }

    /// The live allocation that starts at an offset. O(1).
    pub(super) fn start(&self, offset: u64) -> Option<Live> {
        self.live_at(self.granule_at(offset)?)
    }

    /// The live allocation of a key, if the serial of the key is still valid.
    pub(super) fn by_key(&self, key: Key) -> Option<Live> {
        self.tlsf.get(key).ok()?;
        self.live_of(self.tlsf.noted(Tlsf::place(key))?)
    }

    /// Classifies an offset. O(1).
    pub(super) fn find(&self, offset: u64) -> Found {
        if let Some(live) = self.start(offset) {
            return Found::Start(live);
        }
        let below = self.last_start(self.granule_of(offset));
        let below = below.and_then(|start| self.live_at(start));
        if let Some(live) = below.filter(|live| offset - live.offset < live.reserved) {
            return Found::Inside(live);
        }
        let ended =
            self.granule_at(offset).is_some_and(|granule| self.began.was_in(self.in_core(granule)));
        if ended { Found::Freed } else { Found::Untracked }
    }

    /// The last granule up to `granule` at which a live allocation starts.
    fn last_start(&self, granule: u32) -> Option<u32> {
        let is_live = |granule: usize| self.starts.find(granule as u32, &self.tlsf).is_some();
        let last = self.began.last_up_to(self.in_core(granule), is_live)?;
        Some(last as u32 - self.lead_granules)
    }

    /// The number of a granule of the pool in the core.
    fn in_core(&self, granule: u32) -> usize {
        (granule + self.lead_granules) as usize
    }

    /// Removes the start of a live allocation. This must happen before its node is reused, because
    /// the node contains the start.
    fn forget(&mut self, live: &Live) {
        let granule = self.granule_of(live.offset);
        if let Some((at, noted)) = self.entry(granule) {
            self.starts.remove(at, noted.start, self.began.era(), &self.tlsf);
            self.set_note(noted.place, Note::default());
        }
    }

    /// Used → free.
    #[inline]
    pub(super) fn free(&mut self, live: &Live) {
        self.forget(live);
        let freed = self.tlsf.free(live.key);
        assert!(freed.is_ok(), "{live:?} was live");
    }

    /// Undoes an allocation, and restores the peak of live allocations to `most`.
    pub(super) fn undo(&mut self, live: &Live, most: u64) {
        self.free(live);
        self.limit = most as u32 + self.not_live();
    }

    /// Used → pending.
    pub(super) fn retire(&mut self, live: &Live) {
        self.forget(live);
        let retired = self.tlsf.retire(live.key);
        assert!(retired.is_ok(), "{live:?} was live");
        self.limit += 1;
    }

    /// Pending → free. Returns its former offset and its reserved bytes.
    pub(super) fn reach(&mut self, key: Key) -> Freed {
        self.limit -= 1;
        match self.tlsf.reach(key) {
            Ok(freed) => Freed { offset: freed.offset - self.lead, ..freed },
            Err(error) => unreachable!("{key:?} was pending: {error}"),
        }
    }

    /// The offset and the reserved bytes of a pending allocation.
    pub(super) fn pending(&self, key: Key) -> Freed {
        match self.tlsf.get(key) {
            Ok(region) => Freed { offset: region.offset - self.lead, size: region.size },
            Err(error) => unreachable!("{key:?} was pending: {error}"),
        }
    }

    /// All regions except the lead, in address order.
    pub(super) fn regions(&self) -> impl Iterator<Item = Region> + '_ {
        let regions = self.tlsf.regions().skip(usize::from(self.lead != 0));
        regions.map(|region| Region { offset: region.offset - self.lead, ..region })
    }

    /// The live allocations in address order.
    pub(super) fn lives(&self) -> impl Iterator<Item = Live> + '_ {
        let regions = self.tlsf.regions().skip(usize::from(self.lead != 0));
        regions.filter_map(|region| self.live_of(self.tlsf.noted(Tlsf::place(region.key?))?))
    }

    /// The number of taken regions that are not live allocations.
    fn not_live(&self) -> u32 {
        self.tlsf.pending_count() + u32::from(self.lead != 0)
    }

    /// The number of live allocations.
    pub(super) fn live_count(&self) -> u64 {
        (self.tlsf.taken_count() - self.not_live()).into()
    }

    /// The most allocations that were live at a time.
    pub(super) fn most_live(&self) -> u64 {
        (self.limit - self.not_live()).into()
    }

    /// The number of bytes that can be allocated.
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

    /// The bytes of the bookkeeping. The host provides no pages for its untouched parts.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.tlsf.metadata_bytes() + self.starts.bytes() + self.began.bytes()
    }
}
