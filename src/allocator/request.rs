//! A request, in the allocator's own words, and what a range in a block needs for it.

use ash::vk;

use super::{
    desc::{AllocationDesc, AllocationFlags},
    error::Tried,
};
use crate::{
    guard::{Layout, layout},
    memory::{End, Fence, Rank, Tenant},
    policy::{
        granularity::{ResourceKind, placed},
        intent::{GpuUse, Taste},
    },
    vulkan::{Dedicate, Requirements, Resource},
};

/// What a request is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) resource: Resource,
    pub(super) kind: ResourceKind,
    /// A memory may not be dedicated to it.
    disjoint: bool,
    pub(super) usage: u32,
    gpu: GpuUse,
}

impl Target {
    /// A resource that is not ours.
    pub(super) const fn unknown(kind: ResourceKind) -> Self {
        let gpu = GpuUse::Unknown;
        Self { resource: Resource::None, kind, disjoint: false, usage: 0, gpu }
    }

    pub(super) const fn buffer(handle: vk::Buffer, usage: vk::BufferUsageFlags) -> Self {
        let usage = usage.as_raw();
        let gpu = GpuUse::of_usage(usage);
        let (resource, kind) = (Resource::Buffer(handle), ResourceKind::Linear);
        Self { resource, kind, disjoint: false, usage, gpu }
    }

    /// An image whose planes are bound one by one.
    pub(super) const fn disjoint(self) -> Self {
        Self { disjoint: true, ..self }
    }

    pub(super) fn image(
        handle: vk::Image,
        usage: vk::ImageUsageFlags,
        tiling: vk::ImageTiling,
    ) -> Self {
        let kind = match tiling {
            vk::ImageTiling::LINEAR => ResourceKind::Linear,
            _ => ResourceKind::Optimal,
        };
        // What the host copies is a copy too.
        let of_gpu = usage & !vk::ImageUsageFlags::HOST_TRANSFER_EXT;
        let usage = usage.as_raw();
        let (resource, gpu) = (Resource::Image(handle), GpuUse::of_usage(of_gpu.as_raw()));
        Self { resource, kind, disjoint: false, usage, gpu }
    }
}

/// What the choice of memory types depends on, besides the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// `VkMemoryRequirements::memoryTypeBits`.
    pub(super) type_bits: u32,
    pub(super) gpu: GpuUse,
    pub(super) taste: Taste,
}

/// Which limits a reservation keeps to, besides the user's caps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Limit {
    /// The budget.
    Budget,
    /// None: the driver decides.
    Driver,
}

/// A request, in the allocator's own words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) size: u64,
    pub(super) alignment: u64,
    pub(super) question: Question,
    pub(super) dedicate: Dedicate,
    pub(super) kind: ResourceKind,
    pub(super) resource: Resource,
    disjoint: bool,
    pub(super) usage: u32,
    pub(super) name: Option<&'static str>,
    pub(super) flags: AllocationFlags,
    pub(super) rank: Option<Rank>,
    /// The least bytes of a margin, of the allocator's guards.
    pub(super) margin: u64,
}

impl Request {
    #[inline(always)]
    pub(super) fn new(requirements: &Requirements, target: Target, desc: &AllocationDesc) -> Self {
        let memory = &requirements.memory;
        // Zero stands for "no wish"; anything else that is not a power of two is found out later.
        let alignment = match (memory.alignment.max(1), desc.min_alignment.max(1)) {
            (driver, user) if user.is_power_of_two() => driver.max(user),
            (_, user) => user,
        };
        Self {
            size: memory.size,
            alignment,
            question: Question {
                type_bits: memory.memory_type_bits,
                gpu: target.gpu,
                taste: desc.taste,
            },
            dedicate: if desc.dedicated { Dedicate::Require } else { requirements.dedicate },
            kind: target.kind,
            resource: target.resource,
            disjoint: target.disjoint,
            usage: target.usage,
            name: desc.name,
            flags: desc.flags,
            rank: desc.rank,
            margin: 0,
        }
    }

    /// The least there is, for a block that is made before it is needed.
    pub(super) fn for_a_block() -> Self {
        let memory = vk::MemoryRequirements { size: 1, alignment: 1, memory_type_bits: !0 };
        let requirements = Requirements { memory, dedicate: Dedicate::No };
        let target = Target::unknown(ResourceKind::Linear);
        Self::new(&requirements, target, &AllocationDesc::default())
    }

    /// What a memory of its own is dedicated to.
    pub(super) fn dedicated_to(&self) -> Resource {
        if self.disjoint { Resource::None } else { self.resource }
    }

    /// Raises the alignment to that of an arena.
    pub(super) fn align(&mut self, alignment: u64) {
        if self.alignment.is_power_of_two() {
            self.alignment = self.alignment.max(alignment);
        }
    }

    /// Whether there is anything to remember of who lives on the range.
    #[inline]
    fn is_told(&self) -> bool {
        self.name.is_some() || self.resource != Resource::None || self.rank.is_some()
    }

    /// Who lives on a range that is a memory of its own; `None` if there is nothing to tell.
    #[inline]
    pub(super) fn tenant(&self) -> Option<Tenant> {
        self.is_told().then_some(Tenant {
            resource: self.resource,
            kind: Some(self.kind),
            usage: self.usage,
            name: self.name,
            rank: self.rank,
            fence: Fence::default(),
        })
    }

    pub(super) fn limit(&self) -> Limit {
        match self.flags.contains(AllocationFlags::WITHIN_BUDGET) {
            true => Limit::Budget,
            false => Limit::Driver,
        }
    }

    /// Where in an arena of two ends.
    pub(super) fn end(&self) -> End {
        match self.flags.contains(AllocationFlags::UPPER_END) {
            true => End::Upper,
            false => End::Lower,
        }
    }

    pub(super) fn may_ask(&self) -> bool {
        !self.flags.contains(AllocationFlags::NEVER_ALLOCATE)
    }
}

/// A request with what a range in a block needs for it, and what was tried so far.
pub(super) struct Search<'a> {
    pub(super) request: &'a Request,
    pub(super) size: u64,
    pub(super) alignment: u64,
    pub(super) tried: Tried,
    /// Where the margins end.
    fence: Fence,
}

impl<'a> Search<'a> {
    /// `None` where the range would be larger than a number. `granularity` as in
    /// [`placed`](crate::policy::granularity::placed).
    #[inline(always)]
    pub(super) fn new(request: &'a Request, granularity: u64) -> Option<Self> {
        let Request { kind, size, alignment, margin, .. } = *request;
        let (size, alignment) = placed(kind, size, alignment, granularity)?;
        let (size, fence) = match margin {
            0 => (size, Fence::default()),
            _ => {
                let Layout { front, total } = layout(size, alignment, margin)?;
                (total, Fence { front, size, whole: false })
            }
        };
        Some(Self { request, size, alignment, tried: Tried::empty(), fence })
    }

    /// Who lives on a range in a block; `None` if there is nothing to tell.
    #[inline(always)]
    pub(super) fn tenant(&self) -> Option<Tenant> {
        let fence = self.fence;
        match self.request.tenant() {
            None if fence == Fence::default() => None,
            tenant => Some(Tenant { fence, ..tenant.unwrap_or_default() }),
        }
    }
}
