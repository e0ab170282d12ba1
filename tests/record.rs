//! Records: what is written is what happened, in order; and damaged records are refused.

mod support;

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use fencepost::{
    AllocationDesc, Allocator, ArenaDesc, ResourceKind,
    record::{Fault, Mark, Operation, Record, Request},
    vk,
};
use support::{random::Random, *};

/// A writer whose text can be read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn record(&self) -> Record {
        let text = self.text();
        Record::parse(&text).unwrap_or_else(|damage| panic!("{damage}\n{text}"))
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn recorded(fake: &fencepost::fake::FakeDriver, writer: impl Write + Send + 'static) -> Allocator {
    // SAFETY: the fake lives as long as the test, and the test submits through timelines.
    unsafe { Allocator::new(&desc(fake).record(writer)) }.unwrap()
}

fn requirements(request: &Request, type_bits: u32) -> vk::MemoryRequirements {
    vk::MemoryRequirements {
        size: request.size.get(),
        alignment: request.alignment,
        memory_type_bits: type_bits,
    }
}

/// Live bytes and allocations.
fn live(allocator: &Allocator) -> (u64, u64) {
    let statistics = allocator.statistics();
    (statistics.total.live, statistics.total.live_count)
}

#[test]
fn a_record_replays_to_the_same_live_bytes_at_every_step() {
    let (fake, page, mut random) = (fake(), Page::default(), Random::new(7));
    let allocator = recorded(&fake, page.clone());
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let arena = allocator.create_arena(&ArenaDesc::new(AllocationDesc::device_local())).unwrap();
    let names = ["mesh", "two words", "line\nbreak", ""];
    let (mut held, mut steps, mut written) = (Vec::new(), Vec::new(), Vec::new());
    let mut frame = frames.begin().unwrap();
    for step in 0..3000 {
        if held.is_empty() || random.below(5) < 3 {
            let alignment = 1 << random.below(12);
            // A multiple: how much a size is rounded up by depends on how full its block is, and a
            // replay has other blocks.
            let size = random.log_uniform(1 << 20).next_multiple_of(alignment);
            let name = names[random.below(4) as usize];
            let intents = [
                AllocationDesc::device_local(),
                AllocationDesc::upload(),
                AllocationDesc::readback(),
            ];
            let memory = intents[random.below(3) as usize].name(name);
            let wanted = vk::MemoryRequirements { size, alignment, memory_type_bits: !0 };
            let kind = [ResourceKind::Linear, ResourceKind::Optimal][random.below(2) as usize];
            held.push(
                match random.below(8) {
                    0 => arena.allocate(&wanted, kind, &AllocationDesc::device_local().name(name)),
                    _ => allocator.allocate(&wanted, kind, &memory),
                }
                .unwrap(),
            );
            written.push((size, name));
        } else {
            let ended = held.swap_remove(random.below(held.len() as u64) as usize);
            match random.below(4) {
                // SAFETY: nothing was recorded with it.
                0 => unsafe { ended.free_now() },
                _ => drop(ended),
            }
        }
        steps.push(live(&allocator));
        if step % 50 == 49 {
            submit_nothing(frame).unwrap();
            if step % 200 == 199 {
                fake.run();
            }
            frame = frames.begin().unwrap();
            allocator.collect();
        }
    }
    submit_nothing(frame).unwrap();
    fake.run();
    drop((held, arena, frames));
    allocator.close().unwrap();
    fake.finish().unwrap();

    let record = page.record();
    assert_eq!(record.requests().len(), written.len());
    for (id, &(size, name)) in written.iter().enumerate() {
        let told = record.name(id as u32).unwrap_or_default();
        assert_eq!((record.requests()[id].size.get(), told), (size, &*name.replace('\n', " ")));
    }
    let count =
        |wanted: fn(&Mark) -> bool| record.marks().iter().filter(|(_, m)| wanted(m)).count();
    assert_eq!(count(|mark| matches!(mark, Mark::Submitted { timeline: 0, .. })), 61);
    assert!(count(|mark| matches!(mark, Mark::Reached { timeline: 0, .. })) >= 15);
    assert!(count(|mark| matches!(mark, Mark::Memory { .. })) > 60);
    assert_eq!(count(|mark| matches!(mark, Mark::Lost { .. })), 0);
    let presents = record.operations().iter().filter(|one| **one == Operation::Present);
    assert_eq!(presents.count(), 60, "a frame for each collect");

    assert_eq!(replay(&record, &steps), steps.len());
    // The control: another step's bytes are seen.
    let mut wrong = steps.clone();
    wrong[1234].0 += 64;
    assert!(catch_unwind(AssertUnwindSafe(|| replay(&record, &wrong))).is_err());
}

