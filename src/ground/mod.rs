//! The ground floor: what every other floor may stand on, and nothing of Vulkan.

#[cfg(feature = "vulkan")]
pub(crate) mod lock;
#[cfg(feature = "vulkan")]
pub(crate) mod published;
#[cfg(test)]
pub(crate) mod random;
#[cfg(feature = "std")]
pub(crate) mod sync;
