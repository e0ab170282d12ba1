//! The lowest floor: what every other floor may use, without Vulkan.

#[cfg(feature = "vulkan")]
pub(crate) mod lock;
#[cfg(feature = "vulkan")]
pub(crate) mod published;
#[cfg(test)]
pub(crate) mod random;
#[cfg(feature = "std")]
pub(crate) mod sync;
