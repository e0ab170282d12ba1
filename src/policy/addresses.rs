//! Alignments of device addresses that `VkMemoryRequirements` does not contain.

/// `VkBufferUsageFlagBits`, as far as they require an aligned address.
mod usages {
    pub(super) const STORAGE: u32 = 0x20;
    pub(super) const SHADER_BINDING_TABLE: u32 = 0x400;
    pub(super) const DEVICE_ADDRESS: u32 = 0x2_0000;
    pub(super) const ACCELERATION_STRUCTURE: u32 = 0x10_0000;
    pub(super) const DESCRIPTORS: u32 = 0x60_0000;
}

/// The alignments of addresses that a device requires, in bytes; 1 if the feature is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Addresses {
    /// `minAccelerationStructureScratchOffsetAlignment`.
    pub(crate) scratch: u64,
    /// For an acceleration structure in its buffer: the same on all devices.
    pub(crate) acceleration_structures: u64,
    /// `shaderGroupBaseAlignment`.
    pub(crate) shader_groups: u64,
    /// `descriptorBufferOffsetAlignment`.
    pub(crate) descriptors: u64,
}

impl Addresses {
    /// The alignment of acceleration structures in a buffer.
    pub(crate) const ACCELERATION_STRUCTURES: u64 = 256;

    /// No requirements.
    pub(crate) const ANY: Self =
        Self { scratch: 1, acceleration_structures: 1, shader_groups: 1, descriptors: 1 };

    /// The alignment of a buffer with this usage, a power of two.
    ///
    /// Scratch memory has no usage of its own: any storage buffer with an address may be used for
    /// it.
    pub(crate) fn alignment(&self, usage: u32) -> u64 {
        let storage = usages::STORAGE | usages::DEVICE_ADDRESS;
        [
            (usage & storage == storage, self.scratch),
            (usage & usages::ACCELERATION_STRUCTURE != 0, self.acceleration_structures),
            (usage & usages::SHADER_BINDING_TABLE != 0, self.shader_groups),
            (usage & usages::DESCRIPTORS != 0, self.descriptors),
        ]
        .into_iter()
        .filter_map(|(asks, alignment)| asks.then_some(alignment))
        .fold(1, u64::max)
    }
}

#[cfg(test)]
mod tests {
    use ash::vk::BufferUsageFlags as Usage;

    use super::Addresses;

    #[test]
    fn each_usage_has_its_alignment_and_the_largest_counts() {
        let asked = Addresses {
            scratch: 128,
            acceleration_structures: 256,
            shader_groups: 64,
            descriptors: 512,
        };
        let address = Usage::SHADER_DEVICE_ADDRESS;
        for (usage, alignment) in [
            (Usage::VERTEX_BUFFER | Usage::STORAGE_BUFFER, 1),
            (Usage::UNIFORM_BUFFER | address, 1),
            (Usage::STORAGE_BUFFER | address, 128),
            (Usage::ACCELERATION_STRUCTURE_STORAGE_KHR | address, 256),
            (Usage::ACCELERATION_STRUCTURE_BUILD_INPUT_READ_ONLY_KHR | address, 1),
            (Usage::SHADER_BINDING_TABLE_KHR | address, 64),
            (Usage::SHADER_BINDING_TABLE_KHR | Usage::STORAGE_BUFFER | address, 128),
            (Usage::RESOURCE_DESCRIPTOR_BUFFER_EXT | address, 512),
            (Usage::SAMPLER_DESCRIPTOR_BUFFER_EXT | Usage::STORAGE_BUFFER | address, 512),
        ] {
            assert_eq!(asked.alignment(usage.as_raw()), alignment, "{usage:?}");
            assert_eq!(Addresses::ANY.alignment(usage.as_raw()), 1);
        }
    }
}
