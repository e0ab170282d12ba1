//! Two allocators side by side: every operation runs on the subject and on its naive twin, and
//! their results, counts and regions must be equal.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use fencepost::tlsf::{
    AllocateError, Freed, Key, KeyError, Placed, Region, State, TakeOverError, TakenOver, Tlsf,
};

use super::naive::{Naive, Totals};
use super::random::Random;

/// What is compared with the twin: the core, or an allocator with a fault.
pub trait Subject: Clone {
    fn allocate(&mut self, size: u64, alignment: u64) -> Result<Placed, AllocateError>;
    fn free(&mut self, key: Key) -> Result<Freed, KeyError>;
    fn retire(&mut self, key: Key) -> Result<Freed, KeyError>;
    fn reach(&mut self, key: Key) -> Result<Freed, KeyError>;
    fn reach_batch(&mut self, keys: &[Key]) -> Result<(), KeyError>;
    fn take_over(
        &mut self,
        key: Key,
        size: u64,
        alignment: u64,
    ) -> Result<TakenOver, TakeOverError>;
    fn get(&self, key: Key) -> Result<Region, KeyError>;
    fn totals(&self) -> Totals;
    fn next_serial(&self) -> u32;
    fn regions(&self) -> impl Iterator<Item = Region>;
    fn check(&self) -> Result<(), String>;
    /// `largest_class` and `index_bound`, if the subject has them.
    fn bounds(&self) -> Option<(u64, u32)>;
}

impl Subject for Tlsf {
    fn allocate(&mut self, size: u64, alignment: u64) -> Result<Placed, AllocateError> {
        self.allocate(size, alignment)
    }
    fn free(&mut self, key: Key) -> Result<Freed, KeyError> {
        self.free(key)
    }
    fn retire(&mut self, key: Key) -> Result<Freed, KeyError> {
        self.retire(key)
    }
    fn reach(&mut self, key: Key) -> Result<Freed, KeyError> {
        self.reach(key)
    }
    fn reach_batch(&mut self, keys: &[Key]) -> Result<(), KeyError> {
        self.reach_batch(keys)
    }
    fn take_over(
        &mut self,
        key: Key,
        size: u64,
        alignment: u64,
    ) -> Result<TakenOver, TakeOverError> {
        self.take_over(key, size, alignment)
    }
    fn get(&self, key: Key) -> Result<Region, KeyError> {
        self.get(key)
    }
    fn totals(&self) -> Totals {
        Totals {
            free: (self.free_bytes(), self.free_count()),
            used: (self.used_bytes(), self.used_count()),
            pending: (self.pending_bytes(), self.pending_count()),
            largest_free: self.largest_free(),
        }
    }
    fn next_serial(&self) -> u32 {
        self.next_serial()
    }
    fn regions(&self) -> impl Iterator<Item = Region> {
        self.regions()
    }
    fn check(&self) -> Result<(), String> {
        self.check().map_err(|broken| broken.to_string())
    }
    fn bounds(&self) -> Option<(u64, u32)> {
        Some((self.largest_class(), self.index_bound()))
    }
}

impl Subject for Naive {
    fn allocate(&mut self, size: u64, alignment: u64) -> Result<Placed, AllocateError> {
        self.allocate(size, alignment)
    }
    fn free(&mut self, key: Key) -> Result<Freed, KeyError> {
        self.free(key)
    }
    fn retire(&mut self, key: Key) -> Result<Freed, KeyError> {
        self.retire(key)
    }
    fn reach(&mut self, key: Key) -> Result<Freed, KeyError> {
        self.reach(key)
    }
    fn reach_batch(&mut self, keys: &[Key]) -> Result<(), KeyError> {
        self.reach_batch(keys)
    }
    fn take_over(
        &mut self,
        key: Key,
        size: u64,
        alignment: u64,
    ) -> Result<TakenOver, TakeOverError> {
        self.take_over(key, size, alignment)
    }
    fn get(&self, key: Key) -> Result<Region, KeyError> {
        self.get(key)
    }
    fn totals(&self) -> Totals {
        self.totals()
    }
    fn next_serial(&self) -> u32 {
        self.next_serial()
    }
    fn regions(&self) -> impl Iterator<Item = Region> {
        self.regions().iter().copied()
    }
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
    fn bounds(&self) -> Option<(u64, u32)> {
        None
    }
}

