//! The behaviour that VMA's own tests require, and each defect of VMA that users or its tests
//! encountered.
//!
//! | VMA's test | here |
//! | --- | --- |
//! | TestBasics, TestAllocationVersusResourceSize | below; `tests/allocator_basics.rs` |
//! | TestJson | `tests/inspect.rs`: the dump has VMA's form |
//! | TestVirtualBlocks, TestVirtualBlocksAlgorithms, TestBasicTLSF | below; `tests/tlsf_*.rs`: a twin, properties, all small worlds |
//! | TestVirtualBlocksAlgorithmsBenchmark, BenchmarkAlgorithms, MainTest, PoolTest | `benches/` |
//! | TestPool_SameSize, TestPool_MinBlockCount, TestPool_MinAllocationAlignment | `tests/arena.rs` |
//! | TestPoolsAndAllocationParameters, TestHeapSizeLimit | below |
//! | TestDebugMargin, TestDebugMarginNotInVirtualAllocator, TestAllocationsInitialization | `tests/corruption.rs`; freed memory is poisoned, handed-out memory is not filled |
//! | (the driver asked under a lock) | `tests/driver_calls.rs` |
//! | upload patterns | `tests/init.rs`; the page on memory in `src/guide/memory.md` |
//! | TestLinearAllocator (stack, ring, double stack), TestLinearAllocatorMultiBlock, ManuallyTestLinearAllocator | `tests/arena_policies.rs`, `src/memory/line/tests.rs`; `tests/ring.rs` |
//! | TestAlgorithmsCorrectness | below |
//! | BasicTestAllocatePages | `tests/aliasing.rs` |
//! | TestGpuData | `tests/drivers` |
//! | TestMemoryUsage, TestDeviceCoherentMemory, TestDeviceLocalMapped | the choice of memory types over 158 devices |
//! | TestBufferDeviceAddress, TestMaintenance5 | `tests/drivers`; usages of 64 bits go in by `create_buffer_from` |
//! | TestMemoryPriority | `tests/priorities.rs`, `tests/arena.rs` |
//! | TestAllocationWithAlignment | below |
//! | TestStatistics, TestBudget | below |
//! | (acceleration structures, scratch, descriptor buffers, video) | `tests/newer_usages.rs` |
//! | TestAliasing | `tests/aliasing.rs` |
//! | TestMapping, TestAllocationMemoryCopy, TestMappingHysteresis | `tests/mapping.rs`; there is no hysteresis: blocks stay mapped, or are mapped for one access |
//! | TestMappingMultithreaded | below |
//! | TestWin32Handles | `tests/external.rs`, by file descriptors |
//! | TestDefragmentation (all) | `tests/defragment.rs`, `tests/drivers`; within a block nothing moves |

mod support;

use fencepost::{
    AllocateError, AllocationDesc, AllocationFlags, Allocator, ArenaDesc, Buffer, BufferDesc,
    CreateError, KeyError, ResourceKind,
    fake::{Call, FakeDriver, Profile},
    tlsf::{Config, Probes, Tlsf},
    vk,
};
use support::{random::Random, *};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn tlsf(size: u64) -> Tlsf {
    Tlsf::new(&Config::new(size, Config::granule_for(size, 64))).unwrap()
}

fn device_buffer(allocator: &Allocator, size: u64) -> Result<Buffer, CreateError> {
    let desc = BufferDesc::new(size, vk::BufferUsageFlags::STORAGE_BUFFER);
    allocator.create_buffer(&desc, &AllocationDesc::device_local())
}

fn requirements(size: u64, alignment: u64) -> vk::MemoryRequirements {
    vk::MemoryRequirements { size, alignment, memory_type_bits: !0 }
}

#[test]
fn virtual_blocks_eight_and_four_then_eight_when_four_is_free() {
    let mut space = tlsf(16 * MIB);
    let eight = space.allocate(8 * MIB, 1).unwrap();
    let four = space.allocate(4 * MIB, 1).unwrap();
    assert!(space.allocate(8 * MIB, 1).is_err());
    space.free(four.key).unwrap();
    let other = space.allocate(8 * MIB, 1).unwrap();
    assert_eq!((eight.offset, other.offset), (0, 8 * MIB));
    assert_eq!(space.used_bytes(), 16 * MIB);
    assert!(space.free(four.key).is_err());
    space.check().unwrap();
}

#[test]
fn algorithms_correctness_one_large_allocation_by_halves() {
    let mut space = tlsf(16 * MIB);
    let mut level = vec![space.allocate(16 * MIB, 1).unwrap()];
    let mut size = 16 * MIB;
    while size > 64 * KIB {
        size /= 2;
        let mut next = Vec::new();
        for whole in level {
            space.free(whole.key).unwrap();
            next.push(space.allocate(size, 1).unwrap());
            next.push(space.allocate(size, 1).unwrap());
            assert!(space.allocate(1, 1).is_err(), "the halves fill what the whole left");
        }
        level = next;
        space.check().unwrap();
    }
    assert_eq!(level.len(), 256);
}

