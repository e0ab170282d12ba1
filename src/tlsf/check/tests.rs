//! The control of the check: every kind of damage is found and named.

use super::*;
use crate::tlsf::class::bin_of;
use crate::tlsf::pairs::LOOSE;
use crate::tlsf::pairs::place_of;
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

/// The result of the check after one thing in the block was changed.
fn broken(change: fn(&mut Tlsf)) -> Broken {
    let mut tlsf = block();
    assert_eq!(tlsf.check(), Ok(()), "the control");
    change(&mut tlsf);
    tlsf.check().unwrap_err()
}

fn at(node: u32) -> u32 {
    place_of(node) as u32
}

/// Changes the description of a region in the node with this index.
fn change(tlsf: &mut Tlsf, node: u32, change: fn(&mut Node)) {
    let mut said = tlsf.table().node(at(node));
    change(&mut said);
    tlsf.table().set_node(at(node), said);
}

/// Changes the link at a place.
fn relink(tlsf: &mut Tlsf, place: u32, change: fn(&mut Link)) {
    let mut link = tlsf.table().link(place);
    change(&mut link);
    tlsf.table().set_link(place, link);
}

#[test]
fn a_gap_is_found() {
    assert_eq!(broken(|tlsf| change(tlsf, 3, |node| node.start = 5)), Broken::Gap { node: 3 });
    assert_eq!(broken(|tlsf| change(tlsf, 3, |node| node.size = 3)), Broken::Gap { node: 4 });
    assert_eq!(broken(|tlsf| change(tlsf, 2, |node| node.size = 0)), Broken::Gap { node: 2 });
    assert_eq!(broken(|tlsf| change(tlsf, 1, |node| node.size = 5)), Broken::Gap { node: 1 });
    assert_eq!(broken(|tlsf| change(tlsf, 1, |node| node.size = 3)), Broken::Gap { node: 0 });
}

#[test]
fn neighbours_that_do_not_agree_are_found() {
    assert_eq!(
        broken(|tlsf| change(tlsf, 3, |node| node.left = at(4))),
        Broken::Neighbour { node: 3 }
    );
    assert_eq!(
        broken(|tlsf| change(tlsf, 3, |node| node.right = at(2))),
        Broken::Neighbour { node: 2 }
    );
    assert_eq!(
        broken(|tlsf| change(tlsf, 3, |node| node.right = at(999))),
        Broken::Neighbour { node: 999 }
    );
    assert_eq!(
        broken(|tlsf| change(tlsf, 2, |node| node.right = at(3) + 1)),
        Broken::Neighbour { node: 3 }
    );
    assert_eq!(
        broken(|tlsf| change(tlsf, 0, |node| node.left = at(4))),
        Broken::Neighbour { node: 0 }
    );
    assert_eq!(broken(|tlsf| change(tlsf, 0, |node| node.size = 1)), Broken::Gap { node: 2 });
    assert_eq!(broken(|tlsf| change(tlsf, 0, |node| node.size += 1)), Broken::Gap { node: 0 });
}

#[test]
fn two_free_neighbours_are_found() {
    let change = |tlsf: &mut Tlsf| {
        tlsf.pending = Sum::default();
        tlsf.taken.subtract(4);
        tlsf.table().insert(at(4), bin_of(4));
    };
    assert_eq!(broken(change), Broken::NotMerged { node: 4 });
}

#[test]
fn a_wrong_mark_is_found() {
    assert_eq!(
        broken(|tlsf| relink(tlsf, at(2), |link| link.prev = VACANT)),
        Broken::Mark { node: 2 }
    );
    assert_eq!(
        broken(|tlsf| relink(tlsf, at(4), |link| link.prev = LOOSE)),
        Broken::Mark { node: 4 }
    );
    assert_eq!(broken(|tlsf| relink(tlsf, at(4), |link| link.prev = USED)), Broken::Count);
    assert_eq!(
        broken(|tlsf| relink(tlsf, at(9), |link| link.prev = USED)),
        Broken::Mark { node: 9 }
    );
}

#[test]
fn a_broken_ring_is_found() {
    assert_eq!(
        broken(|tlsf| relink(tlsf, at(3), |link| link.prev = 5)),
        Broken::Ring { bin: bin_of(4) }
    );
    assert_eq!(
        broken(|tlsf| relink(tlsf, at(3), |link| link.next = 5)),
        Broken::Ring { bin: bin_of(4) }
    );
    assert_eq!(
        broken(|tlsf| relink(tlsf, bin_of(4), |link| link.prev = at(4))),
        Broken::Ring { bin: bin_of(4) }
    );
    assert_eq!(
        broken(|tlsf| relink(tlsf, at(3), |link| link.next = at(3))),
        Broken::Ring { bin: bin_of(4) }
    );
    assert_eq!(
        broken(|tlsf| relink(tlsf, at(3), |link| link.next = u32::MAX - 9)),
        Broken::Ring { bin: bin_of(4) }
    );
}