/// Replays a record with live bytes compared after each allocation and each drop, up to the last of
/// `steps`: how many steps it was.
fn replay(record: &Record, steps: &[(u64, u64)]) -> usize {
    let fake = fake();
    let allocator = allocator(&fake);
    let mut held: Vec<_> = record.requests().iter().map(|_| None).collect();
    let (mut steps, mut compared) = (steps.iter().enumerate(), 0);
    for operation in record.operations() {
        match *operation {
            Operation::Allocate(id) => {
                let request = &record.requests()[id as usize];
                let wanted = requirements(request, 1 << request.memory_type.unwrap());
                let made = allocator.allocate(&wanted, request.kind, &AllocationDesc::default());
                held[id as usize] = Some(made.unwrap());
            }
            // SAFETY: no GPU is there.
            Operation::Free(id) => unsafe { held[id as usize].take().unwrap().free_now() },
            Operation::Submit | Operation::Present => continue,
        }
        let Some((number, &expected)) = steps.next() else { break };
        assert_eq!(live(&allocator), expected, "step {number}");
        compared += 1;
    }
    assert_eq!(steps.next(), None, "the record is shorter than what happened");
    drop(held);
    // SAFETY: nothing was submitted.
    unsafe { allocator.assume_idle() };
    compared
}

#[test]
fn threads_write_one_order_and_nothing_is_lost() {
    let (fake, page) = (fake(), Page::default());
    let allocator = recorded(&fake, page.clone());
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let total = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (allocator, total) = (&allocator, &total);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                let mut held = Vec::new();
                for _ in 0..2000 {
                    if held.len() < 20 || random.below(2) == 0 {
                        held.push(buffer(allocator, 64 + random.below(4096)));
                        total.fetch_add(1, Ordering::Relaxed);
                    } else {
                        drop(held.swap_remove(random.below(held.len() as u64) as usize));
                    }
                }
            });
        }
        for _ in 0..200 {
            submit_nothing(frames.begin().unwrap()).unwrap();
            fake.run();
            allocator.collect();
        }
    });
    drop(frames);
    allocator.close().unwrap();
    fake.finish().unwrap();
    let record = page.record();
    assert_eq!(record.requests().len() as u32, total.into_inner());
    assert!(!record.marks().iter().any(|(_, mark)| matches!(mark, Mark::Lost { .. })));
    assert_eq!(
        record.operations().iter().filter(|o| matches!(o, Operation::Free(_))).count(),
        record.requests().len()
    );
}

#[test]
fn a_full_tape_says_how_many_are_lost_and_the_record_stays_whole() {
    let (fake, page) = (fake(), Page::default());
    // SAFETY: as in `recorded`.
    let allocator =
        unsafe { Allocator::new(&desc(&fake).record(page.clone()).record_room(16)) }.unwrap();
    let mut held: Vec<_> = (0..100).map(|_| buffer(&allocator, 64)).collect();
    allocator.collect();
    // 16 are known. Eight of them go, and 16 of whom nothing is known come into their places.
    held.drain(..8);
    held.extend((0..4).map(|_| buffer(&allocator, 64)));
    allocator.collect();
    drop(held);
    // SAFETY: nothing was submitted.
    unsafe { allocator.assume_idle() };
    allocator.close().unwrap();
    let record = page.record();
    let lost: u64 = record
        .marks()
        .iter()
        .filter_map(|(_, mark)| if let Mark::Lost { events } = mark { Some(events) } else { None })
        .sum();
    assert_eq!(record.requests().len(), 20);
    // 104 allocations and 104 drops; 16 + 12 + 16 were written down.
    assert_eq!(lost, 208 - 44);
    fake.finish().unwrap();
}

