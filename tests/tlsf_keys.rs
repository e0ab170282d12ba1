//! Misuse of keys: a typed error, in release builds too, that changes nothing.

#[path = "support/random.rs"]
mod random;

use fencepost::tlsf::{AllocateError, Config, Key, KeyError, Region, Tlsf};
use random::Random;

/// A block with used, pending and free regions, and keys of each kind.
struct Scene {
    tlsf: Tlsf,
    used: Key,
    pending: Key,
    /// Its allocation is gone and its node is free or vacant.
    gone: Key,
    /// Its allocation is gone and its node has a newer one.
    replaced: Key,
    /// The key of an allocation of another block, with an index that this block never had.
    foreign: Key,
}

fn scene() -> Scene {
    let mut other = Tlsf::new(&Config { first_serial: 1000, ..Config::new(1 << 20, 16) }).unwrap();
    let foreign = (0..500).map(|_| other.allocate(16, 1).unwrap().key).last().unwrap();
    let mut tlsf = Tlsf::new(&Config::new(1 << 20, 256)).unwrap();
    let keys: Vec<Key> = (1..8).map(|size| tlsf.allocate(size * 1000, 1).unwrap().key).collect();
    tlsf.free(keys[1]).unwrap();
    tlsf.retire(keys[3]).unwrap();
    tlsf.free(keys[5]).unwrap();
    let younger = tlsf.allocate(6000, 1).unwrap().key;
    assert_eq!(younger.index(), keys[5].index(), "the exact hole, and its node");
    assert!(foreign.index() >= tlsf.index_bound());
    Scene { tlsf, used: keys[0], pending: keys[3], gone: keys[1], replaced: keys[5], foreign }
}

/// Everything a user can see of a block.
fn picture(tlsf: &Tlsf) -> (Vec<Region>, [u64; 6], [u32; 5]) {
    tlsf.check().unwrap();
    let bytes = [
        tlsf.free_bytes(),
        tlsf.used_bytes(),
        tlsf.pending_bytes(),
        tlsf.largest_free(),
        tlsf.largest_class(),
        tlsf.metadata_bytes() as u64,
    ];
    let counts = [
        tlsf.free_count(),
        tlsf.used_count(),
        tlsf.pending_count(),
        tlsf.next_serial(),
        tlsf.index_bound(),
    ];
    (tlsf.regions().collect(), bytes, counts)
}

/// The answer of an operation to a key, without the result of a success.
type Operation = fn(&mut Tlsf, Key) -> Result<(), KeyError>;

const FREE: Operation = |tlsf, key| tlsf.free(key).map(drop);
const RETIRE: Operation = |tlsf, key| tlsf.retire(key).map(drop);
const REACH: Operation = |tlsf, key| tlsf.reach(key).map(drop);
const BATCH: Operation = |tlsf, key| tlsf.reach_batch(&[key]);
const GET: Operation = |tlsf, key| tlsf.get(key).map(drop);

/// The operation refuses the key for this reason and changes nothing.
fn refuses(scene: &mut Scene, operation: Operation, key: Key, error: KeyError) {
    let before = picture(&scene.tlsf);
    assert_eq!(operation(&mut scene.tlsf, key), Err(error), "{key:?}");
    assert_eq!(picture(&scene.tlsf), before);
}

#[test]
fn a_key_of_the_wrong_state_is_refused() {
    let mut scene = scene();
    let Scene { used, pending, .. } = scene;
    refuses(&mut scene, FREE, pending, KeyError::AlreadyRetired);
    refuses(&mut scene, RETIRE, pending, KeyError::AlreadyRetired);
    refuses(&mut scene, REACH, used, KeyError::NotRetired);
    refuses(&mut scene, BATCH, used, KeyError::NotRetired);
    // The control: each of them succeeds where it is valid.
    assert_eq!(RETIRE(&mut scene.tlsf, used), Ok(()));
    assert_eq!(REACH(&mut scene.tlsf, used), Ok(()));
    assert_eq!(BATCH(&mut scene.tlsf, pending), Ok(()));
}

#[test]
fn a_key_whose_allocation_is_gone_is_refused() {
    let mut scene = scene();
    for key in [scene.gone, scene.replaced] {
        for operation in [FREE, RETIRE, REACH, BATCH, GET] {
            refuses(&mut scene, operation, key, KeyError::Stale);
        }
    }
}

#[test]
fn a_second_free_is_refused() {
    let mut scene = scene();
    let key = scene.used;
    FREE(&mut scene.tlsf, key).unwrap();
    for operation in [FREE, RETIRE, REACH, BATCH, GET] {
        refuses(&mut scene, operation, key, KeyError::Stale);
    }
}

