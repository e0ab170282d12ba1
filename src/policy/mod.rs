//! Decisions as pure functions: which memory type, how large a block, which blocks to empty, and
//! what granularity requires.
//!
//! Nothing here holds state or calls Vulkan, so tests can evaluate it for every recorded GPU.
#![forbid(unsafe_code)]

pub(crate) mod addresses;
pub(crate) mod budget;
pub(crate) mod defragment;
pub(crate) mod granularity;
pub(crate) mod growth;
pub(crate) mod intent;
pub(crate) mod select;
