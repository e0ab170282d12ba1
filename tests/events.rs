//! The `tracing` events: each event of the table in `fencepost::events`, with its fields.

#[path = "support/ear.rs"]
mod ear;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Mutex, mpsc},
    time::Duration,
};

use ear::{Ear, of};
use fencepost::{
    AllocationDesc, AllocationFlags, Allocator, ArenaDesc, EndPolicy, GuardPolicy, GuardedBy,
    ResourceKind, Scrub,
    events::{ALLOCATION, BLOCK, DEVICE, FALLBACK, GUARD, MEMORY, PRESSURE, RECORD, WAITING},
    fake::{Call, FakeDriver, Profile},
    vk,
};
use support::*;
use tracing::Level;
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// Every scene of this file: together they have the allocator say all that it can say.
const SCENES: [fn(); 14] = [
    blocks_and_counters,
    a_full_heap,
    smaller_blocks,
    things_that_wait,
    a_still_timeline,
    a_jump,
    an_unreadable_timeline,
    an_end_before_a_recorded_use,
    damage,
    a_late_write,
    a_write_that_a_scrub_finds,
    what_comes_back_unlooked,
    losses,
    a_leak,
];

fn free(buffer: fencepost::Buffer) {
    // SAFETY: the fake executes nothing.
    unsafe { buffer.free_now() };
}

fn blocks_and_counters() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let small = buffer(&allocator, 4096);
    let own = AllocationDesc::device_local().dedicated(true).name("own");
    let big = allocator.create_buffer(&buffer_desc(1 << 20), &own).unwrap();
    allocator.collect();
    drop((small, big));
    allocator.trim();
    drop((frames, allocator));
    fake.finish().unwrap();
}

#[test]
fn blocks_allocations_and_counters_are_told() {
    let told = Ear::hear(blocks_and_counters);
    let blocks = of(&told, BLOCK, Level::DEBUG, &["memory_type", "bytes", "dedicated"]);
    let dedicated: Vec<_> = blocks.iter().map(|one| &*one.fields["dedicated"]).collect();
    assert_eq!(dedicated, ["false", "true"]);
    assert_eq!(blocks[1].fields["bytes"], (1 << 20).to_string());
    let all = of(&told, BLOCK, Level::DEBUG, &["memory_type", "bytes"]);
    assert_eq!(all.len(), 4, "two came, two went");
    let fields = ["memory_type", "block", "key", "offset", "bytes", "name"];
    let granted = of(&told, ALLOCATION, Level::TRACE, &fields);
    assert_eq!(granted.len(), 2);
    assert_eq!(granted[1].fields["name"], "\"own\"");
    let ended = of(&told, ALLOCATION, Level::TRACE, &["memory_type", "block", "key"]);
    let keys: Vec<_> = ended.iter().map(|one| &one.fields["key"]).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys[..2].iter().all(|key| keys[2..].contains(key)), "an end names its allocation");
    let fields = ["live", "pending", "free", "reserved", "allocations"];
    let counters = of(&told, MEMORY, Level::TRACE, &fields);
    assert_eq!(counters.len(), 1, "one a collect");
    assert_eq!(counters[0].fields["live"], (4096 + (1 << 20)).to_string());
    assert_eq!(counters[0].fields["allocations"], "2");
}

#[test]
fn an_arenas_blocks_are_told_as_all_others() {
    let told = Ear::hear(|| {
        let fake = fake();
        let allocator = allocator(&fake);
        let arena = ArenaDesc::new(AllocationDesc::device_local()).block_size(1 << 20);
        drop(allocator.create_arena(&arena.min_blocks(1)).unwrap());
    });
    let blocks = of(&told, BLOCK, Level::DEBUG, &["memory_type", "bytes"]);
    assert_eq!(blocks.len(), 2, "one came, and went: {told:#?}");
    assert!(blocks.iter().all(|one| one.fields["bytes"] == (1 << 20).to_string()), "{blocks:?}");
    assert_eq!(blocks[0].fields["dedicated"], "false");
}

#[test]
fn who_does_not_listen_when_the_allocator_is_made_hears_no_single_allocations() {
    let fake = fake();
    let allocator = allocator(&fake);
    let told = Ear::hear(|| drop(buffer(&allocator, 64)));
    assert!(told.iter().all(|one| one.target != ALLOCATION), "{told:?}");
    // SAFETY: nothing was submitted.
    unsafe { allocator.assume_idle() };
}

