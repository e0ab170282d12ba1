//! A Vulkan driver in Rust that needs no GPU, for the tests of this crate and of yours.
//!
//! [`FakeDriver`] provides real `ash` objects whose function pointers lead to it, so the code under
//! test makes the same calls as on hardware. The test declares what the GPU touches
//! ([`FakeDriver::record`], [`Use`]), moves the GPU's clock ([`FakeDriver::step`],
//! [`FakeDriver::run`]), makes calls fail ([`FakeDriver::fail`]), and asks at the end whether any
//! rule was broken ([`FakeDriver::finish`]).
//!
//! ```
//! use ash::vk;
//! use fencepost::fake::{FakeDriver, Object, Profile, Use, Violation};
//!
//! let fake = FakeDriver::new(&Profile::default());
//! let (device, queue) = (fake.device(), fake.queue(0));
//! unsafe {
//!     let info = vk::BufferCreateInfo::default().size(4096);
//!     let buffer = device.create_buffer(&info, None)?;
//!     let memory = vk::MemoryAllocateInfo::default().allocation_size(4096).memory_type_index(0);
//!     let memory = device.allocate_memory(&memory, None)?;
//!     device.bind_buffer_memory(buffer, memory, 0)?;
//!
//!     let commands = [fake.record(&[Use::buffer(buffer)])];
//!     let submit = vk::SubmitInfo::default().command_buffers(&commands);
//!     device.queue_submit(queue, &[submit], vk::Fence::null())?;
//!     assert_eq!(fake.pending(queue), 1);
//!     device.destroy_buffer(buffer, None); // too early: the GPU still reads it
//!     fake.run();
//!     device.free_memory(memory, None);
//!
//!     let violations = fake.finish().expect_err("one rule was broken");
//!     assert!(matches!(
//!         violations.list(),
//!         [Violation::InUse { object, .. }] if *object == Object::of(buffer)
//!     ));
//! }
//! # Ok::<(), vk::Result>(())
//! ```
//!
//! # What it models
//! - **Memory**: heaps, types and limits come from a [`Profile`]; 158 profiles are those of real
//!   GPUs. Bytes are committed only where they are touched. Memory that is not coherent has two
//!   views, so a missing flush is visible.
//! - **Use**: from `vkQueueSubmit` until completion, whatever a submission touches must not be
//!   destroyed or freed, and no other resource may be bound to its bytes. This is stricter than
//!   Vulkan, which allows aliasing; [`FakeDriver::set_aliasing`] allows it here too. A submission
//!   that touches bytes that an unfinished one uses through another owner is a violation, unless it
//!   declares that it is [ordered](Use::ordered) after it.
//! - **Time**: a batch completes when the test says so, in the order of its queue. A wait with a
//!   timeout moves the clock by itself, one batch after another, on all queues in turn, until the
//!   wait is over. A wait that can never complete does not hang: it is a violation, and returns
//!   `TIMEOUT`. A signal of `vkQueueSubmit2` whose `stageMask` is less than all commands occurs one
//!   step before its batch completes.
//! - **Commands**: copies, fills and updates of buffers touch the buffers, and change their bytes
//!   when the batch completes. Copies from and to images only touch them. Barriers count if they
//!   cover all commands and all memory and [order is judged](FakeDriver::set_ordered_reuse). For
//!   all other work the test declares what it touches ([`FakeDriver::record`],
//!   [`FakeDriver::record_into`]).
//! - **Compute**: pipelines and dispatches are accepted. The shaders of this crate's guards are
//!   executed; all others touch what their descriptor set names.
//! - **Not supported**: all other shaders and `vkCmd…` commands, surfaces, and sparse memory. The
//!   function pointers of these commands are null, and `ash` aborts with their name when they are
//!   called.
//!
//! The topologies are from the reports of [vulkan.gpuinfo.org](https://vulkan.gpuinfo.org), licensed
//! [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ash::vk;

mod bytes;
mod call;
mod command;
mod descriptor;
mod driver;
mod entry;
mod external;
mod fault;
mod memory;
mod object;
mod planes;
mod profile;
mod queue;
mod requirements;
mod resource;
mod segments;
mod shader;
mod slab;
mod state;
mod sync;
mod topologies;
mod track;
mod transfer;
mod uses;
mod video;
mod violation;

use driver::Driver;

pub use call::Call;
pub use object::{Object, Range, Submission};
pub use profile::Profile;
pub use state::Live;
pub use uses::Use;
pub use violation::{Violation, Violations};

/// A fake Vulkan device. Clones share it. It exists until the last clone is dropped, and its
/// handles and `ash` objects must not be used after that (which is also `ash`'s contract). Drivers
/// share nothing with each other, so any number of them may be used at the same time.
#[derive(Clone)]
pub struct FakeDriver {
    shared: Arc<Shared>,
}

