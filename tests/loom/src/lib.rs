//! Every order in which threads can meet, for the places where fencepost is clever about them.
//!
//! ```sh
//! cargo test --manifest-path tests/loom/Cargo.toml --release
//! ```
#![cfg(test)]

mod close;
mod lock;
mod stamp;
mod world;
