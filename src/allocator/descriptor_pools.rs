//! Descriptor pools, managed by `gpu-descriptor`, and the sets that wait for the GPU.
//!
//! Vulkan requires external synchronisation of descriptor pools, so this is the one lock that is
//! held across driver calls. The types of `gpu-descriptor` are used only in this file and in that
//! of its driver.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use ash::vk;
use gpu_descriptor::{DescriptorAllocator, DescriptorSetLayoutCreateFlags, DescriptorTotalCount};
use smallvec::SmallVec;

use super::{
    descriptor_driver::{DescriptorError, Driver, FEW, Pool, pool_sizes},
    share::{Extent, Lately},
};
use crate::{
    ground::{published::Published, sync::lock},
    retire::{BagNumber, Bags, Reached},
    vulkan::Vulkan,
};

/// How many descriptors of each type a layout contains. Arrays count with their length.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs, reason = "each field is Vulkan's descriptor type of that name")]
pub struct DescriptorCounts {
    pub sampler: u32,
    pub combined_image_sampler: u32,
    pub sampled_image: u32,
    pub storage_image: u32,
    pub uniform_texel_buffer: u32,
    pub storage_texel_buffer: u32,
    pub uniform_buffer: u32,
    pub storage_buffer: u32,
    pub uniform_buffer_dynamic: u32,
    pub storage_buffer_dynamic: u32,
    pub input_attachment: u32,
    pub acceleration_structure: u32,
    /// Whether the layout was created with `UPDATE_AFTER_BIND_POOL`.
    pub update_after_bind: bool,
}

impl DescriptorCounts {
    /// No descriptors: a base for struct update syntax in constants.
    pub const EMPTY: Self = Self {
        sampler: 0,
        combined_image_sampler: 0,
        sampled_image: 0,
        storage_image: 0,
        uniform_texel_buffer: 0,
        storage_texel_buffer: 0,
        uniform_buffer: 0,
        storage_buffer: 0,
        uniform_buffer_dynamic: 0,
        storage_buffer_dynamic: 0,
        input_attachment: 0,
        acceleration_structure: 0,
        update_after_bind: false,
    };

    fn total(&self) -> DescriptorTotalCount {
        DescriptorTotalCount {
            sampler: self.sampler,
            combined_image_sampler: self.combined_image_sampler,
            sampled_image: self.sampled_image,
            storage_image: self.storage_image,
            uniform_texel_buffer: self.uniform_texel_buffer,
            storage_texel_buffer: self.storage_texel_buffer,
            uniform_buffer: self.uniform_buffer,
            storage_buffer: self.storage_buffer,
            uniform_buffer_dynamic: self.uniform_buffer_dynamic,
            storage_buffer_dynamic: self.storage_buffer_dynamic,
            input_attachment: self.input_attachment,
            acceleration_structure: self.acceleration_structure,
            inline_uniform_block_bytes: 0,
            inline_uniform_block_bindings: 0,
        }
    }

    /// Whether the sums of the pool library stay far from overflow even for its largest pools.
    pub(super) fn is_countable(&self) -> bool {
        let total = self.total();
        let sizes = pool_sizes(&total);
        let sum: u64 = sizes.iter().map(|size| u64::from(size.descriptor_count)).sum();
        (1..=u64::from(u32::MAX) / 4096).contains(&sum)
    }
}

/// A set of the pool library, and the bucket it belongs to.
#[derive(Debug)]
pub(super) struct Counted {
    set: gpu_descriptor::DescriptorSet<vk::DescriptorSet>,
    counts: DescriptorCounts,
}

impl Counted {
    pub(super) fn handle(&self) -> vk::DescriptorSet {
        *self.set.raw()
    }
}

/// All descriptor sets of an allocator: the pools, and the sets that wait for the GPU.
pub(super) struct DescriptorLane {
    state: Mutex<State>,
    /// The oldest bag that contains a set; a hint that saves `collect` the lock.
    oldest: AtomicU64,
    /// The numbers of live and of waiting sets.
    live: Published,
    pending: Published,
}

impl Default for DescriptorLane {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            oldest: AtomicU64::new(BagNumber::NEVER.get()),
            live: Published::default(),
            pending: Published::default(),
        }
    }
}

type Sets = SmallVec<[Counted; FEW]>;

struct State {
    allocator: DescriptorAllocator<Pool, vk::DescriptorSet>,
    bags: Bags<Counted>,
    retired: Lately,
    /// Every existing pool, so that the pools can be destroyed at the end even if sets still exist.
    pools: Vec<vk::DescriptorPool>,
}

impl Default for State {
    fn default() -> Self {
        // The driver knows the limit on update-after-bind descriptors and reports it itself.
        Self {
            allocator: DescriptorAllocator::new(u32::MAX),
            bags: Bags::new(),
            retired: Lately::default(),
            pools: Vec::new(),
        }
    }
}

