//! A block with one allocation, which is its only region.

use crate::tlsf::{Key, KeyError, Placed, Region, State};

/// The only region of a dedicated block.
#[derive(Debug)]
pub(super) struct Dedicated {
    size: u64,
    pub(super) serial: u32,
    pub(super) state: State,
}

impl Dedicated {
    pub(super) fn new(size: u64, serial: u32) -> Self {
        Self { size, serial, state: State::Free }
    }

    fn key(&self) -> Option<Key> {
        Key::from_bits(u64::from(self.serial) << 32 | 1)
    }

    pub(super) fn region(&self) -> Region {
        let key = if self.state == State::Free { None } else { self.key() };
        Region { state: self.state, offset: 0, size: self.size, key }
    }

    pub(super) fn allocate(&mut self, size: u64) -> Option<Placed> {
        if self.state != State::Free || size > self.size {
            return None;
        }
        self.state = State::Used;
        self.key().map(|key| Placed { key, offset: 0, size: self.size })
    }

    pub(super) fn get(&self, key: Key) -> Result<Region, KeyError> {
        match self.key() == Some(key) && self.state != State::Free {
            true => Ok(self.region()),
            false => Err(KeyError::Stale),
        }
    }

    pub(super) fn turn(&mut self, key: Key, from: State, to: State) -> Result<u64, KeyError> {
        match self.get(key)?.state {
            state if state == from => {
                self.state = to;
                Ok(self.size)
            }
            State::Pending => Err(KeyError::AlreadyRetired),
            _ => Err(KeyError::Stale),
        }
    }
}
