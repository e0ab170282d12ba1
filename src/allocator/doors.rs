//! The public functions that an allocator and an arena have in common, written once for both.

use ash::vk;

use super::{
    Allocator,
    allocation::Allocation,
    arena::Arena,
    desc::AllocationDesc,
    error::{AllocateError, CreateError},
    plan::Plan,
    request::Target,
    resource::{Buffer, Image},
    resource_desc::{BufferDesc, ImageDesc},
    ring::FrameRing,
};
use crate::{
    policy::granularity::ResourceKind,
    vulkan::{Dedicate, Requirements},
};

macro_rules! doors {
    ($owner:ty, $here:literal, $errors:literal, $plan:literal, $locks:literal) => {
        impl $owner {
            #[doc = concat!("Creates a buffer with memory ", $here, ". Validates the description first.")]
            ///
            /// Cost: three driver calls (create, requirements, bind), one lock, O(1) if a block has
            /// room.
            ///
            /// # Errors
            #[doc = concat!("The description is invalid, the driver refuses, or there is no memory", $errors)]
            /// Nothing is left behind.
            #[track_caller]
            pub fn create_buffer(
                &self,
                desc: &BufferDesc,
                memory: &AllocationDesc,
            ) -> Result<Buffer, CreateError> {
                self.inner().create_described_buffer(desc, memory, self.place())
            }

            #[doc = concat!("Creates a ring for uploads with memory ", $here, ": one buffer of the")]
            /// size in the description. To [`push`](FrameRing::push) values, ask for host-visible
            /// memory, for example with [`AllocationDesc::upload`].
            ///
            /// Cost: as for [`create_buffer`](Self::create_buffer).
            ///
            /// # Errors
            /// As for [`create_buffer`](Self::create_buffer).
            #[track_caller]
            pub fn create_ring(
                &self,
                desc: &BufferDesc,
                memory: &AllocationDesc,
            ) -> Result<FrameRing, CreateError> {
                self.create_buffer(desc, memory).map(FrameRing::over)
            }

            #[doc = concat!("Creates an image with memory ", $here, ". Validates the description, and asks")]
            /// the driver whether it supports such an image.
            ///
            /// Cost: as for [`create_buffer`](Self::create_buffer), plus one query.
            ///
            /// # Errors
            /// As for [`create_buffer`](Self::create_buffer). Nothing is left behind.
            #[track_caller]
            pub fn create_image(
                &self,
                desc: &ImageDesc,
                memory: &AllocationDesc,
            ) -> Result<Image, CreateError> {
                self.inner().check_image(desc)?;
                // SAFETY: the description was checked, and the driver has such images.
                unsafe { self.create_image_from(&desc.info(), memory) }
            }

            #[doc = concat!("Creates a buffer with memory ", $here, " from your own create-info,")]
            /// including its extension structs.
            ///
            /// Cost: as for [`create_buffer`](Self::create_buffer).
            ///
            /// # Errors
            /// As for [`create_buffer`](Self::create_buffer).
            ///
            /// # Safety
            /// The create-info is valid for this device, including its pointers, usage and
            /// extension structs.
            #[track_caller]
            pub unsafe fn create_buffer_from(
                &self,
                info: &vk::BufferCreateInfo<'_>,
                memory: &AllocationDesc,
            ) -> Result<Buffer, CreateError> {
                // SAFETY: the caller's promise.
                unsafe { self.inner().create_buffer(info, memory, self.place()) }
            }

            #[doc = concat!("Creates an image with memory ", $here, " from your own create-info,")]
            /// including its extension structs.
            ///
            /// Cost: as for [`create_buffer`](Self::create_buffer).
            ///
            /// # Errors
            /// As for [`create_image`](Self::create_image).
            ///
            /// # Safety
            /// The create-info is valid for this device, including its pointers, format and
            /// extension structs. The image is not sparse. The planes of a disjoint image are
            /// placed side by side in its allocation.
            #[track_caller]
            pub unsafe fn create_image_from(
                &self,
                info: &vk::ImageCreateInfo<'_>,
                memory: &AllocationDesc,
            ) -> Result<Image, CreateError> {
                // SAFETY: the caller's promise.
                unsafe { self.inner().create_image(info, memory, self.place()) }
            }

            #[doc = concat!("Allocates memory ", $here, " for a resource that you create, bind and")]
            /// destroy yourself.
            ///
            /// You may drop the handle at any time. The range may be reused as soon as the GPU has
            /// passed the drop, so you must have destroyed the resource by then.
            ///
            /// Cost: one lock, and no driver call if a block has room.
            ///
            /// # Errors
            /// [`AllocateError`] describes what is wrong, or what would help. Nothing has changed.
            ///
            /// # Example
            /// ```
            /// # use fencepost::{fake::FakeDriver, *};
            /// # let fake = FakeDriver::new(&Default::default());
            /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
            /// # let allocator = unsafe { Allocator::new(&desc)? };
            /// let requirements =
            ///     vk::MemoryRequirements { size: 1000, alignment: 256, memory_type_bits: !0 };
            /// let memory = allocator.allocate(
            ///     &requirements,
            ///     ResourceKind::Linear,
            ///     &AllocationDesc::device_local().name("scratch"),
            /// )?;
            /// assert_eq!(memory.offset() % 256, 0);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[track_caller]
            pub fn allocate(
                &self,
                requirements: &vk::MemoryRequirements,
                kind: ResourceKind,
                memory: &AllocationDesc,
            ) -> Result<Allocation, AllocateError> {
                self.inner().allocate_plain(requirements, kind, memory, self.place())
            }

            #[doc = concat!("Allocates memory ", $here, " for several of your own resources, all or none,")]
            /// in the given order.
            ///
            /// Cost: as for [`allocate`](Self::allocate), once for each.
            ///
            /// # Errors
            /// The error of the first [`allocate`](Self::allocate) that fails; the previous ones
            /// are freed again.
            #[track_caller]
            pub fn allocate_many(
                &self,
                requirements: &[vk::MemoryRequirements],
                kind: ResourceKind,
                memory: &AllocationDesc,
            ) -> Result<Vec<Allocation>, AllocateError> {
                self.inner().allocate_many(requirements, kind, memory, self.place())
            }

            #[doc = concat!("Predicts what [`allocate`](Self::allocate) would do now", $plan, ", and whether it would")]
            /// allocate memory from the driver. Changes nothing, and does not query the GPU's
            /// progress. The prediction may be wrong by the time you act on it, because of another
            /// thread or a collect, and the driver may still refuse.
            #[doc = concat!("Cost: O(1), ", $locks, "; before an error, a walk over all free regions.")]
            ///
            /// # Errors
            /// The error that `allocate` would return, as far as it can be known without calling
            /// the driver.
            ///
            /// # Example
            /// ```
            /// # use fencepost::{fake::FakeDriver, *};
            /// # let fake = FakeDriver::new(&Default::default());
            /// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
            /// # let allocator = unsafe { Allocator::new(&desc)? };
            /// let requirements =
            ///     vk::MemoryRequirements { size: 1000, alignment: 256, memory_type_bits: !0 };
            /// let memory = AllocationDesc::device_local();
            /// let plan = allocator.plan(&requirements, ResourceKind::Linear, &memory)?;
            /// assert!(matches!(plan.placement, Placement::NewBlock { .. }));
            /// let first = allocator.allocate(&requirements, ResourceKind::Linear, &memory)?;
            /// assert_eq!(first.memory_type(), plan.memory_type);
            /// let plan = allocator.plan(&requirements, ResourceKind::Linear, &memory)?;
            /// assert_eq!(plan.placement, Placement::Block);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            pub fn plan(
                &self,
                requirements: &vk::MemoryRequirements,
                kind: ResourceKind,
                memory: &AllocationDesc,
            ) -> Result<Plan, AllocateError> {
                let needs = Requirements { memory: *requirements, dedicate: Dedicate::No };
                self.inner().plan(&needs, Target::unknown(kind), memory, self.place())
            }

            /// Predicts what [`create_buffer`](Self::create_buffer) would do now; see
            /// [`plan`](Self::plan).
            ///
            /// Cost: creates and destroys a buffer without memory, because Vulkan 1.0 has no other
            /// way to query the requirements.
            ///
            /// # Errors
            /// As for `create_buffer`, as far as it can be known.
            pub fn plan_buffer(
                &self,
                desc: &BufferDesc,
                memory: &AllocationDesc,
            ) -> Result<Plan, CreateError> {
                self.inner().plan_buffer(desc, memory, self.place())
            }

            /// Predicts what [`create_image`](Self::create_image) would do now; see
            /// [`plan`](Self::plan).
            ///
            /// Cost: creates and destroys an image without memory.
            ///
            /// # Errors
            /// As for `create_image`, as far as it can be known.
            pub fn plan_image(
                &self,
                desc: &ImageDesc,
                memory: &AllocationDesc,
            ) -> Result<Plan, CreateError> {
                self.inner().plan_image(desc, memory, self.place())
            }
        }
    };
}

doors!(
    Allocator,
    "in the best memory type that has room",
    ".",
    ", in which memory type",
    "one lock per memory type that has no room"
);
doors!(
    Arena,
    "in the arena",
    "; or the request does not fit the arena's memory type, block size or number of blocks. The intent in \
     `memory` is ignored, but the arena's memory type must have the required properties.",
    " in the arena",
    "one lock"
);
