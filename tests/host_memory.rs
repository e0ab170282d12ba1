//! The host has no memory for the bookkeeping: an operation returns an error or finds another way,
//! and nothing has changed.

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::{short_of_memory, without_the_next};
use fencepost::{
    AllocateError, Allocation, AllocationDesc, Allocator, Arena, ArenaDesc, ArenaPolicy,
    GuardPolicy, Ordered, ResourceKind,
    fake::FakeDriver,
    tlsf::{self, Config, ConfigError, Key, TakeOverError, Tlsf},
    vk,
};
use support::*;

const KIB: u64 = 1 << 10;

#[test]
fn a_space_without_books_is_an_error_and_stays_as_it_is() {
    let (refused, times) = short_of_memory(0, || Tlsf::new(&Config::new(1 << 30, 64)).err());
    assert_eq!((refused, times > 0), (Some(ConfigError::OutOfHostMemory), true));
    let mut space = Tlsf::new(&Config::new(1 << 30, 64)).unwrap();
    let mut keys: Vec<Key> = Vec::with_capacity(1 << 16);
    // Until the books are full.
    let (failure, _) = short_of_memory(0, || {
        loop {
            match space.allocate(4 * KIB, 64) {
                Ok(placed) => keys.push(placed.key),
                Err(error) => return error,
            }
        }
    });
    assert_eq!(failure, tlsf::AllocateError::OutOfHostMemory);
    space.check().unwrap();
    let used = space.used_bytes();
    assert_eq!(used, keys.len() as u64 * 4 * KIB);
    // A range is not taken over where the rest would need a node.
    keys.iter().for_each(|&key| _ = space.retire(key).unwrap());
    let mut refused = 0;
    for &key in &keys {
        let (taken, _) = short_of_memory(0, || space.take_over(key, 2 * KIB, 64));
        match taken {
            Ok(taken) => assert!(taken.rest.is_some()),
            Err(error) => {
                assert_eq!(error, TakeOverError::OutOfHostMemory);
                refused += 1;
                space.check().unwrap();
                // It is pending as it was.
                assert!(space.take_over(key, 2 * KIB, 64).unwrap().rest.is_some());
            }
        }
    }
    assert!(refused > 0);
    space.check().unwrap();
}

/// A block that is full of pending ranges, `count` of them small, and three requests in the queue's order while the
/// heap gives no larger tables. Whether they all took ranges over; who did not does so once the heap gives.
fn ordered(count: u64) -> bool {
    const BLOCK: u64 = 32 << 20;
    let fake = FakeDriver::new(&Default::default());
    fake.set_ordered_reuse(true);
    // SAFETY: the fake is kept alive, and the test submits through timelines.
    let allocator = unsafe { Allocator::new(&desc(&fake).first_block(BLOCK).largest_block(BLOCK)) };
    let allocator = allocator.unwrap();
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let memory = AllocationDesc::device_local();
    let needs = |size| vk::MemoryRequirements { size, alignment: 64, memory_type_bits: 1 };
    let take = |size| allocator.allocate(&needs(size), ResourceKind::Linear, &memory).unwrap();
    let small: Vec<_> = (0..count).map(|_| take(4 * KIB)).collect();
    let rest = take(BLOCK - count * 4 * KIB);
    assert_eq!(allocator.statistics().total.free, 0);
    let frame = frames.begin().unwrap();
    drop((small, rest));
    submit_nothing(frame).unwrap();
    let mut made: Vec<Ordered<Allocation>> = Vec::with_capacity(3);
    let mut refusals = 0;
    while made.len() < 3 {
        let order = || {
            let resource = ResourceKind::Linear;
            // SAFETY: nothing is submitted with it.
            unsafe { allocator.allocate_ordered(&needs(3 * KIB), resource, &memory, &frames) }
        };
        let before = allocator.statistics().total;
        match short_of_memory(16 << 10, order) {
            (Ok(one), _) => made.push(one),
            (Err(error), refused) => {
                assert!(error == AllocateError::OutOfHostMemory && refused > 0, "{count}: {error}");
                assert_eq!(allocator.statistics().total, before, "{count}");
                allocator.check().unwrap();
                refusals += 1;
                made.push(order().unwrap());
            }
        }
    }
    assert!(made.iter().all(|made| made.dependency.needs_barrier()), "{count}");
    assert_eq!(allocator.statistics().total.blocks, 1, "{count}");
    allocator.check().unwrap();
    fake.run();
    drop(made);
    allocator.collect_all();
    allocator.check().unwrap();
    assert_eq!(allocator.statistics().total.pending, 0);
    refusals == 0
}

#[test]
fn an_ordered_request_without_memory_for_the_rest_changes_nothing() {
    let taken = (1000..1130).map(ordered).filter(|&taken| taken).count();
    assert!(taken > 100 && taken < 130, "{taken} of 130 took ranges over at once");
}

/// An arena with one block of `size` bytes.
fn arena(allocator: &Allocator, policy: ArenaPolicy, size: u64) -> Arena {
    let desc = ArenaDesc::new(AllocationDesc::device_local());
    allocator.create_arena(&desc.block_size(size).max_blocks(1).policy(policy)).unwrap()
}

