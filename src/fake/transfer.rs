//! Transfer commands, which the fake executes byte by byte when they complete.

use std::sync::Arc;

use ash::vk;

use super::call::Call;
use super::object::Object;
use super::resource::ResourceId;
use super::shader::Dispatch;
use super::state::State;
use super::uses::Use;
use super::violation::Violation;

/// What a command does to the bytes of buffers. Texels are not modelled.
#[derive(Clone)]
pub(super) enum Work {
    Copy { from: vk::Buffer, to: vk::Buffer, region: vk::BufferCopy },
    Fill { to: vk::Buffer, offset: u64, size: u64, word: u32 },
    Update { to: vk::Buffer, offset: u64, bytes: Arc<[u8]> },
    Dispatch(Dispatch),
}

/// The size of the pieces in which bytes are moved.
const PIECE: usize = 64 << 10;

impl State {
    /// Records a command that does `work` and touches its buffers.
    pub(super) fn record_work(&mut self, call: Call, commands: vk::CommandBuffer, work: Work) {
        let inside = match &work {
            Work::Copy { from, to, region } => {
                self.check_inside(call, *from, region.src_offset, region.size)
                    && self.check_inside(call, *to, region.dst_offset, region.size)
            }
            Work::Fill { to, offset, size, .. } => self.check_inside(call, *to, *offset, *size),
            Work::Update { to, offset, bytes } => {
                self.check_inside(call, *to, *offset, bytes.len() as u64)
            }
            Work::Dispatch(_) => true,
        };
        let uses = match &work {
            Work::Copy { from, to, .. } => &[Use::buffer(*from), Use::buffer(*to)][..],
            Work::Fill { to, .. } | Work::Update { to, .. } => &[Use::buffer(*to)],
            Work::Dispatch(_) => &[],
        };
        self.record_command(call, commands, uses, inside.then_some(work));
    }

    /// Whether the bytes are inside the buffer. Reports a violation if not.
    fn check_inside(&mut self, call: Call, buffer: vk::Buffer, offset: u64, size: u64) -> bool {
        let Some(found) = self.find(call, buffer) else { return false };
        let inside = match size {
            vk::WHOLE_SIZE => offset < found.size,
            _ => offset.checked_add(size).is_some_and(|end| end <= found.size),
        };
        if !inside {
            let buffer = Object::of(buffer);
            self.report(Violation::CommandOutOfRange { call, buffer, offset, size });
        }
        inside
    }

    /// Executes the work. Buffers and memories that no longer exist are skipped; that is reported
    /// elsewhere.
    pub(super) fn carry_out(&mut self, work: &Work) {
        match work {
            Work::Copy { from, to, region } => {
                let mut piece = vec![0; PIECE.min(usize::try_from(region.size).unwrap_or(PIECE))];
                let mut done = 0;
                while done < region.size && !piece.is_empty() {
                    let left = usize::try_from(region.size - done).unwrap_or(PIECE);
                    piece.truncate(left);
                    let (source, target) = (region.src_offset + done, region.dst_offset + done);
                    if let Some((memory, at)) = self.place(*from, source) {
                        self.gpu_read(memory, at, &mut piece);
                    }
                    self.put(*to, target, &piece);
                    done += piece.len() as u64;
                }
            }
            Work::Fill { to, offset, size, word } => {
                let whole = self.buffers.get(*to).map_or(0, |buffer| buffer.size);
                let size = if *size == vk::WHOLE_SIZE {
                    whole.saturating_sub(*offset) / 4 * 4
                } else {
                    *size
                };
                let words = word.to_ne_bytes().repeat(PIECE / 4);
                let mut done = 0;
                while done < size {
                    let left = usize::try_from(size - done).unwrap_or(PIECE);
                    let piece = words.get(..left).unwrap_or(&words);
                    self.put(*to, offset + done, piece);
                    done += piece.len() as u64;
                }
            }
            Work::Update { to, offset, bytes } => self.put(*to, *offset, bytes),
            Work::Dispatch(dispatch) => self.dispatch(dispatch),
        }
    }

    fn put(&mut self, buffer: vk::Buffer, offset: u64, bytes: &[u8]) {
        if let Some((memory, at)) = self.place(buffer, offset) {
            self.gpu_write(memory, at, bytes);
        }
    }

    /// The position of a byte of a buffer.
    fn place(&self, buffer: vk::Buffer, offset: u64) -> Option<(vk::DeviceMemory, u64)> {
        let (memory, start) = self.resource(ResourceId::Buffer(buffer))?.bound?;
        Some((memory, start.checked_add(offset)?))
    }
}