#[test]
fn an_end_is_told_once_and_a_refused_key_ends_nothing() {
    let told = Ear::hear(|| {
        let fake = fake();
        fake.set_ordered_reuse(true);
        let allocator = made(&desc(&fake).first_block(1 << 20).largest_block(1 << 20));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let frame = frames.begin().unwrap();
        drop(buffer(&allocator, 1 << 20));
        submit_nothing(frame).unwrap();
        let memory = AllocationDesc::device_local();
        // SAFETY: the fake executes nothing.
        let heir =
            unsafe { allocator.create_buffer_ordered(&buffer_desc(1 << 20), &memory, &frames) };
        let heir = heir.unwrap();
        assert!(heir.dependency.needs_barrier(), "it took the pending range over");
        // Ended at once, it waits for its old owner: one end, by two ways.
        free(heir.owner);
        fake.run();
        let wanted = vk::MemoryRequirements { size: 64, alignment: 64, memory_type_bits: !0 };
        let plain = allocator.allocate(&wanted, ResourceKind::Linear, &memory).unwrap();
        let key = plain.into_raw();
        // SAFETY: the key is turned back once; the second time it is stale, and refused.
        unsafe {
            allocator.free_raw(key).unwrap();
            allocator.free_raw(key).unwrap_err();
            allocator.retire_raw(key).unwrap_err();
        }
    });
    let all = of(&told, ALLOCATION, Level::TRACE, &["key"]);
    let ends = all.iter().filter(|one| !one.fields.contains_key("bytes"));
    let ends: Vec<_> = ends.map(|one| (&one.fields["block"], &one.fields["key"])).collect();
    assert_eq!(ends.len(), 3, "{ends:?}");
    assert_eq!(ends.iter().collect::<BTreeSet<_>>().len(), 3, "each its own: {ends:?}");
}

fn a_full_heap() {
    let fake = FakeDriver::new(&Profile::default());
    let allocator = made(&desc(&fake).heap_cap(0, 1 << 20));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    // The device's own heap is capped: the host's memory is taken.
    let far = buffer(&allocator, 8 << 20);
    let only = AllocationDesc::device_local().required(vk::MemoryPropertyFlags::DEVICE_LOCAL);
    let desc = buffer_desc(2 << 30);
    assert!(allocator.plan_buffer(&desc, &only).is_err(), "a question is told to nobody");
    assert!(allocator.create_buffer(&desc, &only).is_err());
    let quiet = only.flags(AllocationFlags::NEVER_ALLOCATE);
    assert!(allocator.create_buffer(&desc, &quiet).is_err());
    drop((far, frames, allocator));
}

#[test]
fn fallbacks_and_pressure_are_told() {
    let told = Ear::hear(a_full_heap);
    let fallback = of(&told, FALLBACK, Level::DEBUG, &["memory_type", "bytes", "tried"]);
    assert!(fallback[0].fields["tried"].contains("OTHER_TYPES"), "{fallback:?}");
    let fields = ["heap", "requested", "largest_free", "pending", "left", "tried"];
    let pressure = of(&told, PRESSURE, Level::WARN, &fields);
    assert_eq!(pressure.len(), 1);
    assert_eq!(pressure[0].fields["requested"], (2_u64 << 30).to_string());
    assert_eq!(of(&told, PRESSURE, Level::DEBUG, &fields).len(), 1);
}

fn smaller_blocks() {
    let fake = fake();
    let allocator = made(&desc(&fake).first_block(16 << 20).heap_cap(0, 4 << 20));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let held = buffer(&allocator, 4096);
    drop((held, frames, allocator));
    fake.finish().unwrap();
}

#[test]
fn smaller_blocks_are_told() {
    let told = Ear::hear(smaller_blocks);
    let fallback = of(&told, FALLBACK, Level::DEBUG, &["memory_type", "bytes", "tried"]);
    assert!(fallback[0].fields["tried"].contains("SMALLER"), "{fallback:?}");
}

fn things_that_wait() {
    let fake = fake();
    let allocator = made(&desc(&fake).audit(true));
    drop(buffer(&allocator, 64));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let frame = frames.begin().unwrap();
    drop(buffer(&allocator, 64));
    for _ in 0..300 {
        allocator.collect();
    }
    drop(frame);
    // SAFETY: nothing was submitted.
    unsafe { allocator.shutdown().unwrap() };
}

#[test]
fn what_waits_is_told_by_name() {
    let told = Ear::hear(things_that_wait);
    assert_eq!(of(&told, WAITING, Level::WARN, &["allocation"]).len(), 2);
    let open = of(&told, WAITING, Level::WARN, &["allocation", "recording"]);
    assert_eq!(open[0].fields["allocation"], "\"buffer\"");
    assert_eq!(of(&told, WAITING, Level::WARN, &["recording"]).len(), 2, "and its drop");
}

