//! The fake driver: for each rule, one test violates it and another one observes it.
//!
//! Every violation is compared as a whole, including the objects that it names.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each is a Vulkan call on a live fake, with arguments that the fake is to judge"
)]

mod binding;
mod commands;
mod compute;
mod descriptors;
#[cfg(unix)]
mod external;
mod faults;
mod images;
mod mapping;
mod memory;
mod queries;
mod queues;
mod support;
mod sync;
mod threads;
mod topologies;
mod transfer;
mod twin;

/// Keeps this suite complete: a kind of violation without a test that names it fails here.
#[test]
fn every_kind_of_violation_is_provoked_somewhere() {
    let sources = [
        include_str!("binding.rs"),
        include_str!("commands.rs"),
        include_str!("compute.rs"),
        include_str!("descriptors.rs"),
        include_str!("external.rs"),
        include_str!("faults.rs"),
        include_str!("images.rs"),
        include_str!("mapping.rs"),
        include_str!("memory.rs"),
        include_str!("queues.rs"),
        include_str!("sync.rs"),
        include_str!("threads.rs"),
        include_str!("transfer.rs"),
    ]
    .concat();
    let definition = include_str!("../../src/fake/violation.rs");
    let kinds: Vec<&str> = definition
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" {"))
        .filter(|name| name.starts_with(char::is_uppercase) && !name.contains(' '))
        .collect();
    assert!(kinds.len() > 30, "the list was not found: {kinds:?}");
    let named = |kind: &str| sources.contains(&format!("Violation::{kind} "));
    let missing: Vec<_> = kinds.into_iter().filter(|kind| !named(kind)).collect();
    assert!(missing.is_empty(), "no test provokes {missing:?}");
    assert!(!named("NoSuchKind"));
}
