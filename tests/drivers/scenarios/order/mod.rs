//! A drop is safe whenever it comes: before, between and after the steps of open recordings.
//!
//! Two recordings on two threads are begun, name a buffer, and are submitted or abandoned; a third
//! thread drops the buffer. Every legal order of these steps is executed on the device. After each
//! step a probe of the buffer's size asks the allocator for memory, and the checker reports whether
//! its bytes were in use.

mod device;
mod model;
mod play;

use std::thread;

use self::device::OnDevice;
use self::model::{Model, Rule};
use self::play::{cases, play};
use crate::harness::{Room, Scenario};
use crate::rig::{Commands, Gate, Intervals, Kind, Line, Range, Thing, allocator, anchor};

/// The buffer's size in bytes.
const SIZE: u64 = 40_000;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("a_drop_is_safe_in_every_order_on_an_owned_timeline", |room| {
            play_all(room, Kind::Owned);
        }),
        Scenario::new("a_drop_is_safe_in_every_order_on_an_external_timeline", |room| {
            play_all(room, Kind::External);
        }),
        Scenario::new("a_drop_is_safe_in_every_order_on_a_ring_of_fences", |room| {
            play_all(room, Kind::Fences(2));
        }),
        Scenario::new("control_a_drop_stamped_with_what_is_issued_is_caught", issued_is_caught),
        Scenario::new("an_idle_timeline_holds_nothing_back", idle_timeline),
        Scenario::new("without_a_timeline_a_drop_waits_for_assume_idle", no_timeline),
    ]
}

fn play_all(room: &Room<'_>, kind: Kind) {
    let gpu = room.open();
    let (allocator, yard) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, kind);
    let pools = [(); 3].map(|()| Commands::new(&gpu));
    let gate = Gate::new(&gpu);
    let cases = cases();
    let mut taken = 0;
    thread::scope(|scope| {
        let mut device = OnDevice::new(scope, &pools, &allocator, &line, &gate);
        for case in &cases {
            println!("{:?} {:?}", case.steps, case.names);
            let mut checker = Intervals::default();
            let issued = gate.issued();
            taken += usize::from(play(case, &mut device, issued, &mut checker));
            checker.assert_no_overlap();
            let statistics = allocator.statistics();
            assert_eq!(
                statistics.total.pending_count, 0,
                "all is done, and something is still held"
            );
        }
    });
    room.note(format_args!("{} orders, {} submits", cases.len(), gate.issued()));
    assert_eq!(taken, cases.len(), "a range that is free again was not given to an equal request");
}

fn issued_is_caught(room: &Room<'_>) {
    let played = |rule| {
        let cases = cases();
        let caught = cases.iter().filter(|case| {
            let mut model = Model::new(rule);
            let mut checker = Intervals::default();
            let taken = play(case, &mut model, 0, &mut checker);
            assert!(taken, "a rule must free the range in the end");
            !checker.overlaps.is_empty()
        });
        (caught.count(), cases.len())
    };
    let (issued, all) = played(Rule::Issued);
    room.note(format_args!("the wrong rule is caught in {issued} of {all} orders"));
    assert!(issued > 0, "the wrong rule passes");
    assert_eq!(played(Rule::Cut).0, 0, "the right rule is reported");
}

fn idle_timeline(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator(&gpu);
    let line = Line::new(&yard, &allocator, Kind::Owned);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    for round in 0..3 {
        let _before = anchor(&allocator);
        let buffer = Thing::buffer(&allocator, SIZE);
        let _after = anchor(&allocator);
        let range = Range::of(buffer.allocation());
        drop(buffer);
        assert_eq!(
            allocator.statistics().total.pending_count,
            0,
            "round {round}: it is free at once"
        );
        let again = Thing::buffer(&allocator, SIZE);
        assert_eq!(Range::of(again.allocation()), range, "round {round}");
        // The timeline has had work, is idle again, and this is known.
        let recording = line.begin(&gate);
        let fill = commands.record(|recorder| recorder.fill(again.handle(), 1));
        line.run(recording, fill);
        allocator.collect();
    }
}

fn no_timeline(room: &Room<'_>) {
    let gpu = room.open();
    let (allocator, yard) = allocator(&gpu);
    let commands = Commands::new(&gpu);
    let gate = Gate::new(&gpu);
    let mut checker = Intervals::default();
    let _before = anchor(&allocator);
    let buffer = Thing::buffer(&allocator, SIZE);
    let _after = anchor(&allocator);
    let range = Range::of(buffer.allocation());
    let number = checker.give(range);
    checker.record(number);
    let fill = commands.record(|recorder| recorder.fill(buffer.handle(), 1));
    let ticket = gate.ticket();
    gate.submit_plainly(&[fill], ticket);
    checker.submit(number, ticket);
    checker.give_up(number);
    drop(buffer);
    let probe = |checker: &mut Intervals| {
        allocator.collect();
        let probe = Thing::buffer(&allocator, SIZE);
        let got = Range::of(probe.allocation());
        let number = checker.give(got);
        checker.give_up(number);
        // SAFETY: the GPU never saw it.
        unsafe { probe.free_now() };
        checker.assert_no_overlap();
        (allocator.statistics().total.pending_count, got.overlaps(&range))
    };
    assert_eq!(probe(&mut checker), (1, false), "it is pending");
    gate.open(ticket);
    // SAFETY: the device is alive, and no other thread uses the queue.
    unsafe { gpu.device.device_wait_idle() }.expect("the work ends");
    assert_eq!(probe(&mut checker), (1, false), "nobody has said that the GPU is done");
    checker.open(ticket);
    // SAFETY: the device was just waited for.
    unsafe { allocator.assume_idle() };
    assert_eq!(probe(&mut checker), (0, true), "assume_idle frees it");
    drop(yard);
}
