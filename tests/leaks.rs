//! What is still live at the end is reported: by name and source location, largest first, once.

#[path = "support/ear.rs"]
mod ear;
mod support;

use std::{env, process::Command};

use ear::{Ear, of};
use fencepost::{AllocationDesc, events::LEAK, vk};
use support::*;
use tracing::Level;

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
fn a_shutdown_reports_what_lives_and_its_handles_are_inert() {
    let told = Ear::hear(|| {
        let fake = fake();
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let pending = frames.begin().unwrap();
        let (held, dropped) = (buffer(&allocator, 4096), buffer(&allocator, 64));
        drop(dropped);
        submit_nothing(pending).unwrap();
        // SAFETY: nothing else uses the device, and nothing more is submitted.
        let report = unsafe { allocator.shutdown() }.unwrap();
        assert_eq!(report.leaks.len(), 1, "what was dropped is no leak, pending or not");
        assert_eq!((report.leaks[0].size, report.leaks[0].name), (4096, Some("buffer")));
        // SAFETY: as above.
        assert_eq!(unsafe { allocator.shutdown() }.unwrap().leaks, [], "told once");
        drop((held, frames, allocator));
        fake.finish().unwrap();
    });
    let leak = of(&told, LEAK, Level::WARN, &["count", "bytes"]);
    assert_eq!(leak.len(), 1, "told once: {told:#?}");
    assert_eq!((&*leak[0].fields["count"], &*leak[0].fields["bytes"]), ("1", "4096"));
}

#[test]
fn a_clean_shutdown_reports_nothing() {
    let told = Ear::hear(|| {
        let fake = fake();
        let allocator = allocator(&fake);
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        drop(buffer(&allocator, 4096));
        // SAFETY: nothing else uses the device, and nothing more is submitted.
        assert_eq!(unsafe { allocator.shutdown() }.unwrap().leaks, []);
        drop((frames, allocator));
    });
    assert!(told.iter().all(|one| one.target != LEAK), "{told:#?}");
}

#[inline(never)]
fn load_a_level(
    allocator: &fencepost::Allocator,
    names: &[&'static str],
) -> Vec<fencepost::Buffer> {
    let named = |name| AllocationDesc::device_local().name(name);
    let made = |&name| allocator.create_buffer(&buffer_desc(256), &named(name)).unwrap();
    names.iter().map(made).collect()
}

#[test]
#[ignore = "a child process of the next test, with an environment of its own"]
fn leaks_of_a_child() {
    let told = Ear::hear(|| {
        let fake = fake();
        let allocator = made(&desc(&fake).audit(true));
        let held = load_a_level(&allocator, &["sky", "mesh", "lamp", "tree"]);
        drop((allocator, held));
    });
    println!("{}", of(&told, LEAK, Level::WARN, &["count"])[0].fields["message"]);
}

/// The standard library asks the environment once, so each answer needs a process.
#[test]
fn the_largest_groups_have_backtraces_where_the_environment_asks_for_them() {
    for (asked, traced) in [("1", 3), ("0", 0)] {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "leaks_of_a_child", "--include-ignored", "--nocapture"]);
        let output = child.env("RUST_LIB_BACKTRACE", asked).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told.matches("made at").count(), 4, "{told}");
        let frames = told.lines().filter(|line| line.ends_with("leaks::load_a_level"));
        assert_eq!(frames.count(), traced, "one backtrace a group, of three: {told}");
    }
}
