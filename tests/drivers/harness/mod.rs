//! Runs each scenario on each driver in a separate process, and reports in the format of libtest.
//!
//! A separate process is needed because a driver reads its environment when the instance is
//! created, because a use after free in a driver ends the process, and because a test that forgets
//! to signal hangs in the driver. A child can be given an environment, a limit and a deadline.

mod arguments;
mod child;
mod controls;
mod driver;
mod run;
mod scenario;

pub(crate) use run::main;
pub(crate) use scenario::{Room, Scenario};
