//! Random descriptions.

use std::time::Duration;

use fencepost::{
    AllocationDesc, AllocationFlags, ArenaDesc, ArenaPolicy, BufferDesc, DefragmentDesc,
    GuardPolicy, HostAccess, ImageDesc, ResourceKind, vk,
};

use crate::support::random::Random;

const NAMES: [&str; 4] = ["mesh", "texture", "scratch", "upload"];

pub fn size(random: &mut Random, most: u64) -> u64 {
    match random.below(8) {
        // Whole powers and halves of them, as real ones often are.
        0..3 => 256 << random.below(u64::from(most.ilog2()) - 7),
        3 => 384 << random.below(u64::from(most.ilog2()) - 8),
        _ => random.log_uniform(most),
    }
}

pub fn alignment(random: &mut Random) -> u64 {
    match random.below(40) {
        0 => 1 << random.below(28),
        1..8 => 1 << random.below(20),
        _ => 1 << random.below(9),
    }
}

pub fn kind(random: &mut Random) -> ResourceKind {
    if random.one_in(3) { ResourceKind::Optimal } else { ResourceKind::Linear }
}

pub fn requirements(random: &mut Random, most: u64) -> vk::MemoryRequirements {
    let bits = if random.one_in(6) { 1 + random.below(u32::MAX.into()) as u32 } else { u32::MAX };
    let (size, alignment) = (size(random, most), alignment(random));
    vk::MemoryRequirements { size, alignment, memory_type_bits: bits }
}

pub fn memory(random: &mut Random) -> AllocationDesc {
    let mut desc = match random.below(8) {
        0..4 => AllocationDesc::device_local(),
        4 | 5 => AllocationDesc::upload(),
        6 => AllocationDesc::readback(),
        _ => AllocationDesc::transient(),
    };
    if random.one_in(3) {
        desc = desc.name(NAMES[random.below(4) as usize]);
    }
    if random.one_in(12) {
        desc = desc.min_alignment(1 << random.below(26));
    }
    if random.one_in(40) {
        desc = desc.dedicated(true);
    }
    if random.one_in(10) {
        desc = desc.priority(random.below(17) as f32 / 16.0);
    }
    if random.one_in(20) {
        desc = desc.prefer_host();
    }
    if random.one_in(20) {
        desc = desc.host_access_where_free();
    }
    if random.one_in(30) {
        let access = [HostAccess::Random, HostAccess::Sequential];
        desc = desc.host_access(access[random.below(2) as usize]);
    }
    if random.one_in(12) {
        desc = desc.flags(AllocationFlags::WITHIN_BUDGET);
    }
    if random.one_in(12) {
        desc = desc.flags(AllocationFlags::NEVER_ALLOCATE);
    }
    if random.one_in(3) {
        desc = desc.flags(AllocationFlags::UPPER_END);
    }
    if random.one_in(12) {
        desc = desc.patience(Duration::from_millis(1));
    }
    desc
}

pub fn buffer(random: &mut Random, most: u64) -> BufferDesc {
    use vk::BufferUsageFlags as Usage;
    let usages = [Usage::VERTEX_BUFFER, Usage::STORAGE_BUFFER, Usage::UNIFORM_BUFFER];
    let usage = usages[random.below(3) as usize] | Usage::TRANSFER_SRC | Usage::TRANSFER_DST;
    BufferDesc::new(size(random, most), usage)
}

pub fn image(random: &mut Random) -> ImageDesc {
    let usage = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_DST;
    let [width, height] = [0; 2].map(|_| 1 + random.log_uniform(700) as u32);
    ImageDesc::new_2d(vk::Format::R8G8B8A8_UNORM, width, height, usage)
}

pub fn arena(random: &mut Random) -> ArenaDesc {
    let policy = match random.below(4) {
        0 | 1 => ArenaPolicy::Tlsf,
        2 => ArenaPolicy::Ring,
        _ => ArenaPolicy::DoubleStack,
    };
    let mut desc = ArenaDesc::new(memory(random)).policy(policy);
    if !random.one_in(4) {
        desc = desc.block_size((64 << 10) + random.log_uniform(4 << 20));
        if random.one_in(3) {
            let least = random.below(3) as u32;
            desc = desc.min_blocks(least).max_blocks(least + 1 + random.below(4) as u32);
        }
    }
    if random.one_in(5) {
        desc = desc.min_alignment(1 << random.below(14));
    }
    if random.one_in(6) {
        desc = desc.memory_types(1 + random.below(u32::MAX.into()) as u32);
    }
    if random.one_in(8) {
        desc = desc.priority(random.below(17) as f32 / 16.0);
    }
    desc
}

pub fn guards(random: &mut Random) -> GuardPolicy {
    match random.below(4) {
        0 => GuardPolicy::Margins,
        1 => GuardPolicy::Poison,
        2 => GuardPolicy::Full,
        _ => GuardPolicy::Zero,
    }
}

pub fn defragment(random: &mut Random) -> DefragmentDesc {
    let desc = DefragmentDesc::new();
    match random.below(3) {
        0 => desc,
        1 => desc.most_moves(random.below(20)),
        _ => desc.most_bytes(random.log_uniform(64 << 20)).memory_types(random.next() as u32),
    }
}
