//! Blocks of device memory: one `vk::DeviceMemory` each, split by [`tlsf`](crate::tlsf) or whole.
//!
//! These are data structures that hold Vulkan handles; none of them calls the driver.
#![forbid(unsafe_code)]

mod batch;
mod block;
mod block_list;
mod fit_index;
mod graves;
mod heirs;
mod tenants;

pub(crate) use batch::Batch;
pub use block::Broken;
pub(crate) use block::{Block, Sight};
pub(crate) use block_list::{BlockList, Entry, Grant, Heritage, Stay};
pub(crate) use graves::Grave;
pub(crate) use heirs::Heirs;
pub(crate) use tenants::{Fence, Tenant};
