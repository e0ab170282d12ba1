#![doc = include_str!("README.md")]
// The pages of the guide, without code. Their examples are doctests over the fake driver, which
// `stage.rs` sets up.

#[doc = include_str!("renderer.md")]
pub mod renderer {}

#[doc = include_str!("frames_in_flight.md")]
pub mod frames_in_flight {}

#[doc = include_str!("memory.md")]
pub mod memory {}

#[doc = include_str!("budget.md")]
pub mod budget {}

#[doc = include_str!("sharing.md")]
pub mod sharing {}

#[doc = include_str!("threads.md")]
pub mod threads {}

#[doc = include_str!("corruption.md")]
pub mod corruption {}

#[cfg(feature = "fake")]
#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("from_gpu_allocator.md")]
pub mod from_gpu_allocator {}

#[doc = include_str!("from_vma.md")]
pub mod from_vma {}

#[doc = include_str!("../../examples/adoption.md")]
pub mod adoption {}
