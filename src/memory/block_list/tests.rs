//! The choice of a block, compared with a walk.

use ash::vk;

use super::*;
use crate::{
    ground::random::Random,
    memory::{ArenaPolicy, Broken, End, Grant, fit_index::UNIT},
};

mod damage;
mod twin;

const BLOCK: u64 = 64 << 10;
const LARGE: u64 = 32 << 10;

fn list() -> BlockList {
    BlockList::new(UNIT, LARGE, Stay::lingering(10, BLOCK))
}

fn add_blocks(list: &mut BlockList, count: u32) {
    for _ in 0..count {
        add(list, BLOCK, false);
    }
}

fn add(list: &mut BlockList, size: u64, tailored: bool) -> u32 {
    let block = Block::shared(vk::DeviceMemory::null(), size, None).with_tailored(tailored);
    list.insert(block, ArenaPolicy::Tlsf).unwrap()
}

/// Random allocations and frees over many nearly full blocks. If a request is refused, no block has
/// room that is certain to suffice. A granted range lies in the reported block.
#[test]
fn hundreds_of_blocks_are_searched_as_one() {
    let mut list = list();
    add_blocks(&mut list, 300);
    let mut random = Random::new(7);
    let mut random = |bound: u64| random.below(bound);
    let mut live: Vec<Grant> = Vec::new();
    let (mut refused, mut youngest) = (0, 0);
    for round in 0..20_000 {
        if round % 8 == 0 && live.len() > 100 {
            let at = random(live.len() as u64) as usize;
            list.free(live.swap_remove(at).entry).unwrap().unwrap();
        }
        let power = 4 + random(11);
        let size = 1 + random(1 << power);
        match list.allocate(size, 64) {
            Some(grant) => {
                let (region, _) = list.used(grant.entry).unwrap();
                assert_eq!((region.offset, region.size), (grant.offset, grant.size));
                assert!(grant.offset + grant.size <= BLOCK && grant.size >= size);
                youngest = youngest.max(grant.entry.slot);
                live.push(grant);
            }
            None => {
                let most = list.iter().map(|(_, block)| block.largest_free()).max();
                assert!(most < Some(size + size / 32 + UNIT), "round {round}: {size} of {most:?}");
                refused += 1;
            }
        }
        if round % 1000 == 0 {
            list.check().unwrap();
        }
    }
    assert!(refused > 300 && youngest > 250, "{refused} refused, youngest {youngest}");
}

/// A key names a region of one block: with the slot of another one it is refused.
#[test]
fn a_key_of_another_block_is_refused() {
    let mut list = list();
    add_blocks(&mut list, 2);
    let [one, two] = [0; 2].map(|_| list.allocate(BLOCK / 3 * 2, 64).unwrap().entry);
    assert_ne!(one.slot, two.slot);
    let crossed = Entry { slot: two.slot, key: one.key };
    assert_eq!(list.retire(crossed), Err(KeyError::Stale));
    assert_eq!(list.free(crossed), Some(Err(KeyError::Stale)));
    assert!(list.region(crossed).is_none() && list.used(crossed).is_err());
    list.retire(one).unwrap();
    assert_eq!(list.reach(crossed), Err(KeyError::Stale));
    list.reach(one).unwrap();
    list.free(two).unwrap().unwrap();
    list.check().unwrap();
}

/// A key is never reused for a later block of its slot, whichever way that one is split.
#[test]
fn a_key_of_an_earlier_block_of_the_slot_is_stale() {
    let mut list = list();
    let own = || Block::dedicated(vk::DeviceMemory::null(), BLOCK, None);
    let mut given = std::collections::BTreeSet::new();
    for round in 0..12 {
        let slot = match round % 4 {
            0 => list.insert(own(), ArenaPolicy::Tlsf).unwrap(),
            2 => list.insert(Block { space: Space::None, ..own() }, ArenaPolicy::Ring).unwrap(),
            kind => add(&mut list, BLOCK, kind == 3),
        };
        let entry = list.allocate_in(slot, End::Lower, BLOCK, 64).unwrap().entry;
        assert!(slot == 0 && given.insert(entry.key.to_bits()), "round {round}: {entry:?}");
        list.free(entry).unwrap().unwrap();
        assert!(list.remove(slot).is_some());
        list.check().unwrap();
    }
}