fn a_still_timeline() {
    let fake = fake();
    let allocator = made(&desc(&fake).audit(true).end_policy(EndPolicy::Keep));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    fake.set_stalled(fake.queue(0), true);
    let frame = frames.begin().unwrap();
    drop(buffer(&allocator, 64));
    submit_nothing(frame).unwrap();
    for _ in 0..300 {
        allocator.collect();
    }
    drop((frames, allocator));
}

#[test]
fn a_still_timeline_and_work_pending_at_the_end_are_told() {
    let told = Ear::hear(a_still_timeline);
    let still = of(&told, WAITING, Level::WARN, &["reached", "submitted", "allocation"]);
    assert_eq!((&*still[0].fields["reached"], &*still[0].fields["submitted"]), ("0", "1"));
    let pending = of(&told, WAITING, Level::WARN, &["bytes"]);
    assert_eq!(pending[0].fields["bytes"], "256", "a granule");
}

fn a_jump() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let frame = frames.begin().unwrap();
    drop(buffer(&allocator, 64));
    submit_nothing(frame).unwrap();
    fake.set_counter(frames.semaphore().unwrap(), 1000);
    allocator.collect();
    fake.set_counter(frames.semaphore().unwrap(), 0);
    fake.run();
}

#[test]
fn a_counter_that_jumps_is_told_with_what_it_should_be_at_most() {
    let told = Ear::hear(a_jump);
    let jump = of(&told, WAITING, Level::ERROR, &["value", "assigned", "allocation"]);
    assert_eq!(jump.len(), 1, "{told:#?}");
    assert_eq!((&*jump[0].fields["value"], &*jump[0].fields["assigned"]), ("1000", "1"));
    assert_eq!(jump[0].fields["allocation"], "\"buffer\"");
}

fn an_unreadable_timeline() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    submit_nothing(frames.begin().unwrap()).unwrap();
    fake.fail_all(Call::GetSemaphoreCounterValue, vk::Result::ERROR_OUT_OF_HOST_MEMORY);
    allocator.collect();
    fake.clear_faults();
    fake.run();
}

#[test]
fn a_timeline_that_cannot_be_read_is_told() {
    let told = Ear::hear(an_unreadable_timeline);
    let unread = of(&told, WAITING, Level::WARN, &["error"]);
    assert_eq!(unread.len(), 1, "{told:#?}");
    let error = vk::Result::ERROR_OUT_OF_HOST_MEMORY.to_string();
    assert_eq!(unread[0].fields["error"], error);
}

fn an_end_before_a_recorded_use() {
    let fake = fake();
    let allocator = made(&desc(&fake).audit(true));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let (at_points, at_once) = (buffer(&allocator, 64), buffer(&allocator, 64));
    let point = submit_nothing(frames.begin().unwrap()).unwrap();
    at_points.allocation().record_use(point).unwrap();
    at_once.allocation().record_use(point).unwrap();
    // SAFETY: the fake executes nothing.
    unsafe { at_points.retire_at(&[]).unwrap() };
    free(at_once);
    fake.run();
}

#[test]
fn an_end_before_a_recorded_use_is_told_with_its_point() {
    let told = Ear::hear(an_end_before_a_recorded_use);
    let early = of(&told, WAITING, Level::ERROR, &["allocation", "used_until"]);
    assert_eq!(early.len(), 2, "by either door: {told:#?}");
    for one in early {
        assert_eq!(one.fields["allocation"], "\"buffer\"");
        assert!(one.fields["used_until"].contains('1'), "{one:?}");
    }
}

fn damage() {
    let fake = fake();
    let allocator = made(&desc(&fake).guards(GuardPolicy::Margins));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let memory = AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT);
    let victim = allocator.create_buffer(&buffer_desc(256), &memory.name("victim")).unwrap();
    // SAFETY: the host alone looks at the memory; one word is written beyond the end.
    unsafe {
        let mapped = victim.allocation().mapped().unwrap().cast::<u8>();
        mapped.as_ptr().wrapping_add(256).cast::<u32>().write(7);
    }
    assert_eq!(allocator.check_guards().len(), 1);
    drop((victim, frames));
    let unwatched = desc(&fake).guards(GuardPolicy::Poison).guarded_by(GuardedBy::Host);
    let unwatched = made(&unwatched);
    let frames = unwatched.timeline(fake.queue(0)).unwrap();
    drop(buffer(&unwatched, 64));
    let own = AllocationDesc::device_local().dedicated(true);
    drop(unwatched.create_buffer(&buffer_desc(4096), &own).unwrap());
    drop(frames);
}

