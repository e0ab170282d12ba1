//! A request in internal terms, and what a range in a block needs for it.

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

/// The resource of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) resource: Resource,
    pub(super) kind: ResourceKind,
    /// Memory must not be dedicated to it.
    disjoint: bool,
    pub(super) usage: u32,
    gpu: GpuUse,
}

impl Target {
    /// The user's own resource.
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

    /// An image whose planes are bound separately.
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
        // A copy by the host is also a copy.
        let of_gpu = usage & !vk::ImageUsageFlags::HOST_TRANSFER_EXT;
        let usage = usage.as_raw();
        let (resource, gpu) = (Resource::Image(handle), GpuUse::of_usage(of_gpu.as_raw()));
        Self { resource, kind, disjoint: false, usage, gpu }
    }
}

/// The part of a request that affects the choice of memory types.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// `VkMemoryRequirements::memoryTypeBits`.
    pub(super) type_bits: u32,
    pub(super) gpu: GpuUse,
    pub(super) taste: Taste,
}

/// The limit that a reservation must respect, besides the user's caps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Limit {
    /// The budget.
    Budget,
    /// None: the driver decides.
    Driver,
}

/// A request in internal terms.
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
    /// The minimum size of a margin, according to the allocator's guards.
    pub(super) margin: u64,
}

impl Request {
    #[inline(always)]
    pub(super) fn new(requirements: &Requirements, target: Target, desc: &AllocationDesc) -> Self {
        let memory = &requirements.memory;
        // Zero means none. Any other value that is not a power of two is rejected later.
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

    /// The smallest request, for a block that is allocated before it is needed.
    pub(super) fn for_a_block() -> Self {
        let memory = vk::MemoryRequirements { size: 1, alignment: 1, memory_type_bits: !0 };
        let requirements = Requirements { memory, dedicate: Dedicate::No };
        let target = Target::unknown(ResourceKind::Linear);
        Self::new(&requirements, target, &AllocationDesc::default())
    }

    /// The resource that a dedicated allocation belongs to.
    pub(super) fn dedicated_to(&self) -> Resource {
        if self.disjoint { Resource::None } else { self.resource }
    }

    /// Raises the alignment to that of an arena.
    pub(super) fn align(&mut self, alignment: u64) {
        if self.alignment.is_power_of_two() {
            self.alignment = self.alignment.max(alignment);
        }
    }

    /// Whether anything has to be stored about the owner of the range.
    #[inline]
    fn is_told(&self) -> bool {
        self.name.is_some() || self.resource != Resource::None || self.rank.is_some()
    }

    /// The tenant of a dedicated allocation; `None` if there is nothing to store.
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

    /// The end of an arena with two ends.
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
    /// The extent of the margins.
    fence: Fence,
}

impl<'a> Search<'a> {
    /// `None` if the size of the range overflows. `granularity` is as in
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

    /// The tenant of a range in a block; `None` if there is nothing to store.
    #[inline(always)]
    pub(super) fn tenant(&self) -> Option<Tenant> {
        let fence = self.fence;
        match self.request.tenant() {
            None if fence == Fence::default() => None,
            tenant => Some(Tenant { fence, ..tenant.unwrap_or_default() }),
        }
    }
}
