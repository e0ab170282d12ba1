//! Compute modules, pipelines and dispatches. The fake does not execute SPIR-V. It recognises the
//! module of this crate ([`guard`](crate::guard)) by its bytes, and does what this module does. A
//! dispatch of any other module touches what its descriptor set names, and changes nothing.

use ash::vk;

use super::call::Call;
use super::descriptor::Written;
use super::object::{Object, Submission};
use super::resource::ResourceId;
use super::state::State;
use super::track::{Busy, tracked};
use super::transfer::Work;
use super::uses::{Touched, Use};
use super::violation::Violation;
use crate::guard::{self, HEADER, PIECE, SEEN, Seen};

/// A shader that the fake can execute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shader {
    Fill,
    Check,
}

pub(super) struct Module {
    pub(super) is_guard: bool,
    pub(super) busy: Busy,
}

pub(super) struct Pipeline {
    pub(super) shader: Option<Shader>,
    pub(super) busy: Busy,
}

tracked!(Module, Pipeline);

/// A dispatch.
#[derive(Clone, Copy)]
pub(super) struct Dispatch {
    pipeline: vk::Pipeline,
    /// `None` if the fake cannot execute the shader.
    shader: Option<Shader>,
    set: vk::DescriptorSet,
    groups: u32,
}

/// Words of a block that one workgroup processes alone.
struct Piece {
    memory: vk::DeviceMemory,
    /// The byte where it begins, and the index of that word in the block.
    at: u64,
    index: u64,
    words: u32,
    zero: bool,
    /// Its index in the report.
    slot: u32,
}

/// A range of a memory that a binding names, in bytes.
#[derive(Clone, Copy)]
struct Bytes {
    memory: vk::DeviceMemory,
    at: u64,
    size: u64,
}

/// The newest SPIR-V version that a Vulkan version supports (specification, "Versions and Formats"
/// of SPIR-V).
const fn newest_spirv(api_version: u32) -> u32 {
    match (vk::api_version_major(api_version), vk::api_version_minor(api_version)) {
        (1, 0) => 0x0001_0000,
        (1, 1) => 0x0001_0300,
        (1, 2) => 0x0001_0500,
        _ => 0x0001_0600,
    }
}

impl State {
    pub(super) fn create_module(&mut self, code: &[u32]) -> Result<vk::ShaderModule, vk::Result> {
        let spirv = code.get(1).copied().unwrap_or(0);
        let newest = newest_spirv(self.profile.api_version);
        if spirv > newest {
            self.report(Violation::ModuleTooNew { spirv, newest });
        }
        self.create(Module { is_guard: code == guard::SPIRV, busy: Busy::default() })
    }

    /// `entry` is the name of the shader in the module.
    pub(super) fn create_pipeline(
        &mut self,
        module: vk::ShaderModule,
        layout: vk::PipelineLayout,
        entry: &std::ffi::CStr,
    ) -> Result<vk::Pipeline, vk::Result> {
        let call = Call::CreateComputePipelines;
        let invalid = vk::Result::ERROR_VALIDATION_FAILED_EXT;
        self.find(call, layout).ok_or(invalid)?;
        let is_guard = self.find(call, module).ok_or(invalid)?.is_guard;
        let shader = match is_guard {
            true if entry == guard::FILL => Some(Shader::Fill),
            true if entry == guard::CHECK => Some(Shader::Check),
            _ => None,
        };
        self.create(Pipeline { shader, busy: Busy::default() })
    }

    /// Records a dispatch with the bound state.
    pub(super) fn record_dispatch(&mut self, commands: vk::CommandBuffer, groups: u32) {
        let call = Call::CmdDispatch;
        let Some((pipeline, set)) = self.bound(commands) else {
            return self.report(Violation::Unknown { call, object: Object::of(commands) });
        };
        let Some(found) = self.find(call, pipeline) else { return };
        let shader = found.shader;
        let uses = match shader {
            // What it touches is known word by word.
            Some(_) => [Use::descriptor_set(set).ordered()],
            None => [Use::descriptor_set(set)],
        };
        let dispatch = Dispatch { pipeline, shader, set, groups };
        self.record_command(call, commands, &uses, Some(Work::Dispatch(dispatch)));
    }