#[test]
fn a_second_reach_is_refused() {
    let mut scene = scene();
    let key = scene.pending;
    BATCH(&mut scene.tlsf, key).unwrap();
    for operation in [FREE, RETIRE, REACH, BATCH, GET] {
        refuses(&mut scene, operation, key, KeyError::Stale);
    }
}

#[test]
fn a_key_of_another_block_is_refused() {
    let mut scene = scene();
    let foreign = scene.foreign;
    for operation in [FREE, RETIRE, REACH, BATCH, GET] {
        refuses(&mut scene, operation, foreign, KeyError::Unknown);
    }
}

#[test]
fn a_key_with_the_greatest_index_is_refused() {
    let mut scene = scene();
    let bound = scene.tlsf.index_bound();
    for index in [bound, bound + 1, u32::MAX - 1000, u32::MAX - 1, u32::MAX] {
        let key = Key::from_bits(u64::from(index)).unwrap();
        for operation in [FREE, RETIRE, REACH, BATCH, GET] {
            refuses(&mut scene, operation, key, KeyError::Unknown);
        }
    }
}

#[test]
fn a_batch_with_one_wrong_key_changes_nothing() {
    let mut scene = scene();
    let (pending, other) = (scene.pending, scene.used);
    RETIRE(&mut scene.tlsf, other).unwrap();
    for (wrong, error) in [
        (scene.gone, KeyError::Stale),
        (scene.foreign, KeyError::Unknown),
        (scene.replaced, KeyError::Stale),
        (pending, KeyError::Stale), // twice in the batch
    ] {
        let before = picture(&scene.tlsf);
        for batch in [[pending, wrong, other], [pending, other, wrong], [wrong, pending, other]] {
            assert_eq!(scene.tlsf.reach_batch(&batch), Err(error), "{batch:?}");
            assert_eq!(picture(&scene.tlsf), before);
        }
    }
    assert_eq!(scene.tlsf.reach_batch(&[pending, other]), Ok(()));
    assert_eq!(scene.tlsf.reach_batch(&[]), Ok(()));
}

#[test]
fn no_bits_make_a_key_that_changes_anything() {
    let mut scene = scene();
    let live = [scene.used, scene.pending];
    let mut random = Random::new(11);
    let bound = u64::from(scene.tlsf.index_bound());
    let before = picture(&scene.tlsf);
    for round in 0..20_000 {
        let index = if round % 2 == 0 { random.below(bound + 2) } else { random.next() >> 32 };
        let serial = if round % 3 == 0 { random.below(12) } else { random.next() >> 32 };
        let Some(key) = Key::from_bits(serial << 32 | index) else {
            assert_eq!(index as u32, 0);
            continue;
        };
        assert_eq!((u64::from(key.index()), u64::from(key.serial())), (index, serial));
        assert_eq!(Key::from_bits(key.to_bits()), Some(key));
        if scene.tlsf.get(key).is_ok() {
            continue;
        }
        assert!(!live.contains(&key));
        for operation in [FREE, RETIRE, REACH, BATCH, GET] {
            assert!(operation(&mut scene.tlsf, key).is_err());
        }
        if round % 1000 == 0 {
            assert_eq!(picture(&scene.tlsf), before);
        }
    }
    assert_eq!(picture(&scene.tlsf), before);
}

#[test]
fn a_key_takes_eight_bytes_and_so_does_an_option_of_it() {
    assert_eq!((size_of::<Key>(), size_of::<Option<Key>>()), (8, 8));
}

#[test]
fn a_successor_goes_on_with_the_serials() {
    let mut first = Tlsf::new(&Config::new(1 << 16, 16)).unwrap();
    let old = first.allocate(16, 1).unwrap().key;
    let first_serial = first.next_serial();
    let mut second = Tlsf::new(&Config { first_serial, ..Config::new(1 << 16, 16) }).unwrap();
    let new = second.allocate(16, 1).unwrap().key;
    assert_eq!((new.index(), new.serial()), (old.index(), old.serial() + 1));
    assert_eq!(second.free(old), Err(KeyError::Stale));
}

#[test]
fn a_refused_request_changes_nothing() {
    let mut scene = scene();
    let tlsf = &mut scene.tlsf;
    let before = picture(tlsf);
    let full = AllocateError::Full { largest_class: before.1[4], pending: before.1[2] };
    for (size, alignment, error) in [
        (0, 1, AllocateError::ZeroSize),
        (16, 0, AllocateError::Alignment),
        (16, 3, AllocateError::Alignment),
        (16, u64::MAX, AllocateError::Alignment),
        ((1 << 20) + 1, 1, AllocateError::TooLarge),
        (u64::MAX, 1 << 63, AllocateError::TooLarge),
        (1 << 20, 1, full),
        (1, 1 << 63, full),
    ] {
        assert_eq!(tlsf.allocate(size, alignment), Err(error), "{size} {alignment}");
        assert_eq!(picture(tlsf), before);
    }
}
