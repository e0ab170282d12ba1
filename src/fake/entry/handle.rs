//! Dispatchable handles: pointers to a small object that knows its driver.

use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ash::vk;
use ash::vk::Handle;

use crate::fake::driver::Driver;

/// What an instance, a device, a queue or a command buffer of the fake points to.
#[repr(C)]
pub(super) struct Dispatch {
    /// Where a loader would put its own pointer.
    loader: usize,
    driver: *const Driver,
    /// Whether a thread is inside a command that needs the object for itself.
    inside: AtomicBool,
}

// SAFETY:
// - `driver` is only a way back to the driver, which is `Send` and `Sync`; the rest is too.
unsafe impl Send for Dispatch {}
// SAFETY:
// - as above; nothing is changed through a shared reference but the atomic.
unsafe impl Sync for Dispatch {}

impl Dispatch {
    fn new(driver: *const Driver) -> Arc<Dispatch> {
        Arc::new(Dispatch { loader: 0, driver, inside: AtomicBool::new(false) })
    }

    fn handle<H: Handle>(this: &Arc<Dispatch>) -> H {
        H::from_raw(Arc::as_ptr(this).expose_provenance() as u64)
    }
}

/// The driver behind a dispatchable handle.
///
/// # Safety
/// The handle is one that a [`Driver`] gave out that is still there.
pub(super) unsafe fn driver<'a, H: Handle>(handle: H) -> &'a Driver {
    // SAFETY:
    // - the handle is the exposed address of a `Dispatch` that lives as long as its driver;
    // - its `driver` points to that driver, which the caller promises to be there, and which is
    //   only ever shared.
    unsafe {
        let dispatch = ptr::with_exposed_provenance::<Dispatch>(handle.as_raw() as usize);
        &*(*dispatch).driver
    }
}

/// Marks a queue as used by this thread until dropped.
pub(super) struct Inside<'a>(Option<&'a AtomicBool>);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(inside) = self.0 {
            inside.store(false, Ordering::Release);
        }
    }
}

/// Enters a command that needs the queue for itself, and whether another thread is in one.
///
/// # Safety
/// As for [`driver`].
pub(super) unsafe fn inside<'a>(queue: vk::Queue) -> (Inside<'a>, bool) {
    // SAFETY:
    // - as in `driver`; the `Dispatch` is only ever shared.
    let dispatch = unsafe { &*ptr::with_exposed_provenance::<Dispatch>(queue.as_raw() as usize) };
    let taken = dispatch.inside.swap(true, Ordering::Acquire);
    (Inside((!taken).then_some(&dispatch.inside)), taken)
}

/// The handles that exist once.
pub(in crate::fake) struct Root {
    instance: Arc<Dispatch>,
    physical_device: Arc<Dispatch>,
    device: Arc<Dispatch>,
    queues: Vec<Arc<Dispatch>>,
}

impl Root {
    pub(in crate::fake) fn new(driver: *const Driver, queues: usize) -> Root {
        Root {
            instance: Dispatch::new(driver),
            physical_device: Dispatch::new(driver),
            device: Dispatch::new(driver),
            queues: (0..queues).map(|_| Dispatch::new(driver)).collect(),
        }
    }

    pub(in crate::fake) fn instance(&self) -> vk::Instance {
        Dispatch::handle(&self.instance)
    }

    pub(in crate::fake) fn physical_device(&self) -> vk::PhysicalDevice {
        Dispatch::handle(&self.physical_device)
    }

    pub(in crate::fake) fn device(&self) -> vk::Device {
        Dispatch::handle(&self.device)
    }

    pub(in crate::fake) fn queues(&self) -> impl Iterator<Item = vk::Queue> {
        self.queues.iter().map(Dispatch::handle)
    }
}

/// The handles of command buffers, used again late so that a stale one is likely to be seen.
pub(in crate::fake) struct Arena {
    driver: *const Driver,
    all: Vec<Arc<Dispatch>>,
    free: VecDeque<vk::CommandBuffer>,
}

// SAFETY:
// - as for `Dispatch`.
unsafe impl Send for Arena {}

impl Arena {
    /// This many handles rest before one is used again.
    const RESTING: usize = 64;

    pub(in crate::fake) fn new(driver: *const Driver) -> Arena {
        Arena { driver, all: Vec::new(), free: VecDeque::new() }
    }

    pub(in crate::fake) fn take(&mut self) -> vk::CommandBuffer {
        if self.free.len() > Arena::RESTING {
            if let Some(handle) = self.free.pop_front() {
                return handle;
            }
        }
        let dispatch = Dispatch::new(self.driver);
        let handle = Dispatch::handle(&dispatch);
        self.all.push(dispatch);
        handle
    }

    pub(in crate::fake) fn give_back(&mut self, handle: vk::CommandBuffer) {
        self.free.push_back(handle);
    }
}
