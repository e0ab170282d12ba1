//! Snapshots, and VMA's dump of them: compared with golden files, and checked against a restatement
//! of the dump's format.

#[path = "support/scene.rs"]
mod scene;
mod support;
#[path = "support/world.rs"]
mod world;

use std::{fs, path::Path};

use fencepost::{AllocationDesc, ArenaDesc, GuardPolicy, RegionState, Scrub, Wait, fake::Profile};
use scene::{scene, snapshot};
use serde_json::Value;
use support::*;
use world::{LONG, World};

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("FENCEPOST_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} differs; FENCEPOST_BLESS=1 writes it anew");
}

#[test]
fn a_snapshot_tells_what_pending_ranges_wait_for_and_fits_its_own_figures() {
    let snapshot = snapshot();
    let regions = || snapshot.blocks().flat_map(|block| &block.regions);
    let waits: Vec<_> = regions().filter_map(|region| region.waits).collect();
    let passed_at_one = Wait::Timeline { timeline: 0, value: 1, others: 0 };
    assert_eq!(waits.len(), 2);
    assert!(waits.contains(&Wait::Recording) && waits.contains(&passed_at_one), "{waits:?}");
    for set in snapshot.memory_types().flat_map(|memory_type| &memory_type.sets) {
        let sum = |state| {
            let all = set.blocks.iter().flat_map(|block| &block.regions);
            let of_state = all.filter(|region| region.state == state);
            of_state.fold((0, 0), |(bytes, count), region| (bytes + region.size, count + 1))
        };
        let counted = &set.statistics;
        assert_eq!(sum(RegionState::Used), (counted.live, counted.live_count));
        assert_eq!(sum(RegionState::Pending), (counted.pending, counted.pending_count));
        for block in &set.blocks {
            let mut at = 0;
            for region in &block.regions {
                assert_eq!(region.offset, at, "no gaps");
                at += region.size;
            }
        }
    }
    let youngest = regions().filter(|region| region.age > 0).map(|region| region.age).min();
    assert_eq!(youngest, Some(1));
}

#[test]
fn a_snapshot_prints_who_holds_what() {
    golden("memory_report.txt", &snapshot().to_string());
    let fake = fake();
    let allocator = allocator(&fake);
    let names: Vec<String> = (0..25).map(|number| format!("thing {number:02}")).collect();
    let memory = |name| AllocationDesc::device_local().name(fencepost::intern(name));
    let many: Vec<_> = names
        .iter()
        .map(|name| allocator.create_buffer(&buffer_desc(1000), &memory(name)).unwrap())
        .collect();
    let report = allocator.snapshot().to_string();
    assert!(
        report.contains("    1.0 KiB in 1: thing 19\n    5.0 KiB of 5 other names\n"),
        "{report}"
    );
    assert!(!report.contains("thing 20"), "{report}");
    // SAFETY: nothing was submitted.
    let ended = unsafe { allocator.shutdown() }.unwrap();
    assert!(ended.leaks[0].to_string().starts_with("1024 bytes: thing "), "{}", ended.leaks[0]);
    drop(many);
}

#[test]
fn the_sequence_number_rises_with_every_change_and_only_then() {
    let fake = fake();
    let allocator = allocator(&fake);
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let number = || {
        let snapshot = allocator.snapshot();
        snapshot.memory_types().flat_map(|t| &t.sets).map(|set| set.sequence).sum::<u64>()
    };
    assert_eq!((number(), number()), (0, 0));
    let frame = frames.begin().unwrap();
    let held = buffer(&allocator, 64);
    assert_eq!((number(), number()), (1, 1));
    drop(held);
    assert_eq!(number(), 2, "retired");
    submit_nothing(frame).unwrap();
    fake.run();
    allocator.collect();
    assert_eq!(number(), 3, "free");
    drop(frames);
    drop(allocator);
    fake.finish().unwrap();
}

/// What a scrub holds was nobody's, so nobody had ended it.
#[test]
fn the_sequence_number_rises_where_scrubs_hold_what_is_free() {
    let world = World::on(&Profile::default(), GuardPolicy::Poison, |desc| desc);
    let mut last = 0;
    let mut rises = || {
        let snapshot = world.allocator.snapshot();
        let now = snapshot.memory_types().flat_map(|t| &t.sets).map(|set| set.sequence).sum();
        assert!(now > last, "{now} after {last}");
        last = now;
    };
    // Holes, each a range of its own to a scrub.
    let mut many: Vec<_> = (0..40).map(|_| world.allocate("one of many", 1 << 10)).collect();
    rises();
    let mut nth = 0;
    many.retain(|_| {
        nth += 1;
        nth % 2 == 0
    });
    rises();
    let point = world.try_scrub(Scrub::Due).unwrap().expect("there is work");
    rises();
    world.timeline.wait(point, LONG).unwrap();
    world.allocator.collect();
    rises();
    drop(many);
    world.end();
}

