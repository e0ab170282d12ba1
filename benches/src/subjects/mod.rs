//! One file per allocator. A new one implements [`Subject`](crate::subject::Subject) and gets a line in
//! [`for_each_subject`](crate::for_each_subject).

mod best_fit;
mod offset_allocator;
mod ours;
mod pointer;
mod range_alloc;
mod rlsf;
mod virtual_block;
mod xalloc;

pub use best_fit::BestFit;
pub use offset_allocator::OffsetAllocator;
pub use ours::{Anywhere, Batched, Counted, Ours, Single};
pub use pointer::{Malloc, Pool};
pub use range_alloc::RangeAlloc;
pub use rlsf::Rlsf;
pub use virtual_block::{Balanced, MinMemory, MinTime, VirtualBlock};
pub use xalloc::Xalloc;

/// Calls a macro with each subject's type in turn.
#[macro_export]
macro_rules! for_each_subject {
    ($call:ident) => {
        $call!($crate::subjects::Ours<$crate::subjects::Single>);
        $call!($crate::subjects::Ours<$crate::subjects::Batched>);
        $call!($crate::subjects::Pool);
        $call!($crate::subjects::Xalloc);
        $call!($crate::subjects::OffsetAllocator);
        $call!($crate::subjects::VirtualBlock<$crate::subjects::Balanced>);
        $call!($crate::subjects::VirtualBlock<$crate::subjects::MinMemory>);
        $call!($crate::subjects::VirtualBlock<$crate::subjects::MinTime>);
        $call!($crate::subjects::Rlsf);
        $call!($crate::subjects::RangeAlloc);
        $call!($crate::subjects::BestFit);
    };
}
