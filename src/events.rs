//! What the allocator tells by [`tracing`](https://docs.rs/tracing): targets, levels and fields. They
//! are stable; the sentences are not.
//!
//! | target | level | tells | fields |
//! | --- | --- | --- | --- |
//! | [`BLOCK`] | debug | a block came, or went back to the driver | `memory_type`, `bytes`; for one that came `dedicated` |
//! | [`FALLBACK`] | debug | a request goes another way than the first: the next memory type, a smaller block, or after empty blocks went | `memory_type`, `bytes`, `tried` |
//! | [`PRESSURE`] | warn; debug for a request that may fail by its flags | a request failed for lack of memory | `heap`, `requested`, `largest_free`, `pending`, `left`, `tried` |
//! | [`LEAK`] | warn | the allocator was closed or shut down while allocations live: by name and place, largest first | `count`, `bytes` |
//! | [`WAITING`] | warn; error for a broken contract | something holds memory back: a recording that stays open or was dropped, a timeline that does not move, jumps or cannot be read, drops before any timeline, work pending at the end, an end before a recorded use | `allocation`, `recording`, `reached`, `submitted`, `value`, `assigned`, `bytes`, `used_until`, `error` |
//! | [`GUARD`] | error; warn for what is not watched | a margin or free memory was written; a block is not watched, or handed out as the driver gave it where all is to read zero; what ended waits for scrubs that nobody records, or comes back unlooked because memory is short | `memory_type`; of a write `memory` (the block, as a number), `offset`, `words`, `expected`, `found`, `scrub`, `allocation`, `freed`, of the points that it was retired at the first as `timeline` and `value`, and how many `others`; of a block `bytes`, and `by`, `refused` where it could be watched; of what waits `bytes`, `collects`; of what comes back `bytes`, `count` |
//! | [`DEVICE`] | error | the device is lost | |
//! | [`RECORD`] | error; warn for a second allocator of one description | the record's writer failed | `error` |
//! | [`ALLOCATION`] | trace | each allocation, and each end of one | `memory_type`, `block`, `key`; for a new one `offset`, `bytes`, `name` |
//! | [`MEMORY`] | trace | the counters, at each `collect` of the program's | `live`, `pending`, `free`, `reserved`, `allocations` |
//!
//! All targets begin with `fencepost`, so a filter of that word takes them together. Sizes are in
//! bytes. No lock is held while an event is told: a subscriber may ask the allocator for more.
//!
//! Whether anyone listens to `ALLOCATION` is asked when the allocator is made; who comes later hears of
//! no single allocations. What watching costs, in instructions of a plain allocation and its end, without the
//! collects (callgrind, 1,000 alive, up to 64 KiB each, the driver not called):
//!
//! | ended | all off | a [record](crate::AllocatorDesc::record) | `ALLOCATION`, to a subscriber that ignores it | [`audit`](crate::AllocatorDesc::audit), without backtraces |
//! | --- | --- | --- | --- | --- |
//! | by `free_now` | 618 | 1164 | 1703 | 2522 |
//! | dropped, the GPU idle | 605 | 1182 | 1712 | 2061 |
//! | dropped, a recording open | 583 | 1047 | 1576 | 1929 |
//!
//! A subscriber that does not listen to `ALLOCATION` adds nothing. Who watches takes the longer
//! path; the shortest is for those who watch nothing.
//!
//! # Plots
//!
//! The fields of `MEMORY` are for plots: a curve of each, frame by frame. Tracy's own layer
//! (`tracing-tracy` 0.11) shows events as messages, with their fields, and plots none; a layer of some
//! lines beside it does. Its filter must let `fencepost::memory=trace` through.
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

/// Blocks that come and go.
pub const BLOCK: &str = "fencepost::block";
/// Ways of an allocation beyond the first.
pub const FALLBACK: &str = "fencepost::fallback";
/// Requests that failed for lack of memory.
pub const PRESSURE: &str = "fencepost::pressure";
/// Allocations that outlive their allocator.
pub const LEAK: &str = "fencepost::leak";
/// What holds pending memory back.
pub const WAITING: &str = "fencepost::waiting";
/// Writes where nobody may write.
pub const GUARD: &str = "fencepost::guard";
/// The device's end.
pub const DEVICE: &str = "fencepost::device";
/// The record's end before its time.
pub const RECORD: &str = "fencepost::record";
/// Each allocation.
pub const ALLOCATION: &str = "fencepost::allocation";
/// Counters.
pub const MEMORY: &str = "fencepost::memory";
