//! Blocks of device memory: each is one `vk::DeviceMemory`, split by [`tlsf`](crate::tlsf) or used
//! as a whole.
//!
//! These are data structures that contain Vulkan handles. None of them calls the driver.
#![forbid(unsafe_code)]

mod areas;
mod block;
mod block_list;
mod broken;
mod counters;
mod dedicated;
mod fit_index;
mod grant;
mod graves;
mod heirs;
mod line;
mod plate;
mod rank;
mod retired_at;
mod sight;
mod tenants;

pub(crate) use areas::Areas;
pub(crate) use block::{Block, View};
pub(crate) use block_list::{BlockList, Stay};
pub use broken::Broken;
pub(crate) use counters::Counters;
pub(crate) use grant::{Entry, Grant, Heritage};
pub(crate) use graves::{Freed, Grave, Graves};
pub(crate) use heirs::Heirs;
pub use line::ArenaPolicy;
pub(crate) use line::End;
pub(crate) use plate::{Host, Plate, Whose};
pub(crate) use rank::Rank;
pub use retired_at::RetiredAt;
pub(crate) use sight::{Fresh, Sight};
pub(crate) use tenants::{Fence, Tenant};
