//! Which block has room, without looking at the blocks: bitmaps of slots by the size that surely
//! fits.
//!
//! Sizes fall into classes, eight to a power of two. For each class a bitmap tells the slots whose
//! largest free range is of that class *or above*, so the oldest block with room is the lowest bit
//! of one word. Words cover 64 slots; a second level of words tells which of the first are not zero.
//! A query reads two words up to 4096 blocks, and one more for each 4096 above. A change flips the
//! bits of the classes in between, at most all [`CLASSES`].

/// Bytes of the smallest class; what is free in smaller pieces counts as nothing.
pub(crate) const UNIT: u64 = 64;

/// Steps of a power of two.
const STEPS: u64 = 8;

/// Classes up to 128 GiB; a free range above counts as one of that size.
const CLASSES: usize = 256;

/// For each class, a bit for each of 64.
type Row = [u64; CLASSES];

/// The largest free range of each slot, by class.
#[derive(Debug, Default)]
pub(crate) struct FitIndex {
    /// By slot; 0 for no room.
    classes: Vec<u8>,
    /// By 64 slots.
    rows: Vec<Row>,
    /// By 64 rows.
    upper: Vec<Row>,
}

/// The class of a free range of `bytes`: ranges of one class differ by less than an eighth.
pub(crate) const fn class_of(bytes: u64) -> u8 {
    let units = bytes / UNIT;
    let step_bits = (units | STEPS).ilog2() - STEPS.ilog2();
    let class = step_bits as u64 * STEPS + (units >> step_bits);
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

    /// Notes the largest free range of a slot; 0 takes it out. O(1) where the class stays.
    pub(crate) fn set(&mut self, slot: u32, largest: u64) {
        let new = class_of(largest);
        let old = self.class(slot);
        if new != old {
            self.change(slot as usize, old, new);
        }
    }

    fn change(&mut self, slot: usize, old: u8, new: u8) {
        let (row, group) = (slot / 64, slot / 64 / 64);
        if slot >= self.classes.len() {
            self.classes.resize(slot + 1, 0);
            self.rows.resize(row + 1, [0; CLASSES]);
            self.upper.resize(group + 1, [0; CLASSES]);
        }
        self.classes[slot] = new;
        let (in_row, in_group) = (1 << (slot % 64), 1 << (row % 64));
        let (words, summary) = (&mut self.rows[row], &mut self.upper[group]);
        let between = usize::from(old.min(new)) + 1..=usize::from(old.max(new));
        let words = words[between.clone()].iter_mut().zip(&mut summary[between]);
        if new > old {
            for (word, summary) in words {
                *word |= in_row;
                *summary |= in_group;
            }
        } else {
            for (word, summary) in words {
                *word &= !in_row;
                if *word == 0 {
                    *summary &= !in_group;
                }
            }
        }
    }

    /// The lowest slot from `from` on whose class is `class` or above.
    pub(crate) fn first(&self, class: u8, from: u32) -> Option<u32> {
        let class = usize::from(class);
        let row = from as usize / 64;
        let here = self.rows.get(row)?[class] & (u64::MAX << (from % 64));
        if here != 0 {
            return Some((row * 64) as u32 + here.trailing_zeros());
        }
        let next = row + 1;
        let mut mask = u64::MAX << (next % 64);
        for (group, summary) in self.upper.iter().enumerate().skip(next / 64) {
            let rows = summary[class] & mask;
            if rows != 0 {
                let row = group * 64 + rows.trailing_zeros() as usize;
                return Some((row * 64) as u32 + self.rows[row][class].trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
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
    fn the_lowest_slot_with_room_is_found_as_by_walking() {
        let mut index = FitIndex::default();
        let mut sizes = vec![0_u64; 10_000];
        let mut state = 1_u64;
        let mut random = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        for round in 0..20_000 {
            let slot = match round % 3 {
                0 => random(10_000),
                _ => random(200),
            };
            let size = random(2) * (1 << random(30)) * (1 + random(7));
            sizes[slot as usize] = size;
            index.set(slot as u32, size);
            let (wanted, from) = (1 << random(34), random(300) as u32);
            let class = class_at_least(wanted).unwrap();
            let walked = (from..10_000).find(|&slot| class_of(sizes[slot as usize]) >= class);
            assert_eq!(index.first(class, from), walked, "round {round}");
        }
    }
}
