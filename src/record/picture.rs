//! The contents of a record: its operations, and what was observed between them.

use core::num::NonZeroU64;

use super::Intent;
use crate::policy::granularity::ResourceKind;

/// One allocation that a program asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The size in bytes.
    pub size: NonZeroU64,
    /// The alignment in bytes, a power of two.
    pub alignment: u64,
    /// A buffer or a linear image, or an image of optimal tiling.
    pub kind: ResourceKind,
    /// The intended use of the memory.
    pub intent: Intent,
    /// The memory type that it got, if the record contains it.
    pub memory_type: Option<u32>,
    /// The index of its name in the record.
    pub(super) name: Option<u32>,
}

/// One operation of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Allocates the request with this number.
    Allocate(u32),
    /// Frees the live allocation with this number.
    Free(u32),
    /// Submits to the queue.
    Submit,
    /// Presents, which ends a frame.
    Present,
}

/// What was observed between two operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Mark {
    /// The submission before it has this point.
    Submitted {
        /// The number of the timeline.
        timeline: u32,
        /// The value, which is above all previous ones.
        value: u64,
    },
    /// The GPU has passed this point.
    Reached {
        /// The number of the timeline.
        timeline: u32,
        /// The value, at most the last submitted.
        value: u64,
    },
    /// The state of a memory type from here on.
    Memory {
        /// The index of the memory type.
        memory_type: u32,
        /// Its figures.
        sample: MemorySample,
    },
    /// The time since the record began. It never decreases.
    Time {
        /// In microseconds.
        microseconds: u64,
    },
    /// Events before this were lost.
    Lost {
        /// Their number.
        events: u64,
    },
}

/// The state of a memory type at one moment, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct MemorySample {
    /// The number of blocks, including dedicated ones.
    pub blocks: u32,
    /// The device memory that is held.
    pub reserved: u64,
    /// The bytes in live allocations, by the size of their ranges.
    pub live: u64,
    /// The bytes in retired allocations.
    pub pending: u64,
    /// A request of this many bytes can be granted without a new block.
    pub largest_free: u64,
}

impl MemorySample {
    /// The free bytes inside blocks.
    pub fn free(&self) -> u64 {
        self.reserved.saturating_sub(self.live).saturating_sub(self.pending)
    }
}

/// A heap of the device that a record was made on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecordedHeap {
    /// The size in bytes.
    pub size: u64,
    /// Whether the heap is device-local.
    pub device_local: bool,
}

/// A whole record, or a captured trace. Every operation names an existing request, in a valid
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
    /// Each mark with the number of operations before it.
    pub(super) marks: Vec<(usize, Mark)>,
    pub(super) names: Vec<Box<str>>,
    pub(super) heaps: Vec<RecordedHeap>,
    /// The heap of each memory type.
    pub(super) types: Vec<u32>,
}

/// The maximum of what is live at one time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Peak {
    /// The bytes of all kinds of memory together.
    pub bytes: u64,
    /// The bytes of device-local memory only, at its own peak.
    pub device_local_bytes: u64,
    /// The bytes of the other kinds, at their own peak.
    pub host_bytes: u64,
    /// The number of allocations.
    pub count: usize,
}

impl Record {
    /// The operations in the program's order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What was observed between the operations, each with the number of operations before it.
    pub fn marks(&self) -> &[(usize, Mark)] {
        &self.marks
    }

    /// The requests, indexed by the numbers in the operations.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The name of an allocation.
    pub fn name(&self, id: u32) -> Option<&str> {
        let name = self.requests.get(id as usize)?.name?;
        self.names.get(name as usize).map(AsRef::as_ref)
    }

    /// The heaps of the device; empty for a trace.
    pub fn heaps(&self) -> &[RecordedHeap] {
        &self.heaps
    }

    /// The heap of a memory type, if the record contains it.
    pub fn heap_of(&self, memory_type: u32) -> Option<u32> {
        self.types.get(memory_type as usize).copied()
    }

    /// Whether the program presented. Without presents, its only frames are its submissions.
    pub fn presents(&self) -> bool {
        self.operations.contains(&Operation::Present)
    }

    /// Only the first `count` operations.
    #[must_use]
    pub fn truncated(mut self, count: usize) -> Self {
        self.operations.truncate(count);
        self.marks.retain(|&(before, _)| before <= count);
        let allocates = |operation: &&Operation| matches!(operation, Operation::Allocate(_));
        self.requests.truncate(self.operations.iter().filter(allocates).count());
        self
    }

    /// Divides all sizes by `divisor`, which must be finite and above 0, and rounds up to whole
    /// bytes. What was observed between the operations is not changed.
    #[must_use]
    pub fn scaled(mut self, divisor: f64) -> Self {
        for request in &mut self.requests {
            // A cast from a float saturates, so a tiny divisor gives the maximum.
            let size = (request.size.get() as f64 / divisor).ceil() as u64;
            request.size = NonZeroU64::new(size).unwrap_or(NonZeroU64::MIN);
        }
        self
    }

    /// The maximum of what is live at one time. O(operations).
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
