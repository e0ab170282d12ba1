//! Allocations that are still alive at the end, and their report.

use std::{collections::HashMap, fmt, panic::Location};

use super::{inner::Inner, names::named, origins::Origin};
use crate::{events, memory::Entry, tlsf::State};

/// An allocation that outlived its allocator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Leak {
    /// Its size in bytes, rounded up as it was granted.
    pub size: u64,
    /// Its name.
    pub name: Option<&'static str>,
    /// The place of the call that created it, if the allocator is
    /// [audited](crate::AllocatorDesc::audit).
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_text"))]
    pub origin: Option<&'static Location<'static>>,
}

/// One line for a log: size, name, and place of creation.
impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes: {}", self.size, named(self.name))?;
        self.origin.map_or(Ok(()), |origin| write!(f, ", made at {origin}"))
    }
}

#[cfg(feature = "serde")]
fn as_text<S: serde::Serializer>(
    origin: &Option<&'static Location<'static>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match origin {
        Some(location) => serializer.collect_str(location),
        None => serializer.serialize_none(),
    }
}

/// The number of groups that a report lists.
const LISTED: usize = 20;
/// The number of these groups that are listed with a backtrace.
const TRACED: usize = 3;

/// Leaks with the same name and place.
struct Group {
    count: u64,
    bytes: u64,
    name: Option<&'static str>,
    origin: Option<Origin>,
}

impl Inner {
    /// Returns what is still alive, largest first, and reports it through `tracing` in one event,
    /// grouped by name and place.
    pub(super) fn report_leaks(&self) -> Vec<Leak> {
        let mut leaks = Vec::new();
        let mut groups: HashMap<_, Group> = HashMap::new();
        for (size, name, lane, entry) in self.living() {
            // No lane's lock is held here.
            let origin = self.audit.then(|| self.origins.get(lane, entry)).flatten();
            let location = origin.as_ref().map(|origin| origin.location);
            let group = groups.entry((name, location));
            let group = group.or_insert(Group { count: 0, bytes: 0, name, origin });
            group.count += 1;
            group.bytes += size;
            leaks.push(Leak { size, name, origin: location });
        }
        leaks.sort_unstable_by(|a, b| b.cmp(a));
        if !leaks.is_empty() {
            let mut groups: Vec<Group> = groups.into_values().collect();
            groups.sort_unstable_by_key(|group| {
                let location = group.origin.as_ref().map(|origin| origin.location);
                (std::cmp::Reverse(group.bytes), group.name, location)
            });
            let bytes: u64 = leaks.iter().map(|leak| leak.size).sum();
            tracing::warn!(
                target: events::LEAK, count = leaks.len(), bytes,
                "the allocator has ended while allocations are alive:{}", Listed(&groups)
            );
        }
        leaks
    }

    /// Size, name, lane and entry of every used region.
    fn living(&self) -> Vec<(u64, Option<&'static str>, u32, Entry)> {
        let mut living = Vec::new();
        for lane in self.lanes() {
            let state = lane.lock();
            for (slot, block) in state.blocks.iter() {
                let used = block.regions().into_iter().filter(|r| r.state == State::Used);
                living.extend(used.filter_map(|region| {
                    let key = region.key?;
                    let name = block.tenant(key).name;
                    Some((region.size, name, lane.index, Entry { slot, key }))
                }));
            }
        }
        living
    }
}

/// The largest groups, one per line.
struct Listed<'a>(&'a [Group]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, group) in self.0.iter().take(LISTED).enumerate() {
            let Group { count, bytes, name, origin } = group;
            let name = named(*name);
            write!(f, "\n  {bytes} bytes in {count}: {name}")?;
            let Some(Origin { location, backtrace }) = origin else { continue };
            write!(f, ", made at {location}")?;
            if let (Some(backtrace), true) = (backtrace, number < TRACED) {
                write!(f, "\n{backtrace}")?;
            }
        }
        match self.0.len().checked_sub(LISTED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and of {more} other names or places"),
        }
    }
}
