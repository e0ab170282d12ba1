//! Three command buffers that are used in turn: the frames in flight.
use super::Result;
use fencepost::{Allocator, Object, Point, Timeline, ash, vk};
use std::time::Duration;

/// The number of submissions that may be in flight while the next one is recorded.
pub(crate) const IN_FLIGHT: usize = 3;

/// If a GPU takes longer for three frames, it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Command buffers for one queue family.
///
/// A command buffer is recorded repeatedly, so unlike everything else here it needs a wait before
/// it is used again. This wait also limits the frames in flight to three.
pub(crate) struct CommandRing {
    allocator: Allocator,
    device: ash::Device,
    slots: [Slot; IN_FLIGHT],
    turn: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    last: Option<Point>,
}

impl CommandRing {
    /// Creates the pools and their buffers.
    pub(crate) fn new(allocator: &Allocator, device: &ash::Device, family: u32) -> Result<Self> {
        let mut slots = [Slot::default(); IN_FLIGHT];
        for slot in &mut slots {
            let pool = vk::CommandPoolCreateInfo::default().queue_family_index(family);
            // SAFETY: the family is one that the device was created with, and the pool is new.
            unsafe {
                slot.pool = device.create_command_pool(&pool, None)?;
                let info = vk::CommandBufferAllocateInfo::default()
                    .command_pool(slot.pool)
                    .command_buffer_count(1);
                slot.commands = device.allocate_command_buffers(&info)?[0];
            }
        }
        Ok(Self { allocator: allocator.clone(), device: device.clone(), slots, turn: 0 })
    }

    /// Begins the oldest command buffer when the GPU is done with it.
    pub(crate) fn begin(&mut self, timeline: &Timeline) -> Result<vk::CommandBuffer> {
        let slot = &mut self.slots[self.turn];
        if let Some(point) = slot.last.take() {
            timeline.wait(point, PATIENCE)?;
        }
        let once = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the pool's only command buffer was last submitted at `last`, which is reached.
        unsafe {
            self.device.reset_command_pool(slot.pool, vk::CommandPoolResetFlags::empty())?;
            self.device.begin_command_buffer(slot.commands, &once)?;
        }
        Ok(slot.commands)
    }

    /// Notes the submission of the command buffer that was begun last, and moves on to the next
    /// one.
    pub(crate) fn submitted(&mut self, point: Point) {
        self.slots[self.turn].last = Some(point);
        self.turn = (self.turn + 1) % IN_FLIGHT;
    }
}

/// The pools are retired like everything else: they are destroyed when the GPU is done with them.
impl Drop for CommandRing {
    fn drop(&mut self) {
        for slot in &self.slots {
            // SAFETY: this owns the pool, and its commands were submitted through recordings.
            unsafe { self.allocator.retire_object(Object::CommandPool(slot.pool)) };
        }
    }
}
