//! A sheet: the driver's objects of one scrub. Its tables and its report, mapped; its descriptor
//! sets; and a command buffer where fencepost submits by itself.

use core::ptr::NonNull;

use ash::vk;

use super::{
    super::{
        desc::AllocationDesc,
        error::Tried,
        heaps::Limit,
        inner::Inner,
        request::{Request, Target},
    },
    doors::ScrubError,
    work::Work,
};
use crate::{
    ground::sync::lock,
    guard::{CHECK, FILL, SEEN, Seen, spirv},
    vulkan::{Bound, Compute, Dispatch, External, Mapping, NewMemory, Resource},
};

/// Reused from scrub to scrub, by one at a time.
#[derive(Debug)]
pub(super) struct Sheet {
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    mapping: Mapping,
    heap: u32,
    /// Bytes of memory.
    size: u64,
    /// Words of the buffer.
    words: usize,
    sets: vk::DescriptorPool,
    sets_limit: u32,
    commands: Option<(u32, vk::CommandPool, vk::CommandBuffer)>,
    /// Where the report begins, in words.
    report: usize,
}

/// Words of the smallest sheet.
const LEAST_WORDS: usize = 16 << 10;

/// The pipelines, by the place that a dispatch names.
const PIPELINES: [&core::ffi::CStr; 2] = [CHECK, FILL];

/// What the first place of a report is set to, when all has been done.
const DONE: u32 = 1;

impl Inner {
    /// The pipelines, made once.
    fn compute(&self) -> Result<Compute, ScrubError> {
        if let Some(compute) = lock(&self.guards.scrubs).compute {
            return Ok(compute);
        }
        // SAFETY: the device contract; a test validates the module, its bindings are three.
        let made = unsafe { self.vulkan.create_compute(&spirv(), PIPELINES) };
        let made = made.map_err(ScrubError::Driver)?;
        let mut scrubs = lock(&self.guards.scrubs);
        let kept = *scrubs.compute.get_or_insert(made);
        drop(scrubs);
        if !made.is(&kept) {
            // SAFETY: the device contract; another thread was faster, and nobody has these.
            unsafe { self.vulkan.destroy_compute(&made) };
        }
        Ok(kept)
    }

    /// A sheet with the tables of some work written to it, and its dispatches: the checks, then the
    /// fills.
    pub(super) fn write_sheet(
        &self,
        work: &Work,
    ) -> Result<(Sheet, Compute, Vec<Dispatch>), ScrubError> {
        let compute = self.compute()?;
        let limits = self.vulkan.properties().tables;
        let fills = limits.aligned(work.checks.words.len());
        let report = limits.aligned(fills + work.fills.words.len());
        let words = report + work.checks.slots() * SEEN;
        let sets = work.checks.dispatches.len() + work.fills.dispatches.len();
        let mut sheet = self.sheet(words, sets as u32)?;
        sheet.report = report;
        sheet.write(0, &work.checks.words);
        sheet.write(fills, &work.fills.words);
        sheet.write(report, &[0; SEEN]);
        let range = |words: core::ops::Range<usize>| Bound {
            buffer: sheet.buffer,
            offset: words.start as u64 * 4,
            size: words.len() as u64 * 4,
        };
        let tables = [(&work.checks, 0), (&work.fills, fills)].into_iter();
        let bound: Vec<[Bound; 3]> = tables
            .flat_map(|(table, start)| table.dispatches.iter().map(move |it| (it, start)))
            .map(|(it, start)| {
                let (offset, size) = (it.window.start, it.window.end - it.window.start);
                [
                    Bound { buffer: it.block, offset, size },
                    range(start + it.words.start..start + it.words.end),
                    range(report..words),
                ]
            })
            .collect();
        // SAFETY: the device contract; the sheet is this thread's alone and no work uses it. Windows
        // and tables lie in their buffers, aligned and bounded by the device's limits.
        let sets = match unsafe { self.vulkan.write_sets(&compute, sheet.sets, &bound) } {
            Ok(sets) => sets,
            Err(error) => {
                self.give_back_sheet(sheet);
                return Err(ScrubError::Driver(error));
            }
        };
        let checks = work.checks.dispatches.iter().map(|it| (0, it.pieces));
        let fills = work.fills.dispatches.iter().map(|it| (1, it.pieces));
        let orders = checks.chain(fills).zip(sets);
        let dispatches =
            orders.map(|((pipeline, groups), set)| Dispatch { pipeline, set, groups }).collect();
        Ok((sheet, compute, dispatches))
    }

