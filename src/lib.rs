//! A TLSF suballocator for Vulkan device memory whose drops are safe.
#![cfg_attr(not(feature = "std"), no_std)]
extern crate alloc;

#[cfg(feature = "fake")]
pub mod fake;
