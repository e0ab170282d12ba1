//! A page as a real browser shows it: headless Chromium.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

/// A file for one test, which is deleted afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(ending: &str) -> Self {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("fencepost-page-{}-{number}.{ending}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn run(page: &str, hash: &str, arguments: &[&str]) -> Output {
    let file = Scratch::new("html");
    fs::write(&file.0, page).unwrap();
    let run = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(arguments)
        .arg(format!("file://{}#{hash}", file.0.display()))
        .output();
    run.unwrap_or_else(|error| {
        panic!("chromium: {error}; it is installed by: apt-get install chromium")
    })
}

/// The elements of the page after its script has run, with a word in the search field.
pub fn in_browser(page: &str, word: &str) -> String {
    String::from_utf8_lossy(&run(page, word, &["--dump-dom"]).stdout).into_owned()
}

/// The colours of the page as it is painted, in light or dark, with the number of pixels of each.
pub fn painted(page: &str, word: &str, dark: bool) -> std::collections::HashMap<[u8; 3], usize> {
    let shot = Scratch::new("png");
    let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
    let output = format!("--screenshot={}", shot.0.display());
    let done = run(page, word, &[&scheme, &output, "--window-size=1300,900"]);
    let file = fs::File::open(&shot.0).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let mut colours = std::collections::HashMap::new();
    for pixel in pixels.chunks_exact(info.color_type.samples()) {
        *colours.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
    }
    colours
}
