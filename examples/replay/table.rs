//! Replays of one trace with different settings, side by side.

use std::fmt;

use super::report::{Bytes, Report};
use super::settings::Settings;

/// The result of each setting, or the reason why there is none.
pub(crate) struct Table {
    trace: String,
    rows: Vec<(Settings, Result<Report, String>)>,
}

const HEAD: [&str; 9] = [
    "settings",
    "reserved",
    "pending then",
    "alive",
    "with pending",
    "footprint",
    "took over",
    "blocks",
    "driver calls",
];

/// Only in text: figures that vary from run to run, and their cause.
const MORE: [&str; 2] = ["dispatches", "us an operation"];

impl Table {
    pub(crate) fn new(trace: String) -> Self {
        Self { trace, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, settings: Settings, row: Result<Report, String>) {
        self.rows.push((settings, row));
    }

    fn cells(settings: &Settings, row: &Result<Report, String>) -> Vec<String> {
        match row {
            Err(why) => vec![settings.to_string(), why.clone()],
            Ok(report) => vec![
                settings.to_string(),
                Bytes(report.peak_reserved).to_string(),
                Bytes(report.pending_at_peak).to_string(),
                Bytes(report.peak_live).to_string(),
                Bytes(report.peak_held).to_string(),
                format!("{:.3}", report.footprint),
                report.taken_over.to_string(),
                report.peak_blocks.to_string(),
                report.driver_allocations.to_string(),
            ],
        }
    }
}

impl Table {
    /// The first two lines of a Markdown table for many traces.
    pub(crate) fn markdown_head() -> String {
        format!("| trace, at most | {} |\n|{}", HEAD.join(" | "), "---|".repeat(HEAD.len() + 1))
    }

    /// A line of Markdown for each setting.
    pub(crate) fn markdown(&self) -> String {
        let line = |(settings, row): &(Settings, Result<Report, String>)| {
            format!("| {} | {} |", self.trace, Self::cells(settings, row).join(" | "))
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}, at most:", self.trace)?;
        let head: Vec<String> = HEAD.iter().chain(&MORE).map(|&cell| cell.to_owned()).collect();
        let columns = head.len();
        let mut lines = vec![head];
        for (settings, row) in &self.rows {
            let mut line = Self::cells(settings, row);
            if let Ok(report) = row {
                line.push(report.dispatches.unwrap_or(0).to_string());
                line.push(format!("{:.1}", report.nanoseconds_per_operation / 1e3));
            }
            lines.push(line);
        }
        let width = |column: usize| {
            let of_column = lines.iter().filter(|line| line.len() == columns);
            of_column.map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            write!(out, "  {:<1$}", line[0], widths[0])?;
            match &line[1..] {
                [why] => write!(out, "  {why}")?,
                cells => {
                    for (cell, width) in cells.iter().zip(&widths[1..]) {
                        write!(out, "  {cell:>width$}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
