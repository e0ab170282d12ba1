//! A child process: its environment, its limits, its deadline, and its output.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::scenario::{DEVICE, NOTE, PASSED};

/// The address space of a child. SwiftShader commits every byte that it allocates, and a runaway
/// loop must end the child, not the machine.
const ADDRESS_SPACE_KIB: u64 = 6 << 20;

/// The limit for `ulimit -v`. The shadow memory of a sanitizer takes terabytes of address space, so
/// if its options are set, they must limit the memory instead (see `src/README.md`).
fn address_space() -> String {
    match std::env::var_os("ASAN_OPTIONS") {
        Some(_) => "unlimited".to_owned(),
        None => ADDRESS_SPACE_KIB.to_string(),
    }
}

/// The number of last lines that are shown of a child that failed.
const LAST_LINES: usize = 30;

/// How a child ended, and its output.
pub(super) struct Ended {
    /// `None` if it passed; otherwise what went wrong.
    pub(super) failure: Option<String>,
    /// The name of its device.
    pub(super) device: Option<String>,
    /// The lines that it wants to be shown.
    pub(super) notes: Vec<String>,
    /// Everything that it wrote.
    pub(super) output: String,
    pub(super) time: Duration,
}

impl Ended {
    /// The last lines of the output.
    pub(super) fn last_lines(&self) -> impl Iterator<Item = &str> {
        let lines: Vec<&str> = self.output.lines().collect();
        lines.into_iter().rev().take(LAST_LINES).collect::<Vec<_>>().into_iter().rev()
    }
}

/// Runs the test `name` of this program in a child. `prepare` sets its environment.
pub(super) fn run(
    name: &str,
    deadline: Duration,
    prepare: impl FnOnce(&mut Command),
) -> io::Result<Ended> {
    let log = Log::create()?;
    let start = Instant::now();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"ulimit -c 0; ulimit -v "$1" || exit 98; shift; exec "$@""#, "sh"])
        .arg(address_space())
        .arg(std::env::current_exe()?)
        .args(["--child", name])
        .stdin(Stdio::null())
        .stdout(log.writer()?)
        .stderr(log.writer()?)
        .env("RUST_BACKTRACE", "0")
        .env("MESA_SHADER_CACHE_DISABLE", "true")
        // The layer caches there which shaders are valid, by their words only, so one that was
        // valid in Vulkan 1.1 would pass in 1.0. Nothing can be cached in a path that is a file.
        .env("XDG_CACHE_HOME", std::env::current_exe()?)
        .env_remove("VK_INSTANCE_LAYERS")
        .env_remove("VK_LAYER_ENABLES");
    prepare(&mut command);
    let mut child = command.spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > deadline {
            // The shell replaced itself with the program, so this ends the program.
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let time = start.elapsed();
    let output = log.read();
    let passed = output.lines().any(|line| line == PASSED);
    let failure = match status {
        None => Some(format!("was ended at its deadline of {} s", deadline.as_secs_f32())),
        Some(status) if !status.success() => Some(format!("ended with {status}")),
        Some(_) if !passed => Some("ended before its scenario did".to_owned()),
        Some(_) => None,
    };
    let said = |prefix: &str| -> Vec<String> {
        output.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect()
    };
    Ok(Ended { failure, device: said(DEVICE).pop(), notes: said(NOTE), output, time })
}

/// A file to which a child writes both its streams, and which is deleted with its owner. With a
/// pipe, a child process of a driver that outlives the scenario would block the parent.
struct Log(PathBuf);

impl Log {
    fn create() -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("drivers-{}-{number}.log", process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        File::create(&path)?;
        Ok(Self(path))
    }

    fn writer(&self) -> io::Result<File> {
        File::options().append(true).open(&self.0)
    }

    fn read(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.0).unwrap_or_default()).into_owned()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A file that is left over is harmless.
        let _ = fs::remove_file(&self.0);
    }
}
