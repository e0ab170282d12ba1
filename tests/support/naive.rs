//! A naive block: a list of its regions with first fit, in which every question is answered by
//! walking the list.
//!
//! The real core is compared with this twin. The twin is also an allocator, which can be told to
//! make a [`Fault`]: the harness that finds no fault in the real core must find each of these
//! faults.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::collections::BTreeSet;

use fencepost::tlsf::{
    AllocateError, Freed, Key, KeyError, Placed, Region, State, TakeOverError, TakenOver,
};

/// A mistake that an allocator could make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Hands out a range again while it is used.
    HandsOutUsed,
    /// Hands out a range again while it is pending.
    HandsOutPending,
    /// Does not merge a free region with the one before it.
    MergesRightOnly,
    /// Does not merge a free region with the one after it.
    MergesLeftOnly,
    /// Merges pending neighbours.
    MergesPending,
    /// Ignores the alignment.
    Misaligns,
    /// Does not round the size up to the granule.
    DoesNotRound,
    /// Rounds every size up to a power of two.
    RoundsTooFar,
    /// Refuses a request that the largest hole could hold.
    RefusesLargest,
    /// Grants a request of size 0.
    GrantsNothing,
    /// Frees a pending allocation when it is retired again.
    FreesTwice,
    /// Does not check the serial.
    IgnoresSerial,
    /// Gives every allocation the same serial.
    RepeatsSerial,
    /// Frees immediately what is retired.
    RetiresToFree,
    /// Counts the padding as used.
    LeaksPadding,
    /// Frees only some of the regions when a batch is reached.
    ForgetsOneOfBatch,
    /// A refused request increments the serial.
    RefusalLeavesTraces,
}

impl Fault {
    pub const ALL: [Self; 17] = [
        Self::HandsOutUsed,
        Self::HandsOutPending,
        Self::MergesRightOnly,
        Self::MergesLeftOnly,
        Self::MergesPending,
        Self::Misaligns,
        Self::DoesNotRound,
        Self::RoundsTooFar,
        Self::RefusesLargest,
        Self::GrantsNothing,
        Self::FreesTwice,
        Self::IgnoresSerial,
        Self::RepeatsSerial,
        Self::RetiresToFree,
        Self::LeaksPadding,
        Self::ForgetsOneOfBatch,
        Self::RefusalLeavesTraces,
    ];
}

/// The twin.
#[derive(Clone, Debug)]
pub struct Naive {
    /// All regions in address order.
    regions: Vec<Region>,
    size: u64,
    granule: u64,
    serial: u32,
    fault: Option<Fault>,
}

/// Bytes and number of the regions of each state, and the largest free one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    pub free: (u64, u32),
    pub used: (u64, u32),
    pub pending: (u64, u32),
    pub largest_free: u64,
}

