//! How much device memory an allocator holds while a captured stream runs.

use std::collections::VecDeque;

use fencepost::ResourceKind;
use fencepost::fake::{Call, FakeDriver, Profile};
use fencepost::record::{Intent, Operation, Record};

use super::{FullPath, Purpose, Request};
use crate::workloads::{ReadError, captured};

/// A captured stream with the purpose of each allocation.
pub struct Captured {
    name: String,
    trace: Record,
}

/// All captured streams of the suite.
///
/// # Errors
/// As [`traces`](crate::workloads::traces).
pub fn captured_streams() -> Result<Vec<Captured>, ReadError> {
    Ok(captured()?.into_iter().map(|(name, trace)| Captured { name, trace }).collect())
}

impl Captured {
    /// Its name in the tables.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn request(&self, id: u32) -> Request {
        let request = &self.trace.requests()[id as usize];
        Request {
            size: request.size.get(),
            alignment: request.alignment,
            is_image: request.kind == ResourceKind::Optimal,
            purpose: match request.intent {
                Intent::DeviceLocal => Purpose::DeviceLocal,
                Intent::Upload => Purpose::Upload,
                Intent::Readback => Purpose::Readback,
            },
        }
    }
}

/// The memory that an allocator held for a stream.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reserved {
    /// The peak of bytes held from the driver over the peak of live bytes. What waits for frames is
    /// not live.
    pub factor: f64,
    /// Calls of `vkAllocateMemory`.
    pub driver_allocations: u64,
    /// The most memory objects that existed at once.
    pub most_memories: usize,
    /// Allocations that were refused.
    pub refused: usize,
}

/// The peak of bytes that are live or wait for frames, over the peak of live bytes: a lower bound
/// for every allocator that waits.
pub fn least(stream: &Captured, in_flight: usize) -> f64 {
    let trace = &stream.trace;
    let bytes = |id: u32| trace.requests()[id as usize].size.get();
    let frame_end = frame_end(trace);
    let mut waiting: VecDeque<u64> = VecDeque::from([0]);
    let (mut held, mut peak) = (0, 0);
    for &operation in trace.operations() {
        match operation {
            Operation::Allocate(id) => {
                held += bytes(id);
                peak = peak.max(held);
            }
            Operation::Free(id) if in_flight == 0 => held -= bytes(id),
            Operation::Free(id) => {
                if let Some(frame) = waiting.back_mut() {
                    *frame += bytes(id);
                }
            }
            _ if operation == frame_end => {
                waiting.push_back(0);
                while waiting.len() > in_flight.max(1) {
                    held -= waiting.pop_front().unwrap_or(0);
                }
            }
            Operation::Submit | Operation::Present => {}
        }
    }
    peak as f64 / trace.peak().bytes as f64
}

/// A frame ends when the program presents, or when it submits if it never presents.
fn frame_end(trace: &Record) -> Operation {
    if trace.presents() { Operation::Present } else { Operation::Submit }
}

/// Runs a stream with this many frames in flight: what a frame frees is freed when the frame begins
/// that waits for it.
pub fn reserved<F: FullPath>(stream: &Captured, profile: &Profile, in_flight: usize) -> Reserved {
    let driver = FakeDriver::new(profile);
    let allocator = F::new(&driver, in_flight);
    let trace = &stream.trace;
    let mut handles: Vec<Option<F::Handle>> = Vec::new();
    handles.resize_with(trace.requests().len(), || None);
    let holds_back = in_flight > 0 && !F::DEFERS;
    let mut bags: VecDeque<Vec<F::Handle>> = VecDeque::from([Vec::new()]);
    let frame_end = frame_end(trace);
    let heaps = (0..16).filter(|&heap| driver.profile().heap_size(heap) > 0).collect::<Vec<u32>>();
    let (mut peak, mut calls, mut most_memories, mut refused) = (0, 0, 0, 0);
    for &operation in trace.operations() {
        match operation {
            Operation::Allocate(id) => {
                handles[id as usize] = allocator.allocate(&stream.request(id));
                refused += usize::from(handles[id as usize].is_none());
                let now = driver.calls(Call::AllocateMemory);
                if now != calls {
                    calls = now;
                    let held = heaps.iter().map(|&heap| driver.heap_used(heap)).sum::<u64>();
                    peak = peak.max(held);
                    most_memories = most_memories.max(driver.live().memories);
                }
            }
            Operation::Free(id) => {
                let Some(handle) = handles[id as usize].take() else { continue };
                match bags.back_mut() {
                    Some(bag) if holds_back => bag.push(handle),
                    _ => allocator.free(handle),
                }
            }
            _ if operation == frame_end => {
                allocator.end_frame(&driver);
                bags.push_back(Vec::new());
                while bags.len() > in_flight.max(1) {
                    let bag = bags.pop_front();
                    bag.into_iter().flatten().for_each(|handle| allocator.free(handle));
                }
            }
            Operation::Submit | Operation::Present => {}
        }
    }
    let left = bags.into_iter().flatten().chain(handles.into_iter().flatten());
    left.for_each(|handle| allocator.free(handle));
    drop(allocator);
    let factor = peak as f64 / trace.peak().bytes as f64;
    Reserved { factor, driver_allocations: calls, most_memories, refused }
}