struct Broken(u32);

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(1) {
            Some(left) => self.0 = left,
            None => return Err(io::ErrorKind::StorageFull.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Panics;

impl Write for Panics {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("a user's writer");
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_ends_the_record_and_nothing_else() {
    for good in 0..3 {
        let fake = fake();
        let allocator = recorded(&fake, Broken(good));
        for _ in 0..4 {
            let held = buffer(&allocator, 4096);
            allocator.collect();
            // SAFETY: nothing was recorded with it.
            unsafe { held.into_parts().1.free_now() };
        }
        allocator.check().unwrap();
        drop(allocator);
    }
    let fake = fake();
    let allocator = recorded(&fake, Panics);
    assert!(catch_unwind(AssertUnwindSafe(|| allocator.collect())).is_err());
    let held = buffer(&allocator, 4096);
    allocator.collect();
    assert_eq!(live(&allocator).1, 1);
    drop(held);
    // SAFETY: nothing was submitted.
    unsafe { allocator.assume_idle() };
    allocator.check().unwrap();
    drop(allocator);
    fake.finish().unwrap();
}

/// Uses the allocator that it writes for.
#[derive(Clone, Default)]
struct Nosy(Arc<Mutex<Option<Allocator>>>, Arc<AtomicU32>);

impl Write for Nosy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let allocator = self.0.lock().unwrap().clone();
        if let Some(allocator) = allocator {
            drop(buffer(&allocator, 64));
            allocator.collect();
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_may_use_the_allocator() {
    let (fake, nosy) = (fake(), Nosy::default());
    let allocator = recorded(&fake, nosy.clone());
    *nosy.0.lock().unwrap() = Some(allocator.clone());
    allocator.collect();
    assert_eq!(nosy.1.load(Ordering::Relaxed), 1);
    nosy.0.lock().unwrap().take();
    // SAFETY: nothing was submitted.
    unsafe { allocator.assume_idle() };
    allocator.close().unwrap();
}

#[test]
fn the_first_allocator_of_a_description_has_the_writer() {
    let (fake, page) = (fake(), Page::default());
    let desc = desc(&fake).record(page.clone());
    // SAFETY: as in `recorded`.
    let (first, second) =
        unsafe { (Allocator::new(&desc).unwrap(), Allocator::new(&desc).unwrap()) };
    drop((buffer(&second, 64), buffer(&first, 4096)));
    for allocator in [first, second] {
        // SAFETY: nothing was submitted.
        unsafe { allocator.assume_idle() };
    }
    assert_eq!(page.record().requests().len(), 1);
    assert_eq!(page.record().requests()[0].size.get(), 4096);
}

/// A small record, to be damaged.
fn small() -> String {
    let (fake, page) = (fake(), Page::default());
    let allocator = recorded(&fake, page.clone());
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    for size in [4096, 512, 70_000] {
        let frame = frames.begin().unwrap();
        let kept = buffer(&allocator, size);
        drop(buffer(&allocator, 2 * size));
        submit_nothing(frame).unwrap();
        fake.run();
        allocator.collect();
        drop(kept);
    }
    drop(frames);
    drop(allocator);
    page.text()
}

#[test]
fn a_torn_or_damaged_record_is_refused_with_its_line() {
    let text = small();
    let whole = Record::parse(&text).unwrap();
    assert_eq!(whole.requests().len(), 6);
    let lines = text.lines().count();
    // Torn between two lines, or within one.
    let head = text.find('\n').unwrap();
    for cut in head..text.len() - 1 {
        let Err(damage) = Record::parse(&text[..cut]) else { panic!("cut at {cut}") };
        assert!(damage.line <= lines, "{damage}");
        // What was written until then can be had, if one asks for it.
        let until = text[..cut].rfind('\n').map_or(0, |last| last + 1);
        let torn = Record::parse_torn(&text[..cut]).unwrap();
        let operations = text[..until].lines().filter(|l| "afsp".contains(&l[..1])).count();
        assert_eq!(torn.operations(), &whole.operations()[..operations]);
    }
    // A digit of a size, or of the books, does not fit the rest.
    let mut found = 0;
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| line.starts_with("a ")) {
        let mut fields: Vec<_> = line.split(' ').map(str::to_owned).collect();
        fields[2].push('7');
        let damaged = text.replacen(line, &fields.join(" "), 1);
        let damage = Record::parse(&damaged).unwrap_err();
        assert!(matches!(damage.fault, Fault::Books { .. }) && damage.line > number, "{damage}");
        found += 1;
    }
    assert_eq!(found, 6);
    let cases = [
        (text.replace("g 0 2\n", "g 0 9\n"), "reaches 9"),
        (text.replace("s 0 2\n", "s 0 1\n"), "submits 1 after 1"),
        (text.replace("s 0 2\n", "s 0\n"), "a submission reads"),
        (text.replacen("y 1 ", "y 2 ", 1), "2 comes where 1"),
        (text.replacen("\nh 0 ", "\nh 0 x", 1), "after h"),
        (format!("{text}f 0\n"), "behind the end"),
        (text.replace("\ne\n", "\nf 0\ne\n"), "a second time"),
        (text.replace("\ne\n", "\nm 99 0 0 0 0 0\ne\n"), "no memory type 99"),
        (text.replace("\ne\n", "\nm 0 1 100 60 60 0\ne\n"), "more live and pending"),
        (text.replace("\ne\n", "\nt 0 0 0 0\ne\n"), "the time falls"),
        (text.replace("\ne\n", "\nl\ne\n"), "after l"),
    ];
    for (damaged, wanted) in cases {
        assert_ne!(damaged, text, "{wanted}");
        let damage = Record::parse(&damaged).unwrap_err();
        assert!(damage.to_string().contains(wanted), "{damage}, wanted: {wanted}");
    }
}

#[test]
fn whatever_the_text_is_it_is_read_or_refused() {
    let text = small();
    let mut random = Random::new(11);
    let (mut read, mut refused) = (0, 0);
    let bytes_of_lines = b"0123456789 \n#afsgmtlpehybidur-";
    for _ in 0..5000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = bytes_of_lines[random.below(bytes_of_lines.len() as u64) as usize];
        }
        match Record::parse(&String::from_utf8(bytes).unwrap()) {
            // Names and times may be other ones; the rest is held by the books.
            Ok(record) => {
                assert!(record.requests().len() <= 6);
                read += 1;
            }
            Err(damage) => {
                assert!(damage.line <= text.lines().count() + 3);
                refused += 1;
            }
        }
    }
    // How many digits a time has is the machine's affair, so the share of what is read is, too.
    assert!(read > 0 && refused > 3 * read, "{refused} refused, {read} read");
}
