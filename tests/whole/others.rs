//! Other grants: shared memory, and resources with several bindings or planes.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    ptr::NonNull,
};

use fencepost::{AllocationDesc, ExternalError, FdKind, ResourceKind, SharedFd, vk};

use crate::{
    asks,
    support::random::Random,
    world::{Made, World},
};

/// Memory of the host's own, of so many bytes.
pub struct Pages(NonNull<u8>, Layout);

impl Pages {
    fn new(size: u64, alignment: u64) -> Self {
        let layout = Layout::from_size_align(size as usize, alignment as usize).unwrap();
        // SAFETY: the layout has a size.
        Self(NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap(), layout)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and the driver has let go of it.
        unsafe { dealloc(self.0.as_ptr(), self.1) };
    }
}

/// What is made anew on the other side.
enum Described {
    Buffer(fencepost::BufferDesc),
    Image(fencepost::ImageDesc),
}

impl World {
    pub fn grant_other(&mut self, random: &mut Random) {
        match random.below(6) {
            0..3 => self.share_with_others(random),
            3 => self.import_pages(random),
            4 => self.bind_session(random),
            _ => self.create_planes(random),
        }
    }

    /// A resource goes out, and now and then comes in again.
    fn share_with_others(&mut self, random: &mut Random) {
        let kind = if random.one_in(2) { FdKind::Opaque } else { FdKind::DmaBuf };
        let described = match random.one_in(2) {
            true => Described::Buffer(asks::buffer(random, self.most.min(4 << 20))),
            false => Described::Image(asks::image(random)),
        };
        let (memory, before) = (asks::memory(random), self.picture());
        let allocator = &self.allocator;
        let made = match &described {
            Described::Buffer(desc) => {
                allocator.create_exportable_buffer(desc, &memory, kind).map(Made::Buffer)
            }
            Described::Image(desc) => allocator
                .create_exportable_image(desc, &memory, kind)
                .map(|image| Made::Image(image, Vec::new())),
        };
        let Some(made) = self.expect_shared(made, &before) else { return };
        let exported = made.allocation().expect("it is no key").export(kind);
        self.note("made to be exported");
        self.take_in_shared(made, &described);
        match exported {
            Ok(shared) if random.one_in(2) => self.import(described, shared, random),
            _ => {}
        }
    }

    fn import(&mut self, mut described: Described, mut shared: SharedFd, random: &mut Random) {
        match &mut described {
            // A dma-buf may be larger than what lives there.
            Described::Buffer(desc) if shared.kind == FdKind::DmaBuf && random.one_in(2) => {
                *desc = asks::buffer(random, shared.size.max(256));
            }
            _ => {}
        }
        if shared.kind == FdKind::DmaBuf && random.one_in(8) {
            shared.size = random.below(shared.size);
        }
        let (memory, before) = (asks::memory(random), self.picture());
        let allocator = &self.allocator;
        let found = shared.size;
        let made = match &described {
            Described::Buffer(desc) => {
                // SAFETY: the driver knows its own descriptor, and refuses what does not fit it.
                let made = unsafe { allocator.import_buffer(desc, &memory, shared) };
                made.map(Made::Buffer)
            }
            Described::Image(desc) => {
                // SAFETY: as above.
                let made = unsafe { allocator.import_image(desc, &memory, shared) };
                made.map(|image| Made::Image(image, Vec::new()))
            }
        };
        let Some(made) = self.expect_shared(made, &before) else { return };
        assert!(made.allocation().is_some_and(|it| it.size() <= found));
        self.note("imported");
        self.take_in_shared(made, &described);
    }

    fn import_pages(&mut self, random: &mut Random) {
        let Some(alignment) = self.allocator.host_pointer_alignment() else { return };
        if self.pages.len() > 20 {
            return;
        }
        let pages = 1 + random.below(4);
        let length = pages * alignment;
        let desc = asks::buffer(random, length);
        let place = Pages::new(length, alignment);
        let (memory, before) = (asks::memory(random), self.picture());
        // SAFETY: the pages stay until the allocator is gone.
        let made = unsafe { self.allocator.import_host_memory(place.0, length, &desc, &memory) };
        let Some(made) = self.expect_shared(made.map(Made::Buffer), &before) else { return };
        self.pages.push(place);
        self.note("the host's pages");
        self.take_in_shared(made, &Described::Buffer(desc));
    }

