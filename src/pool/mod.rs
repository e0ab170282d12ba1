//! A pool of host or DMA memory whose `deallocate` takes a bare pointer and knows what it is.
//!
//! [`MemoryPool`] hands out pointers into memory of its own, or into a region of yours: a DMA buffer,
//! pinned or huge pages, a device's BAR, mapped Vulkan memory. Its books lie outside, so a pool of
//! 1024 bytes holds 1024 bytes, and a stray write cannot break them.
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
//! [`deallocate`](MemoryPool::deallocate) asks in this order, and [`lookup`](MemoryPool::lookup) tells
//! without freeing:
//!
//! | the pointer is | answer |
//! |---|---|
//! | null | `Ok` |
//! | outside of the pool | `Foreign` |
//! | the exact start of a live allocation | freed; `OwnedByHandle` if a [`Pooled`] owns it |
//! | inside a live allocation | `NotAtStart`, and where that begins |
//! | free or pending, and an allocation once began there | `DoubleFree` |
//! | anything else | `Untracked` |
//!
//! **What it cannot tell**: when the same address has been handed out again, a second free of the old
//! pointer is a free of the new allocation. Two answers: [`allocate_tracked`](MemoryPool::allocate_tracked)
//! gives a pointer with a serial, which is refused once its own allocation is gone; and a
//! [quarantine](PoolDesc::quarantine) keeps addresses from coming back soon.
//!
//! # What it costs
//! Allocation and deallocation are those of [`tlsf`](crate::tlsf), and a look-up in a hash table of the
//! live ones. A pointer that is refused asks also the last 1024 starts, those that ever were among 256
//! granules, and two words in each of up to four levels of a bitmap: so much at most, but that the first that
//! passes where allocations ended unseen clears up behind them, each once. All is O(1): the hash table in
//! expectation, clearing up amortised. One call passes a group for each 256 granules of the pool at most; a
//! right pointer asks for none of it, and so never pays: a bound for each refused one would be a count of the live
//! starts of each group, which every allocation and deallocation would have to write. Each 1024th start that is not known to be written down already
//! writes down all since the last time. The books take a bit for each granule of 16 bytes or more, rounded up to
//! 2 KiB, to which the host gives pages only where allocations begin, 4 KiB for the last starts, and 40 to 56
//! bytes for each allocation.
//!
//! # Safe and unsafe
//! Allocating and deallocating is safe: a pool computes with addresses. Using a pointer is `unsafe`, as
//! always, and whoever makes a reference of one has to know that nobody deallocates it meanwhile.
//! [`Pooled`] knows: it is a `Box` in a [`SharedPool`].
//!
//! | door | safe? | because |
//! |---|---|---|
//! | `MemoryPool::new`, `owned` | safe | the memory is its own |
//! | `MemoryPool::from_region` | unsafe | nobody else may use the region |
//! | `allocate…`, `deallocate…`, `collect`, `check` | safe | raw pointers, typed errors |
//! | `assume_idle` | unsafe | the device may still write to what is freed by it |
//! | `SharedPool`, `Pooled` | safe | the handle alone frees |

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
