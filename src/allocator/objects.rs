//! Objects without their own memory (views, samplers, framebuffers), which retire like everything
//! else.

use std::{
    collections::TryReserveError,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use ash::vk;
use smallvec::SmallVec;

use super::share::{Extent, Lately};
use crate::{
    ground::{published::Published, sync::lock},
    retire::{BagNumber, Bags},
    vulkan::{Object, Vulkan},
};

/// The number of objects that are destroyed at once if the host has no memory for a list.
const FEW: usize = 16;

/// All objects of an allocator: the live ones, so that `shutdown` can destroy them, and those that
/// wait for the GPU.
pub(crate) struct ObjectLane {
    state: Mutex<State>,
    /// The oldest bag of which an object is waiting or being destroyed. It saves `collect` the
    /// lock, and holds back what must end later. Stored under the lock.
    oldest: AtomicU64,
    /// The numbers of live and of waiting objects.
    live: Published,
    pending: Published,
}

impl Default for ObjectLane {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            oldest: AtomicU64::new(BagNumber::NEVER.get()),
            live: Published::default(),
            pending: Published::default(),
        }
    }
}

#[derive(Default)]
struct State {
    slots: Vec<Option<Held>>,
    vacant: Vec<u32>,
    /// An index in a bag is never vacant, but its object may have been destroyed, together with its
    /// image.
    bags: Bags<u32>,
    /// The oldest bag of each batch that a thread is currently destroying.
    in_hand: SmallVec<[BagNumber; 8]>,
    retired: Lately,
}

/// A batch that is being destroyed. It ends when this is dropped, also if a hook panics.
struct InHand<'a> {
    lane: &'a ObjectLane,
    bag: BagNumber,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.lane.state);
        if let Some(place) = state.in_hand.iter().position(|&bag| bag == self.bag) {
            state.in_hand.swap_remove(place);
        }
        self.lane.publish(&state);
    }
}

#[derive(Clone, Copy)]
struct Held {
    object: Object,
    /// The image that a view refers to; null for all other objects.
    image: vk::Image,
}

impl State {
    fn reserve(&mut self, count: usize) -> Result<(), TryReserveError> {
        let more = count.saturating_sub(self.vacant.len());
        self.slots.try_reserve(more)?;
        // All slots may become vacant.
        self.vacant.try_reserve(self.slots.len() + more - self.vacant.len())
    }

    /// Empties a slot that is in no bag any more.
    fn take(&mut self, index: u32) -> Option<Object> {
        let held = self.slots.get_mut(index as usize)?.take();
        self.vacant.push(index);
        held.map(|held| held.object)
    }
}

impl ObjectLane {
    /// Stores a new object; `image` is what it refers to, or null. `None` if the host has no memory
    /// to store it and its end. O(1) amortised.
    pub(super) fn insert(&self, object: Object, image: vk::Image) -> Option<u32> {
        let held = Some(Held { object, image });
        let mut state = lock(&self.state);
        state.reserve(1).ok()?;
        self.live.add(1);
        Some(match state.vacant.pop() {
            Some(index) => {
                state.slots[index as usize] = held;
                index
            }
            None => {
                state.slots.push(held);
                state.slots.len() as u32 - 1
            }
        })
    }

    /// Makes room for this many more objects, unless other threads take it. Returns whether there
    /// is room. O(1) amortised.
    pub(super) fn reserve(&self, count: usize) -> bool {
        lock(&self.state).reserve(count).is_ok()
    }

    /// Files an object into the current bag. `bags` reads the current and the reached bag, under
    /// the lock. If the object is reached immediately, returns it, to be destroyed. If the host has
    /// no memory to file it, it lives until the allocator is shut down. O(1).
    pub(super) fn retire(
        &self,
        index: u32,
        collects: u64,
        bags: impl FnOnce() -> (BagNumber, BagNumber),
    ) -> Option<Object> {
        let mut state = lock(&self.state);
        let (current, reached) = bags();
        if current.is_reached(reached) {
            self.live.subtract(1);
            return state.take(index);
        }
        if state.bags.reserve(current).is_err() {
            return None;
        }
        self.live.subtract(1);
        state.bags.file(current, index);
        self.pending.add(1);
        state.retired.note(collects);
        self.publish(&state);
        None
    }

    /// Destroys the objects that are reached, or a collect's share of them; `collect` is the number
    /// of the collect. Returns how many.
    #[inline]
    pub(super) fn collect(
        &self,
        vulkan: &Vulkan,
        reached: BagNumber,
        extent: Extent,
        collect: u64,
    ) -> u64 {
        if self.cleared(reached) == reached && reached != BagNumber::NEVER {
            return 0;
        }
        self.collect_share(vulkan, reached, extent, collect)
    }

