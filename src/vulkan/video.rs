//! Video sessions: the memory requirements of their bindings, and binding them.

use ash::vk;

use super::Vulkan;

/// A binding of a video session: its index and its memory requirements.
pub(crate) type VideoBinding = (u32, vk::MemoryRequirements);

impl Vulkan {
    /// Whether video sessions can be queried.
    pub(crate) fn has_video(&self) -> bool {
        self.video.is_some()
    }

    /// The memory requirements of the bindings of a video session.
    ///
    /// # Safety
    /// The device contract.
    pub(crate) unsafe fn video_bindings(
        &self,
        session: vk::VideoSessionKHR,
    ) -> Result<Vec<VideoBinding>, vk::Result> {
        let table = self.video.as_ref().ok_or(vk::Result::ERROR_FEATURE_NOT_PRESENT)?;
        let ask = table.fp().get_video_session_memory_requirements_khr;
        let device = self.device.handle();
        let mut count = 0;
        // SAFETY: the device contract; without a list the call tells how long it is.
        unsafe { ask(device, session, &raw mut count, core::ptr::null_mut()) }.result()?;
        let mut all = vec![vk::VideoSessionMemoryRequirementsKHR::default(); count as usize];
        // SAFETY: the device contract; the list has `count` elements.
        unsafe { ask(device, session, &raw mut count, all.as_mut_ptr()) }.result()?;
        all.truncate(count as usize);
        let each = |one: &vk::VideoSessionMemoryRequirementsKHR<'_>| {
            (one.memory_bind_index, one.memory_requirements)
        };
        Ok(all.iter().map(each).collect())
    }

    /// `vkBindVideoSessionMemoryKHR`: all bindings at once.
    ///
    /// # Safety
    /// The device contract; each range satisfies its binding, and the session has no memory yet.
    pub(crate) unsafe fn bind_video(
        &self,
        session: vk::VideoSessionKHR,
        binds: &[vk::BindVideoSessionMemoryInfoKHR<'_>],
    ) -> Result<(), vk::Result> {
        let table = self.video.as_ref().ok_or(vk::Result::ERROR_FEATURE_NOT_PRESENT)?;
        let bind = table.fp().bind_video_session_memory_khr;
        // SAFETY: the device contract and the caller's promise.
        unsafe { bind(self.device.handle(), session, binds.len() as u32, binds.as_ptr()) }.result()
    }
}
