//! What a violation refers to: objects, submissions and ranges of bytes.

use std::fmt;

use ash::vk;

/// A Vulkan object that a [`Violation`](super::Violation) refers to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Object {
    /// Its type.
    pub kind: vk::ObjectType,
    /// Its handle's value.
    pub raw: u64,
}

impl Object {
    /// The object behind a handle.
    pub fn of<H: vk::Handle>(handle: H) -> Object {
        Object { kind: H::TYPE, raw: handle.as_raw() }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:#x}", self.kind, self.raw)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One batch of a queue submission: the index of the queue, and a number that counts the batches of
/// all queues from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Submission {
    /// The index of the queue, as in [`FakeDriver::queue`](super::FakeDriver::queue).
    pub queue: u32,
    /// The running number of the batch.
    pub number: u64,
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "submission {} on queue {}", self.number, self.queue)
    }
}

/// A range of bytes of a memory that a [`Violation`](super::Violation) refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The memory.
    pub memory: vk::DeviceMemory,
    /// The first byte.
    pub offset: u64,
    /// The number of bytes.
    pub size: u64,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.offset.saturating_add(self.size);
        write!(f, "bytes {}..{end} of {}", self.offset, Object::of(self.memory))
    }
}
