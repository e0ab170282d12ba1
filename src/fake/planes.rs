//! Disjoint images: the requirements of each plane, and binding all planes in one call.

use ash::vk;

use super::call::Call;
use super::object::{Object, Range};
use super::requirements::Requirements;
use super::resource::ResourceId;
use super::state::State;
use super::violation::Violation;

/// A plane, and the range to which it is bound.
pub(super) type PlaneBind = (vk::ImageAspectFlags, vk::DeviceMemory, u64);

const ASPECTS: [vk::ImageAspectFlags; 3] =
    [vk::ImageAspectFlags::PLANE_0, vk::ImageAspectFlags::PLANE_1, vk::ImageAspectFlags::PLANE_2];

impl State {
    /// The requirements of one plane of a disjoint image. They are the same for all planes in this
    /// model.
    pub(super) fn plane_requirements(&mut self, call: Call, image: vk::Image) -> Requirements {
        let found = self.images.get(image).map(|found| found.plane);
        match found {
            Some(Some(plane)) => plane,
            Some(None) => {
                self.report(Violation::Planes { call, image: Object::of(image) });
                Requirements::default()
            }
            None => {
                self.report(Violation::Unknown { call, object: Object::of(image) });
                Requirements::default()
            }
        }
    }

    /// Binds the planes of a disjoint image. All must be bound, to one memory, without overlap.
    pub(super) fn bind_planes(
        &mut self,
        call: Call,
        image: vk::Image,
        planes: &[PlaneBind],
    ) -> vk::Result {
        let object = Object::of(image);
        let needs = self.plane_requirements(call, image);
        let memory = planes.first().map_or(vk::DeviceMemory::null(), |plane| plane.1);
        let together = planes.iter().all(|plane| plane.1 == memory);
        let named = planes.iter().map(|plane| plane.0).eq(ASPECTS.into_iter().take(planes.len()));
        let mut starts: Vec<u64> = planes.iter().map(|plane| plane.2).collect();
        starts.sort_unstable();
        let apart = starts.windows(2).all(|pair| pair[1] - pair[0] >= needs.size);
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else {
            return vk::Result::SUCCESS;
        };
        if needs.size == 0 || planes.len() < 2 || !(together && named && apart) {
            self.report(Violation::Planes { call, image: object });
            return vk::Result::ERROR_VALIDATION_FAILED_EXT;
        }
        for offset in starts {
            let range = Range { memory, offset, size: needs.size };
            if offset % needs.alignment != 0 {
                let alignment = needs.alignment;
                self.report(Violation::BindMisaligned { resource: object, range, alignment });
            }
        }
        if let Some(found) = self.images.get_mut(image) {
            found.requirements.size = last - first + needs.size;
            found.requirements.alignment = 1;
        }
        self.bind_whole(call, ResourceId::Image(image), memory, first)
    }
}
