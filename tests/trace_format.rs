//! The parser of traces: what it accepts, what it refuses and in which line, and that the shipped
//! traces match their headers.

#![allow(dead_code, reason = "the example uses more of these files than the tests do")]

#[path = "../examples/replay/file.rs"]
mod file;
#[path = "../examples/replay/touch.rs"]
mod touch;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fencepost::{
    ResourceKind,
    record::{DamagedLine, Fault, Intent, Operation, Record},
};
use file::ReadError;

const SMALL: &str = "# from a program
a 0 4096 64 b u
a 1 1000 16 i d
s

p
f 0
a 2 4 256 b r
s
";

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/traces");
    let files = folder.read_dir().expect("the traces are there").map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|ending| ending == "zst")).collect()
}

/// A small generator of numbers, SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

/// Three fixed seeds and a fresh one, which is printed.
fn seeds() -> impl Iterator<Item = u64> {
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    eprintln!("fresh seed: {fresh}");
    [1, 2, 3, fresh].into_iter()
}

#[test]
fn a_trace_is_read_line_by_line() {
    let trace = Record::parse(SMALL).unwrap();
    let operations = [
        Operation::Allocate(0),
        Operation::Allocate(1),
        Operation::Submit,
        Operation::Present,
        Operation::Free(0),
        Operation::Allocate(2),
        Operation::Submit,
    ];
    assert_eq!(trace.operations(), operations);
    assert_eq!(trace.requests().len(), 3);
    assert!(trace.presents());
    let image = trace.requests()[1];
    assert_eq!((image.size.get(), image.alignment), (1000, 16));
    assert_eq!((image.kind, image.intent), (ResourceKind::Optimal, Intent::DeviceLocal));
    let peak = trace.peak();
    assert_eq!((peak.bytes, peak.count), (5096, 2));
    assert_eq!((peak.device_local_bytes, peak.host_bytes), (1000, 4096));
}

#[test]
fn a_damaged_line_is_refused_with_its_number() {
    let cases = [
        ("x", Fault::UnknownOperation),
        ("allocate 3", Fault::UnknownOperation),
        ("a", Fault::Allocation),
        ("a 3 16 16 b", Fault::Allocation),
        ("a 3 16 16 b d d", Fault::Allocation),
        ("a 3 16 16 x d", Fault::Allocation),
        ("a 3 16 16 b x", Fault::Allocation),
        ("a 3 +16 16 b d", Fault::Allocation),
        ("a -3 16 16 b d", Fault::Allocation),
        ("a 3 18446744073709551616 16 b d", Fault::Allocation),
        ("a 3 0 16 b d", Fault::ZeroSize),
        ("a 3 16 0 b d", Fault::Alignment(0)),
        ("a 3 16 48 b d", Fault::Alignment(48)),
        ("a 2 16 16 b d", Fault::IdentifierOrder { found: 2, expected: 3 }),
        ("a 4 16 16 b d", Fault::IdentifierOrder { found: 4, expected: 3 }),
        ("f", Fault::Free),
        ("f one", Fault::Free),
        ("f 1 2", Fault::Free),
        ("f 3", Fault::UnknownIdentifier(3)),
        ("f 0", Fault::FreedTwice(0)),
        ("s 1", Fault::Submission),
        ("p p", Fault::Fields('p')),
    ];
    for (bad, fault) in cases {
        let text = format!("{SMALL}{bad}\ns\n");
        assert_eq!(Record::parse(&text), Err(DamagedLine { line: 10, fault }), "{bad}");
    }
    // The control: the same text around lines that are well.
    for good in ["", "# x", "a 3 16 16 b d", "a\t3  16 16 b d", "f 1", "s", "p"] {
        assert!(Record::parse(&format!("{SMALL}{good}\ns\n")).is_ok(), "{good}");
    }
}

#[test]
fn every_shipped_trace_is_what_its_header_says() {
    let files = shipped();
    assert_eq!(files.len(), 7);
    for path in files {
        let trace = file::read(&path, false).unwrap();
        let header = header(&path);
        let count = |wanted: fn(&Operation) -> bool| {
            trace.operations().iter().filter(|operation| wanted(operation)).count() as u64
        };
        let peak = trace.peak();
        let found = [
            ("peak_live_bytes", peak.bytes),
            ("peak_live_count", peak.count as u64),
            ("allocs", trace.requests().len() as u64),
            ("frees", count(|operation| matches!(operation, Operation::Free(_)))),
            ("submits", count(|operation| *operation == Operation::Submit)),
        ];
        for (name, found) in found {
            assert_eq!(header.get(name), Some(&found), "{name} of {}", path.display());
        }
    }
}