#[test]
fn odd_sizes_are_writable_to_the_last_byte() {
    let fake = fake();
    let allocator = allocator(&fake);
    for size in [1, 3, 127, 1000, 4097, 65_537] {
        let memory = allocator.allocate(
            &requirements(size, 1),
            ResourceKind::Linear,
            &AllocationDesc::upload(),
        );
        let mut memory = memory.unwrap();
        assert!(memory.size() >= size);
        let bytes = vec![0x5Au8; memory.size() as usize];
        memory.write(0, &bytes).unwrap();
        let mut back = vec![0u8; bytes.len()];
        memory.read(0, &mut back).unwrap();
        assert_eq!(back, bytes);
    }
}

#[test]
fn pools_and_allocation_parameters() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let flexible = ArenaDesc::new(AllocationDesc::device_local());
    let fixed = flexible.block_size(MIB).max_blocks(1);
    let arenas = [flexible, fixed].map(|desc| allocator.create_arena(&desc).unwrap());
    let plain = AllocationDesc::device_local();
    let never = plain.flags(AllocationFlags::NEVER_ALLOCATE);
    for arena in &arenas {
        // The first finds no block, the second the one that was made in between.
        let refused = arena.create_buffer(&buffer_desc(1000), &never).unwrap_err();
        assert!(matches!(refused, CreateError::Allocate(error) if error.is_out_of_memory()));
        let _first = arena.create_buffer(&buffer_desc(1000), &plain).unwrap();
        let _second = arena.create_buffer(&buffer_desc(1000), &never).unwrap();
        let refused = arena.create_buffer(&buffer_desc(1000), &plain.dedicated(true));
        assert_eq!(refused.unwrap_err(), CreateError::Allocate(AllocateError::NeedsDedicated));
    }
    let refused = allocator.create_buffer(&buffer_desc(1000), &never.dedicated(true));
    assert!(refused.is_err());
    let _own = allocator.create_buffer(&buffer_desc(1000), &plain.dedicated(true)).unwrap();
    assert!(allocator.snapshot().blocks().any(|block| block.dedicated && block.size == 1000));
}

#[test]
fn heap_size_limit_is_exact() {
    let fake = fake();
    // SAFETY: the fake lives as long as the test, which submits nothing.
    let allocator = unsafe { Allocator::new(&desc(&fake).heap_cap(0, 100 * MIB)) }.unwrap();
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let only = vk::MemoryRequirements { memory_type_bits: 1, ..requirements(10 * MIB, 256) };
    let memory = AllocationDesc::device_local().dedicated(true);
    let take = || allocator.allocate(&only, ResourceKind::Linear, &memory);
    let mut ten: Vec<_> = (0..10).map(|_| take().unwrap()).collect();
    assert_eq!(fake.heap_used(0), 100 * MIB);
    let asked = fake.calls(Call::AllocateMemory);
    assert!(matches!(take(), Err(AllocateError::OutOfDeviceMemory { heap: 0, .. })));
    assert_eq!(fake.calls(Call::AllocateMemory), asked);
    ten.pop();
    ten.push(take().unwrap());
}

#[test]
fn alignments_beyond_the_requirements_are_kept() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let arena = ArenaDesc::new(AllocationDesc::device_local()).min_alignment(64 * KIB);
    let arena = allocator.create_arena(&arena).unwrap();
    for alignment in [1, 512, 64 * KIB] {
        let memory = AllocationDesc::device_local().min_alignment(alignment);
        for _ in 0..5 {
            let here = allocator.create_buffer(&buffer_desc(100), &memory).unwrap();
            let there = arena.create_buffer(&buffer_desc(100), &memory).unwrap();
            assert_eq!(here.allocation().offset() % alignment, 0);
            assert_eq!(there.allocation().offset() % (64 * KIB), 0);
            let dedicated = allocator.create_buffer(&buffer_desc(100), &memory.dedicated(true));
            assert_eq!(dedicated.unwrap().allocation().offset(), 0);
        }
    }
}

