//! Every order in which threads can meet, for the two places where fencepost is clever about them.
//!
//! ```sh
//! cargo test --manifest-path tests/loom/Cargo.toml --release
//! ```
#![cfg(test)]

mod close;
mod stamp;
mod world;