#[test]
fn damage_is_told_and_blocks_that_nobody_watches() {
    let told = Ear::hear(damage);
    let fields = ["memory_type", "offset", "words", "expected", "found", "allocation"];
    let written = of(&told, GUARD, Level::ERROR, &fields);
    assert_eq!(written.len(), 1, "{told:#?}");
    assert_eq!(written[0].fields["allocation"], "\"victim\"");
    assert_eq!((&*written[0].fields["words"], &*written[0].fields["found"]), ("1", "7"));
    let unwatched = of(&told, GUARD, Level::WARN, &["memory_type", "bytes"]);
    assert_eq!(unwatched.len(), 2, "a block, and a memory of its own: {told:#?}");
}

/// A write after free, of what the GPU had to pass a point for; and nobody scrubs.
fn a_late_write() {
    let fake = fake();
    fake.set_aliasing(true);
    let desc = desc(&fake).guards(GuardPolicy::Poison).guarded_by(GuardedBy::HostOrGpu);
    let allocator = made(&desc);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let memory = AllocationDesc::upload().required(vk::MemoryPropertyFlags::HOST_COHERENT);
    let make = || allocator.create_buffer(&buffer_desc(256), &memory).unwrap();
    let (stays, late) = (make(), make());
    let (block, offset) = (late.allocation().memory(), late.allocation().offset());
    let frame = frames.begin().unwrap();
    drop((late, buffer(&allocator, 4096)));
    submit_nothing(frame).unwrap();
    fake.run();
    (0..300).for_each(|_| _ = allocator.collect());
    assert!(fake.gpu_write(block, offset, &[7; 4]));
    assert_eq!(allocator.check_guards().len(), 1);
    drop((stays, frames));
}

fn a_write_that_a_scrub_finds() {
    let fake = fake();
    fake.set_aliasing(true);
    let allocator = made(&desc(&fake).guards(GuardPolicy::Poison).guarded_by(GuardedBy::Gpu));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let scrub = || {
        // SAFETY: the queue is of the first family, and nobody else submits to it.
        unsafe { allocator.scrub(&frames, 0, Scrub::Due) }.unwrap();
        fake.run();
        allocator.collect();
        allocator.check_guards()
    };
    let (stays, late) = (buffer(&allocator, 64), buffer(&allocator, 4096));
    let (block, offset) = (late.allocation().memory(), late.allocation().offset());
    free(late);
    assert_eq!(scrub(), [], "it is poisoned");
    assert!(fake.gpu_write(block, offset, &[7; 4]));
    assert_eq!(scrub().len(), 1);
    drop((stays, frames));
}

#[test]
fn a_finding_of_the_gpu_is_told_with_the_scrub_that_saw_it() {
    let told = Ear::hear(a_write_that_a_scrub_finds);
    let written = of(&told, GUARD, Level::ERROR, &["memory", "offset", "words", "scrub"]);
    assert_eq!(written.len(), 1, "{told:#?}");
    assert_eq!(written[0].fields["scrub"], "2", "the second");
}

/// No scrub ever comes, and memory is short.
fn what_comes_back_unlooked() {
    let fake = fake();
    fake.set_aliasing(true);
    let desc = desc(&fake).guards(GuardPolicy::Poison).guarded_by(GuardedBy::Gpu);
    let allocator = made(&desc);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let memory = AllocationDesc::device_local();
    let arena = ArenaDesc::new(memory).block_size(1 << 20).max_blocks(1);
    let arena = allocator.create_arena(&arena).unwrap();
    let make = || arena.create_buffer(&buffer_desc(900 << 10), &memory).unwrap();
    let frame = frames.begin().unwrap();
    drop(make());
    submit_nothing(frame).unwrap();
    fake.run();
    allocator.collect();
    free(make());
    drop((arena, frames));
}

#[test]
fn a_request_that_is_granted_in_the_end_is_no_pressure() {
    let told = Ear::hear(what_comes_back_unlooked);
    of(&told, GUARD, Level::WARN, &["bytes", "count"]);
    assert!(told.iter().all(|one| one.target != PRESSURE), "{told:?}");
}

fn losses() {
    struct Broken;
    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let fake = fake();
    let desc = desc(&fake).record(Broken);
    let (allocator, second) = (made(&desc), made(&desc));
    allocator.collect();
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let frame = frames.begin().unwrap();
    fake.lose_device();
    drop(submit_nothing(frame).unwrap_err());
    drop((frames, allocator, second));
}