    #[inline(never)]
    fn collect_share(
        &self,
        vulkan: &Vulkan,
        reached: BagNumber,
        extent: Extent,
        collect: u64,
    ) -> u64 {
        self.drain(vulkan, reached, |state| state.retired.most(extent, collect))
    }

    /// The newest bag, up to a reached one, of which no object waits or is being destroyed. If
    /// called under a lane's lock, this covers everything that was dropped before the entries of
    /// that lane.
    #[inline]
    pub(super) fn cleared(&self, reached: BagNumber) -> BagNumber {
        let oldest = BagNumber::from_number(self.oldest.load(Ordering::Relaxed));
        if oldest > reached || oldest == BagNumber::NEVER { reached } else { oldest.before() }
    }

    /// Destroys the waiting views of an image. Whoever ended the image at explicit points has
    /// declared that nothing uses it, and its views count as uses. O(waiting objects).
    pub(super) fn end_views(&self, vulkan: &Vulkan, image: vk::Image) {
        let mut views: SmallVec<[Object; 8]> = SmallVec::new();
        let mut more = true;
        while core::mem::take(&mut more) {
            {
                let State { slots, bags, .. } = &mut *lock(&self.state);
                for (_, &index) in bags.filed() {
                    // Views that do not fit in the list are destroyed in the next round.
                    more = views.len() == views.capacity() && views.try_reserve(1).is_err();
                    if more {
                        break;
                    }
                    let slot = &mut slots[index as usize];
                    let view = slot.take_if(|held| held.image == image);
                    views.extend(view.map(|held| held.object));
                }
                self.pending.subtract(views.len() as u64);
            }
            for object in views.drain(..) {
                // SAFETY: the device contract; the caller found every use of the image done, and the
                // view was taken out, so nobody else destroys it.
                unsafe { vulkan.destroy_object(object) };
            }
        }
    }

    /// Destroys the waiting objects, reached or not. Returns how many.
    pub(super) fn collect_everything(&self, vulkan: &Vulkan) -> u64 {
        let mut count = 0;
        while !lock(&self.state).bags.is_empty() {
            count += self.drain(vulkan, BagNumber::NEVER, |_| usize::MAX);
        }
        count
    }

    /// Destroys all objects, including live ones, before the device is destroyed.
    pub(super) fn destroy_all(&self, vulkan: &Vulkan) {
        self.collect_everything(vulkan);
        let live: Vec<Object> = {
            let mut state = lock(&self.state);
            self.live.set(0);
            state.slots.iter_mut().filter_map(Option::take).map(|held| held.object).collect()
        };
        for object in live {
            // SAFETY: the device contract; the caller waited for the device.
            unsafe { vulkan.destroy_object(object) };
        }
    }

    /// Destroys at most this many objects that wait in bags up to a given one; fewer, if the host
    /// has no memory for a list.
    fn drain(
        &self,
        vulkan: &Vulkan,
        reached: BagNumber,
        most: impl FnOnce(&State) -> usize,
    ) -> u64 {
        let mut indices: SmallVec<[u32; FEW]> = SmallVec::new();
        let mut objects: SmallVec<[Object; FEW]> = SmallVec::new();
        let mut state = lock(&self.state);
        let bag = state.bags.oldest();
        let mut most = most(&state).min(state.bags.len());
        if indices.try_reserve(most).is_err() || objects.try_reserve(most).is_err() {
            most = most.min(FEW);
        }
        state.bags.take_bags(most, reached, &mut indices);
        objects.extend(indices.into_iter().filter_map(|index| state.take(index)));
        self.pending.subtract(objects.len() as u64);
        state.in_hand.push(bag);
        self.publish(&state);
        drop(state);
        let _in_hand = InHand { lane: self, bag };
        for &object in &objects {
            // SAFETY: the device contract; the object's bag is reached, and it was taken out, so
            // nobody else destroys it.
            unsafe { vulkan.destroy_object(object) };
        }
        objects.len() as u64
    }

    fn publish(&self, state: &State) {
        let in_hand = state.in_hand.iter().copied().min().unwrap_or(BagNumber::NEVER);
        self.oldest.store(state.bags.oldest().min(in_hand).get(), Ordering::Relaxed);
    }

    /// The numbers of live and of waiting objects. No lock.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.live.get(), self.pending.get())
    }

    /// Verifies the counts. O(objects).
    pub(super) fn check(&self) -> bool {
        let state = lock(&self.state);
        let waits = |&(_, &index): &(BagNumber, &u32)| {
            state.slots.get(index as usize).is_some_and(Option::is_some)
        };
        let pending = state.bags.filed().filter(waits).count() as u64;
        let held = state.slots.iter().flatten().count() as u64;
        (held, pending) == (self.live.get() + self.pending.get(), self.pending.get())
    }
}