    /// A sheet that is large enough, a used one if there is one.
    fn sheet(&self, words: usize, sets: u32) -> Result<Sheet, ScrubError> {
        let used = lock(&self.guards.scrubs).sheets.pop();
        if let Some(sheet) = used {
            if sheet.words >= words && sheet.sets_limit >= sets {
                return Ok(sheet);
            }
            // SAFETY: the device contract; no submitted work uses a sheet that is not in a job.
            unsafe { sheet.destroy(self) };
        }
        let words = words.next_power_of_two().max(LEAST_WORDS);
        let sets = sets.next_power_of_two();
        // SAFETY: the device contract.
        let pool = unsafe { self.vulkan.create_set_pool(sets) }.map_err(ScrubError::Driver)?;
        self.make_sheet(words, pool, sets).inspect_err(|_| {
            // SAFETY: the device contract; the pool is new.
            unsafe { self.vulkan.destroy_set_pool(pool) };
        })
    }

    fn make_sheet(
        &self,
        words: usize,
        sets: vk::DescriptorPool,
        sets_limit: u32,
    ) -> Result<Sheet, ScrubError> {
        let usage = vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST;
        let info = vk::BufferCreateInfo::default().size(words as u64 * 4).usage(usage);
        // SAFETY: the device contract; the create-info is valid.
        let buffer = unsafe { self.vulkan.create_buffer(&info) }.map_err(ScrubError::Driver)?;
        match self.make_sheet_memory(buffer, usage) {
            Ok((memory, mapping, heap, size)) => Ok(Sheet {
                buffer,
                memory,
                mapping,
                heap,
                size,
                words,
                sets,
                sets_limit,
                commands: None,
                report: 0,
            }),
            Err(error) => {
                // SAFETY: the device contract; the buffer was never used.
                unsafe { self.vulkan.destroy_resource(Resource::Buffer(buffer)) };
                Err(error)
            }
        }
    }

    /// Memory of a sheet's own, bound and mapped: it is in no block, so it is no allocation of the
    /// user's.
    fn make_sheet_memory(
        &self,
        buffer: vk::Buffer,
        usage: vk::BufferUsageFlags,
    ) -> Result<(vk::DeviceMemory, Mapping, u32, u64), ScrubError> {
        let resource = Resource::Buffer(buffer);
        // SAFETY: the device contract.
        let needs = unsafe { self.vulkan.requirements(resource) };
        let coherent = AllocationDesc::readback().required(vk::MemoryPropertyFlags::HOST_COHERENT);
        let request = Request::new(&needs, Target::buffer(buffer, usage), &coherent);
        // Vulkan has a coherent type for every buffer.
        let mut error = ScrubError::NoMemoryType;
        for lane in self
            .answer(&request.question)
            .ranking
            .iter()
            .filter_map(|memory_type| self.lane(memory_type))
        {
            let size = needs.memory.size;
            let new = NewMemory {
                memory_type: lane.memory_type,
                size,
                dedicated_to: resource,
                priority: None,
                external: External::None,
            };
            let (memory, mapping) =
                match self.allocate_memory(lane, &new, Limit::Driver, &mut Tried::empty()) {
                    Ok(made) => made,
                    Err(refused) => {
                        error = ScrubError::Memory(refused);
                        continue;
                    }
                };
            let heap = lane.heap;
            // SAFETY: the device contract; the memory is new and of the buffer's needs, and where it
            // is not mapped yet it is now.
            let done = unsafe {
                let mapped = mapping.map_or_else(|| self.vulkan.map_memory(memory), Ok);
                mapped.and_then(|mapping| {
                    self.vulkan.bind(resource, memory, 0).map(|()| (memory, mapping, heap, size))
                })
            };
            return done.map_err(|error| {
                // SAFETY: the device contract; the memory was never used, and kept from a
                // reservation of its size.
                unsafe { self.free_memory(heap, memory, size) };
                ScrubError::Driver(error)
            });
        }
        Err(error)
    }
}

