//! The `frames` example as its user runs it: short flights on two real drivers, the files that they
//! write, and one sentence for each invalid input.
//!
//! Each flight is a separate process: this test program, started again as [`the_flying_process`].
//! `FENCEPOST_DRIVERS=lavapipe` omits SwiftShader.

#[allow(dead_code, reason = "the tests enter the example below its command line")]
#[path = "../examples/frames/main.rs"]
mod frames;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, exit};

use serde_json::Value;
use svg::node::element::tag;
use svg::parser::Event;

/// The drivers that `FENCEPOST_DRIVERS` names, or both.
fn drivers() -> impl Iterator<Item = &'static str> {
    let named = std::env::var("FENCEPOST_DRIVERS").ok();
    let wanted = move |name: &&str| named.as_ref().is_none_or(|named| named.contains(*name));
    ["lavapipe", "swiftshader"].into_iter().filter(wanted)
}

/// Carries a command line to [`the_flying_process`].
const ARGUMENTS: &str = "FRAMES_TEST_ARGUMENTS";

/// No test by itself: the process that the others start, which is the example.
#[test]
fn the_flying_process() {
    if let Ok(arguments) = std::env::var(ARGUMENTS) {
        let code = frames::enter(std::iter::once("frames").chain(arguments.lines()));
        exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
    }
}

fn command(arguments: &[&str]) -> Command {
    // One thread: the example sets the environment up before it starts any.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_flying_process", "--nocapture", "--test-threads=1"])
        .env(ARGUMENTS, arguments.join("\n"));
    command
}

fn start(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// A folder for one test, empty at first and gone in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("frames-{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Flies, holds that all went well, and returns the summary.
fn fly(folder: &Folder, arguments: &[&str]) -> Value {
    let output = start(&[&["--json", "--out", folder.path()], arguments].concat());
    let sentence = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {sentence}");
    let text = String::from_utf8(output.stdout).unwrap();
    // The test harness has begun the first line, and nothing follows the summary.
    let json = &text[text.find('{').expect("a line of JSON")..];
    assert_eq!(json.lines().count(), 1, "{json}");
    let summary: Value = serde_json::from_str(json).unwrap();
    assert_eq!((&summary["leaks"], &summary["still_pending"]), (&0.into(), &0.into()), "{summary}");
    summary
}

fn number(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("{name} of {summary}"))
}

/// The size and the pixels of the picture.
fn picture(folder: &Folder) -> (u32, u32, Vec<u8>) {
    let file = BufReader::new(File::open(folder.0.join("landscape.png")).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgba);
    (info.width, info.height, pixels)
}

/// How many colours a picture has.
fn colours(pixels: &[u8]) -> usize {
    let mut colours: Vec<_> = pixels.chunks_exact(4).collect();
    colours.sort_unstable();
    colours.dedup();
    colours.len()
}

/// How many rectangles of each class a drawing has, and how many names to point at.
fn rectangles(text: &str) -> (BTreeMap<String, usize>, usize) {
    let (mut classes, mut titles, mut open) = (BTreeMap::new(), 0, Vec::new());
    for event in svg::read(text).unwrap() {
        match event {
            Event::Tag(name, tag::Type::Start, _) => open.push(name.to_owned()),
            Event::Tag(name, tag::Type::End, _) => assert_eq!(open.pop().as_deref(), Some(name)),
            Event::Error(error) => panic!("not an SVG: {error}"),
            _ => {}
        }
        if let Event::Tag(name, tag::Type::Start | tag::Type::Empty, attributes) = event {
            titles += usize::from(name == "title");
            if let Some(class) = attributes.get("class").filter(|_| name == "rect") {
                *classes.entry(class.to_string()).or_default() += 1;
            }
        }
    }
    assert!(open.is_empty(), "unclosed: {open:?}");
    (classes, titles)
}

#[test]
fn a_short_flight_is_clean_and_leaves_two_pictures_on_both_drivers() {
    for driver in drivers() {
        let folder = Folder::new(driver);
        let arguments = ["--driver", driver, "--frames", "8", "--size", "120x90", "--validate"];
        let summary = fly(&folder, &arguments);
        let name = summary["driver"].as_str().unwrap().to_lowercase();
        assert!(name.contains(if driver == "lavapipe" { "llvmpipe" } else { driver }), "{name}");
        assert_eq!(number(&summary, "frames"), 8);
        assert!(number(&summary, "chunks_made") >= 8, "{summary}");

        let (width, height, pixels) = picture(&folder);
        assert_eq!((width, height), (120, 90));
        assert!(colours(&pixels) > 1000, "{} colours", colours(&pixels));

        let drawing = fs::read_to_string(folder.0.join("memory.svg")).unwrap();
        let (classes, titles) = rectangles(&drawing);
        for class in ["buffer", "image", "pending", "free"] {
            // One is in the legend.
            assert!(classes.get(class).is_some_and(|&count| count > 1), "{class}: {classes:?}");
        }
        assert!(titles > 50, "{titles} names");
        assert!(drawing.contains("ground texture") && drawing.contains("staging"));
    }
}

