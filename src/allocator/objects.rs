//! Objects without memory of their own (views, samplers, framebuffers) that retire like all else.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use ash::vk;

use crate::{
    ground::sync::lock,
    retire::{BagNumber, Bags},
    vulkan::{Object, Vulkan},
};

/// All objects of an allocator: those that live, so that `shutdown` can end them, and those that
/// wait for the GPU.
#[derive(Default)]
pub(crate) struct ObjectLane {
    state: Mutex<State>,
    /// As a memory type's: saves `collect` the lock.
    oldest: AtomicU64,
    filled: AtomicBool,
}

#[derive(Default)]
struct State {
    slots: Vec<Option<Held>>,
    vacant: Vec<u32>,
    /// An index here is no vacant one, though its object may be gone: its image took it along.
    bags: Bags<u32>,
}

#[derive(Clone, Copy)]
struct Held {
    object: Object,
    /// What a view looks at; null for all else.
    image: vk::Image,
}

impl State {
    /// Empties a slot that is in no bag any more.
    fn take(&mut self, index: u32) -> Option<Object> {
        let held = self.slots.get_mut(index as usize)?.take();
        self.vacant.push(index);
        held.map(|held| held.object)
    }
}

impl ObjectLane {
    /// Takes a new object in; `image` is what it looks at, or null. O(1) amortised.
    pub(super) fn insert(&self, object: Object, image: vk::Image) -> u32 {
        let held = Some(Held { object, image });
        let mut state = lock(&self.state);
        match state.vacant.pop() {
            Some(index) => {
                state.slots[index as usize] = held;
                index
            }
            None => {
                state.slots.push(held);
                state.slots.len() as u32 - 1
            }
        }
    }

    /// Files an object into the bag current now. `bags` reads the current and the reached bag,
    /// under the lock. What is reached at once comes back, to be destroyed. O(1).
    pub(super) fn retire(
        &self,
        index: u32,
        bags: impl FnOnce() -> (BagNumber, BagNumber),
    ) -> Option<Object> {
        let mut state = lock(&self.state);
        let (current, reached) = bags();
        if current.is_reached(reached) {
            return state.take(index);
        }
        state.bags.file(current, index);
        self.publish(&state);
        None
    }

    /// Destroys what is reached. Returns how many.
    pub(super) fn collect(&self, vulkan: &Vulkan, reached: BagNumber) -> u64 {
        let filled = self.filled.load(Ordering::Relaxed);
        if !filled || self.oldest.load(Ordering::Relaxed) > reached.get() {
            return 0;
        }
        self.drain(vulkan, |bags, out| bags.take_bags(usize::MAX, reached, out))
    }

    /// Destroys the views of an image that wait: who ends the image at points of their own has said
    /// that nothing uses it, and its views are uses of it. O(objects that wait).
    pub(super) fn end_views(&self, vulkan: &Vulkan, image: vk::Image) {
        if !self.filled.load(Ordering::Relaxed) {
            return;
        }
        let mut views = Vec::new();
        {
            let State { slots, bags, .. } = &mut *lock(&self.state);
            for (_, &index) in bags.filed() {
                let slot = &mut slots[index as usize];
                let view = slot.take_if(|held| held.image == image);
                views.extend(view.map(|held| held.object));
            }
        }
        for object in views {
            // SAFETY: the device contract; the caller found every use of the image done, and the
            // view was taken out, so nobody else destroys it.
            unsafe { vulkan.destroy_object(object) };
        }
    }

    /// Destroys what waits, reached or not. Returns how many.
    pub(super) fn collect_everything(&self, vulkan: &Vulkan) -> u64 {
        self.drain(vulkan, Bags::take_all)
    }

    /// Destroys all objects, those that live too: the device goes.
    pub(super) fn destroy_all(&self, vulkan: &Vulkan) {
        self.collect_everything(vulkan);
        let live: Vec<Object> =
            lock(&self.state).slots.iter_mut().filter_map(Option::take).map(|h| h.object).collect();
        for object in live {
            // SAFETY: the device contract; the caller waited for the device.
            unsafe { vulkan.destroy_object(object) };
        }
    }

    fn drain(&self, vulkan: &Vulkan, take: impl FnOnce(&mut Bags<u32>, &mut Vec<u32>)) -> u64 {
        let mut indices = Vec::new();
        let mut state = lock(&self.state);
        take(&mut state.bags, &mut indices);
        let objects: Vec<Object> =
            indices.into_iter().filter_map(|index| state.take(index)).collect();
        self.publish(&state);
        drop(state);
        for &object in &objects {
            // SAFETY: the device contract; the object's bag is reached, and it was taken out, so
            // nobody else destroys it.
            unsafe { vulkan.destroy_object(object) };
        }
        objects.len() as u64
    }

    fn publish(&self, state: &State) {
        self.oldest.store(state.bags.oldest().get(), Ordering::Relaxed);
        self.filled.store(!state.bags.is_empty(), Ordering::Relaxed);
    }

    /// How many objects live, and how many wait.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = lock(&self.state);
        let waits = |&(_, &index): &(BagNumber, &u32)| {
            state.slots.get(index as usize).is_some_and(Option::is_some)
        };
        let pending = state.bags.filed().filter(waits).count() as u64;
        let held = state.slots.iter().flatten().count() as u64;
        (held - pending, pending)
    }
}
