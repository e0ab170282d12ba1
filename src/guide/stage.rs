// Hidden lines of the guide's examples: a fake GPU, an allocator over it, and a timeline for its
// first queue. An example that breaks a Vulkan rule or leaves an object behind fails when the stage
// is dropped.

use fencepost::{
    Allocator, AllocatorDesc, DeviceFeatures, Timeline,
    fake::{FakeDriver, Profile},
    vk,
};

pub struct Stage {
    pub fake: FakeDriver,
    pub allocator: Allocator,
    pub frames: Timeline,
}

impl Stage {
    #[allow(dead_code)]
    pub fn new() -> Stage {
        Stage::on(&Profile::default())
    }

    pub fn on(profile: &Profile) -> Stage {
        let fake = FakeDriver::new(profile);
        let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device())
            .api_version(vk::API_VERSION_1_3)
            .features(DeviceFeatures::all() - DeviceFeatures::PROTECTED_MEMORY - DeviceFeatures::DEVICE_COHERENT_MEMORY);
        let allocator = unsafe { Allocator::new(&desc) }.expect("it has memory types");
        let frames = allocator.timeline(fake.queue(0)).expect("it has timeline semaphores");
        Stage { fake, allocator, frames }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        unsafe { self.allocator.shutdown() }.expect("the fake can wait");
        if !std::thread::panicking() {
            self.fake.finish().expect("an example breaks no rule");
        }
    }
}