    /// The words that a dispatch touches, according to its table at submission.
    pub(super) fn touch_dispatch(
        &mut self,
        submission: Submission,
        dispatch: &Dispatch,
        touched: &mut Vec<Touched>,
    ) {
        touched.push(Touched::Pipeline(dispatch.pipeline));
        if dispatch.shader.is_none() {
            return;
        }
        if let Some(Written::Buffer { buffer, .. }) = self.written(dispatch.set, 0, 0) {
            if let Some(overlay) = self.resource_mut(ResourceId::Buffer(buffer)) {
                overlay.overlay = true;
            }
        }
        for piece in self.pieces(dispatch) {
            let used = Use::memory(piece.memory, piece.at, u64::from(piece.words) * 4);
            self.touch(submission, &used, touched);
        }
    }

    /// Does what the shader would do.
    pub(super) fn dispatch(&mut self, dispatch: &Dispatch) {
        let Some(shader) = dispatch.shader else { return };
        let report = self.binding(dispatch.set, 2);
        for piece in self.pieces(dispatch) {
            let mut bytes = vec![0; piece.words as usize * 4];
            if !self.gpu_read(piece.memory, piece.at, &mut bytes) {
                continue;
            }
            let mut seen: Option<Seen> = None;
            for (word, at) in bytes.chunks_exact_mut(4).zip(0_u32..) {
                let expected = match piece.zero {
                    true => 0,
                    false => guard::pattern(piece.index + u64::from(at)),
                };
                let mut found = [0; 4];
                found.copy_from_slice(word);
                let found = u32::from_ne_bytes(found);
                if found != expected {
                    seen.get_or_insert(Seen { first: at, found, words: 0 }).words += 1;
                }
                word.copy_from_slice(&expected.to_ne_bytes());
            }
            self.gpu_write(piece.memory, piece.at, &bytes);
            if let (Shader::Check, Some(report)) = (shader, report) {
                let words = Seen::write(seen);
                let at = u64::from(piece.slot) * SEEN as u64 * 4;
                if at + 16 <= report.size {
                    let told: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
                    self.gpu_write(report.memory, report.at + at, &told);
                }
            }
        }
    }

    /// The pieces of a dispatch that lie in its window. Others are a violation.
    fn pieces(&mut self, dispatch: &Dispatch) -> Vec<Piece> {
        let (Some(window), Some(table)) =
            (self.binding(dispatch.set, 0), self.binding(dispatch.set, 1))
        else {
            return Vec::new();
        };
        let words = HEADER + dispatch.groups as usize * PIECE;
        let mut bytes = vec![0; words * 4];
        if bytes.len() as u64 > table.size || !self.gpu_read(table.memory, table.at, &mut bytes) {
            self.outside(dispatch, table);
            return Vec::new();
        }
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|word| word.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
            .collect();
        let (header, pieces) = words.split_at(HEADER.min(words.len()));
        let (base, slot) = match header {
            [base, slot, ..] => (*base, *slot),
            _ => return Vec::new(),
        };
        let mut inside = Vec::new();
        for (piece, group) in pieces.chunks_exact(PIECE).zip(0_u32..) {
            let &[low, high, words, zero] = piece else { continue };
            let first = u64::from(low.wrapping_sub(base)) * 4;
            if first + u64::from(words) * 4 > window.size {
                self.outside(dispatch, window);
                continue;
            }
            inside.push(Piece {
                memory: window.memory,
                at: window.at + first,
                index: u64::from(high) << 32 | u64::from(low),
                words,
                zero: zero != 0,
                slot: slot.saturating_add(group),
            });
        }
        inside
    }

    fn outside(&mut self, dispatch: &Dispatch, bound: Bytes) {
        let (set, size) = (Object::of(dispatch.set), bound.size);
        self.report(Violation::DispatchOutOfRange { set, size });
    }

    /// The bytes of a storage buffer of a set.
    fn binding(&mut self, set: vk::DescriptorSet, binding: u32) -> Option<Bytes> {
        let written = self.descriptor_sets.get(set)?.written(binding, 0)?;
        let Written::Buffer { buffer, offset, range } = written else { return None };
        let resource = self.buffers.get(buffer)?;
        let (memory, start) = resource.bound?;
        let size = match range {
            vk::WHOLE_SIZE => resource.size.checked_sub(offset)?,
            range => range,
        };
        (offset.checked_add(size)? <= resource.size).then_some(Bytes {
            memory,
            at: start + offset,
            size,
        })
    }
}
