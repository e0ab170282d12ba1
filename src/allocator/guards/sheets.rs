//! Creating sheets.

use core::ops::Range;

use ash::vk;

use super::{
    super::{
        desc::AllocationDesc,
        error::Tried,
        inner::Inner,
        request::{Limit, Request, Target},
    },
    scrub::{NO_MEMORY, ScrubError},
    sheet::Sheet,
    work::Work,
};
use crate::{
    ground::sync::lock,
    guard::{CHECK, Dispatch as Ordered, FILL, SEEN, SPIRV},
    vulkan::{Bound, Compute, Dispatch, External, Mapping, NewMemory, Resource},
};

/// The size of the smallest sheet, in words.
const LEAST_WORDS: usize = 16 << 10;

/// The pipelines, indexed as in a dispatch.
const PIPELINES: [&core::ffi::CStr; 2] = [CHECK, FILL];

impl Inner {
    /// The pipelines, created once.
    fn compute(&self) -> Result<Compute, ScrubError> {
        if let Some(compute) = lock(&self.guards.scrubs).compute {
            return Ok(compute);
        }
        // SAFETY: the device contract; a test validates the module, its bindings are three.
        let made = unsafe { self.vulkan.create_compute(&SPIRV, PIPELINES) };
        let made = made.map_err(ScrubError::Driver)?;
        let mut scrubs = lock(&self.guards.scrubs);
        let kept = *scrubs.compute.get_or_insert(made);
        drop(scrubs);
        if !made.is(&kept) {
            // SAFETY: the device contract; another thread was faster, and these were never used.
            unsafe { self.vulkan.destroy_compute(&made) };
        }
        Ok(kept)
    }

    /// A sheet that contains the tables of the given work, and its dispatches: the checks, then the
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
        let range = |words: Range<usize>| Bound {
            buffer: sheet.buffer,
            offset: words.start as u64 * 4,
            size: words.len() as u64 * 4,
        };
        let tables = [(&work.checks, 0, 0), (&work.fills, fills, 1)].into_iter();
        let orders = tables.flat_map(|(table, start, pipeline)| {
            table.dispatches.iter().map(move |it| (it, start, pipeline))
        });
        let bound = |it: &Ordered<vk::Buffer>, start: usize| {
            let (offset, size) = (it.window.start, it.window.end - it.window.start);
            [
                Bound { buffer: it.block, offset, size },
                range(start + it.words.start..start + it.words.end),
                range(report..words),
            ]
        };
        let mut dispatches = Vec::new();
        let reserved = dispatches.try_reserve_exact(sets);
        // SAFETY: the device contract; the sheet is this thread's alone and no work uses it. Windows
        // and tables lie in their buffers, aligned and bounded by the device's limits.
        let written = reserved.map_err(|_| NO_MEMORY).and_then(|()| unsafe {
            self.vulkan.empty_set_pool(sheet.sets).map_err(ScrubError::Driver)?;
            for (it, start, pipeline) in orders {
                let set = self.vulkan.write_set(&compute, sheet.sets, bound(it, start));
                let set = set.map_err(ScrubError::Driver)?;
                dispatches.push(Dispatch { pipeline, set, groups: it.pieces });
            }
            Ok(())
        });
        match written {
            Ok(()) => Ok((sheet, compute, dispatches)),
            Err(error) => {
                self.give_back_sheet(sheet);
                Err(error)
            }
        }
    }

    /// A sheet that is large enough; a used one, if there is one.
    fn sheet(&self, words: usize, sets: u32) -> Result<Sheet, ScrubError> {
        let used = lock(&self.guards.scrubs).sheets.pop();
        if let Some(sheet) = used {
            if sheet.words >= words && sheet.sets_limit >= sets {
                return Ok(sheet);
            }
            // SAFETY: the device contract; no submitted work uses a sheet that is not in a job.
            unsafe { sheet.destroy(&self.vulkan, &self.heaps) };
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

    /// Allocates, binds and maps the memory of a sheet. It is not in a block, so it does not count
    /// as an allocation of the user.
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
        // Vulkan guarantees a coherent type for every buffer.
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
