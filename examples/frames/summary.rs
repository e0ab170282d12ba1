//! The figures of the flight: for people, and as one line of JSON.
use super::options::Options;
use fencepost::Statistics;
use serde::Serialize;
use std::fmt;

/// The numbers. Sizes are in bytes.
#[derive(Serialize, Default)]
pub(crate) struct Summary {
    pub(crate) driver: String,
    pub(crate) seed: u64,
    pub(crate) frames: u32,
    pub(crate) seconds: f64,
    /// Whether uploads had a queue, and so a timeline, of their own.
    pub(crate) transfer_queue: bool,
    pub(crate) chunks_made: u32,
    pub(crate) chunks_dropped: u32,
    /// Resources that got memory.
    pub(crate) allocations: u64,
    /// Calls of vkAllocateMemory that it took.
    pub(crate) driver_allocations: u64,
    /// Additional calls if each resource had a memory of its own.
    pub(crate) driver_allocations_saved: u64,
    /// In use after the last frame of the flight.
    pub(crate) live: u64,
    /// Dropped by then, and waiting for the GPU.
    pub(crate) pending: u64,
    /// Taken from the driver by then.
    pub(crate) reserved: u64,
    /// The most after any frame of the flight; likewise below.
    pub(crate) peak_live: u64,
    pub(crate) peak_pending: u64,
    pub(crate) peak_reserved: u64,
    /// `vkCmdDispatch` calls of the guards' scrubs.
    pub(crate) dispatches: u64,
    /// Bytes that they checked or filled.
    pub(crate) scrubbed: u64,
    /// Allocations that outlived the allocator.
    pub(crate) leaks: usize,
    /// Bytes that the GPU still held at the very end.
    pub(crate) still_pending: u64,
}

impl Summary {
    /// Nothing has happened yet.
    pub(crate) fn new(driver: &str, options: &Options, transfer_queue: bool) -> Self {
        let driver = driver.to_owned();
        let (seed, frames) = (options.seed, options.frames);
        Self { driver, seed, frames, transfer_queue, ..Self::default() }
    }

    /// Looks at the memory as it is now: the peaks are the most that was ever seen.
    pub(crate) fn look(&mut self, now: &Statistics) {
        (self.live, self.pending, self.reserved) =
            (now.total.live, now.total.pending, now.total.reserved);
        self.peak_live = self.peak_live.max(now.total.live);
        self.peak_pending = self.peak_pending.max(now.total.pending);
        self.peak_reserved = self.peak_reserved.max(now.peak_reserved);
        self.allocations = now.total.allocations;
        self.driver_allocations = now.driver_allocations;
        self.driver_allocations_saved =
            now.total.allocations.saturating_sub(now.driver_allocations);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = if self.transfer_queue { "a transfer queue" } else { "the graphics queue" };
        writeln!(out, "{} frames in {:.1} s on {}", self.frames, self.seconds, self.driver)?;
        writeln!(out, "  chunks      {} made, {} dropped", self.chunks_made, self.chunks_dropped)?;
        writeln!(out, "  uploads     on {queues}")?;
        writeln!(
            out,
            "  allocations {}, by {} calls of vkAllocateMemory ({} saved)",
            self.allocations, self.driver_allocations, self.driver_allocations_saved
        )?;
        let line = |live, pending, reserved| {
            let [live, pending, reserved] = [live, pending, reserved].map(size);
            format!("{live} live, {pending} pending, {reserved} reserved")
        };
        writeln!(out, "  memory      {}", line(self.live, self.pending, self.reserved))?;
        let peaks = line(self.peak_live, self.peak_pending, self.peak_reserved);
        writeln!(out, "  at most     {peaks}")?;
        if self.dispatches > 0 {
            writeln!(
                out,
                "  scrubs      {} in {} dispatches",
                size(self.scrubbed),
                self.dispatches
            )?;
        }
        write!(out, "  leaks       {}", self.leaks)
    }
}

/// Bytes in the unit that suits them.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
