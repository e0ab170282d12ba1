//! Descriptor pools, kept by `gpu-descriptor`, and the sets that wait for the GPU.
//!
//! Vulkan wants descriptor pools synchronised from outside, so this is the one lock that is held
//! across driver calls. `gpu-descriptor`'s types stay in this file.

use core::cell::{Cell, RefCell};
use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use ash::vk;
use gpu_descriptor::{
    AllocationError, CreatePoolError, DescriptorAllocator, DescriptorDevice,
    DescriptorPoolCreateFlags, DescriptorSetLayoutCreateFlags, DescriptorTotalCount,
    DeviceAllocationError,
};

use super::share::{Extent, Lately};
use crate::{
    ground::{published::Published, sync::lock},
    retire::{BagNumber, Bags, Reached},
    vulkan::Vulkan,
};

/// How many descriptors of each type a layout has. Arrays count with their length.
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
    /// The layout was made with `UPDATE_AFTER_BIND_POOL`.
    pub update_after_bind: bool,
}

impl DescriptorCounts {
    /// No descriptors: a start for struct updates in constants.
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

    /// What the pool library adds up, if it stays far from overflow even for its largest pools.
    pub(super) fn is_countable(&self) -> bool {
        let total = self.total();
        let sizes = pool_sizes(&total);
        let sum: u64 = sizes.iter().map(|size| u64::from(size.descriptor_count)).sum();
        (1..=u64::from(u32::MAX) / 4096).contains(&sum)
    }
}

/// Why no descriptor set was made. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// A set of no descriptors, or of more than a million.
    #[error("a set of no descriptors, or of more than a million")]
    Counts,
    /// The device is out of memory.
    #[error("out of device memory")]
    OutOfDeviceMemory,
    /// The host is out of memory.
    #[error("out of host memory")]
    OutOfHostMemory,
    /// Pools are too fragmented, or hold all update-after-bind descriptors that the device allows.
    #[error("descriptor pools are fragmented or exhausted")]
    Fragmented,
    /// A new pool did not have room for its first set: counts and layout do not match, or the
    /// driver's pools are smaller than it says.
    #[error("a new pool has no room: do the counts match the layout?")]
    OutOfPoolMemory,
    /// The device is lost.
    #[error("the device is lost")]
    DeviceLost,
    /// The allocator has been shut down.
    #[error("the allocator has been shut down")]
    ShutDown,
    /// The driver refused for another reason.
    #[error("the driver refused: {0}")]
    Driver(vk::Result),
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

/// All descriptor sets of an allocator: the pools, and what waits for the GPU.
pub(super) struct DescriptorLane {
    state: Mutex<State>,
    /// The oldest bag with a set in it; a hint that saves `collect` the lock.
    oldest: AtomicU64,
    /// How many live, and how many wait.
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

struct State {
    allocator: DescriptorAllocator<Pool, vk::DescriptorSet>,
    bags: Bags<Counted>,
    retired: Lately,
    /// Every pool that exists, so that the end can destroy them with sets still out.
    pools: Vec<vk::DescriptorPool>,
}

impl Default for State {
    fn default() -> Self {
        // The driver knows the limit on update-after-bind descriptors and says so by itself.
        Self {
            allocator: DescriptorAllocator::new(u32::MAX),
            bags: Bags::new(),
            retired: Lately::default(),
            pools: Vec::new(),
        }
    }
}

/// A pool, and whether a set has come from it: a pool that fails its first set never will do.
struct Pool {
    handle: vk::DescriptorPool,
    used: bool,
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
        self.live.subtract(1);
        let (current, reached) = bags();
        if current.is_reached(reached) {
            state.free(vulkan, vec![set]);
        } else {
            state.bags.file(current, set);
            state.retired.note(collects);
            self.publish(&state);
        }
    }