#[test]
fn a_region_in_the_wrong_bin_is_found() {
    let change = |tlsf: &mut Tlsf| {
        tlsf.table().remove(at(3));
        tlsf.table().insert(at(3), bin_of(5));
    };
    assert_eq!(broken(change), Broken::WrongBin { node: 3, bin: bin_of(5) });
    let change = |tlsf: &mut Tlsf| {
        tlsf.table().remove(at(1));
        tlsf.table().insert(at(1), bin_of(4));
    };
    assert_eq!(broken(change), Broken::WrongBin { node: 1, bin: bin_of(4) });
}

#[test]
fn a_wrong_bit_is_found() {
    assert_eq!(broken(|tlsf| tlsf.bitmaps.columns[2] = 0), Broken::Bit { bin: bin_of(4) });
    assert_eq!(broken(|tlsf| tlsf.bitmaps.columns[3] = 2), Broken::Bit { bin: 97 });
    assert_eq!(broken(|tlsf| tlsf.bitmaps.columns[31] |= 2), Broken::Bit { bin: 31 * 32 + 1 });
    assert_eq!(broken(|tlsf| tlsf.bitmaps.rows &= !4), Broken::Bit { bin: 2 * 32 });
    assert_eq!(broken(|tlsf| tlsf.bitmaps.rows |= 1 << 40), Broken::Bit { bin: 40 * 32 });
}

#[test]
fn a_free_region_in_no_bin_is_found() {
    let change = |tlsf: &mut Tlsf| {
        let old = tlsf.table().link(at(3));
        tlsf.table().remove(at(3));
        tlsf.table().set_link(at(3), old);
    };
    assert_eq!(broken(change), Broken::Unbinned { regions: 2, binned: 1 });
}

#[test]
fn a_lost_vacant_node_is_found() {
    let change = |tlsf: &mut Tlsf| {
        let first = tlsf.vacant.first;
        tlsf.vacant.first = tlsf.table().link(first).next;
    };
    assert!(matches!(broken(change), Broken::Vacant { .. }));
    let change = |tlsf: &mut Tlsf| {
        let first = tlsf.vacant.first;
        tlsf.table().set_link(first, Link { next: first, prev: VACANT });
    };
    assert!(matches!(broken(change), Broken::Vacant { .. }));
    assert_eq!(broken(|tlsf| tlsf.vacant.first = at(2)), Broken::Mark { node: 2 });
}

#[test]
fn wrong_counts_are_found() {
    assert_eq!(broken(|tlsf| tlsf.taken.add(1)), Broken::Count);
    assert_eq!(broken(|tlsf| tlsf.pending.units += 1), Broken::Count);
    assert_eq!(broken(|tlsf| tlsf.vacant.count -= 1), Broken::Count);
}

#[test]
fn a_broken_edge_is_found() {
    /// The edge node of the first of two areas.
    const EDGE_NODE: u32 = 5;
    let broken = |harm: fn(&mut Tlsf)| {
        let mut tlsf = block();
        tlsf.add_area(1 << 20, 100).unwrap();
        tlsf.add_area(1 << 21, 100).unwrap();
        assert_eq!(tlsf.edges().nth(1), Some(at(EDGE_NODE)));
        assert_eq!(tlsf.check(), Ok(()), "the control");
        harm(&mut tlsf);
        tlsf.check().unwrap_err()
    };
    let lost = Broken::Neighbour { node: EDGE_NODE };
    assert_eq!(broken(|tlsf| relink(tlsf, at(EDGE_NODE), |link| link.prev = VACANT)), lost);
    assert_eq!(broken(|tlsf| relink(tlsf, at(EDGE_NODE), |link| link.next = at(EDGE_NODE))), lost);
    assert_eq!(
        broken(|tlsf| relink(tlsf, at(EDGE_NODE), |link| link.next = BORDER)),
        Broken::Count
    );
    assert_eq!(
        broken(|tlsf| change(tlsf, EDGE_NODE, |node| node.size += 1)),
        Broken::Gap { node: EDGE_NODE }
    );
    assert_eq!(broken(|tlsf| change(tlsf, EDGE_NODE, |node| node.left = BORDER)), lost);
    assert_eq!(broken(|tlsf| tlsf.areas = 1), Broken::Neighbour { node: EDGE_NODE + 2 });
    assert_eq!(broken(|tlsf| tlsf.areas = 3), Broken::Count);
}
