//! The doors that an allocator and an arena have alike, written once for both.

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
            #[doc = concat!("Creates a buffer with memory ", $here, ". Checks the description first.")]
            ///
            /// Cost: three driver calls (create, requirements, bind), one lock, O(1) where a block has
            /// room.
            ///
            /// # Errors
            #[doc = concat!("A description that is not valid, a driver that refuses, no memory", $errors)]
            /// Nothing is left behind.
            #[track_caller]
            pub fn create_buffer(
                &self,
                desc: &BufferDesc,
                memory: &AllocationDesc,
            ) -> Result<Buffer, CreateError> {
                self.inner().create_described_buffer(desc, memory, self.place())
            }

            #[doc = concat!("Makes a ring for uploads with memory ", $here, ": one buffer of the")]
            /// description's size. To [`push`](FrameRing::push) values, ask for host-visible memory, such
            /// as [`AllocationDesc::upload`].
            ///
            /// Cost: as [`create_buffer`](Self::create_buffer).
            ///
            /// # Errors
            /// As [`create_buffer`](Self::create_buffer).
            #[track_caller]
            pub fn create_ring(
                &self,
                desc: &BufferDesc,
                memory: &AllocationDesc,
            ) -> Result<FrameRing, CreateError> {
                self.create_buffer(desc, memory).map(FrameRing::over)
            }

            #[doc = concat!("Creates an image with memory ", $here, ". Checks the description, and asks")]
            /// the driver whether it has such an image.
            ///
            /// Cost: as [`create_buffer`](Self::create_buffer), and one more query.
            ///
            /// # Errors
            /// As [`create_buffer`](Self::create_buffer). Nothing is left behind.
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

            #[doc = concat!("Creates a buffer with memory ", $here, " from a create-info of yours,")]
            /// extension structs and all.
            ///
            /// Cost: as [`create_buffer`](Self::create_buffer).
            ///
            /// # Errors
            /// As [`create_buffer`](Self::create_buffer).
            ///
            /// # Safety
            /// The create-info is valid for this device: its pointers, its usage, its extension structs.
            #[track_caller]
            pub unsafe fn create_buffer_from(
                &self,
                info: &vk::BufferCreateInfo<'_>,
                memory: &AllocationDesc,
            ) -> Result<Buffer, CreateError> {
                // SAFETY: the caller's promise.
                unsafe { self.inner().create_buffer(info, memory, self.place()) }
            }

            #[doc = concat!("Creates an image with memory ", $here, " from a create-info of yours,")]
            /// extension structs and all.
            ///
            /// Cost: as [`create_buffer`](Self::create_buffer).
            ///
            /// # Errors
            /// As [`create_image`](Self::create_image).
            ///
            /// # Safety
            /// The create-info is valid for this device: its pointers, its format, its extension
            /// structs. The image is not sparse. A disjoint one's planes lie side by side in its
            /// allocation.
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
            /// The handle may be dropped at any time; the resource must be destroyed by the time the
            /// range may be reused, so destroy it no later than the GPU is done with it.
            ///
            /// Cost: one lock, no driver call where a block has room.
            ///
            /// # Errors
            /// [`AllocateError`] says what was wrong or what would help. Nothing has changed.
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

            #[doc = concat!("Allocates memory ", $here, " for many resources of yours, all or nothing,")]
            /// in their order.
            ///
            /// Cost: as [`allocate`](Self::allocate), once for each.
            ///
            /// # Errors
            /// As [`allocate`](Self::allocate), for the first that fails; the others are free again.
            #[track_caller]
            pub fn allocate_many(
                &self,
                requirements: &[vk::MemoryRequirements],
                kind: ResourceKind,
                memory: &AllocationDesc,
            ) -> Result<Vec<Allocation>, AllocateError> {
                self.inner().allocate_many(requirements, kind, memory, self.place())
            }

            #[doc = concat!("Tells what [`allocate`](Self::allocate) would do now ", $plan, ", and whether the")]
            /// driver would be asked for memory. Nothing changes and the GPU is not looked at: another
            /// thread, or a collect, may change the answer before you act on it; the driver may refuse.
            ///
            #[doc = concat!("Cost: O(1), ", $locks, "; a walk over free regions before an error.")]
            ///
            /// # Errors
            /// What `allocate` would say, as far as it can be known without asking the driver.
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

            /// Tells what [`create_buffer`](Self::create_buffer) would do now; see [`plan`](Self::plan).
            ///
            /// Cost: creates and destroys a buffer without memory, which is how Vulkan 1.0 tells what it
            /// needs.
            ///
            /// # Errors
            /// As `create_buffer`, as far as it can be known.
            pub fn plan_buffer(
                &self,
                desc: &BufferDesc,
                memory: &AllocationDesc,
            ) -> Result<Plan, CreateError> {
                self.inner().plan_buffer(desc, memory, self.place())
            }

            /// Tells what [`create_image`](Self::create_image) would do now; see [`plan`](Self::plan).
            ///
            /// Cost: creates and destroys an image without memory.
            ///
            /// # Errors
            /// As `create_image`, as far as it can be known.
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
    "of the best type that has room",
    ".",
    "and in which memory type",
    "one lock a memory type that has no room"
);
doors!(
    Arena,
    "in the arena",
    "; what does not fit the arena's memory type, its blocks, or their number: of `memory` the \
     intent does not count, but what it requires must be true of the arena's type.",
    "in the arena",
    "one lock"
);
