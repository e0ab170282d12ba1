//! Which block has room, without looking at the blocks: slots by the class of their largest free
//! range.
//!
//! Sizes fall into classes, eight to a power of two. A bitmap tells which classes have a block; for
//! each class one word for 64 slots tells which, and a second level of words tells which of those
//! are not zero. So the block with the least room that is enough, the oldest of equals, is found in
//! a handful of words, and a change flips a bit or two.

/// Bytes of the smallest class; what is free in smaller pieces counts as nothing.
pub(crate) const UNIT: u64 = 64;

/// Steps of a power of two.
pub(crate) const STEPS: u8 = 8;

/// Classes up to 128 GiB; a free range above counts as one of that size.
const CLASSES: usize = 256;

/// For each class, a bit for each of 64.
type Row = [u64; CLASSES];

/// The largest free range of each slot, by class.
#[derive(Debug, Default)]
pub(crate) struct FitIndex {
    /// By slot; 0 for no room.
    classes: Vec<u8>,
    /// A bit for each class that a slot has. Class 0 has none.
    present: [u64; CLASSES / 64],
    /// By 64 slots.
    rows: Vec<Row>,
    /// By 64 rows.
    upper: Vec<Row>,
}

/// The class of a free range of `bytes`: ranges of one class differ by less than an eighth.
pub(crate) const fn class_of(bytes: u64) -> u8 {
    let units = bytes / UNIT;
    let step_bits = (units | STEPS as u64).ilog2() - STEPS.ilog2();
    let class = step_bits as u64 * STEPS as u64 + (units >> step_bits);
    if class < CLASSES as u64 { class as u8 } else { (CLASSES - 1) as u8 }
}

/// The lowest class whose ranges all have `bytes`, if there is one. `bytes` is at least 1.
pub(crate) fn class_at_least(bytes: u64) -> Option<u8> {
    class_of((bytes - 1) / UNIT * UNIT).checked_add(1)
}

impl FitIndex {
    /// The class that was last [`set`](Self::set) for the slot.
    pub(crate) fn class(&self, slot: u32) -> u8 {
        self.classes.get(slot as usize).copied().unwrap_or(0)
    }

    /// Notes the largest free range of a slot; 0 takes it out. O(1).
    #[inline]
    pub(crate) fn set(&mut self, slot: u32, largest: u64) {
        let new = class_of(largest);
        let old = self.class(slot);
        if new != old {
            self.change(slot as usize, usize::from(old), usize::from(new));
        }
    }

    fn change(&mut self, slot: usize, old: usize, new: usize) {
        let (row, group) = (slot / 64, slot / 64 / 64);
        if slot >= self.classes.len() {
            self.classes.resize(slot + 1, 0);
            self.rows.resize(row + 1, [0; CLASSES]);
            self.upper.resize(group + 1, [0; CLASSES]);
        }
        self.classes[slot] = new as u8;
        if old != 0 {
            self.rows[row][old] &= !(1 << (slot % 64));
            if self.rows[row][old] == 0 {
                self.upper[group][old] &= !(1 << (row % 64));
                if self.upper.iter().all(|upper| upper[old] == 0) {
                    self.present[old / 64] &= !(1 << (old % 64));
                }
            }
        }
        if new != 0 {
            self.rows[row][new] |= 1 << (slot % 64);
            self.upper[group][new] |= 1 << (row % 64);
            self.present[new / 64] |= 1 << (new % 64);
        }
    }

    /// The oldest slot of the lowest class from `class` on, and that class.
    #[inline]
    pub(crate) fn tightest(&self, class: u8) -> Option<(u32, u8)> {
        let start = usize::from(class);
        let mut mask = u64::MAX << (start % 64);
        for (word, &present) in self.present.iter().enumerate().skip(start / 64) {
            let classes = present & mask;
            if classes != 0 {
                let class = word * 64 + classes.trailing_zeros() as usize;
                return Some((self.oldest(class)?, class as u8));
            }
            mask = u64::MAX;
        }
        None
    }

    /// The lowest slot of a class that is present.
    fn oldest(&self, class: usize) -> Option<u32> {
        let group = self.upper.iter().position(|upper| upper[class] != 0)?;
        let row = group * 64 + self.upper[group][class].trailing_zeros() as usize;
        Some((row * 64) as u32 + self.rows[row][class].trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_monotone_and_a_class_keeps_what_it_promises() {
        let mut sizes: Vec<u64> =
            (6..50).flat_map(|p| (0..32).map(move |s| (32 + s) << p)).collect();
        sizes.extend(1..5000);
        sizes.extend((7..50).flat_map(|power| [(1 << power) - 1, (1 << power) + 1]));
        sizes.sort_unstable();
        assert!(sizes.is_sorted_by_key(|&size| class_of(size)));
        for &size in &sizes {
            let Some(class) = class_at_least(size) else {
                assert!(size > 100 << 30, "{size}");
                continue;
            };
            // Whatever is of that class holds the size, and one class lower not all do.
            let smallest = sizes.iter().find(|&&other| class_of(other) >= class);
            assert!(smallest.is_none_or(|&smallest| smallest >= size), "{size}");
            assert!(class_of(size) >= class - 1, "{size}");
        }
        assert_eq!((class_of(63), class_of(64), class_at_least(64)), (0, 1, Some(1)));
        assert_eq!((class_of(u64::MAX), class_at_least(u64::MAX)), (255, None));
    }

    #[test]
    fn the_tightest_slot_is_found_as_by_walking() {
        let mut index = FitIndex::default();
        let mut sizes = vec![0_u64; 10_000];
        let mut state = 1_u64;
        let mut random = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        let mut found = 0;
        for round in 0..20_000 {
            let slot = match round % 3 {
                0 => random(10_000),
                _ => random(200),
            };
            let size = random(2) * (1 << random(30)) * (1 + random(7));
            sizes[slot as usize] = size;
            index.set(slot as u32, size);
            let class = class_at_least(1 << random(34)).unwrap();
            let enough = (0..10_000).filter(|&slot| class_of(sizes[slot as usize]) >= class);
            let walked = enough.min_by_key(|&slot| (class_of(sizes[slot as usize]), slot));
            let walked = walked.map(|slot| (slot, class_of(sizes[slot as usize])));
            assert_eq!(index.tightest(class), walked, "round {round}");
            found += usize::from(walked.is_some());
        }
        assert!(found > 10_000 && found < 20_000, "{found}");
    }
}
