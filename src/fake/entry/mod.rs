//! The C side: `extern "system"` functions that turn Vulkan's arguments into safe calls.
//!
//! Nearly all `unsafe` of the fake is here. Each block relies on the contract that `ash` and
//! Vulkan put on every call:
//! - **C1** a dispatchable handle is one of a fake that is still there;
//! - **C2** each input pointer is null where Vulkan allows null, and otherwise points to a valid
//!   structure of its type, or to as many as the count beside it says, with a valid `pNext` chain,
//!   for the length of the call;
//! - **C3** each output pointer is writable for as many elements as the count beside it says.
//!
//! No function here panics, and none calls code that does.

mod commands;
mod compute;
mod create;
mod external;
mod handle;
mod instance;
mod memory;
mod properties;
mod sets;
mod sync;
mod table;
mod transfer;
mod video;

use std::ffi::c_void;
use std::slice;

use ash::vk;

pub(super) use handle::{Arena, Root};
pub(super) use table::{load_device, load_instance};

/// The structure of type `T` in a `pNext` chain.
///
/// # Safety
/// C2 for the chain.
unsafe fn chained<'a, T: vk::TaggedStructure>(mut next: *const c_void) -> Option<&'a T> {
    // SAFETY:
    // - C2: each element of the chain starts as a `BaseInStructure` does, and one with the
    //   structure type of `T` is a `T`.
    unsafe {
        while let Some(base) = next.cast::<vk::BaseInStructure<'_>>().as_ref() {
            if base.s_type == T::STRUCTURE_TYPE {
                return next.cast::<T>().as_ref();
            }
            next = base.p_next.cast();
        }
    }
    None
}

/// The structure of type `T` in a `pNext` chain of output structures.
///
/// # Safety
/// C2 and C3 for the chain.
unsafe fn chained_mut<'a, T: vk::TaggedStructure>(mut next: *mut c_void) -> Option<&'a mut T> {
    // SAFETY:
    // - C2, C3: as in `chained`, and the elements are writable and not referred to otherwise.
    unsafe {
        while let Some(base) = next.cast::<vk::BaseOutStructure<'_>>().as_ref() {
            if base.s_type == T::STRUCTURE_TYPE {
                return next.cast::<T>().as_mut();
            }
            next = base.p_next.cast();
        }
    }
    None
}

/// `count` elements at `pointer`; none if it is null.
///
/// # Safety
/// C2 for the pointer.
unsafe fn list<'a, T>(pointer: *const T, count: u32) -> &'a [T] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY:
    // - C2: `count` valid elements, not changed during the call.
    unsafe { slice::from_raw_parts(pointer, count as usize) }
}

/// Vulkan's protocol for lists: with a null `out` the count is given, otherwise as many elements as
/// fit, and `INCOMPLETE` if that is not all.
///
/// # Safety
/// C3 for `count`, and for `out` with as many elements as `count` says.
unsafe fn give_list<T>(
    items: impl ExactSizeIterator<Item = T>,
    count: *mut u32,
    out: *mut T,
) -> vk::Result {
    let all = items.len();
    // SAFETY:
    // - C3: `count` is writable, and `out` for `*count` elements, of which `taken` at most are
    //   written.
    unsafe {
        let Some(count) = count.as_mut() else { return vk::Result::ERROR_VALIDATION_FAILED_EXT };
        if out.is_null() {
            *count = all as u32;
            return vk::Result::SUCCESS;
        }
        let taken = all.min(*count as usize);
        for (index, item) in items.take(taken).enumerate() {
            out.add(index).write(item);
        }
        *count = taken as u32;
        if taken < all { vk::Result::INCOMPLETE } else { vk::Result::SUCCESS }
    }
}
