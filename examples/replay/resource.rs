//! A request of a trace, as a real buffer or image in memory of fencepost.

use ash::vk;
use fencepost::record::{Intent, Request};
use fencepost::{
    Allocation, AllocationDesc, Allocator, Buffer, BufferDesc, CreateError, Dependency, Image,
    ImageDesc, Ordered, ResourceKind, Timeline,
};

use super::touch::{self, WORD};

/// A live resource of the trace.
pub(crate) enum Resource {
    Buffer { buffer: Buffer, intent: Intent },
    Image { image: Image, shape: Shape },
}

/// The width and height of an image with four bytes per texel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Resource {
    /// Creates the requested resource. The size is rounded up to whole words; an image gets the
    /// shape whose texels are closest to the size. Returns what its first use has to wait for,
    /// which is nothing unless it may be `ordered` after work of this timeline's queue.
    pub(crate) fn create(
        allocator: &Allocator,
        request: &Request,
        longest_side: u32,
        ordered: Option<&Timeline>,
    ) -> Result<(Self, Dependency), CreateError> {
        let memory = match request.intent {
            Intent::DeviceLocal => AllocationDesc::device_local(),
            Intent::Upload => AllocationDesc::upload(),
            Intent::Readback => AllocationDesc::readback(),
        }
        .min_alignment(request.alignment);
        match request.kind {
            ResourceKind::Linear => {
                let size = request.size.get().next_multiple_of(WORD);
                let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
                let desc = BufferDesc::new(size, usage);
                let Ordered { owner: buffer, dependency } = match ordered {
                    Some(queue) => {
                        // SAFETY: the witness orders its writes, which come first.
                        unsafe { allocator.create_buffer_ordered(&desc, &memory, queue) }?
                    }
                    None => allocator.create_buffer(&desc, &memory).map(unordered)?,
                };
                Ok((Self::Buffer { buffer, intent: request.intent }, dependency))
            }
            ResourceKind::Optimal => {
                let shape = Shape::nearest(request.size.get(), longest_side);
                let usage = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
                let format = vk::Format::R8G8B8A8_UNORM;
                let desc = ImageDesc::new_2d(format, shape.width, shape.height, usage);
                let Ordered { owner: image, dependency } = match ordered {
                    Some(queue) => {
                        // SAFETY: as above.
                        unsafe { allocator.create_image_ordered(&desc, &memory, queue) }?
                    }
                    None => allocator.create_image(&desc, &memory).map(unordered)?,
                };
                Ok((Self::Image { image, shape }, dependency))
            }
        }
    }

    /// The memory of the resource.
    pub(crate) fn allocation(&self) -> &Allocation {
        match self {
            Self::Buffer { buffer, .. } => buffer.allocation(),
            Self::Image { image, .. } => image.allocation(),
        }
    }

    /// The byte offsets of the words that are written.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> + Clone + use<> {
        let (size, most) = match self {
            Self::Buffer { buffer, .. } => (buffer.size(), touch::MOST_OF_BUFFER),
            Self::Image { shape, .. } => (shape.bytes(), touch::MOST_OF_IMAGE),
        };
        touch::offsets(size, most)
    }
}

fn unordered<T>(owner: T) -> Ordered<T> {
    Ordered { owner, dependency: Dependency::none() }
}

impl Shape {
    /// The shape of about `size` bytes whose width is a power of two and at most the height, if the
    /// longest side permits it.
    pub(crate) fn nearest(size: u64, longest_side: u32) -> Self {
        let texels = size.div_ceil(WORD).max(1);
        let longest = u64::from(longest_side.max(1));
        let width = (1 << (texels.isqrt().ilog2())).max(texels.div_ceil(longest)).min(longest);
        let height = (texels / width).clamp(1, longest);
        // Both are at most `longest_side`.
        Self { width: width as u32, height: height as u32 }
    }

    /// The number of bytes of its texels.
    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * WORD
    }

    /// The texel that begins at this byte, counted row by row.
    pub(crate) fn texel(self, offset: u64) -> vk::Offset3D {
        let (index, width) = (offset / WORD, u64::from(self.width));
        vk::Offset3D { x: (index % width) as i32, y: (index / width) as i32, z: 0 }
    }
}
