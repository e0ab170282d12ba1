//! What a record tells: its operations, and what was seen between them.

use core::num::NonZeroU64;

use super::Intent;
use crate::policy::granularity::ResourceKind;

/// One allocation that a program asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Bytes.
    pub size: NonZeroU64,
    /// Bytes; a power of two.
    pub alignment: u64,
    /// A buffer or a linear image, or an image of optimal tiling.
    pub kind: ResourceKind,
    /// What the memory is for.
    pub intent: Intent,
    /// The memory type that it got, where the record tells.
    pub memory_type: Option<u32>,
    /// The place of its name in the record.
    pub(super) name: Option<u32>,
}

/// One operation of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Allocates the request of this number.
    Allocate(u32),
    /// Frees the allocation of this number, which is alive.
    Free(u32),
    /// Submits to the queue.
    Submit,
    /// Presents, which ends a frame.
    Present,
}

/// What a record has seen between two operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Mark {
    /// The submission before it is this point.
    Submitted {
        /// The timeline's number.
        timeline: u32,
        /// The value, above all before it.
        value: u64,
    },
    /// The GPU has passed this point.
    Reached {
        /// The timeline's number.
        timeline: u32,
        /// The value, at most the last submitted.
        value: u64,
    },
    /// How a memory type is from here on.
    Memory {
        /// Its index.
        memory_type: u32,
        /// Its figures.
        sample: MemorySample,
    },
    /// The time since the record's beginning; never falls.
    Time {
        /// In microseconds.
        microseconds: u64,
    },
    /// So many events before this were lost.
    Lost {
        /// Their number.
        events: u64,
    },
}

/// A memory type at one moment, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct MemorySample {
    /// Blocks, dedicated ones among them.
    pub blocks: u32,
    /// Device memory held.
    pub reserved: u64,
    /// In live allocations, as large as their ranges are.
    pub live: u64,
    /// In retired ones.
    pub pending: u64,
    /// A request of this many bytes is granted without a new block.
    pub largest_free: u64,
}

impl MemorySample {
    /// Free inside blocks, in bytes.
    pub fn free(&self) -> u64 {
        self.reserved.saturating_sub(self.live).saturating_sub(self.pending)
    }
}

/// A heap of the device that a record was made on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecordedHeap {
    /// In bytes.
    pub size: u64,
    /// Whether it is the device's own memory.
    pub device_local: bool,
}

/// A whole record, or a captured trace: every operation names a request that is there, in the right
/// order.
///
/// # Example
/// ```
/// use fencepost::record::{Operation, Record};
/// let record = Record::parse("a 0 4096 64 b d 1 mesh\ns\nf 0\n")?;
/// assert_eq!(record.operations()[0], Operation::Allocate(0));
/// assert_eq!(record.name(0), Some("mesh"));
/// assert_eq!(record.peak().bytes, 4096);
/// assert_eq!(Record::parse("f 0\n").unwrap_err().line, 1);
/// # Ok::<(), fencepost::record::DamagedLine>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Record {
    pub(super) requests: Vec<Request>,
    pub(super) operations: Vec<Operation>,
    /// Each with the number of operations before it.
    pub(super) marks: Vec<(usize, Mark)>,
    pub(super) names: Vec<Box<str>>,
    pub(super) heaps: Vec<RecordedHeap>,
    /// The heap of each memory type.
    pub(super) types: Vec<u32>,
}

/// The most that is alive at one time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Peak {
    /// Bytes of all kinds of memory together.
    pub bytes: u64,
    /// Bytes of device-local memory alone, at its own peak.
    pub device_local_bytes: u64,
    /// Bytes of the other kinds, at their own peak.
    pub host_bytes: u64,
    /// Allocations.
    pub count: usize,
}

impl Record {
    /// The operations in the program's order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What was seen between them, each with the number of operations before it.
    pub fn marks(&self) -> &[(usize, Mark)] {
        &self.marks
    }

    /// The requests, by the numbers that the operations name.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The name of an allocation.
    pub fn name(&self, id: u32) -> Option<&str> {
        let name = self.requests.get(id as usize)?.name?;
        self.names.get(name as usize).map(AsRef::as_ref)
    }

    /// The heaps of its device; none for a trace.
    pub fn heaps(&self) -> &[RecordedHeap] {
        &self.heaps
    }

    /// The heap of a memory type, where the record tells.
    pub fn heap_of(&self, memory_type: u32) -> Option<u32> {
        self.types.get(memory_type as usize).copied()
    }

    /// Whether the program presented. One that did not has no frames but its submits.
    pub fn presents(&self) -> bool {
        self.operations.contains(&Operation::Present)
    }

    /// The first `count` operations alone.
    #[must_use]
    pub fn truncated(mut self, count: usize) -> Self {
        self.operations.truncate(count);
        self.marks.retain(|&(before, _)| before <= count);
        let allocates = |operation: &&Operation| matches!(operation, Operation::Allocate(_));
        self.requests.truncate(self.operations.iter().filter(allocates).count());
        self
    }

    /// All sizes divided by `divisor`, which is finite and above 0, and rounded up to whole bytes. What
    /// was seen between the operations stays as it is.
    #[must_use]
    pub fn scaled(mut self, divisor: f64) -> Self {
        for request in &mut self.requests {
            // A cast from a float saturates, so a tiny divisor asks for all there is.
            let size = (request.size.get() as f64 / divisor).ceil() as u64;
            request.size = NonZeroU64::new(size).unwrap_or(NonZeroU64::MIN);
        }
        self
    }

    /// The most that is alive at one time. O(operations).
    pub fn peak(&self) -> Peak {
        let mut peak = Peak::default();
        let (mut device_local, mut host, mut count) = (0_u64, 0_u64, 0);
        for operation in &self.operations {
            let (Operation::Allocate(id) | Operation::Free(id)) = *operation else { continue };
            let Some(request) = self.requests.get(id as usize) else { continue };
            let bytes = match request.intent {
                Intent::DeviceLocal => &mut device_local,
                Intent::Upload | Intent::Readback => &mut host,
            };
            if matches!(operation, Operation::Allocate(_)) {
                *bytes = bytes.saturating_add(request.size.get());
                count += 1;
            } else {
                *bytes = bytes.saturating_sub(request.size.get());
                count -= 1;
            }
            peak = Peak {
                bytes: peak.bytes.max(device_local.saturating_add(host)),
                device_local_bytes: peak.device_local_bytes.max(device_local),
                host_bytes: peak.host_bytes.max(host),
                count: peak.count.max(count),
            };
        }
        peak
    }
}
