//! The places where allocations were made, for reports of leaks. Recorded if the allocator is
//! audited.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    collections::HashMap,
    panic::Location,
    sync::{Arc, Mutex},
};

use crate::{ground::sync::lock, memory::Entry};

/// The place where one allocation was made.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) location: &'static Location<'static>,
    /// Present if the environment asks for backtraces.
    pub(super) backtrace: Option<Arc<Backtrace>>,
}

/// A lane, a slot, and the index of a key.
type Place = (u32, u32, u32);

/// The origin of the allocation that is or was at each place, and its serial, which identifies it.
#[derive(Default)]
pub(super) struct Origins(Mutex<HashMap<Place, (u32, Origin)>>);

impl Origins {
    pub(super) fn note(&self, lane: u32, entry: Entry, location: &'static Location<'static>) {
        let backtrace = Backtrace::capture();
        let captured = backtrace.status() == BacktraceStatus::Captured;
        let origin = Origin { location, backtrace: captured.then(|| Arc::new(backtrace)) };
        let Entry { slot, key } = entry;
        lock(&self.0).insert((lane, slot, key.index()), (key.serial(), origin));
    }

    /// The place where an allocation was made, if it was recorded.
    pub(super) fn get(&self, lane: u32, entry: Entry) -> Option<Origin> {
        let Entry { slot, key } = entry;
        let known = lock(&self.0);
        let (serial, origin) = known.get(&(lane, slot, key.index()))?;
        (*serial == key.serial()).then(|| origin.clone())
    }
}
