//! What `tracing` is told: each event of the table in `fencepost::events`, with its fields.

mod support;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    sync::{Arc, Mutex},
};

use fencepost::{
    AllocationDesc, AllocationFlags, Allocator, AllocatorDesc, GuardPolicy,
    events::{ALLOCATION, BLOCK, DEVICE, FALLBACK, GUARD, LEAK, MEMORY, PRESSURE, RECORD, WAITING},
    fake::{FakeDriver, Profile},
    vk,
};
use support::*;
use tracing::Level;
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// An event: its level, and its fields as text, the sentence as `message`.
#[derive(Clone, Debug)]
struct Told {
    target: String,
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

/// Hears everything.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Told>>>);

impl<S: tracing::Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Fields(BTreeMap<&'static str, String>);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
                self.0.insert(field.name(), format!("{value:?}"));
            }
        }
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        let metadata = event.metadata();
        let target = metadata.target().to_owned();
        self.0.lock().unwrap().push(Told { target, level: *metadata.level(), fields: fields.0 });
    }
}

impl Ear {
    /// What is told while `act` runs.
    fn hear(act: impl FnOnce()) -> Vec<Told> {
        let ear = Self::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(ear.clone()), act);
        let told = ear.0.lock().unwrap().clone();
        assert!(told.iter().all(|one| one.target.starts_with("fencepost::")), "{told:?}");
        told
    }
}

/// The events of a target, each of which has the fields that the table says.
fn of(told: &[Told], target: &str, level: Level, fields: &[&str]) -> Vec<Told> {
    let of_target = told.iter().filter(|one| one.target == target && one.level == level);
    let with = of_target.filter(|one| fields.iter().all(|field| one.fields.contains_key(field)));
    let with: Vec<_> = with.cloned().collect();
    assert!(!with.is_empty(), "no event of {target} at {level} with {fields:?}: {told:#?}");
    with
}

fn made(desc: &AllocatorDesc<'_>) -> Allocator {
    // SAFETY: the fake lives as long as the test, and the test submits through timelines.
    unsafe { Allocator::new(desc) }.unwrap()
}

