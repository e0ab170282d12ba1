//! What a block takes from the host's heap: few bytes for each allocation, and none in steady
//! state.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/random.rs"]
mod random;

use counting::{bytes, count};
use fencepost::tlsf::{Config, Key, Tlsf};
use random::{Random, fresh_seed};

/// The maximum bytes of bookkeeping for an allocation, including its key.
const BOUND: f64 = 40.0;

fn sizes(live: usize, random: &mut Random) -> Vec<u64> {
    (0..live).map(|_| random.log_uniform(64 << 10)).collect()
}

fn fill(tlsf: &mut Tlsf, keys: &mut Vec<Key>, sizes: &[u64]) {
    keys.extend(sizes.iter().map(|&size| tlsf.allocate(size, 1).unwrap().key));
}

/// Random allocations of up to 64 KiB until `live` of them are live, in a block that is then 4/5
/// full.
fn filled(live: usize, random: &mut Random) -> (Tlsf, Vec<Key>) {
    let mut keys = Vec::with_capacity(live);
    let sizes = sizes(live, random);
    let size = sizes.iter().sum::<u64>() / 4 * 5;
    let mut tlsf = Tlsf::new(&Config::new(size, 16)).unwrap();
    fill(&mut tlsf, &mut keys, &sizes);
    (tlsf, keys)
}

/// Frees a random key and replaces it by another allocation, `steps` times.
fn churn(tlsf: &mut Tlsf, keys: &mut [Key], random: &mut Random, steps: usize) {
    for _ in 0..steps {
        let key = &mut keys[random.below(keys.len() as u64) as usize];
        let size = tlsf.free(*key).unwrap().size;
        // Of the existing sizes, so that the block stays as full as it is; otherwise the old size.
        let other = random.log_uniform(64 << 10);
        let placed = tlsf.allocate(other, 1).or_else(|_| tlsf.allocate(size, 1));
        *key = placed.expect("the old range is free").key;
    }
}

fn per_allocation(live: usize, seed: u64) -> f64 {
    let mut random = Random::new(seed);
    let before = bytes();
    let (mut tlsf, mut keys) = filled(live, &mut random);
    churn(&mut tlsf, &mut keys, &mut random, 10 * live);
    tlsf.check().unwrap();
    // The keys take the capacity of their own list, and 8 bytes each.
    let all = bytes() - before;
    let keys_bytes = keys.capacity() * size_of::<Key>();
    assert_eq!(
        all as usize - keys_bytes + size_of::<Tlsf>(),
        tlsf.metadata_bytes(),
        "what is told is what is held"
    );
    (all as f64 + size_of::<Tlsf>() as f64) / live as f64
}

#[test]
fn an_allocation_costs_forty_bytes_at_most_after_churn() {
    let seed = fresh_seed();
    for live in [10_000, 100_000] {
        let cost = per_allocation(live, seed);
        println!("{live} live: {cost:.1} B for each, its key included");
        assert!(cost <= BOUND, "{cost} B");
        assert!(cost > 16.0, "the control: the counter counts");
    }
}

#[test]
fn neither_an_allocation_nor_its_end_asks_the_heap() {
    let seed = fresh_seed();
    let (mut tlsf, mut keys) = filled(10_000, &mut Random::new(seed));
    churn(&mut tlsf, &mut keys, &mut Random::new(seed), 100_000);
    for key in keys.drain(..) {
        tlsf.free(key).unwrap();
    }
    // The same again: the number of regions has reached its peak.
    let sizes = sizes(10_000, &mut Random::new(seed));
    let asked = count(|| {
        fill(&mut tlsf, &mut keys, &sizes);
        churn(&mut tlsf, &mut keys, &mut Random::new(seed), 100_000);
    });
    println!("asked {asked} times");
    let batch: Vec<Key> = keys[..5000].to_vec();
    let asked_by_batch = count(|| {
        for &key in &batch {
            tlsf.retire(key).unwrap();
        }
        tlsf.reach_batch(&batch).unwrap();
    });
    assert_eq!((asked, asked_by_batch), (0, 0));
    let control = count(|| drop(filled(100, &mut Random::new(seed))));
    assert!(control > 0, "the control: the counter counts");
}