struct Shared {
    instance: ash::Instance,
    device: ash::Device,
    driver: Arc<Driver>,
}

impl FakeDriver {
    /// Creates an instance with one device, which has all the queues of the profile.
    pub fn new(profile: &Profile) -> FakeDriver {
        let driver = Arc::new_cyclic(|here| Driver::new(profile, here.as_ptr()));
        let instance = entry::load_instance(&driver);
        let device = entry::load_device(&driver);
        FakeDriver { shared: Arc::new(Shared { instance, device, driver }) }
    }

    /// The profile of the device.
    pub fn profile(&self) -> &Profile {
        &self.driver().profile
    }

    /// The instance.
    pub fn instance(&self) -> &ash::Instance {
        &self.shared.instance
    }

    /// The only physical device.
    pub fn physical_device(&self) -> vk::PhysicalDevice {
        self.driver().root.physical_device()
    }

    /// The device.
    pub fn device(&self) -> &ash::Device {
        &self.shared.device
    }

    /// A queue by its index over all families; null if there is no such queue.
    pub fn queue(&self, index: u32) -> vk::Queue {
        self.driver().root.queues().nth(index as usize).unwrap_or(vk::Queue::null())
    }

    /// The family of a queue by its index over all families; 0 if there is no such queue.
    pub fn queue_family(&self, index: u32) -> u32 {
        self.driver().lock().queues.get(index as usize).map_or(0, |queue| queue.family)
    }

    /// Creates a command buffer that makes the GPU touch `uses` when it is submitted. It can be
    /// submitted once, is freed when that submission completes, and needs no pool.
    pub fn record(&self, uses: &[Use]) -> vk::CommandBuffer {
        self.driver().lock().record(uses)
    }

    /// Adds uses to a command buffer of the code under test, between `vkBeginCommandBuffer` and
    /// `vkQueueSubmit`. It can be submitted as often as its flags allow.
    pub fn record_into(&self, commands: vk::CommandBuffer, uses: &[Use]) {
        self.driver().lock().record_into(commands, uses);
    }

    /// Moves the clock of one queue by a step: its oldest batch completes if its waits are
    /// satisfied, and signals its semaphores and its fence. Returns false if nothing can happen on
    /// the queue.
    pub fn step(&self, queue: vk::Queue) -> bool {
        let mut state = self.driver().lock();
        let stepped = state.queue_index(queue).is_some_and(|index| state.step(index));
        drop(state);
        self.driver().notify();
        stepped
    }

    /// Completes everything that can complete, on all queues. Returns the number of batches that
    /// completed.
    pub fn run(&self) -> u32 {
        let completed = self.driver().lock().run();
        self.driver().notify();
        completed
    }

    /// With `true`, each submission completes immediately, together with everything that this makes
    /// possible.
    pub fn set_automatic(&self, automatic: bool) {
        self.driver().lock().automatic = automatic;
        if automatic {
            self.run();
        }
    }

    /// A stalled queue hangs: only [`FakeDriver::step`] advances it.
    pub fn set_stalled(&self, queue: vk::Queue, stalled: bool) {
        let mut state = self.driver().lock();
        if let Some(queue) = state.queues.iter_mut().find(|q| q.handle == queue) {
            queue.stalled = stalled;
        }
    }

    /// The number of batches on a queue that are submitted and not complete.
    pub fn pending(&self, queue: vk::Queue) -> usize {
        let state = self.driver().lock();
        state.queues.iter().find(|q| q.handle == queue).map_or(0, |queue| queue.pending.len())
    }

    /// Allows live resources to overlap, and a resource to be bound to bytes that a pending
    /// submission still uses, as Vulkan does. Submissions on *different* queues that use
    /// overlapping bytes through different owners remain a violation.
    pub fn set_aliasing(&self, allowed: bool) {
        self.driver().lock().aliasing = allowed;
    }

    /// Allows what [`set_aliasing`](Self::set_aliasing) allows, and checks the order: if a
    /// submission uses bytes that an unfinished one uses through another owner, it must come after
    /// a [barrier](Use::barrier) if that one is on the same queue, or a wait on a timeline
    /// semaphore that covers it. For this rule, a linear and an optimal resource on one page of
    /// `bufferImageGranularity` use the same bytes.
    pub fn set_ordered_reuse(&self, allowed: bool) {
        let mut state = self.driver().lock();
        (state.aliasing, state.judges_order) = (allowed, allowed);
    }

    /// How long, in real time, a wait that cannot end lets other threads try to change that; zero
    /// by default.
    pub fn set_patience(&self, patience: Duration) {
        self.driver().lock().patience = patience;
    }