impl Sheet {
    /// The address of a word.
    fn at(&self, word: usize) -> NonNull<u32> {
        debug_assert!(word <= self.words);
        // SAFETY: a sheet's words lie in its mapping.
        unsafe { self.mapping.add(word as u64 * 4) }.as_ptr().cast()
    }

    fn write(&self, start: usize, words: &[u32]) {
        assert!(start + words.len() <= self.words, "a sheet is made as large as its tables");
        // SAFETY:
        // * the words lie in the sheet, just asserted, which is mapped and aligned to 64;
        // * no submitted work uses a sheet that is being written, and it has one owner.
        unsafe {
            self.at(start).copy_from_nonoverlapping(NonNull::from(words).cast(), words.len());
        };
    }

    fn read(&self, slot: usize) -> [u32; SEEN] {
        let start = self.report + slot * SEEN;
        assert!(start + SEEN <= self.words, "a report has a place for each piece");
        // SAFETY:
        // * the words lie in the sheet, as in `write`, and any bits are words;
        // * the GPU has passed the scrub, which ended with a barrier to the host; the memory is
        //   coherent.
        unsafe { self.at(start).cast::<[u32; SEEN]>().read() }
    }

    /// Whether the GPU has done all of the scrub.
    pub(super) fn has_run(&self) -> bool {
        self.read(0)[0] == DONE
    }

    /// What the GPU told of a piece of the checks.
    pub(super) fn seen(&self, piece: usize) -> Option<Seen> {
        Seen::read(self.read(1 + piece))
    }

    pub(super) fn bytes_of(&self, heap: u32) -> u64 {
        if self.heap == heap { self.size } else { 0 }
    }

    /// Records the dispatches.
    ///
    /// # Safety
    /// As [`Vulkan::record_compute`](crate::vulkan::Vulkan::record_compute) of the command buffer;
    /// the dispatches are this sheet's.
    pub(super) unsafe fn record(
        &self,
        inner: &Inner,
        compute: &Compute,
        dispatches: &[Dispatch],
        commands: vk::CommandBuffer,
    ) {
        let start = self.report as u64 * 4;
        let done = (self.buffer, start..start + 4, DONE);
        // SAFETY: the caller's promise; the report's first word lies in the buffer.
        unsafe { inner.vulkan.record_compute(commands, compute, dispatches, done) };
    }

    /// Records the dispatches into a command buffer of its own.
    ///
    /// # Safety
    /// As [`record`](Self::record); the device has queues of the family, which compute.
    pub(super) unsafe fn record_own(
        &mut self,
        inner: &Inner,
        compute: &Compute,
        dispatches: &[Dispatch],
        family: u32,
    ) -> Result<vk::CommandBuffer, vk::Result> {
        let vulkan = &inner.vulkan;
        let (_, pool, commands) = match self.commands {
            Some(own) if own.0 == family => own,
            other => {
                // SAFETY: the device contract and the caller's promise.
                let (pool, commands) = unsafe { vulkan.create_commands(family) }?;
                if let Some((_, old, _)) = other {
                    // SAFETY: the device contract; no submitted work uses this sheet.
                    unsafe { vulkan.destroy_commands(old) };
                }
                *self.commands.insert((family, pool, commands))
            }
        };
        // SAFETY: the device contract; nothing of the pool is pending, and it is the sheet's alone.
        unsafe {
            vulkan.begin_commands(pool, commands)?;
            self.record(inner, compute, dispatches, commands);
            vulkan.end_commands(commands)?;
        }
        Ok(commands)
    }

    /// # Safety
    /// The device contract; no submitted work uses the sheet.
    pub(super) unsafe fn destroy(self, inner: &Inner) {
        let vulkan = &inner.vulkan;
        // SAFETY: the caller's promise; all of it is the sheet's own, and its memory was kept from a
        // reservation of its size.
        unsafe {
            if let Some((_, pool, _)) = self.commands {
                vulkan.destroy_commands(pool);
            }
            vulkan.destroy_set_pool(self.sets);
            vulkan.destroy_resource(Resource::Buffer(self.buffer));
            inner.free_memory(self.heap, self.memory, self.size);
        }
    }
}
