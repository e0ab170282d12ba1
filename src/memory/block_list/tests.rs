//! The choice of a block, against a walk.

use super::*;

const BLOCK: u64 = 64 << 10;

fn add_blocks(list: &mut BlockList, count: u32) {
    for _ in 0..count {
        let made = list.insert(|serial| {
            Block::shared(vk::DeviceMemory::null(), BLOCK, fit_index::UNIT, serial, None)
        });
        made.unwrap();
    }
}

/// Allocations and frees at random over many nearly full blocks. Each allocation tries four
/// blocks at most, takes none younger than the oldest that surely has room, and is refused only
/// if none surely has.
#[test]
fn hundreds_of_blocks_are_not_walked() {
    let mut list = BlockList::default();
    add_blocks(&mut list, 300);
    let mut state = 7_u64;
    let mut random = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % bound
    };
    let mut live: Vec<Entry> = Vec::new();
    let (mut refused, mut youngest, mut most_tried) = (0, 0, 0);
    for round in 0..60_000 {
        if round % 8 == 0 && live.len() > 100 {
            let at = random(live.len() as u64) as usize;
            list.free(live.swap_remove(at)).unwrap();
        }
        let power = 4 + random(11);
        let size = 1 + random(1 << power);
        let sure = list
            .iter()
            .find(|(_, block)| class_of(block.largest_class()) >= class_at_least(size).unwrap())
            .map(|(slot, _)| slot);
        let before = list.tried;
        match list.allocate(size, 64, Tenant::default()) {
            Some(grant) => {
                assert!(sure.is_none_or(|sure| grant.entry.slot <= sure), "round {round}");
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
    assert_eq!(most_tried, TRIES + 1);
    assert!(refused > 1000 && youngest > 250, "{refused} refused, youngest {youngest}");
    // The control: a walk does try them all.
    let before = list.tried;
    assert!(list.allocate_anywhere(BLOCK, 64, Tenant::default()).is_none());
    assert_eq!(list.tried - before, 300);
}

#[test]
fn an_exact_hole_and_an_aligned_one_are_found() {
    let mut list = BlockList::default();
    add_blocks(&mut list, 2);
    let nobody = Tenant::default();
    let odd = list.allocate(5003, 64, nobody).unwrap();
    let rest = list.allocate_in(0, BLOCK - 5056, 64, nobody).unwrap();
    list.free(odd.entry).unwrap();
    assert_eq!(list.allocate(5003, 64, nobody).unwrap().entry.slot, 0, "not of a surer class");
    list.free(rest.entry).unwrap();
    let aligned = list.allocate(4096, 32 << 10, nobody).unwrap();
    assert_eq!((aligned.entry.slot, aligned.offset), (0, 32 << 10));
}
