//! The HTML page in a real browser: what it shows, how it looks, and what it finds; and the example
//! that makes it.

#[path = "support/browser.rs"]
mod browser;
#[allow(dead_code, reason = "the test enters the example below its main")]
#[path = "../examples/memory_map.rs"]
mod memory_map;
#[path = "support/scene.rs"]
mod scene;
mod support;

use std::{fs, path::Path, time::Instant};

use browser::{in_browser, painted};
use fencepost::record::Record;
use scene::{crowd, snapshot};
use serde_json::Value;

fn recorded() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/record.trace")
}

#[test]
fn a_browser_shows_the_page_and_finds_by_name() {
    let page = snapshot().to_html();
    let found = in_browser(&page, "albedo");
    assert!(found.contains(">1 of 6 allocations</output>"), "{found}");
    assert!(found.contains("class=\"pending\""));
    let none = in_browser(&page, "no such name");
    assert!(none.contains(">0 of 6 allocations</output>"), "the control");
}

const BUFFER: [u8; 3] = [0x2f, 0x7f, 0xc1];
const IMAGE: [u8; 3] = [0xe6, 0x9f, 0x00];
const PENDING: [u8; 3] = [0xb5, 0x51, 0x9b];

/// What is painted, and not only in the document: ground and kinds in both schemes, and less where
/// nothing was found.
#[test]
fn the_page_is_painted_in_light_and_dark() {
    let record = Record::parse(&fs::read_to_string(recorded()).unwrap()).unwrap();
    let page = snapshot().to_html_with(&record);
    let (dark, light) = (painted(&page, "", true), painted(&page, "no such name", false));
    for (colours, ground) in [(&dark, [0x0d, 0x11, 0x17]), (&light, [0xff; 3])] {
        let most = colours.iter().max_by_key(|(_, pixels)| **pixels).unwrap();
        assert_eq!(*most.0, ground);
        for kind in [BUFFER, PENDING] {
            // The curves, of which no search dims anything.
            assert!(colours.get(&kind).is_some_and(|&pixels| pixels > 1000), "{kind:?}");
        }
    }
    let swatch = 14 * 14;
    assert!(dark[&IMAGE] > swatch + 100 && light[&IMAGE] <= swatch, "the map is dimmed");
}

#[test]
fn a_browser_shows_the_time_line_of_a_record() {
    let record = Record::parse(&fs::read_to_string(recorded()).unwrap()).unwrap();
    let shown = in_browser(&snapshot().to_html_with(&record), "");
    assert!(shown.contains("Over time") && shown.contains("class=\"curve\""));
    assert!(shown.contains("0.017 s: 2 MiB live, 1 MiB pending"));
    assert!(!snapshot().to_html().contains("Over time"), "the control");
}

/// Its size in bytes.
fn page_of(many: usize) -> usize {
    let mut page = String::new();
    crowd(many, |allocator| page = allocator.snapshot().to_html());
    let start = Instant::now();
    let all = in_browser(&page, "");
    println!("{many}: {} bytes, {} ms in the browser", page.len(), start.elapsed().as_millis());
    let thousands = |count: usize| format!("{},{:03}", count / 1000, count % 1000);
    let total = thousands(many + 1);
    let count = format!(">{total} of {total} allocations, the first 500 listed</output>");
    assert!(all.contains(&count), "{}", all.chars().take(4000).collect::<String>());
    assert_eq!(all.matches("<tr class=").count(), 500);
    assert!(!all.contains("region dim"));
    let needle = in_browser(&page, "needle");
    assert!(needle.contains(&format!(">1 of {total} allocations</output>")), "the one among many");
    assert_eq!(needle.matches("<tr class=").count(), 1);
    assert!(needle.contains("<td>&lt;/script&gt;&lt;b&gt;needle</td>"));
    // On the map too, where it is drawn together with its neighbours.
    let bright = |page: &str| page.matches("class=\"region\"").count();
    assert_eq!(bright(&needle), 1, "{} of {}", bright(&needle), bright(&all));
    page.len()
}

#[test]
fn a_page_of_many_allocations_is_shown_piece_by_piece() {
    page_of(3000);
}

#[test]
#[ignore = "deep: a page of some megabytes in a browser, twice"]
fn a_page_of_a_hundred_thousand_allocations_is_readable() {
    let bytes = page_of(100_000);
    assert!(bytes < 5 << 20, "{bytes} bytes");
}

/// The example as its user runs it, and what it wrote, read back.
#[test]
fn the_example_draws_its_scene_and_a_record() {
    let folder = std::env::temp_dir().join(format!("fencepost-map-{}", std::process::id()));
    let out = folder.to_str().unwrap();
    memory_map::enter(["memory_map", out]).unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let found = in_browser(&read("memory_map.html"), "terrain");
    assert!(found.contains(">49 of 199 allocations</output>"), "{found}");
    assert!(read("memory_map.svg").contains("waits for an open recording"));
    let dump: Value = serde_json::from_str(&read("memory_map.json")).unwrap();
    assert_eq!(dump["Total"]["AllocationCount"], 199);
    assert!(!folder.join("timeline.svg").exists(), "that is of a record");

    memory_map::enter(["memory_map", out, "--record", recorded().to_str().unwrap()]).unwrap();
    assert!(read("memory_map.html").contains("Over time"));
    assert!(read("timeline.svg").contains("class=\"curve\""));
    let events: Value = serde_json::from_str(&read("perfetto.json")).unwrap();
    assert!(events["traceEvents"].as_array().is_some_and(|events| events.len() > 10));
    fs::remove_dir_all(&folder).unwrap();
    // A record that is none is refused by its line, and nothing is written.
    let bad = recorded().with_file_name("dump.json");
    let refused = memory_map::enter(["memory_map", out, "--record", bad.to_str().unwrap()]);
    assert!(refused.unwrap_err().to_string().contains("line 1"));
    assert!(!folder.exists());
}
