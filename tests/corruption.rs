//! Guards over the fake driver: each kind of damage is found, attributed to the right owner and
//! reported once; and nothing is reported if there is no damage.

mod support;

use fencepost::{
    Allocation, AllocationDesc, Allocator, Corruption, Damage, GuardPolicy, ResourceKind,
    fake::{FakeDriver, Profile},
    vk,
};
use support::*;

fn guarded(fake: &FakeDriver, policy: GuardPolicy) -> Allocator {
    // SAFETY: the fake lives as long as the test, and nothing is submitted.
    unsafe { Allocator::new(&desc(fake).guards(policy)) }.unwrap()
}

fn allocate(allocator: &Allocator, name: &'static str, size: u64) -> Allocation {
    let needs = vk::MemoryRequirements { size, alignment: 16, memory_type_bits: u32::MAX };
    // Coherent memory is what can be watched.
    let memory = AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT);
    allocator.allocate(&needs, ResourceKind::Linear, &memory.name(name)).unwrap()
}

/// The address of a byte, inside the allocation or not.
fn address(allocation: &Allocation, byte: isize) -> *mut u8 {
    // SAFETY: nothing is submitted, and this thread alone looks at the memory.
    let mapped = unsafe { allocation.mapped() }.expect("it is host-visible");
    mapped.as_ptr().cast::<u8>().wrapping_offset(byte)
}

/// The bug: a write wherever it likes, of what is not there.
fn scribble(address: *mut u8) {
    // SAFETY: the address lies in the mapped block, which lives; whose byte it is, is the test.
    unsafe { address.write(!address.read()) };
}

fn free(allocation: Allocation) {
    // SAFETY: nothing was ever submitted.
    unsafe { allocation.free_now() };
}