/// A whole renderer keeps to its ranges, and the scrubs in its frames race with nothing of it.
#[test]
fn a_flight_under_guards_is_not_accused() {
    for driver in drivers() {
        let folder = Folder::new(&format!("guards-{driver}"));
        let flight = ["--driver", driver, "--frames", "4", "--size", "16x16", "--guards", "full"];
        let by_host = fly(&folder, &flight);
        let by_gpu = fly(&folder, &[&flight[..], &["--scrub", "--validate"]].concat());
        assert_eq!(by_host["allocations"], by_gpu["allocations"]);
        let pending = [&by_host, &by_gpu].map(|summary| number(summary, "peak_pending"));
        assert!(pending[1] > pending[0], "what ended waits for scrubs: {pending:?}");
    }
}

#[test]
fn memory_is_used_again_and_the_driver_is_asked_seldom() {
    for driver in drivers() {
        let folder = Folder::new(&format!("stream-{driver}"));
        let summary = fly(&folder, &["--driver", driver, "--frames", "80", "--size", "16x16"]);
        let of = |name| number(&summary, name);
        assert!(of("chunks_dropped") > 10, "{summary}");
        assert!(of("allocations") > 20 * of("driver_allocations"), "{summary}");
        assert_eq!(of("driver_allocations_saved"), of("allocations") - of("driver_allocations"));
        assert!(of("peak_reserved") >= of("peak_live").max(of("peak_pending")), "{summary}");
        assert!(of("peak_live") >= of("live") && of("live") > 0, "{summary}");
        assert!(of("peak_pending") > 0, "{summary}");
        assert!(of("peak_reserved") < 64 << 20, "{summary}");
    }
}

#[test]
fn one_seed_is_one_world_and_another_is_another() {
    for driver in drivers() {
        let look = |name: &str, seed| {
            let folder = Folder::new(&format!("{name}-{driver}"));
            let arguments =
                ["--driver", driver, "--frames", "5", "--size", "64x48", "--seed", seed];
            fly(&folder, &arguments);
            picture(&folder)
        };
        assert!(look("first", "3") == look("again", "3"), "{driver} draws one seed in two ways");
        assert!(look("one", "3") != look("other", "4"), "{driver} draws two seeds alike");
    }
}

/// Runs it and holds that it fails with one sentence: the sentence.
fn refusal(arguments: &[&str]) -> String {
    sentence(start(arguments))
}

fn sentence(output: Output) -> String {
    assert!(!output.status.success(), "it went through");
    let text = String::from_utf8(output.stderr).unwrap();
    let sentence = text.strip_prefix("frames: ").unwrap_or_else(|| panic!("{text}")).trim_end();
    assert_eq!(sentence.lines().count(), 1, "one sentence: {sentence}");
    sentence.to_owned()
}

#[test]
fn an_unknown_driver_ends_in_a_sentence_with_the_line_that_installs_one() {
    let folder = Folder::new("voodoo");
    let sentence = refusal(&["--driver", "voodoo", "--out", folder.path()]);
    assert!(sentence.contains("no Vulkan device is called voodoo"), "{sentence}");
    assert!(sentence.contains("apt-get install"), "{sentence}");
}

#[test]
fn a_folder_that_cannot_be_written_ends_in_a_sentence() {
    let beneath_a_file = format!("{}/out", std::env::current_exe().unwrap().display());
    let sentence = refusal(&["--out", &beneath_a_file]);
    assert!(
        sentence.starts_with(&format!("cannot make the folder {beneath_a_file}")),
        "{sentence}"
    );

    let folder = Folder::new("taken");
    fs::create_dir_all(folder.0.join("landscape.png")).unwrap();
    let sentence = refusal(&["--out", folder.path()]);
    assert!(sentence.contains("landscape.png: "), "{sentence}");
}

#[test]
fn a_validation_layer_that_is_missing_is_not_passed_over() {
    let folder = Folder::new("unwatched");
    fs::create_dir_all(&folder.0).unwrap();
    let arguments = ["--frames", "1", "--size", "16x16", "--validate", "--out", folder.path()];
    // Layers are looked for in this folder, which holds none.
    let sentence = sentence(command(&arguments).env("VK_LAYER_PATH", &folder.0).output().unwrap());
    assert!(sentence.contains("the Vulkan validation layer is missing"), "{sentence}");
}

#[test]
fn bad_arguments_end_in_a_sentence() {
    for (arguments, word) in [
        (&["--frames", "0"][..], "--frames"),
        (&["--frames", "many"], "--frames"),
        (&["--size", "640"], "1280x720"),
        (&["--size", "15x720"], "16"),
        (&["--size", "640x4096"], "2048"),
        (&["--size=-1x-1"], "--size"),
        (&["--seed", "1.5"], "--seed"),
        (&["--fast"], "--fast"),
    ] {
        let sentence = refusal(arguments);
        assert!(sentence.contains(word), "{arguments:?}: {sentence}");
    }
}
