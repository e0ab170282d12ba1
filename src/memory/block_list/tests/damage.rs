//! The control of the check: all damage is found and named.

use std::panic;

use super::*;
use crate::{memory::areas::Plot, tlsf};

const RESOURCE: Resource = Resource::Image(vk::Image::null());

/// Slots: 0 shared, with four regions of which one has a resource and a rank, and one is pending; 1
/// tailored and closed; 2 a ring; 3 empty; 4 vacant; 5 dedicated.
fn whole() -> (BlockList, [Entry; 4]) {
    let mut list = list();
    list.ranked = true;
    let take = |list: &mut BlockList, slot, size| {
        let entry = list.allocate_in(slot, End::Lower, size, 64).unwrap().entry;
        assert_eq!(entry.slot, slot);
        entry
    };
    add(&mut list, BLOCK, false);
    let entries = [0; 4].map(|slot| take(&mut list, slot, 1000));
    add(&mut list, 2 * BLOCK, true);
    let ring = Block::shared(vk::DeviceMemory::null(), BLOCK, None);
    list.insert(ring, ArenaPolicy::Ring).unwrap();
    add(&mut list, BLOCK, false);
    let going = add(&mut list, BLOCK, false);
    let own = Block::dedicated(vk::DeviceMemory::null(), 100, None);
    let own = list.insert(own, ArenaPolicy::Tlsf).unwrap();
    assert!(list.remove(going).is_some());
    for (slot, size) in [(1, BLOCK), (2, 1000), (own, 100)] {
        take(&mut list, slot, size);
    }
    list.retire(entries[2]).unwrap();
    let tenant = Tenant { resource: RESOURCE, rank: Rank::of(1.0), ..Tenant::default() };
    list.move_in(entries[1], tenant).unwrap();
    assert!(list.close(1, vk::DeviceMemory::null()));
    (list, entries)
}

/// The result of the check after one thing was changed.
#[track_caller]
fn finds(broken: Broken, change: impl FnOnce(&mut BlockList, [Entry; 4])) {
    let (mut list, entries) = whole();
    assert_eq!(list.check(), Ok(()), "the control");
    change(&mut list, entries);
    assert_eq!(list.check(), Err(broken));
}

fn block(list: &mut BlockList, slot: u32) -> &mut Block {
    list.block_mut(slot).unwrap()
}

/// The blocks that are split together with that of a slot, and the slot's plot among them.
fn plot_of(list: &mut BlockList, slot: u32) -> (&mut Areas, &Plot) {
    let BlockList { slots, shared, tailored, .. } = list;
    let Slot::Block(block) = &slots[slot as usize] else { panic!("no block") };
    let Space::Plot(plot) = &block.space else { panic!("not split") };
    (if block.tailored { tailored } else { shared }, plot)
}

#[test]
fn sums_that_are_not_those_of_the_blocks_are_found() {
    for which in 0..6 {
        finds(Broken::Count, |list, _| {
            let of = &list.counters;
            let counters = [
                &of.live,
                &of.live_count,
                &of.pending,
                &of.pending_count,
                &of.reserved,
                &of.blocks,
            ];
            counters[which].add(1);
        });
    }
    finds(Broken::Count, |list, _| block(list, 0).taken += 1);
    finds(Broken::Count, |list, _| block(list, 0).pending += 1);
    finds(Broken::Count, |list, _| block(list, 0).size = 1000);
    finds(Broken::Count, |list, entries| {
        let (areas, plot) = plot_of(list, 0);
        areas.free(entries[3].key, plot).unwrap();
    });
    finds(Broken::Count, |list, _| list.vacant.push(4));
}

#[test]
fn ranks_that_do_not_add_up_are_found() {
    finds(Broken::Count, |list, _| list.told += 1);
    finds(Broken::Count, |list, _| block(list, 0).ranks.enter(Rank::USUAL));
    finds(Broken::Count, |list, _| block(list, 3).restless = true);
    finds(Broken::Count, |list, _| list.restless.push_back(0));
}

#[test]
fn what_tells_of_room_and_is_wrong_is_found() {
    finds(Broken::Index, |list, _| list.counters.shared.add(1));
    finds(Broken::Index, |list, _| list.counters.tailored.add(1));
    finds(Broken::Index, |list, _| {
        let class = list.lines.classes(2).next().unwrap();
        list.lines.change(&list.counters.lines, 2, class, class - 1);
    });
    // A line that is not in the index, and an entry that is not a line.
    finds(Broken::Index, |list, _| {
        let class = list.lines.classes(2).next().unwrap();
        list.lines.change(&list.counters.lines, 2, class, 0);
    });
    finds(Broken::Index, |list, _| list.lines.change(&list.counters.lines, 4, 0, 60));
}

