//! The objects behind Vulkan handles. A handle consists of an index and a generation, so a stale
//! handle is detected.

use std::marker::PhantomData;

use ash::vk;

/// Bits of a handle: 8 of object type, 30 of generation, 26 of index.
const INDEX_BITS: u32 = 26;
const GENERATION_BITS: u32 = 30;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

struct Slot<T> {
    generation: u64,
    value: Option<T>,
}

/// The live objects of one kind. The value of a handle recurs only after its slot was reused 2³⁰
/// times, so a second destruction of an object, or a use after its destruction, finds nothing.
pub(super) struct Slab<H, T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    kind: PhantomData<fn(H) -> H>,
}

impl<H, T> Default for Slab<H, T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new(), kind: PhantomData }
    }
}

impl<H: vk::Handle, T> Slab<H, T> {
    fn handle(index: u32, generation: u64) -> H {
        let kind = H::TYPE.as_raw() as u64 & 0xff;
        H::from_raw(
            kind << (INDEX_BITS + GENERATION_BITS) | generation << INDEX_BITS | u64::from(index),
        )
    }

    fn parts(handle: H) -> (usize, u64) {
        let raw = handle.as_raw();
        ((raw & INDEX_MASK) as usize, (raw >> INDEX_BITS) & GENERATION_MASK)
    }

    /// Creates a handle for `value`; `None` if 2²⁶ objects of the kind are alive.
    pub(super) fn insert(&mut self, value: T) -> Option<H> {
        if let Some(index) = self.free.pop() {
            let slot = self.slots.get_mut(index as usize)?;
            slot.value = Some(value);
            return Some(Self::handle(index, slot.generation));
        }
        let index = u32::try_from(self.slots.len()).ok().filter(|i| u64::from(*i) <= INDEX_MASK)?;
        self.slots.push(Slot { generation: 1, value: Some(value) });
        Some(Self::handle(index, 1))
    }

    pub(super) fn get(&self, handle: H) -> Option<&T> {
        let (index, generation) = Self::parts(handle);
        self.slots.get(index).filter(|slot| slot.generation == generation)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, handle: H) -> Option<&mut T> {
        let (index, generation) = Self::parts(handle);
        self.slots.get_mut(index).filter(|slot| slot.generation == generation)?.value.as_mut()
    }

    pub(super) fn remove(&mut self, handle: H) -> Option<T> {
        let (index, generation) = Self::parts(handle);
        let slot = self.slots.get_mut(index).filter(|slot| slot.generation == generation)?;
        let value = slot.value.take()?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        self.free.push(index as u32);
        Some(value)
    }

    /// The number of live objects.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (H, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            Some((Self::handle(index as u32, slot.generation), slot.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_handle_finds_nothing_even_when_its_slot_is_used_again() {
        let mut slab = Slab::<vk::Buffer, u32>::default();
        let first = slab.insert(1).unwrap();
        assert_eq!(slab.remove(first), Some(1));
        let second = slab.insert(2).unwrap();
        assert_ne!(first, second);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(second), slab.len()), (Some(&2), 1));
        assert_eq!(slab.iter().count(), 1);
    }

    #[test]
    fn null_and_foreign_values_find_nothing() {
        let mut slab = Slab::<vk::Buffer, u32>::default();
        slab.insert(1).unwrap();
        assert_eq!(slab.get(vk::Buffer::null()), None);
        assert_eq!(slab.get(<vk::Buffer as vk::Handle>::from_raw(u64::MAX)), None);
    }
}
