//! The allocator on two real drivers, lavapipe and SwiftShader.
//!
//! `cargo test --test drivers` runs every scenario on both, each in a process of its own, and
//! `-- --ignored` the deep variants; a word after `--` filters by name. The drivers come by
//! `apt-get install -y --no-install-recommends mesa-vulkan-drivers vulkan-validationlayers
//! chromium`. `FENCEPOST_DRIVERS=lavapipe` leaves the other out, `FENCEPOST_SWIFTSHADER` names
//! SwiftShader's ICD file where it is found in no known place, and `FENCEPOST_SEED` repeats a run.

mod harness;
mod rig;
mod scenarios;
#[path = "../../examples/support/mod.rs"]
mod support;

fn main() -> std::process::ExitCode {
    harness::main(&scenarios::all())
}