#[test]
fn blocks_allocations_and_counters_are_told() {
    let told = Ear::hear(|| {
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
    });
    let blocks = of(&told, BLOCK, Level::DEBUG, &["memory_type", "bytes", "dedicated"]);
    let dedicated: Vec<_> = blocks.iter().map(|one| &*one.fields["dedicated"]).collect();
    assert_eq!(dedicated, ["false", "true"]);
    assert_eq!(blocks[1].fields["bytes"], (1 << 20).to_string());
    let all = of(&told, BLOCK, Level::DEBUG, &["memory_type", "bytes"]);
    assert_eq!(all.len(), 4, "two came, two went");
    let granted = of(
        &told,
        ALLOCATION,
        Level::TRACE,
        &["memory_type", "block", "key", "offset", "bytes", "name"],
    );
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
fn who_does_not_listen_when_the_allocator_is_made_hears_no_single_allocations() {
    let fake = fake();
    let allocator = allocator(&fake);
    let told = Ear::hear(|| drop(buffer(&allocator, 64)));
    assert!(told.iter().all(|one| one.target != ALLOCATION), "{told:?}");
    // SAFETY: nothing was submitted.
    unsafe { allocator.assume_idle() };
}

#[test]
fn fallbacks_and_pressure_are_told() {
    let told = Ear::hear(|| {
        let fake = FakeDriver::new(&Profile::default());
        let allocator = made(&desc(&fake).heap_cap(0, 1 << 20));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        // The device's own heap is capped: the host's memory is taken.
        let far = buffer(&allocator, 8 << 20);
        let only = AllocationDesc::device_local().required(vk::MemoryPropertyFlags::DEVICE_LOCAL);
        let desc = buffer_desc(2 << 30);
        assert!(allocator.create_buffer(&desc, &only).is_err());
        let quiet = only.flags(AllocationFlags::NEVER_ALLOCATE);
        assert!(allocator.create_buffer(&desc, &quiet).is_err());
        drop((far, frames, allocator));
    });
    let fallback = of(&told, FALLBACK, Level::DEBUG, &["memory_type", "bytes", "tried"]);
    assert!(fallback[0].fields["tried"].contains("OTHER_TYPES"), "{fallback:?}");
    let fields = ["heap", "requested", "largest_free", "pending", "left", "tried"];
    let pressure = of(&told, PRESSURE, Level::WARN, &fields);
    assert_eq!(pressure.len(), 1);
    assert_eq!(pressure[0].fields["requested"], (2_u64 << 30).to_string());
    assert_eq!(of(&told, PRESSURE, Level::DEBUG, &fields).len(), 1);
}

#[test]
fn smaller_blocks_are_told() {
    let told = Ear::hear(|| {
        let fake = fake();
        let allocator = made(&desc(&fake).first_block(16 << 20).heap_cap(0, 4 << 20));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let held = buffer(&allocator, 4096);
        drop((held, frames, allocator));
        fake.finish().unwrap();
    });
    let fallback = of(&told, FALLBACK, Level::DEBUG, &["memory_type", "bytes", "tried"]);
    assert!(fallback[0].fields["tried"].contains("SMALLER"), "{fallback:?}");
}

#[test]
fn leaks_are_grouped_by_name_and_place_largest_first() {
    let lines = std::cell::Cell::new((0, 0));
    let told = Ear::hear(|| {
        let fake = fake();
        let allocator = made(&desc(&fake).audit(true));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let named = |name| AllocationDesc::device_local().name(name);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(allocator.create_buffer(&buffer_desc(4096), &named("mesh")).unwrap());
        }
        let first = line!() - 2;
        held.push(allocator.create_buffer(&buffer_desc(1 << 20), &named("sky")).unwrap());
        lines.set((first, line!() - 1));
        // One that ended, into whose place another came, from elsewhere.
        drop(held.remove(0));
        held.push(buffer(&allocator, 4096));
        let report = allocator.close().unwrap();
        assert_eq!(report.leaks.len(), 4);
        assert_eq!((report.leaks[0].size, report.leaks[0].name), (1 << 20, Some("sky")));
        let origin = report.leaks[0].origin.unwrap();
        assert_eq!((origin.file(), origin.line()), (file!(), lines.get().1));
        drop((held, frames));
        fake.finish().unwrap();
    });
    let leak = of(&told, LEAK, Level::WARN, &["count", "bytes", "message"]);
    assert_eq!(leak.len(), 1, "one report");
    assert_eq!((&*leak[0].fields["count"], &*leak[0].fields["bytes"]), ("4", "1060864"));
    let message = &leak[0].fields["message"];
    let (mesh, sky) = lines.get();
    let wanted = [
        format!("1048576 bytes in 1: sky, made at {}:{sky}:", file!()),
        format!("8192 bytes in 2: mesh, made at {}:{mesh}:", file!()),
        "4096 bytes in 1: buffer, made at tests/support/mod.rs:".to_owned(),
    ];
    let places: Vec<_> = wanted.iter().map(|line| message.find(line.as_str())).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{message}\n{wanted:?}");
}

#[test]
fn whichever_door_made_it_the_place_is_the_users() {
    let fake = fake();
    let allocator = made(&desc(&fake).audit(true));
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let memory = AllocationDesc::upload();
    let (desc, image) = (buffer_desc(4096), vk::ImageUsageFlags::SAMPLED);
    let image = fencepost::ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, 4, 4, image);
    let wanted = vk::MemoryRequirements { size: 64, alignment: 64, memory_type_bits: !0 };
    let kind = fencepost::ResourceKind::Linear;
    let arena = allocator.create_arena(&fencepost::ArenaDesc::new(memory)).unwrap();
    let local = AllocationDesc::device_local();
    let first = line!() + 2;
    let held = (
        allocator.create_image(&image, &local).unwrap(),
        allocator.allocate(&wanted, kind, &memory).unwrap(),
        allocator.allocate_many(&[wanted], kind, &memory).unwrap(),
        arena.create_buffer(&desc, &memory).unwrap(),
        arena.allocate(&wanted, kind, &memory).unwrap(),
        allocator.create_ring(&desc, &memory).unwrap(),
        allocator.create_buffer_init(&desc, &memory, &[1u32]).unwrap(),
        // SAFETY: nothing uses it.
        unsafe { allocator.create_buffer_ordered(&desc, &local, &frames).unwrap() },
        // SAFETY: as above.
        unsafe { allocator.allocate_ordered(&wanted, kind, &local, &frames).unwrap() },
    );
    let last = line!() - 1;
    let mut report = allocator.close().unwrap();
    report.leaks.sort_by_key(|leak| leak.origin);
    assert_eq!(report.leaks.len(), 9);
    for leak in &report.leaks {
        let origin = leak.origin.unwrap();
        assert!(origin.file() == file!() && (first..last).contains(&origin.line()), "{origin}");
    }
    let mut lines: Vec<_> = report.leaks.iter().map(|leak| leak.origin.unwrap().line()).collect();
    lines.dedup();
    assert_eq!(lines.len(), 9, "each its own");
    drop((held, arena, frames));
}