/// The form of VMA's dump, and what its visualiser needs beyond it.
mod form {
    use super::Value;

    type Result = std::result::Result<(), String>;

    fn object<'a>(
        value: &'a Value,
        at: &str,
    ) -> std::result::Result<&'a serde_json::Map<String, Value>, String> {
        value.as_object().ok_or_else(|| format!("{at} is no object"))
    }

    /// An object with these keys, some more that it may have, and no others.
    fn keys(value: &Value, at: &str, needed: &[&str], allowed: &[&str]) -> Result {
        let map = object(value, at)?;
        for key in needed {
            map.get(*key).ok_or_else(|| format!("{at} lacks {key}"))?;
        }
        match map
            .keys()
            .find(|key| !needed.contains(&key.as_str()) && !allowed.contains(&key.as_str()))
        {
            Some(key) => Err(format!("{at} must not have {key}")),
            None => Ok(()),
        }
    }

    fn stats(value: &Value, at: &str) -> Result {
        let counts =
            ["BlockCount", "BlockBytes", "AllocationCount", "AllocationBytes", "UnusedRangeCount"];
        let extremes =
            ["AllocationSizeMin", "AllocationSizeMax", "UnusedRangeSizeMin", "UnusedRangeSizeMax"];
        keys(value, at, &counts, &extremes)?;
        for (count, extremes) in
            [("AllocationCount", &extremes[..2]), ("UnusedRangeCount", &extremes[2..])]
        {
            let several = value[count].as_u64() > Some(1);
            if extremes.iter().any(|key| value.get(key).is_some() != several) {
                return Err(format!("{at}: extremes of {count} stand just where it is over 1"));
            }
        }
        Ok(())
    }

    fn suballocation(value: &Value, at: &str, dedicated: bool) -> Result {
        let needed: &[&str] =
            if dedicated { &["Type", "Size", "Usage"] } else { &["Offset", "Type", "Size"] };
        keys(value, at, needed, &["Usage", "CustomData", "Name"])?;
        let types = ["FREE", "UNKNOWN", "BUFFER", "IMAGE_UNKNOWN", "IMAGE_LINEAR", "IMAGE_OPTIMAL"];
        match value["Type"].as_str() {
            Some(name) if types.contains(&name) => Ok(()),
            other => Err(format!("{at} has type {other:?}")),
        }
    }

    fn pool(value: &Value, at: &str, custom: bool) -> Result {
        let needed = ["PreferredBlockSize", "Blocks", "DedicatedAllocations", "Name"];
        keys(value, at, if custom { &needed } else { &needed[..3] }, &[])?;
        for (name, block) in object(&value["Blocks"], at)? {
            let at = format!("{at}.{name}");
            for key in
                ["TotalBytes", "UnusedBytes", "Allocations", "UnusedRanges", "Suballocations"]
            {
                object(block, &at)?.get(key).ok_or_else(|| format!("{at} lacks {key}"))?;
            }
            let pieces = block["Suballocations"].as_array().ok_or("no array")?;
            let mut end = 0;
            for piece in pieces {
                suballocation(piece, &at, false)?;
                if piece["Offset"].as_u64() != Some(end) {
                    return Err(format!("{at} has a gap at {end}"));
                }
                end += piece["Size"].as_u64().ok_or("no size")?;
            }
        }
        let dedicated = value["DedicatedAllocations"].as_array().ok_or("no array")?;
        dedicated.iter().try_for_each(|piece| suballocation(piece, at, true))
    }

    pub(crate) fn check(dump: &Value) -> Result {
        keys(dump, "root", &["General", "Total", "MemoryInfo", "DefaultPools"], &["CustomPools"])?;
        stats(&dump["Total"], "Total")?;
        for (name, heap) in object(&dump["MemoryInfo"], "MemoryInfo")? {
            keys(heap, name, &["Flags", "Size", "Budget", "Stats", "MemoryPools"], &[])?;
            keys(&heap["Budget"], name, &["BudgetBytes", "UsageBytes"], &[])?;
            stats(&heap["Stats"], name)?;
            for (name, of_type) in object(&heap["MemoryPools"], name)? {
                keys(of_type, name, &["Flags", "Stats"], &[])?;
                stats(&of_type["Stats"], name)?;
            }
        }
        for (name, of_type) in object(&dump["DefaultPools"], "DefaultPools")? {
            pool(of_type, name, false)?;
        }
        let custom = dump.get("CustomPools").and_then(Value::as_object);
        for (name, pools) in custom.into_iter().flatten() {
            pools.as_array().ok_or("no array")?.iter().try_for_each(|p| pool(p, name, true))?;
        }
        Ok(())
    }
}