fn only(found: &[Corruption]) -> Corruption {
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

const POLICIES: [GuardPolicy; 4] =
    [GuardPolicy::Off, GuardPolicy::Margins, GuardPolicy::Poison, GuardPolicy::Full];

const MARGINS: [GuardPolicy; 2] = [GuardPolicy::Margins, GuardPolicy::Full];

/// The control of all others: who keeps to what it owns, every byte of it, is not accused.
#[test]
fn a_clean_run_finds_nothing_under_any_policy() {
    for policy in POLICIES {
        let fake = fake();
        let allocator = guarded(&fake, policy);
        let _timeline = allocator.timeline(fake.queue(0)).unwrap();
        for round in 0..50 {
            let live: Vec<Allocation> = (0..20)
                .map(|index| {
                    let mut one = allocate(&allocator, "clean", 1 + (index * 97 + round) % 700);
                    one.write(0, &vec![0xA5_u8; one.size() as usize]).unwrap();
                    one
                })
                .collect();
            assert_eq!(allocator.check_guards(), [], "{policy:?} in round {round}");
            drop(live);
            allocator.collect();
        }
        assert_eq!(allocator.check_guards(), [], "{policy:?}");
        allocator.check().unwrap();
        let coverage = allocator.guard_coverage();
        assert_eq!(coverage.guarded_blocks > 0, policy != GuardPolicy::Off, "{coverage:?}");
    }
}

#[test]
fn an_overrun_by_one_byte_is_found_and_named() {
    for policy in MARGINS {
        for size in [1, 2, 3, 4, 100, 1001] {
            let fake = fake();
            let allocator = guarded(&fake, policy);
            let neighbours =
                [allocate(&allocator, "left", 64), allocate(&allocator, "victim", size)];
            let [_left, victim] = &neighbours;
            scribble(address(victim, victim.size() as isize));
            let found = only(&allocator.check_guards());
            assert_eq!(found.damage, Damage::After, "{policy:?}");
            assert_eq!(found.offset, victim.offset() + size, "the very byte");
            assert_eq!(found.words, 1);
            assert_ne!(found.expected, found.found);
            let owner = found.owner.expect("a margin has an owner");
            assert_eq!((owner.name, owner.size, owner.freed), (Some("victim"), size, None));
            assert_eq!(owner.offset, victim.offset());
            assert_eq!(allocator.check_guards(), [], "it is told once");
        }
    }
}

#[test]
fn an_underrun_is_found_when_the_allocation_ends() {
    for policy in MARGINS {
        let fake = fake();
        let allocator = guarded(&fake, policy);
        let victim = allocate(&allocator, "victim", 256);
        let offset = victim.offset();
        scribble(address(&victim, -1));
        scribble(address(&victim, -5));
        free(victim);
        let found = only(&allocator.check_guards());
        assert_eq!((found.damage, found.words), (Damage::Before, 2), "two words in a row");
        assert_eq!(found.offset, offset - 5);
        assert_eq!(found.owner.and_then(|owner| owner.name), Some("victim"));
        let text = found.to_string();
        assert!(text.contains("a write before `victim`") && text.contains("byte -5"), "{text}");
    }
}

#[test]
fn a_write_after_free_is_found_on_demand_and_when_handed_out() {
    for policy in [GuardPolicy::Poison, GuardPolicy::Full] {
        for on_demand in [true, false] {
            let fake = fake();
            let allocator = guarded(&fake, policy);
            let _stays = allocate(&allocator, "stays", 64);
            let culprit = allocate(&allocator, "culprit", 512);
            let (late, offset) = (address(&culprit, 100), culprit.offset());
            let collects = 3;
            for _ in 0..collects {
                allocator.collect();
            }
            free(culprit);
            assert_eq!(allocator.check_guards(), [], "nothing is written yet");
            scribble(late);
            let mut next = None;
            if !on_demand {
                next = Some(allocate(&allocator, "next", 512));
            }
            let found = only(&allocator.check_guards());
            assert_eq!((found.damage, found.offset), (Damage::AfterFree, offset + 100));
            let owner = found.owner.expect("it was the culprit's");
            assert_eq!((owner.name, owner.offset, owner.size), (Some("culprit"), offset, 512));
            assert_eq!(owner.freed, Some(collects));
            drop(next);
        }
    }
}

/// A stray write into the margin of another is told as that one's margin.
#[test]
fn a_wild_write_is_told_by_whose_margin_it_hit() {
    let fake = fake();
    let allocator = guarded(&fake, GuardPolicy::Full);
    let [wild, victim] = ["wild", "victim"].map(|name| allocate(&allocator, name, 128));
    let distance = victim.offset() as isize - wild.offset() as isize;
    scribble(address(&wild, distance - 4));
    let found = only(&allocator.check_guards());
    let damaged = (found.damage, found.owner.and_then(|owner| owner.name));
    assert_eq!(damaged, (Damage::Before, Some("victim")));
}

/// The control of off: the same bugs leave no trace, and no room is taken.
#[test]
fn off_watches_nothing_and_takes_nothing() {
    let fake = fake();
    let allocator = guarded(&fake, GuardPolicy::Off);
    let [victim, neighbour] = ["victim", "neighbour"].map(|name| allocate(&allocator, name, 64));
    assert_eq!(neighbour.offset().abs_diff(victim.offset()), 64, "no margin between");
    scribble(address(&victim, 64));
    free(victim);
    assert_eq!(allocator.check_guards(), []);
    assert_eq!(allocator.guard_coverage(), Default::default());
}

/// A raw key brings back the range without its margins.
#[test]
fn a_raw_key_knows_its_margins() {
    let fake = fake();
    let allocator = guarded(&fake, GuardPolicy::Full);
    let one = allocate(&allocator, "one", 100);
    let (offset, size) = (one.offset(), one.size());
    // SAFETY: the key is turned back once.
    let back = unsafe { allocator.from_raw(one.into_raw()) }.unwrap();
    assert_eq!((back.offset(), back.size()), (offset, size));
    scribble(address(&back, 100));
    assert_eq!(only(&allocator.check_guards()).offset, offset + 100);
}

/// On GPUs whose memory differs, what is not watched is counted, and what is, is.
#[test]
fn what_cannot_be_watched_is_counted() {
    for gpu in ["NVIDIA GeForce RTX 2080", "AMD Radeon RX 6800 XT"] {
        let fake = FakeDriver::new(&Profile::topology(gpu).unwrap());
        let allocator = guarded(&fake, GuardPolicy::Full);
        let seen = allocate(&allocator, "seen", 1000);
        let unseen = buffer(&allocator, 1000);
        let large = AllocationDesc::device_local().dedicated(true);
        let alone = allocator.create_buffer(&buffer_desc(4096), &large).unwrap();
        let coverage = allocator.guard_coverage();
        let blocks = (coverage.guarded_blocks, coverage.unseen_blocks, coverage.dedicated_blocks);
        assert_eq!(blocks, (1, 1, 1), "{gpu}: {coverage:?}");
        assert!(coverage.dedicated_bytes >= 4096 && coverage.guarded_bytes > 1000);
        scribble(address(&seen, 1000));
        assert_eq!(allocator.check_guards().len(), 1, "{gpu}");
        drop((seen, unseen, alone));
    }
}
