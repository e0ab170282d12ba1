//! What a collect has in hand, block by block.

use super::grant::Entry;
use crate::tlsf::Key;

/// Keys of a block, on the average, from which on it is worth bringing them together.
const KEYS_THAT_PAY: usize = 8;

/// The keys of many entries, together by slot. It keeps its memory from one use to the next.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    keys: Vec<Key>,
    /// The slots that have keys, and where theirs end.
    groups: Vec<(u32, usize)>,
    /// How many keys each slot has; then where its next one goes.
    places: Vec<usize>,
}

impl Batch {
    /// Whether so many entries of blocks in so many slots are worth being brought together: few to a block
    /// cost more than they save.
    pub(crate) fn pays(entries: usize, slots: u32) -> bool {
        entries >= KEYS_THAT_PAY * slots as usize
    }

    /// Takes the entries in, in any order; those that are [gone](Entry::gone) are left out. `false`, and none are
    /// taken in, if the host has no memory for it. O(entries + slots).
    pub(crate) fn fill(&mut self, entries: &[Entry], slots: u32) -> bool {
        let Self { keys, groups, places } = self;
        let slots = slots as usize;
        keys.clear();
        groups.clear();
        places.clear();
        let reserved = keys
            .try_reserve(entries.len())
            .and_then(|()| groups.try_reserve(slots.min(entries.len())))
            .and_then(|()| places.try_reserve(slots));
        if reserved.is_err() {
            return false;
        }
        let Some(&Entry { key: any, .. }) = entries.first() else { return true };
        places.resize(slots, 0);
        for entry in entries {
            // What is gone is of no slot.
            if let Some(count) = places.get_mut(entry.slot as usize) {
                *count += 1;
            }
        }
        let mut end = 0;
        for (slot, place) in (0..).zip(places.iter_mut()).filter(|(_, place)| **place > 0) {
            let start = end;
            end += *place;
            *place = start;
            groups.push((slot, end));
        }
        keys.resize(end, any);
        for entry in entries {
            if let Some(place) = places.get_mut(entry.slot as usize) {
                keys[*place] = entry.key;
                *place += 1;
            }
        }
        true
    }

    /// The slots in rising order, each with its keys.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u32, &[Key])> {
        let mut start = 0;
        self.groups.iter().map(move |&(slot, end)| {
            let keys = &self.keys[start..end];
            start = end;
            (slot, keys)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by a map; the order of the keys of a slot does not matter.
    #[test]
    fn groups_are_those_of_a_map() {
        let mut random = 7_u64;
        let mut below = |most: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % most
        };
        let mut batch = Batch::default();
        for round in 0..200 {
            let slots = 1 + below(if round % 2 == 0 { 20 } else { 200 });
            let entries: Vec<Entry> = (0..below(60))
                .map(|index| {
                    let key = Key::from_bits(round << 32 | (index + 1)).unwrap();
                    let entry = Entry { slot: below(slots) as u32, key };
                    if below(8) == 0 { entry.gone() } else { entry }
                })
                .collect();
            let mut expected = std::collections::BTreeMap::<u32, Vec<Key>>::new();
            for entry in entries.iter().filter(|entry| !entry.is_gone()) {
                expected.entry(entry.slot).or_default().push(entry.key);
            }
            assert!(batch.fill(&entries, slots as u32));
            let sorted = |keys: &[Key]| {
                let mut keys = keys.to_vec();
                keys.sort_unstable_by_key(|key| key.index());
                keys
            };
            let seen = batch.groups().map(|(slot, keys)| (slot, sorted(keys)));
            let wanted = expected.iter().map(|(&slot, keys)| (slot, sorted(keys)));
            assert!(seen.eq(wanted), "{entries:?}");
        }
    }
}
