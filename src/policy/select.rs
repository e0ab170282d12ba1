//! The memory types that a request may use, best first.

/// A memory type for the selection: Vulkan's property bits, and its heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MemoryType {
    pub(crate) flags: u32,
    pub(crate) heap: u32,
}

/// A memory heap for the selection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MemoryHeap {
    /// The size in bytes; some drivers list a heap of size zero.
    pub(crate) size: u64,
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`.
    pub(crate) device_local: bool,
}

/// `VkMemoryPropertyFlagBits`, as far as the selection uses them.
pub(crate) mod bits {
    pub(crate) const DEVICE_LOCAL: u32 = 0x1;
    pub(crate) const HOST_VISIBLE: u32 = 0x2;
    pub(crate) const HOST_COHERENT: u32 = 0x4;
    pub(crate) const HOST_CACHED: u32 = 0x8;
    pub(crate) const LAZILY_ALLOCATED: u32 = 0x10;
    /// AMD's device-coherent and device-uncached. A request that names one may get both, because no
    /// driver has a type with only one of them.
    pub(crate) const DEVICE_COHERENT_KINDS: u32 = 0xC0;
    /// The properties that any request may get. A type with any other bit (protected, AMD's
    /// device-coherent and uncached, RDMA, vendor-specific ones) needs a feature or costs speed, so
    /// only a request that names the bit may use it.
    pub(crate) const ORDINARY: u32 = DEVICE_LOCAL | HOST_VISIBLE | HOST_COHERENT | HOST_CACHED;
}

/// The properties that a request asks of a memory type, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub(crate) struct Wish {
    /// The type must have these.
    pub(crate) required: u32,
    /// Types with more of these come first.
    pub(crate) preferred: u32,
    /// Among equal types, those with fewer of these come first.
    pub(crate) avoided: u32,
}

impl Wish {
    /// Prefers bits, even if they were avoided before.
    pub(crate) const fn prefer(&mut self, bits: u32) {
        self.preferred |= bits;
        self.avoided &= !bits;
    }

    /// Avoids bits, even if they were preferred before.
    pub(crate) const fn avoid(&mut self, bits: u32) {
        self.avoided |= bits;
        self.preferred &= !bits;
    }
}

/// Rules of the device that apply to every request.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Rules {
    /// Property bits that no type may have, because their feature is off.
    pub(crate) forbidden: u32,
    /// A heap reserved for wishes that name both device-local and host-visible.
    pub(crate) guarded_heap: Option<u32>,
}

/// Memory type indices, best first, at most 32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranking {
    order: [u8; 32],
    count: usize,
}

impl Ranking {
    /// The best type, or a number above all types if there is none.
    #[inline]
    pub(crate) fn best(&self) -> u32 {
        self.order[0].into()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.order.iter().take(self.count).map(|&index| u32::from(index))
    }
}

/// The types in `allowed` (`VkMemoryRequirements::memoryTypeBits`) that satisfy the wish, best
/// first.
///
/// A type satisfies the wish if it has all required properties, no [special](bits::ORDINARY)
/// property that the wish does not name, and no forbidden one. The order of preference:
/// 1. types outside the guarded heap, unless the wish names both device-local and host-visible;
/// 2. fewer missing preferred properties;
/// 3. fewer present avoided properties;
/// 4. the order of the driver.
pub(crate) fn rank(types: &[MemoryType], allowed: u32, wish: &Wish, rules: &Rules) -> Ranking {
    let mut named = bits::ORDINARY | wish.required | wish.preferred;
    if named & bits::DEVICE_COHERENT_KINDS != 0 {
        named |= bits::DEVICE_COHERENT_KINDS;
    }
    let both = bits::DEVICE_LOCAL | bits::HOST_VISIBLE;
    let guarded = rules.guarded_heap.filter(|_| (wish.required | wish.preferred) & both != both);
    let cost = |index: usize| -> Option<u32> {
        let MemoryType { flags, heap } = *types.get(index)?;
        let fits = allowed >> index & 1 == 1
            && flags & wish.required == wish.required
            && flags & !named == 0
            && flags & rules.forbidden == 0;
        let missing = (wish.preferred & !flags).count_ones();
        let present = (wish.avoided & flags).count_ones();
        let last = u32::from(guarded == Some(heap));
        fits.then_some(last << 16 | missing << 8 | present)
    };
    let mut ranking = Ranking { order: [u8::MAX; 32], count: 0 };
    let mut costs = [0; 32];
    for index in 0..types.len().min(32) {
        let Some(cost) = cost(index) else { continue };
        // Insertion keeps types of equal cost in the driver's order.
        let mut slot = ranking.count;
        while slot > 0 && costs[slot - 1] > cost {
            costs[slot] = costs[slot - 1];
            ranking.order[slot] = ranking.order[slot - 1];
            slot -= 1;
        }
        costs[slot] = cost;
        ranking.order[slot] = index as u8;
        ranking.count += 1;
    }
    ranking
}

#[cfg(test)]
mod tests {
    use super::{bits::*, *};

    fn types(flags: &[u32]) -> Vec<MemoryType> {
        flags.iter().map(|&flags| MemoryType { flags, heap: 0 }).collect()
    }

    fn best(flags: &[u32], wish: Wish) -> Option<u32> {
        rank(&types(flags), u32::MAX, &wish, &Rules::default()).iter().next()
    }

    const DEVICE: Wish = Wish { required: 0, preferred: DEVICE_LOCAL, avoided: HOST_VISIBLE };

    #[test]
    fn a_type_without_flags_listed_first_is_not_taken_for_device_memory() {
        assert_eq!(best(&[0, DEVICE_LOCAL, 6, 14, 7], DEVICE), Some(1));
        // Where all device memory is host-visible, that is still better than none.
        assert_eq!(best(&[0, 7, 15], DEVICE), Some(1));
    }

    #[test]
    fn special_types_are_taken_only_when_named() {
        let amd = [0xC1, 0xC6, DEVICE_LOCAL];
        assert_eq!(best(&amd, DEVICE), Some(2));
        assert_eq!(best(&amd, Wish { required: 0xC0, ..DEVICE }), Some(0));
        assert_eq!(best(&[0x4800007], DEVICE), None);
    }

    #[test]
    fn what_is_forbidden_is_not_taken_even_when_named() {
        let wish = Wish { required: 0xC0, ..DEVICE };
        let rules = Rules { forbidden: 0xC0, guarded_heap: None };
        assert_eq!(rank(&types(&[0xC1]), u32::MAX, &wish, &rules).iter().next(), None);
    }

    #[test]
    fn a_guarded_heap_comes_last_unless_both_its_properties_are_named() {
        let types: Vec<_> =
            [(0, 1), (1, 6), (2, 7)].map(|(heap, flags)| MemoryType { flags, heap }).into();
        let rules = Rules { forbidden: 0, guarded_heap: Some(2) };
        let order = |wish: &Wish| rank(&types, u32::MAX, wish, &rules).iter().collect::<Vec<_>>();
        assert_eq!(order(&DEVICE), [0, 1, 2]);
        assert_eq!(order(&Wish { required: HOST_VISIBLE, ..DEVICE }), [2, 1]);
    }

    #[test]
    fn the_mask_and_required_bits_bind() {
        let wish = Wish { required: HOST_VISIBLE, ..Wish::default() };
        assert_eq!(best(&[1, 1], wish), None);
        let order: Vec<u32> =
            rank(&types(&[7, 7, 7]), 0b110, &wish, &Rules::default()).iter().collect();
        assert_eq!(order, [1, 2]);
    }
}
