//! Descriptor pools and sets. They are counted, and what was written into them is tracked.

use std::collections::BTreeMap;

use ash::vk;
use ash::vk::Handle;

use super::call::Call;
use super::object::Object;
use super::resource::ResourceId;
use super::slab::Slab;
use super::state::State;
use super::track::{Busy, Kind, tracked};
use super::uses::{Touch, Touched};
use super::violation::Violation;

/// Descriptors by type. This is a list of pairs because the values of types are small numbers or
/// belong to extensions.
pub(super) type Counts = Vec<(vk::DescriptorType, u32)>;

pub(super) struct SetLayout {
    pub(super) counts: Counts,
    /// Whether some binding may be written while it is in use.
    pub(super) update_after_bind: bool,
    pub(super) busy: Busy,
}

pub(super) struct DescriptorPool {
    pub(super) free_one_by_one: bool,
    pub(super) sets_left: u32,
    pub(super) left: Counts,
    pub(super) sets: Vec<vk::DescriptorSet>,
    pub(super) busy: Busy,
}

pub(super) struct DescriptorSet {
    pool: vk::DescriptorPool,
    counts: Counts,
    update_after_bind: bool,
    /// The index in the list of the pool.
    place: usize,
    written: BTreeMap<(u32, u32), Written>,
    busy: Busy,
}

tracked!(SetLayout, DescriptorPool, DescriptorSet);

/// What a descriptor refers to.
#[derive(Clone, Copy)]
pub(super) enum Written {
    Buffer { buffer: vk::Buffer, offset: u64, range: u64 },
    BufferView(vk::BufferView),
    Image { view: vk::ImageView, sampler: vk::Sampler },
}

impl DescriptorSet {
    /// What was written to a binding.
    pub(super) fn written(&self, binding: u32, element: u32) -> Option<Written> {
        self.written.get(&(binding, element)).copied()
    }
}

impl Kind for vk::DescriptorPool {
    type Value = DescriptorPool;
    const DESTROY: Call = Call::DestroyDescriptorPool;

    fn slab(state: &mut State) -> &mut Slab<Self, DescriptorPool> {
        &mut state.descriptor_pools
    }

    fn removed(state: &mut State, _handle: Self, pool: DescriptorPool) {
        for set in pool.sets {
            state.descriptor_sets.remove(set);
        }
    }
}

impl Kind for vk::DescriptorSet {
    type Value = DescriptorSet;
    const DESTROY: Call = Call::FreeDescriptorSets;

    fn slab(state: &mut State) -> &mut Slab<Self, DescriptorSet> {
        &mut state.descriptor_sets
    }

    fn removed(state: &mut State, _handle: Self, set: DescriptorSet) {
        let State { descriptor_pools, descriptor_sets, .. } = state;
        let Some(pool) = descriptor_pools.get_mut(set.pool) else { return };
        pool.sets_left += 1;
        for (kind, count) in set.counts {
            if let Some((_, left)) = pool.left.iter_mut().find(|(k, _)| *k == kind) {
                *left = left.saturating_add(count);
            }
        }
        if set.place < pool.sets.len() {
            pool.sets.swap_remove(set.place);
        }
        if let Some(moved) = pool.sets.get(set.place).and_then(|h| descriptor_sets.get_mut(*h)) {
            moved.place = set.place;
        }
    }
}

impl State {
    pub(super) fn create_set_layout(
        &mut self,
        counts: Counts,
        update_after_bind: bool,
    ) -> Result<vk::DescriptorSetLayout, vk::Result> {
        self.create(SetLayout { counts, update_after_bind, busy: Busy::default() })
    }

    pub(super) fn create_descriptor_pool(
        &mut self,
        sets_left: u32,
        left: Counts,
        free_one_by_one: bool,
    ) -> Result<vk::DescriptorPool, vk::Result> {
        if sets_left == 0 {
            self.report(Violation::ZeroSize { call: Call::CreateDescriptorPool });
            return Err(vk::Result::ERROR_VALIDATION_FAILED_EXT);
        }
        let (sets, busy) = (Vec::new(), Busy::default());
        self.create(DescriptorPool { free_one_by_one, sets_left, left, sets, busy })
    }