/// Rings and stacks without memory for one more range: wherever their tables end, the request is refused, and what is
/// there ends as ever.
#[test]
fn a_line_without_memory_for_its_books_refuses_and_loses_nothing() {
    for policy in [ArenaPolicy::Ring, ArenaPolicy::DoubleStack] {
        let fake = FakeDriver::new(&Default::default());
        let allocator = made(&desc(&fake));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let needs = vk::MemoryRequirements { size: KIB, alignment: 64, memory_type_bits: !0 };
        let memory = AllocationDesc::default();
        let line = arena(&allocator, policy, 1 << 20);
        let take = || line.allocate(&needs, ResourceKind::Linear, &memory);
        let mut live = Vec::with_capacity(1 << 10);
        live.push(take().unwrap());
        let mut refusals = 0;
        while live.len() < 1 << 10 {
            let (made, times) = short_of_memory(0, take);
            match made {
                Ok(one) => live.push(one),
                Err(error) => {
                    assert!(times > 0, "{policy:?}: {error}");
                    refusals += 1;
                    allocator.check().unwrap();
                    assert_eq!(allocator.statistics().total.live_count, live.len() as u64);
                    // With memory it is granted, and makes room for those that come.
                    live.push(take().unwrap());
                }
            }
        }
        assert!(refusals > 5, "{policy:?}: {refusals}");
        assert!(take().is_err(), "the control: the block is full");
        let frame = frames.begin().unwrap();
        live.drain(..).for_each(drop);
        submit_nothing(frame).unwrap();
        fake.run();
        assert_eq!(allocator.collect_all().allocations, 1 << 10, "{policy:?}");
        // The tables are as large as they ever were: now it all goes without the heap.
        for _ in 0..3 {
            let frame = frames.begin().unwrap();
            let (_, times) = short_of_memory(0, || {
                (0..1 << 10).for_each(|_| live.push(take().unwrap()));
                live.drain(..).for_each(drop);
            });
            assert_eq!(times, 0, "{policy:?}");
            submit_nothing(frame).unwrap();
            fake.run();
            let (collected, times) = short_of_memory(0, || allocator.collect_all());
            assert_eq!((collected.allocations, times), (1 << 10, 0), "{policy:?}");
        }
        allocator.check().unwrap();
        assert_eq!(allocator.statistics().total.pending, 0);
    }
}

/// The heap refuses the k-th request of a collect, for every k that asks for memory of the points that a report
/// tells: all that is reached is still looked at and freed, and what no memory was for is told without its point.
#[test]
fn a_collect_without_memory_for_the_points_of_its_reports_reports_the_same() {
    const MANY: u64 = 64;
    let fake = FakeDriver::new(&Default::default());
    let allocator = made(&desc(&fake).guards(GuardPolicy::Poison));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let needs = vk::MemoryRequirements { size: 256, alignment: 16, memory_type_bits: !0 };
    let memory = AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT);
    // Many are dropped under one recording, and reached; whoever has their addresses writes there after.
    let frame = || {
        let take = |_| allocator.allocate(&needs, ResourceKind::Linear, &memory).unwrap();
        let all: Vec<_> = (0..MANY).map(take).collect();
        // SAFETY: nothing is submitted, and this thread alone looks at the memory.
        let address = |one: &Allocation| unsafe { one.mapped() }.unwrap().as_ptr().cast::<u8>();
        let addresses: Vec<*mut u8> = all.iter().map(address).collect();
        let frame = frames.begin().unwrap();
        drop(all);
        let point = submit_nothing(frame).unwrap();
        fake.run();
        (point, addresses)
    };
    let reports = |addresses: &[*mut u8]| {
        for &address in addresses {
            // SAFETY: it lies in the mapped block, which lives; whose byte it is, is the test.
            unsafe { address.write(!address.read()) };
        }
        let found = allocator.check_guards();
        assert_eq!(found.len() as u64, MANY);
        let points = found.iter().filter_map(|found| found.owner?.retired.points().next());
        points.collect::<Vec<_>>()
    };
    let (_, addresses) = frame();
    assert_eq!(allocator.collect().allocations, MANY);
    assert_eq!(reports(&addresses).len() as u64, MANY, "the control: each is told with its point");
    let mut told = Vec::new();
    for granted in 0.. {
        let (point, addresses) = frame();
        let (collected, refused) = without_the_next(granted, || allocator.collect());
        assert_eq!((collected.allocations, refused), (MANY, true), "{granted}");
        allocator.check().unwrap();
        let retired = reports(&addresses);
        assert!(retired.iter().all(|&retired| retired == point));
        told.push(retired.len() as u64);
        if retired.len() as u64 >= MANY / 2 {
            break;
        }
    }
    println!("with so many requests granted so many points are told: {told:?}");
    assert!(told[0] == 0 && told.is_sorted(), "{told:?}");
    told.dedup();
    assert!(told.len() > 3, "{told:?}");
    assert_eq!(allocator.statistics().total.pending, 0);
}
