//! Command pools and command buffers, which contain what they touch and do instead of commands.

use std::sync::Arc;

use ash::vk;
use ash::vk::Handle;

use super::call::Call;
use super::object::{Object, Submission};
use super::slab::Slab;
use super::state::State;
use super::track::{Busy, Kind, Tracked, tracked};
use super::transfer::Work;
use super::uses::{Touched, Use};
use super::violation::Violation;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Initial,
    Recording,
    Executable,
    /// Submitted, and must not be submitted again.
    Spent,
}

pub(super) struct Command {
    /// The pool; null for a command buffer that the fake made itself, which is freed when its
    /// submission completes.
    pool: vk::CommandPool,
    stage: Stage,
    flags: vk::CommandBufferUsageFlags,
    uses: Arc<Vec<Use>>,
    work: Arc<Vec<Work>>,
    /// The state that a dispatch would use.
    pipeline: vk::Pipeline,
    set: vk::DescriptorSet,
    busy: Busy,
}

#[derive(Default)]
pub(super) struct CommandPool {
    commands: Vec<vk::CommandBuffer>,
    busy: Busy,
}

tracked!(Command, CommandPool);

impl Command {
    fn clear(&mut self) {
        (self.uses, self.work) = Default::default();
        (self.pipeline, self.set) = Default::default();
    }
}

impl Kind for vk::CommandPool {
    type Value = CommandPool;
    const DESTROY: Call = Call::DestroyCommandPool;

    fn slab(state: &mut State) -> &mut Slab<Self, CommandPool> {
        &mut state.command_pools
    }

    fn removed(state: &mut State, _handle: Self, pool: CommandPool) {
        for commands in pool.commands {
            state.drop_commands(Call::DestroyCommandPool, commands);
        }
    }
}

impl State {
    pub(super) fn create_command_pool(&mut self) -> Result<vk::CommandPool, vk::Result> {
        self.create(CommandPool::default())
    }

    /// Creates a recorded one-time command buffer that is freed when its submission completes.
    pub(super) fn record(&mut self, uses: &[Use]) -> vk::CommandBuffer {
        self.new_commands(Command {
            pool: vk::CommandPool::null(),
            stage: Stage::Executable,
            flags: vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT,
            uses: Arc::new(uses.to_vec()),
            work: Arc::default(),
            pipeline: vk::Pipeline::null(),
            set: vk::DescriptorSet::null(),
            busy: Busy::default(),
        })
    }

    fn new_commands(&mut self, command: Command) -> vk::CommandBuffer {
        let handle = self.arena.take();
        self.commands.insert(handle, command);
        handle
    }

    /// Adds uses to a command buffer that is being recorded or has been recorded.
    pub(super) fn record_into(&mut self, handle: vk::CommandBuffer, uses: &[Use]) {
        let call = Call::BeginCommandBuffer;
        let commands = Object::of(handle);
        match self.commands.get_mut(&handle) {
            None => self.report(Violation::Unknown { call, object: commands }),
            Some(it) if matches!(it.stage, Stage::Recording | Stage::Executable) => {
                Arc::make_mut(&mut it.uses).extend_from_slice(uses);
                self.check_commands_idle(call, handle);
            }
            Some(_) => self.report(Violation::CommandState { call, commands }),
        }
    }

    /// Adds what a `vkCmd…` touches and does.
    pub(super) fn record_command(
        &mut self,
        call: Call,
        handle: vk::CommandBuffer,
        uses: &[Use],
        work: Option<Work>,
    ) {
        self.set_stage(call, handle, |command| {
            Arc::make_mut(&mut command.uses).extend_from_slice(uses);
            Arc::make_mut(&mut command.work).extend(work);
            command.stage == Stage::Recording
        });
    }

    pub(super) fn bind_pipeline(&mut self, handle: vk::CommandBuffer, pipeline: vk::Pipeline) {
        let call = Call::CmdBindPipeline;
        if self.find(call, pipeline).is_some() {
            self.set_stage(call, handle, |command| {
                command.pipeline = pipeline;
                command.stage == Stage::Recording
            });
        }
    }

    pub(super) fn bind_set(&mut self, handle: vk::CommandBuffer, set: vk::DescriptorSet) {
        let call = Call::CmdBindDescriptorSets;
        if self.find(call, set).is_some() {
            self.set_stage(call, handle, |command| {
                command.set = set;
                command.stage == Stage::Recording
            });
        }
    }

    /// The state that is bound in a command buffer.
    pub(super) fn bound(
        &self,
        handle: vk::CommandBuffer,
    ) -> Option<(vk::Pipeline, vk::DescriptorSet)> {
        self.commands.get(&handle).map(|command| (command.pipeline, command.set))
    }

    pub(super) fn allocate_commands(
        &mut self,
        pool: vk::CommandPool,
    ) -> Result<vk::CommandBuffer, vk::Result> {
        self.find(Call::AllocateCommandBuffers, pool)
            .ok_or(vk::Result::ERROR_VALIDATION_FAILED_EXT)?;
        let handle = self.new_commands(Command {
            pool,
            stage: Stage::Initial,
            flags: vk::CommandBufferUsageFlags::empty(),
            uses: Arc::default(),
            work: Arc::default(),
            pipeline: vk::Pipeline::null(),
            set: vk::DescriptorSet::null(),
            busy: Busy::default(),
        });
        if let Some(pool) = self.command_pools.get_mut(pool) {
            pool.commands.push(handle);
        }
        Ok(handle)
    }