    fn expect_shared(
        &self,
        made: Result<Made, ExternalError>,
        before: &crate::grants::Picture,
    ) -> Option<Made> {
        made.inspect_err(|error| self.expect_as_before(before, error)).ok()
    }

    /// It has a memory of its own.
    fn take_in_shared(&mut self, made: Made, described: &Described) {
        assert_eq!(made.allocation().map(fencepost::Allocation::offset), Some(0));
        let kind = match described {
            Described::Buffer(_) => ResourceKind::Linear,
            Described::Image(_) => ResourceKind::Optimal,
        };
        self.take_in(made, kind, None);
    }

    /// All bindings of a video session or none; the session goes, as nothing was recorded with it.
    fn bind_session(&mut self, random: &mut Random) {
        let table = ash::khr::video_queue::Device::new(self.fake.instance(), self.fake.device());
        let (device, none) = (self.fake.device().handle(), std::ptr::null());
        let info = vk::VideoSessionCreateInfoKHR::default();
        let mut session = vk::VideoSessionKHR::null();
        // SAFETY: the fake's own handles.
        let made =
            unsafe { (table.fp().create_video_session_khr)(device, &info, none, &mut session) };
        assert_eq!(made, vk::Result::SUCCESS);
        let (memory, before) = (asks::memory(random), self.picture());
        // SAFETY: the session is new.
        match unsafe { self.allocator.bind_video_session(session, &memory) } {
            Ok(all) => {
                assert!(all.len() == 3, "{all:?}");
                self.note("a video session");
                for made in all {
                    self.take_in(Made::Plain(made), ResourceKind::Optimal, None);
                }
            }
            Err(error) => self.expect_as_before(&before, &error),
        }
        // SAFETY: the GPU knows nothing of it.
        unsafe { (table.fp().destroy_video_session_khr)(device, session, none) };
    }

    fn create_planes(&mut self, random: &mut Random) {
        let formats = [
            vk::Format::G8_B8R8_2PLANE_420_UNORM,
            vk::Format::G8_B8_R8_3PLANE_444_UNORM,
            vk::Format::R8G8B8A8_UNORM,
        ];
        let [width, height] = [0; 2].map(|_| 2 + 2 * random.log_uniform(300) as u32);
        let info = vk::ImageCreateInfo::default()
            .flags(vk::ImageCreateFlags::DISJOINT)
            .image_type(vk::ImageType::TYPE_2D)
            .format(formats[random.below(3) as usize])
            .extent(vk::Extent3D { width, height, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .usage(vk::ImageUsageFlags::SAMPLED);
        let (memory, before) = (asks::memory(random), self.picture());
        let at = random.below(self.arenas.len() as u64 + 2);
        // SAFETY: the fake takes every format.
        let made = unsafe {
            match at {
                0 | 1 => self.allocator.create_image_from(&info, &memory),
                at => self.arenas[at as usize - 2].create_image_from(&info, &memory),
            }
        };
        match made {
            Ok(made) => {
                self.note("a disjoint image");
                self.take_in(Made::Image(made, Vec::new()), ResourceKind::Optimal, None);
            }
            Err(error) => self.expect_as_before(&before, &error),
        }
    }

    /// An image where the GPU may still use the memory.
    pub fn create_image_ordered(&mut self, random: &mut Random) {
        let queue = random.below(self.timelines.len() as u64) as usize;
        let (desc, memory): (_, AllocationDesc) = (asks::image(random), asks::memory(random));
        let before = self.picture();
        // SAFETY: what is submitted with it waits as it says.
        let made =
            unsafe { self.allocator.create_image_ordered(&desc, &memory, &self.timelines[queue]) };
        match made {
            Ok(fencepost::Ordered { owner, dependency }) => {
                let made = Made::Image(owner, Vec::new());
                self.take_in(made, ResourceKind::Optimal, Some((queue, dependency)));
            }
            Err(error) => self.expect_as_before(&before, &error),
        }
    }
}