/// A block that was made for a request holds it, even if the tightest rooms all start at unsuitable
/// offsets, or if only the first block starts at a multiple of the alignment.
#[test]
fn a_new_block_holds_its_request_however_it_is_aligned() {
    let mut list = list();
    let wide = 1 << 25;
    let first = add(&mut list, wide, false);
    // Holes that have the size but do not start at the alignment.
    let full = [64; 9].map(|size| list.allocate_in(first, End::Lower, size, 64).unwrap().entry);
    let rest = list.allocate_in(first, End::Lower, wide - 9 * 64, 64).unwrap().entry;
    full.iter().skip(1).step_by(2).for_each(|&hole| _ = list.free(hole).unwrap().unwrap());
    for alignment in [BLOCK, wide, 1 << 40] {
        assert!(list.allocate(64, alignment).is_none());
        let slot = add(&mut list, BLOCK, false);
        let grant = list.allocate_in(slot, End::Lower, 64, alignment).unwrap();
        assert_eq!((grant.entry.slot, grant.offset), (slot, 0));
        list.check().unwrap();
        // As a last resort too.
        list.free(grant.entry).unwrap().unwrap();
        assert!(list.holds_anywhere(64, alignment));
        let grant = list.allocate_anywhere(64, alignment).unwrap();
        assert_eq!((grant.entry.slot, grant.offset), (slot, 0));
        assert!(!list.holds_anywhere(64, alignment));
        assert!(list.allocate_anywhere(64, alignment).is_none());
        list.free(grant.entry).unwrap().unwrap();
        list.remove(slot).unwrap();
    }
    list.free(rest).unwrap().unwrap();
    list.check().unwrap();
}

/// Neighbours that cannot hold a request, or do not start at its alignment, stay pending.
#[test]
fn what_is_not_taken_over_waits_as_it_did() {
    let mut list = list();
    add(&mut list, BLOCK, false);
    let entries = [0; 3].map(|_| list.allocate(4096, 64).unwrap().entry);
    let [one, two, last] = entries;
    let resource = Resource::Buffer(vk::Handle::from_raw(1));
    for entry in [one, two] {
        list.move_in(entry, Tenant { resource, ..Tenant::default() }).unwrap();
        list.retire(entry).unwrap();
    }
    // The third is live, the second does not start at a multiple of two, and the block does not
    // start at a multiple of so large an alignment.
    let refused: [(&[Entry], (u64, u64)); 5] = [
        (&[one, two, last], (8193, 64)),
        (&[one, two], (8193, 64)),
        (&[two, one], (8192, 64)),
        (&[two], (64, 8192)),
        (&[one, one], (8192, 64)),
    ];
    for (run, asked) in refused {
        assert!(list.take_over(run, asked, true).is_none(), "{asked:?}");
        list.check().unwrap();
        let waits = [one, two].map(|entry| (list.pending_size(entry), list.tenant(entry).resource));
        assert_eq!(waits, [(4096, resource); 2]);
    }
    // However large the alignment is, the start of a block meets it.
    let heritage = list.take_over(&[one, two], (5000, 1 << 40), false).unwrap();
    assert_eq!(
        (heritage.grant.offset, heritage.resources.as_slice()),
        (0, [resource; 2].as_slice())
    );
    list.check().unwrap();
}

/// The free regions of a closed block are allocated only as a last resort, and are merged as
/// elsewhere.
#[test]
fn nobody_moves_into_a_closed_block_but_at_need() {
    let mut list = list();
    add_blocks(&mut list, 1);
    let entries = [0; 8].map(|_| list.allocate(BLOCK / 8, 64).unwrap().entry);
    list.free(entries[3]).unwrap().unwrap();
    assert!(list.close(0, vk::DeviceMemory::null()));
    list.check().unwrap();
    assert!(list.allocate(64, 64).is_none() && list.holds_anywhere(64, 64));
    for at in [5, 4, 2] {
        list.retire(entries[at]).unwrap();
        list.reach(entries[at]).unwrap();
        list.check().unwrap();
    }
    assert_eq!(list.block(0).unwrap().largest_free(), BLOCK / 2);
    assert!(list.allocate(64, 64).is_none());
    let at_need = list.allocate_anywhere(BLOCK / 2, 64).unwrap().entry;
    assert!(list.allocate_anywhere(64, 64).is_none());
    list.free(at_need).unwrap().unwrap();
    list.check().unwrap();
    list.open(0, vk::DeviceMemory::null());
    assert!(list.allocate(BLOCK / 2, 64).is_some());
    list.check().unwrap();
}

#[test]
fn an_exact_hole_and_an_aligned_one_are_found() {
    let mut list = list();
    add_blocks(&mut list, 2);
    let odd = list.allocate(5003, 64).unwrap();
    let rest = list.allocate(BLOCK - 5056, 64).unwrap();
    assert_eq!(rest.entry.slot, odd.entry.slot);
    list.free(odd.entry).unwrap().unwrap();
    assert_eq!(list.allocate(5003, 64).unwrap().entry.slot, odd.entry.slot, "the exact hole");
    list.free(rest.entry).unwrap().unwrap();
    let aligned = list.allocate(4096, 32 << 10).unwrap();
    assert_eq!(aligned.offset % (32 << 10), 0);
    // Searches do not support alignments above those of blocks: a new block has it, or any block as
    // a last resort.
    assert!(list.allocate(BLOCK, 1 << 40).is_none());
    let alone = list.allocate_anywhere(BLOCK, 1 << 40);
    assert_eq!(alone.map(|grant| grant.offset), Some(0));
}

