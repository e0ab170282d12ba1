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
    /// Allocates and binds the memory of a video session: all of its bindings, or none. Needs
    /// [`DeviceFeatures::VIDEO_QUEUE`](crate::DeviceFeatures::VIDEO_QUEUE).
    ///
    /// The allocations are in the order in which the driver reports the bindings. You may drop them
    /// at any time. Their ranges may be reused as soon as the GPU has passed the drop, and the
    /// session must be destroyed by then: retire it together with them, as an
    /// [`Object::User`](crate::Object::User).
    ///
    /// Cost: two driver calls for the requirements, one for binding, and an allocation for each
    /// binding.
    ///
    /// # Errors
    /// The feature is not enabled ([`DescError::NotEnabled`]), the driver refuses, or there is no
    /// memory. Nothing is left behind, and the session has no memory.
    ///
    /// # Safety
    /// The session belongs to this device, and no memory is bound to it.
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
        // The layout of the pictures is up to the driver, so no buffer may share their granularity
        // pages.
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
