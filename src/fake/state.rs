//! The state of a fake device: its objects, heaps, queues and violations, under one lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ash::vk;

use super::call::Call;
use super::command::{Command, CommandPool};
use super::descriptor::{DescriptorPool, DescriptorSet, SetLayout};
use super::entry::Arena;
use super::memory::Memory;
use super::object::Object;
use super::profile::Profile;
use super::queue::Queue;
use super::resource::{Resource, View};
use super::shader::{Module, Pipeline};
use super::slab::Slab;
use super::sync::{Fence, Semaphore};
use super::track::{Busy, Kind};
use super::video::VideoSession;
use super::violation::{Violation, Violations};

pub(super) struct State {
    pub(super) profile: Arc<Profile>,
    pub(super) memories: Slab<vk::DeviceMemory, Memory>,
    pub(super) buffers: Slab<vk::Buffer, Resource>,
    pub(super) images: Slab<vk::Image, Resource>,
    pub(super) buffer_views: Slab<vk::BufferView, View<vk::Buffer>>,
    pub(super) image_views: Slab<vk::ImageView, View<vk::Image>>,
    pub(super) samplers: Slab<vk::Sampler, Busy>,
    pub(super) fences: Slab<vk::Fence, Fence>,
    pub(super) semaphores: Slab<vk::Semaphore, Semaphore>,
    pub(super) set_layouts: Slab<vk::DescriptorSetLayout, SetLayout>,
    pub(super) descriptor_pools: Slab<vk::DescriptorPool, DescriptorPool>,
    pub(super) descriptor_sets: Slab<vk::DescriptorSet, DescriptorSet>,
    pub(super) command_pools: Slab<vk::CommandPool, CommandPool>,
    pub(super) modules: Slab<vk::ShaderModule, Module>,
    pub(super) pipeline_layouts: Slab<vk::PipelineLayout, Busy>,
    pub(super) pipelines: Slab<vk::Pipeline, Pipeline>,
    pub(super) video_sessions: Slab<vk::VideoSessionKHR, VideoSession>,
    pub(super) commands: HashMap<vk::CommandBuffer, Command>,
    /// The handles of command buffers, which are pointers.
    pub(super) arena: Arena,
    pub(super) queues: Vec<Queue>,
    /// The queue that goes first when a wait moves the clock.
    pub(super) next_queue: usize,
    /// The number of the last batch.
    pub(super) last_submission: u64,
    /// Bytes allocated from each heap.
    pub(super) heap_used: Vec<u64>,
    /// The most bytes that were ever allocated from each heap at a time.
    pub(super) heap_peak: Vec<u64>,
    /// The budget of each heap, and the bytes that other processes use of it.
    pub(super) budgets: Vec<Budget>,
    /// The device address of the next memory.
    pub(super) next_address: u64,
    pub(super) automatic: bool,
    pub(super) aliasing: bool,
    pub(super) judges_order: bool,
    pub(super) patience: Duration,
    pub(super) violations: Violations,
}

/// What `VK_EXT_memory_budget` reports about a heap.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    pub(super) budget: u64,
    pub(super) used_by_others: u64,
}

/// The number of live objects of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Live {
    /// `VkDeviceMemory`.
    pub memories: usize,
    /// `VkBuffer`.
    pub buffers: usize,
    /// `VkImage`.
    pub images: usize,
    /// `VkBufferView`.
    pub buffer_views: usize,
    /// `VkImageView`.
    pub image_views: usize,
    /// `VkSampler`.
    pub samplers: usize,
    /// `VkFence`.
    pub fences: usize,
    /// `VkSemaphore`.
    pub semaphores: usize,
    /// `VkDescriptorSetLayout`.
    pub descriptor_set_layouts: usize,
    /// `VkDescriptorPool`.
    pub descriptor_pools: usize,
    /// `VkDescriptorSet`.
    pub descriptor_sets: usize,
    /// `VkCommandPool`.
    pub command_pools: usize,
    /// `VkShaderModule`.
    pub shader_modules: usize,
    /// `VkPipelineLayout`.
    pub pipeline_layouts: usize,
    /// `VkPipeline`.
    pub pipelines: usize,
    /// `VkVideoSessionKHR`.
    pub video_sessions: usize,
}

impl Live {
    /// The sum of all.
    pub fn total(&self) -> usize {
        let resources = self.memories + self.buffers + self.images;
        let views = self.buffer_views + self.image_views + self.samplers;
        let descriptors =
            self.descriptor_set_layouts + self.descriptor_pools + self.descriptor_sets;
        let pipelines = self.shader_modules + self.pipeline_layouts + self.pipelines;
        let sync = self.fences + self.semaphores + self.video_sessions;
        resources + views + descriptors + pipelines + sync + self.command_pools
    }
}