/// The lower bound of the class of `units` granules according to the module documentation: up to 64
/// every size is a bound, and above there are 32 for each power of two.
pub fn class_floor(units: u64) -> u64 {
    if units < 64 {
        return units;
    }
    let step = (1 << units.ilog2()) / 32;
    units / step * step
}

/// The lowest class bound that is not below `units` granules.
pub fn class_ceiling(units: u64) -> u64 {
    if class_floor(units) == units {
        return units;
    }
    let step = (1 << units.ilog2()) / 32;
    class_floor(units) + step
}

/// A subject and its twin, and the keys that a user would hold.
#[derive(Clone)]
pub struct Twins<S> {
    pub subject: S,
    pub twin: Naive,
    pub used: Vec<Key>,
    pub pending: Vec<Key>,
    /// Keys whose allocation is gone.
    pub gone: Vec<Key>,
    /// Requests that were granted, refused, and refused although first fit had room.
    pub granted: u64,
    pub refused: u64,
    pub missed: u64,
}

/// The result of an operation: nothing, or the difference.
pub type Agreement = Result<(), String>;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, subject: T, twin: T) -> Agreement {
    if subject == twin {
        return Ok(());
    }
    Err(format!("{what}: {subject:?}, but the twin says {twin:?}"))
}

impl<S: Subject> Twins<S> {
    pub fn new(subject: S, twin: Naive) -> Self {
        let (used, pending, gone) = (Vec::new(), Vec::new(), Vec::new());
        Self { subject, twin, used, pending, gone, granted: 0, refused: 0, missed: 0 }
    }

    pub fn allocate(&mut self, size: u64, alignment: u64) -> Agreement {
        let serial = self.twin.next_serial();
        let bounds = self.subject.bounds();
        let result = self.subject.allocate(size, alignment);
        match result {
            Ok(Placed { key, offset, size: granted }) => {
                if size == 0 || size > self.twin.size() || !alignment.is_power_of_two() {
                    return Err(format!("granted {size} bytes aligned to {alignment}"));
                }
                self.granted_size(size, alignment, granted)?;
                same("misalignment", offset % alignment, 0)?;
                same("serial", key.serial(), serial)?;
                self.twin.occupy(offset, granted, key)?;
                self.used.push(key);
                self.granted += 1;
            }
            Err(error) => {
                let expected = match error {
                    _ if size == 0 => AllocateError::ZeroSize,
                    _ if !alignment.is_power_of_two() => AllocateError::Alignment,
                    _ if size > self.twin.size() => AllocateError::TooLarge,
                    _ => {
                        self.refusal(size, alignment)?;
                        let pending = self.twin.totals().pending.0;
                        let largest_class = self.subject.bounds().map_or(0, |bounds| bounds.0);
                        AllocateError::Full { largest_class, pending }
                    }
                };
                same("error", error, expected)?;
                same("serial", self.subject.next_serial(), serial)?;
                same("bounds", self.subject.bounds(), bounds)?;
            }
        }
        self.compare()
    }

    /// A granted size must be rounded up to the granule and, if the size is not below the alignment
    /// and either much is free or the alignment is small, to the alignment; and no guaranteed
    /// request may be missed because of that.
    fn granted_size(&self, size: u64, alignment: u64, granted: u64) -> Agreement {
        let plain = self.twin.round_up(size);
        let wide = self.twin.widen(size, alignment);
        if granted == plain && self.sure_hole(wide, alignment).is_none() {
            return Ok(());
        }
        same("size", granted, wide)
    }

