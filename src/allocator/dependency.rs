//! What work has to wait for before it may use memory that the GPU had not passed.

use ash::vk;
use smallvec::SmallVec;

use crate::retire::{BagNumber, Point};

/// The synchronisation that the next submission must perform before the first use of an
/// [`Ordered`](super::Ordered) resource.
///
/// On the queue of the resource, a barrier suffices: before the first command that uses the
/// resource, record `vkCmdPipelineBarrier(ALL_COMMANDS → ALL_COMMANDS)` with
/// [`memory_barrier`](Self::memory_barrier), or `vkCmdPipelineBarrier2` with
/// [`memory_barrier2`](Self::memory_barrier2). For work of other queues, the submission must wait
/// at `ALL_COMMANDS` for each of [`waits`](Self::waits). You can [join](Self::join) the
/// dependencies of several resources.
///
/// An image starts with a transition from `UNDEFINED`. The source stage of this transition must be
/// `ALL_COMMANDS`: a transition from `TOP_OF_PIPE` could execute before the barrier and the waits.
#[must_use = "the memory may not be used before this is met"]
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Dependency {
    pub(super) barrier: bool,
    pub(super) waits: SmallVec<[(vk::Semaphore, u64); 2]>,
}

impl Dependency {
    /// No dependency: the GPU has passed the memory.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether there is nothing to wait for.
    pub fn is_none(&self) -> bool {
        !self.barrier && self.waits.is_empty()
    }

    /// Whether a barrier is needed, because earlier work of the same queue may still be executing.
    pub fn needs_barrier(&self) -> bool {
        self.barrier
    }

    /// The barrier to record from `ALL_COMMANDS` to `ALL_COMMANDS`, if one is needed.
    pub fn memory_barrier(&self) -> Option<vk::MemoryBarrier<'static>> {
        let barrier = vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
            .dst_access_mask(vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE);
        self.barrier.then_some(barrier)
    }

    /// The barrier to record with `vkCmdPipelineBarrier2`, if one is needed.
    pub fn memory_barrier2(&self) -> Option<vk::MemoryBarrier2<'static>> {
        let barrier = vk::MemoryBarrier2::default()
            .src_stage_mask(vk::PipelineStageFlags2::ALL_COMMANDS)
            .src_access_mask(vk::AccessFlags2::MEMORY_WRITE)
            .dst_stage_mask(vk::PipelineStageFlags2::ALL_COMMANDS)
            .dst_access_mask(vk::AccessFlags2::MEMORY_READ | vk::AccessFlags2::MEMORY_WRITE);
        self.barrier.then_some(barrier)
    }

    /// The semaphores of other queues to wait for at `ALL_COMMANDS`, each with its value.
    pub fn waits(&self) -> &[(vk::Semaphore, u64)] {
        &self.waits
    }

    /// Adds the requirements of another dependency. O(waits).
    pub fn join(&mut self, other: &Self) {
        self.barrier |= other.barrier;
        for &(semaphore, value) in &other.waits {
            match self.waits.iter_mut().find(|(known, _)| *known == semaphore) {
                Some((_, known)) => *known = value.max(*known),
                None => self.waits.push((semaphore, value)),
            }
        }
    }
}

/// A cut that work of one queue can be ordered after.
pub(super) struct Passable {
    /// The newest bag that waits for it.
    pub(super) bag: BagNumber,
    pub(super) points: SmallVec<[Point; 4]>,
    pub(super) dependency: Dependency,
}

#[cfg(test)]
mod tests {
    use ash::vk::Handle;

    use super::*;

    #[test]
    fn joined_demands_are_the_greatest_of_each() {
        let [a, b] = [1, 2].map(vk::Semaphore::from_raw);
        let mut all = Dependency::none();
        assert!(all.is_none() && all.memory_barrier().is_none() && all.memory_barrier2().is_none());
        let one = Dependency { barrier: false, waits: SmallVec::from_slice(&[(a, 3)]) };
        let two = Dependency { barrier: true, waits: SmallVec::from_slice(&[(b, 1), (a, 2)]) };
        for demand in [&one, &two] {
            all.join(demand);
        }
        assert!(all.needs_barrier() && all.memory_barrier2().is_some());
        assert_eq!(all.waits(), [(a, 3), (b, 1)]);
    }

    /// The barrier orders whatever came before and whatever comes after, and shows all of it what was written.
    #[test]
    fn the_barrier_is_one_of_all_commands() {
        use vk::{AccessFlags as Access, AccessFlags2 as Access2, PipelineStageFlags2 as Stage};
        let all = Dependency { barrier: true, ..Dependency::none() };
        let barrier = all.memory_barrier().unwrap();
        assert_eq!(barrier.src_access_mask, Access::MEMORY_WRITE);
        assert_eq!(barrier.dst_access_mask, Access::MEMORY_READ | Access::MEMORY_WRITE);
        let barrier = all.memory_barrier2().unwrap();
        assert_eq!(barrier.src_access_mask, Access2::MEMORY_WRITE);
        assert_eq!(barrier.dst_access_mask, Access2::MEMORY_READ | Access2::MEMORY_WRITE);
        let stages = [barrier.src_stage_mask, barrier.dst_stage_mask];
        assert_eq!(stages, [Stage::ALL_COMMANDS; 2]);
    }
}