    /// Frees the sets that are reached, or a collect's share of them; `collect` is its number. Returns
    /// how many, and whether reached ones are left.
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
        let most = state.retired.most(extent, collect);
        let mut sets = Vec::new();
        let more = state.bags.take_reached_at_most(most, reached, &mut sets);
        self.publish(&state);
        (state.free(vulkan, sets), more)
    }

    fn publish(&self, state: &State) {
        self.oldest.store(state.bags.oldest().get(), Ordering::Relaxed);
        self.pending.set(state.bags.len() as u64);
    }

    /// Frees the sets that wait, reached or not. Returns how many.
    pub(super) fn collect_everything(&self, vulkan: &Vulkan) -> u64 {
        let mut state = lock(&self.state);
        let mut sets = Vec::new();
        state.bags.take_all(&mut sets);
        self.publish(&state);
        state.free(vulkan, sets)
    }

    /// Destroys every pool, with the sets that live.
    pub(super) fn destroy_all(&self, vulkan: &Vulkan) {
        let mut locked = lock(&self.state);
        let State { allocator, pools, .. } = core::mem::take(&mut *locked);
        self.publish(&locked);
        let live = self.live.get();
        self.live.set(0);
        drop(locked);
        if live > 0 {
            // The library would complain about sets that are not freed: their pools go below.
            core::mem::forget(allocator);
        }
        for pool in pools {
            // SAFETY: the device contract; the device is idle or lost.
            unsafe { vulkan.device().destroy_descriptor_pool(pool, None) };
        }
    }

    /// Sets that live, and sets that wait. No lock.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.live.get(), self.pending.get())
    }
}

impl State {
    /// Gives sets back, one bucket a call: in a mixed call `gpu-descriptor` 0.3.2 charges the first
    /// set of each bucket to the bucket before it.
    fn free(&mut self, vulkan: &Vulkan, sets: Vec<Counted>) -> u64 {
        let freed = sets.len() as u64;
        let device = Driver::new(vulkan, &mut self.pools);
        let mut sets = sets.into_iter().peekable();
        while let Some(Counted { set, counts }) = sets.next() {
            let mut bucket = vec![set];
            while let Some(next) = sets.next_if(|next| next.counts == counts) {
                bucket.push(next.set);
            }
            // SAFETY: the sets came from this allocator and device, and no work uses them.
            unsafe { self.allocator.free(&device, bucket) };
        }
        freed
    }
}

/// What the pool library calls: descriptor pools over ash. No `VkResult` makes it panic.
struct Driver<'a> {
    vulkan: &'a Vulkan,
    pools: RefCell<&'a mut Vec<vk::DescriptorPool>>,
    /// The last thing the driver said, which the library's errors cannot tell.
    last: Cell<vk::Result>,
}

impl<'a> Driver<'a> {
    fn new(vulkan: &'a Vulkan, pools: &'a mut Vec<vk::DescriptorPool>) -> Self {
        Self { vulkan, pools: RefCell::new(pools), last: Cell::new(vk::Result::SUCCESS) }
    }

    fn explain(&self, error: AllocationError) -> DescriptorError {
        match (self.last.get(), error) {
            (vk::Result::ERROR_OUT_OF_DEVICE_MEMORY, _) => DescriptorError::OutOfDeviceMemory,
            (vk::Result::ERROR_OUT_OF_HOST_MEMORY, _) => DescriptorError::OutOfHostMemory,
            (vk::Result::ERROR_OUT_OF_POOL_MEMORY, _) => DescriptorError::OutOfPoolMemory,
            (vk::Result::ERROR_FRAGMENTED_POOL | vk::Result::ERROR_FRAGMENTATION, _) => {
                DescriptorError::Fragmented
            }
            (vk::Result::ERROR_DEVICE_LOST, _) => DescriptorError::DeviceLost,
            (vk::Result::SUCCESS, AllocationError::OutOfDeviceMemory) => {
                DescriptorError::OutOfDeviceMemory
            }
            (vk::Result::SUCCESS, AllocationError::OutOfHostMemory) => {
                DescriptorError::OutOfHostMemory
            }
            (vk::Result::SUCCESS, AllocationError::Fragmentation) => DescriptorError::Fragmented,
            (other, _) => DescriptorError::Driver(other),
        }
    }
}

fn pool_sizes(count: &DescriptorTotalCount) -> smallvec::SmallVec<[vk::DescriptorPoolSize; 12]> {
    use vk::DescriptorType as T;
    let sizes = [
        (T::SAMPLER, count.sampler),
        (T::COMBINED_IMAGE_SAMPLER, count.combined_image_sampler),
        (T::SAMPLED_IMAGE, count.sampled_image),
        (T::STORAGE_IMAGE, count.storage_image),
        (T::UNIFORM_TEXEL_BUFFER, count.uniform_texel_buffer),
        (T::STORAGE_TEXEL_BUFFER, count.storage_texel_buffer),
        (T::UNIFORM_BUFFER, count.uniform_buffer),
        (T::STORAGE_BUFFER, count.storage_buffer),
        (T::UNIFORM_BUFFER_DYNAMIC, count.uniform_buffer_dynamic),
        (T::STORAGE_BUFFER_DYNAMIC, count.storage_buffer_dynamic),
        (T::INPUT_ATTACHMENT, count.input_attachment),
        (T::ACCELERATION_STRUCTURE_KHR, count.acceleration_structure),
    ];
    let named = sizes.into_iter().filter(|&(_, count)| count > 0);
    named.map(|(ty, descriptor_count)| vk::DescriptorPoolSize { ty, descriptor_count }).collect()
}

