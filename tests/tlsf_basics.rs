//! The behaviour of a block, in small examples.

use fencepost::tlsf::{AllocateError, Config, Freed, Key, KeyError, Placed, State, Tlsf};

fn block(size: u64, granule: u64) -> Tlsf {
    Tlsf::new(&Config::new(size, granule)).unwrap()
}

/// The state, offset and size of every region.
fn picture(tlsf: &Tlsf) -> Vec<(State, u64, u64)> {
    tlsf.check().unwrap();
    tlsf.regions().map(|region| (region.state, region.offset, region.size)).collect()
}

#[test]
fn a_new_block_is_one_free_region() {
    let tlsf = block(1 << 20, 256);
    assert_eq!(picture(&tlsf), [(State::Free, 0, 1 << 20)]);
    assert!(tlsf.is_empty());
    assert_eq!((tlsf.largest_free(), tlsf.largest_class()), (1 << 20, 1 << 20));
}

#[test]
fn an_allocation_is_used_then_free() {
    let mut tlsf = block(1 << 20, 256);
    let placed = tlsf.allocate(1000, 1).unwrap();
    assert_eq!(placed, Placed { key: placed.key, offset: 0, size: 1024 });
    assert_eq!(picture(&tlsf), [(State::Used, 0, 1024), (State::Free, 1024, (1 << 20) - 1024)]);
    assert_eq!((tlsf.used_bytes(), tlsf.used_count()), (1024, 1));
    assert_eq!(tlsf.get(placed.key).unwrap().key, Some(placed.key));
    assert_eq!(tlsf.free(placed.key), Ok(Freed { offset: 0, size: 1024 }));
    assert_eq!(picture(&tlsf), [(State::Free, 0, 1 << 20)]);
    assert_eq!(tlsf.get(placed.key), Err(KeyError::Stale));
}

#[test]
fn a_pending_range_is_nobodys_until_it_is_reached() {
    let mut tlsf = block(4096, 1024);
    let keys: [Key; 4] = core::array::from_fn(|_| tlsf.allocate(1024, 1).unwrap().key);
    let full = AllocateError::Full { largest_class: 0, pending: 0 };
    assert_eq!(tlsf.allocate(1, 1), Err(full));
    tlsf.retire(keys[1]).unwrap();
    tlsf.retire(keys[2]).unwrap();
    let full = AllocateError::Full { largest_class: 0, pending: 2048 };
    assert_eq!(tlsf.allocate(1, 1), Err(full));
    assert_eq!((tlsf.pending_bytes(), tlsf.pending_count()), (2048, 2));
    tlsf.reach(keys[1]).unwrap();
    tlsf.reach(keys[2]).unwrap();
    assert_eq!(picture(&tlsf)[1], (State::Free, 1024, 2048));
    assert_eq!(tlsf.allocate(2048, 1).unwrap().offset, 1024);
}

#[test]
fn a_batch_is_merged_as_a_whole() {
    let mut tlsf = block(1 << 16, 256);
    let keys: Vec<Key> = (0..256).map(|_| tlsf.allocate(256, 1).unwrap().key).collect();
    for &key in &keys[10..250] {
        tlsf.retire(key).unwrap();
    }
    let batch: Vec<Key> = (10..250).map(|i| keys[10 + (i * 77) % 240]).collect();
    tlsf.reach_batch(&batch).unwrap();
    assert_eq!(picture(&tlsf)[10], (State::Free, 10 * 256, 240 * 256));
    assert_eq!(tlsf.free_count(), 1);
}

#[test]
fn an_exact_hole_is_found_again() {
    // VMA's default looks one step higher, and takes new space instead.
    for size in [1 << 20, 300 << 10, 64, 65 << 6] {
        let mut tlsf = block(256 << 20, 64);
        let hole = tlsf.allocate(size, 1).unwrap();
        tlsf.allocate(64, 1).unwrap();
        tlsf.free(hole.key).unwrap();
        assert_eq!(tlsf.allocate(size, 1).unwrap().offset, hole.offset, "{size}");
    }
}

#[test]
fn the_padding_before_an_aligned_allocation_is_free() {
    let mut tlsf = block(1 << 20, 16);
    tlsf.allocate(16, 1).unwrap();
    let aligned = tlsf.allocate(16, 4096).unwrap();
    assert_eq!(aligned.offset, 4096);
    assert_eq!(picture(&tlsf)[1], (State::Free, 16, 4080));
    assert_eq!(tlsf.allocate(4080, 16).unwrap().offset, 16);
}