#[test]
fn a_lost_device_and_a_failed_record_are_told() {
    let told = Ear::hear(losses);
    of(&told, RECORD, Level::ERROR, &["error"]);
    assert_eq!(told.iter().filter(|o| o.target == RECORD && o.level == Level::WARN).count(), 1);
    of(&told, DEVICE, Level::ERROR, &[]);
}

fn a_leak() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let held = buffer(&allocator, 64);
    drop((allocator, held, frames));
}

/// Fields and levels of each target, as the table of the documentation has them.
fn documented() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let page = include_str!("../src/events.rs");
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let words = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let rows = rows.map(|row| {
        let [target, level, _, fields] = row.split('|').collect::<Vec<_>>()[..4] else {
            panic!("four columns: {row}")
        };
        let target = format!("fencepost::{}", target.trim_end_matches("`] ").to_lowercase());
        let levels = words(level).into_iter().filter(|word| word.parse::<Level>().is_ok());
        let fields = fields.split('`').skip(1).step_by(2).flat_map(words);
        (target, (levels.collect(), fields.collect()))
    });
    rows.collect()
}

/// What is told and what is documented is the same: every field, every level, of every target.
#[test]
fn nothing_is_told_that_is_not_documented_and_nothing_documented_is_never_told() {
    let mut told: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for one in SCENES.into_iter().flat_map(Ear::hear) {
        let (levels, fields) = told.entry(one.target).or_default();
        levels.insert(one.level.to_string().to_lowercase());
        fields.extend(one.fields.into_keys().filter(|f| *f != "message").map(str::to_owned));
    }
    assert_eq!(told, documented());
}

/// A subscriber is the user's code: it may ask the allocator whatever it likes.
#[test]
fn no_lock_is_held_while_an_event_is_told() {
    struct Asks(Mutex<Option<Allocator>>, mpsc::Sender<String>);
    impl<S: tracing::Subscriber> Layer<S> for &'static Asks {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let allocator = self.0.lock().unwrap().clone();
            let metadata = event.metadata();
            self.1.send(format!("{} at line {:?}", metadata.target(), metadata.line())).unwrap();
            if let Some(allocator) = allocator {
                allocator.snapshot();
                allocator.reached();
                allocator.check_guards();
            }
        }
    }
    let (heard, hears) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let asks: &'static Asks = Box::leak(Box::new(Asks(Mutex::default(), heard)));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(asks), || {
            let fake = fake();
            let desc = desc(&fake).audit(true).guards(GuardPolicy::Margins);
            let allocator = made(&desc.heap_cap(0, 64 << 20).heap_cap(1, 64 << 20));
            *asks.0.lock().unwrap() = Some(allocator.clone());
            drop(buffer(&allocator, 64));
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let own = AllocationDesc::device_local().dedicated(true);
            free(allocator.create_buffer(&buffer_desc(4096), &own).unwrap());
            let arena = ArenaDesc::new(AllocationDesc::device_local()).block_size(1 << 20);
            let arena = allocator.create_arena(&arena.min_blocks(1)).unwrap();
            allocator.create_buffer(&buffer_desc(1 << 30), &own).unwrap_err();
            let used = buffer(&allocator, 64);
            let frame = frames.begin().unwrap();
            drop(buffer(&allocator, 64));
            (0..300).for_each(|_| _ = allocator.collect());
            let point = submit_nothing(frame).unwrap();
            used.allocation().record_use(point).unwrap();
            free(used);
            (0..300).for_each(|_| _ = allocator.collect());
            drop(frames.begin().unwrap());
            fake.set_counter(frames.semaphore().unwrap(), 1000);
            allocator.collect();
            fake.set_counter(frames.semaphore().unwrap(), 0);
            fake.run();
            allocator.trim();
            let _leak = buffer(&allocator, 64);
            // SAFETY: nothing more is submitted, and nobody else uses the device.
            unsafe { allocator.shutdown() }.unwrap();
            *asks.0.lock().unwrap() = None;
            drop((arena, frames));
        });
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(Duration::from_secs(20));
    let heard: Vec<String> = hears.try_iter().collect();
    assert!(ended.is_ok(), "held a lock at the last of {} events: {:?}", heard.len(), heard.last());
    worker.join().unwrap();
    let targets: BTreeSet<_> = heard.iter().filter_map(|one| one.split(' ').next()).collect();
    assert_eq!(targets.len(), 8, "most of all there are: {targets:?}");
}
