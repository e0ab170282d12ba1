//! The commands of the fake, one name for all versions of a command.

macro_rules! calls {
    ($($name:ident $kind:ident),+ $(,)?) => {
        /// A command of the fake driver. One name stands for all versions of the command:
        /// [`Call::BindBufferMemory`] is `vkBindBufferMemory`, `vkBindBufferMemory2` and
        /// `vkBindBufferMemory2KHR`. So a test remains valid whichever of them the code under test
        /// uses.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Call {
            $(#[doc = concat!("`vk", stringify!($name), "`, all versions.")] $name,)+
        }

        impl Call {
            /// All commands of the fake driver.
            pub const ALL: &'static [Call] = &[$(Call::$name),+];
            /// How many commands there are.
            pub(super) const COUNT: usize = Call::ALL.len();

            /// The name in Vulkan, without a version: `vkBindBufferMemory`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Call::$name => concat!("vk", stringify!($name)),)+
                }
            }

            /// Whether the command returns a `VkResult`, so that
            /// [`FakeDriver::fail`](super::FakeDriver::fail) has an effect on it.
            pub const fn can_fail(self) -> bool {
                match self {
                    $(Call::$name => calls!(@fails $kind),)+
                }
            }

            /// Whether a lost device makes the command return `ERROR_DEVICE_LOST`.
            pub const fn reports_loss(self) -> bool {
                match self {
                    $(Call::$name => calls!(@loses $kind),)+
                }
            }
        }
    };
    (@fails void) => { false };
    (@fails result) => { true };
    (@fails lost) => { true };
    (@loses void) => { false };
    (@loses result) => { false };
    (@loses lost) => { true };
}

calls! {
    EnumeratePhysicalDevices result,
    EnumerateDeviceExtensionProperties result,
    GetPhysicalDeviceProperties void,
    GetPhysicalDeviceFeatures void,
    GetPhysicalDeviceMemoryProperties void,
    GetPhysicalDeviceQueueFamilyProperties void,
    GetPhysicalDeviceFormatProperties void,
    GetPhysicalDeviceImageFormatProperties result,
    GetDeviceQueue void,
    DestroyDevice void,
    DestroyInstance void,
    AllocateMemory result,
    FreeMemory void,
    MapMemory result,
    UnmapMemory void,
    SetDeviceMemoryPriority void,
    FlushMappedMemoryRanges result,
    InvalidateMappedMemoryRanges result,
    GetDeviceMemoryCommitment void,
    CreateBuffer result,
    DestroyBuffer void,
    CreateImage result,
    DestroyImage void,
    CreateBufferView result,
    DestroyBufferView void,
    CreateImageView result,
    DestroyImageView void,
    CreateSampler result,
    DestroySampler void,
    GetBufferMemoryRequirements void,
    GetImageMemoryRequirements void,
    GetDeviceBufferMemoryRequirements void,
    GetDeviceImageMemoryRequirements void,
    BindBufferMemory result,
    BindImageMemory result,
    GetBufferDeviceAddress void,
    GetPhysicalDeviceExternalBufferProperties void,
    GetMemoryFd result,
    GetMemoryFdProperties result,
    GetMemoryHostPointerProperties result,
    CreateVideoSession result,
    DestroyVideoSession void,
    GetVideoSessionMemoryRequirements result,
    BindVideoSessionMemory result,
    CreateFence result,
    DestroyFence void,
    ResetFences result,
    GetFenceStatus lost,
    WaitForFences lost,
    CreateSemaphore result,
    DestroySemaphore void,
    GetSemaphoreCounterValue lost,
    SignalSemaphore result,
    WaitSemaphores lost,
    QueueSubmit lost,
    QueueWaitIdle lost,
    DeviceWaitIdle lost,
    CreateCommandPool result,
    DestroyCommandPool void,
    ResetCommandPool result,
    AllocateCommandBuffers result,
    FreeCommandBuffers void,
    BeginCommandBuffer result,
    EndCommandBuffer result,
    ResetCommandBuffer result,
    CmdCopyBuffer void,
    CmdFillBuffer void,
    CmdUpdateBuffer void,
    CmdCopyImage void,
    CmdCopyBufferToImage void,
    CmdCopyImageToBuffer void,
    CmdPipelineBarrier void,
    CmdBindPipeline void,
    CmdBindDescriptorSets void,
    CmdDispatch void,
    CreateShaderModule result,
    DestroyShaderModule void,
    CreatePipelineLayout result,
    DestroyPipelineLayout void,
    CreateComputePipelines result,
    DestroyPipeline void,
    CreateDescriptorSetLayout result,
    DestroyDescriptorSetLayout void,
    CreateDescriptorPool result,
    DestroyDescriptorPool void,
    ResetDescriptorPool result,
    AllocateDescriptorSets result,
    FreeDescriptorSets result,
    UpdateDescriptorSets void,
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn all_lists_every_call_once_at_its_own_index() {
        for (index, call) in Call::ALL.iter().enumerate() {
            assert_eq!(*call as usize, index);
            assert!(call.name().starts_with("vk"));
            assert!(call.can_fail() || !call.reports_loss());
        }
    }
}