#[test]
fn a_wrong_list_of_empty_blocks_is_found() {
    finds(Broken::Index, |list, _| assert_eq!(list.empty.pop(), Some(3)));
    finds(Broken::Index, |list, _| list.empty.push(3));
    finds(Broken::Index, |list, _| list.empty.push(0));
    finds(Broken::Index, |list, _| list.empty.push(4));
}

#[test]
fn blocks_that_lie_elsewhere_are_found() {
    finds(Broken::Index, |list, _| list.slots.swap(0, 3));
    // One without an owner, and one that is not where its chunks are.
    finds(Broken::Index, |list, _| _ = list.tailored.add(7, BLOCK, 0).unwrap());
    finds(Broken::Index, |list, _| {
        let plot = list.shared.add(7, BLOCK, 0).unwrap();
        let Space::Plot(old) = core::mem::replace(&mut block(list, 3).space, Space::Plot(plot))
        else {
            panic!("it is split")
        };
        list.shared.remove(old);
    });
}

#[test]
fn what_handles_know_of_another_block_is_found() {
    finds(Broken::Index, |list, _| {
        let one = core::mem::take(&mut block(list, 0).plates);
        let other = core::mem::replace(&mut block(list, 3).plates, one);
        block(list, 0).plates = other;
    });
    finds(Broken::Index, |list, _| list.whose.lane = 7);
    finds(Broken::Index, |list, _| block(list, 2).plates = Plates::default());
    // After `shutdown` has freed a memory, they still describe what it was; but not that of another
    // one.
    finds(Broken::Index, |list, _| block(list, 0).memory = vk::Handle::from_raw(7));
}

#[test]
fn closed_blocks_that_searches_find_and_open_ones_that_they_do_not_are_found() {
    finds(Broken::Index, |list, _| block(list, 0).closed = true);
    finds(Broken::Index, |list, _| block(list, 1).closed = false);
    for slot in [0, 1] {
        finds(Broken::Index, |list, _| {
            let (areas, plot) = plot_of(list, slot);
            areas.set_shut(plot, slot == 0);
            list.tell_room(slot == 1);
        });
    }
}

#[test]
fn a_fault_of_what_splits_the_blocks_is_found() {
    let fault = |list: &mut BlockList, [_, _, _, last]: [Entry; 4]| {
        let (areas, plot) = plot_of(list, 0);
        // As if it were not known that the area is shut: nothing is merged.
        areas.set_shut(plot, true);
        areas.free(last.key, plot).unwrap();
    };
    let (mut list, entries) = whole();
    fault(&mut list, entries);
    let found = list.check().unwrap_err();
    assert!(matches!(found, Broken::Tlsf(tlsf::Broken::NotMerged { .. })), "{found}");
    finds(found, fault);
}

#[test]
fn resources_that_nobody_looks_for_are_found() {
    finds(Broken::Tenant, |list, _| list.houses = false);
    finds(Broken::Tenant, |list, entries| {
        let (areas, plot) = plot_of(list, 0);
        areas.free(entries[1].key, plot).unwrap();
        block(list, 0).taken -= 1;
        list.counters.end(1024);
        list.tell_room(false);
    });
}

/// If the end of a range is requested that is not pending, this is detected before any of the
/// ranges has ended.
#[test]
#[cfg(debug_assertions)]
fn an_end_of_what_is_not_pending_is_found_before_anything_changes() {
    let pending = 2;
    for other in [0, 1, 3] {
        let (mut list, entries) = whole();
        let seen = format!("{list:?}");
        let both = [entries[pending], entries[other]];
        let ends = panic::AssertUnwindSafe(|| list.reach_all(&both));
        assert!(panic::catch_unwind(ends).is_err(), "{other} lives");
        assert_eq!((list.check(), format!("{list:?}")), (Ok(()), seen));
        // The control; afterwards its key is stale.
        assert_eq!(list.reach_all(&both[..1]).0, 1);
        assert!(
            panic::catch_unwind(panic::AssertUnwindSafe(|| list.reach_all(&both[..1]))).is_err()
        );
        assert_eq!(list.check(), Ok(()));
    }
}
