//! Executes the concurrent parts of fencepost in every order in which threads can interleave.
//!
//! ```sh
//! cargo test --manifest-path tests/loom/Cargo.toml --release
//! ```
#![cfg(test)]

mod close;
mod lock;
mod stamp;
mod world;