impl Naive {
    pub fn new(size: u64, granule: u64, first_serial: u32, fault: Option<Fault>) -> Self {
        let size = size / granule * granule;
        let regions = vec![Region { state: State::Free, offset: 0, size, key: None }];
        Self { regions, size, granule, serial: first_serial, fault }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn granule(&self) -> u64 {
        self.granule
    }

    pub fn next_serial(&self) -> u32 {
        self.serial
    }

    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The keys of all used and pending regions.
    fn live(&self) -> impl Iterator<Item = Key> {
        self.regions.iter().filter_map(|region| region.key)
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for &Region { state, size, .. } in &self.regions {
            let (bytes, count) = match state {
                State::Free => &mut totals.free,
                State::Used => &mut totals.used,
                State::Pending => &mut totals.pending,
            };
            *bytes += size;
            *count += 1;
            if state == State::Free {
                totals.largest_free = totals.largest_free.max(size);
            }
        }
        totals
    }

    pub fn round_up(&self, size: u64) -> u64 {
        size.div_ceil(self.granule) * self.granule
    }

    /// The size rounded up to the granule and, if it is not below the alignment and either the
    /// alignment is small or an eighth of the block is free, to the alignment.
    pub fn widen(&self, size: u64, alignment: u64) -> u64 {
        let plain = self.round_up(size);
        let is_roomy = self.totals().free.0 / self.granule >= self.size / self.granule / 8;
        let pays = plain >= alignment && (is_roomy || alignment / self.granule <= 64);
        if pays { plain.next_multiple_of(alignment) } else { plain }
    }

    /// The offset of the first free range that holds the request.
    pub fn first_fit(&self, size: u64, alignment: u64) -> Option<u64> {
        let free = self.regions.iter().filter(|region| region.state == State::Free);
        free.map(|region| (region, region.offset.next_multiple_of(alignment)))
            .find(|(region, offset)| offset - region.offset + size <= region.size)
            .map(|(_, offset)| offset)
    }

    /// The index in the list of the region that starts at an offset, or of the last one before it.
    fn position(&self, offset: u64) -> usize {
        self.regions.partition_point(|region| region.offset <= offset) - 1
    }

    /// Allocates a range that the subject has chosen. Returns what is wrong with the choice.
    pub fn occupy(&mut self, offset: u64, size: u64, key: Key) -> Result<(), String> {
        if self.live().any(|live| live.index() == key.index()) {
            return Err(format!("{key:?} has the index of a live key"));
        }
        let position = self.position(offset);
        let region = self.regions[position];
        if region.state != State::Free {
            return Err(format!("{offset}+{size} is in {region:?}"));
        }
        let end = region.offset + region.size;
        if size == 0 || offset >= end || size > end - offset {
            return Err(format!("{offset}+{size} is not inside {region:?}"));
        }
        let padding = if self.has(Fault::LeaksPadding) { State::Used } else { State::Free };
        let parts = [
            (padding, region.offset, offset - region.offset, None),
            (State::Used, offset, size, Some(key)),
            (State::Free, offset + size, end - offset - size, None),
        ];
        let parts = parts.into_iter().filter(|part| part.2 != 0);
        let parts = parts.map(|(state, offset, size, key)| Region { state, offset, size, key });
        self.regions.splice(position..=position, parts);
        self.serial = self.serial.wrapping_add(1);
        Ok(())
    }

    pub fn allocate(&mut self, size: u64, alignment: u64) -> Result<Placed, AllocateError> {
        if size == 0 && !self.has(Fault::GrantsNothing) {
            return Err(AllocateError::ZeroSize);
        }
        if !alignment.is_power_of_two() {
            return Err(AllocateError::Alignment);
        }
        if size > self.size {
            return Err(AllocateError::TooLarge);
        }
        let rounded = match self.fault {
            Some(Fault::DoesNotRound) => size,
            Some(Fault::RoundsTooFar) => self.round_up(size).next_power_of_two(),
            _ => {
                let wide = self.widen(size.max(1), alignment);
                let fits = self.first_fit(wide, alignment).is_some();
                if fits { wide } else { self.round_up(size.max(1)) }
            }
        };
        let alignment = if self.has(Fault::Misaligns) { 1 } else { alignment };
        let serial = if self.has(Fault::RepeatsSerial) { 0 } else { self.serial };
        // The lowest index that no live key has.
        let live: BTreeSet<u32> = self.live().map(Key::index).collect();
        let index = (1..).find(|index| !live.contains(index)).unwrap();
        let key = Key::from_bits(u64::from(serial) << 32 | u64::from(index)).unwrap();
        for (fault, state) in
            [(Fault::HandsOutUsed, State::Used), (Fault::HandsOutPending, State::Pending)]
        {
            if self.has(fault) && self.serial % 64 == 63 {
                let fits = |region: &Region| {
                    region.state == state
                        && region.size >= rounded
                        && region.offset % alignment == 0
                };
                if let Some(Region { offset, .. }) = self.regions.iter().copied().find(fits) {
                    return Ok(Placed { key, offset, size: rounded });
                }
            }
        }
        let refused = self.has(Fault::RefusesLargest) && rounded == self.totals().largest_free;
        match self.first_fit(rounded, alignment) {
            Some(offset) if !refused => {
                self.occupy(offset, rounded, key).expect("first fit is free");
                Ok(Placed { key, offset, size: rounded })
            }
            _ => {
                if self.has(Fault::RefusalLeavesTraces) {
                    self.serial = self.serial.wrapping_add(1);
                }
                Err(AllocateError::Full { largest_class: 0, pending: self.totals().pending.0 })
            }
        }
    }

    pub fn get(&self, key: Key) -> Result<Region, KeyError> {
        let same =
            |k: Key| k == key || (self.has(Fault::IgnoresSerial) && k.index() == key.index());
        let found = self.regions.iter().find(|region| region.key.is_some_and(same));
        found.copied().ok_or(KeyError::Stale)
    }

    pub fn free(&mut self, key: Key) -> Result<Freed, KeyError> {
        let region = self.get(key)?;
        if region.state == State::Pending && !self.has(Fault::FreesTwice) {
            return Err(KeyError::AlreadyRetired);
        }
        Ok(self.release(region))
    }

    pub fn retire(&mut self, key: Key) -> Result<Freed, KeyError> {
        let region = self.get(key)?;
        if region.state == State::Pending {
            return Err(KeyError::AlreadyRetired);
        }
        if self.has(Fault::RetiresToFree) {
            return Ok(self.release(region));
        }
        let position = self.position(region.offset);
        self.regions[position].state = State::Pending;
        if self.has(Fault::MergesPending) {
            let next = self.regions.get(position + 1).copied();
            if let Some(next) = next.filter(|next| next.state == State::Pending) {
                self.regions.remove(position + 1);
                self.regions[position].size += next.size;
            }
        }
        Ok(Freed { offset: region.offset, size: region.size })
    }

    pub fn reach(&mut self, key: Key) -> Result<Freed, KeyError> {
        let region = self.get(key)?;
        if region.state == State::Used {
            return Err(KeyError::NotRetired);
        }
        Ok(self.release(region))
    }

    pub fn reach_batch(&mut self, keys: &[Key]) -> Result<(), KeyError> {
        let before = self.clone();
        let forgotten = usize::from(self.has(Fault::ForgetsOneOfBatch) && keys.len() > 1);
        for &key in &keys[forgotten..] {
            if let Err(error) = self.reach(key) {
                *self = before;
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn take_over(
        &mut self,
        key: Key,
        size: u64,
        alignment: u64,
    ) -> Result<TakenOver, TakeOverError> {
        let region = self.get(key)?;
        if region.state == State::Used {
            return Err(KeyError::NotRetired.into());
        }
        let error = match () {
            () if size == 0 => AllocateError::ZeroSize.into(),
            () if !alignment.is_power_of_two() => AllocateError::Alignment.into(),
            () if size > self.size => AllocateError::TooLarge.into(),
            () if region.offset % alignment != 0 || self.round_up(size) > region.size => {
                TakeOverError::DoesNotFit
            }
            () => {
                let live: BTreeSet<u32> = self.live().map(Key::index).collect();
                let index = (1..).find(|index| !live.contains(index)).unwrap();
                let key_of = |index: u32, serial: u32| {
                    Key::from_bits(u64::from(serial) << 32 | u64::from(index))
                };
                let keys =
                    [key_of(key.index(), self.serial), key_of(index, self.serial.wrapping_add(1))];
                let keys = if self.round_up(size) == region.size { [keys[0], None] } else { keys };
                return Ok(self.take_over_as(key, size, keys).expect("it fits"));
            }
        };
        Err(error)
    }

    /// Takes over a pending region under keys that the subject has chosen. Returns what is wrong
    /// with them.
    pub fn take_over_as(
        &mut self,
        key: Key,
        size: u64,
        keys: [Option<Key>; 2],
    ) -> Result<TakenOver, String> {
        let region = self.get(key).map_err(|error| error.to_string())?;
        let size = self.round_up(size);
        let (position, rest) = (self.position(region.offset), region.size - size);
        let used = |key: Key| {
            self.live().any(|live| live != region.key.unwrap() && live.index() == key.index())
        };
        if keys.into_iter().flatten().any(used) || keys[1].is_some() != (rest > 0) {
            return Err(format!("{keys:?} for {size} bytes of {region:?}"));
        }
        let parts = [
            (State::Used, region.offset, size, keys[0]),
            (State::Pending, region.offset + size, rest, keys[1]),
        ];
        let parts = parts.map(|(state, offset, size, key)| Region { state, offset, size, key });
        let kept = 1 + usize::from(rest > 0);
        self.regions.splice(position..=position, parts.into_iter().take(kept));
        let [taken, rest] = parts.map(|Region { offset, size, key, .. }| {
            key.map(|key| {
                assert_eq!(key.serial(), self.serial, "serials follow one another");
                self.serial = self.serial.wrapping_add(1);
                Placed { key, offset, size }
            })
        });
        Ok(TakenOver { taken: taken.ok_or("nothing was taken")?, rest })
    }

    /// Makes a region free, merged with its free neighbours.
    fn release(&mut self, region: Region) -> Freed {
        let mut position = self.position(region.offset);
        self.regions[position].state = State::Free;
        self.regions[position].key = None;
        let is_free = |region: Option<&Region>| region.is_some_and(|r| r.state == State::Free);
        if is_free(self.regions.get(position + 1)) && !self.has(Fault::MergesLeftOnly) {
            self.regions[position].size += self.regions.remove(position + 1).size;
        }
        if position > 0
            && is_free(self.regions.get(position - 1))
            && !self.has(Fault::MergesRightOnly)
        {
            position -= 1;
            self.regions[position].size += self.regions.remove(position + 1).size;
        }
        Freed { offset: region.offset, size: region.size }
    }
}
