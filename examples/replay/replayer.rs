//! The replay itself: each operation of a trace is a call of fencepost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ash::vk;
use fencepost::record::{Operation, Record};
use fencepost::{Allocator, CreateError, Dependency, Point, Recording, Scrub, Timeline, WaitError};
use indicatif::ProgressBar;

use super::fault::EarlyFree;
use super::footprint::Footprint;
use super::resource::Resource;
use super::stop::Stop;
use super::witness::{Verdict, Witness};

/// If a GPU takes longer for one submission, it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Operations between two moves of the progress bar.
const PROGRESS_STEP: usize = 512;

/// The device and the options of a replay.
pub(crate) struct Stage<W> {
    pub(crate) allocator: Allocator,
    pub(crate) timeline: Timeline,
    pub(crate) witness: W,
    /// The longest side in texels of an image on the device.
    pub(crate) longest_side: u32,
    /// The maximum number of outstanding submissions.
    pub(crate) in_flight: usize,
    /// Whether resources may take over memory that the GPU still uses.
    pub(crate) reuse: bool,
    /// The family of the timeline's queue, if the GPU scrubs at each submission.
    pub(crate) scrubs: Option<u32>,
    /// Present if a fault is to be injected.
    pub(crate) early_free: Option<EarlyFree>,
}

/// The result of a replay.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) footprint: Footprint,
    pub(crate) verdict: Verdict,
    pub(crate) submits: u64,
    pub(crate) elapsed: Duration,
    /// The number of `vkCmdDispatch` calls by scrubs, if there are scrubs.
    pub(crate) dispatches: Option<u64>,
    /// The number of allocations that the allocator reported as leaked at its end.
    pub(crate) leaks: usize,
}

/// Replays the whole trace, checks what is live at its end, and waits for the GPU.
pub(crate) fn replay(
    trace: &Record,
    stage: Stage<impl Witness>,
    progress: &ProgressBar,
) -> Result<Outcome, Stop> {
    let start = Instant::now();
    let mut replayer = Replayer {
        live: std::iter::repeat_with(|| None).take(trace.requests().len()).collect(),
        trace,
        stage,
        recording: None,
        outstanding: VecDeque::new(),
        footprint: Footprint::default(),
        submits: 0,
    };
    // Without presents, each submission is a frame.
    let frame = if trace.presents() { Operation::Present } else { Operation::Submit };
    for (number, operation) in trace.operations().iter().enumerate() {
        match *operation {
            Operation::Allocate(id) => replayer.allocate(id)?,
            Operation::Free(id) => replayer.free(id)?,
            Operation::Submit => replayer.submit()?,
            Operation::Present => {}
        }
        if *operation == frame {
            replayer.stage.allocator.collect();
        }
        if number % PROGRESS_STEP == 0 {
            progress.set_position(number as u64);
        }
    }
    // What follows is not part of the program that was captured.
    replayer.footprint.sample(&replayer.stage.allocator);
    let footprint = replayer.footprint.clone();
    replayer.free_all()?;
    let elapsed = start.elapsed();
    let Replayer { stage, submits, .. } = replayer;
    let Stage { allocator, timeline, witness, scrubs, .. } = stage;
    let mut verdict = witness.verdict().clone();
    for found in allocator.check_guards() {
        verdict.mismatches += 1;
        verdict.first.get_or_insert_with(|| found.to_string());
    }
    drop((timeline, witness));
    let dispatches = scrubs.map(|_| allocator.scrubbed().dispatches);
    let leaks = allocator.close().map_or(0, |report| report.leaks.len());
    Ok(Outcome { footprint, verdict, submits, elapsed, dispatches, leaks })
}

struct Replayer<'a, W> {
    trace: &'a Record,
    stage: Stage<W>,
    /// The live resources, by their numbers.
    live: Vec<Option<Resource>>,
    /// Open from the first operation after a submission until the next submission.
    recording: Option<Recording>,
    /// The submissions that the GPU may not have completed, oldest first.
    outstanding: VecDeque<Point>,
    footprint: Footprint,
    submits: u64,
}

