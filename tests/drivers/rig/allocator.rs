//! The allocator of a scenario, and the messages of the validation layer.

use std::sync::Arc;

use ash::vk;
use fencepost::{Allocation, AllocationDesc, Allocator, AllocatorDesc, ResourceKind};

use super::yard::Yard;
use crate::support::{Gpu, Message};

/// The size of a block that can hold all of a scenario's small resources.
pub(crate) const BLOCK: u64 = 16 << 20;

/// An allocator of the device. It keeps the yard alive.
pub(crate) fn allocator(gpu: &Arc<Gpu>) -> (Allocator, Arc<Yard>) {
    allocator_with(gpu, |desc| desc)
}

/// As [`allocator`], with a change of the description.
pub(crate) fn allocator_with(
    gpu: &Arc<Gpu>,
    change: impl FnOnce(AllocatorDesc<'_>) -> AllocatorDesc<'_>,
) -> (Allocator, Arc<Yard>) {
    allocator_on(gpu, &gpu.device, change)
}

/// As [`allocator_with`], with the given device functions.
pub(crate) fn allocator_on(
    gpu: &Arc<Gpu>,
    device: &ash::Device,
    change: impl FnOnce(AllocatorDesc<'_>) -> AllocatorDesc<'_>,
) -> (Allocator, Arc<Yard>) {
    let yard = Yard::new(gpu);
    let desc = AllocatorDesc::new(&gpu.instance, gpu.physical_device, device)
        .api_version(gpu.api_version)
        .features(gpu.features())
        .first_block(BLOCK)
        .keep_alive(Arc::clone(&yard) as Arc<_>);
    let desc = change(desc);
    // SAFETY: the description names what the device was created with, the yard keeps it alive, and
    // scenarios make a timeline for the one queue that they use.
    let allocator = unsafe { Allocator::new(&desc) }.expect("an allocator");
    (allocator, yard)
}

/// A small allocation that keeps its block from being freed while a control deliberately frees what
/// the GPU still uses. The error must happen inside the block, not in the driver.
pub(crate) fn anchor(allocator: &Allocator) -> Allocation {
    let needs = vk::MemoryRequirements { size: 256, alignment: 256, memory_type_bits: !0 };
    allocator
        .allocate(&needs, ResourceKind::Linear, &AllocationDesc::upload().name("anchor"))
        .expect("an anchor")
}

/// Panics with the first message if there is one.
pub(crate) fn assert_clean(messages: &[Message]) {
    if let Some(first) = messages.first() {
        panic!("the validation layer has {} messages; the first: {first}", messages.len());
    }
}

/// Panics unless one of the messages has this name.
pub(crate) fn assert_seen(messages: &[Message], id: &str) {
    assert!(
        messages.iter().any(|message| message.id.contains(id)),
        "the validation layer must say {id}, but it says {messages:?}"
    );
}
