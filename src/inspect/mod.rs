//! Seeing the memory: a [`Snapshot`] of everything, and with feature `inspect` what can be drawn of
//! it.
//!
//! | for | call |
//! | --- | --- |
//! | figures in a log or on a plot | [`Allocator::statistics`](crate::Allocator::statistics), which prints as a line |
//! | what a level loaded | [`Statistics::since`](crate::Statistics::since) |
//! | who holds what, where, and what pending ranges wait for | [`Allocator::snapshot`](crate::Allocator::snapshot), which prints as a report by name |
//! | a picture | `Snapshot::to_svg` |
//! | a page to look around in, by name | `Snapshot::to_html` |
//! | VMA's own visualiser | `Snapshot::to_vma_json` |
//! | live, pending and reserved bytes over time | `Record::to_svg`, `Snapshot::to_html_with` |
//! | a place in Perfetto or `chrome://tracing` | `Record::to_chrome_trace` |
//! | anything else | feature `serde`: all of these are `Serialize` |
#![forbid(unsafe_code)]

#[cfg(feature = "inspect")]
mod bars;
#[cfg(feature = "inspect")]
mod chrome;
#[cfg(feature = "inspect")]
mod curves;
#[cfg(feature = "inspect")]
mod history;
#[cfg(feature = "inspect")]
mod page;
#[cfg(feature = "inspect")]
mod paint;
mod report;
mod snapshot;
#[cfg(feature = "inspect")]
mod svg;
mod text;
#[cfg(feature = "inspect")]
mod vma;

pub use crate::allocator::{Difference, TenantKind, Wait};
#[cfg(feature = "inspect")]
pub use history::Moment;
pub use snapshot::{BlockSet, Device, HeapSnapshot, MemoryTypeSnapshot, Snapshot};
