//! The auditor reports what holds memory back, by name and once. It reports nothing about a clean
//! run.

mod support;

use std::{
    io,
    sync::{Arc, Mutex},
};

use fencepost::{Allocator, ForeignPoint, Point, fake::FakeDriver};
use support::*;
use tracing_subscriber::util::SubscriberInitExt;

/// More collects than the auditor's patience.
const COLLECTS: usize = 600;

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is said during some work with an allocator.
fn lines(audit: bool, work: impl FnOnce(&FakeDriver, &Allocator)) -> Vec<String> {
    let said = Said::default();
    let writer = said.clone();
    let fake = fake();
    // SAFETY: the fake is kept alive, and the test submits through timelines.
    let allocator = unsafe { Allocator::new(&desc(&fake).audit(audit)) }.unwrap();
    {
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _guard = subscriber.set_default();
        work(&fake, &allocator);
    }
    // SAFETY: nothing else uses the fake, and nothing more is submitted.
    unsafe { allocator.shutdown() }.unwrap();
    drop(allocator);
    let text = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn collect_often(allocator: &Allocator) {
    (0..COLLECTS).for_each(|_| _ = allocator.collect());
}

fn leave_a_recording_open(fake: &FakeDriver, allocator: &Allocator) {
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let open = frames.begin().unwrap();
    drop(buffer(allocator, 1000));
    collect_often(allocator);
    // SAFETY: nothing was recorded.
    unsafe { open.abandon() };
}

#[test]
fn a_clean_run_is_not_commented_on() {
    let said = lines(true, |fake, allocator| {
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let _idle = allocator.timeline(fake.queue(1)).unwrap();
        for _ in 0..COLLECTS {
            let frame = frames.begin().unwrap();
            drop(buffer(allocator, 1000));
            submit_nothing(frame).unwrap();
            allocator.collect();
            fake.run();
        }
    });
    assert_eq!(said, [""; 0]);
}

#[test]
fn a_recording_that_stays_open_is_reported_once_with_what_it_holds_back() {
    let said = lines(true, leave_a_recording_open);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("never submitted"), "{said:?}");
    assert!(said[0].contains("allocation=\"buffer\""), "{said:?}");
    assert_eq!(lines(false, leave_a_recording_open), [""; 0], "only on demand");
}

#[test]
fn a_timeline_that_never_moves_is_reported_once() {
    let said = lines(true, |fake, allocator| {
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let frame = frames.begin().unwrap();
        drop(buffer(allocator, 1000));
        submit_nothing(frame).unwrap();
        collect_often(allocator);
        fake.run();
    });
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("makes no progress") && said[0].contains("\"buffer\""), "{said:?}");
}

#[test]
fn a_counter_that_jumps_is_reported_once_with_what_waits() {
    let said = lines(false, |fake, allocator| {
        let frames = allocator.timeline(fake.queue(0)).unwrap();
        let frame = frames.begin().unwrap();
        drop(buffer(allocator, 1000));
        submit_nothing(frame).unwrap();
        fake.set_counter(frames.semaphore().unwrap(), 1000);
        allocator.collect();
        allocator.collect();
        fake.set_counter(frames.semaphore().unwrap(), 0);
        fake.run();
    });
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("jumped above") && said[0].contains("\"buffer\""), "{said:?}");
}

#[test]
fn an_end_before_a_recorded_use_is_reported_by_name() {
    // The points that an end names, of a use at the first frame and one at the second.
    let said = |audit: bool, ended_at: &[usize]| {
        lines(audit, |fake, allocator| {
            let frames = allocator.timeline(fake.queue(0)).unwrap();
            let points: Vec<Point> =
                (0..3).map(|_| submit_nothing(frames.begin().unwrap()).unwrap()).collect();
            let mesh = buffer(allocator, 1000);
            mesh.allocation().record_use(points[1]).unwrap();
            mesh.allocation().record_use(points[0]).unwrap();
            let ended_at: Vec<Point> = ended_at.iter().map(|&point| points[point]).collect();
            // SAFETY: the fake executes nothing of it.
            unsafe { mesh.retire_at(&ended_at) }.unwrap();
            // SAFETY: never used, and none was recorded.
            unsafe { buffer(allocator, 1000).free_now() };
            fake.run();
        })
    };
    for late in [&[][..], &[0]] {
        let said = said(true, late);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("recorded use") && said[0].contains("\"buffer\""), "{said:?}");
    }
    for enough in [&[1][..], &[2]] {
        assert_eq!(said(true, enough), [""; 0]);
    }
    assert_eq!(said(false, &[]), [""; 0], "only on demand");
    let (a, b) = (fake(), fake());
    let (mine, other) = (allocator(&a), allocator(&b));
    let frames = other.timeline(b.queue(0)).unwrap();
    let point = submit_nothing(frames.begin().unwrap()).unwrap();
    assert_eq!(buffer(&mine, 1000).allocation().record_use(point), Err(ForeignPoint { point }));
    b.run();
}

#[test]
fn a_drop_that_no_timeline_covers_is_reported_with_its_name() {
    let said = lines(false, |_, allocator| {
        drop(buffer(allocator, 1000));
        drop(buffer(allocator, 1000));
    });
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("before any timeline") && said[0].contains("\"buffer\""), "{said:?}");
}
