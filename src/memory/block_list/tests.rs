//! The choice of a block, against a walk.

use ash::vk;

use super::{search::TRIES, *};
use crate::memory::{
    ArenaPolicy, Broken, End,
    fit_index::{UNIT, class_at_least, class_of, class_of_room},
};

const BLOCK: u64 = 64 << 10;
const LARGE: u64 = 32 << 10;

fn list() -> BlockList {
    BlockList::new(LARGE, Stay::lingering(10, BLOCK))
}

fn add_blocks(list: &mut BlockList, count: u32) {
    for _ in 0..count {
        let made = list.insert(|serial| {
            Block::shared(ArenaPolicy::Tlsf, vk::DeviceMemory::null(), BLOCK, UNIT, serial, None)
        });
        made.unwrap();
    }
}

/// Allocations and frees at random over many nearly full blocks. Each allocation tries six
/// blocks at most, takes one with no more room than the tightest that surely has enough, and is
/// refused only if none surely has.
#[test]
fn hundreds_of_blocks_are_not_walked() {
    let mut list = list();
    add_blocks(&mut list, 300);
    let mut state = 7_u64;
    let mut random = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % bound
    };
    let mut live: Vec<Entry> = Vec::new();
    let (mut refused, mut youngest, mut most_tried) = (0, 0, 0);
    for round in 0..20_000 {
        if round % 8 == 0 && live.len() > 100 {
            let at = random(live.len() as u64) as usize;
            list.free(live.swap_remove(at)).unwrap().unwrap();
        }
        let power = 4 + random(11);
        let size = 1 + random(1 << power);
        let enough =
            |block: &Block| class_of(block.largest_class()) >= class_at_least(size).unwrap();
        let room = |(slot, block): (u32, &Block)| (class_of(block.largest_class()), slot);
        let sure = list.iter().filter(|(_, block)| enough(block)).map(room).min();
        let class_before: Vec<u32> = (0..300)
            .map(|slot| list.block(slot).map_or(0, |block| class_of_room(block.room)))
            .collect();
        let before = list.tried;
        match list.allocate(size, 64) {
            Some(grant) => {
                let room = class_before[grant.entry.slot as usize];
                assert!(sure.is_none_or(|sure| (room, grant.entry.slot) <= sure), "round {round}");
                youngest = youngest.max(grant.entry.slot);
                live.push(grant.entry);
            }
            None => {
                assert_eq!(sure, None, "round {round}");
                refused += 1;
            }
        }
        most_tried = most_tried.max(list.tried - before);
        if round % 1000 == 0 {
            list.check().unwrap();
        }
    }
    assert!(most_tried <= TRIES + 3, "{most_tried}");
    assert!(refused > 300 && youngest > 250, "{refused} refused, youngest {youngest}");
    // The control: a walk does try them all.
    let before = list.tried;
    assert!(list.allocate_anywhere(BLOCK, 64).is_none());
    assert_eq!(list.tried - before, 300);
}

#[test]
fn an_exact_hole_and_an_aligned_one_are_found() {
    let mut list = list();
    add_blocks(&mut list, 2);
    let odd = list.allocate(5003, 64).unwrap();
    let rest = list.allocate_in(0, End::Lower, BLOCK - 5056, 64).unwrap();
    list.free(odd.entry).unwrap().unwrap();
    assert_eq!(list.allocate(5003, 64).unwrap().entry.slot, 0, "not of a surer class");
    list.free(rest.entry).unwrap().unwrap();
    let aligned = list.allocate(4096, 32 << 10).unwrap();
    assert_eq!((aligned.entry.slot, aligned.offset), (0, 32 << 10));
}

#[test]
fn at_need_every_free_region_is_looked_at() {
    let mut list = list();
    add_blocks(&mut list, 1);
    // Holes of 4 KiB, the first tried at no multiple of it.
    let sizes = [2048, 4096, 4096, 4096, 2048, 4096, BLOCK - 20480];
    let grants = sizes.map(|size| list.allocate_in(0, End::Lower, size, 64).unwrap());
    for hole in [5, 3, 1] {
        list.free(grants[hole].entry).unwrap().unwrap();
    }
    assert!(list.allocate(4096, 4096).is_none(), "the control: not by a bounded search");
    let found = list.allocate_anywhere(4096, 4096).unwrap();
    assert_eq!((found.offset, found.size), (16384, 4096));
    list.check().unwrap();
    assert!(list.allocate_anywhere(4096, 4096).is_none());
}

