//! Inspection of memory: a [`Snapshot`] of everything and, with feature `inspect`, pictures of it.
//!
//! | purpose | call |
//! | --- | --- |
//! | figures for a log or a plot | [`Allocator::statistics`](crate::Allocator::statistics), which prints as one line |
//! | what loading a level changed | [`Statistics::since`](crate::Statistics::since) |
//! | which allocations exist, where, and what pending ranges wait for | [`Allocator::snapshot`](crate::Allocator::snapshot), which prints as a report by name |
//! | a picture | `Snapshot::to_svg` |
//! | an HTML page with search by name | `Snapshot::to_html` |
//! | input for VMA's own visualiser | `Snapshot::to_vma_json` |
//! | live, pending and reserved bytes over time | `Record::to_svg`, `Snapshot::to_html_with` |
//! | input for Perfetto or `chrome://tracing` | `Record::to_chrome_trace` |
//! | anything else | feature `serde`: all of these implement `Serialize` |
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