#[test]
fn a_report_of_leaks_has_a_bounded_length_and_no_places_unless_audited() {
    const NAMES: [&str; 30] = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
        "s", "t", "u", "v", "w", "x", "y", "z", "aa", "bb", "cc", "dd",
    ];
    let told = Ear::hear(|| {
        let fake = fake();
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let held: Vec<_> = NAMES
            .iter()
            .map(|name| {
                let memory = AllocationDesc::device_local().name(name);
                allocator.create_buffer(&buffer_desc(256), &memory).unwrap()
            })
            .collect();
        let report = allocator.close().unwrap();
        assert!(report.leaks.iter().all(|leak| leak.origin.is_none()));
        drop((held, frames));
    });
    let leak = &of(&told, LEAK, Level::WARN, &["count"])[0];
    let message = &leak.fields["message"];
    assert_eq!(message.lines().count(), 1 + 20 + 1, "{message}");
    assert!(message.ends_with("and of 10 other names or places"), "{message}");
    assert!(!message.contains("made at"));
}

#[test]
fn what_waits_is_told_by_name() {
    let told = Ear::hear(|| {
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
    });
    assert_eq!(of(&told, WAITING, Level::WARN, &["allocation"]).len(), 2);
    let open = of(&told, WAITING, Level::WARN, &["allocation", "recording"]);
    assert_eq!(open[0].fields["allocation"], "\"buffer\"");
    assert_eq!(of(&told, WAITING, Level::WARN, &["recording"]).len(), 2, "and its drop");
}

#[test]
fn a_still_timeline_and_work_pending_at_the_end_are_told() {
    let told = Ear::hear(|| {
        let fake = fake();
        let allocator = made(&desc(&fake).audit(true).end_policy(fencepost::EndPolicy::Keep));
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        fake.set_stalled(fake.queue(0), true);
        let frame = frames.begin().unwrap();
        drop(buffer(&allocator, 64));
        submit_nothing(frame).unwrap();
        for _ in 0..300 {
            allocator.collect();
        }
        drop((frames, allocator));
    });
    let still = of(&told, WAITING, Level::WARN, &["reached", "submitted", "allocation"]);
    assert_eq!(still[0].fields["submitted"], "1");
    of(&told, WAITING, Level::WARN, &["bytes"]);
}

#[test]
fn a_lost_device_guards_and_a_failed_record_are_told() {
    struct Broken;
    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let told = Ear::hear(|| {
        let fake = fake();
        let desc = desc(&fake).record(Broken).guards(GuardPolicy::Poison);
        let (allocator, second) = (made(&desc), made(&desc));
        allocator.collect();
        let own = AllocationDesc::device_local().dedicated(true);
        drop(allocator.create_buffer(&buffer_desc(4096), &own).unwrap());
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let frame = frames.begin().unwrap();
        fake.lose_device();
        drop(submit_nothing(frame).unwrap_err());
        drop((frames, allocator, second));
    });
    of(&told, RECORD, Level::ERROR, &["error"]);
    assert_eq!(told.iter().filter(|o| o.target == RECORD && o.level == Level::WARN).count(), 1);
    of(&told, DEVICE, Level::ERROR, &[]);
    of(&told, GUARD, Level::WARN, &["memory_type", "size"]);
}