    pub(super) fn free_commands(&mut self, pool: vk::CommandPool, handle: vk::CommandBuffer) {
        if handle.is_null() {
            return;
        }
        let object = Object::of(handle);
        match self.commands.get(&handle) {
            None => self.report(Violation::Unknown { call: Call::FreeCommandBuffers, object }),
            Some(command) if command.pool != pool => {
                self.report(Violation::FreeFromPool { pool: Object::of(pool), object });
            }
            Some(_) => {
                if let Some(pool) = self.command_pools.get_mut(pool) {
                    pool.commands.retain(|commands| *commands != handle);
                }
                self.drop_commands(Call::FreeCommandBuffers, handle);
            }
        }
    }

    fn drop_commands(&mut self, call: Call, handle: vk::CommandBuffer) {
        self.check_commands_idle(call, handle);
        // The handle of a command buffer that is in use is not reused, because its submission still
        // refers to it.
        if self.commands.remove(&handle).is_some_and(|command| command.busy.any().is_none()) {
            self.arena.give_back(handle);
        }
    }

    fn check_commands_idle(&mut self, call: Call, handle: vk::CommandBuffer) {
        if let Some(submission) = self.commands.get(&handle).and_then(|c| c.busy.any()) {
            let object = Object::of(handle);
            self.report(Violation::InUse { call, object, submission });
        }
    }

    pub(super) fn begin_commands(
        &mut self,
        handle: vk::CommandBuffer,
        flags: vk::CommandBufferUsageFlags,
    ) {
        self.check_commands_idle(Call::BeginCommandBuffer, handle);
        self.set_stage(Call::BeginCommandBuffer, handle, |command| {
            let allowed = command.stage != Stage::Recording;
            (command.stage, command.flags) = (Stage::Recording, flags);
            command.clear();
            allowed
        });
    }

    pub(super) fn end_commands(&mut self, handle: vk::CommandBuffer) {
        self.set_stage(Call::EndCommandBuffer, handle, |command| {
            let allowed = command.stage == Stage::Recording;
            command.stage = Stage::Executable;
            allowed
        });
    }

    pub(super) fn reset_commands(&mut self, call: Call, handle: vk::CommandBuffer) {
        self.check_commands_idle(call, handle);
        self.set_stage(call, handle, |command| {
            command.stage = Stage::Initial;
            command.clear();
            true
        });
    }

    pub(super) fn reset_command_pool(&mut self, pool: vk::CommandPool) {
        if self.find(Call::ResetCommandPool, pool).is_some() {
            let commands = self.command_pools.get(pool).map(|found| found.commands.clone());
            for handle in commands.unwrap_or_default() {
                self.reset_commands(Call::ResetCommandPool, handle);
            }
        }
    }

    /// Changes a command buffer. Reports a violation if it does not exist or if the change returns
    /// false.
    fn set_stage(
        &mut self,
        call: Call,
        handle: vk::CommandBuffer,
        change: impl FnOnce(&mut Command) -> bool,
    ) {
        let commands = Object::of(handle);
        match self.commands.get_mut(&handle).map(change) {
            Some(true) => {}
            Some(false) => self.report(Violation::CommandState { call, commands }),
            None => self.report(Violation::Unknown { call, object: commands }),
        }
    }

    /// Resolves what a submitted command buffer touches, and what it does when it completes.
    pub(super) fn touch_commands(
        &mut self,
        submission: Submission,
        handle: vk::CommandBuffer,
        touched: &mut Vec<Touched>,
    ) -> Option<Arc<Vec<Work>>> {
        let commands = Object::of(handle);
        let call = Call::QueueSubmit;
        let Some(command) = self.commands.get_mut(&handle) else {
            self.report(Violation::Unknown { call, object: commands });
            return None;
        };
        if command.stage != Stage::Executable {
            self.report(Violation::SubmitNotRecorded { submission, commands });
            return None;
        }
        if command.flags.contains(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT) {
            command.stage = Stage::Spent;
        }
        let (uses, work) = (Arc::clone(&command.uses), Arc::clone(&command.work));
        let pending = command.busy().any();
        if !command.flags.contains(vk::CommandBufferUsageFlags::SIMULTANEOUS_USE) {
            if let Some(submission) = pending {
                self.report(Violation::InUse { call, object: commands, submission });
            }
        }
        touched.push(Touched::Commands(handle));
        for used in uses.iter() {
            self.touch(submission, used, touched);
        }
        for work in work.iter() {
            if let Work::Dispatch(dispatch) = work {
                self.touch_dispatch(submission, dispatch, touched);
            }
        }
        Some(work).filter(|work| !work.is_empty())
    }

    /// Frees a command buffer that the fake made itself, after its submission has completed.
    pub(super) fn commands_done(&mut self, handle: vk::CommandBuffer) {
        let own = self.commands.get(&handle).is_some_and(|command| command.pool.is_null());
        if own {
            self.commands.remove(&handle);
            self.arena.give_back(handle);
        }
    }
}