#[test]
fn the_dump_has_the_form_that_vma_s_visualiser_reads() {
    let snapshot = snapshot();
    let text = snapshot.to_vma_json();
    let dump: Value = serde_json::from_str(&text).unwrap();
    form::check(&dump).unwrap();
    assert!(text.contains("pending: timeline 0 >= 1 (buffer)"), "{text}");
    assert!(text.contains("pending: an open recording (buffer)"));
    let arenas: Vec<_> = dump["CustomPools"].as_object().unwrap().values().collect();
    let pieces = arenas[0].pointer("/0/Blocks/0/Suballocations").unwrap().as_array().unwrap();
    assert_eq!((arenas.len(), pieces[0]["Name"].as_str()), (1, Some("staged")));
    assert_eq!(arenas[0].pointer("/0/Name").unwrap(), "0 - streaming");
    golden("dump.json", &text);
}

#[test]
fn the_map_shows_each_state_and_escapes_names() {
    let snapshot = snapshot();
    let map = snapshot.to_svg();
    for kind in ["buffer", "image", "pending", "free"] {
        assert!(map.contains(&format!("class=\"{kind}\"")), "{kind}");
    }
    assert!(map.contains("waits for timeline 0 &gt;= 1") || map.contains("timeline 0 >= 1"));
    assert!(!map.contains("<&>") && map.contains("albedo"));
    assert!(map.contains("arena “streaming”"));
    golden("memory_map.svg", &map);
}

/// An arena's name is its own: the next that takes its lane over has another, or none.
#[test]
fn arenas_are_told_by_name() {
    let fake = fake();
    let allocator = allocator(&fake);
    let desc = ArenaDesc::new(AllocationDesc::upload());
    let names = || -> Vec<_> {
        let snapshot = allocator.snapshot();
        let sets = snapshot.memory_types().flat_map(|memory_type| &memory_type.sets);
        sets.filter(|set| set.is_arena).map(|set| set.name).collect()
    };
    let level = allocator.create_arena(&desc.name("level")).unwrap();
    let other = allocator.create_arena(&desc).unwrap();
    assert_eq!((level.name(), other.name()), (Some("level"), None));
    assert_eq!(names(), [Some("level"), None]);
    drop(level);
    let menu = allocator.create_arena(&desc.name("menu")).unwrap();
    assert_eq!(names(), [Some("menu"), None], "the lane was taken over");
    drop(menu);
    let nameless = allocator.create_arena(&desc).unwrap();
    assert_eq!((nameless.name(), names()), (None, vec![None, None]));
}

/// The control: each trap, planted, is found.
#[test]
fn a_dump_with_a_trap_in_it_is_refused() {
    let dump: Value = serde_json::from_str(&snapshot().to_vma_json()).unwrap();
    let pools = dump["DefaultPools"].as_object().unwrap();
    let of = |wanted: fn(&Value) -> bool| {
        let found = pools.iter().find(|(_, pool)| wanted(pool));
        format!("/DefaultPools/{}", found.expect("the scene has one").0)
    };
    let pool = of(|pool| pool.pointer("/Blocks/0").is_some());
    let dedicated = of(|pool| pool.pointer("/DedicatedAllocations/0").is_some());
    let arenas = dump["CustomPools"].as_object().unwrap();
    let arena = format!("/CustomPools/{}", arenas.keys().next().unwrap());
    for (place, key) in [
        (format!("{dedicated}/DedicatedAllocations/0"), "Usage"),
        (pool.clone(), "DedicatedAllocations"),
        (pool.clone(), "Blocks"),
        (format!("{arena}/0"), "Name"),
        (format!("{pool}/Blocks/0"), "Suballocations"),
        ("/Total".into(), "AllocationSizeMin"),
    ] {
        let mut broken = dump.clone();
        broken.pointer_mut(&place).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        assert!(form::check(&broken).is_err(), "{place} without {key}");
    }
    let piece = format!("{pool}/Blocks/0/Suballocations/0");
    for (place, key) in [(&piece, "Type"), (&piece, "PendingBytes"), (&"/Total".to_owned(), "Ours")]
    {
        let mut broken = dump.clone();
        broken.pointer_mut(place).unwrap()[key] = "PENDING".into();
        assert!(form::check(&broken).is_err(), "{key} in {place}");
    }
}

#[test]
fn counts_nest() {
    scene(|allocator| {
        let level = allocator.statistics();
        let a = buffer(allocator, 4096);
        let room = allocator.statistics();
        let b = buffer(allocator, 8192);
        let now = allocator.statistics();
        assert_eq!((now.since(&room).allocations, now.since(&room).live), (1, 8192));
        assert_eq!((now.since(&level).allocations, now.since(&level).live), (2, 12288));
        let heaps: u64 = now.heaps.iter().map(|heap| heap.live).sum();
        assert_eq!(heaps, now.total.live);
        assert!(now.heaps.iter().any(|heap| heap.fragmentation() > 0.0));
        drop((a, b));
        assert_eq!(allocator.statistics().since(&level).live, 0);
    });
}
