//! The output of a replay: lines for people, or one line of JSON.

use std::fmt;

use fencepost::record::Record;
use serde::Serialize;

use super::replayer::Outcome;
use super::setup::Played;
use super::stop::Stop;

/// Everything that is printed about one trace. Sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) trace: String,
    pub(crate) driver: String,
    pub(crate) settings: String,
    pub(crate) operations: usize,
    pub(crate) allocations: usize,
    pub(crate) submits: u64,
    pub(crate) most_in_flight: usize,
    pub(crate) scale: f64,
    /// The peak of reserved over the peak of live bytes.
    pub(crate) footprint: f64,
    pub(crate) peak_reserved: u64,
    pub(crate) peak_live: u64,
    pub(crate) peak_pending: u64,
    /// The bytes that were pending at the peak of reserved bytes.
    pub(crate) pending_at_peak: u64,
    /// The peak of live and pending bytes together.
    pub(crate) peak_held: u64,
    /// The peak of the number of live allocations.
    pub(crate) peak_count: usize,
    /// The peak of blocks, as observed at submissions.
    pub(crate) peak_blocks: u32,
    /// `vkAllocateMemory` calls.
    pub(crate) driver_allocations: u64,
    /// `vkCmdDispatch` calls of scrubs.
    pub(crate) dispatches: Option<u64>,
    /// The number of resources that took over memory which the GPU still used.
    pub(crate) taken_over: u64,
    pub(crate) seconds: f64,
    pub(crate) nanoseconds_per_operation: f64,
    pub(crate) verified: u64,
    pub(crate) mismatches: u64,
    pub(crate) first_mismatch: Option<String>,
    pub(crate) leaks: usize,
}

impl Report {
    pub(crate) fn new(name: String, trace: &Record, played: &Played, scale: f64) -> Self {
        let Outcome { footprint, verdict, submits, elapsed, dispatches, leaks } = &played.outcome;
        let operations = trace.operations().len();
        Self {
            trace: name,
            driver: played.driver.clone(),
            settings: played.settings.clone(),
            operations,
            allocations: trace.requests().len(),
            submits: *submits,
            most_in_flight: played.in_flight,
            scale,
            footprint: footprint.ratio(),
            peak_reserved: footprint.peak_reserved,
            peak_live: footprint.peak_live,
            peak_pending: footprint.peak_pending,
            pending_at_peak: footprint.pending_at_peak,
            peak_held: footprint.peak_held,
            peak_count: trace.peak().count,
            peak_blocks: footprint.peak_blocks,
            driver_allocations: footprint.driver_allocations,
            dispatches: *dispatches,
            taken_over: footprint.taken_over,
            seconds: elapsed.as_secs_f64(),
            nanoseconds_per_operation: elapsed.as_nanos() as f64 / operations.max(1) as f64,
            verified: verdict.verified,
            mismatches: verdict.mismatches,
            first_mismatch: verdict.first.clone(),
            leaks: *leaks,
        }
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a report has no keys but texts")
    }

    /// Returns an error if anything was wrong.
    pub(crate) fn judge(&self) -> Result<(), Stop> {
        match &self.first_mismatch {
            Some(first) => Err(Stop::Corruption {
                wrong: self.mismatches,
                verified: self.verified,
                first: first.clone(),
            }),
            None if self.leaks > 0 => Err(Stop::Leaks(self.leaks)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} on {}", self.trace, self.driver)?;
        writeln!(
            out,
            "  footprint   {:.3}: {} reserved at most, for {} alive at most",
            self.footprint,
            Bytes(self.peak_reserved),
            Bytes(self.peak_live),
        )?;
        writeln!(
            out,
            "  pending     {} at most; alive and pending together {} at most",
            Bytes(self.peak_pending),
            Bytes(self.peak_held),
        )?;
        writeln!(
            out,
            "  allocations {}, {} alive at most, from {} of vkAllocateMemory; {} took over a range",
            self.allocations, self.peak_count, self.driver_allocations, self.taken_over,
        )?;
        writeln!(
            out,
            "  time        {:.2} s for {} operations and {} submits: {:.1} us an operation",
            self.seconds,
            self.operations,
            self.submits,
            self.nanoseconds_per_operation / 1e3,
        )?;
        write!(out, "  verified    {}, of which wrong: {}", self.verified, self.mismatches)
    }
}

/// Bytes in human-readable form.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["GiB", "MiB", "KiB"];
        let unit = units.iter().zip([30, 20, 10]).find(|(_, shift)| self.0 >> shift > 0);
        match unit {
            Some((unit, shift)) => {
                write!(out, "{:.1} {unit}", self.0 as f64 / (1_u64 << shift) as f64)
            }
            None => write!(out, "{} B", self.0),
        }
    }
}