impl State {
    pub(super) fn new(profile: Arc<Profile>, queues: Vec<Queue>, arena: Arena) -> State {
        let budget = |heap: &(u64, _)| Budget { budget: heap.0, used_by_others: 0 };
        State {
            heap_used: vec![0; profile.heaps.len()],
            heap_peak: vec![0; profile.heaps.len()],
            budgets: profile.heaps.iter().map(budget).collect(),
            profile,
            memories: Slab::default(),
            buffers: Slab::default(),
            images: Slab::default(),
            buffer_views: Slab::default(),
            image_views: Slab::default(),
            samplers: Slab::default(),
            fences: Slab::default(),
            semaphores: Slab::default(),
            set_layouts: Slab::default(),
            descriptor_pools: Slab::default(),
            descriptor_sets: Slab::default(),
            command_pools: Slab::default(),
            modules: Slab::default(),
            pipeline_layouts: Slab::default(),
            pipelines: Slab::default(),
            video_sessions: Slab::default(),
            commands: HashMap::new(),
            arena,
            queues,
            next_queue: 0,
            last_submission: 0,
            next_address: 1 << 32,
            automatic: false,
            aliasing: false,
            judges_order: false,
            patience: Duration::ZERO,
            violations: Violations::default(),
        }
    }

    #[cold]
    pub(super) fn report(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    pub(super) fn live(&self) -> Live {
        Live {
            memories: self.memories.len(),
            buffers: self.buffers.len(),
            images: self.images.len(),
            buffer_views: self.buffer_views.len(),
            image_views: self.image_views.len(),
            samplers: self.samplers.len(),
            fences: self.fences.len(),
            semaphores: self.semaphores.len(),
            descriptor_set_layouts: self.set_layouts.len(),
            descriptor_pools: self.descriptor_pools.len(),
            descriptor_sets: self.descriptor_sets.len(),
            command_pools: self.command_pools.len(),
            shader_modules: self.modules.len(),
            pipeline_layouts: self.pipeline_layouts.len(),
            pipelines: self.pipelines.len(),
            video_sessions: self.video_sessions.len(),
        }
    }

    /// Adds a violation for each live object and each queue with pending work. Sets and command
    /// buffers belong to their pools and are not listed.
    pub(super) fn leaks(&self, violations: &mut Violations) {
        fn all<H: vk::Handle, T>(
            slab: &Slab<H, T>,
            size: impl Fn(&T) -> u64,
            out: &mut Violations,
        ) {
            for (handle, value) in slab.iter() {
                out.push(Violation::Leak { object: Object::of(handle), size: size(value) });
            }
        }
        for (index, queue) in self.queues.iter().enumerate() {
            let count = queue.pending.len();
            if count > 0 {
                violations.push(Violation::StillPending { queue: index as u32, count });
            }
        }
        all(&self.buffers, |b| b.requirements.size, violations);
        all(&self.images, |i| i.requirements.size, violations);
        all(&self.memories, |m| m.size, violations);
        all(&self.buffer_views, |_| 0, violations);
        all(&self.image_views, |_| 0, violations);
        all(&self.samplers, |_| 0, violations);
        all(&self.fences, |_| 0, violations);
        all(&self.semaphores, |_| 0, violations);
        all(&self.set_layouts, |_| 0, violations);
        all(&self.descriptor_pools, |_| 0, violations);
        all(&self.command_pools, |_| 0, violations);
        all(&self.modules, |_| 0, violations);
        all(&self.pipeline_layouts, |_| 0, violations);
        all(&self.pipelines, |_| 0, violations);
        all(&self.video_sessions, |_| 0, violations);
    }
}

macro_rules! kinds {
    ($($handle:ident in $slab:ident: $value:ty, $destroy:ident;)+) => {
        $(impl Kind for vk::$handle {
            type Value = $value;
            const DESTROY: Call = Call::$destroy;

            fn slab(state: &mut State) -> &mut Slab<Self, $value> {
                &mut state.$slab
            }
        })+
    };
}

// Kinds whose destruction changes nothing else. The others are beside their values.
kinds! {
    BufferView in buffer_views: View<vk::Buffer>, DestroyBufferView;
    ImageView in image_views: View<vk::Image>, DestroyImageView;
    Sampler in samplers: Busy, DestroySampler;
    Fence in fences: Fence, DestroyFence;
    Semaphore in semaphores: Semaphore, DestroySemaphore;
    DescriptorSetLayout in set_layouts: SetLayout, DestroyDescriptorSetLayout;
    ShaderModule in modules: Module, DestroyShaderModule;
    PipelineLayout in pipeline_layouts: Busy, DestroyPipelineLayout;
    Pipeline in pipelines: Pipeline, DestroyPipeline;
    VideoSessionKHR in video_sessions: VideoSession, DestroyVideoSession;
}
