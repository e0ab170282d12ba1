//! What watching costs, under criterion: `cargo bench --bench watching`.
//!
//! - `pair`: an allocation that is freed immediately, without anything, with a record that is
//!   written to nowhere, and with an audit. Half the difference is the cost of an event. A frame of
//!   500 pairs ends with a collect, which is not counted. An audit costs far more if
//!   `RUST_BACKTRACE` asks for backtraces.
//! - `snapshot`: a copy of everything about 100,000 live allocations, which programs take while
//!   they run, and its text in VMA's format.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fencepost::fake::FakeDriver;
use fencepost::{Allocation, AllocationDesc, Allocator, AllocatorDesc, ResourceKind, vk};

const PAIRS: u32 = 500;

const LIVE: usize = 100_000;

fn requirements(size: u64) -> vk::MemoryRequirements {
    vk::MemoryRequirements { size, alignment: 256, memory_type_bits: !0 }
}

fn allocator(
    driver: &FakeDriver,
    with: impl for<'a> FnOnce(AllocatorDesc<'a>) -> AllocatorDesc<'a>,
) -> Allocator {
    let desc = AllocatorDesc::new(driver.instance(), driver.physical_device(), driver.device());
    // SAFETY: the driver outlives the allocator, and no queue is used.
    unsafe { Allocator::new(&with(desc)) }.expect("the fake has memory types")
}

fn allocate(allocator: &Allocator, size: u64) -> Allocation {
    let memory = AllocationDesc::device_local();
    let made = allocator.allocate(&requirements(size), ResourceKind::Linear, &memory);
    made.expect("the fake has room")
}

/// The time of a frame, without its collect.
fn frame(allocator: &Allocator) -> Duration {
    let start = Instant::now();
    for _ in 0..PAIRS {
        // SAFETY: no queue is used.
        unsafe { allocate(allocator, 3000).free_now() };
    }
    let taken = start.elapsed();
    allocator.collect();
    taken
}

fn pair(criterion: &mut Criterion) {
    let driver = FakeDriver::new(&Default::default());
    let mut group = criterion.benchmark_group("pair");
    group.throughput(Throughput::Elements(PAIRS.into()));
    let kinds = [
        ("alone", allocator(&driver, |desc| desc)),
        ("recorded", allocator(&driver, |desc| desc.record(io::sink()))),
        ("audited", allocator(&driver, |desc| desc.audit(true))),
    ];
    for (name, allocator) in &kinds {
        group.bench_function(*name, |bencher| {
            bencher.iter_custom(|frames| (0..frames).map(|_| frame(allocator)).sum());
        });
    }
    group.finish();
}

fn snapshot(criterion: &mut Criterion) {
    let driver = FakeDriver::new(&Default::default());
    let allocator = allocator(&driver, |desc| desc);
    let live: Vec<_> = (0..LIVE).map(|_| allocate(&allocator, 256)).collect();
    let mut group = criterion.benchmark_group("snapshot");
    group.sample_size(20);
    group.bench_function("copy", |bencher| bencher.iter(|| black_box(allocator.snapshot())));
    let copy = allocator.snapshot();
    group.bench_function("text", |bencher| bencher.iter(|| black_box(copy.to_vma_json())));
    group.finish();
    // SAFETY: no queue is used.
    live.into_iter().for_each(|one| unsafe { one.free_now() });
}

criterion_group!(watching, pair, snapshot);
criterion_main!(watching);