    /// A free region that is guaranteed to hold the request.
    fn sure_hole(&self, size: u64, alignment: u64) -> Option<Region> {
        let granule = self.twin.granule();
        let size = self.twin.round_up(size);
        let most = size + alignment.max(granule) - granule;
        let sure = |region: &&Region| {
            let padding = region.offset.next_multiple_of(alignment) - region.offset;
            if region.offset + region.size == self.twin.size() {
                padding + size <= region.size
            } else {
                region.size / granule >= class_ceiling(most / granule)
            }
        };
        let mut free = self.twin.regions().iter().filter(|region| region.state == State::Free);
        free.find(sure).copied()
    }

    /// A refusal is correct if no region is guaranteed to hold the request.
    fn refusal(&mut self, size: u64, alignment: u64) -> Agreement {
        if let Some(region) = self.sure_hole(size, alignment) {
            return Err(format!("{size} aligned to {alignment} refused; there is {region:?}"));
        }
        self.refused += 1;
        self.missed += u64::from(self.twin.first_fit(size, alignment).is_some());
        Ok(())
    }

    pub fn free(&mut self, key: Key) -> Agreement {
        let result = self.subject.free(key);
        same("free", result, self.twin.free(key))?;
        if result.is_ok() {
            self.used.retain(|&used| used != key);
            self.gone.push(key);
        }
        self.compare()
    }

    pub fn retire(&mut self, key: Key) -> Agreement {
        let result = self.subject.retire(key);
        same("retire", result, self.twin.retire(key))?;
        if result.is_ok() {
            self.used.retain(|&used| used != key);
            self.pending.push(key);
        }
        self.compare()
    }

    pub fn reach(&mut self, key: Key) -> Agreement {
        let result = self.subject.reach(key);
        same("reach", result, self.twin.reach(key))?;
        if result.is_ok() {
            self.pending.retain(|&pending| pending != key);
            self.gone.push(key);
        }
        self.compare()
    }

    pub fn reach_batch(&mut self, keys: &[Key]) -> Agreement {
        let result = self.subject.reach_batch(keys);
        same("reach_batch", result, self.twin.reach_batch(keys))?;
        if result.is_ok() {
            self.pending.retain(|pending| !keys.contains(pending));
            self.gone.extend_from_slice(keys);
        }
        self.compare()
    }

    /// A pending region is taken over. The subject chooses the keys, and the twin determines
    /// everything else.
    pub fn take_over(&mut self, key: Key, size: u64, alignment: u64) -> Agreement {
        let mut twin = self.twin.clone();
        let expected = twin.take_over(key, size, alignment);
        match (self.subject.take_over(key, size, alignment), expected) {
            (Ok(TakenOver { taken, rest }), Ok(_)) => {
                let keys = [Some(taken), rest].map(|placed| placed.map(|placed| placed.key));
                let done = self.twin.take_over_as(key, size, keys)?;
                same("take_over", TakenOver { taken, rest }, done)?;
                self.pending.retain(|&pending| pending != key);
                self.pending.extend(rest.map(|rest| rest.key));
                self.used.push(taken.key);
                self.gone.push(key);
            }
            (subject, expected) => same("take_over", subject.err(), expected.err())?,
        }
        self.compare()
    }

