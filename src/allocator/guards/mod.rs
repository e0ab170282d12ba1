//! Guards: which blocks are watched and by whom, the findings, and the hooks for the rest of the
//! allocator.
//!
//! A range is checked and poisoned after its resource is destroyed and before it is free, while it
//! is pending and belongs to nobody. The host does this immediately, through the block's mapping
//! (`host.rs`). Memory that the host cannot access waits for a scrub by the GPU (`scrubs.rs`).

mod corruption;
mod coverage;
mod doors;
mod hooks;
mod host;
mod passed;
mod pressure;
mod rest;
mod resting;
mod scrub;
mod scrubs;
mod sheet;
mod sheets;
mod site;
mod state;
mod waiting;
mod words;
mod work;

pub use corruption::{Corruption, Damage, Owner};
pub use coverage::GuardCoverage;
pub(super) use passed::{PassedCuts, RetirePoints};
pub(super) use resting::Resting;
pub use scrub::{Scrub, ScrubError, Scrubbed};
pub(super) use state::Guards;
pub(super) use waiting::WaitList;
