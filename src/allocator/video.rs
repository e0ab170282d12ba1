//! Memory for video sessions, which have several bindings.

use ash::vk;

use super::{
    Allocator,
    allocation::Allocation,
    desc::AllocationDesc,
    error::{CreateError, DescError},
};
use crate::policy::granularity::ResourceKind;

impl Allocator {
    /// Allocates the memory of a video session, all its bindings or none, and binds them. Needs
    /// [`DeviceFeatures::VIDEO_QUEUE`](crate::DeviceFeatures::VIDEO_QUEUE).
    ///
    /// The allocations are in the order of the bindings, as the driver tells them. They may be dropped at
    /// any time; the session must be destroyed by the time the ranges may be reused, so retire it with
    /// them, as an [`Object::User`](crate::Object::User).
    ///
    /// Cost: two driver calls for the requirements, one for binding, and an allocation for each binding.
    ///
    /// # Errors
    /// The feature is not on ([`DescError::NotEnabled`]), a driver that refuses, no memory. Nothing is
    /// left behind, and the session has no memory.
    ///
    /// # Safety
    /// The session is of this device, and no memory is bound to it.
    #[track_caller]
    pub unsafe fn bind_video_session(
        &self,
        session: vk::VideoSessionKHR,
        memory: &AllocationDesc,
    ) -> Result<Vec<Allocation>, CreateError> {
        let inner = self.inner();
        inner.check_open()?;
        if !inner.vulkan.has_video() {
            return Err(DescError::NotEnabled.into());
        }
        // SAFETY: the device contract, and the caller's promise.
        let bindings = unsafe { inner.vulkan.video_bindings(session) };
        let bindings = bindings.map_err(CreateError::Create)?;
        let needs: Vec<_> = bindings.iter().map(|&(_, needs)| needs).collect();
        // A driver lays pictures out as it likes there, so no buffer may lie on their pages.
        let made = self.allocate_many(&needs, ResourceKind::Optimal, memory)?;
        let bind = |(allocation, &(index, needs)): (&Allocation, &(u32, _))| {
            let needs: vk::MemoryRequirements = needs;
            vk::BindVideoSessionMemoryInfoKHR::default()
                .memory_bind_index(index)
                .memory(allocation.memory())
                .memory_offset(allocation.offset())
                .memory_size(needs.size)
        };
        let binds: Vec<_> = made.iter().zip(&bindings).map(bind).collect();
        // SAFETY: the device contract; each range satisfies its binding, and the caller says that the
        // session has no memory.
        match unsafe { inner.vulkan.bind_video(session, &binds) } {
            Ok(()) => Ok(made),
            Err(error) => {
                for allocation in made {
                    // SAFETY: the session has no memory, so the GPU knows nothing of it.
                    unsafe { allocation.free_now() };
                }
                Err(CreateError::Bind(error))
            }
        }
    }
}