#[test]
fn small_requests_stay_out_of_tailored_blocks() {
    let mut list = list();
    let made = list.insert(|serial| {
        let block =
            Block::shared(ArenaPolicy::Tlsf, vk::DeviceMemory::null(), BLOCK, UNIT, serial, None)?;
        Ok::<_, crate::tlsf::ConfigError>(block.with_tailored(true))
    });
    let slot = made.unwrap();
    for small in [1, 1000, LARGE - 1] {
        assert!(!list.holds(End::Lower, small, 64) && list.allocate(small, 64).is_none());
    }
    assert!(!list.holds(End::Lower, BLOCK * 5 / 8, 64), "nor is that much of the room");
    assert!(list.holds(End::Lower, BLOCK * 3 / 4, 64));
    let large = list.allocate(BLOCK * 3 / 4, 64).unwrap();
    assert_eq!(large.entry.slot, slot);
    list.check().unwrap();
    // At need anybody may.
    assert!(list.allocate_anywhere(1000, 64).is_some());
}

#[test]
fn one_small_empty_block_stays_and_the_others_go_in_time() {
    let mut list = list();
    add_blocks(&mut list, 3);
    let large = list.insert(|serial| {
        Block::shared(ArenaPolicy::Tlsf, vk::DeviceMemory::null(), 2 * BLOCK, UNIT, serial, None)
    });
    for slot in 0..4 {
        list.block_mut(slot).unwrap().empty_since = 5 + u64::from(slot);
    }
    assert_eq!(large, Ok(3));
    assert_eq!(list.next_expiry(), 16);
    assert!(list.remove_expired(15).is_empty());
    assert_eq!(list.remove_expired(16).len(), 1);
    assert_eq!(list.remove_expired(1000).len(), 2);
    assert_eq!((list.count(), list.reserved(), list.next_expiry()), (1, BLOCK, u64::MAX));
    assert_eq!(list.remove_empty().len(), 1);
    list.check().unwrap();
}

#[test]
fn a_block_stays_while_the_driver_is_told_its_rank() {
    let mut list = list();
    list.ranked = true;
    add_blocks(&mut list, 1);
    let rank = Rank::of(1.0);
    let Entry { slot, key } = list.allocate(100, 64).unwrap().entry;
    list.move_in(Entry { slot, key }, Tenant { rank, ..Tenant::default() });
    assert_eq!(list.take_ranks(0).len(), 0);
    let told = list.take_ranks(8);
    assert_eq!(told.as_slice(), [(slot, vk::DeviceMemory::null(), rank.unwrap())]);
    list.free(Entry { slot, key }).unwrap().unwrap();
    list.stay = Stay::NONE;
    assert_eq!(list.remove_empty().len(), 0, "its memory is in the driver's hands");
    list.let_go(slot);
    list.check().unwrap();
    assert_eq!(list.remove_empty().len(), 1);
    // Nobody looks at a block that has gone.
    assert!(list.take_ranks(8).is_empty());
    list.check().unwrap();
}

/// A slot without a block has no room, and no key opens it: neither an old one nor one of the next block.
#[test]
fn a_vacant_slot_knows_no_key() {
    let mut list = list();
    list.stay = Stay::NONE;
    add_blocks(&mut list, 1);
    let old = list.allocate(100, 64).unwrap().entry;
    list.free(old).unwrap().unwrap();
    assert_eq!(list.remove_empty().len(), 1);
    list.check().unwrap();
    let serials = old.key.serial()..old.key.serial() + 3;
    for serial in serials {
        let key = crate::tlsf::Key::from_bits(u64::from(serial) << 32 | 1).unwrap();
        let entry = Entry { key, ..old };
        assert_eq!(list.free(entry), Some(Err(KeyError::Stale)));
        assert_eq!(list.retire(entry), Err(KeyError::Stale));
        assert_eq!(list.reach(entry), Err(KeyError::Stale));
        assert!(list.used(entry).is_err() && list.block(old.slot).is_none());
    }
    assert!(list.allocate(1, 1).is_none() && list.allocate_anywhere(1, 1).is_none());
    assert!(list.hold(old.slot).0.is_empty() && !list.close(old.slot, vk::DeviceMemory::null()));
    assert_eq!((list.iter().count(), list.remove(old.slot).is_none()), (0, true));
    add_blocks(&mut list, 1);
    let next = list.allocate(100, 64).unwrap().entry;
    assert!(next.slot == old.slot && next.key.serial() == old.key.serial() + 1);
    list.check().unwrap();
}

/// Whoever ends a region has taken its resource first; else it would never be destroyed.
#[test]
fn a_resource_that_outlives_its_region_is_found() {
    let mut list = list();
    add_blocks(&mut list, 1);
    let entry = list.allocate(100, 64).unwrap().entry;
    let resource = Resource::Buffer(vk::Handle::from_raw(1));
    list.move_in(entry, Tenant { resource, ..Tenant::default() });
    list.check().unwrap();
    list.retire(entry).unwrap();
    list.check().unwrap();
    list.reach(entry).unwrap();
    assert_eq!(list.check(), Err(Broken::Tenant));
    assert_eq!(list.take_resource(entry), resource, "it still knows of it");
    list.check().unwrap();
}