#[test]
fn at_need_every_free_region_is_looked_at() {
    let mut list = list();
    add_blocks(&mut list, 1);
    // Holes of 4 KiB; the one that is tried first does not start at a multiple of this.
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
    let slot = add(&mut list, BLOCK, true);
    for small in [1, 1000, LARGE - 1] {
        assert!(!list.holds(End::Lower, small, 64) && list.allocate(small, 64).is_none());
    }
    assert!(!list.holds(End::Lower, BLOCK * 5 / 8, 64), "nor is that much of the room");
    assert!(list.holds(End::Lower, BLOCK * 3 / 4, 64));
    let large = list.allocate(BLOCK * 3 / 4, 64).unwrap();
    assert_eq!(large.entry.slot, slot);
    list.check().unwrap();
    // As a last resort every block may be used.
    assert!(list.allocate_anywhere(1000, 64).is_some());
}

#[test]
fn one_small_empty_block_stays_and_the_others_go_in_time() {
    let mut list = list();
    add_blocks(&mut list, 3);
    let large = add(&mut list, 2 * BLOCK, false);
    for slot in 0..4 {
        list.block_mut(slot).unwrap().empty_since = 5 + u64::from(slot);
    }
    assert_eq!(large, 3);
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
    list.move_in(Entry { slot, key }, Tenant { rank, ..Tenant::default() }).unwrap();
    assert_eq!(list.take_ranks(0).len(), 0);
    let told = list.take_ranks(8);
    assert_eq!(told.as_slice(), [(slot, vk::DeviceMemory::null(), rank.unwrap())]);
    list.free(Entry { slot, key }).unwrap().unwrap();
    list.stay = Stay::NONE;
    assert_eq!(list.remove_empty().len(), 0, "its memory is in the driver's hands");
    assert_eq!(list.oldest_empty(), None, "nor is it the next to go");
    assert!(
        list.take_ranks(8).is_empty(),
        "one thread tells: the first to let go must be the last"
    );
    list.let_go(slot);
    list.check().unwrap();
    let told = list.take_ranks(8);
    assert_eq!(told.as_slice(), [(slot, vk::DeviceMemory::null(), Rank::USUAL)], "it is not lost");
    list.let_go(slot);
    assert_eq!(list.remove_empty().len(), 1);
    // A block that was removed is not looked at.
    assert!(list.take_ranks(8).is_empty());
    list.check().unwrap();
}

/// A closed block does not linger: it goes with the next collect, whatever others wait for.
#[test]
fn a_closed_block_that_is_empty_goes_with_the_next_collect() {
    let mut list = list();
    add_blocks(&mut list, 2);
    let grant = list.allocate(100, 64).unwrap();
    let slot = grant.entry.slot;
    assert!(list.close(slot, vk::DeviceMemory::null()));
    list.free(grant.entry).unwrap().unwrap();
    list.block_mut(slot).unwrap().empty_since = 7;
    list.block_mut(1 - slot).unwrap().empty_since = 7;
    assert_eq!((list.next_expiry(), list.lingers(0)), (7, None));
    let going: Vec<u64> = list.remove_expired(7).iter().map(|block| block.empty_since).collect();
    assert_eq!((going, list.count()), (vec![7], 1));
    assert!(list.block(slot).is_none(), "the other one is spare");
    list.check().unwrap();
}

/// Where all blocks have one rank, nobody looks at them again for who lives there.
#[test]
fn blocks_of_one_rank_rest_once_it_is_told() {
    let mut list = list();
    list.ranked = true;
    add_blocks(&mut list, 1);
    let (rank, entry) = (Rank::of(0.0), list.allocate(100, 64).unwrap().entry);
    list.move_in(entry, Tenant { rank, ..Tenant::default() }).unwrap();
    list.fix_rank(Rank::of(1.0).unwrap());
    assert_eq!(list.take_ranks(8).len(), 1);
    list.let_go(entry.slot);
    assert_eq!(list.counters().restless.get(), 0);
    list.check().unwrap();
}

/// The resource of a region must be taken before the region ends; otherwise it would never be
/// destroyed.
#[test]
fn a_resource_that_outlives_its_region_is_found() {
    let mut list = list();
    add_blocks(&mut list, 1);
    let entry = list.allocate(100, 64).unwrap().entry;
    let resource = Resource::Buffer(vk::Handle::from_raw(1));
    list.move_in(entry, Tenant { resource, ..Tenant::default() }).unwrap();
    list.check().unwrap();
    list.retire(entry).unwrap();
    list.check().unwrap();
    list.reach(entry).unwrap();
    assert_eq!(list.check(), Err(Broken::Tenant));
    assert_eq!(list.take_resource(entry), resource, "it still knows of it");
    list.check().unwrap();
}
