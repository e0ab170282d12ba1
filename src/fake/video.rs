//! Video sessions: objects with several memory bindings. Coding is not modelled.

use ash::vk;

use super::call::Call;
use super::object::{Object, Range};
use super::requirements::Requirements;
use super::state::State;
use super::track::{Busy, tracked};
use super::violation::Violation;

pub(super) struct VideoSession {
    /// The requirements of each binding, and the range to which it is bound.
    pub(super) bindings: Vec<(Requirements, Option<Range>)>,
    pub(super) busy: Busy,
}

tracked!(VideoSession);

/// The index of a binding, and the range for it.
pub(super) type VideoBind = (u32, Range);

impl State {
    pub(super) fn create_video_session(&mut self) -> Result<vk::VideoSessionKHR, vk::Result> {
        let all = self.profile.type_bits(false, false);
        let need = |&(size, alignment, types): &(u64, u64, u32)| {
            let type_bits = all & types;
            (Requirements { size, alignment, type_bits, ..Requirements::default() }, None)
        };
        let bindings = self.profile.video_bindings.iter().map(need).collect();
        self.create(VideoSession { bindings, busy: Busy::default() })
    }

    /// The requirements of the bindings of a session.
    pub(super) fn video_requirements(
        &mut self,
        call: Call,
        session: vk::VideoSessionKHR,
    ) -> Vec<Requirements> {
        let found = self.find(call, session);
        found.map_or_else(Vec::new, |found| found.bindings.iter().map(|it| it.0).collect())
    }

    /// Binds memory. Every broken rule is reported, and the memory is bound nevertheless.
    pub(super) fn bind_video(&mut self, session: vk::VideoSessionKHR, binds: &[VideoBind]) {
        let (call, resource) = (Call::BindVideoSessionMemory, Object::of(session));
        for &(index, range) in binds {
            let Some(found) = self.find(call, session) else { return };
            let Some((needs, bound)) = found.bindings.get_mut(index as usize) else {
                self.report(Violation::Unknown { call, object: resource });
                continue;
            };
            let needs = *needs;
            if bound.replace(range).is_some() {
                self.report(Violation::BindTwice { resource });
            }
            let Some(memory) = self.find(call, range.memory) else { continue };
            let (memory_size, memory_type) = (memory.size, memory.memory_type);
            let end = range.offset.checked_add(range.size);
            if range.size != needs.size || end.is_none_or(|end| end > memory_size) {
                self.report(Violation::BindOutOfRange { resource, range, memory_size });
            }
            if range.offset % needs.alignment != 0 {
                let alignment = needs.alignment;
                self.report(Violation::BindMisaligned { resource, range, alignment });
            }
            if needs.type_bits.checked_shr(memory_type).unwrap_or(0) & 1 == 0 {
                let type_bits = needs.type_bits;
                self.report(Violation::BindWrongType { resource, memory_type, type_bits });
            }
        }
    }
}
