//! The control of the check: every kind of damage is found, and named.

use super::*;
use crate::tlsf::bins::LOOSE;
use crate::tlsf::bins::place_of;
use crate::tlsf::class::bin_of;
use crate::tlsf::{Config, Key};

/// A block of 16 granules with nodes 2 used, 3 free (4..8), 4 pending and 1 the free tail (12..16).
fn block() -> Tlsf {
    let mut tlsf = Tlsf::new(&Config::new(16, 1)).unwrap();
    let keys: [Key; 3] = core::array::from_fn(|_| tlsf.allocate(4, 1).unwrap().key);
    assert_eq!(keys.map(Key::index), [2, 3, 4]);
    tlsf.free(keys[1]).unwrap();
    tlsf.retire(keys[2]).unwrap();
    tlsf
}

/// What the check says of the block after one thing in it was changed.
fn broken(change: fn(&mut Tlsf)) -> Broken {
    let mut tlsf = block();
    assert_eq!(tlsf.check(), Ok(()), "the control");
    change(&mut tlsf);
    tlsf.check().unwrap_err()
}

fn link(tlsf: &mut Tlsf, node: u32) -> &mut Link {
    &mut tlsf.bins.links[place_of(node) as usize]
}

#[test]
fn a_gap_is_found() {
    assert_eq!(broken(|tlsf| tlsf.nodes[3].start = 5), Broken::Gap { node: 3 });
    assert_eq!(broken(|tlsf| tlsf.nodes[3].size = 3), Broken::Gap { node: 4 });
    assert_eq!(broken(|tlsf| tlsf.nodes[2].size = 0), Broken::Gap { node: 2 });
    assert_eq!(broken(|tlsf| tlsf.nodes[1].size = 5), Broken::Gap { node: 1 });
    assert_eq!(broken(|tlsf| tlsf.nodes[1].size = 3), Broken::Gap { node: 0 });
}

#[test]
fn neighbours_that_do_not_agree_are_found() {
    assert_eq!(broken(|tlsf| tlsf.nodes[3].left = 4), Broken::Neighbour { node: 3 });
    assert_eq!(broken(|tlsf| tlsf.nodes[3].right = 2), Broken::Neighbour { node: 2 });
    assert_eq!(broken(|tlsf| tlsf.nodes[3].right = 999), Broken::Neighbour { node: 999 });
    assert_eq!(broken(|tlsf| tlsf.nodes[0].left = 4), Broken::Neighbour { node: 0 });
    assert_eq!(broken(|tlsf| tlsf.nodes[0].size = 1), Broken::Neighbour { node: 0 });
}

#[test]
fn two_free_neighbours_are_found() {
    let change = |tlsf: &mut Tlsf| {
        tlsf.pending = Sum::default();
        tlsf.table().insert(4, bin_of(4));
    };
    assert_eq!(broken(change), Broken::NotMerged { node: 4 });
}

#[test]
fn a_wrong_mark_is_found() {
    assert_eq!(broken(|tlsf| link(tlsf, 2).prev = VACANT), Broken::Mark { node: 2 });
    assert_eq!(broken(|tlsf| link(tlsf, 4).prev = LOOSE), Broken::Mark { node: 4 });
    assert_eq!(broken(|tlsf| link(tlsf, 4).prev = USED), Broken::Count);
    assert_eq!(broken(|tlsf| link(tlsf, 9).prev = USED), Broken::Mark { node: 9 });
}

#[test]
fn a_broken_ring_is_found() {
    assert_eq!(broken(|tlsf| link(tlsf, 3).prev = 5), Broken::Ring { bin: bin_of(4) });
    assert_eq!(broken(|tlsf| link(tlsf, 3).next = 5), Broken::Ring { bin: bin_of(4) });
    assert_eq!(
        broken(|tlsf| tlsf.bins.links[bin_of(4) as usize].prev = 4),
        Broken::Ring { bin: bin_of(4) }
    );
    assert_eq!(broken(|tlsf| link(tlsf, 3).next = place_of(3)), Broken::Ring { bin: bin_of(4) });
    assert_eq!(broken(|tlsf| link(tlsf, 3).next = u32::MAX - 9), Broken::Ring { bin: bin_of(4) });
}

#[test]
fn a_region_in_the_wrong_bin_is_found() {
    let change = |tlsf: &mut Tlsf| {
        tlsf.table().remove(3);
        tlsf.table().insert(3, bin_of(5));
    };
    assert_eq!(broken(change), Broken::WrongBin { node: 3, bin: bin_of(5) });
    let change = |tlsf: &mut Tlsf| {
        tlsf.table().remove(1);
        tlsf.table().insert(1, bin_of(4));
    };
    assert_eq!(broken(change), Broken::WrongBin { node: 1, bin: bin_of(4) });
}

#[test]
fn a_wrong_bit_is_found() {
    assert_eq!(broken(|tlsf| tlsf.bins.bitmaps.columns[2] = 0), Broken::Bit { bin: bin_of(4) });
    assert_eq!(broken(|tlsf| tlsf.bins.bitmaps.columns[3] = 2), Broken::Bit { bin: 97 });
    assert_eq!(broken(|tlsf| tlsf.bins.bitmaps.columns[31] |= 2), Broken::Bit { bin: 31 * 32 + 1 });
    assert_eq!(broken(|tlsf| tlsf.bins.bitmaps.rows &= !4), Broken::Bit { bin: 2 * 32 });
    assert_eq!(broken(|tlsf| tlsf.bins.bitmaps.rows |= 1 << 40), Broken::Bit { bin: 40 * 32 });
}

#[test]
fn a_free_region_in_no_bin_is_found() {
    let change = |tlsf: &mut Tlsf| {
        let old = *link(tlsf, 3);
        tlsf.table().remove(3);
        *link(tlsf, 3) = old;
    };
    assert_eq!(broken(change), Broken::Unbinned { regions: 2, binned: 1 });
}

#[test]
fn a_lost_vacant_node_is_found() {
    let change = |tlsf: &mut Tlsf| tlsf.vacant.first = link(tlsf, tlsf.vacant.first).next;
    assert!(matches!(broken(change), Broken::Vacant { .. }));
    let change = |tlsf: &mut Tlsf| link(tlsf, tlsf.vacant.first).next = tlsf.vacant.first;
    assert!(matches!(broken(change), Broken::Vacant { .. }));
    assert_eq!(broken(|tlsf| tlsf.vacant.first = 2), Broken::Mark { node: 2 });
}

#[test]
fn wrong_counts_are_found() {
    assert_eq!(broken(|tlsf| tlsf.used.add(1)), Broken::Count);
    assert_eq!(broken(|tlsf| tlsf.pending.units += 1), Broken::Count);
    assert_eq!(broken(|tlsf| tlsf.vacant.count -= 1), Broken::Count);
}