impl DescriptorDevice<vk::DescriptorSetLayout, Pool, vk::DescriptorSet> for Driver<'_> {
    unsafe fn create_descriptor_pool(
        &self,
        count: &DescriptorTotalCount,
        max_sets: u32,
        flags: DescriptorPoolCreateFlags,
    ) -> Result<Pool, CreatePoolError> {
        let mut pool_flags = vk::DescriptorPoolCreateFlags::empty();
        if flags.contains(DescriptorPoolCreateFlags::FREE_DESCRIPTOR_SET) {
            pool_flags |= vk::DescriptorPoolCreateFlags::FREE_DESCRIPTOR_SET;
        }
        if flags.contains(DescriptorPoolCreateFlags::UPDATE_AFTER_BIND) {
            pool_flags |= vk::DescriptorPoolCreateFlags::UPDATE_AFTER_BIND;
        }
        let sizes = pool_sizes(count);
        let info = vk::DescriptorPoolCreateInfo::default()
            .flags(pool_flags)
            .max_sets(max_sets)
            .pool_sizes(&sizes);
        // SAFETY: the device contract.
        match unsafe { self.vulkan.device().create_descriptor_pool(&info, None) } {
            Ok(handle) => {
                self.pools.borrow_mut().push(handle);
                Ok(Pool { handle, used: false })
            }
            Err(error) => {
                self.last.set(error);
                Err(match error {
                    vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => CreatePoolError::OutOfDeviceMemory,
                    vk::Result::ERROR_FRAGMENTATION => CreatePoolError::Fragmentation,
                    _ => CreatePoolError::OutOfHostMemory,
                })
            }
        }
    }

    unsafe fn destroy_descriptor_pool(&self, pool: Pool) {
        self.pools.borrow_mut().retain(|&known| known != pool.handle);
        // SAFETY: the device contract; the library destroys empty pools only.
        unsafe { self.vulkan.device().destroy_descriptor_pool(pool.handle, None) };
    }

    unsafe fn alloc_descriptor_sets<'a>(
        &self,
        pool: &mut Pool,
        layouts: impl ExactSizeIterator<Item = &'a vk::DescriptorSetLayout>,
        sets: &mut impl Extend<vk::DescriptorSet>,
    ) -> Result<(), DeviceAllocationError> {
        let layouts: smallvec::SmallVec<[_; 4]> = layouts.copied().collect();
        let info = vk::DescriptorSetAllocateInfo::default()
            .descriptor_pool(pool.handle)
            .set_layouts(&layouts);
        // SAFETY: the device contract; the lane's lock is held, so nobody else uses the pool.
        match unsafe { self.vulkan.device().allocate_descriptor_sets(&info) } {
            Ok(made) => {
                pool.used = true;
                sets.extend(made);
                Ok(())
            }
            Err(error) => {
                self.last.set(error);
                Err(match error {
                    vk::Result::ERROR_FRAGMENTED_POOL if pool.used => {
                        DeviceAllocationError::FragmentedPool
                    }
                    vk::Result::ERROR_OUT_OF_POOL_MEMORY if pool.used => {
                        DeviceAllocationError::OutOfPoolMemory
                    }
                    vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => {
                        DeviceAllocationError::OutOfDeviceMemory
                    }
                    // Also a new pool without room: the library takes that for impossible.
                    _ => DeviceAllocationError::OutOfHostMemory,
                })
            }
        }
    }

    unsafe fn dealloc_descriptor_sets(
        &self,
        pool: &mut Pool,
        sets: impl Iterator<Item = vk::DescriptorSet>,
    ) {
        let sets: smallvec::SmallVec<[_; 16]> = sets.collect();
        // SAFETY: the device contract; the sets are of this pool and no work uses them. Vulkan
        // knows no failure of this call.
        let _ = unsafe { self.vulkan.device().free_descriptor_sets(pool.handle, &sets) };
    }
}