#[test]
fn statistics_before_with_and_after_and_their_sums() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let before = allocator.statistics();
    let held: Vec<_> = (0..4).map(|_| device_buffer(&allocator, 10 * MIB).unwrap()).collect();
    let with = allocator.statistics();
    assert_eq!(
        (with.total.live, with.total.live_count),
        (before.total.live + 40 * MIB, before.total.live_count + 4)
    );
    assert_eq!(with.total.live + with.total.pending + with.total.free, with.total.reserved);
    let sum: u64 = with.memory_types.iter().map(|figures| figures.reserved).sum();
    let heaps: u64 = (0..3).map(|heap| allocator.heap_budget(heap).unwrap().reserved).sum();
    assert_eq!((sum, heaps), (with.total.reserved, with.total.reserved));
    assert_eq!(heaps, (0..3).map(|heap| fake.heap_used(heap)).sum::<u64>());
    drop(held);
    allocator.trim();
    let after = allocator.statistics();
    assert_eq!((after.total.live, after.total.live_count, after.total.reserved), (0, 0, 0));
}

#[test]
fn sixteen_threads_map_write_and_read() {
    for on_access in [false, true] {
        let fake = fake();
        // SAFETY: the fake lives as long as the test, which submits nothing.
        let allocator = unsafe { Allocator::new(&desc(&fake).map_on_access(on_access)) }.unwrap();
        let _frames = allocator.timeline(fake.queue(0)).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..16u64 {
                let allocator = &allocator;
                scope.spawn(move || {
                    let memory = AllocationDesc::upload().dedicated(thread % 4 == 0);
                    for number in 0..64u64 {
                        let mut buffer =
                            allocator.create_buffer(&buffer_desc(64 + number), &memory).unwrap();
                        let words = [thread, number, thread ^ number];
                        buffer.write(0, &words).unwrap();
                        let mut back = [0u64; 3];
                        buffer.read(0, &mut back).unwrap();
                        assert_eq!(back, words);
                    }
                });
            }
        });
        allocator.check().unwrap();
        assert_eq!(allocator.statistics().total.live_count, 0);
    }
}

// What VMA gets wrong.

#[test]
fn defect_a_hole_of_the_exact_size_is_used_again() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let desc = ArenaDesc::new(AllocationDesc::device_local()).block_size(16 * MIB);
    let arena = allocator.create_arena(&desc).unwrap();
    let take = || {
        let memory = AllocationDesc::default();
        arena.allocate(&requirements(MIB, 64), ResourceKind::Linear, &memory).unwrap()
    };
    let (first, _second) = (take(), take());
    let place = (first.memory(), first.offset());
    drop(first);
    let again = take();
    assert_eq!((again.memory(), again.offset()), place);
}

#[test]
fn defect_a_double_free_is_an_error_and_aliases_nothing() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let take = || {
        let memory = AllocationDesc::device_local();
        allocator.allocate(&requirements(1000, 64), ResourceKind::Linear, &memory).unwrap()
    };
    let raw = take().into_raw();
    // SAFETY: the only handle of this key.
    drop(unsafe { allocator.from_raw(raw) }.unwrap());
    let (first, second) = (take(), take());
    // SAFETY: the key has been turned back, so it is refused.
    assert_eq!(unsafe { allocator.from_raw(raw) }.unwrap_err(), KeyError::Stale);
    assert_ne!(first.offset(), second.offset());
    assert_eq!(allocator.statistics().total.live_count, 2);
}

#[test]
fn defect_within_budget_holds_the_budget_for_blocks_and_dedicated_alike() {
    // VMA went to 2,736 MiB on a budget of 1,638 here.
    let heap = vk::MemoryHeapFlags::DEVICE_LOCAL;
    let types = vk::MemoryPropertyFlags::from_raw(0b1111);
    let profile = Profile::default().heaps(&[(2048 * MIB, heap)]).types(&[(0, types)]);
    for dedicated in [false, true] {
        let fake = FakeDriver::new(&profile);
        let allocator = allocator(&fake);
        let memory = AllocationDesc::device_local()
            .flags(AllocationFlags::WITHIN_BUDGET)
            .dedicated(dedicated);
        let take =
            || allocator.allocate(&requirements(100 * MIB, 64), ResourceKind::Linear, &memory);
        let held: Vec<_> = (0..30).map_while(|_| take().ok()).collect();
        assert!(held.len() >= 15, "{} of 100 MiB", held.len());
        assert!(fake.heap_peak(0) <= 2048 * MIB / 5 * 4);
    }
}

#[test]
fn defect_an_empty_arena_with_blocks_is_counted_and_trimmed_without_a_crash() {
    let fake = fake();
    let allocator = allocator(&fake);
    let desc = ArenaDesc::new(AllocationDesc::device_local()).block_size(MIB).min_blocks(2);
    let arena = allocator.create_arena(&desc).unwrap();
    assert_eq!((arena.statistics().blocks, arena.statistics().live_count), (2, 0));
    allocator.trim();
    allocator.collect();
    allocator.check().unwrap();
    assert_eq!(arena.statistics().blocks, 2);
}