impl<W: Witness> Replayer<'_, W> {
    fn allocate(&mut self, id: u32) -> Result<(), Stop> {
        self.begin()?;
        let (mut resource, dependency) = match self.create(id) {
            // Dropped memory may be sufficient once the GPU has passed it.
            Err(CreateError::Allocate(error)) if error.is_out_of_memory() => {
                self.drain()?;
                self.begin()?;
                self.create(id)
            }
            created => created,
        }
        .map_err(|error| {
            let size = self.trace.requests()[id as usize].size.get();
            Stop::Create { id, size, error }
        })?;
        self.footprint.allocated(resource.allocation(), &self.stage.allocator);
        self.make_room(&resource)?;
        if !dependency.is_none() {
            self.footprint.taken_over += 1;
            self.stage.witness.order(&dependency)?;
        }
        self.stage.witness.write(id, &mut resource)?;
        self.live[id as usize] = Some(resource);
        Ok(())
    }

    fn create(&self, id: u32) -> Result<(Resource, Dependency), CreateError> {
        let Stage { allocator, longest_side, timeline, reuse, .. } = &self.stage;
        let ordered = reuse.then_some(timeline);
        Resource::create(allocator, &self.trace.requests()[id as usize], *longest_side, ordered)
    }

    fn free(&mut self, id: u32) -> Result<(), Stop> {
        let resource = self.live[id as usize].take().expect("a trace frees what is alive");
        self.begin()?;
        self.make_room(&resource)?;
        self.stage.witness.check(id, &resource)?;
        self.footprint.freed(resource.allocation());
        match (&mut self.stage.early_free, resource) {
            (Some(fault), Resource::Buffer { buffer, .. }) => fault.free(buffer),
            (_, resource) => drop(resource),
        }
        Ok(())
    }

    /// Opens the recording for the following operations, before any command names a resource.
    fn begin(&mut self) -> Result<(), Stop> {
        if self.recording.is_none() {
            self.recording = Some(self.stage.timeline.begin()?);
        }
        Ok(())
    }

    /// Submits early if the open batch has no room for the resource.
    fn make_room(&mut self, resource: &Resource) -> Result<(), Stop> {
        if !self.stage.witness.has_room(resource) {
            self.submit()?;
            self.begin()?;
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<(), Stop> {
        if let Some(family) = self.stage.scrubs {
            let Stage { allocator, timeline, .. } = &self.stage;
            // SAFETY: the queue is of this family and supports compute, and only this thread uses
            // it.
            unsafe { allocator.scrub(timeline, family, Scrub::Due) }
                .map_err(|error| Stop::Submit(error.to_string()))?;
        }
        self.begin()?;
        let commands = self.stage.witness.end()?;
        let batches: Vec<vk::SubmitInfo<'_>> = commands
            .iter()
            .flatten()
            .map(|one| vk::SubmitInfo::default().command_buffers(std::slice::from_ref(one)))
            .collect();
        if let Some(recording) = self.recording.take() {
            // SAFETY:
            // - The commands are complete, and everything that they name is live or was dropped
            //   after the recording began.
            // - Only this thread uses the queue.
            let point = recording
                .submit(|signal| unsafe { signal.queue_submit(&batches) })
                .map_err(|error| Stop::Submit(error.to_string()))?;
            self.outstanding.push_back(point);
        }
        self.submits += 1;
        if let Some(fault) = &mut self.stage.early_free {
            fault.submitted();
        }
        self.footprint.sample(&self.stage.allocator);
        self.settle(self.stage.in_flight)
    }

    /// Checks the batches that the GPU has completed, and waits while more than `most` are
    /// outstanding.
    fn settle(&mut self, most: usize) -> Result<(), Stop> {
        while let Some(&point) = self.outstanding.front() {
            let timeline = &self.stage.timeline;
            if self.outstanding.len() > most {
                match timeline.wait(point, PATIENCE) {
                    Err(WaitError::Timeout) => return Err(Stop::Hangs(PATIENCE.as_secs())),
                    waited => waited?,
                }
            } else if !timeline.is_reached(point)? {
                break;
            }
            self.outstanding.pop_front();
            self.stage.witness.judge()?;
            if let Some(fault) = &mut self.stage.early_free {
                fault.done();
            }
        }
        Ok(())
    }

    /// Submits the open batch, waits for everything, and collects.
    fn drain(&mut self) -> Result<(), Stop> {
        self.submit()?;
        self.settle(0)?;
        self.stage.allocator.collect();
        Ok(())
    }

    /// Frees what the trace left live, in the order of creation.
    fn free_all(&mut self) -> Result<(), Stop> {
        for id in 0..self.live.len() {
            if self.live[id].is_some() {
                self.free(id as u32)?;
            }
        }
        self.drain()
    }
}