/// The `name=number` fields of a trace's comments.
fn header(path: &Path) -> HashMap<String, u64> {
    let packed = std::fs::read(path).unwrap();
    let mut text = String::new();
    let mut frame = ruzstd::decoding::StreamingDecoder::new(&packed[..]).unwrap();
    std::io::Read::read_to_string(&mut frame, &mut text).unwrap();
    text.lines()
        .filter(|line| line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .filter_map(|field| field.split_once('='))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

#[test]
fn truncation_and_scale_change_only_what_they_say() {
    let whole = Record::parse(SMALL).unwrap();
    assert_eq!(whole.clone().truncated(usize::MAX), whole);
    assert_eq!(whole.clone().scaled(1.0), whole);
    let short = whole.clone().truncated(4);
    assert_eq!(short.operations(), &whole.operations()[..4]);
    assert_eq!(short.requests().len(), 2);
    let third = whole.clone().scaled(3.0);
    let sizes: Vec<u64> = (0..3).map(|id| third.requests()[id].size.get()).collect();
    assert_eq!(sizes, [1366, 334, 2]);
    assert_eq!(third.operations(), whole.operations());
    assert_eq!(whole.scaled(1e300).requests()[0].size.get(), 1, "no size becomes 0");
}

#[test]
fn the_peak_is_that_of_a_plain_count() {
    for seed in seeds() {
        let mut random = Random(seed);
        let (mut text, mut sizes, mut alive) = (String::new(), Vec::new(), Vec::new());
        let (mut most_bytes, mut most_count) = (0, 0);
        for _ in 0..2000 {
            if alive.is_empty() || random.below(5) < 3 {
                let size = random.below(1 << 20) + 1;
                let intent = ["d", "u", "r"][random.below(3) as usize];
                text += &format!("a {} {size} 16 b {intent}\n", sizes.len());
                alive.push(sizes.len());
                sizes.push(size);
            } else {
                let at = random.below(alive.len() as u64) as usize;
                text += &format!("f {}\n", alive.swap_remove(at));
            }
            most_bytes = most_bytes.max(alive.iter().map(|id| sizes[*id]).sum());
            most_count = most_count.max(alive.len());
        }
        let peak = Record::parse(&text).unwrap().peak();
        assert_eq!((peak.bytes, peak.count), (most_bytes, most_count), "seed {seed}");
    }
}

#[test]
fn damaged_files_are_refused_and_never_panic() {
    let packed = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/traces/supertuxkart-vulkan.trace.zst"),
    )
    .unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let read = |name: &str, bytes: &[u8]| {
        let path = folder.join(format!("{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let read = file::read(&path, false);
        std::fs::remove_file(path).unwrap();
        read
    };
    assert!(read("whole", &packed).is_ok());
    let twice = [&packed[..], &packed[..]].concat();
    // Both frames are unpacked: the second begins anew, which is an error of its first allocation.
    let second = read("two-frames", &twice).unwrap_err();
    assert!(matches!(
        second,
        ReadError::Line(DamagedLine { line, fault: Fault::IdentifierOrder { found: 0, .. } })
            if line > 30_000
    ));
    assert!(matches!(read("cut", &packed[..packed.len() / 2]), Err(ReadError::Packed)));
    assert!(matches!(read("empty", b""), Err(ReadError::Empty)));
    assert!(matches!(read("comments", b"# nothing\n"), Err(ReadError::Empty)));
    assert!(matches!(read("bytes", &[0xff, 0xfe]), Err(ReadError::NotText)));
    assert!(matches!(file::read(&folder.join("no such file"), false), Err(ReadError::File(_))));
    for seed in seeds() {
        let mut random = Random(seed);
        for _ in 0..60 {
            let mut damaged = packed.clone();
            let at = random.below(damaged.len() as u64) as usize;
            damaged[at] ^= 1 << random.below(8);
            // The checksum covers the text; a flip in the header may leave the text as it is.
            if let Ok(trace) = read("flipped", &damaged) {
                assert_eq!(trace.requests().len(), 862, "seed {seed}, byte {at}");
            }
        }
    }
}

#[test]
fn touched_words_are_the_first_the_last_and_one_per_64_kib() {
    let small: Vec<u64> = touch::offsets(4, 16).collect();
    assert_eq!(small, [0]);
    assert_eq!(touch::offsets(8, 16).collect::<Vec<_>>(), [0, 4]);
    assert_eq!(touch::offsets(64 << 10, 16).collect::<Vec<_>>(), [0, 65532]);
    assert_eq!(touch::offsets((64 << 10) + 4, 16).collect::<Vec<_>>(), [0, 65536]);
    for seed in seeds() {
        let mut random = Random(seed);
        for _ in 0..500 {
            let magnitude = 2 + random.below(32);
            let size = (random.below(1 << magnitude) / 4 + 1) * 4;
            let most = 2 + random.below(20_000);
            let offsets: Vec<u64> = touch::offsets(size, most).collect();
            assert_eq!((offsets[0], *offsets.last().unwrap()), (0, size - 4));
            assert!(offsets.len() as u64 <= most, "{size} bytes, at most {most}");
            assert!(offsets.windows(2).all(|pair| pair[0] + 4 <= pair[1]));
            if size.div_ceil(64 << 10) < most {
                assert!(offsets.windows(2).all(|pair| pair[1] - pair[0] <= 64 << 10));
            }
        }
    }
}

#[test]
fn the_words_of_different_allocations_differ_and_name_their_writer() {
    let words: HashSet<u32> =
        (0..2000).flat_map(|id| (0..4).map(move |index| touch::pattern(id, index))).collect();
    assert!(words.len() > 7995, "8000 words of 32 bits hardly collide");
    assert_eq!(touch::writer_of(touch::pattern(1234, 1), 2000), Some(1234));
    assert_eq!(touch::writer_of(touch::pattern(1234, 1), 1000), None);
}
