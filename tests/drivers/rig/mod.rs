//! Shared by the scenarios: gates, command buffers, timelines of each kind, and the checker.

mod allocator;
mod commands;
mod gate;
mod intervals;
mod line;
mod random;
mod stock;
mod yard;

pub(crate) use allocator::{
    allocator, allocator_on, allocator_with, anchor, assert_clean, assert_seen,
};
pub(crate) use commands::{Commands, Recorder};
pub(crate) use gate::Gate;
pub(crate) use intervals::{Intervals, Range};
pub(crate) use line::{Kind, Line};
pub(crate) use random::Random;
pub(crate) use stock::Thing;
pub(crate) use yard::Yard;
