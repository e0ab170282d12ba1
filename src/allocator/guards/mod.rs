//! Guards: which blocks are watched and by whom, what was found, and the hooks of the other flows.
//!
//! A range is checked and poisoned after its resource is destroyed and before it is free, so while it
//! is pending and nobody's. The host does so at once, through the block's mapping (`host.rs`); what
//! it does not see waits for a scrub of the GPU (`scrubs.rs`).

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
