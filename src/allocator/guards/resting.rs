//! The host's quarantine.

use std::collections::{TryReserveError, VecDeque};

use super::passed::place;
use crate::memory::Entry;

/// The entries in quarantine in a lane, oldest first.
#[derive(Default, Debug)]
pub(in super::super) struct Resting {
    /// Each with the collect that ends its rest, and its bytes.
    entries: VecDeque<(Entry, u64, u64)>,
    bytes: u64,
}

impl Resting {
    /// Puts an entry in quarantine until a collect. Returns false if the host has no memory to
    /// store it. O(1).
    pub(super) fn push(&mut self, entry: Entry, until: u64, bytes: u64) -> bool {
        if self.entries.try_reserve(1).is_err() {
            return false;
        }
        self.entries.push_back((entry, until, bytes));
        self.bytes += bytes;
        true
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let (entry, _, bytes) = self.entries.pop_front()?;
        self.bytes -= bytes;
        Some(entry)
    }

    /// The collect that ends the rest of the oldest entry; the next collect, if more than `most`
    /// bytes rest.
    pub(super) fn next_end(&self, most: u64) -> u64 {
        if self.bytes > most {
            return 0;
        }
        self.entries.front().map_or(u64::MAX, |&(_, until, _)| until)
    }

    /// All entries in quarantine.
    pub(in super::super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(entry, ..)| entry)
    }

    /// All entries in quarantine, sorted by [place].
    pub(super) fn sorted(&self) -> Result<Vec<(u32, u32)>, TryReserveError> {
        let mut places = Vec::new();
        places.try_reserve_exact(self.entries.len())?;
        places.extend(self.entries().map(|&entry| place(entry)));
        places.sort_unstable();
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlsf::Key;

    #[test]
    fn the_oldest_rests_to_its_end_unless_too_many_bytes_do() {
        let mut resting = Resting::default();
        let entry = |at: u64| Entry { slot: 0, key: Key::from_bits(1 << 32 | (at + 1)).unwrap() };
        assert_eq!(resting.next_end(0), u64::MAX);
        assert!(resting.push(entry(0), 7, 100) && resting.push(entry(1), 9, 50));
        assert_eq!([150, 149].map(|most| resting.next_end(most)), [7, 0]);
        assert_eq!(resting.pop(), Some(entry(0)));
        assert_eq!([50, 49].map(|most| resting.next_end(most)), [9, 0]);
        assert_eq!(resting.pop(), Some(entry(1)));
        assert_eq!((resting.pop(), resting.next_end(0)), (None, u64::MAX));
    }
}
