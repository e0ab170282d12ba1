//! The work of the queues: recordings, submissions, and the GPU's progress.

use std::time::Duration;

use fencepost::{
    AllocateError, FrameRing, JoinError, RingError,
    fake::{Call, Use},
    vk,
};

use crate::{
    support::random::Random,
    world::{Made, Open, QUEUES, Slip, Thing, World},
};

/// The queue with a ring of fences.
const FENCES: usize = 2;

/// The queue whose values are the program's.
const OWN: usize = QUEUES - 1;

impl World {
    pub fn begin(&mut self, random: &mut Random) {
        let queue = random.below(QUEUES as u64) as usize;
        // Nobody else waits for fences.
        let queue = if self.ordered && queue == FENCES && !random.one_in(10) { 0 } else { queue };
        // What recordings may name, nobody takes over.
        if self.open.len() > if self.ordered { 1 } else { 6 } {
            return;
        }
        let Ok(recording) = self.timelines[queue].begin() else { return };
        let (mut uses, mut waits, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let pins: Vec<u64> = self.open.iter().flat_map(|open| open.numbers.clone()).collect();
        let pins = [pins, vec![self.next]].concat();
        let mut pieces = 0;
        for _ in 0..random.below(5) {
            let Some(at) = self.random_thing(random) else { break };
            let Thing { made, id, order, .. } = &self.things[at];
            // To the driver a scrub uses whole blocks, so no other queue may meanwhile.
            if self.has_sheets() && queue != 0
                || names.contains(id)
                || order.as_ref().is_some_and(|(only, _)| *only != queue)
            {
                continue;
            }
            let of = match made {
                Made::Plain(it) => Use::memory(it.memory(), it.offset(), it.size()),
                Made::Buffer(buffer) => Use::buffer(buffer.handle()),
                Made::Image(_, views) if !views.is_empty() => Use::view(views[0].handle()),
                Made::Image(image, _) => Use::image(image.handle()),
                Made::Ring(ring) => {
                    let (size, alignment) =
                        (random.log_uniform(ring.buffer().size()), 1 + random.below(300));
                    let (memory, base) = self.things[at].place;
                    match ring.take(&recording, size, alignment) {
                        Ok(piece) => {
                            let (start, atom) = (base + piece.offset, self.atom_of(ring));
                            // The last atom ends where the buffer does, for what is counted.
                            let end = (start + piece.size).next_multiple_of(atom);
                            let end = end.min(base + ring.buffer().size());
                            let place = (memory, start / atom * atom);
                            self.model.take_piece(place, end, pins.clone());
                            pieces += 1;
                            Use::memory(memory, start, piece.size).owner(start)
                        }
                        Err(RingError::Full { taken, .. }) if taken > 0 => continue,
                        Err(RingError::Allocate(AllocateError::DeviceLost)) if self.lost => {
                            continue;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
                Made::Shared(_, aliases) if aliases.len() == 1 => aliases[0].named(),
                Made::Shared(..) | Made::Raw(_) => continue,
            };
            if let Some((_, dependency)) = order {
                if dependency.needs_barrier() {
                    uses.push(Use::barrier());
                }
                waits.extend_from_slice(dependency.waits());
            }
            uses.push(of);
            names.push(*id);
        }
        (0..pieces).for_each(|_| self.note("a piece of a ring"));
        let commands = vec![self.fake.record(&uses)];
        let numbers = vec![self.next];
        self.next += 1;
        if self.slip == Slip::Abandons {
            // SAFETY: nothing is submitted, and the model does not know: this is a control.
            return unsafe { recording.abandon() };
        }
        self.open.push(Open { numbers, queue, recording, commands, waits, names });
    }

    /// What no two pieces of a ring share.
    fn atom_of(&self, ring: &FrameRing) -> u64 {
        let memory = ring.buffer().allocation();
        let coherent = vk::MemoryPropertyFlags::HOST_COHERENT;
        if memory.memory_properties().contains(coherent) { 1 } else { self.atom }
    }

    fn take_open(&mut self, random: &mut Random) -> Option<Open> {
        let count = self.open.len() as u64;
        (count > 0).then(|| self.open.swap_remove(random.below(count) as usize))
    }

    pub fn join(&mut self, random: &mut Random) {
        let Some(mut all) = self.take_open(random) else { return };
        if let Some(mut one) = self.take_open(random) {
            match all.recording.join(one.recording) {
                Ok(()) => {
                    all.numbers.append(&mut one.numbers);
                    all.commands.append(&mut one.commands);
                    all.waits.append(&mut one.waits);
                    all.names.append(&mut one.names);
                }
                Err(JoinError { recording, .. }) => self.open.push(Open { recording, ..one }),
            }
        }
        self.open.push(all);
    }

    pub fn submit(&mut self, random: &mut Random) {
        let Some(open) = self.take_open(random) else { return };
        let Open { numbers, queue, recording, commands, mut waits, names } = open;
        waits.sort_unstable_by_key(|&(semaphore, value)| (semaphore, std::cmp::Reverse(value)));
        waits.dedup_by_key(|&mut (semaphore, _)| semaphore);
        let (semaphores, values): (Vec<_>, Vec<_>) = waits.iter().copied().unzip();
        let stages = vec![vk::PipelineStageFlags::ALL_COMMANDS; semaphores.len()];
        let (own, value) = (self.own.0, self.own.1 + 1 + random.below(3));
        let (signals, signalled) = ([own], [value]);
        let mut timeline =
            vk::TimelineSemaphoreSubmitInfo::default().wait_semaphore_values(&values);
        let mut batch = vk::SubmitInfo::default()
            .command_buffers(&commands)
            .wait_semaphores(&semaphores)
            .wait_dst_stage_mask(&stages);
        if queue == OWN {
            timeline = timeline.signal_semaphore_values(&signalled);
            batch = batch.signal_semaphores(&signals);
        }
        let batch = [batch.push_next(&mut timeline)];
        if random.one_in(10) {
            self.fake.fail(Call::QueueSubmit, 0, vk::Result::ERROR_OUT_OF_HOST_MEMORY);
        }
        let (device, handle) = (self.fake.device(), self.fake.queue(queue as u32));
        let done = if queue == OWN {
            // SAFETY: the fake's command buffers are recorded.
            match unsafe { device.queue_submit(handle, &batch, vk::Fence::null()) } {
                Ok(()) => {
                    self.own.1 = value;
                    Ok(recording.submitted(value).unwrap())
                }
                Err(_) => Err(recording),
            }
        } else {
            // SAFETY: as above.
            let done = recording.submit(|signal| unsafe { signal.queue_submit(&batch) });
            done.map_err(|error| match error {
                fencepost::SubmitError::Failed { recording, .. } => recording,
                other => panic!("{other:?}"),
            })
        };
        match done {
            Ok(point) => {
                self.model.queues[queue].points.push(point);
                self.batches[queue].push_back(if queue < 2 { 2 } else { 1 });
                let number = self.model.queues[queue].points.len() as u64;
                numbers.into_iter().for_each(|number| self.model.end_recording(number));
                for thing in self.things.iter_mut().filter(|thing| names.contains(&thing.id)) {
                    thing.uses.retain(|&(other, _)| other != queue);
                    thing.uses.push((queue, number));
                }
            }
            Err(recording) => {
                self.open.push(Open { numbers, queue, recording, commands, waits, names });
            }
        }
        self.fake.clear_faults();
    }

    /// So that what was dropped waits for submissions alone.
    pub fn submit_all(&mut self, random: &mut Random) {
        for _ in 0..self.open.len() {
            self.submit(random);
        }
    }

    pub fn abandon(&mut self, random: &mut Random) {
        let Some(Open { numbers, recording, .. }) = self.take_open(random) else { return };
        // SAFETY: its commands are never submitted.
        unsafe { recording.abandon() };
        numbers.into_iter().for_each(|number| self.model.end_recording(number));
    }

    /// Some queues' GPUs complete some submissions, as far as what they wait for is done.
    pub fn progress(&mut self, random: &mut Random) {
        for _ in 0..random.below(if self.ordered { 4 } else { 20 }) {
            self.fake.step(self.fake.queue(random.below(QUEUES as u64) as u32));
        }
        self.see_progress();
    }

    /// The GPU goes on where somebody waits for it, too.
    pub fn see_progress(&mut self) {
        if self.lost {
            return self.model.lose();
        }
        for (queue, batches) in self.batches.iter_mut().enumerate() {
            let out: u32 = batches.iter().sum();
            let mut done = out - self.fake.pending(self.fake.queue(queue as u32)) as u32;
            while let Some(first) = batches.front_mut().filter(|_| done > 0) {
                let some = done.min(*first);
                (*first, done) = (*first - some, done - some);
                if *first == 0 {
                    batches.pop_front();
                    self.model.queues[queue].completed += 1;
                }
            }
        }
        self.model.forget_done();
    }

    /// The host waits for some submission, or asks.
    pub fn wait(&mut self, random: &mut Random) {
        let queue = random.below(QUEUES as u64) as usize;
        let points = &self.model.queues[queue].points;
        let Some(point) = random.of(points) else { return };
        let line = &self.timelines[queue];
        match random.one_in(2) {
            true => _ = line.is_reached(point).unwrap(),
            false => _ = line.wait(point, Duration::from_millis(1)),
        }
        self.see_progress();
    }

    pub fn collect(&mut self, random: &mut Random) {
        if random.one_in(3) {
            let mut rounds = 0;
            while self.allocator.collect_all().more && rounds < 50 {
                rounds += 1;
            }
        } else {
            self.allocator.collect();
        }
    }
}
