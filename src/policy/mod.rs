//! Decisions as pure functions: which memory type, how large a block, which blocks to empty, what
//! granularity asks for.
//!
//! Nothing here holds state or calls Vulkan, so that every recorded GPU can be asked in a test.
#![forbid(unsafe_code)]

pub(crate) mod addresses;
pub(crate) mod budget;
pub(crate) mod defragment;
pub(crate) mod granularity;
pub(crate) mod growth;
pub(crate) mod intent;
pub(crate) mod select;
