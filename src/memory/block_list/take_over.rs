//! Pending ranges get a new owner before they are free.

use smallvec::SmallVec;

use super::{BlockList, Slot};
use crate::{
    memory::{
        block::Space,
        grant::{Entry, Grant, Heritage},
        plate::Host,
        tenants::Tenant,
    },
    tlsf::{State, TakenOver},
    vulkan::Resource,
};

impl BlockList {
    /// Pending → Used by another tenant, for adjacent ranges in address order that together hold
    /// the request. Their resources are returned, to be destroyed later. The remainder of the last
    /// range stays pending and keeps its name. There is room to note the new tenant when it [moves
    /// in](Self::move_in). Returns `None`, and changes nothing, if the ranges cannot hold the
    /// request, or the host has no memory for the bookkeeping. O(entries).
    pub(crate) fn take_over(
        &mut self,
        entries: &[Entry],
        (size, alignment): (u64, u64),
        moves_in: bool,
    ) -> Option<Heritage> {
        let (&[Entry { slot, key }, ref behind @ ..], &[.., Entry { key: last, .. }]) =
            (entries, entries)
        else {
            return None;
        };
        let Self { slots, shared, tailored, counters, .. } = self;
        let Some(Slot::Block(block)) = slots.get_mut(slot as usize) else { return None };
        let areas = if block.tailored { tailored } else { shared };
        let Space::Plot(plot) = &block.space else { return None };
        let (start, mut held) = (areas.region(key, plot).ok()?.offset, 0);
        for entry in entries {
            let region = areas.region(entry.key, plot).ok().filter(|_| entry.slot == slot)?;
            if region.state != State::Pending || region.offset != start + held {
                return None;
            }
            held += region.size;
        }
        if start & (alignment - 1) != 0 || held < size {
            return None;
        }
        // The GPU may still be using the range.
        let plate = block.plates.get(Host::StaysOut);
        let old = areas.tenants.get(last);
        if moves_in || old != Tenant::default() {
            areas.reserve_tenants().ok()?;
        }
        let mut resources = SmallVec::new();
        for entry in behind {
            areas.join(key, entry.key)?;
            (block.taken, block.pending) = (block.taken - 1, block.pending - 1);
            resources.push(areas.tenants.take_resource(entry.key));
        }
        let TakenOver { taken, rest } = areas.take_over(key, size)?;
        (block.taken, block.pending) = match rest {
            Some(_) => (block.taken + 1, block.pending),
            None => (block.taken, block.pending - 1),
        };
        resources.push(areas.tenants.take_resource(key));
        if let Some(rest) = rest.filter(|_| old != Tenant::default()) {
            let known = areas.tenants.set(rest.key, Tenant { resource: Resource::None, ..old });
            debug_assert!(known.is_ok(), "there is a place for it");
        }
        let grant = Grant {
            entry: Entry { slot, key: taken.key },
            memory: block.memory,
            offset: taken.offset - plot.start,
            size: taken.size,
            plate,
            first: false,
        };
        counters.reach(held, entries.len() as u64);
        counters.grant(taken.size);
        if let Some(rest) = rest {
            counters.wait(rest.size, 1);
        }
        let rest = rest.map(|rest| Entry { slot, key: rest.key });
        Some(Heritage { grant, rest, resources })
    }
}