    /// Sets the counter of a timeline semaphore to any value, against all rules, as a misplaced
    /// host signal or a lost device can do.
    pub fn set_counter(&self, semaphore: vk::Semaphore, value: u64) {
        self.driver().lock().set_counter(semaphore, value);
        self.driver().notify();
    }

    /// Makes one call return an error without effect. With `nth` 0 this is the next call of the
    /// command, with 1 the one after it. Has no effect on commands that [cannot
    /// fail](Call::can_fail).
    pub fn fail(&self, call: Call, nth: u64, result: vk::Result) {
        self.driver().calls.fail(call, Some(nth), result);
    }

    /// Makes every call of the command return an error without effect.
    pub fn fail_all(&self, call: Call, result: vk::Result) {
        self.driver().calls.fail(call, None, result);
    }

    /// Cancels the effects of [`FakeDriver::fail`] and [`FakeDriver::fail_all`].
    pub fn clear_faults(&self) {
        self.driver().calls.clear_faults();
    }

    /// Loses the device: pending work ends without a signal, and commands that report it return
    /// `ERROR_DEVICE_LOST` from now on (see [`Call::reports_loss`]). The others, including creation
    /// and allocation, succeed as before, as Vulkan specifies. Code that must not continue has to
    /// remember the loss.
    pub fn lose_device(&self) {
        let mut state = self.driver().lock();
        self.driver().calls.set_lost();
        state.abandon_all();
        drop(state);
        self.driver().notify();
    }

    /// How often the command was called.
    pub fn calls(&self, call: Call) -> u64 {
        self.driver().calls.count(call)
    }

    /// The number of calls of all commands.
    pub fn total_calls(&self) -> u64 {
        self.driver().calls.total()
    }

    /// Whether this thread is executing a call of this or another fake driver. Heap allocations
    /// meanwhile are made by the driver itself. This is for a test whose heap refuses allocations
    /// of the code under test.
    pub fn is_inside() -> bool {
        driver::is_inside()
    }

    /// The bytes allocated from a heap.
    pub fn heap_used(&self, heap: u32) -> u64 {
        self.driver().lock().heap_used.get(heap as usize).copied().unwrap_or(0)
    }

    /// The most bytes that were ever allocated from a heap at a time.
    pub fn heap_peak(&self, heap: u32) -> u64 {
        self.driver().lock().heap_peak.get(heap as usize).copied().unwrap_or(0)
    }

    /// Sets what `VK_EXT_memory_budget` reports about a heap: its budget, which is initially the
    /// size of the heap, and the bytes that other processes use, which are subtracted and initially
    /// 0.
    pub fn set_budget(&self, heap: u32, budget: u64, used_by_others: u64) {
        if let Some(found) = self.driver().lock().budgets.get_mut(heap as usize) {
            *found = state::Budget { budget, used_by_others };
        }
    }

    /// The number of live objects of each kind.
    pub fn live(&self) -> Live {
        self.driver().lock().live()
    }

    /// Writes to a memory as the GPU does, bypassing the host's caches: the host sees the change in
    /// memory that is not coherent only after an invalidation. Every memory has bytes here,
    /// host-visible or not. Returns false if the range is not inside a live memory.
    pub fn gpu_write(&self, memory: vk::DeviceMemory, offset: u64, bytes: &[u8]) -> bool {
        self.driver().lock().gpu_write(memory, offset, bytes)
    }

    /// Reads from a memory as the GPU does: writes by the host to memory that is not coherent are
    /// visible only after a flush. Returns false, and leaves `out` unchanged, if the range is not
    /// inside a live memory.
    pub fn gpu_read(&self, memory: vk::DeviceMemory, offset: u64, out: &mut [u8]) -> bool {
        self.driver().lock().gpu_read(memory, offset, out)
    }

    /// The priority of a live memory, as set at allocation or later, if there is one.
    pub fn priority(&self, memory: vk::DeviceMemory) -> Option<f32> {
        self.driver().lock().memories.get(memory)?.priority
    }

    /// The violations so far, without leaks.
    pub fn violations(&self) -> Vec<Violation> {
        self.driver().lock().violations.list.clone()
    }

    /// Ends a test. Returns an error if any rule was broken, any object is alive or any work is
    /// pending.
    pub fn finish(&self) -> Result<(), Violations> {
        let state = self.driver().lock();
        let mut violations = state.violations.clone();
        if !self.driver().calls.is_destroyed() {
            state.leaks(&mut violations);
        }
        if violations.count() == 0 { Ok(()) } else { Err(violations) }
    }

    fn driver(&self) -> &Driver {
        &self.shared.driver
    }
}

impl fmt::Debug for FakeDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDriver").field("name", &self.profile().name()).finish_non_exhaustive()
    }
}
