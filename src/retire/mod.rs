//! What makes a drop safe, as pure data: **a recording pins, a submission stamps, a signal releases.**
//!
//! This is epoch reclamation with the GPU as the slow reader. Nothing here calls Vulkan; the
//! [`Allocator`](crate::Allocator) feeds it what it sees, and anyone with another graphics
//! interface can do the same.
//!
//! * A *recording* is opened before the first command that may name a resource. It has a running
//!   number, and every drop goes into the *bag* of the newest recording begun so far.
//! * A bag is *stamped* once every recording that was open at the drop has ended, with one *cut*:
//!   the last submitted value of every timeline at that moment. [`Cuts`] keeps the recordings and
//!   the cuts.
//! * A bag is *reached* when all values of its cut have been signalled. Cuts only rise, so bags
//!   are reached in order, and "is it reached?" is one comparison of two numbers for any number of
//!   timelines. [`Bags`] keeps what was dropped, in that order.
//!
//! Why not stamp at the drop with what has been submitted so far? Because a recording that is open
//! at the drop may name the resource and be submitted later. The test `tests/drop_rule.rs`
//! explores every interleaving of a small world and shows both: the rule holds, the tempting one
//! does not.
//!
//! Costs: a drop, a begin and an end are O(1) amortised, a cut is O(timelines with work in flight),
//! and nothing is allocated once the queues have grown to the program's depth.
#![forbid(unsafe_code)]

mod bags;
mod cuts;
mod dated;
mod error;
mod point;
mod reached;
mod ring;

pub use bags::Bags;
pub use cuts::Cuts;
pub use error::{Broken, EndError, SignalError};
pub use point::{BagNumber, Point, RecordingId, TimelineId};
pub use reached::Reached;
pub use ring::Ring;
