//! The [`tracing`](https://docs.rs/tracing) events of the allocator: targets, levels and fields.
//! These are stable; the text of the messages is not.
//!
//! | target | level | reports | fields |
//! | --- | --- | --- | --- |
//! | [`BLOCK`] | debug | a block was allocated from the driver, or returned to it | `memory_type`, `bytes`; for an allocated one `dedicated` |
//! | [`FALLBACK`] | debug | a request was not served by the first choice, but by the next memory type, a smaller block, or after empty blocks were released | `memory_type`, `bytes`, `tried` |
//! | [`PRESSURE`] | warn; debug for a request whose flags allow it to fail | a request failed for lack of memory | `heap`, `requested`, `largest_free`, `pending`, `left`, `tried` |
//! | [`LEAK`] | warn | the allocator was closed or shut down while allocations are alive; by name and place, largest first | `count`, `bytes` |
//! | [`WAITING`] | warn; error for a broken contract | something holds back memory: a recording that stays open or was dropped, a timeline that makes no progress, jumps or cannot be read, drops before any timeline existed, work that is pending at the end, an allocation that ended before a recorded use | `allocation`, `recording`, `reached`, `submitted`, `value`, `assigned`, `bytes`, `used_until`, `error` |
//! | [`GUARD`] | error; warn for memory that is not watched | a margin or free memory was written; a block is not watched, or memory that should be zero was handed out as it came from the driver; freed memory waits for scrubs that nobody records, or is reused unchecked because memory is short | `memory_type`; for a write `memory` (the block, as a number), `offset`, `words`, `expected`, `found`, `scrub`, `allocation`, `freed`, the first of the points it was retired at as `timeline` and `value`, and the number of `others`; for a block `bytes`, and `by` and `refused` if it could be watched; for waiting memory `bytes`, `collects`; for memory reused unchecked `bytes`, `count` |
//! | [`DEVICE`] | error | the device is lost | |
//! | [`RECORD`] | error; warn for a second allocator from one description | the writer of the record failed | `error` |
//! | [`ALLOCATION`] | trace | each allocation, and each end of one | `memory_type`, `block`, `key`; for a new one `offset`, `bytes`, `name` |
//! | [`MEMORY`] | trace | counters, at each `collect` that the program calls | `live`, `pending`, `free`, `reserved`, `allocations` |
//!
//! All targets begin with `fencepost`, so a filter for that word selects all of them. Sizes are in
//! bytes. No lock is held while an event is reported, so a subscriber may call the allocator.
//!
//! Whether any subscriber listens to `ALLOCATION` is determined when the allocator is created; a
//! subscriber that is installed later receives no events of single allocations. The following table
//! shows the cost of observing, in instructions per allocation and end, without collects
//! (callgrind, 1,000 live allocations of up to 64 KiB, no driver calls):
//!
//! | ended | all off | a [record](crate::AllocatorDesc::record) | `ALLOCATION`, to a subscriber that ignores it | [`audit`](crate::AllocatorDesc::audit), without backtraces |
//! | --- | --- | --- | --- | --- |
//! | by `free_now` | 618 | 1164 | 1703 | 2522 |
//! | dropped, the GPU idle | 605 | 1182 | 1712 | 2061 |
//! | dropped, a recording open | 583 | 1047 | 1576 | 1929 |
//!
//! A subscriber that does not listen to `ALLOCATION` adds no cost. If anything observes,
//! allocations take the longer code path; the shortest path is reserved for allocators that nothing
//! observes.
//!
//! # Plots
//!
//! The fields of `MEMORY` are meant for plots: one curve per field, frame by frame. Tracy's own
//! layer (`tracing-tracy` 0.11) shows events as messages with their fields, and does not plot them.
//! A layer of a few lines next to it does. Its filter must allow `fencepost::memory=trace`.
//!
//! ```
//! # use fencepost::{fake::FakeDriver, *};
//! # use std::sync::Mutex;
//! # static PLOTTED: Mutex<Vec<(&str, f64)>> = Mutex::new(Vec::new());
//! # struct Client;
//! # impl Client {
//! #     fn running() -> Option<Client> { Some(Client) }
//! #     fn plot(&self, name: &'static str, value: f64) { PLOTTED.lock().unwrap().push((name, value)) }
//! # }
//! # macro_rules! plot_name { ($name:literal) => { $name } }
//! use tracing::field::{Field, Visit};
//! use tracing_subscriber::{Layer, layer::Context, prelude::*};
//!
//! struct Plots;
//!
//! impl<S: tracing::Subscriber> Layer<S> for Plots {
//!     fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
//!         if event.metadata().target() == fencepost::events::MEMORY {
//!             event.record(&mut Counters);
//!         }
//!     }
//! }
//!
//! struct Counters;
//!
//! impl Visit for Counters {
//!     fn record_u64(&mut self, field: &Field, value: u64) {
//!         let name = match field.name() {
//!             "live" => plot_name!("memory live"), // these are `tracy_client`'s
//!             "pending" => plot_name!("memory pending"),
//!             "reserved" => plot_name!("memory reserved"),
//!             _ => return,
//!         };
//!         if let Some(client) = Client::running() {
//!             client.plot(name, value as f64);
//!         }
//!     }
//!     fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
//! }
//!
//! tracing_subscriber::registry().with(Plots).init(); // and `tracing_tracy::TracyLayer::default()`
//! # let fake = FakeDriver::new(&Default::default());
//! # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
//! # let allocator = unsafe { Allocator::new(&desc)? };
//! # let desc = BufferDesc::new(4096, vk::BufferUsageFlags::VERTEX_BUFFER);
//! # let mesh = allocator.create_buffer(&desc, &AllocationDesc::device_local())?;
//! # allocator.collect();
//! # assert_eq!(PLOTTED.lock().unwrap().iter().find(|one| one.0 == "memory live"), Some(&("memory live", 4096.0)));
//! # assert_eq!(PLOTTED.lock().unwrap().len(), 3);
//! # unsafe { mesh.free_now() };
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// Blocks that are allocated from the driver or returned to it.
pub const BLOCK: &str = "fencepost::block";
/// Allocations that were not served by the first choice.
pub const FALLBACK: &str = "fencepost::fallback";
/// Requests that failed for lack of memory.
pub const PRESSURE: &str = "fencepost::pressure";
/// Allocations that outlive their allocator.
pub const LEAK: &str = "fencepost::leak";
/// Whatever holds back pending memory.
pub const WAITING: &str = "fencepost::waiting";
/// Writes to memory that nobody may write.
pub const GUARD: &str = "fencepost::guard";
/// Loss of the device.
pub const DEVICE: &str = "fencepost::device";
/// Failure of the record.
pub const RECORD: &str = "fencepost::record";
/// Each allocation.
pub const ALLOCATION: &str = "fencepost::allocation";
/// Counters.
pub const MEMORY: &str = "fencepost::memory";