impl DescriptorLane {
    pub(super) fn allocate(
        &self,
        vulkan: &Vulkan,
        layout: vk::DescriptorSetLayout,
        counts: &DescriptorCounts,
    ) -> Result<Counted, DescriptorError> {
        let mut state = lock(&self.state);
        let State { allocator, pools, .. } = &mut *state;
        let device = Driver::new(vulkan, pools);
        let flags = match counts.update_after_bind {
            true => DescriptorSetLayoutCreateFlags::UPDATE_AFTER_BIND,
            false => DescriptorSetLayoutCreateFlags::empty(),
        };
        // SAFETY: the caller of `create_descriptor_set` promised that counts and layout match; the
        // same device stands behind every call.
        let made = unsafe { allocator.allocate(&device, &layout, flags, &counts.total(), 1) };
        match made.map(|mut sets| sets.pop()) {
            Ok(Some(set)) => {
                self.live.add(1);
                Ok(Counted { set, counts: *counts })
            }
            Ok(None) => Err(DescriptorError::OutOfPoolMemory),
            Err(error) => Err(device.explain(error)),
        }
    }

    pub(super) fn retire(
        &self,
        vulkan: &Vulkan,
        set: Counted,
        collects: u64,
        bags: impl FnOnce() -> (BagNumber, BagNumber),
    ) {
        let mut state = lock(&self.state);
        let (current, reached) = bags();
        if current.is_reached(reached) {
            state.free(vulkan, [set]);
        } else if state.bags.reserve(current).is_ok() {
            state.bags.file(current, set);
            state.retired.note(collects);
            self.publish(&state);
        } else {
            // The host has no memory to store it, so it lives until its pool is destroyed with the allocator.
            return;
        }
        self.live.subtract(1);
    }

    /// Frees the sets that are reached, or a collect's share of them; `collect` is the number of
    /// the collect. Returns how many were freed, and whether reached ones are left.
    pub(super) fn collect(
        &self,
        vulkan: &Vulkan,
        reached: &Reached,
        extent: Extent,
        collect: u64,
    ) -> (u64, bool) {
        if self.oldest.load(Ordering::Relaxed) > reached.bag().get() {
            return (0, false);
        }
        let mut state = lock(&self.state);
        let mut most = state.retired.most(extent, collect);
        let mut freed = 0;
        let mut more = true;
        while more && most > 0 {
            let mut sets = Sets::new();
            more = state.bags.take_reached_at_most(most.min(FEW), reached, &mut sets);
            most -= sets.len();
            freed += state.free(vulkan, sets);
        }
        self.publish(&state);
        (freed, more)
    }

    fn publish(&self, state: &State) {
        self.oldest.store(state.bags.oldest().get(), Ordering::Relaxed);
        self.pending.set(state.bags.len() as u64);
    }

    /// Frees the waiting sets, reached or not. Returns how many.
    pub(super) fn collect_everything(&self, vulkan: &Vulkan) -> u64 {
        let mut state = lock(&self.state);
        let mut freed = 0;
        while !state.bags.is_empty() {
            // All at once or, without memory for that, a few at a time.
            let mut sets = Sets::new();
            let many = sets.try_reserve(state.bags.len()).map_or(FEW, |()| usize::MAX);
            state.bags.take_bags(many, BagNumber::NEVER, &mut sets);
            freed += state.free(vulkan, sets);
        }
        self.publish(&state);
        freed
    }

    /// Destroys every pool, including its live sets.
    pub(super) fn destroy_all(&self, vulkan: &Vulkan) {
        let mut locked = lock(&self.state);
        let State { allocator, pools, .. } = core::mem::take(&mut *locked);
        self.publish(&locked);
        let live = self.live.get();
        self.live.set(0);
        drop(locked);
        if live > 0 {
            // The library would complain about sets that are not freed, but their pools are destroyed below.
            core::mem::forget(allocator);
        }
        for pool in pools {
            // SAFETY: the device contract; the device is idle or lost.
            unsafe { vulkan.device().destroy_descriptor_pool(pool, None) };
        }
    }

    /// The numbers of live and of waiting sets. No lock.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.live.get(), self.pending.get())
    }
}

impl State {
    /// Frees sets, a few of one bucket per call: in a mixed call, `gpu-descriptor` 0.3.2 charges
    /// the first set of each bucket to the previous bucket.
    fn free(&mut self, vulkan: &Vulkan, sets: impl IntoIterator<Item = Counted>) -> u64 {
        let mut freed = 0;
        let device = Driver::new(vulkan, &mut self.pools);
        let mut sets = sets.into_iter().peekable();
        while let Some(Counted { set, counts }) = sets.next() {
            let others = core::iter::from_fn(|| sets.next_if(|next| next.counts == counts));
            let others = others.take(FEW - 1).map(|other| other.set);
            let bucket = core::iter::once(set).chain(others);
            // SAFETY: the sets came from this allocator and device, and no work uses them.
            unsafe { self.allocator.free(&device, bucket.inspect(|_| freed += 1)) };
        }
        freed
    }
}
