//! The rule that makes a drop safe, as pure data: **a recording pins, a submission stamps, a signal
//! releases.**
//!
//! This is epoch-based reclamation with the GPU as the slow reader. Nothing here calls Vulkan. The
//! [`Allocator`](crate::Allocator) passes in what it observes, and code for another graphics
//! interface can do the same.
//!
//! * A *recording* is opened before the first command that may name a resource. Recordings are
//!   numbered, and every drop goes into the *bag* of the newest recording that has begun.
//! * A bag is *stamped* when every recording that was open at the drop has ended. The stamp is a
//!   *cut*: the last submitted value of every timeline at that moment. [`Cuts`] contains the
//!   recordings and the cuts.
//! * A bag is *reached* when all values of its cut have been signalled. Cuts only rise, so bags are
//!   reached in order, and whether a bag is reached is one comparison of two numbers for any number
//!   of timelines. [`Bags`] contains what was dropped, in that order.
//!
//! A bag is not stamped at the drop with what has been submitted so far, because a recording that
//! is open at the drop may name the resource and be submitted later. The test `tests/drop_rule.rs`
//! explores every interleaving of a small model, and shows that the rule holds and that this
//! tempting alternative does not.
//!
//! Costs: a drop, a begin and an end are O(1) amortised, and a cut is O(timelines with work in
//! flight). Nothing is allocated once the queues have grown to the program's depth.
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
