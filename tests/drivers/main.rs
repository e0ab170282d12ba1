//! The allocator on two real drivers, lavapipe and SwiftShader.
//!
//! `cargo test --test drivers` runs every scenario on both drivers, each in a separate process.
//! `-- --ignored` runs the deep variants, and a word after `--` filters by name. To install the
//! drivers:
//! `apt-get install -y --no-install-recommends mesa-vulkan-drivers vulkan-validationlayers chromium`.
//! `FENCEPOST_DRIVERS=lavapipe` omits the other driver, `FENCEPOST_SWIFTSHADER` names SwiftShader's
//! ICD file if it is in none of the known places, and `FENCEPOST_SEED` repeats a run.

mod harness;
mod rig;
mod scenarios;
#[path = "../../examples/support/mod.rs"]
mod support;

fn main() -> std::process::ExitCode {
    harness::main(&scenarios::all())
}
