//! Runs each scenario on each driver in a process of its own, and reports like libtest.
//!
//! A process of its own, because a driver reads its environment when the instance is created,
//! because a use after free in a driver ends the process, and because a test that forgets to
//! signal hangs in the driver: a child can be given an environment, a limit and a deadline.

mod arguments;
mod child;
mod controls;
mod driver;
mod run;
mod scenario;

pub(crate) use run::main;
pub(crate) use scenario::{Room, Scenario};