#[test]
fn defect_free_ranges_of_terabytes_are_reached() {
    const TIB: u64 = 1 << 40;
    let mut space = tlsf(2 * TIB);
    let (first, second) = (space.allocate(TIB, 1).unwrap(), space.allocate(TIB, 1).unwrap());
    space.free(first.key).unwrap();
    let small = space.allocate(4 * KIB, 1).unwrap();
    assert!(small.offset < TIB && second.offset == TIB);
    space.check().unwrap();
}

#[test]
fn defect_blocks_do_not_come_and_go_with_one_allocation() {
    let fake = fake();
    let allocator = allocator(&fake);
    let _frames = allocator.timeline(fake.queue(0)).unwrap();
    let _anchor = device_buffer(&allocator, 900 * KIB).unwrap();
    drop(device_buffer(&allocator, 900 * KIB).unwrap());
    let before = (fake.calls(Call::AllocateMemory), fake.calls(Call::FreeMemory));
    for _ in 0..1000 {
        drop(device_buffer(&allocator, 900 * KIB).unwrap());
        allocator.collect();
    }
    assert_eq!((fake.calls(Call::AllocateMemory), fake.calls(Call::FreeMemory)), before);
}

#[test]
fn defect_small_requests_never_use_up_the_number_of_memories() {
    // 256 bytes each, as in VMA's issue 545, on a heap that has no room for another block.
    let heap = vk::MemoryHeapFlags::DEVICE_LOCAL;
    let types = vk::MemoryPropertyFlags::DEVICE_LOCAL;
    let profile = Profile::default().heaps(&[(4 * MIB, heap)]).types(&[(0, types)]);
    let fake = FakeDriver::new(&profile);
    let allocator = allocator(&fake);
    let take = || {
        let memory = AllocationDesc::device_local();
        allocator.allocate(&requirements(256, 256), ResourceKind::Linear, &memory)
    };
    let held: Vec<_> = (0..20_000).map_while(|_| take().ok()).collect();
    assert!(held.len() >= 16_000, "{} of 16,384", held.len());
    assert!(fake.live().memories <= 64, "{} memories", fake.live().memories);
}

#[test]
fn defect_unrounded_sizes_and_alignments_visit_no_more_than_others() {
    // VMA walks whole lists for what lavapipe and SwiftShader ask: up to 5,857 ranges for one request, and
    // as many as there are misaligned holes for one that fails.
    let mut space = tlsf(256 * MIB);
    let mut random = Random::new(3);
    let mut held = Vec::new();
    let (mut worst, mut refused) = (0, 0);
    for _ in 0..60_000 {
        let size = random.log_uniform(64 * KIB);
        let alignment = [16, 64, 256, 4 * KIB, 64 * KIB][random.below(5) as usize];
        let mut probes = Probes::default();
        match space.allocate_counted(size, alignment, &mut probes) {
            Ok(placed) => held.push(placed.key),
            Err(_) => refused += 1,
        }
        worst = worst.max(probes.bins + probes.nodes);
        // As full as it will be.
        if space.used_bytes() > 250 * MIB || random.below(3) == 0 {
            let gone = held.swap_remove(random.below(held.len() as u64) as usize);
            space.free(gone).unwrap();
        }
    }
    assert!(worst <= 16 && held.len() > 5000, "{worst} visited, {} held", held.len());
    // Small holes that no aligned request fits, thousands of them, and a request that fails.
    while let Ok(placed) = space.allocate(64, 64) {
        held.push(placed.key);
    }
    held.iter().step_by(2).for_each(|&key| _ = space.free(key).unwrap());
    let mut probes = Probes::default();
    let large = space.largest_free() + 1;
    assert!(space.allocate_counted(large, 64 * KIB, &mut probes).is_err());
    assert!(probes.bins + probes.nodes <= 16, "{probes:?}, {refused} refused before");
}

/// The tests that the table above names.
fn named(table: &str) -> impl Iterator<Item = &str> {
    let cells = table.lines().filter(|line| line.starts_with("//! |")).flat_map(|l| l.split('`'));
    cells.filter(|name| ["tests/", "src/", "benches/"].iter().any(|top| name.starts_with(top)))
}

#[test]
fn every_place_that_the_table_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let there = |name: &str| {
        let (folder, pattern) = name.rsplit_once('/').unwrap();
        match pattern.split_once('*') {
            None => root.join(name).exists(),
            Some((start, end)) => std::fs::read_dir(root.join(folder)).unwrap().any(|entry| {
                let entry = entry.unwrap().file_name();
                let entry = entry.to_string_lossy();
                entry.starts_with(start) && entry.ends_with(end)
            }),
        }
    };
    let source = include_str!("vma_behaviour.rs");
    let missing: Vec<&str> = named(source).filter(|name| !there(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(named(source).count() > 15);
    assert!(!there("tests/no_such_test.rs") && !there("tests/no_such_*.rs"), "the control");
}
