//! A pool of host or DMA memory whose `deallocate` takes a bare pointer and finds the allocation
//! that it belongs to.
//!
//! [`MemoryPool`] returns pointers into memory of its own, or into a region that you provide: a DMA
//! buffer, pinned or huge pages, a device's BAR, or mapped Vulkan memory. Its bookkeeping lies
//! outside this memory, so a pool of 1024 bytes can hold 1024 bytes, and a stray write cannot
//! corrupt the pool's own data.
//!
//! ```
//! use fencepost::MemoryPool;
//!
//! let mut pool = MemoryPool::new(1024);
//! let packet = pool.allocate(256)?;
//! unsafe { packet.write_bytes(0, 256) };
//! pool.deallocate(packet)?;
//! assert_eq!(pool.deallocate(packet).unwrap_err().to_string(), format!("Double-free of {packet:p}"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a bare pointer tells
//! [`deallocate`](MemoryPool::deallocate) classifies a pointer in this order.
//! [`lookup`](MemoryPool::lookup) returns the same classification without freeing.
//!
//! | the pointer is | answer |
//! |---|---|
//! | null | `Ok` |
//! | outside of the pool | `Foreign` |
//! | the exact start of a live allocation | it is freed, or `OwnedByHandle` if a [`Pooled`] owns it |
//! | inside a live allocation | `NotAtStart`, with the start of that allocation |
//! | free or pending, and an allocation once started there | `DoubleFree` |
//! | anything else | `Untracked` |
//!
//! **Limitation**: if the same address has been handed out again, a second free of the old pointer
//! frees the new allocation. There are two ways to prevent this:
//! [`allocate_tracked`](MemoryPool::allocate_tracked) returns a pointer with a serial, which is
//! refused once its own allocation is gone; and a [quarantine](PoolDesc::quarantine) delays the
//! reuse of addresses.
//!
//! # What it costs
//! Allocation and deallocation cost as much as in [`tlsf`](crate::tlsf), plus a look-up in a hash
//! table of the live allocations. All operations are O(1): the hash table in expectation, the
//! bitmap amortised.
//!
//! Only a pointer that is refused also searches the last 1024 starts, the past starts within 256
//! granules, and two words in each of up to four levels of a bitmap. If allocations have ended
//! there unnoticed, the first such search also clears their bits. It does so once for each start,
//! and one call clears at most one group for each 256 granules of the pool. To bound the cost of
//! every single refused pointer, each allocation and deallocation would have to maintain a count of
//! the live starts of each group.
//!
//! Every 1024th start that is not known to be in the bitmap writes all starts since the previous
//! time to it. The bookkeeping takes one bit for each granule of 16 bytes or more, rounded up to 2
//! KiB, for which the host provides pages only where allocations start; 4 KiB for the last starts;
//! and 40 to 56 bytes for each allocation.
//!
//! # Safe and unsafe
//! Allocating and deallocating is safe: a pool only computes with addresses. Using a pointer is
//! `unsafe`, as always, and code that creates a reference from one has to ensure that nobody
//! deallocates it while the reference exists. [`Pooled`] ensures this: it is a `Box` in a
//! [`SharedPool`].
//!
//! | function | safe? | because |
//! |---|---|---|
//! | `MemoryPool::new`, `owned` | safe | the memory belongs to the pool |
//! | `MemoryPool::from_region` | unsafe | nobody else may use the region |
//! | `allocate…`, `deallocate…`, `collect`, `check` | safe | pointers are raw and errors are typed |
//! | `assume_idle` | unsafe | a device might still write to what it frees |
//! | `SharedPool`, `Pooled` | safe | only the handle frees its memory |

mod answers;
mod backing;
mod began;
mod bitmap;
mod damage;
mod desc;
mod ends;
mod error;
mod found;
mod ledger;
mod memory_pool;
mod pointers;
#[cfg(feature = "std")]
mod pooled;
mod promise;
mod seat;
#[cfg(feature = "std")]
mod shared;
mod spill;
mod starts;
mod statistics;

pub use answers::{Lookup, Tracked};
pub use desc::PoolDesc;
pub use error::{AllocateError, Broken, CheckError, DeallocateError, PoolError};
pub use memory_pool::MemoryPool;
#[cfg(feature = "std")]
pub use pooled::{Pooled, Refused};
#[cfg(feature = "std")]
pub use shared::SharedPool;
pub use statistics::{Fragmentation, PoolStatistics};