    /// Allocates one set.
    pub(super) fn allocate_set(
        &mut self,
        pool_handle: vk::DescriptorPool,
        layout: vk::DescriptorSetLayout,
    ) -> Result<vk::DescriptorSet, vk::Result> {
        let call = Call::AllocateDescriptorSets;
        let invalid = vk::Result::ERROR_VALIDATION_FAILED_EXT;
        let found = self.find(call, layout).ok_or(invalid)?;
        let (counts, update_after_bind) = (found.counts.clone(), found.update_after_bind);
        let pool = self.find(call, pool_handle).ok_or(invalid)?;
        let left = |pool: &DescriptorPool, kind| {
            pool.left.iter().find(|(k, _)| *k == kind).map_or(0, |(_, left)| *left)
        };
        let fits = counts.iter().all(|(kind, count)| left(pool, *kind) >= *count);
        if pool.sets_left == 0 || !fits {
            return Err(vk::Result::ERROR_OUT_OF_POOL_MEMORY);
        }
        pool.sets_left -= 1;
        for (kind, count) in &counts {
            if let Some((_, left)) = pool.left.iter_mut().find(|(k, _)| k == kind) {
                *left -= count;
            }
        }
        let place = pool.sets.len();
        let set = self.create::<vk::DescriptorSet>(DescriptorSet {
            pool: pool_handle,
            counts,
            update_after_bind,
            place,
            written: BTreeMap::new(),
            busy: Busy::default(),
        })?;
        if let Some(pool) = self.descriptor_pools.get_mut(pool_handle) {
            pool.sets.push(set);
        }
        Ok(set)
    }

    pub(super) fn free_set(&mut self, pool: vk::DescriptorPool, set: vk::DescriptorSet) {
        if set.is_null() {
            return;
        }
        let one_by_one = self.find(Call::FreeDescriptorSets, pool).map(|p| p.free_one_by_one);
        let own = self.descriptor_sets.get(set).is_none_or(|found| found.pool == pool);
        if one_by_one == Some(false) || !own {
            let (pool, object) = (Object::of(pool), Object::of(set));
            return self.report(Violation::FreeFromPool { pool, object });
        }
        self.destroy(set);
    }

    pub(super) fn reset_descriptor_pool(&mut self, pool: vk::DescriptorPool) {
        let call = Call::ResetDescriptorPool;
        self.check_idle(call, pool);
        let sets = self.find(call, pool).map(|found| found.sets.clone()).unwrap_or_default();
        for set in sets {
            if let Some(value) = self.descriptor_sets.remove(set) {
                Kind::removed(self, set, value);
            }
        }
    }

    /// Writes one descriptor.
    pub(super) fn write_descriptor(
        &mut self,
        set: vk::DescriptorSet,
        binding: u32,
        element: u32,
        written: Written,
    ) {
        let call = Call::UpdateDescriptorSets;
        let Some(found) = self.find(call, set) else { return };
        found.written.insert((binding, element), written);
        if !found.update_after_bind {
            self.check_idle(call, set);
        }
    }

    /// What a descriptor refers to, for a copy.
    pub(super) fn written(
        &mut self,
        set: vk::DescriptorSet,
        binding: u32,
        element: u32,
    ) -> Option<Written> {
        let found = self.find(Call::UpdateDescriptorSets, set)?;
        found.written(binding, element)
    }

    /// The set, its pool and everything written to it.
    pub(super) fn touch_set(&mut self, touch: &mut Touch<'_>, set: vk::DescriptorSet) {
        let object = Object::of(set);
        let Some(found) = self.descriptor_sets.get(set) else {
            return self.touch_dead(touch, object, object);
        };
        touch.touched.push(Touched::Set(set));
        touch.touched.push(Touched::Pool(found.pool));
        let written: Vec<Written> = found.written.values().copied().collect();
        for written in written {
            match written {
                Written::Buffer { buffer, .. } => {
                    self.touch_resource(touch, ResourceId::Buffer(buffer), object);
                }
                Written::BufferView(view) => self.touch_buffer_view(touch, view, object),
                Written::Image { view, sampler } => {
                    if view != vk::ImageView::null() {
                        self.touch_image_view(touch, view, object);
                    }
                    if sampler != vk::Sampler::null() {
                        self.touch_sampler(touch, sampler, object);
                    }
                }
            }
        }
    }
}
