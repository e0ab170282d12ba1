//! The errors of the public interface, one enum per operation. All are `Copy`, and none contains a
//! string.

mod allocate;
mod create;
mod handle;
mod timeline;

pub use allocate::{AllocateError, Tried};
pub use create::{
    AliasError, ArenaError, CreateError, DescError, ExternalError, InitError, NewError,
};
pub use handle::{CopyError, ForeignPoint, KeyError, Refused, RingError};
pub use timeline::{BeginError, ReportError, SubmitRefusal, TimelineError, WaitError};
