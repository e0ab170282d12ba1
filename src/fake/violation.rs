//! Violations of the rules of Vulkan and of memory reuse: what was done, and to which object.

use std::fmt;

use ash::vk;

use super::call::Call;
use super::object::{Object, Range, Submission};

macro_rules! violations {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty,)* } $text:literal,)+) => {
        /// A violated rule. `call` is the command that violated it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Violation {
            $($(#[doc = $doc])+ $name { $($(#[doc = $field_doc])+ $field: $type,)* },)+
        }

        impl fmt::Display for Violation {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Violation::$name { $($field),* } => write!(f, $text),)+
                }
            }
        }
    };
}

violations! {
    /// The object was never created, has been destroyed, or belongs to another driver.
    Unknown {
        /// The command.
        call: Call,
        /// The object.
        object: Object,
    } "{call:?}: {object} does not exist (never made, or destroyed before)",
    /// An object that a pending submission uses was destroyed, freed, reset or updated.
    InUse {
        /// The command.
        call: Call,
        /// The object.
        object: Object,
        /// The submission that uses it.
        submission: Submission,
    } "{call:?}: {object} is in use by {submission}",
    /// A resource was bound to bytes that a pending submission uses through another owner.
    BindInUse {
        /// The resource that was bound.
        resource: Object,
        /// Its bytes.
        range: Range,
        /// The resource in use there; the memory itself for a [`Use::memory`](super::Use::memory).
        other: Object,
        /// The submission that uses it.
        submission: Submission,
    } "bound {resource} to {range}, where {other} is in use by {submission}",
    /// A submission uses bytes that an unfinished one uses through another owner.
    SubmitOverlap {
        /// The later submission.
        submission: Submission,
        /// The bytes that it uses.
        range: Range,
        /// The other owner: a resource, or the memory for a [`Use::memory`](super::Use::memory).
        other: Object,
        /// The earlier submission.
        earlier: Submission,
    } "{submission} uses {range}, where {other} is in use by {earlier}",
    /// A submission uses an object that no longer exists.
    SubmitDead {
        /// The submission.
        submission: Submission,
        /// The object that no longer exists.
        object: Object,
        /// The object that refers to it; the object itself if it was named directly.
        via: Object,
    } "{submission} uses {object}, which does not exist, through {via}",
    /// A submission uses a resource without memory.
    SubmitUnbound {
        /// The submission.
        submission: Submission,
        /// The buffer or image.
        resource: Object,
    } "{submission} uses {resource}, which has no memory",
    /// A submission uses bytes outside the memory.
    SubmitOutOfRange {
        /// The submission.
        submission: Submission,
        /// The bytes.
        range: Range,
    } "{submission} uses {range}, which are outside it",
    /// A command buffer was submitted that is not recorded, or that is a one-time command buffer
    /// and was submitted before.
    SubmitNotRecorded {
        /// The submission.
        submission: Submission,
        /// The command buffer.
        commands: Object,
    } "{submission} contains {commands}, which is not recorded",
    /// A fence was submitted that is signalled or already belongs to a pending submission.
    FenceNotReset {
        /// The fence.
        fence: Object,
    } "QueueSubmit: {fence} is signalled or already pending",
    /// A timeline semaphore was signalled with a value that is not above its counter, or not above
    /// the value of an earlier submission on the same queue.
    TimelineNotRising {
        /// The command.
        call: Call,
        /// The semaphore.
        semaphore: Object,
        /// The value that it has or will have.
        from: u64,
        /// The value to be signalled.
        to: u64,
    } "{call:?}: {semaphore} at {from} is signalled with {to}",
    /// A value is further from the counter than `maxTimelineSemaphoreValueDifference`.
    TimelineTooFar {
        /// The command.
        call: Call,
        /// The semaphore.
        semaphore: Object,
        /// The value that it has.
        from: u64,
        /// The value to be signalled or waited for.
        to: u64,
    } "{call:?}: {semaphore} at {from} is too far from {to}",
    /// A binary semaphore was used where a timeline is needed, or a timeline without a value.
    WrongSemaphore {
        /// The command.
        call: Call,
        /// The semaphore.
        semaphore: Object,
    } "{call:?}: {semaphore} is of the wrong type for this",
    /// A wait on a binary semaphore that nothing signals, or a second signal of it.
    BinaryUnpaired {
        /// The semaphore.
        semaphore: Object,
    } "QueueSubmit: signals and waits of {semaphore} do not pair",
    /// A wait can never end: nothing that could complete would signal it.
    NeverCompletes {
        /// The command.
        call: Call,
    } "{call:?}: nothing will ever complete this wait",
    /// Two threads used an object at the same time although the caller must synchronise its use.
    Threads {
        /// The command of the later thread.
        call: Call,
        /// The object.
        object: Object,
    } "{call:?}: {object} is used by two threads at once",
    /// A command was called after `vkDestroyDevice`.
    AfterDestroy {
        /// The command.
        call: Call,
    } "{call:?}: called after vkDestroyDevice",
    /// A pointer is null that must not be null.
    Null {
        /// The command.
        call: Call,
    } "{call:?}: a null pointer",
    /// The profile lacks the feature that the command needs.
    NotEnabled {
        /// The command.
        call: Call,
        /// The Vulkan name of the feature.
        feature: &'static str,
    } "{call:?}: needs {feature}, which is not enabled",
    /// A size is 0 that must not be 0.
    ZeroSize {
        /// The command.
        call: Call,
    } "{call:?}: a size or count of 0",
    /// The memory type does not exist.
    NoSuchType {
        /// The memory type.
        memory_type: u32,
    } "AllocateMemory: there is no memory type {memory_type}",
    /// The memory type needs a feature that is not enabled.
    ForbiddenType {
        /// The memory type.
        memory_type: u32,
        /// The flags whose feature is off.
        flags: vk::MemoryPropertyFlags,
    } "AllocateMemory: memory type {memory_type} is {flags:?}, which is not enabled",
    /// A priority of memory is not between 0 and 1.
    Priority {
        /// The command.
        call: Call,
    } "{call:?}: a priority that is not between 0 and 1",
    /// An allocation is larger than its heap.
    LargerThanHeap {
        /// The heap.
        heap: u32,
        /// The requested size in bytes.
        size: u64,
    } "AllocateMemory: {size} bytes are more than heap {heap} has",
    /// A dedicated allocation does not match its resource: it names two resources, or has another
    /// size.
    DedicatedMismatch {
        /// The resource.
        resource: Object,
        /// The size of the allocation in bytes.
        size: u64,
        /// The size that the resource needs in bytes.
        needed: u64,
    } "AllocateMemory: {size} bytes dedicated to {resource}, which needs {needed}",
    /// A resource was bound to memory that is dedicated to another one, or at an offset other than
    /// 0; or it requires dedicated memory and got none.
    BindNotDedicated {
        /// The resource.
        resource: Object,
        /// The range to which it was bound.
        range: Range,
    } "bound {resource} to {range} against the rules of dedicated memory",
    /// The planes of a disjoint image were queried or bound as a whole, or those of another image
    /// as planes; or the planes were not all bound in one call, overlap, or (which Vulkan allows)
    /// are in several memories.
    Planes {
        /// The command.
        call: Call,
        /// The image.
        image: Object,
    } "{call:?}: the planes of {image} are not what it was created with, or not all bound apart",
    /// A resource was bound a second time.
    BindTwice {
        /// The resource.
        resource: Object,
    } "bound {resource}, which has memory already",
    /// A resource was bound past the end of the memory.
    BindOutOfRange {
        /// The resource.
        resource: Object,
        /// The range to which it was bound.
        range: Range,
        /// The size of the memory in bytes.
        memory_size: u64,
    } "bound {resource} to {range}, which has {memory_size} bytes",
    /// The offset is not a multiple of the resource's alignment.
    BindMisaligned {
        /// The resource.
        resource: Object,
        /// The range to which it was bound.
        range: Range,
        /// The required alignment in bytes.
        alignment: u64,
    } "bound {resource} to {range}, not aligned to {alignment}",
    /// The memory's type is not one of those that the resource can have.
    BindWrongType {
        /// The resource.
        resource: Object,
        /// The memory type.
        memory_type: u32,
        /// The allowed types.
        type_bits: u32,
    } "bound {resource} to memory type {memory_type}, its types are {type_bits:#b}",
    /// The buffer's usage has `SHADER_DEVICE_ADDRESS`, but its memory was allocated without it.
    BindWithoutAddress {
        /// The buffer.
        resource: Object,
        /// The memory.
        memory: Object,
    } "bound {resource}, which wants an address, to {memory}, which has none",
    /// A buffer is larger than `maxBufferSize`.
    BufferTooLarge {
        /// The size in bytes.
        size: u64,
        /// The limit.
        limit: u64,
    } "a buffer of {size} bytes, the largest has {limit}",
    /// The queue families that share a buffer or image (`VK_SHARING_MODE_CONCURRENT`) are not at
    /// least two different ones of the device.
    QueueFamilies {
        /// The command.
        call: Call,
    } "{call:?}: queue families must be two and more different ones of the device's",
    /// The SPIR-V version of a shader module is not supported by the device's Vulkan version.
    ModuleTooNew {
        /// The version word of the module, such as `0x0001_0300`.
        spirv: u32,
        /// The newest supported version.
        newest: u32,
    } "a shader is SPIR-V {spirv:#010x}, the device reads {newest:#010x} at most",
    /// A shader accesses bytes outside those that its descriptor set names.
    DispatchOutOfRange {
        /// The set.
        set: Object,
        /// The bytes of the binding.
        size: u64,
    } "a dispatch reaches past the {size} bytes that {set} names",
    /// A resource was bound over another live one, and [`aliasing`](super::FakeDriver::set_aliasing)
    /// is not allowed.
    BindOverlap {
        /// The resource that was bound.
        resource: Object,
        /// Its bytes.
        range: Range,
        /// The live resource there.
        other: Object,
    } "bound {resource} to {range}, over {other}",
    /// A linear and an optimal resource lie on one page of `bufferImageGranularity` bytes.
    Granularity {
        /// The resource that was bound.
        resource: Object,
        /// Its bytes.
        range: Range,
        /// The resource of the other kind on one of its pages.
        other: Object,
    } "bound {resource} to {range}, on one page with {other}",
    /// The memory is mapped already.
    MapTwice {
        /// The memory.
        memory: Object,
    } "MapMemory: {memory} is mapped already",
    /// The memory's type is not host-visible.
    MapNotVisible {
        /// The memory.
        memory: Object,
    } "MapMemory: {memory} is not host-visible",
    /// The range to map, flush or invalidate is empty, or not inside the memory or its mapping.
    MapOutOfRange {
        /// The command.
        call: Call,
        /// The bytes.
        range: Range,
    } "{call:?}: {range} are not inside it or its mapping",
    /// The memory to unmap, flush or invalidate is not mapped.
    NotMapped {
        /// The command.
        call: Call,
        /// The memory.
        memory: Object,
    } "{call:?}: {memory} is not mapped",
    /// A range to flush or invalidate does not consist of whole atoms of `nonCoherentAtomSize`
    /// bytes.
    FlushMisaligned {
        /// The command.
        call: Call,
        /// The bytes.
        range: Range,
        /// The atom in bytes.
        atom: u64,
    } "{call:?}: {range} are not whole atoms of {atom}",
    /// The address of a buffer was queried that has no memory or no `SHADER_DEVICE_ADDRESS` usage.
    NoAddress {
        /// The buffer.
        buffer: Object,
    } "GetBufferDeviceAddress: {buffer} has no memory or not the usage",
    /// Sets were freed one by one to a pool without `FREE_DESCRIPTOR_SET`, or to a foreign pool.
    FreeFromPool {
        /// The descriptor or command pool.
        pool: Object,
        /// The set or command buffer.
        object: Object,
    } "{object} is not one that {pool} can free",
    /// A command buffer was begun, ended or recorded in a state that does not allow it.
    CommandState {
        /// The command.
        call: Call,
        /// The command buffer.
        commands: Object,
    } "{call:?}: {commands} is not in a state for this",
    /// A command accesses bytes past the end of a buffer.
    CommandOutOfRange {
        /// The command.
        call: Call,
        /// The buffer.
        buffer: Object,
        /// The first byte.
        offset: u64,
        /// The number of bytes.
        size: u64,
    } "{call:?}: {size} bytes at {offset} are not inside {buffer}",
    /// An object is alive at the end.
    Leak {
        /// The object.
        object: Object,
        /// Its size in bytes if it has one, else 0.
        size: u64,
    } "leaked {object} ({size} bytes)",
    /// A resource was bound to shared memory without being declared with the handle types of that
    /// memory.
    BindNotExternal {
        /// The resource.
        resource: Object,
        /// The memory.
        memory: Object,
    } "bound {resource} to {memory}, which is shared, without its handle types",
    /// The imported memory has another size or memory type, or is not aligned.
    ImportMismatch {
        /// The requested size.
        size: u64,
        /// The requested memory type.
        memory_type: u32,
    } "an import of {size} bytes as memory type {memory_type} does not fit what is imported",
    /// A memory was exported that was not created for it.
    NotExportable {
        /// The memory.
        memory: Object,
    } "{memory} was not made to be exported so",
    /// Submissions are pending at the end.
    StillPending {
        /// The queue.
        queue: u32,
        /// The number of submissions.
        count: usize,
    } "{count} submissions are pending on queue {queue}",
}

/// The violations of a run, in order. If there are very many, only the first [`Violations::KEPT`]
/// are kept.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Violations {
    pub(super) list: Vec<Violation>,
    pub(super) dropped: u64,
}

impl Violations {
    /// How many are kept. Further ones are only counted.
    pub const KEPT: usize = 1000;

    /// Those that are kept.
    pub fn list(&self) -> &[Violation] {
        &self.list
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.list.len() as u64 + self.dropped
    }

    pub(super) fn push(&mut self, violation: Violation) {
        if self.list.len() < Violations::KEPT {
            self.list.push(violation);
        } else {
            self.dropped += 1;
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violations", self.count())?;
        for violation in &self.list {
            write!(f, "\n  {violation}")?;
        }
        if self.dropped > 0 {
            write!(f, "\n  and {} more", self.dropped)?;
        }
        Ok(())
    }
}

/// The same text as `Display`, because this is what a failed `unwrap` shows.
impl fmt::Debug for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Violations {}