    /// Compares every report of the subject, and runs its own check.
    pub fn compare(&self) -> Agreement {
        self.subject.check()?;
        same("totals", self.subject.totals(), self.twin.totals())?;
        if !self.subject.regions().eq(self.twin.regions().iter().copied()) {
            let subject: Vec<Region> = self.subject.regions().collect();
            same("regions", subject, self.twin.regions().to_vec())?;
        }
        same("next_serial", self.subject.next_serial(), self.twin.next_serial())?;
        if let Some((largest_class, index_bound)) = self.subject.bounds() {
            let granule = self.twin.granule();
            let sure = |region: &Region| match region.offset + region.size {
                end if end == self.twin.size() => region.size,
                _ => class_floor(region.size / granule) * granule,
            };
            let free = self.twin.regions().iter().filter(|region| region.state == State::Free);
            same("largest_class", largest_class, free.map(sure).max().unwrap_or(0))?;
            let live = self.used.iter().chain(&self.pending);
            if live.map(|key| key.index()).any(|index| index == 0 || index >= index_bound) {
                return Err("an index is out of bounds".to_string());
            }
        }
        Ok(())
    }

    /// The subject accepts the live keys, and refuses those that are gone.
    pub fn compare_keys(&self) -> Agreement {
        for &key in self.used.iter().chain(&self.pending).chain(&self.gone) {
            same("get", self.subject.get(key), self.twin.get(key))?;
        }
        Ok(())
    }

    /// One random operation.
    pub fn step(&mut self, random: &mut Random, mix: &Mix) -> Agreement {
        let full = 1.0 - self.twin.totals().free.0 as f64 / self.twin.size() as f64;
        let allocate = if full < mix.fill { 60 } else { 30 };
        let pick = |random: &mut Random, keys: &[Key]| {
            (!keys.is_empty()).then(|| keys[random.below(keys.len() as u64) as usize])
        };
        match random.below(100) {
            roll if roll < allocate => {
                let size = random.log_uniform(mix.size);
                let alignment = 1 << random.below(u64::from(mix.alignment.ilog2()) + 1);
                self.allocate(size, alignment)
            }
            roll if roll < 75 => match pick(random, &self.used) {
                Some(key) if random.below(2) == 0 => self.free(key),
                Some(key) => self.retire(key),
                None => Ok(()),
            },
            roll if roll < 80 => pick(random, &self.pending).map_or(Ok(()), |key| self.reach(key)),
            roll if roll < 85 => {
                let keys = if random.below(16) == 0 { &self.used } else { &self.pending };
                let Some(key) = pick(random, keys) else { return Ok(()) };
                let (all, size) = (self.twin.get(key).unwrap().size, random.log_uniform(mix.size));
                let size = if random.below(2) == 0 { all } else { size };
                let alignment = 1 << random.below(u64::from(mix.alignment.ilog2()) + 1);
                self.take_over(key, size, alignment)
            }
            roll if roll < 90 => {
                // Some or all, in any order.
                let mut keys = self.pending.clone();
                for at in (1..keys.len()).rev() {
                    keys.swap(at, random.below(at as u64 + 1) as usize);
                }
                keys.truncate(random.below(keys.len() as u64 + 1) as usize + 1);
                if random.below(16) == 0 {
                    keys.extend(pick(random, &self.gone));
                    keys.extend(pick(random, &self.used));
                }
                self.reach_batch(&keys)
            }
            roll if roll < 92 => self.allocate(random.below(2), 3 * random.below(2) + 1),
            roll if roll < 93 => self.allocate(self.twin.size() + random.below(2), mix.alignment),
            roll if roll < 95 => {
                let largest = self.twin.totals().largest_free;
                self.allocate(largest, self.twin.granule())
            }
            roll => {
                let keys = match roll {
                    95 | 96 => &self.gone,
                    97 | 98 => &self.pending,
                    _ => &self.used,
                };
                match pick(random, keys) {
                    Some(key) if roll % 2 == 0 => self.free(key),
                    Some(key) if roll == 99 => self.reach(key),
                    Some(key) => self.retire(key),
                    None => self.compare_keys(),
                }
            }
        }
    }
}

/// The distribution of random operations.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// The largest request in bytes.
    pub size: u64,
    /// The largest alignment in bytes.
    pub alignment: u64,
    /// If more than this fraction is used or pending, more is freed than allocated.
    pub fill: f64,
}
